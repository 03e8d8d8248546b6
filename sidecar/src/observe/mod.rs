//! Scores journaled batches: one thread owns the detector, the sequences and the findings.
//!
//! # Contract
//! - Batches are applied in the order of the journal. A record whose sequence number was seen before is
//!   dropped and counted, so that a retried request counts once. Replaying the journal takes the same
//!   decisions, because a batch carries the time at which it was received.
//! - An analysis scores what changed, opens and revises findings ([`life`]), and writes state and new
//!   documents in one checkpoint. When the store cannot take it, the checkpoint is kept and merged into
//!   the next one.
//! - The first analysis looks at every series. It is made at the start when anything was restored.
//! - While the outbox is full, no document is made: the series waits, and the document that it gets
//!   later holds all that came in between.

mod board;
mod command;
mod connections;
mod document;
mod engine;
mod finding;
mod handle;
mod judge;
mod life;
mod posted;
mod sensors;
mod sequence;
mod series_id;
mod sightings;
mod simulation;

pub(crate) use board::Board;
pub(crate) use connections::{ConnectionBook, ConnectionQuery, ConnectionSort};
pub(crate) use document::as_it_stands;
pub(crate) use engine::{Engine, EngineSettings};
pub(crate) use handle::{Books, Observer};
pub(crate) use life::Rules;
#[cfg(test)]
pub(crate) use sequence::Sequences;
pub(crate) use sequence::{Sensor, Tracker};
pub(crate) use series_id::SeriesId;

use std::net::SocketAddr;
use std::sync::{Arc, RwLock};

use beaconwatch_detector::{
    Assessment, Context, Counters, SeriesKey, Settings, SettingsError, Timestamp,
};
use serde::Serialize;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use crate::alert::{
    Action, Actor, AlertError, AllowConfig, AllowEntry, AuditEntry, Finding, FindingId,
};
use crate::sigma::{OpenedRules, RulesStatus};
use crate::store::{Journaled, StoreError};

/// The board, shared with those who ask.
pub(crate) type SharedBoard = Arc<RwLock<Board>>;

/// One series in full.
#[derive(Clone, Debug)]
pub(crate) struct SeriesDetail {
    pub(crate) assessment: Assessment,
    /// Kept connection starts, ascending.
    pub(crate) times: Vec<Timestamp>,
}

/// What an entry of the allow-list does.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowEffect {
    /// Series that it allows.
    pub(crate) series: u64,
    /// Findings that it allows.
    pub(crate) findings: u64,
    /// The first of these findings.
    pub(crate) alerts: Vec<Arc<Finding>>,
}

/// What an analysis did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct AnalysisReport {
    /// Series that were scored.
    pub assessed: u64,
    /// Of these, series that count as detections.
    pub detected: u64,
    /// Documents made.
    pub documents: u64,
}

/// How a sensor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SensorState {
    /// It sends and nothing is missing.
    Live,
    /// It has sent nothing for longer than `alerts.sensor_silent_after_s`.
    Silent,
    /// Records of it are missing.
    Gaps,
}

/// One exporter, as the status shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ExporterStatus {
    /// Identity of the exporter's run.
    pub id: String,
    /// Name of its host.
    pub host_name: Option<String>,
    /// How it does.
    pub state: SensorState,
    /// When its last record came (RFC 3339).
    pub last_seen: String,
    /// Records received, duplicates not counted.
    pub received: u64,
    /// Records that came again and were dropped.
    pub duplicates: u64,
    /// Records that should have come and have not.
    pub missing: u64,
    /// Numbers before the first record that this store saw of it.
    pub before_first_contact: u64,
    /// Missing ranges: first and last number; at most ten of them.
    pub gaps: Vec<(u64, u64)>,
}

/// What the scoring thread knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct ObserveStatus {
    pub(crate) counters: Counters,
    pub(crate) duplicates: u64,
    pub(crate) exporters: Vec<ExporterStatus>,
    pub(crate) exporters_known: u64,
    pub(crate) exporters_forgotten: u64,
    pub(crate) findings: u64,
    pub(crate) findings_forgotten: u64,
    pub(crate) analyses: u64,
    pub(crate) failed_checkpoints: u64,
    pub(crate) failed_documents: u64,
    pub(crate) postponed: u64,
    pub(crate) last_analysis: Option<Timestamp>,
    pub(crate) rules: RulesStatus,
}

/// What of the scoring thread's settings can change while it runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scoring {
    pub(crate) detector: Settings,
    pub(crate) rules: Rules,
    /// Entries of the allow-list that the configuration has.
    pub(crate) allow: Vec<AllowConfig>,
    /// Entries that may be added to the allow-list.
    pub(crate) allow_limit: usize,
    /// Entries of the audit to keep.
    pub(crate) audit_limit: u64,
    /// Documents that may wait for a destination.
    pub(crate) outbox_limit: u64,
}

/// A change that somebody is about to make, with what is kept of it: both are written, or none.
#[derive(Debug)]
pub(crate) struct Record {
    /// Name and value of a setting.
    pub(crate) setting: Option<(&'static str, String)>,
    pub(crate) entry: AuditEntry,
}

/// What became of a request to change something.
pub(crate) type Changed<T> = oneshot::Sender<Result<T, AlertError>>;

/// What the scoring thread is asked to do.
pub(crate) enum Message {
    Apply(Journaled),
    Configure(Box<Scoring>, oneshot::Sender<Result<(), SettingsError>>),
    /// The Sigma rules are now these.
    Rules(Box<OpenedRules>, oneshot::Sender<()>),
    /// What is known beside the flows is now this.
    Know(Box<Context>, oneshot::Sender<()>),
    Analyse(oneshot::Sender<Result<AnalysisReport, StoreError>>),
    Series(SeriesKey, oneshot::Sender<Option<Box<SeriesDetail>>>),
    Act {
        id: FindingId,
        action: Action,
        actor: Actor,
        reply: Changed<Arc<Finding>>,
    },
    AllowAdd {
        config: AllowConfig,
        actor: Actor,
        reply: Changed<(AllowEntry, AllowEffect)>,
    },
    AllowPreview {
        config: AllowConfig,
        reply: Changed<(AllowEntry, AllowEffect)>,
    },
    AllowRemove {
        id: String,
        actor: Actor,
        reply: Changed<AllowEntry>,
    },
    Simulate {
        destination: SocketAddr,
        seconds: u64,
        actor: Actor,
        reply: Changed<()>,
    },
    Audit(AuditEntry, Changed<()>),
    Record(Box<Record>, oneshot::Sender<Result<(), StoreError>>),
    Status(oneshot::Sender<ObserveStatus>),
    /// One more than the largest sequence number of each exporter whose identity begins so.
    Positions(String, oneshot::Sender<Vec<(Arc<str>, u64)>>),
    Stop(oneshot::Sender<Result<AnalysisReport, StoreError>>),
    /// Ends the thread without another analysis: what is not saved is in the journal.
    Abandon,
}

#[cfg(test)]
mod tests;
