//! The state behind the scoring thread, and its loop.

mod saving;

use std::cmp::Reverse;
use std::sync::Arc;

use beaconwatch_detector::{
    Context, Detector, Ignored, Observation, Outcome, SeriesKey, SeriesState, SettingsError,
    Timestamp,
};
use tokio::sync::mpsc;

use super::command::SIMULATIONS;
use super::finding::Findings;
use super::judge::Judge;
use super::posted::PostedBatches;
use super::sensors::{self, Watch};
use super::sequence::{Arrival, Sequences, Tracker};
use super::sightings::{PREVALENCE, Sightings};
use super::{AnalysisReport, Books, ExporterStatus, Message, ObserveStatus, Scoring, SharedBoard};
use crate::alert::{AlertError, AllowEntry, AllowOrigin, Allowances, Finding};
use crate::clock::Clock;
use crate::config::Labels;
use crate::deliver::Router;
use crate::receive::{Batch, Poster};
use crate::sigma::{OpenedRules, SigmaRules};
use crate::store::{Checkpoint, Restored, Store, StoreError, decode};
use crate::time_text;

/// Exporters and gaps that a status shows in full.
const SHOWN_EXPORTERS: usize = 1000;
const SHOWN_GAPS: usize = 10;
/// Before the name of a node whose batches of telemetry are kept in mind, among the store's named values.
const POSTED: &str = "posted/";

/// What an engine is made with.
pub(crate) struct EngineSettings {
    pub(crate) scoring: Scoring,
    pub(crate) context: Context,
    pub(crate) sigma: OpenedRules,
    pub(crate) prevalence_keys: usize,
    pub(crate) books: Books,
    pub(crate) finding_limit: usize,
    pub(crate) exporter_limit: usize,
    pub(crate) clock: Clock,
    pub(crate) board: SharedBoard,
    pub(crate) labels: Labels,
    pub(crate) router: Arc<Router>,
}

/// Detector, sequences and findings, and what of them is not saved yet.
pub(crate) struct Engine {
    pub(super) detector: Detector,
    /// What is known beside the flows, but for the sightings.
    context: Context,
    sightings: Sightings,
    sequences: Sequences,
    posted: PostedBatches,
    pub(super) judge: Judge,
    router: Arc<Router>,
    pub(super) clock: Clock,
    board: SharedBoard,
    books: Books,
    pub(super) unsaved: Checkpoint,
    /// Whether the last checkpoint was written.
    is_saved: bool,
    applied: u64,
    /// When the sidecar began to listen.
    started: Timestamp,
    /// Position of the journal that the saved state covers.
    saved_through: u64,
    /// Entries of the allow-list that the configuration has.
    configured: Vec<AllowEntry>,
    /// Entries of the allow-list that were added.
    pub(super) added: Vec<AllowEntry>,
    pub(super) allow_limit: usize,
    /// See [`Allowances::last_expiry`].
    last_expiry: Option<Timestamp>,
    /// Whether the allow-list is another than at the last analysis.
    is_allow_list_new: bool,
    last_audit: u64,
    /// Whether the next analysis is the last one.
    is_stopping: bool,
    status: ObserveStatus,
}

impl Engine {
    pub(crate) fn new(settings: EngineSettings) -> Result<Self, SettingsError> {
        let mut detector = Detector::new(settings.scoring.detector.clone())?;
        detector.keep_summaries();
        let started = settings.clock.now();
        let rules = settings.scoring.rules.clone();
        let mut judge = Judge::new(
            Findings::new(rules, settings.finding_limit, started),
            settings.books.allow.clone(),
            settings.labels,
            settings.scoring.outbox_limit,
            Arc::clone(&settings.board),
            Arc::clone(&settings.router),
        );
        judge.sigma = SigmaRules::new(settings.sigma);
        let mut engine = Self {
            detector,
            context: settings.context,
            sightings: Sightings::new(settings.prevalence_keys),
            sequences: Sequences::new(settings.exporter_limit),
            posted: PostedBatches::default(),
            judge,
            router: settings.router,
            clock: settings.clock,
            board: settings.board,
            books: settings.books,
            unsaved: Checkpoint::default(),
            is_saved: true,
            applied: 0,
            started,
            saved_through: 0,
            configured: Vec::new(),
            added: Vec::new(),
            allow_limit: 0,
            last_expiry: None,
            is_allow_list_new: true,
            last_audit: 0,
            is_stopping: false,
            status: ObserveStatus::default(),
        };
        engine.configure(settings.scoring)?;
        Ok(engine)
    }

