//! The latest assessment of every scored series, for those who ask: bounded, the best scores stay.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use beaconwatch_detector::{Assessment, SeriesKey};

/// Order of scores: as bits, because scores lie in 0..=1, where bits of doubles order as the doubles do.
fn rank(score: f64) -> u64 {
    score.clamp(0.0, 1.0).to_bits()
}

/// The latest assessments. Series that a gate of the method keeps from being scored are not on it.
#[derive(Debug)]
pub(crate) struct Board {
    assessments: BTreeMap<SeriesKey, Arc<Assessment>>,
    by_score: BTreeSet<(u64, SeriesKey)>,
    limit: usize,
}

impl Board {
    /// An empty board for at most `limit` series.
    #[must_use]
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            assessments: BTreeMap::new(),
            by_score: BTreeSet::new(),
            limit: limit.max(1),
        }
    }

    /// Takes the newest assessment of a series.
    pub(crate) fn put(&mut self, assessment: Arc<Assessment>) {
        self.remove(&assessment.key);
        if assessment.gate.is_some() {
            return;
        }
        self.by_score
            .insert((rank(assessment.score), assessment.key.clone()));
        self.assessments.insert(assessment.key.clone(), assessment);
        while self.assessments.len() > self.limit {
            let Some((_, worst)) = self.by_score.pop_first() else {
                return;
            };
            self.assessments.remove(&worst);
        }
    }

    /// Takes a series off.
    pub(crate) fn remove(&mut self, key: &SeriesKey) {
        if let Some(old) = self.assessments.remove(key) {
            self.by_score.remove(&(rank(old.score), old.key.clone()));
        }
    }

    /// Assessments of at least `min_score`, best first.
    pub(crate) fn best(&self, min_score: f64) -> impl Iterator<Item = &Arc<Assessment>> {
        self.by_score
            .iter()
            .rev()
            .filter_map(|(_, key)| self.assessments.get(key))
            .take_while(move |assessment| assessment.score >= min_score)
    }
}
