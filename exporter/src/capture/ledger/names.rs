//! [`KeptNames`]: names of flows that were told and live on, and what DNS answers said.
//!
//! | pin | what is in it |
//! |---|---|
//! | `ledger-names` | by flow what is known of its names; under 0 what the settings make of names |
//! | `ledger-answers` | by asker and address the name that led there, the latest 8,192 |
//!
//! Names of a flow are written before it is told for the first time, answers as they are read. Names that were kept under other settings
//! are forgotten, never told. Nothing here ends an exporter: what cannot be kept is missing after the next restart.
//!
//! Limits: what has room in 192 bytes a flow, and names of up to 216 bytes of an answer. After a SIGKILL what was read of a flow
//! that had not been told is lost.

use std::{collections::HashMap as StdHashMap, sync::Arc};

use aya::maps::{HashMap, Map, MapData};

use super::{BPF_F_NO_PREALLOC, FlowKey, KIND_HASH, KIND_LRU_HASH, open_pinned, wrong};
use crate::{
    capture::{CaptureError, pins::Pins, syscall::pinned::MapShape},
    flow::FlowId,
    names::{Answer, AnswerBytes, AnswerKey, FlowNames, NamesBytes},
};

const NAMES: &str = "ledger-names";
const ANSWERS: &str = "ledger-answers";
const MOST_ANSWERS: u32 = 8192;
/// No flow has this identity.
const SETTINGS: FlowKey = [0; 16];

/// Names that outlive the process; see the module.
pub(super) struct KeptNames {
    flows: HashMap<MapData, FlowKey, NamesBytes>,
    answers: HashMap<MapData, AnswerKey, AnswerBytes>,
    written: StdHashMap<FlowId, Arc<FlowNames>>,
    has_failed: bool,
}

/// What an earlier run knew.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    pub(crate) flows: Vec<(FlowId, Arc<FlowNames>)>,
    pub(crate) answers: Vec<Answer>,
}

impl KeptNames {
    pub(super) fn open(pins: &Pins, max_flows: usize) -> Result<Self, CaptureError> {
        let flows = MapShape {
            kind: KIND_HASH,
            key_bytes: 16,
            value_bytes: 192,
            max_entries: u32::try_from(max_flows)
                .unwrap_or(u32::MAX)
                .saturating_add(1),
            flags: BPF_F_NO_PREALLOC,
        };
        let answers = MapShape {
            kind: KIND_LRU_HASH,
            key_bytes: 56,
            value_bytes: 232,
            max_entries: MOST_ANSWERS,
            flags: 0,
        };
        let flows = Map::HashMap(open_pinned(pins, NAMES, flows)?);
        let answers = Map::LruHashMap(open_pinned(pins, ANSWERS, answers)?);
        Ok(Self {
            flows: HashMap::try_from(flows).map_err(wrong(NAMES))?,
            answers: HashMap::try_from(answers).map_err(wrong(ANSWERS))?,
            written: StdHashMap::new(),
            has_failed: false,
        })
    }

    /// What an earlier run kept, if the settings of names are the same; of flows those that are `told`. All else is forgotten.
    pub(super) fn inherit(
        &mut self,
        settings: u64,
        is_told: impl Fn(&FlowId) -> bool,
    ) -> Inherited {
        let mut settings_now = [0; size_of::<NamesBytes>()];
        for (to, from) in settings_now.iter_mut().zip(settings.to_be_bytes()) {
            *to = from;
        }
        let mut inherited = Inherited::default();
        let same = self.flows.get(&SETTINGS, 0).ok() == Some(settings_now);
        let keys: Vec<FlowKey> = self.flows.keys().flatten().collect();
        for key in keys {
            let id = FlowId::from_bytes(key);
            match self.flows.get(&key, 0) {
                Ok(names) if same && is_told(&id) => {
                    let names = Arc::new(FlowNames::from_kept(&names));
                    self.written.insert(id, Arc::clone(&names));
                    inherited.flows.push((id, names));
                }
                _ => drop(self.flows.remove(&key)),
            }
        }
        let keys: Vec<AnswerKey> = self.answers.keys().flatten().collect();
        for key in keys {
            match self.answers.get(&key, 0) {
                Ok(value) if same => inherited.answers.extend(Answer::from_kept(&key, &value)),
                _ => drop(self.answers.remove(&key)),
            }
        }
        let noted = self.flows.insert(SETTINGS, settings_now, 0);
        self.note(noted);
        inherited
    }

    /// Keeps the names of a flow that is about to be told.
    pub(super) fn tell(&mut self, id: FlowId, names: &Arc<FlowNames>) {
        if self
            .written
            .get(&id)
            .is_some_and(|it| Arc::ptr_eq(it, names))
        {
            return;
        }
        let kept = self.flows.insert(id.to_bytes(), names.to_kept(), 0);
        if kept.is_ok() {
            self.written.insert(id, Arc::clone(names));
        }
        self.note(kept);
    }

    pub(super) fn forget(&mut self, id: FlowId) {
        if self.written.remove(&id).is_some() {
            // It may have had no room.
            drop(self.flows.remove(&id.to_bytes()));
        }
    }

    pub(super) fn keep_answer(&mut self, answer: &Answer) {
        if let Some((key, value)) = answer.to_kept() {
            let kept = self.answers.insert(key, value, 0);
            self.note(kept);
        }
    }

    fn note(&mut self, kept: Result<(), aya::maps::MapError>) {
        if let Err(error) = kept
            && !std::mem::replace(&mut self.has_failed, true)
        {
            tracing::warn!(%error, "a name cannot be kept for the next run");
        }
    }
}