    /// Takes other settings, all of them or none.
    pub(crate) fn configure(&mut self, scoring: Scoring) -> Result<(), SettingsError> {
        self.detector.set_settings(scoring.detector)?;
        self.judge.configure(scoring.rules, scoring.outbox_limit);
        self.allow_limit = scoring.allow_limit;
        self.unsaved.ledger.audit_limit = Some(scoring.audit_limit);
        let now = self.clock.now();
        let entries = scoring.allow.into_iter();
        let entries = entries.map(|entry| AllowEntry::new(entry, AllowOrigin::Config, now));
        self.configured = entries.collect();
        self.put_allow_list_in_force();
        Ok(())
    }

    /// Puts the allow-list in force: what the configuration has comes first.
    pub(super) fn put_allow_list_in_force(&mut self) {
        let entries = self.configured.iter().chain(&self.added).cloned();
        match Allowances::new(entries.collect()) {
            Ok(allowances) => self.judge.allow.replace(allowances),
            Err(error) => tracing::error!(%error, "the allow-list stays as it was"),
        }
        self.is_allow_list_new = true;
    }

    /// Takes one saved value back.
    pub(crate) fn restore(&mut self, restored: &Restored<'_>) -> Result<(), StoreError> {
        match *restored {
            Restored::Counters {
                applied,
                last_document,
                series,
            } => {
                self.detector
                    .reserve(usize::try_from(series).unwrap_or(usize::MAX));
                (self.applied, self.saved_through) = (applied, applied);
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
            Restored::Finding { finding } => {
                let finding: Finding = decode("finding", finding)?;
                self.judge.findings.restore(finding);
            }
            // Settings are not the engine's business: it is configured by who starts it.
            Restored::Setting { .. } => {}
            Restored::Audit { last } => self.last_audit = last,
            Restored::State { name, value } => self.restore_state(name, value)?,
            Restored::Batch { position, batch } => {
                let batch: Batch = decode("batch", batch)?;
                self.apply(position, &batch);
            }
        }
        Ok(())
    }

    fn restore_state(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        if name.starts_with("allow/") {
            self.added.push(decode("allow-list entry", value)?);
        } else if name == SIMULATIONS {
            let simulations = decode("simulation", value)?;
            self.judge.simulations.restore(simulations);
        } else if name == PREVALENCE {
            self.sightings.restore(value)?;
        } else if let Some(node) = name.strip_prefix(POSTED) {
            self.posted
                .restore(node, decode("batches of telemetry", value)?);
        }
        Ok(())
    }

    /// Own traffic is never scored, but that of a simulation is.
    fn observe(&mut self, received: Timestamp, observation: &Observation) {
        let outcome = if observation.own && self.judge.simulations.lets_through(observation) {
            let mut simulated = observation.clone();
            simulated.own = false;
            self.detector.observe(received, &simulated)
        } else {
            self.detector.observe(received, observation)
        };
        if outcome == Outcome::Counted {
            self.sightings.observe(observation);
        }
        // What a server saw of a connection is no second one for the detector, and may be one for a rule.
        if matches!(
            outcome,
            Outcome::Counted | Outcome::Ignored(Ignored::ServerSide)
        ) {
            self.judge.sigma.observe(observation);
        }
    }

    /// Scores the records of a batch that were not seen before.
    fn apply(&mut self, position: u64, batch: &Batch) {
        match batch.poster() {
            Some(poster) => self.apply_posted(&poster, batch),
            None => self.apply_exported(batch),
        }
        self.applied = position;
    }

    /// A batch of telemetry counts as a whole or not at all.
    fn apply_posted(&mut self, poster: &Poster, batch: &Batch) {
        if !self.posted.arrive(poster) {
            self.status.duplicates += batch.records.len() as u64;
            return;
        }
        for observation in batch
            .records
            .iter()
            .filter_map(|it| it.observation.as_ref())
        {
            self.sequences.arrive_next(&poster.exporter, batch.received);
            self.observe(batch.received, observation);
        }
        let first = batch.records.iter().find_map(|it| it.observation.as_ref());
        if let Some(first) = first {
            let host_name = first.host_name.as_ref();
            self.sequences
                .describe(&poster.exporter, &first.key.host, host_name);
        }
    }

    /// Records over OTLP have numbers of their own.
    fn apply_exported(&mut self, batch: &Batch) {
        self.apply_numbered(batch);
        for place in &batch.places {
            let index = usize::try_from(place.exporter).ok();
            if let Some(exporter) = index.and_then(|index| batch.exporters.get(index)) {
                let host_name = place.host_name.as_ref();
                self.sequences.describe(exporter, &place.host, host_name);
            }
        }
    }

    fn apply_numbered(&mut self, batch: &Batch) {
        // Where an exporter runs is looked at once in each batch.
        let mut described = vec![false; batch.exporters.len()];
        for record in &batch.records {
            let Some((exporter, described)) = usize::try_from(record.exporter)
                .ok()
                .and_then(|index| Some((batch.exporters.get(index)?, described.get_mut(index)?)))
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
                        if !std::mem::replace(described, true) {
                            let host = &observation.key.host;
                            let host_name = observation.host_name.as_ref();
                            self.sequences.describe(exporter, host, host_name);
                        }
                        self.observe(batch.received, observation);
                    }
                }
            }
        }
    }

    /// Serves messages until [`Message::Stop`].
    pub(crate) fn serve(mut self, store: &Store, mut messages: mpsc::UnboundedReceiver<Message>) {
        self.put_allow_list_in_force();
        self.publish();
        // What a crash had kept from being scored is scored now and not an interval later.
        if (self.detector.counters().series > 0 || self.judge.findings.len() > 0)
            && let Err(error) = self.analyse(store)
        {
            tracing::error!(%error, "the first analysis was not saved");
        }
        loop {
            let message = match messages.try_recv() {
                Ok(message) => message,
                Err(_empty) => {
                    self.publish_series();
                    match messages.blocking_recv() {
                        Some(message) => message,
                        None => return,
                    }
                }
            };
            match message {
                Message::Abandon => return,
                Message::Stop(reply) => {
                    self.is_stopping = true;
                    drop(reply.send(self.analyse(store)));
                    return;
                }
                message => self.serve_one(store, message),
            }
        }
    }

    /// Whoever asked may have gone: then nobody is told.
    fn serve_one(&mut self, store: &Store, message: Message) {
        match message {
            Message::Apply(journaled) => {
                self.apply(journaled.position, &journaled.batch);
                drop(journaled.permit);
            }
            Message::Analyse(reply) => drop(reply.send(self.analyse(store))),
            Message::Series(key, reply) => drop(reply.send(self.detail(&key))),
            Message::Act {
                id,
                action,
                actor,
                reply,
            } => drop(reply.send(self.act(store, id, &action, &actor))),
            Message::AllowAdd {
                config,
                actor,
                reply,
            } => drop(reply.send(self.allow_add(store, config, &actor))),
            Message::AllowPreview { config, reply } => {
                drop(reply.send(self.allow_preview(config)));
            }
            Message::AllowRemove { id, actor, reply } => {
                drop(reply.send(self.allow_remove(store, &id, &actor)));
            }
            Message::Simulate {
                destination,
                seconds,
                actor,
                reply,
            } => drop(reply.send(self.simulate(store, destination, seconds, &actor))),
            Message::Audit(entry, reply) => {
                self.audit_change(entry);
                drop(reply.send(self.save_changes(store).map_err(AlertError::from)));
            }
            Message::Record(record, reply) => drop(reply.send(self.record(store, *record))),
            Message::Know(context, reply) => {
                self.context = *context;
                self.detector.look_at_all_again();
                // Whoever asked may have gone.
                let _gone = reply.send(());
            }
            Message::Rules(rules, reply) => {
                self.judge.sigma.replace(*rules);
                // Whoever asked may have gone.
                let _gone = reply.send(());
            }
            Message::Configure(scoring, reply) => drop(reply.send(self.configure(*scoring))),
            Message::Status(reply) => {
                self.publish_series();
                drop(reply.send(self.status()));
            }
            Message::Positions(prefix, reply) => {
                let known = self.sequences.iter();
                let positions = known
                    .filter(|(id, _)| id.starts_with(&prefix))
                    .map(|(id, tracker)| (Arc::clone(id), tracker.next()));
                drop(reply.send(positions.collect()));
            }
            // Both are taken by the loop that calls this.
            Message::Stop(_) | Message::Abandon => {}
        }
    }

    fn analyse(&mut self, store: &Store) -> Result<AnalysisReport, StoreError> {
        let now = self.clock.now();
        let waiting = store
            .largest_backlog(&self.router.enabled())
            .unwrap_or_default();
        let unsaved = self.unsaved.documents.len() as u64;
        self.expire_allowances(now);
        let context = self.context();
        let mut judgement = self.judge.begin(now, waiting + unsaved);
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
        judgement.close_silent();
        let silence = judgement.findings().rules().sensor_silence;
        let watch = Watch::new(&self.sequences, silence, now, self.started);
        sensors::look(&mut self.sequences, &watch, &mut judgement);
        let (report, documents) = judgement.end();
        self.unsaved.documents.extend(documents);
        self.status.analyses += 1;
        self.status.last_analysis = Some(now);
        self.save(store)?;
        Ok(report)
    }

    /// All that is known beside the flows.
    pub(super) fn context(&self) -> Context {
        self.sightings.add_to(&self.context)
    }

    /// When an entry of the allow-list has ended since the last look, judges again.
    fn expire_allowances(&mut self, now: Timestamp) {
        let last = self.judge.allow.current().last_expiry(now);
        if last != self.last_expiry || self.is_allow_list_new {
            self.last_expiry = last;
            self.is_allow_list_new = false;
            self.judge_allowed(now);
        }
    }

    fn status(&self) -> ObserveStatus {
        let silence = self.judge.findings.rules().sensor_silence;
        let watch = Watch::new(&self.sequences, silence, self.clock.now(), self.started);
        let mut exporters: Vec<_> = self.sequences.iter().collect();
        exporters.sort_by_key(|(id, tracker)| (Reverse(tracker.last_seen()), Arc::clone(id)));
        ObserveStatus {
            counters: self.detector.counters(),
            exporters_known: exporters.len() as u64,
            exporters: exporters
                .into_iter()
                .take(SHOWN_EXPORTERS)
                .map(|(id, tracker)| exporter_status(id, tracker, &watch))
                .collect(),
            exporters_forgotten: self.sequences.forgotten(),
            findings: self.judge.findings.len() as u64,
            findings_forgotten: self.judge.findings.forgotten(),
            failed_documents: self.judge.failed_documents(),
            postponed: self.judge.postponed(),
            rules: self.judge.sigma.status(),
            ..self.status.clone()
        }
    }
}

fn exporter_status(id: &str, tracker: &Tracker, watch: &Watch) -> ExporterStatus {
    ExporterStatus {
        id: id.to_owned(),
        host_name: tracker.sensor().host_name.as_deref().map(str::to_owned),
        state: watch.state(id, tracker),
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
