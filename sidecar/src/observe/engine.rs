//! The state behind the scoring thread, and its loop.

use std::cmp::Reverse;
use std::sync::{Arc, PoisonError};

use beaconwatch_detector::{Context, Detector, SeriesKey, SeriesState, SettingsError};
use tokio::sync::mpsc;

use super::finding::{Finding, Findings, encode_key};
use super::judge::Judge;
use super::sequence::{Arrival, Sequences, Tracker};
use super::{
    AnalysisReport, Connections, ExporterStatus, Message, ObserveStatus, Scoring, SharedBoard,
};
use crate::clock::Clock;
use crate::config::Labels;
use crate::deliver::Router;
use crate::receive::Batch;
use crate::store::{Checkpoint, FormatError, Restored, Store, StoreError, decode, encode};
use crate::time_text;

/// Exporters and gaps that a status shows in full.
const SHOWN_EXPORTERS: usize = 1000;
const SHOWN_GAPS: usize = 10;

/// What an engine is made with.
pub(crate) struct EngineSettings {
    pub(crate) scoring: Scoring,
    pub(crate) finding_limit: usize,
    pub(crate) exporter_limit: usize,
    pub(crate) clock: Clock,
    pub(crate) board: SharedBoard,
    pub(crate) labels: Labels,
    pub(crate) router: Arc<Router>,
}

/// Detector, sequences and findings, and what of them is not saved yet.
pub(crate) struct Engine {
    detector: Detector,
    sequences: Sequences,
    judge: Judge,
    router: Arc<Router>,
    clock: Clock,
    board: SharedBoard,
    unsaved: Checkpoint,
    applied: u64,
    status: ObserveStatus,
}

impl Engine {
    pub(crate) fn new(settings: EngineSettings) -> Result<Self, SettingsError> {
        Ok(Self {
            detector: Detector::new(settings.scoring.detector)?,
            sequences: Sequences::new(settings.exporter_limit),
            judge: Judge::new(
                Findings::new(settings.scoring.update_interval, settings.finding_limit),
                settings.labels,
                settings.scoring.outbox_limit,
                Arc::clone(&settings.board),
                Arc::clone(&settings.router),
            ),
            router: settings.router,
            clock: settings.clock,
            board: settings.board,
            unsaved: Checkpoint::default(),
            applied: 0,
            status: ObserveStatus::default(),
        })
    }

    /// Takes one saved value back.
    pub(crate) fn restore(&mut self, restored: &Restored<'_>) -> Result<(), StoreError> {
        match *restored {
            Restored::Counters {
                applied,
                last_document,
            } => {
                self.applied = applied;
                self.judge.restore_last_document(last_document);
            }
            Restored::Series { key, state } => {
                let key: SeriesKey = decode("series key", key)?;
                let state: SeriesState = decode("series", state)?;
                self.detector
                    .restore(key, state)
                    .map_err(|error| StoreError::Series(error.to_string()))?;
            }
            Restored::Exporter { id, tracker } => {
                let tracker: Tracker = decode("exporter", tracker)?;
                self.sequences.restore(Arc::from(id), tracker);
            }
            Restored::Finding { key, finding } => {
                let finding: Finding = decode("finding", finding)?;
                self.judge.findings_mut().restore(key.to_vec(), finding);
            }
            // Settings are not the engine's business: it is configured by who starts it.
            Restored::Setting { .. } => {}
            Restored::Batch { position, batch } => {
                let batch: Batch = decode("batch", batch)?;
                self.apply(position, &batch);
            }
        }
        Ok(())
    }

    /// Takes other settings, all of them or none.
    pub(crate) fn configure(&mut self, scoring: Scoring) -> Result<(), SettingsError> {
        self.detector.set_settings(scoring.detector)?;
        self.judge
            .configure(scoring.update_interval, scoring.outbox_limit);
        Ok(())
    }

    /// Scores the records of a batch that were not seen before.
    fn apply(&mut self, position: u64, batch: &Batch) {
        for record in &batch.records {
            let Some(exporter) = usize::try_from(record.exporter)
                .ok()
                .and_then(|index| batch.exporters.get(index))
            else {
                continue;
            };
            match self
                .sequences
                .arrive(exporter, record.sequence, batch.received)
            {
                Arrival::Duplicate => self.status.duplicates += 1,
                Arrival::New => {
                    if let Some(observation) = &record.observation {
                        self.detector.observe(batch.received, observation);
                    }
                }
            }
        }
        self.applied = position;
    }

