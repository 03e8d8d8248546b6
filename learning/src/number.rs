//! Counts and measures as numbers to reckon with, and numbers as a file keeps them.

/// A count as a number to reckon with.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(crate) fn real(count: usize) -> f64 {
    count as f64
}

/// The same of what is counted in 64 bits.
#[expect(
    clippy::cast_precision_loss,
    reason = "a relative error of 2^-53 is no matter"
)]
pub(crate) fn real_u64(count: u64) -> f64 {
    count as f64
}

/// Mean; 0 of nothing.
pub(crate) fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len();
    if count == 0 {
        return 0.0;
    }
    values.sum::<f64>() / real(count)
}

/// `value` to so many significant digits: what is learnt is kept as it is written, so that a model that was
/// read says the same as the one that was trained.
pub(crate) fn rounded(value: f64, digits: usize) -> f64 {
    if !value.is_finite() {
        return value;
    }
    format!("{value:.*e}", digits.saturating_sub(1))
        .parse()
        .unwrap_or(value)
}

/// The logistic function, `1 / (1 + e^-z)`.
pub(crate) fn logistic(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_keeps_significant_digits_and_what_is_no_number() {
        assert_eq!(rounded(123_456.789, 6).to_bits(), 123_457.0_f64.to_bits());
        assert_eq!(
            rounded(-0.000_123_456, 3).to_bits(),
            (-0.000_123_f64).to_bits()
        );
        assert_eq!(rounded(0.0, 3).to_bits(), 0.0_f64.to_bits());
        assert!(rounded(f64::NAN, 3).is_nan() && rounded(f64::INFINITY, 3).is_infinite());
    }
}
