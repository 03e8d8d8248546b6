//! What each exporter has sent: duplicates and gaps in its sequence numbers.
//!
//! A record of a number that was seen before is a duplicate (a retried request whose answer was lost) and
//! is dropped. Numbers that were skipped are missing until they come. Both are counted and reported.
//!
//! Numbers below the first one ever seen from an exporter are kept apart: they were sent before this
//! store knew the exporter, to somebody else or to nobody.
//!
//! # Limits
//! An exporter has at most [`MISSING_RANGES`] separate missing ranges. Past that the lowest range is given
//! up: it stays counted as missing, and late records out of it are taken for duplicates. At most
//! `exporter_limit` exporters are known; past that the tenth that was silent for longest is forgotten.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use beaconwatch_detector::Timestamp;
use serde::{Deserialize, Serialize};

/// Separate ranges of missing numbers that are kept per exporter.
pub(crate) const MISSING_RANGES: usize = 1024;

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
    /// Records that were missing at the look before.
    pub(crate) missing_before: u64,
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
        }
    }

    fn arrive(&mut self, sequence: u64, now: Timestamp) -> Arrival {
        self.last_seen = self.last_seen.max(now);
        self.sensor.since.get_or_insert(now);
        if sequence >= self.next {
            if sequence > self.next {
                self.missing.insert(self.next, sequence);
                self.limit_ranges();
            }
            self.next = sequence.saturating_add(1);
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
    /// When it was last noted what is missing.
    noted: Option<Timestamp>,
}

impl Sequences {
    /// Knows no exporter; at most `exporter_limit` of them at a time.
    #[must_use]
    pub(crate) fn new(exporter_limit: usize) -> Self {
        Self {
            noted: None,
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

    /// Time since [`Self::note_missing`]; none before the first time since the start.
    pub(crate) fn since_missing_noted(&self, now: Timestamp) -> Option<std::time::Duration> {
        self.noted.map(|noted| now.saturating_since(noted))
    }

    /// Keeps in mind how many records are missing now, for the next look.
    pub(crate) fn note_missing(&mut self, now: Timestamp) {
        self.noted = Some(now);
        for (id, tracker) in &mut self.trackers {
            let missing = tracker.missing();
            if missing != tracker.sensor.missing_before {
                tracker.sensor.missing_before = missing;
                self.changed.insert(Arc::clone(id));
            }
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
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_nanos(1);

    fn tracker(sequences: &[u64]) -> Tracker {
        let mut tracker = Tracker::new(sequences[0], NOW);
        for &sequence in sequences {
            tracker.arrive(sequence, NOW);
        }
        tracker
    }

    #[test]
    fn a_sequence_without_gaps_misses_nothing() {
        let tracker = tracker(&[0, 1, 2, 3]);
        assert_eq!(
            (tracker.missing(), tracker.duplicates(), tracker.received()),
            (0, 0, 4)
        );
    }

    #[test]
    fn a_skipped_range_is_missing_until_it_comes() {
        let mut tracker = tracker(&[0, 5]);
        assert_eq!(tracker.gaps().collect::<Vec<_>>(), [(1, 5)]);
        assert_eq!(tracker.arrive(3, NOW), Arrival::New);
        assert_eq!(tracker.gaps().collect::<Vec<_>>(), [(1, 3), (4, 5)]);
        assert_eq!(tracker.arrive(3, NOW), Arrival::Duplicate);
        assert_eq!((tracker.missing(), tracker.duplicates()), (3, 1));
    }

    #[test]
    fn numbers_before_the_first_contact_are_no_gap_and_no_duplicates() {
        let mut tracker = tracker(&[1000]);
        assert_eq!(
            (tracker.missing(), tracker.before_first_contact()),
            (0, 1000)
        );
        assert_eq!(tracker.arrive(999, NOW), Arrival::New);
        assert_eq!(tracker.arrive(999, NOW), Arrival::Duplicate);
        assert_eq!(
            (tracker.missing(), tracker.before_first_contact()),
            (0, 999)
        );
    }

    #[test]
    fn too_many_ranges_are_given_up_but_stay_counted() {
        let numbers: Vec<u64> = (0..=2 * MISSING_RANGES as u64 + 20).step_by(2).collect();
        let tracker = tracker(&numbers);
        assert_eq!(tracker.missing(), MISSING_RANGES as u64 + 10);
        assert_eq!(tracker.gaps().count(), MISSING_RANGES);
    }

    #[test]
    fn the_exporter_silent_for_longest_is_forgotten_first() {
        let mut sequences = Sequences::new(2);
        for (name, at) in [("a", 2), ("b", 1), ("c", 3)] {
            sequences.arrive(&Arc::from(name), 0, Timestamp::from_unix_nanos(at));
        }
        let mut known: Vec<_> = sequences.iter().map(|(id, _)| id.to_string()).collect();
        known.sort();
        assert_eq!(known, ["a", "c"]);
        assert_eq!(sequences.forgotten(), 1);
        let forgotten = sequences
            .take_changes()
            .into_iter()
            .find(|(id, _)| &**id == "b");
        assert!(forgotten.is_some_and(|(_, tracker)| tracker.is_none()));
    }

    proptest! {
        #[test]
        fn every_number_is_new_exactly_once_in_any_order(
            numbers in prop::collection::vec(0_u64..200, 1..300)
        ) {
            let mut tracker = Tracker::new(numbers[0], NOW);
            let mut seen = BTreeSet::new();
            for &number in &numbers {
                let expected = if seen.insert(number) { Arrival::New } else { Arrival::Duplicate };
                prop_assert_eq!(tracker.arrive(number, NOW), expected);
            }
            let largest = numbers.iter().max().copied().unwrap_or(0);
            let absent = (largest + 1) - seen.len() as u64;
            prop_assert_eq!(tracker.missing() + tracker.before_first_contact(), absent);
        }
    }
}
