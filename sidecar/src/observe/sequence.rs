//! What each exporter has sent: duplicates and gaps in its sequence numbers.
//!
//! A record of a number that was seen before is a duplicate (a retried request whose answer was lost) and
//! is dropped. Numbers that were skipped are missing until they come. Both are counted and reported.
//!
//! Numbers below the first one ever seen from an exporter are kept apart: they were sent before this
//! store knew the exporter, to somebody else or to nobody.
//!
//! Numbers that come out of order are missing for a while. How many have been missing for [`GAP_LASTS`] is told
//! by where the sequence stood that long ago: gaps open at its end only. Stands are not saved: what waited
//! elsewhere while this sidecar was away gets its time anew.
//!
//! # Limits
//! An exporter has at most [`MISSING_RANGES`] separate missing ranges. Past that the lowest range is given
//! up: it stays counted as missing, and late records out of it are taken for duplicates. At most
//! `exporter_limit` exporters are known; past that the tenth that was silent for longest is forgotten.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use beaconwatch_detector::Timestamp;
use serde::{Deserialize, Serialize};

/// Separate ranges of missing numbers that are kept per exporter.
pub(crate) const MISSING_RANGES: usize = 1024;

/// Records that are missing for so long are lost: longer than a Collector holds one request back while others
/// pass it.
pub(crate) const GAP_LASTS: Duration = Duration::from_mins(2);
/// Shortest time between two stands of a sequence: so an exporter has at most ten.
const STANDS_APART: Duration = Duration::from_secs(15);

/// What a sequence number says of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Not seen before.
    New,
    /// Seen before.
    Duplicate,
}

/// Who an exporter is, beside its numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sensor {
    /// Identity of its host.
    pub(crate) host: Option<Arc<str>>,
    pub(crate) host_name: Option<Arc<str>>,
    /// When its first record came; none in what an older version of the store had.
    pub(crate) since: Option<Timestamp>,
}

/// How far a sequence had come at some time while something was missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stand {
    at: Timestamp,
    next: u64,
}

/// One exporter's sequence.
///
/// The store has had the fields above `sensor` since its first version, encoded one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tracker {
    /// First number that was seen.
    first: u64,
    /// One more than the largest number seen.
    next: u64,
    /// Missing ranges: start to end (exclusive), not touching.
    missing: BTreeMap<u64, u64>,
    /// Numbers in ranges that were given up.
    given_up: u64,
    received: u64,
    duplicates: u64,
    last_seen: Timestamp,
    sensor: Sensor,
    /// Oldest first; the oldest one is the newest that is at least [`GAP_LASTS`] old, if there is one.
    #[serde(skip)]
    stands: VecDeque<Stand>,
}

impl Tracker {
    fn new(first: u64, now: Timestamp) -> Self {
        let missing = if first == 0 {
            BTreeMap::new()
        } else {
            BTreeMap::from([(0, first)])
        };
        Self {
            first,
            next: first,
            missing,
            given_up: 0,
            received: 0,
            duplicates: 0,
            last_seen: now,
            sensor: Sensor {
                since: Some(now),
                ..Sensor::default()
            },
            stands: VecDeque::new(),
        }
    }

    fn arrive(&mut self, sequence: u64, now: Timestamp) -> Arrival {
        self.last_seen = self.last_seen.max(now);
        self.sensor.since.get_or_insert(now);
        if sequence >= self.next {
            let skipped = sequence > self.next;
            if skipped {
                self.missing.insert(self.next, sequence);
                self.limit_ranges();
            }
            self.next = sequence.saturating_add(1);
            if skipped {
                self.stand(now);
            }
        } else if !self.fill(sequence) {
            self.duplicates += 1;
            return Arrival::Duplicate;
        }
        self.received += 1;
        Arrival::New
    }

    /// Takes a number out of the missing ranges; false when it is not in one.
    fn fill(&mut self, sequence: u64) -> bool {
        let Some((&start, &end)) = self.missing.range(..=sequence).next_back() else {
            return false;
        };
        if sequence >= end {
            return false;
        }
        self.missing.remove(&start);
        if start < sequence {
            self.missing.insert(start, sequence);
        }
        if sequence + 1 < end {
            self.missing.insert(sequence + 1, end);
        }
        self.limit_ranges();
        true
    }

    fn limit_ranges(&mut self) {
        while self.missing.len() > MISSING_RANGES {
            let Some((start, end)) = self.missing.pop_first() else {
                return;
            };
            self.given_up += end.max(self.first) - start.max(self.first);
        }
    }

    /// Numbers that should have come since the exporter is known, and have not.
    #[must_use]
    pub(crate) fn missing(&self) -> u64 {
        let open: u64 = self.gaps().map(|(start, end)| end - start).sum();
        self.given_up + open
    }

    fn stand(&mut self, now: Timestamp) {
        let last = self.stands.back();
        if last.is_none_or(|it| now.saturating_since(it.at) >= STANDS_APART) {
            let next = self.next;
            self.stands.push_back(Stand { at: now, next });
        }
    }

    /// Keeps what [`Self::lasting`] needs, and no more.
    fn look(&mut self, now: Timestamp) {
        if self.missing() == 0 {
            self.stands.clear();
            return;
        }
        self.stand(now);
        let is_old = |it: &Stand| now.saturating_since(it.at) >= GAP_LASTS;
        while self.stands.get(1).is_some_and(is_old) {
            self.stands.pop_front();
        }
    }

