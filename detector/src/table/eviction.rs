//! Which series goes when there is no room.
//!
//! A series is worth keeping by its evidence and by its age:
//! `worth = evidence − log2(1 + idle / rhythm)`, where idle is the time since its last observation, rhythm the mean
//! time between its connections, from a quarter of an hour to two days, and evidence is 10 + 10 × score (rounded down) once it has a score, else the logarithm
//! to base 2 of its connections, at most 9. So each doubling of silence costs what a doubling of connections
//! earns, and a series is silent only when it is for longer than it used to be; a flood of single connections displaces single connections first, and a slow beacon of few
//! beats outlives it. Of equal worth the one that was silent longer goes, then the smaller key.
//!
//! Limit: a series must beat twice before the table turns over once; until its second connection
//! nothing tells it from any other.
//!
//! Cost: the whole table is looked at once for every 64th part of it that is displaced, so a displacement
//! costs constant time on average. A chosen series that was heard of since is spared.

use super::{Place, Slot};
use crate::Timestamp;
use crate::series::Series;
use crate::stats::nanos_between;

/// Part of the table that is chosen at a time.
const BATCH: usize = 64;
const QUARTER_HOUR_NS: u64 = 900 * 1_000_000_000;
const LONGEST_RHYTHM_NS: u64 = 2 * 86_400 * 1_000_000_000;

/// Series chosen to go, the next one last.
#[derive(Debug, Default)]
pub(super) struct Victims {
    queue: Vec<Victim>,
}

#[derive(Debug)]
struct Victim {
    slot: Slot,
    /// As it was when the series was chosen.
    last_activity: Timestamp,
    count: u64,
}

impl Victims {
    /// The next series to go; `None` when there is none at all.
    pub(super) fn next(&mut self, places: &[Place], now: Timestamp) -> Option<Slot> {
        if let Some(slot) = self.pop(places) {
            return Some(slot);
        }
        self.choose(places, now);
        self.pop(places)
    }

    fn pop(&mut self, places: &[Place]) -> Option<Slot> {
        while let Some(victim) = self.queue.pop() {
            let series = places
                .get(victim.slot as usize)
                .and_then(|p| p.series.as_deref());
            let unchanged = |series: &Series| {
                series.last_activity == victim.last_activity && series.count == victim.count
            };
            if series.is_some_and(unchanged) {
                return Some(victim.slot);
            }
        }
        None
    }

    fn choose(&mut self, places: &[Place], now: Timestamp) {
        let mut ranked: Vec<_> = places
            .iter()
            .zip(0_u32..)
            .filter_map(|(place, slot)| Some((place.series.as_deref()?, slot)))
            .map(|(series, slot)| (worth(series, now), series, slot))
            .collect();
        let chosen = ranked.len().div_ceil(BATCH);
        let order = |a: &(i64, &Series, Slot), b: &(i64, &Series, Slot)| {
            (a.0, a.1.last_activity)
                .cmp(&(b.0, b.1.last_activity))
                .then_with(|| a.1.key.cmp(&b.1.key))
        };
        if chosen < ranked.len() {
            ranked.select_nth_unstable_by(chosen, order);
            ranked.truncate(chosen);
        }
        ranked.sort_unstable_by(|a, b| order(b, a));
        self.queue
            .extend(ranked.into_iter().map(|(_, series, slot)| Victim {
                slot,
                last_activity: series.last_activity,
                count: series.count,
            }));
    }
}

fn worth(series: &Series, now: Timestamp) -> i64 {
    let life = nanos_between(series.first_seen, series.last_activity);
    let mean_gap = life / series.count.saturating_sub(1).max(1);
    let rhythm = mean_gap.clamp(QUARTER_HOUR_NS, LONGEST_RHYTHM_NS);
    let idle = nanos_between(series.last_activity, now) / rhythm;
    evidence(series) - i64::from((1 + idle).ilog2())
}

fn evidence(series: &Series) -> i64 {
    if series.score > 0.0 {
        #[expect(clippy::cast_possible_truncation, reason = "a score is in 0..=1")]
        let tenths = (10.0 * series.score) as i64;
        return 10 + tenths;
    }
    i64::from(series.count.max(1).ilog2()).min(9)
}
