//! All series: found by key in constant time, bounded in number, with marks for what changed.
//!
//! Contract: iteration is in the order of slots, which depends only on the calls made and never on hashes.
//! Hashes are keyed at random (SipHash-1-3), so that nobody outside can choose addresses and names that
//! collide; that key is the only randomness here and no result depends on it.
//!
//! When full, each new series displaces one: see [`eviction`].

mod chains;
mod eviction;

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use crate::series::Series;
use crate::{SeriesKey, Timestamp};
use chains::{Chains, Shared};
use eviction::Victims;

/// Strings of keys that are shared between series; more only cost memory.
const MAX_SHARED_STRINGS: usize = 4096;

/// Place of a series; it keeps it for as long as it is kept.
pub(crate) type Slot = u32;

#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one mark for each list that a slot may stand in"
)]
struct Place {
    series: Option<Box<Series>>,
    /// Whether this slot is in [`SeriesTable::to_analyse`].
    to_analyse: bool,
    /// Whether this slot is in [`SeriesTable::to_store`].
    to_store: bool,
    /// Whether this slot is in [`SeriesTable::to_show`].
    to_show: bool,
    /// Whether somebody was told of the series in this slot.
    shown: bool,
    /// Whether the series in this slot was explained by a view when it was last analysed.
    in_view: bool,
}

/// Hash of the key in a slot.
fn hash_of(places: &[Place], hasher: &RandomState, slot: Slot) -> u64 {
    let place = places.get(slot as usize);
    let series = place.and_then(|place| place.series.as_deref());
    series.map_or(0, |series| hasher.hash_one(&series.key))
}

/// All series.
#[derive(Debug)]
pub(crate) struct SeriesTable {
    places: Vec<Place>,
    free: Vec<Slot>,
    index: HashTable<Slot>,
    sources: Chains,
    servers: Chains,
    hasher: RandomState,
    max_series: usize,
    to_analyse: Vec<Slot>,
    to_store: Vec<Slot>,
    /// Keys that a store knows and that are gone.
    removed: BTreeSet<SeriesKey>,
    to_show: Vec<Slot>,
    /// Keys that somebody was told of and that are gone.
    hidden: BTreeSet<SeriesKey>,
    victims: Victims,
    shared: BTreeSet<Arc<str>>,
    latest: Timestamp,
    evicted: u64,
    /// Series with times enough to be tested.
    testable: u64,
}