    /// Of the missing numbers, those that have been missing for [`GAP_LASTS`].
    #[must_use]
    pub(crate) fn lasting(&self, now: Timestamp) -> u64 {
        let stand = self.stands.front();
        let Some(stand) = stand.filter(|it| now.saturating_since(it.at) >= GAP_LASTS) else {
            return 0;
        };
        let before = self.gaps().take_while(|(start, _)| *start < stand.next);
        let open: u64 = before.map(|(start, end)| end.min(stand.next) - start).sum();
        self.given_up + open
    }

    /// Missing ranges since the exporter is known: start, end (exclusive).
    pub(crate) fn gaps(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let first = self.first;
        self.missing
            .iter()
            .map(move |(&start, &end)| (start.max(first), end.max(first)))
            .filter(|(start, end)| start < end)
    }

    /// Numbers below the first one seen that have not come.
    #[must_use]
    pub(crate) fn before_first_contact(&self) -> u64 {
        let first = self.first;
        self.missing
            .iter()
            .map(|(&start, &end)| end.min(first) - start.min(first))
            .sum()
    }

    /// Records received, duplicates not counted.
    #[must_use]
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Records that came again.
    #[must_use]
    pub(crate) fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Who it is.
    #[must_use]
    pub(crate) fn sensor(&self) -> &Sensor {
        &self.sensor
    }

    /// One more than the largest number seen.
    #[must_use]
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// When the last record came.
    #[must_use]
    pub(crate) fn last_seen(&self) -> Timestamp {
        self.last_seen
    }
}

/// The sequences of all exporters.
#[derive(Debug)]
pub(crate) struct Sequences {
    trackers: HashMap<Arc<str>, Tracker>,
    changed: BTreeSet<Arc<str>>,
    limit: usize,
    forgotten: u64,
}

impl Sequences {
    /// Knows no exporter; at most `exporter_limit` of them at a time.
    #[must_use]
    pub(crate) fn new(exporter_limit: usize) -> Self {
        Self {
            trackers: HashMap::new(),
            changed: BTreeSet::new(),
            limit: exporter_limit.max(1),
            forgotten: 0,
        }
    }

    /// Puts back a saved tracker.
    pub(crate) fn restore(&mut self, exporter: Arc<str>, tracker: Tracker) {
        self.trackers.insert(exporter, tracker);
        self.limit_exporters();
    }

    /// Takes note of one record.
    pub(crate) fn arrive(&mut self, exporter: &Arc<str>, sequence: u64, now: Timestamp) -> Arrival {
        if !self.changed.contains(exporter) {
            self.changed.insert(Arc::clone(exporter));
        }
        if let Some(tracker) = self.trackers.get_mut(exporter) {
            return tracker.arrive(sequence, now);
        }
        let mut tracker = Tracker::new(sequence, now);
        let arrival = tracker.arrive(sequence, now);
        self.trackers.insert(Arc::clone(exporter), tracker);
        self.limit_exporters();
        arrival
    }

    /// Takes note of one record of a sender that gives its records no numbers.
    pub(crate) fn arrive_next(&mut self, exporter: &Arc<str>, now: Timestamp) {
        let next = self.trackers.get(exporter).map_or(0, |it| it.next);
        self.arrive(exporter, next, now);
    }

    /// Takes note of where an exporter runs.
    pub(crate) fn describe(
        &mut self,
        exporter: &Arc<str>,
        host: &Arc<str>,
        host_name: Option<&Arc<str>>,
    ) {
        let Some(tracker) = self.trackers.get_mut(exporter) else {
            return;
        };
        let sensor = &mut tracker.sensor;
        if !host.is_empty() && sensor.host.as_ref() != Some(host) {
            sensor.host = Some(Arc::clone(host));
        }
        if let Some(name) = host_name.filter(|name| sensor.host_name.as_ref() != Some(name)) {
            sensor.host_name = Some(Arc::clone(name));
        }
    }

    /// Looks at the gaps of all exporters: after that [`Tracker::lasting`] says which of them last.
    pub(crate) fn look(&mut self, now: Timestamp) {
        for tracker in self.trackers.values_mut() {
            tracker.look(now);
        }
    }

    /// Forgets the exporters that were silent for longest: a tenth more than needed, so that the search
    /// for them is worth its cost when every record names a new exporter.
    fn limit_exporters(&mut self) {
        let excess = self.trackers.len().saturating_sub(self.limit);
        if excess == 0 {
            return;
        }
        let mut silent: Vec<_> = self
            .trackers
            .iter()
            .map(|(id, it)| (it.last_seen, Arc::clone(id)))
            .collect();
        silent.sort_unstable();
        for (_, id) in silent.into_iter().take(excess + self.limit / 10) {
            self.trackers.remove(&id);
            self.changed.insert(id);
            self.forgotten += 1;
        }
    }

    /// Exporters changed since the last call; no tracker means forgotten.
    pub(crate) fn take_changes(&mut self) -> Vec<(Arc<str>, Option<&Tracker>)> {
        std::mem::take(&mut self.changed)
            .into_iter()
            .map(|id| {
                let tracker = self.trackers.get(&id);
                (id, tracker)
            })
            .collect()
    }

    /// All exporters, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Tracker)> {
        self.trackers.iter()
    }

    /// Number of exporters that were forgotten because there were too many.
    #[must_use]
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests;
