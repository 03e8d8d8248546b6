//! How large the connections of a series were, and how they ended: sums, not samples.
//!
//! Contract: sums of integers, so that the order of observations does not matter and what is stored is what
//! is kept. Sizes count as `log2(1 + bytes)` in steps of 2^-10: the spread of the logarithm says how regular sizes
//! are, whatever their scale, and one large transfer does not hide a thousand small ones.

use serde::{Deserialize, Serialize};

/// Steps of a unit of log2.
const STEPS: f64 = 1024.0;

/// Sizes of connections in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sizes {
    pub(crate) count: u32,
    sum: u64,
    squares: u64,
}

impl Sizes {
    /// Takes the size of one connection that has ended.
    pub(crate) fn add(&mut self, bytes: u64) {
        let steps = steps(bytes);
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.saturating_add(steps);
        self.squares = self.squares.saturating_add(steps * steps);
    }

    /// Geometric mean of `1 + bytes`, less one; `None` before the first.
    pub(crate) fn typical_bytes(&self) -> Option<f64> {
        (self.count > 0).then(|| (wide(self.sum) / STEPS / f64::from(self.count)).exp2() - 1.0)
    }

    /// Standard deviation of `log2(1 + bytes)`; `None` before the second.
    pub(crate) fn spread(&self) -> Option<f64> {
        let count = f64::from(self.count);
        let mean = wide(self.sum) / count;
        let variance = (wide(self.squares) / count - mean * mean).max(0.0);
        (self.count > 1).then(|| variance.sqrt() / STEPS)
    }
}

/// How connections ended, when the input says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endings {
    pub(crate) established: u32,
    pub(crate) failed: u32,
}

impl Endings {
    pub(crate) fn add(&mut self, established: bool) {
        let count = if established {
            &mut self.established
        } else {
            &mut self.failed
        };
        *count = count.saturating_add(1);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 to 65 536"
)]
fn steps(bytes: u64) -> u64 {
    ((1.0 + wide(bytes)).log2() * STEPS).round() as u64
}

#[expect(clippy::cast_precision_loss, reason = "means need no 53 bits")]
fn wide(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u64]) -> Sizes {
        let mut sizes = Sizes::default();
        for it in bytes {
            sizes.add(*it);
        }
        sizes
    }

    #[test]
    fn nothing_has_no_mean_and_one_size_has_no_spread() {
        assert_eq!(of(&[]).typical_bytes(), None);
        assert_eq!(of(&[]).spread(), None);
        assert_eq!(of(&[300]).spread(), None);
    }

    #[test]
    fn equal_sizes_have_no_spread_and_their_own_mean() {
        let sizes = of(&[1023; 50]);
        assert!((sizes.typical_bytes().unwrap() - 1023.0).abs() < 1e-6);
        assert!(sizes.spread().unwrap() < 1e-9);
    }

    #[test]
    fn mean_and_spread_are_those_of_the_logarithms() {
        // log2 is 3 and 5: mean 4, deviation 1.
        let sizes = of(&[7, 31]);
        assert!((sizes.typical_bytes().unwrap() - 15.0).abs() < 1e-9);
        assert!((sizes.spread().unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_greatest_sizes_stay_finite() {
        let mut sizes = of(&[u64::MAX, 0]);
        sizes.count = u32::MAX;
        sizes.add(u64::MAX);
        assert!(sizes.spread().unwrap().is_finite() && sizes.typical_bytes().unwrap().is_finite());
    }
}