impl SeriesTable {
    pub(crate) fn new(max_series: usize) -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            sources: Chains::new(Shared::Source),
            servers: Chains::new(Shared::Server),
            hasher: RandomState::new(),
            // Slots are u32, and the settings allow far less.
            max_series: max_series.clamp(1, Slot::MAX as usize),
            to_analyse: Vec::new(),
            to_store: Vec::new(),
            removed: BTreeSet::new(),
            to_show: Vec::new(),
            hidden: BTreeSet::new(),
            victims: Victims::default(),
            shared: BTreeSet::new(),
            latest: Timestamp::from_unix_nanos(i64::MIN),
            evicted: 0,
            testable: 0,
        }
    }

    /// Makes room for so many series, up to the limit, in one step instead of by doubling.
    pub(crate) fn reserve(&mut self, series: usize) {
        let more = series.min(self.max_series).saturating_sub(self.len());
        self.places.reserve(more);
        let (places, hasher) = (&self.places, &self.hasher);
        self.index
            .reserve(more, |slot| hash_of(places, hasher, *slot));
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Number of series with times enough to be tested.
    pub(crate) fn testable(&self) -> u64 {
        self.testable
    }

    /// Counts a series that has just got times enough to be tested.
    pub(crate) fn note_testable(&mut self) {
        self.testable += 1;
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(crate) fn find(&self, key: &SeriesKey) -> Option<Slot> {
        let is_key = |slot: &Slot| self.get(*slot).is_some_and(|series| series.key == *key);
        self.index.find(self.hasher.hash_one(key), is_key).copied()
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Series> {
        self.places.get(slot as usize)?.series.as_deref()
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Series> {
        self.places.get_mut(slot as usize)?.series.as_deref_mut()
    }

    /// Every series in the order of slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Series> {
        self.places
            .iter()
            .filter_map(|place| place.series.as_deref())
    }

    /// The series of a key, made when it is not there; an older one goes when the table is full.
    pub(crate) fn find_or_insert(&mut self, key: &SeriesKey) -> Slot {
        match self.find(key) {
            Some(slot) => slot,
            None => self.insert(Series::new(key.clone())),
        }
    }

    /// Adds a series whose key is not there; an older one goes when the table is full.
    pub(crate) fn insert(&mut self, mut series: Series) -> Slot {
        if self.index.len() >= self.max_series {
            self.evict_one();
        }
        self.testable += u64::from(series.is_testable());
        series.key.host = self.share(&series.key.host);
        series.key.namespace = self.share(&series.key.namespace);
        let hash = self.hasher.hash_one(&series.key);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            // `max_series` is at most Slot::MAX.
            Slot::try_from(self.places.len() - 1).unwrap_or(Slot::MAX)
        });
        if let Some(place) = self.places.get_mut(slot as usize) {
            place.series = Some(Box::new(series));
        }
        let (places, hasher) = (&self.places, &self.hasher);
        self.index
            .insert_unique(hash, slot, |slot| hash_of(places, hasher, *slot));
        self.sources.insert(slot, places, hasher);
        self.servers.insert(slot, places, hasher);
        slot
    }

    /// Number of different sources.
    pub(crate) fn sources(&self) -> u64 {
        u64::try_from(self.sources.len()).unwrap_or(u64::MAX)
    }

    /// The slot that stands for the source of a series: the same for all its series until one comes or goes.
    pub(crate) fn source_of(&self, slot: Slot) -> Option<Slot> {
        let series = self.get(slot)?;
        self.sources.head(series, &self.places, &self.hasher)
    }

    /// What [`Self::source_of`] gives, for every source, ascending.
    pub(crate) fn all_sources(&self) -> Vec<Slot> {
        let mut heads: Vec<Slot> = self.sources.heads().collect();
        heads.sort_unstable();
        heads
    }

    /// At most `most` series of a source, those that came last, in the order of their keys.
    pub(crate) fn of_source(&self, head: Slot, most: usize) -> Vec<(Slot, &Series)> {
        self.listed(self.sources.from(head).take(most))
    }

    /// At most `most` series to the same server as that of a slot, those that came last, in the order of
    /// their keys.
    pub(crate) fn of_server(&self, slot: Slot, most: usize) -> Vec<(Slot, &Series)> {
        let head = self
            .get(slot)
            .and_then(|series| self.servers.head(series, &self.places, &self.hasher));
        head.map_or_else(Vec::new, |head| {
            self.listed(self.servers.from(head).take(most))
        })
    }

    fn listed(&self, slots: impl Iterator<Item = Slot>) -> Vec<(Slot, &Series)> {
        let mut listed: Vec<_> = slots
            .filter_map(|slot| Some((slot, self.get(slot)?)))
            .collect();
        listed.sort_unstable_by(|(_, a), (_, b)| a.key.cmp(&b.key));
        listed
    }

    /// Keeps the score of a series; says whether it was another before.
    pub(crate) fn set_score(&mut self, slot: Slot, score: f64) -> bool {
        self.get_mut(slot).is_some_and(|series| {
            let before = std::mem::replace(&mut series.score, score);
            before.total_cmp(&score).is_ne()
        })
    }

    /// Keeps in mind whether a view explains the series of a slot; says whether one did before.
    pub(crate) fn set_in_view(&mut self, slot: Slot, in_view: bool) -> bool {
        self.places
            .get_mut(slot as usize)
            .is_some_and(|place| std::mem::replace(&mut place.in_view, in_view))
    }

    /// Whether a view explained the series of a slot when it was last analysed.
    pub(crate) fn is_in_view(&self, slot: Slot) -> bool {
        self.places
            .get(slot as usize)
            .is_some_and(|place| place.in_view)
    }

    pub(crate) fn mark_to_analyse(&mut self, slot: Slot) {
        if let Some(place) = self.places.get_mut(slot as usize)
            && !std::mem::replace(&mut place.to_analyse, true)
        {
            self.to_analyse.push(slot);
        }
    }

    /// Marks every series, in the order of slots; what was found by other settings is forgotten.
    pub(crate) fn mark_all_to_analyse(&mut self) {
        let slots = (0..).zip(&self.places);
        let kept: Vec<Slot> = slots
            .filter_map(|(slot, place)| place.series.as_ref().map(|_| slot))
            .collect();
        for slot in kept {
            if let Some(series) = self.get_mut(slot) {
                series.weight = None;
            }
            self.mark_to_analyse(slot);
        }
    }

    pub(crate) fn mark_to_store(&mut self, slot: Slot) {
        if let Some(place) = self.places.get_mut(slot as usize)
            && !std::mem::replace(&mut place.to_store, true)
        {
            self.to_store.push(slot);
        }
    }

    pub(crate) fn mark_to_show(&mut self, slot: Slot) {
        if let Some(place) = self.places.get_mut(slot as usize)
            && !std::mem::replace(&mut place.to_show, true)
        {
            self.to_show.push(slot);
        }
    }

    /// The series that changed since the last call; a slot may have lost its series.
    pub(crate) fn take_to_show(&mut self) -> Vec<Slot> {
        let slots = std::mem::take(&mut self.to_show);
        for slot in &slots {
            if let Some(place) = self.places.get_mut(*slot as usize) {
                place.to_show = false;
                place.shown = place.series.is_some();
            }
        }
        slots
    }

    /// Keys that somebody was told of and that are gone.
    pub(crate) fn take_hidden(&mut self) -> Vec<SeriesKey> {
        let hidden = std::mem::take(&mut self.hidden);
        let gone = hidden.into_iter().filter(|key| self.find(key).is_none());
        gone.collect()
    }

    /// Takes note of the latest time, from which age is counted.
    pub(crate) fn note_latest(&mut self, at: Timestamp) {
        self.latest = self.latest.max(at);
    }

    pub(crate) fn is_to_analyse(&self, slot: Slot) -> bool {
        self.places
            .get(slot as usize)
            .is_some_and(|place| place.to_analyse)
    }

    /// The series to analyse, in the order in which they changed; a slot may have lost its series.
    pub(crate) fn take_to_analyse(&mut self) -> Vec<Slot> {
        let slots = std::mem::take(&mut self.to_analyse);
        for slot in &slots {
            if let Some(place) = self.places.get_mut(*slot as usize) {
                place.to_analyse = false;
            }
        }
        slots
    }

    /// The series to store, in the order in which they changed; a slot may have lost its series.
    pub(crate) fn take_to_store(&mut self) -> Vec<Slot> {
        let slots = std::mem::take(&mut self.to_store);
        for slot in &slots {
            if let Some(place) = self.places.get_mut(*slot as usize) {
                place.to_store = false;
                if let Some(series) = &mut place.series {
                    series.stored = true;
                }
            }
        }
        slots
    }

    /// Keys that a store knows and that are gone for good.
    pub(crate) fn take_removed(&mut self) -> Vec<SeriesKey> {
        let removed = std::mem::take(&mut self.removed);
        removed
            .into_iter()
            .filter(|key| self.find(key).is_none())
            .collect()
    }

    fn evict_one(&mut self) {
        let Some(slot) = self.victims.next(&self.places, self.latest) else {
            return;
        };
        self.sources.remove(slot, &self.places, &self.hasher);
        self.servers.remove(slot, &self.places, &self.hasher);
        let Some(place) = self.places.get_mut(slot as usize) else {
            return;
        };
        place.in_view = false;
        let shown = std::mem::take(&mut place.shown);
        let Some(series) = place.series.take() else {
            return;
        };
        let hash = self.hasher.hash_one(&series.key);
        if let Ok(entry) = self.index.find_entry(hash, |found| *found == slot) {
            entry.remove();
        }
        self.free.push(slot);
        self.evicted += 1;
        self.testable -= u64::from(series.is_testable());
        if shown {
            self.hidden.insert(series.key.clone());
        }
        if series.stored {
            self.removed.insert(series.key);
        }
    }

    /// One copy of a string for all keys.
    fn share(&mut self, text: &Arc<str>) -> Arc<str> {
        if let Some(shared) = self.shared.get(text) {
            return Arc::clone(shared);
        }
        if self.shared.len() >= MAX_SHARED_STRINGS {
            self.shared.clear();
        }
        self.shared.insert(Arc::clone(text));
        Arc::clone(text)
    }
}
