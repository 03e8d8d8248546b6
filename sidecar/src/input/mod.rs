//! Follows files into the journal.
//!
//! # Contract
//! - Lines go the way of flow records over OTLP: into the journal, then to the scoring thread. Each file is an exporter of
//!   its own, `file:<input>:<fingerprint>`, and a line's number is its sequence number.
//! - One batch at a time is under way for an input, and none is given up: when the store cannot take it, it is tried
//!   again until the sidecar stops.
//! - At the start the scoring thread, which has replayed the journal by then, says how far each file was told; reading
//!   goes on from there. So a crash neither loses a line nor counts one twice, as long as its file can still be read.
//! - [`Inputs::apply`] exchanges what is followed while the sidecar runs. An input that changed is stopped, its last
//!   batch settled, and begun again from where its files were told: positions belong to an input's name. One that is
//!   taken away keeps them, too, for when it comes back.
//!
//! # Limits
//! Lines of more files than `receive.max_exporters` knows are read again after a restart.

mod follower;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use beaconwatch_inputs::tail::TailStatus;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::InputConfig;
use crate::observe::Observer;
use crate::receive::Receiver;
use follower::Follower;

/// Begins the identity of every file among the exporters. Exporters over OTLP may not have it.
pub(crate) const FILE_PREFIX: &str = "file:";

/// What each input did since it began, by name.
#[derive(Clone, Debug, Default)]
struct Statuses(Arc<Mutex<BTreeMap<String, TailStatus>>>);

impl Statuses {
    fn set(&self, name: &str, status: TailStatus) {
        let mut statuses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        statuses.insert(name.to_owned(), status);
    }

    fn set_lag(&self, name: &str, lag_bytes: u64) {
        let mut statuses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        statuses.entry(name.to_owned()).or_default().lag_bytes = lag_bytes;
    }

    fn remove(&self, name: &str) {
        let mut statuses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        statuses.remove(name);
    }
}

/// An input that is followed.
#[derive(Debug)]
struct Running {
    config: InputConfig,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// All inputs, which can be exchanged while they are followed. Clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    receiver: Receiver,
    observer: Observer,
    statuses: Statuses,
    stop: CancellationToken,
    running: Arc<tokio::sync::Mutex<BTreeMap<String, Running>>>,
}

impl Inputs {
    /// Follows nothing yet, and nothing any more after `stop`.
    pub(crate) fn new(receiver: Receiver, observer: Observer, stop: CancellationToken) -> Self {
        Self {
            receiver,
            observer,
            statuses: Statuses::default(),
            stop,
            running: Arc::default(),
        }
    }

    /// Follows what `wanted` names, and nothing else. What stays as it was is not disturbed, unless it has ended by a
    /// fault of its own.
    pub(crate) async fn apply(&self, wanted: &BTreeMap<String, InputConfig>) {
        let mut running = self.running.lock().await;
        let stays = |name: &str, it: &Running| {
            wanted.get(name) == Some(&it.config) && !it.task.is_finished()
        };
        let ended = running.extract_if(.., |name, it| !stays(name, it));
        let ended: Vec<(String, Running)> = ended.collect();
        for (_, it) in &ended {
            it.stop.cancel();
        }
        for (name, it) in ended {
            if let Err(error) = it.task.await {
                tracing::error!(input = name, %error, "following had failed");
            }
            self.statuses.remove(&name);
        }
        for (name, config) in wanted {
            if !running.contains_key(name) {
                running.insert(name.clone(), self.follow(name, config));
            }
        }
    }

    fn follow(&self, name: &str, config: &InputConfig) -> Running {
        let InputConfig::Tail(tail) = config;
        let stop = self.stop.child_token();
        self.statuses.set(name, TailStatus::default());
        let follower = Follower {
            name: name.to_owned(),
            config: tail.clone(),
            receiver: self.receiver.clone(),
            observer: self.observer.clone(),
            statuses: self.statuses.clone(),
            stop: stop.clone(),
        };
        Running {
            config: config.clone(),
            stop,
            task: tokio::spawn(follower.run()),
        }
    }

    /// What each input did since it began, by name.
    pub(crate) fn statuses(&self) -> BTreeMap<String, TailStatus> {
        let statuses = self.statuses.0.lock();
        statuses.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until nothing is followed any more, at the latest until `end`.
    pub(crate) async fn stopped(&self, end: Instant) {
        let running = std::mem::take(&mut *self.running.lock().await);
        for (name, mut it) in running {
            it.stop.cancel();
            match tokio::time::timeout_at(end, &mut it.task).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(input = name, %error, "following had failed"),
                Err(_elapsed) => it.task.abort(),
            }
        }
    }

    /// Ends everything at once.
    pub(crate) fn abort(&self) {
        if let Ok(running) = self.running.try_lock() {
            running.values().for_each(|it| it.task.abort());
        }
        self.stop.cancel();
    }
}
