//! The durable store: one embedded database (redb) behind one thread.
//!
//! # Contract
//! - [`Store::append`] answers when the batch is on disk (`fsync`). Requests that wait at the same time
//!   share one transaction (group commit). Only then the batch is handed on to be scored, in the order
//!   of the journal.
//! - [`Store::checkpoint`] writes changed series, exporters, findings and new documents, and removes the
//!   batches they cover from the journal, in one transaction: input, state and outbox never disagree.
//!   Writing the same checkpoint again after an error adds nothing twice.
//! - A crash at any point loses nothing that was acknowledged: what is not in the saved state is still in
//!   the journal and is scored again from the same input, before anything of it was delivered.
//! - A document stays until each destination that it was routed to has acknowledged it or refused it for
//!   good ([`outbox`]).
//!
//! # Limits
//! Memory held by waiting batches is bounded by the receiver's permits; dead letters per destination by
//! their limit. When the disk is full or fails, every operation fails with an error that says it can be
//! tried again; the thread closes the database and opens it again (at most once a second), because redb
//! takes no further transactions after an I/O error.
//!
//! All work on the database happens on the store's own thread, never on an async worker.

mod database;
mod format;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod ledger;
mod migration;
mod outbox;
mod salvage;
mod seal;
#[cfg(test)]
mod tests;
mod thread;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use beaconwatch_detector::SeriesKey;
use tokio::sync::{mpsc, oneshot, watch};

pub use format::FormatError;
pub(crate) use format::{decode, encode};
pub(crate) use ledger::Ledger;
pub(crate) use outbox::{
    Account, DeadLetterPage, DeliveryState, Outgoing, Selection, Settled, Settlement, Wanted,
};
pub use outbox::{Backlog, DeadLetter, Purged, Totals};
pub use salvage::{SalvageReport, SalvagedTable, salvage};

use crate::alert::FindingId;
use crate::receive::Batch;
use database::Tables;
use thread::{Command, Waiting};

/// Changed keys and their values; no value means removed.
pub(crate) type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database engine reports an error.
    #[error("store: {0}")]
    Database(Box<redb::Error>),
    /// The file or its folder cannot be used.
    #[error("store: {0}")]
    Io(#[from] std::io::Error),
    /// The file has another layout.
    #[error("store has schema version {found}, this program reads and writes version {expected}")]
    Schema {
        /// Version in the file.
        found: u64,
        /// Version of this program.
        expected: u64,
    },
    /// A value in the file cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A saved series does not fit the detector.
    #[error("a stored series cannot be restored: {0}")]
    Series(String),
    /// The outbox names a document that is not there.
    #[error("document {number} is in the outbox's index and not in the outbox")]
    DocumentMissing {
        /// Number of the document.
        number: u64,
    },
    /// The database engine gave up on the file.
    #[error("store {path} cannot be read: the database engine failed: {message}")]
    Engine {
        /// The file.
        path: PathBuf,
        /// What it said.
        message: String,
    },
    /// The file could not be opened.
    #[error(
        "cannot open store {path}: {source}{}",
        if source.is_corruption() { "; `beaconwatch store salvage FILE --out NEW` reads what is left of it" } else { "" }
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<StoreError>,
    },
    /// The store is closed until its file can be opened again.
    #[error("store is closed after an error and will be opened again: {0}")]
    Closed(String),
    /// The store has stopped.
    #[error("store has stopped")]
    Stopped,
}

impl StoreError {
    /// Whether the file's content (rather than the disk or the moment) is at fault.
    #[must_use]
    pub fn is_corruption(&self) -> bool {
        match self {
            Self::Database(error) => matches!(**error, redb::Error::Corrupted(_)),
            Self::Open { source, .. } => source.is_corruption(),
            Self::Format(_)
            | Self::Series(_)
            | Self::DocumentMissing { .. }
            | Self::Engine { .. } => true,
            Self::Io(_) | Self::Schema { .. } | Self::Closed(_) | Self::Stopped => false,
        }
    }
}

/// Converts the engine's errors, each of which has a type of its own.
macro_rules! from_engine {
    ($($error:ident),*) => {
        $(impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                Self::Database(Box::new(error.into()))
            }
        })*
    };
}
from_engine!(
    DatabaseError,
    TransactionError,
    TableError,
    StorageError,
    CommitError
);

/// One saved value, as [`Store::open`] hands it out.
pub(crate) enum Restored<'a> {
    Counters {
        applied: u64,
        last_document: u64,
        /// Series that follow.
        series: u64,
    },
    Series {
        key: &'a [u8],
        state: &'a [u8],
    },
    Exporter {
        id: &'a str,
        tracker: &'a [u8],
    },
    Finding {
        finding: &'a [u8],
    },
    Audit {
        last: u64,
    },
    State {
        name: &'a str,
        value: &'a [u8],
    },
    Batch {
        position: u64,
        batch: &'a [u8],
    },
    Setting {
        name: &'a str,
        value: &'a [u8],
    },
}

/// A series key as the store has it.
pub(crate) fn encode_key(key: &SeriesKey) -> Result<Vec<u8>, FormatError> {
    encode("series key", key)
}

