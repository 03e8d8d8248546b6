//! Instants, as the caller gives them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Nanoseconds since the Unix epoch. Negative values are instants before 1970.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// An instant from nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn from_unix_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// An instant from seconds since the Unix epoch; `None` when not finite or out of range (about
    /// ±292 years).
    #[must_use]
    pub fn from_unix_seconds(seconds: f64) -> Option<Self> {
        let nanos = (seconds * 1e9).round();
        // 2^63 is exact in f64; the range check also refuses NaN.
        if (-9.223_372_036_854_775e18..=9.223_372_036_854_775e18).contains(&nanos) {
            #[expect(clippy::cast_possible_truncation, reason = "range checked above")]
            return Some(Self(nanos as i64));
        }
        None
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn unix_nanos(self) -> i64 {
        self.0
    }

    /// Seconds since the Unix epoch.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "sub-microsecond digits do not matter here"
    )]
    pub fn unix_seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        u64::try_from(i128::from(self.0) - i128::from(earlier.0))
            .map_or(Duration::ZERO, Duration::from_nanos)
    }

    /// The instant so many seconds later; the last one there is when that is out of range or not a number.
    pub(crate) fn saturating_add_seconds(self, seconds: f64) -> Self {
        let later = Self::from_unix_seconds(seconds).map_or(i64::MAX, Self::unix_nanos);
        Self(self.0.saturating_add(later))
    }
}
