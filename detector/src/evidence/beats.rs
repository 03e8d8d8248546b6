//! From the times of a series to its beats.
//!
//! A beat is the first event after more than [`PARTING_SILENCE_S`] of silence: the retries, duplicates and
//! bursts that follow an event closely are one beat with it. The gaps that are measured are those between
//! the newest [`MOST_GAPS`] + 1 beats, exact differences of nanoseconds before they become seconds, so that a
//! shift of all times changes nothing.

use crate::Timestamp;
use crate::stats::{nanos_between, seconds};

/// Silence that parts two beats, in seconds.
pub const PARTING_SILENCE_S: f64 = 2.0;
/// The same in nanoseconds.
pub(crate) const PARTING_SILENCE_NS: u64 = 2_000_000_000;
/// Most gaps that are measured: the newest.
pub const MOST_GAPS: usize = 128;

/// Beats of one series, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Beats {
    times: Vec<Timestamp>,
    gaps_s: Vec<f64>,
}

impl Beats {
    /// Takes the beats of times in ascending order.
    pub(crate) fn load(&mut self, times: impl Iterator<Item = Timestamp>) {
        self.times.clear();
        let mut previous: Option<Timestamp> = None;
        for time in times {
            if previous.is_none_or(|previous| nanos_between(previous, time) > PARTING_SILENCE_NS) {
                self.times.push(time);
            }
            previous = Some(time);
        }
        let newest = newest(&self.times);
        let gaps = newest.iter().zip(newest.iter().skip(1));
        self.gaps_s.clear();
        self.gaps_s
            .extend(gaps.map(|(a, b)| seconds(nanos_between(*a, *b))));
    }

    /// All beats.
    pub(crate) fn times(&self) -> &[Timestamp] {
        &self.times
    }

    /// The beats between which the gaps lie.
    pub(crate) fn newest(&self) -> &[Timestamp] {
        newest(&self.times)
    }

    /// Gaps between the newest beats in seconds.
    pub(crate) fn gaps_s(&self) -> &[f64] {
        &self.gaps_s
    }
}

fn newest(times: &[Timestamp]) -> &[Timestamp] {
    let from = times.len().saturating_sub(MOST_GAPS + 1);
    times.get(from..).unwrap_or_default()
}
