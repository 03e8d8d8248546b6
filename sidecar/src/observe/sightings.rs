//! Who talks to whom, over all sources: the detector's prevalence, kept beside it.
//!
//! # Contract
//! - The same source, server, name and program are told to the sketch once in a while and not each time: repeats
//!   change nothing but the end of its history.
//! - It is written when it changed and [`SAVE_INTERVAL`] has passed, and at the stop. A crash loses what was first seen
//!   since; what is replayed from the journal comes back.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use beaconwatch_detector::context::Prevalence;
use beaconwatch_detector::{Context, Observation, Phase, Timestamp};
use rand::Rng as _;

use crate::store::{FormatError, decode, encode};

/// Name of the sketch among the store's named values.
pub(super) const PREVALENCE: &str = "prevalence";
/// Time between two writes of the sketch.
const SAVE_INTERVAL: Duration = Duration::from_mins(10);
/// Observations that are remembered as told: a power of two.
const TOLD: usize = 1 << 16;

/// The sketch, and what it was told.
pub(super) struct Sightings {
    /// None when nobody counts.
    prevalence: Option<Arc<Prevalence>>,
    told: Vec<u64>,
    hasher: RandomState,
    is_changed: bool,
    last_saved: Option<Timestamp>,
}

impl Sightings {
    /// An empty sketch of at most so many keys.
    pub(super) fn new(max_keys: usize) -> Self {
        // What outsiders do not know they cannot collide with.
        let seed = rand::rng().random();
        Self {
            prevalence: (max_keys > 0).then(|| Arc::new(Prevalence::new(max_keys, seed))),
            told: vec![0; TOLD],
            hasher: RandomState::new(),
            is_changed: false,
            last_saved: None,
        }
    }

    /// Takes an observation that the detector takes.
    pub(super) fn observe(&mut self, observation: &Observation) {
        let Some(prevalence) = &mut self.prevalence else {
            return;
        };
        if !matches!(observation.phase, Phase::Opened | Phase::Whole) {
            return;
        }
        let program = observation
            .process
            .as_deref()
            .map(|process| (&process.name, &process.executable));
        let told = self.hasher.hash_one((
            &observation.key,
            &observation.server_name,
            program,
            observation.side,
        ));
        #[expect(clippy::cast_possible_truncation, reason = "the lower bits of a hash")]
        let place = told as usize & (TOLD - 1);
        let last = self.told.get_mut(place);
        if last.as_deref() == Some(&told) {
            return;
        }
        if let Some(last) = last {
            *last = told;
        }
        Arc::make_mut(prevalence).observe(observation);
        self.is_changed = true;
    }

    /// Context with what was seen. While it lives, the next observation copies the sketch.
    pub(super) fn add_to(&self, context: &Context) -> Context {
        match &self.prevalence {
            Some(prevalence) => context.clone().with_prevalence(Arc::clone(prevalence)),
            None => context.clone(),
        }
    }

    /// Takes the sketch back, with the bound that it was made with.
    pub(super) fn restore(&mut self, value: &[u8]) -> Result<(), FormatError> {
        let restored: Prevalence = decode("prevalence", value)?;
        if let Some(prevalence) = &mut self.prevalence {
            *prevalence = Arc::new(restored);
        }
        Ok(())
    }

    /// The sketch to be written, when it is time.
    pub(super) fn take_change(
        &mut self,
        now: Timestamp,
        is_last: bool,
    ) -> Result<Option<Vec<u8>>, FormatError> {
        let due = self
            .last_saved
            .is_none_or(|last| now.saturating_since(last) >= SAVE_INTERVAL);
        let Some(prevalence) = &self.prevalence else {
            return Ok(None);
        };
        if !self.is_changed || !(due || is_last) {
            return Ok(None);
        }
        let value = encode("prevalence", &**prevalence)?;
        (self.is_changed, self.last_saved) = (false, Some(now));
        Ok(Some(value))
    }
}
