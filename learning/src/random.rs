//! Numbers that look random and are the same for a seed, on any machine and with any later version.
//!
//! `ChaCha8` is specified, so its words never change; what is made of the words is written out here, because
//! `rand` may change its own way between versions.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

/// A stream of numbers.
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Uniform in 0..1, of 53 bits.
    pub(crate) fn unit(&mut self) -> f64 {
        const UNIT: f64 = 1.0 / 9_007_199_254_740_992.0;
        crate::number::real_u64(self.0.next_u64() >> 11) * UNIT
    }

    /// Uniform among `0..count`; 0 of nothing. The high word of a product: the bias is below 2^-32 of a
    /// count below 2^32.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        let product = u128::from(self.0.next_u64()) * count as u128;
        usize::try_from(product >> 64).unwrap_or(0)
    }

    /// `wanted` different ones of `0..count` (or all), in random order.
    pub(crate) fn sample(&mut self, count: usize, wanted: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..count).collect();
        let wanted = wanted.min(count);
        for at in 0..wanted {
            let other = at + self.below(count - at);
            all.swap(at, other);
        }
        all.truncate(wanted);
        all
    }
}
