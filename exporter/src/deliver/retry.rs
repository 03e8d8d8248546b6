//! [`RetryPolicy`]: how long to wait before the next attempt.
//!
//! Exponential back-off with jitter, as the OTLP specification asks of clients. A time that the receiver
//! named (`Retry-After`, `RetryInfo`) is a lower bound. There is no last attempt: the bounded queue decides
//! when an undeliverable request gives way (see [`super::sender`]).

use std::time::Duration;

/// Longest wait that a receiver can impose.
pub const MAX_RETRY_AFTER: Duration = Duration::from_mins(10);

/// Back-off between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Upper bound of the first wait.
    pub initial: Duration,
    /// Upper bound of any wait that the receiver did not ask for.
    pub max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(500),
            max: Duration::from_secs(30),
        }
    }
}

impl RetryPolicy {
    /// Wait after the failed attempt number `attempt` (from 0).
    ///
    /// `initial · 2^attempt`, at most `max`, times a factor between ½ and 1 (`jitter` in 0..=1 chooses it), but
    /// not less than `retry_after`.
    #[must_use]
    pub fn delay(&self, attempt: u32, retry_after: Option<Duration>, jitter: f64) -> Duration {
        let doubled = 2u32.checked_pow(attempt).unwrap_or(u32::MAX);
        let bound = self.initial.saturating_mul(doubled).min(self.max);
        let backoff = bound.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0));
        backoff.max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        initial: Duration::from_secs(1),
        max: Duration::from_secs(30),
    };

    #[test]
    fn waits_double_up_to_the_bound() {
        let waits: Vec<u64> = (0..7)
            .map(|attempt| POLICY.delay(attempt, None, 1.0).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(POLICY.delay(u32::MAX, None, 1.0), POLICY.max);
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        assert_eq!(POLICY.delay(2, None, 0.0), Duration::from_secs(2));
        assert_eq!(POLICY.delay(2, None, 0.5), Duration::from_secs(3));
        assert_eq!(
            POLICY.delay(2, None, f64::NAN.max(0.0)),
            Duration::from_secs(2)
        );
    }

    #[test]
    fn the_receivers_wait_is_a_lower_bound_with_a_limit() {
        let asked = Duration::from_mins(2);
        assert_eq!(POLICY.delay(0, Some(asked), 0.3), asked);
        assert_eq!(
            POLICY.delay(5, Some(Duration::from_secs(1)), 1.0),
            POLICY.max
        );
        assert_eq!(POLICY.delay(0, Some(Duration::MAX), 0.0), MAX_RETRY_AFTER);
    }
}
