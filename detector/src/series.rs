//! What is kept of one series.
//!
//! Contract: the state depends on *which* observations came, never on their order. Kept are the newest
//! connection starts (as a sorted multiset), the count of all, the first of all, sums of final sizes, and
//! of each name the one with the latest time (of equal times the greater name). Sizes are summed when a
//! connection ends ([`Phase::Closed`], [`Phase::Whole`]); totals of live connections
//! ([`Phase::Active`]) only say that the series lives. Of activity inside live connections
//! ([`Phase::Activity`]) the newest times are kept, like starts. The hours with a start or activity are kept
//! as a set of the newest 16 days. Of sizes and endings, sums are kept ([`Sizes`], [`Endings`]).
//!
//! With [`Keep::beats`] a burst does not wipe the history: once there were more starts than are kept, of those in
//! the same two seconds of the clock only the first and the last are kept, beside the newest [`RECENT_PORTS`] starts
//! of all. Between two such starts there is never a silence that parts two beats, so that no beat is lost or moved.
//!
//! Memory: [`SERIES_BYTES`] and 8 to 16 bytes for each kept time (they grow by doubling up to the setting
//! `max_starts_per_series`); the strings are the caller's shared ones, and owners the detector's ([`crate::owners`]).

mod sizes;

use std::collections::VecDeque;
use std::sync::Arc;

pub(crate) use sizes::{Endings, Sizes};

use crate::evidence::{ActiveHours, PARTING_SILENCE_NS};
use crate::owners::{Owners, bounded};
use crate::views::Weight;
use crate::{Observation, Owner, Phase, Process, SeriesKey, Timestamp};

/// Source ports kept of the newest connections.
pub(crate) const RECENT_PORTS: usize = 8;
/// Longest name that is kept; a longer one is left out.
pub(crate) const MAX_NAME_BYTES: usize = 4096;

/// Most bytes of a series without its kept starts.
pub(crate) const SERIES_BYTES: usize = 440;
const _: () = assert!(
    size_of::<Series>() <= SERIES_BYTES,
    "a series grew: measure and document it"
);

/// The latest value of something, by the time at which it was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Latest<T> {
    pub(crate) at: Timestamp,
    pub(crate) value: Option<T>,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self {
            at: Timestamp::from_unix_nanos(i64::MIN),
            value: None,
        }
    }
}

impl<T: Clone + Ord> Latest<T> {
    /// Takes a value; says whether the kept one is another now.
    fn update(&mut self, at: Timestamp, value: Option<&T>) -> bool {
        let Some(value) = value else { return false };
        match &self.value {
            Some(kept) if at < self.at || (at == self.at && value <= kept) => false,
            Some(kept) if kept == value => {
                self.at = at;
                false
            }
            _ => {
                *self = Self {
                    at,
                    value: Some(value.clone()),
                };
                true
            }
        }
    }
}

/// A process, and who runs it as the record that named the process says: another record's owner may be another
/// process's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Actor {
    pub(crate) process: Arc<Process>,
    pub(crate) owner: Option<Arc<Owner>>,
}

/// What few series have: a pointer as long as it is not there.
#[derive(Clone, Debug)]
pub(crate) struct Rare<T>(Option<Box<T>>);

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Rare<T> {
    pub(crate) fn of(value: T) -> Self {
        Self(Some(Box::new(value)))
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_deref()
    }
}

impl<T: Default> Rare<T> {
    fn get_or_make(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

/// Which starts are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keep {
    /// How many.
    pub(crate) most: usize,
    /// Rather beats than what lies within bursts.
    pub(crate) beats: bool,
}

/// What an observation did to its series.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Effect {
    /// An assessment would differ.
    pub(crate) changed: bool,
    /// A connection start was older than the newest.
    pub(crate) out_of_order: bool,
    /// The process or its owner is another now: the owner is not a shared one yet.
    pub(crate) new_actor: bool,
}

/// State of one series.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) key: SeriesKey,
    /// Newest connection starts, ascending.
    pub(crate) starts: VecDeque<Timestamp>,
    /// Newest times of activity inside connections, ascending.
    pub(crate) activity: Rare<VecDeque<Timestamp>>,
    /// Hours with a start or activity.
    pub(crate) hours: ActiveHours,
    /// Source ports of the newest starts, newest first, as many as there are starts; 0 when unknown.
    pub(crate) ports: [u16; RECENT_PORTS],
    /// Connections ever started.
    pub(crate) count: u64,
    pub(crate) first_seen: Timestamp,
    /// Latest observation of any phase.
    pub(crate) last_activity: Timestamp,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
    /// Sizes of connections from source to destination.
    pub(crate) sizes_out: Sizes,
    /// Sizes of connections from destination to source.
    pub(crate) sizes_in: Sizes,
    pub(crate) endings: Endings,
    /// Longest connection that has ended, in nanoseconds.
    pub(crate) longest_ns: u64,
    pub(crate) host_name: Latest<Arc<str>>,
    pub(crate) server_name: Latest<Arc<str>>,
    pub(crate) actor: Latest<Actor>,
    /// In a box, because few series have one.
    pub(crate) client_fingerprint: Option<Box<Latest<Arc<str>>>>,
    /// Score of the last analysis.
    pub(crate) score: f64,
    /// What its times said by themselves at the last analysis; `None` when they changed since, or were never
    /// weighed.
    pub(crate) weight: Option<Weight>,
    /// Whether a store has heard of this series.
    pub(crate) stored: bool,
}

