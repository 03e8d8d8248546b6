//! At most so many documents a second: a bucket that holds the share of one second.

use std::time::Duration;

use tokio::time::Instant;

/// The bucket.
#[derive(Debug)]
pub(super) struct Pace {
    allowance: f64,
    filled: Instant,
}

impl Pace {
    /// A full bucket.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            allowance: f64::INFINITY,
            filled: now,
        }
    }

    /// How many documents may go now, up to `wanted`; how long to wait when none may.
    pub(super) fn allowed(
        &mut self,
        per_s: Option<u32>,
        wanted: usize,
        now: Instant,
    ) -> Result<usize, Duration> {
        let Some(per_s) = per_s.map(f64::from) else {
            return Ok(wanted);
        };
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.allowance = (self.allowance + passed * per_s).min(per_s.max(1.0));
        if self.allowance < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.allowance) / per_s));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and the largest rate, rounded down on purpose"
        )]
        let allowed = self.allowance as usize;
        Ok(allowed.min(wanted))
    }

    /// So many documents went.
    pub(super) fn took(&mut self, documents: usize) {
        // Exact: an attempt has at most 10,000 documents.
        self.allowance -= f64::from(u32::try_from(documents).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_allows_its_share_of_a_second_and_then_one_after_the_other() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.allowed(Some(10), 500, start), Ok(10));
        pace.took(10);
        let wait = pace.allowed(Some(10), 500, start).unwrap_err();
        assert!((0.09..=0.11).contains(&wait.as_secs_f64()), "{wait:?}");
        let later = start + Duration::from_millis(350);
        assert_eq!(pace.allowed(Some(10), 500, later), Ok(3));
        let much_later = start + Duration::from_hours(1);
        assert_eq!(pace.allowed(Some(10), 500, much_later), Ok(10));
    }

    #[test]
    fn without_a_rate_everything_may_go_and_a_new_rate_begins_full() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.allowed(None, 500, start), Ok(500));
        pace.took(500);
        assert_eq!(pace.allowed(Some(2), 500, start), Ok(2));
    }
}
