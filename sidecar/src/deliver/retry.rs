//! The one retry policy: exponential back-off with full jitter.

use std::time::Duration;

use rand::Rng;

/// How long to wait after failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Upper bound of the first wait; doubles with each further failure.
    pub initial: Duration,
    /// No wait is longer than this, whatever the destination asks for.
    pub maximum: Duration,
}

impl RetryPolicy {
    /// The wait after `failures` failures in a row (1 after the first).
    ///
    /// A random time between half of the bound and the bound, so that clients that failed together do not
    /// come back together. When the destination said when to come back, it is not asked before that.
    pub fn wait(&self, failures: u32, asked: Option<Duration>, random: &mut impl Rng) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let bound = self
            .initial
            .saturating_mul(1 << doublings)
            .min(self.maximum);
        let wait = bound.mul_f64(random.random_range(0.5..=1.0));
        wait.max(asked.unwrap_or_default()).min(self.maximum)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        initial: Duration::from_millis(500),
        maximum: Duration::from_mins(1),
    };

    proptest! {
        #[test]
        fn a_wait_lies_between_half_its_bound_and_its_bound(failures in 1_u32..=u32::MAX, seed: u64) {
            let mut random = StdRng::seed_from_u64(seed);
            let bound = (0.5 * f64::from(1_u32 << (failures - 1).min(20))).min(60.0);
            let wait = POLICY.wait(failures, None, &mut random).as_secs_f64();
            prop_assert!((bound / 2.0 - 1e-6..=bound + 1e-6).contains(&wait));
        }
    }

    #[test]
    fn the_destination_is_not_asked_before_it_said_but_the_maximum_holds() {
        let mut random = StdRng::seed_from_u64(1);
        let asked = Some(Duration::from_secs(20));
        assert_eq!(POLICY.wait(1, asked, &mut random), Duration::from_secs(20));
        let asked = Some(Duration::from_secs(100_000));
        assert_eq!(POLICY.wait(1, asked, &mut random), Duration::from_mins(1));
    }
}
