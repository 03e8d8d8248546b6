//! The latest assessment of every scored series, for those who ask: bounded, the best scores stay.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use beaconwatch_detector::{Assessment, SeriesKey, Timestamp};

use super::SeriesId;

/// A score as a number that orders as scores do: its bits, because scores lie in 0..=1, where bits of doubles order
/// as the doubles do.
fn rank(score: f64) -> u64 {
    score.clamp(0.0, 1.0).to_bits()
}

/// Where a series stands on the board: by score, then by name.
pub(crate) type Standing = (u64, SeriesId);

/// A scored series and when it was scored.
#[derive(Clone, Debug)]
pub(crate) struct Scored {
    pub(crate) assessment: Arc<Assessment>,
    pub(crate) at: Timestamp,
}

/// The latest assessments. Series that a gate of the method keeps from being scored are not on it.
#[derive(Debug)]
pub(crate) struct Board {
    /// Where each series stands.
    ranks: HashMap<SeriesId, u64>,
    /// A list walks through all of it to count: the entries lie beside their places.
    by_score: BTreeMap<Standing, Scored>,
    limit: usize,
}

impl Board {
    /// An empty board for at most `limit` series.
    #[must_use]
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            ranks: HashMap::new(),
            by_score: BTreeMap::new(),
            limit: limit.max(1),
        }
    }

    /// Takes the newest assessment of a series, made at this instant.
    pub(crate) fn put(&mut self, assessment: Arc<Assessment>, at: Timestamp) {
        let id = SeriesId::of(&assessment.key);
        self.take_off(id);
        if assessment.gate.is_some() {
            return;
        }
        let rank = rank(assessment.score);
        self.ranks.insert(id, rank);
        self.by_score.insert((rank, id), Scored { assessment, at });
        while self.ranks.len() > self.limit {
            let Some(((_, worst), _)) = self.by_score.pop_first() else {
                return;
            };
            self.ranks.remove(&worst);
        }
    }

    /// Takes a series off.
    pub(crate) fn remove(&mut self, key: &SeriesKey) {
        self.take_off(SeriesId::of(key));
    }

    fn take_off(&mut self, id: SeriesId) {
        if let Some(rank) = self.ranks.remove(&id) {
            self.by_score.remove(&(rank, id));
        }
    }

    /// Assessments of at least `min_score` and where they stand, best first.
    pub(crate) fn best(&self, min_score: f64) -> impl Iterator<Item = (Standing, &Scored)> {
        self.by_score
            .range((rank(min_score), SeriesId(0))..)
            .rev()
            .map(|(standing, scored)| (*standing, scored))
    }
}