impl Series {
    pub(crate) fn new(key: SeriesKey) -> Self {
        Self {
            key,
            starts: VecDeque::new(),
            activity: Rare::default(),
            hours: ActiveHours::default(),
            ports: [0; RECENT_PORTS],
            count: 0,
            first_seen: Timestamp::from_unix_nanos(i64::MAX),
            last_activity: Timestamp::from_unix_nanos(i64::MIN),
            bytes_out: 0,
            bytes_in: 0,
            sizes_out: Sizes::default(),
            sizes_in: Sizes::default(),
            endings: Endings::default(),
            longest_ns: 0,
            host_name: Latest::default(),
            server_name: Latest::default(),
            actor: Latest::default(),
            client_fingerprint: None,
            score: 0.0,
            weight: None,
            stored: false,
        }
    }

    /// Takes one observation.
    pub(crate) fn observe(&mut self, observation: &Observation, keep: Keep) -> Effect {
        let time = observation.time;
        self.last_activity = self.last_activity.max(time);
        let new_actor = self.describe_actor(observation);
        let mut effect = Effect {
            changed: self.describe(observation) | new_actor,
            out_of_order: false,
            new_actor,
        };
        if matches!(observation.phase, Phase::Opened | Phase::Whole) {
            effect.out_of_order = self.start(time, observation.source_port, keep);
            self.hours.insert(time);
            effect.changed = true;
        }
        if observation.phase == Phase::Activity {
            keep_newest(self.activity.get_or_make(), time, keep.most);
            self.hours.insert(time);
            effect.changed = true;
        }
        if matches!(observation.phase, Phase::Closed | Phase::Whole) {
            self.end(observation);
            effect.changed = true;
        }
        if effect.changed {
            self.weight = None;
        }
        effect
    }

    /// Takes what is known of a connection that is over.
    fn end(&mut self, observation: &Observation) {
        if let Some(bytes) = observation.bytes_out {
            self.bytes_out = self.bytes_out.saturating_add(bytes);
            self.sizes_out.add(bytes);
        }
        if let Some(bytes) = observation.bytes_in {
            self.bytes_in = self.bytes_in.saturating_add(bytes);
            self.sizes_in.add(bytes);
        }
        if let Some(established) = observation.established {
            self.endings.add(established);
        }
        let duration = observation.duration.unwrap_or_default().as_nanos();
        self.longest_ns = self
            .longest_ns
            .max(u64::try_from(duration).unwrap_or(u64::MAX));
    }

    /// Takes the names; says whether one of them changed.
    fn describe(&mut self, observation: &Observation) -> bool {
        let fits = |name: &&Arc<str>| name.len() <= MAX_NAME_BYTES;
        let time = observation.time;
        let host = self
            .host_name
            .update(time, observation.host_name.as_ref().filter(fits));
        let server = self
            .server_name
            .update(time, observation.server_name.as_ref().filter(fits));
        let fingerprint = observation.client_fingerprint.as_ref().filter(fits);
        let fingerprint = fingerprint.is_some()
            && self
                .client_fingerprint
                .get_or_insert_default()
                .update(time, fingerprint);
        host | server | fingerprint
    }

    /// Takes the process and its owner; says whether one of them changed.
    fn describe_actor(&mut self, observation: &Observation) -> bool {
        let fits =
            |name: &Option<Arc<str>>| name.as_ref().is_none_or(|it| it.len() <= MAX_NAME_BYTES);
        let Some(process) = &observation.process else {
            return false;
        };
        if !fits(&process.name) || !fits(&process.executable) {
            return false;
        }
        let actor = Actor {
            process: Arc::clone(process),
            owner: observation.owner.as_ref().map(bounded),
        };
        self.actor.update(observation.time, Some(&actor))
    }

    /// Takes a connection start; says whether it was older than the newest.
    fn start(&mut self, time: Timestamp, port: u16, keep: Keep) -> bool {
        self.count = self.count.saturating_add(1);
        self.first_seen = self.first_seen.min(time);
        let after = self.starts.back().is_none_or(|last| *last <= time);
        self.keep_port(time, port);
        let most = u64::try_from(keep.most).unwrap_or(u64::MAX);
        if keep.beats && self.count > most {
            self.keep_beats(time, keep.most);
        } else {
            keep_newest(&mut self.starts, time, keep.most);
        }
        !after
    }

