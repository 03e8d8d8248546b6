//! Scores journaled batches: one thread owns the detector, the sequences and the findings.
//!
//! # Contract
//! - Batches are applied in the order of the journal. A record whose sequence number was seen before is
//!   dropped and counted, so that a retried request counts once. Replaying the journal takes the same
//!   decisions, because a batch carries the time at which it was received.
//! - An analysis scores what changed, opens and revises findings ([`finding`]), and writes state and new
//!   documents in one checkpoint. When the store cannot take it, the checkpoint is kept and merged into
//!   the next one.
//! - The first analysis looks at every series. It is made at the start when anything was restored.
//! - While the outbox is full, no document is made: the series waits, and the document that it gets
//!   later holds all that came in between.

mod board;
mod engine;
mod finding;
mod judge;
mod sequence;
mod series_id;

pub(crate) use board::Board;
pub(crate) use engine::{Engine, EngineSettings};
pub(crate) use series_id::SeriesId;

use std::sync::{Arc, RwLock};
use std::time::Duration;

use beaconwatch_detector::{Counters, SeriesKey, Settings, SettingsError, Timestamp};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use utoipa::ToSchema;

use crate::store::{Journaled, StoreError};

/// The board, shared with those who ask.
pub(crate) type SharedBoard = Arc<RwLock<Board>>;

/// One series, without its score.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    pub(crate) key: SeriesKey,
    pub(crate) count: u64,
    pub(crate) first_seen: Timestamp,
    pub(crate) last_seen: Timestamp,
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

/// One exporter, as the status shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ExporterStatus {
    /// Identity of the exporter's run.
    pub id: String,
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
}

/// What of the scoring thread's settings can change while it runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scoring {
    pub(crate) detector: Settings,
    pub(crate) update_interval: Duration,
    /// Documents that may wait for a destination.
    pub(crate) outbox_limit: u64,
}

/// What the scoring thread is asked to do.
pub(crate) enum Message {
    Apply(Journaled),
    Configure(Box<Scoring>, oneshot::Sender<Result<(), SettingsError>>),
    Analyse(oneshot::Sender<Result<AnalysisReport, StoreError>>),
    Connections {
        limit: usize,
        reply: oneshot::Sender<(usize, Vec<Connections>)>,
    },
    Status(oneshot::Sender<ObserveStatus>),
    Stop(oneshot::Sender<Result<AnalysisReport, StoreError>>),
    /// Ends the thread without another analysis: what is not saved is in the journal.
    Abandon,
}

/// Handle to the scoring thread.
#[derive(Clone, Debug)]
pub(crate) struct Observer {
    messages: mpsc::UnboundedSender<Message>,
}

impl Observer {
    /// The channel: its sending end takes journaled batches before the thread runs.
    pub(crate) fn channel() -> (Self, mpsc::UnboundedReceiver<Message>) {
        let (messages, receiver) = mpsc::unbounded_channel();
        (Self { messages }, receiver)
    }

    /// Resolves when the thread has ended.
    pub(crate) async fn stopped(&self) {
        self.messages.closed().await;
    }

    /// Hands over a batch. A batch that comes after the end of the thread stays in the journal.
    pub(crate) fn apply(&self, journaled: Journaled) {
        if self.messages.send(Message::Apply(journaled)).is_err() {
            tracing::debug!("a batch came after the last analysis: it stays in the journal");
        }
    }

    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.messages
            .send(message(reply))
            .map_err(|_stopped| StoreError::Stopped)?;
        answer.await.map_err(|_stopped| StoreError::Stopped)
    }

    /// Analyses what has changed and writes a checkpoint.
    pub(crate) async fn analyse(&self) -> Result<AnalysisReport, StoreError> {
        self.ask(Message::Analyse).await?
    }

    /// Takes other settings; with the next analysis every series is scored by them. After an error of the
    /// settings nothing has changed.
    pub(crate) async fn configure(
        &self,
        scoring: Scoring,
    ) -> Result<Result<(), SettingsError>, StoreError> {
        let scoring = Box::new(scoring);
        self.ask(|reply| Message::Configure(scoring, reply)).await
    }

    /// Number of series, and those with the most connections.
    pub(crate) async fn connections(
        &self,
        limit: usize,
    ) -> Result<(usize, Vec<Connections>), StoreError> {
        self.ask(|reply| Message::Connections { limit, reply })
            .await
    }

    /// Counters.
    pub(crate) async fn status(&self) -> Result<ObserveStatus, StoreError> {
        self.ask(Message::Status).await
    }

    /// Ends the thread as it is.
    pub(crate) fn abandon(&self) {
        if self.messages.send(Message::Abandon).is_err() {
            tracing::debug!("the scoring thread had ended before");
        }
    }

    /// Analyses for the last time and ends the thread.
    pub(crate) async fn stop(&self) -> Result<AnalysisReport, StoreError> {
        self.ask(Message::Stop).await?
    }
}