/// What has changed since the last checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Checkpoint {
    /// The journal up to this position is covered.
    pub(crate) through: u64,
    pub(crate) series: Changes,
    pub(crate) exporters: BTreeMap<String, Option<Vec<u8>>>,
    /// Findings by identity.
    pub(crate) findings: BTreeMap<FindingId, Option<Vec<u8>>>,
    /// Audit and named values.
    pub(crate) ledger: Ledger,
    /// New documents by number; numbers only grow.
    pub(crate) documents: BTreeMap<u64, Outgoing>,
}

/// A batch that is on disk, on its way to be scored.
#[derive(Debug)]
pub(crate) struct Journaled {
    pub(crate) position: u64,
    pub(crate) batch: Batch,
    /// Room in the queue, freed when the batch has been scored.
    pub(crate) permit: tokio::sync::OwnedSemaphorePermit,
}

/// Where the store hands journaled batches.
pub(crate) type Journal = Arc<dyn Fn(Journaled) + Send + Sync>;

/// What a store is opened with.
pub(crate) struct StoreSettings {
    pub(crate) path: PathBuf,
    pub(crate) cache_bytes: usize,
}

/// Size of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) file_bytes: u64,
    pub(crate) journal_batches: u64,
    pub(crate) outbox_documents: u64,
}

/// Handle to the store's thread.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    commands: mpsc::UnboundedSender<Command>,
    checkpoints: watch::Receiver<u64>,
    path: Arc<std::path::Path>,
}

impl Store {
    /// Opens the file and hands every saved value to `restored`, on a thread of its own, which then
    /// serves this handle. Blocks until everything is restored.
    pub(crate) fn open(
        settings: StoreSettings,
        restored: &mut (dyn FnMut(Restored<'_>) -> Result<(), StoreError> + Send),
        journal: Journal,
    ) -> Result<Self, StoreError> {
        let tables = thread::open(&settings, restored)?;
        let (commands, receiver) = mpsc::unbounded_channel();
        let (sender, checkpoints) = watch::channel(0);
        let path = Arc::from(settings.path.as_path());
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || thread::serve(tables, settings, receiver, &journal, &sender))?;
        Ok(Self {
            commands,
            checkpoints,
            path,
        })
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Command,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .map_err(|_stopped| StoreError::Stopped)?;
        answer.await.map_err(|_stopped| StoreError::Stopped)?
    }

    /// Resolves when the thread has ended.
    pub(crate) async fn stopped(&self) {
        self.commands.closed().await;
    }

    /// Writes the batch to the journal; when this returns it is on disk.
    pub(crate) async fn append(
        &self,
        batch: Batch,
        permit: tokio::sync::OwnedSemaphorePermit,
    ) -> Result<(), StoreError> {
        let encoded = encode("batch", &batch)?;
        let waiting = |reply| {
            Command::Append(Waiting {
                encoded,
                batch,
                permit,
                reply,
            })
        };
        self.ask(waiting).await
    }

    /// Writes a checkpoint; gives it back with the error when it could not be written. Blocks: call it
    /// from a thread of your own.
    pub(crate) fn checkpoint(
        &self,
        checkpoint: Checkpoint,
    ) -> Result<(), (StoreError, Box<Checkpoint>)> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Checkpoint(Box::new(checkpoint), reply);
        if let Err(mpsc::error::SendError(Command::Checkpoint(checkpoint, _))) =
            self.commands.send(command)
        {
            return Err((StoreError::Stopped, checkpoint));
        }
        answer
            .blocking_recv()
            .unwrap_or_else(|_stopped| Err((StoreError::Stopped, Box::default())))
    }

    /// Changes whenever new documents may wait.
    pub(crate) fn checkpoints(&self) -> watch::Receiver<u64> {
        self.checkpoints.clone()
    }

    /// Size of the store.
    pub(crate) async fn size(&self) -> Result<Size, StoreError> {
        let path = Arc::clone(&self.path);
        self.run(move |tables| {
            Ok(Size {
                file_bytes: std::fs::metadata(&*path)?.len(),
                journal_batches: tables.journal_batches()?,
                outbox_documents: tables.outbox_documents()?,
            })
        })
        .await
    }

    /// Does `work` on the store's thread.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tables) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(|reply| Command::Run(Box::new(|server| server.reply(reply, work))))
            .await
    }

    /// Like [`Self::run`]. Blocks: call it from a thread of your own.
    fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tables) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Command::Run(Box::new(|server| server.reply(reply, work)));
        let sent = self.commands.send(job);
        sent.map_err(|_stopped| StoreError::Stopped)?;
        answer
            .blocking_recv()
            .map_err(|_stopped| StoreError::Stopped)?
    }

    /// Tells the workers that documents may wait.
    pub(crate) fn wake(&self) {
        if self.commands.send(Command::Wake).is_err() {
            tracing::debug!("the store has stopped: there is nobody to wake");
        }
    }

    /// Stops the thread after what was asked before, without waiting for it.
    pub(crate) fn abandon(&self) {
        let (reply, _answer) = oneshot::channel();
        if self.commands.send(Command::Stop(reply)).is_err() {
            tracing::debug!("the store had stopped before");
        }
    }

    /// Stops the thread after what was asked before; when this returns the file is closed.
    pub(crate) async fn stop(&self) {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::Stop(reply)).is_err() || answer.await.is_err() {
            tracing::debug!("the store had stopped before");
        }
    }
}
