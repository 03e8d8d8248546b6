//! The thread that owns the database.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::database::Tables;
use super::{Checkpoint, Journal, Journaled, Restored, StoreError, StoreSettings};
use crate::receive::Batch;

/// Most batches and bytes that one group commit takes.
const GROUP_BATCHES: usize = 256;
const GROUP_BYTES: usize = 8 << 20;
/// A database that failed is opened again after this time.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// A batch that waits for its group commit.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) encoded: Vec<u8>,
    pub(super) batch: Batch,
    pub(super) permit: OwnedSemaphorePermit,
    pub(super) reply: Reply<()>,
}

/// The checkpoint comes back with the error: nothing of it may be lost.
pub(super) type CheckpointReply = oneshot::Sender<Result<(), (StoreError, Box<Checkpoint>)>>;

/// Work on the open database that answers by itself.
pub(super) type Job = Box<dyn FnOnce(&mut Server<'_>) + Send>;

/// What the thread is asked to do.
pub(super) enum Command {
    Append(Waiting),
    Checkpoint(Box<Checkpoint>, CheckpointReply),
    Run(Job),
    /// Tells the workers that documents may wait.
    Wake,
    Stop(oneshot::Sender<()>),
}

/// Opens the tables and restores from them. The database engine may panic on a file that something else
/// has altered: that becomes an error here.
pub(super) fn open(
    settings: &StoreSettings,
    restored: &mut (dyn FnMut(Restored<'_>) -> Result<(), StoreError> + Send),
) -> Result<Tables, StoreError> {
    let path = &settings.path;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let tables = Tables::open(path, settings.cache_bytes)?;
        tables.restore(restored)?;
        Ok(tables)
    }));
    match outcome {
        Ok(opened) => opened.map_err(|source: StoreError| StoreError::Open {
            path: path.clone(),
            source: Box::new(source),
        }),
        Err(panic) => Err(StoreError::Engine {
            path: path.clone(),
            message: panic_message(&*panic),
        }),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_else(|| "it gave no reason".to_owned())
}

/// The database, or why and since when it is closed.
enum State {
    Open(Tables),
    Closed { since: Instant, reason: String },
}

/// The thread's state.
pub(super) struct Server<'a> {
    state: State,
    settings: StoreSettings,
    journal: &'a Journal,
    checkpoints: &'a watch::Sender<u64>,
}

/// Serves commands until [`Command::Stop`] or until all handles are gone.
pub(super) fn serve(
    tables: Tables,
    settings: StoreSettings,
    mut commands: mpsc::UnboundedReceiver<Command>,
    journal: &Journal,
    checkpoints: &watch::Sender<u64>,
) {
    let mut server = Server {
        state: State::Open(tables),
        settings,
        journal,
        checkpoints,
    };
    let mut next = commands.blocking_recv();
    while let Some(command) = next.take() {
        match command {
            Command::Stop(reply) => {
                drop(server);
                answer(reply, ());
                return;
            }
            Command::Append(first) => {
                let group = take_group(first, &mut commands, &mut next);
                server.append(group);
            }
            other => server.serve_one(other),
        }
        if next.is_none() {
            next = commands.blocking_recv();
        }
    }
}

/// All batches that wait behind `first`, up to the limits of a group; `next` is the command that ended it.
fn take_group(
    first: Waiting,
    commands: &mut mpsc::UnboundedReceiver<Command>,
    next: &mut Option<Command>,
) -> Vec<Waiting> {
    let mut bytes = first.encoded.len();
    let mut group = vec![first];
    while group.len() < GROUP_BATCHES && bytes < GROUP_BYTES {
        match commands.try_recv() {
            Ok(Command::Append(waiting)) => {
                bytes += waiting.encoded.len();
                group.push(waiting);
            }
            Ok(other) => {
                *next = Some(other);
                break;
            }
            Err(_empty) => break,
        }
    }
    group
}

impl Server<'_> {
    /// Runs `work` on the open database. After an error of the engine the database is closed, and opened
    /// again when [`REOPEN_AFTER`] has passed.
    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut Tables) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let State::Closed { since, reason } = &self.state {
            if since.elapsed() < REOPEN_AFTER {
                return Err(StoreError::Closed(reason.clone()));
            }
            match catch_unwind(|| Tables::open(&self.settings.path, self.settings.cache_bytes)) {
                Ok(Ok(tables)) => self.state = State::Open(tables),
                Ok(Err(error)) => return Err(self.close(error)),
                Err(panic) => {
                    let path = self.settings.path.clone();
                    let message = panic_message(&*panic);
                    return Err(self.close(StoreError::Engine { path, message }));
                }
            }
        }
        let State::Open(tables) = &mut self.state else {
            return Err(StoreError::Stopped);
        };
        let path = &self.settings.path;
        let outcome = catch_unwind(AssertUnwindSafe(|| work(tables))).unwrap_or_else(|panic| {
            Err(StoreError::Engine {
                path: path.clone(),
                message: panic_message(&*panic),
            })
        });
        match outcome {
            Err(error @ (StoreError::Database(_) | StoreError::Engine { .. })) => {
                Err(self.close(error))
            }
            other => other,
        }
    }

    fn close(&mut self, error: StoreError) -> StoreError {
        tracing::error!(%error, "the store is closed and will be opened again");
        // The file is locked until the old handle is gone.
        self.state = State::Closed {
            since: Instant::now(),
            reason: error.to_string(),
        };
        error
    }

    fn append(&mut self, group: Vec<Waiting>) {
        let written = self.with(|tables| {
            let encoded: Vec<&[u8]> = group.iter().map(|waiting| &*waiting.encoded).collect();
            tables.append(&encoded)
        });
        match written {
            Ok(first) => {
                for (position, waiting) in (first..).zip(group) {
                    let (batch, permit) = (waiting.batch, waiting.permit);
                    (self.journal)(Journaled {
                        position,
                        batch,
                        permit,
                    });
                    answer(waiting.reply, Ok(()));
                }
            }
            Err(error) => {
                let reason = error.to_string();
                for waiting in group {
                    answer(waiting.reply, Err(StoreError::Closed(reason.clone())));
                }
            }
        }
    }

    fn serve_one(&mut self, command: Command) {
        match command {
            Command::Checkpoint(checkpoint, reply) => {
                let written = self.with(|tables| tables.checkpoint(&checkpoint));
                if written.is_ok() {
                    self.wake();
                }
                answer(reply, written.map_err(|error| (error, checkpoint)));
            }
            Command::Run(job) => job(self),
            Command::Wake => self.wake(),
            // Both are taken by the loop that calls this.
            Command::Append(_) | Command::Stop(_) => {}
        }
    }

    fn wake(&self) {
        self.checkpoints.send_modify(|number| *number += 1);
    }

    /// Does `work` and answers with what came of it.
    pub(super) fn reply<T>(
        &mut self,
        reply: Reply<T>,
        work: impl FnOnce(&mut Tables) -> Result<T, StoreError>,
    ) {
        let outcome = self.with(work);
        answer(reply, outcome);
    }
}

/// Whoever asked may have gone.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    drop(reply.send(value));
}
