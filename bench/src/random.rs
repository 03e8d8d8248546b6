//! Numbers that look random and are the same for a seed, on any machine and with any later version of this or another
//! crate: what the benchmarks make of them can be compared over years.
//!
//! The uniform numbers are those of `SplitMix64` (Steele, Lea, Flood 2014); the others are made of them by inversion,
//! by Box and Muller (normal) and by Marsaglia and Tsang 2000 (gamma).

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "53 bits of a number, and counts far below 2^53"
)]

use std::f64::consts::TAU;

/// A sequence of numbers without a pattern.
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// The sequence of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Between 0 and 1, both excluded.
    pub fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Between two numbers.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Between two positive numbers, each order of magnitude as likely as another.
    pub fn between_orders(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    /// A whole number below this one; 0 when there is none.
    pub fn below(&mut self, end: usize) -> usize {
        ((self.unit() * end as f64) as usize).min(end.saturating_sub(1))
    }

    /// One of these; there must be one.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Exponential.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.unit().ln()
    }

    /// Normal with mean 0 and deviation 1.
    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (TAU * self.unit()).cos()
    }

    /// Log-normal with this median and deviation of the logarithm.
    pub fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    /// Weibull with scale 1.
    pub fn weibull(&mut self, shape: f64) -> f64 {
        self.exponential(1.0).powf(1.0 / shape)
    }

    /// Gamma with scale 1, that is with mean `shape`.
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.gamma(shape + 1.0) * self.unit().powf(1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.unit().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    /// A whole number from 1 on, geometric with this mean.
    pub fn count(&mut self, mean: f64) -> usize {
        if mean <= 1.0 {
            return 1;
        }
        1 + (self.unit().ln() / (1.0 - 1.0 / mean).ln()) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::Numbers;

    #[test]
    fn samples_have_the_mean_and_the_variance_of_their_distributions() {
        let mut numbers = Numbers::new(5);
        let mut moments = |sample: &mut dyn FnMut(&mut Numbers) -> f64| {
            let values: Vec<f64> = (0..200_000).map(|_| sample(&mut numbers)).collect();
            let mean = values.iter().sum::<f64>() / 200_000.0;
            let variance = values.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / 200_000.0;
            (mean, variance)
        };
        let near = |found: (f64, f64), mean: f64, variance: f64| {
            assert!((found.0 - mean).abs() < 0.02 * mean.max(1.0), "{found:?}");
            assert!(
                (found.1 - variance).abs() < 0.05 * variance.max(1.0),
                "{found:?}"
            );
        };
        near(moments(&mut |it| it.normal()), 0.0, 1.0);
        near(moments(&mut |it| it.exponential(3.0)), 3.0, 9.0);
        near(moments(&mut |it| it.gamma(4.0)), 4.0, 4.0);
        near(moments(&mut |it| it.gamma(0.5)), 0.5, 0.5);
        near(moments(&mut |it| it.weibull(2.0)), 0.886_227, 0.214_602);
        near(moments(&mut |it| it.count(4.0) as f64), 4.0, 12.0);
        near(
            moments(&mut |it| it.log_normal(1.0, 0.5)),
            1.133_148,
            0.364_696,
        );
    }
}
