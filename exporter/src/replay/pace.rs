//! [`Pace`]: when a packet is due, and what time it is in a capture.

use std::str::FromStr;
use std::time::Duration;

use tokio::time::Instant;

/// How fast a capture is replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Speed {
    /// As fast as it goes.
    #[default]
    Max,
    /// So many times as fast as it was captured; 1 is in time.
    Times(f64),
}

/// A speed that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("speed {0:?}: expected max, or a number from 0.001 to 1000000")]
pub struct SpeedError(String);

impl FromStr for Speed {
    type Err = SpeedError;

    fn from_str(text: &str) -> Result<Self, SpeedError> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let times = text.parse().ok();
        times
            .filter(|times| (0.001..=1e6).contains(times))
            .map(Self::Times)
            .ok_or_else(|| SpeedError(text.to_owned()))
    }
}

/// The capture's clock.
#[derive(Debug)]
pub(super) struct Pace {
    pub(super) speed: Speed,
    first_ns: i64,
    /// The latest packet's time.
    latest_ns: i64,
    /// When the first packet was due.
    began: Option<Instant>,
}

impl Pace {
    pub(super) fn new(speed: Speed, first_ns: Option<i64>) -> Self {
        let first_ns = first_ns.unwrap_or(0);
        Self {
            speed,
            first_ns,
            latest_ns: first_ns,
            began: None,
        }
    }

    /// Notes that a packet of this time is taken.
    pub(super) fn reach(&mut self, time_ns: i64) {
        self.latest_ns = self.latest_ns.max(time_ns);
    }

    /// When a packet is due; `None`: now.
    pub(super) fn due(&mut self, time_ns: Option<i64>) -> Option<Instant> {
        let Speed::Times(times) = self.speed else {
            return None;
        };
        let now = Instant::now();
        let began = *self.began.get_or_insert(now);
        let ahead_ns = u64::try_from(time_ns?.saturating_sub(self.first_ns)).ok()?;
        let ahead = Duration::from_nanos(ahead_ns).as_secs_f64() / times;
        // A packet that would be due in years is due when the replay is stopped.
        let ahead = Duration::try_from_secs_f64(ahead).unwrap_or(Duration::MAX);
        let due = began.checked_add(ahead.min(Duration::from_hours(87_600)))?;
        (due > now).then_some(due)
    }

    /// The present: between the latest packet and the next.
    pub(super) fn now_ns(&self, next_ns: Option<i64>) -> i64 {
        let (Speed::Times(times), Some(began), Some(next_ns)) = (self.speed, self.began, next_ns)
        else {
            return self.latest_ns;
        };
        let passed = began.elapsed().as_secs_f64() * times;
        let passed = Duration::try_from_secs_f64(passed).unwrap_or(Duration::MAX);
        let passed_ns = i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX);
        let now_ns = self.first_ns.saturating_add(passed_ns);
        now_ns.min(next_ns).max(self.latest_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_max_or_a_number_that_makes_sense() {
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("1".parse(), Ok(Speed::Times(1.0)));
        assert_eq!("0.5".parse(), Ok(Speed::Times(0.5)));
        for wrong in ["", "0", "-1", "NaN", "inf", "1e9", "fast"] {
            let refused = wrong.parse::<Speed>().map_err(|it| it.to_string());
            let expected =
                format!("speed {wrong:?}: expected max, or a number from 0.001 to 1000000");
            assert_eq!(refused, Err(expected));
        }
    }
}
