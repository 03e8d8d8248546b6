//! [`Backlog`]: the queue on disk as the sender uses it: file access runs where it may block, and a disk that
//! refuses is left alone for a while.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::DiskQueue;

/// A disk that failed is not asked again for so long.
const PAUSE: Duration = Duration::from_secs(5);

/// The queue on disk; see the module.
#[derive(Clone, Debug)]
pub(super) struct Backlog {
    disk: Arc<Mutex<DiskQueue>>,
    usable_from: Instant,
}

/// Which end of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Older than all others, and being sent.
    Front,
    /// Newer than all others.
    Back,
}

/// What became of a request that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is on disk.
    Yes,
    /// The bound has no room for it.
    NoRoom,
    /// The disk refused.
    Failed,
}

impl Backlog {
    pub(super) fn new(disk: DiskQueue) -> Self {
        Self {
            disk: Arc::new(Mutex::new(disk)),
            usable_from: Instant::now(),
        }
    }

    /// Whether the last attempt to write succeeded, or is long ago.
    pub(super) fn is_usable(&self) -> bool {
        Instant::now() >= self.usable_from
    }

    /// The oldest request and its records. Waits while the disk cannot be read: what is in memory is newer.
    pub(super) async fn first(&self) -> Option<(Bytes, usize)> {
        // Only the sender changes the queue: this lock is free.
        if self.disk.lock().is_ok_and(|disk| disk.is_empty()) {
            return None;
        }
        loop {
            match self.work(DiskQueue::first).await? {
                Ok(first) => return first,
                Err(error) => {
                    tracing::error!(%error, "the queue on disk cannot be read");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// The oldest request is settled.
    pub(super) async fn remove_first(&self) {
        self.work(DiskQueue::remove_first).await;
    }

    /// Keeps a request.
    pub(super) async fn keep(&mut self, request: Bytes, records: usize, end: End) -> Kept {
        let kept = self
            .work(move |disk| match end {
                End::Front => disk.prepend(&request, records),
                End::Back => disk.append(&request, records),
            })
            .await;
        match kept {
            Some(Ok(true)) => return Kept::Yes,
            Some(Ok(false)) => return Kept::NoRoom,
            Some(Err(error)) => {
                tracing::error!(%error, records, "records cannot be kept on disk");
            }
            None => {}
        }
        self.usable_from = Instant::now() + PAUSE;
        Kept::Failed
    }

    /// `None` when the work was not done because the process ends.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut DiskQueue) -> T + Send + 'static,
    ) -> Option<T> {
        let disk = Arc::clone(&self.disk);
        let done = tokio::task::spawn_blocking(move || {
            work(&mut disk.lock().unwrap_or_else(PoisonError::into_inner))
        });
        match done.await {
            Ok(result) => Some(result),
            Err(error) => {
                tracing::error!(%error, "the queue on disk");
                None
            }
        }
    }
}