    /// Serves messages until [`Message::Stop`].
    pub(crate) fn serve(mut self, store: &Store, mut messages: mpsc::UnboundedReceiver<Message>) {
        // What a crash had kept from being scored is scored now and not an interval later.
        if self.detector.counters().series > 0
            && let Err(error) = self.analyse(store)
        {
            tracing::error!(%error, "the first analysis was not saved");
        }
        while let Some(message) = messages.blocking_recv() {
            match message {
                Message::Apply(journaled) => {
                    self.apply(journaled.position, &journaled.batch);
                    drop(journaled.permit);
                }
                Message::Configure(scoring, reply) => drop(reply.send(self.configure(*scoring))),
                Message::Analyse(reply) => drop(reply.send(self.analyse(store))),
                Message::Connections { limit, reply } => drop(reply.send(self.connections(limit))),
                Message::Status(reply) => drop(reply.send(self.status())),
                Message::Abandon => return,
                Message::Stop(reply) => {
                    drop(reply.send(self.analyse(store)));
                    return;
                }
            }
        }
    }

    fn analyse(&mut self, store: &Store) -> Result<AnalysisReport, StoreError> {
        let now = self.clock.now();
        let waiting = store
            .largest_backlog(self.router.enabled())
            .unwrap_or_default();
        let unsaved = self.unsaved.documents.len() as u64;
        let mut judgement = self.judge.begin(now, waiting + unsaved);
        let context = Context::default();
        let changed = self.detector.analyse(now, &context);
        if self.status.analyses == 0 {
            // One after the other: all of them at once may be more than the memory holds.
            for assessment in self.detector.assess_all(now, &context) {
                judgement.take(assessment);
            }
        } else {
            for assessment in changed {
                judgement.take(assessment);
            }
        }
        for key in judgement.postponed_before() {
            if let Some(assessment) = self.detector.assess(&key, now, &context) {
                judgement.take(assessment);
            }
        }
        let (report, documents) = judgement.end();
        self.unsaved.documents.extend(documents);
        self.status.analyses += 1;
        self.status.last_analysis = Some(now);
        self.save(store)?;
        Ok(report)
    }

    /// Adds all changes to the unsaved checkpoint and writes it.
    fn save(&mut self, store: &Store) -> Result<(), StoreError> {
        self.collect_changes()?;
        self.unsaved.through = self.applied;
        let checkpoint = std::mem::take(&mut self.unsaved);
        store.checkpoint(checkpoint).map_err(|(error, checkpoint)| {
            self.unsaved = *checkpoint;
            self.status.failed_checkpoints += 1;
            tracing::error!(%error, "a checkpoint was not written: it becomes part of the next one");
            error
        })
    }

    fn collect_changes(&mut self) -> Result<(), FormatError> {
        for change in self.detector.take_changes() {
            if change.state.is_none() {
                let mut board = self.board.write().unwrap_or_else(PoisonError::into_inner);
                board.remove(&change.key);
            }
            let state = change
                .state
                .map(|state| encode("series", &state))
                .transpose()?;
            self.unsaved.series.insert(encode_key(&change.key)?, state);
        }
        for (id, tracker) in self.sequences.take_changes() {
            let tracker = tracker
                .map(|tracker| encode("exporter", tracker))
                .transpose()?;
            self.unsaved.exporters.insert(id.to_string(), tracker);
        }
        for (key, finding) in self.judge.findings_mut().take_changes() {
            let finding = finding
                .map(|finding| encode("finding", finding))
                .transpose()?;
            self.unsaved.findings.insert(key, finding);
        }
        Ok(())
    }

    fn connections(&self, limit: usize) -> (usize, Vec<Connections>) {
        let mut all: Vec<Connections> = self
            .detector
            .assess_all(self.clock.now(), &Context::default())
            .map(|assessment| Connections {
                key: assessment.key,
                count: assessment.count,
                first_seen: assessment.first_seen,
                last_seen: assessment.last_seen,
            })
            .collect();
        all.sort_by(|a, b| (Reverse(a.count), &a.key).cmp(&(Reverse(b.count), &b.key)));
        let total = all.len();
        all.truncate(limit);
        (total, all)
    }

    fn status(&self) -> ObserveStatus {
        let mut exporters: Vec<_> = self.sequences.iter().collect();
        exporters.sort_by_key(|(id, tracker)| (Reverse(tracker.last_seen()), Arc::clone(id)));
        ObserveStatus {
            counters: self.detector.counters(),
            exporters_known: exporters.len() as u64,
            exporters: exporters
                .into_iter()
                .take(SHOWN_EXPORTERS)
                .map(|(id, tracker)| exporter_status(id, tracker))
                .collect(),
            exporters_forgotten: self.sequences.forgotten(),
            findings: self.judge.findings().len() as u64,
            findings_forgotten: self.judge.findings().forgotten(),
            failed_documents: self.judge.failed_documents(),
            postponed: self.judge.postponed(),
            ..self.status.clone()
        }
    }
}

fn exporter_status(id: &str, tracker: &Tracker) -> ExporterStatus {
    ExporterStatus {
        id: id.to_owned(),
        last_seen: time_text::rfc3339(tracker.last_seen()),
        received: tracker.received(),
        duplicates: tracker.duplicates(),
        missing: tracker.missing(),
        before_first_contact: tracker.before_first_contact(),
        gaps: tracker
            .gaps()
            .take(SHOWN_GAPS)
            .map(|(start, end)| (start, end - 1))
            .collect(),
    }
}
