//! Random numbers that follow from a seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

/// Draws the numbers.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(super) fn unit(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / 4_294_967_296.0
    }

    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + self.unit() * (high - low)
    }

    /// Uniform in the logarithm.
    pub(super) fn scale(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    pub(super) fn one_of(&mut self, choices: &[f64]) -> f64 {
        let at = (u64::from(self.0.next_u32()) * choices.len() as u64) >> 32;
        let at = usize::try_from(at).unwrap_or(0);
        choices.get(at).copied().unwrap_or(1.0)
    }

    /// By weight.
    pub(super) fn weighted<T: Copy>(&mut self, choices: &[(f64, T)]) -> Option<T> {
        let mut left = self.unit() * choices.iter().map(|(weight, _)| weight).sum::<f64>();
        for (weight, choice) in choices {
            left -= weight;
            if left < 0.0 {
                return Some(*choice);
            }
        }
        choices.last().map(|(_, choice)| *choice)
    }

    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}