    /// Keeps a start where more came than are kept: those within a burst go first.
    fn keep_beats(&mut self, time: Timestamp, most: usize) {
        let starts = &mut self.starts;
        // The first that is too many: until now all were kept.
        let is_first =
            usize::try_from(self.count).is_ok_and(|count| count == most.saturating_add(1));
        let is_older = starts.front().is_some_and(|oldest| time <= *oldest);
        if !is_first && starts.len() >= most && is_older {
            return;
        }
        if starts.len() == starts.capacity() {
            starts.reserve_exact(1);
        }
        let place = starts.partition_point(|kept| *kept <= time);
        starts.insert(place, time);
        if is_first {
            for place in (1..starts.len()).rev() {
                drop_within_burst(starts, place);
            }
        } else if place + RECENT_PORTS >= starts.len() {
            // One start is no longer among the newest.
            if let Some(place) = starts.len().checked_sub(RECENT_PORTS + 1) {
                drop_within_burst(starts, place);
            }
        } else {
            let near = [Some(place + 1), Some(place), place.checked_sub(1)];
            for place in near.into_iter().flatten() {
                drop_within_burst(starts, place);
            }
        }
        let excess = starts.len().saturating_sub(most);
        starts.drain(..excess);
    }

    /// Keeps the ports of the newest starts, the greater port first where times are equal, so that the
    /// order of arrival does not matter. Called before the start itself is kept.
    fn keep_port(&mut self, time: Timestamp, port: u16) {
        let newer = self
            .starts
            .iter()
            .rev()
            .zip(self.ports)
            .take_while(|(start, kept)| (**start, *kept) >= (time, port))
            .count();
        if let Some(from @ [_, ..]) = self.ports.get_mut(newer..) {
            from.rotate_right(1);
            if let [place, ..] = from {
                *place = port;
            }
        }
    }

    /// Known source ports of the newest connections, newest first.
    pub(crate) fn recent_ports(&self) -> Vec<u16> {
        self.ports
            .iter()
            .take(self.starts.len())
            .copied()
            .filter(|port| *port != 0)
            .collect()
    }

    /// Last known process.
    pub(crate) fn process(&self) -> Option<&Arc<Process>> {
        Some(&self.actor.value.as_ref()?.process)
    }

    /// Who runs that process.
    pub(crate) fn owner(&self) -> Option<&Arc<Owner>> {
        self.actor.value.as_ref()?.owner.as_ref()
    }

    /// Keeps its owner as a shared value.
    pub(crate) fn share_owner(&mut self, owners: &mut Owners) {
        let owner = self.actor.value.as_mut().and_then(|it| it.owner.as_mut());
        if let Some(owner) = owner {
            *owner = owners.share(owner);
        }
    }

    /// Latest fingerprint of the client's TLS; `None` when none was seen.
    pub(crate) fn last_fingerprint(&self) -> Option<&Arc<str>> {
        self.client_fingerprint.as_ref()?.value.as_ref()
    }

    /// Latest connection start or activity; `None` before the first.
    pub(crate) fn last_seen(&self) -> Option<Timestamp> {
        let activity = self.activity.get().and_then(VecDeque::back);
        self.starts.back().max(activity).copied()
    }

    /// Whether there are times enough to be tested for a cadence.
    pub(crate) fn is_testable(&self) -> bool {
        let activity = self.activity.get().map_or(0, VecDeque::len);
        self.starts.len().max(activity) > crate::evidence::FEWEST_GAPS
    }
}

/// Drops a start that has one before and one behind it in the same two seconds of the clock, unless it is among
/// the newest.
fn drop_within_burst(starts: &mut VecDeque<Timestamp>, place: usize) {
    let slice = |at: usize| {
        let start = starts.get(at)?;
        Some(i128::from(start.unix_nanos()).div_euclid(i128::from(PARTING_SILENCE_NS)))
    };
    let is_newest = place + RECENT_PORTS >= starts.len();
    let here = slice(place);
    let before = place.checked_sub(1).and_then(slice);
    if !is_newest && here.is_some() && before == here && slice(place + 1) == here {
        starts.remove(place);
    }
}

/// Puts a time in its place; of more than `most` the oldest goes.
fn keep_newest(times: &mut VecDeque<Timestamp>, time: Timestamp, most: usize) {
    if times.len() >= most {
        if times.front().is_some_and(|oldest| time <= *oldest) {
            return;
        }
        times.pop_front();
    } else if times.len() == times.capacity() {
        // Grows by doubling, but not past what can ever be kept.
        let wanted = (2 * times.len()).clamp(2, most.max(1));
        times.reserve_exact(wanted.saturating_sub(times.len()).max(1));
    }
    if times.back().is_none_or(|last| *last <= time) {
        times.push_back(time);
    } else {
        let place = times.partition_point(|kept| *kept <= time);
        times.insert(place, time);
    }
}
