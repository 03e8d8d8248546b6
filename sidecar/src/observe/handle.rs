//! The way to the scoring thread, and to what it shares.

use std::net::SocketAddr;
use std::sync::Arc;

use beaconwatch_detector::{Context, SettingsError};
use tokio::sync::{mpsc, oneshot};

use super::{
    AllowEffect, AnalysisReport, ConnectionBook, Message, ObserveStatus, Record, Scoring,
    SeriesDetail,
};
use crate::alert::{
    Action, Actor, AlertBook, AlertError, AllowBook, AllowConfig, AllowEntry, AuditEntry, Finding,
    FindingId, SeriesId,
};
use crate::sigma::OpenedRules;
use crate::store::{Journaled, StoreError};

/// What the scoring thread keeps up to date and others read without it. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    pub(crate) alerts: AlertBook,
    pub(crate) connections: ConnectionBook,
    pub(crate) allow: AllowBook,
}

/// Handle to the scoring thread.
#[derive(Clone, Debug)]
pub(crate) struct Observer {
    messages: mpsc::UnboundedSender<Message>,
    books: Books,
}

impl Observer {
    /// The channel: its sending end takes journaled batches before the thread runs.
    pub(crate) fn channel(books: Books) -> (Self, mpsc::UnboundedReceiver<Message>) {
        let (messages, receiver) = mpsc::unbounded_channel();
        (Self { messages, books }, receiver)
    }

    /// All alerts.
    pub(crate) fn alerts(&self) -> &AlertBook {
        &self.books.alerts
    }

    /// All series without their scores. Up to date when [`Self::status`] has answered.
    pub(crate) fn connections(&self) -> &ConnectionBook {
        &self.books.connections
    }

    /// The allow-list.
    pub(crate) fn allow_list(&self) -> &AllowBook {
        &self.books.allow
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

    /// One more than the largest sequence number of each exporter whose identity begins with `prefix`.
    pub(crate) async fn positions(
        &self,
        prefix: String,
    ) -> Result<Vec<(Arc<str>, u64)>, StoreError> {
        self.ask(|reply| Message::Positions(prefix, reply)).await
    }

    /// Analyses what has changed and writes a checkpoint.
    pub(crate) async fn analyse(&self) -> Result<AnalysisReport, StoreError> {
        self.ask(Message::Analyse).await?
    }

    /// One series in full; `None` when it is not kept any more.
    pub(crate) async fn series(
        &self,
        id: SeriesId,
    ) -> Result<Option<Box<SeriesDetail>>, StoreError> {
        match self.books.connections.key(id) {
            Some(key) => self.ask(|reply| Message::Series(key, reply)).await,
            None => Ok(None),
        }
    }

    /// Does something with an alert; the alert afterwards, when it is saved.
    pub(crate) async fn act(
        &self,
        id: FindingId,
        action: Action,
        actor: Actor,
    ) -> Result<Arc<Finding>, AlertError> {
        self.ask(|reply| Message::Act {
            id,
            action,
            actor,
            reply,
        })
        .await?
    }

    /// Adds an entry to the allow-list, and closes the findings that it allows.
    pub(crate) async fn allow_add(
        &self,
        config: AllowConfig,
        actor: Actor,
    ) -> Result<(AllowEntry, AllowEffect), AlertError> {
        self.ask(|reply| Message::AllowAdd {
            config,
            actor,
            reply,
        })
        .await?
    }

    /// What an entry of the allow-list would do.
    pub(crate) async fn allow_preview(
        &self,
        config: AllowConfig,
    ) -> Result<(AllowEntry, AllowEffect), AlertError> {
        self.ask(|reply| Message::AllowPreview { config, reply })
            .await?
    }

    /// Takes an entry off the allow-list, and judges again what it had allowed.
    pub(crate) async fn allow_remove(
        &self,
        id: String,
        actor: Actor,
    ) -> Result<AllowEntry, AlertError> {
        self.ask(|reply| Message::AllowRemove { id, actor, reply })
            .await?
    }

    /// Marks what is found of connections to this place, for so many seconds, as simulated.
    pub(crate) async fn simulation_begin(
        &self,
        destination: SocketAddr,
        seconds: u64,
        actor: Actor,
    ) -> Result<(), AlertError> {
        self.ask(|reply| Message::Simulate {
            destination,
            seconds,
            actor,
            reply,
        })
        .await?
    }

    /// Writes an entry into the audit: for changes that were made elsewhere.
    pub(crate) async fn audit(&self, entry: AuditEntry) -> Result<(), AlertError> {
        self.ask(|reply| Message::Audit(entry, reply)).await?
    }

    /// Writes a change that is about to be made elsewhere, in one transaction. After an error nothing is
    /// written, now or later.
    pub(crate) async fn record(&self, record: Record) -> Result<(), StoreError> {
        let record = Box::new(record);
        self.ask(|reply| Message::Record(record, reply)).await?
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

    /// Says what is known beside the flows.
    pub(crate) async fn know(&self, context: Context) -> Result<(), StoreError> {
        let context = Box::new(context);
        self.ask(|reply| Message::Know(context, reply)).await
    }

    /// Puts other Sigma rules in force.
    pub(crate) async fn put_rules(&self, rules: OpenedRules) -> Result<(), StoreError> {
        let rules = Box::new(rules);
        self.ask(|reply| Message::Rules(rules, reply)).await
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
