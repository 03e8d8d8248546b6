//! Follows files into the journal.
//!
//! # Contract
//! - Lines go the way of flow records over OTLP: into the journal, then to the scoring thread. Each file is an exporter of
//!   its own, `file:<input>:<fingerprint>`, and a line's number is its sequence number.
//! - One batch at a time is under way for an input, and none is given up: when the store cannot take it, it is tried
//!   again until the sidecar stops.
//! - At the start the scoring thread, which has replayed the journal by then, says how far each file was told; reading
//!   goes on from there. So a crash neither loses a line nor counts one twice, as long as its file can still be read.
//!
//! # Limits
//! Lines of more files than `receive.max_exporters` knows are read again after a restart.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use beaconwatch_detector::Timestamp;
use beaconwatch_inputs::tail::{Polled, TailStatus, TailedLine, Tailer};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, InputConfig, TailConfig};
use crate::observe::Observer;
use crate::receive::{Batch, Receiver, Record};
use crate::status::StatusSource;

/// Begins the identity of every file among the exporters. Exporters over OTLP may not have it.
pub(crate) const FILE_PREFIX: &str = "file:";
/// Lines of one batch.
const LINES_MAX: usize = 2000;

/// What each input did since the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct InputStatuses {
    inputs: Arc<Mutex<BTreeMap<String, TailStatus>>>,
}

impl InputStatuses {
    fn set(&self, name: &str, status: TailStatus) {
        let mut inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        inputs.insert(name.to_owned(), status);
    }
}

impl StatusSource for InputStatuses {
    fn name(&self) -> &'static str {
        "inputs"
    }

    fn status(&self) -> serde_json::Value {
        let inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::to_value(&*inputs).unwrap_or_default()
    }
}

/// Starts to follow all that the configuration names.
pub(crate) fn start(
    config: &Config,
    receiver: &Receiver,
    observer: &Observer,
    statuses: &InputStatuses,
    stop: &CancellationToken,
) -> Vec<JoinHandle<()>> {
    let follow = |(name, input): (&String, &InputConfig)| {
        let InputConfig::Tail(tail) = input;
        let follower = Follower {
            name: name.clone(),
            config: tail.clone(),
            receiver: receiver.clone(),
            observer: observer.clone(),
            statuses: statuses.clone(),
            stop: stop.clone(),
        };
        tokio::spawn(follower.run())
    };
    config.inputs.iter().map(follow).collect()
}

struct Follower {
    name: String,
    config: TailConfig,
    receiver: Receiver,
    observer: Observer,
    statuses: InputStatuses,
    stop: CancellationToken,
}

impl Follower {
    async fn run(self) {
        let prefix = format!("{FILE_PREFIX}{}:", self.name);
        let Ok(positions) = self.observer.positions(prefix.clone()).await else {
            return;
        };
        let told = |(id, next): (Arc<str>, u64)| Some((id.strip_prefix(&prefix)?.into(), next));
        let positions: HashMap<Arc<str>, u64> = positions.into_iter().filter_map(told).collect();
        let mut tailer = match Tailer::new(self.config.settings(), positions) {
            Ok(tailer) => tailer,
            Err(error) => {
                tracing::error!(input = self.name, %error, "the input cannot be followed");
                return;
            }
        };
        let interval = Duration::from_millis(self.config.poll_interval_ms);
        while !self.stop.is_cancelled() {
            let read = tokio::task::spawn_blocking(move || {
                let polled = tailer.poll(LINES_MAX);
                (tailer, polled)
            });
            let Ok((read, polled)) = read.await else {
                tracing::error!(input = self.name, "reading failed: the input ends");
                return;
            };
            tailer = read;
            let Polled { lines, more } = polled;
            if !lines.is_empty() && !self.keep(&prefix, lines).await {
                return;
            }
            // Told only now: what is counted as read is on disk.
            self.statuses.set(&self.name, tailer.status().clone());
            if !more {
                self.pause(interval).await;
            }
        }
    }

    /// Writes lines to the journal, however often that takes; false when the sidecar stops.
    async fn keep(&self, prefix: &str, lines: Vec<TailedLine>) -> bool {
        let batch = batch(prefix, self.receiver.now(), lines);
        loop {
            let Err(error) = self.receiver.accept_lines(batch.clone()).await else {
                return true;
            };
            tracing::warn!(input = self.name, %error, "lines wait");
            self.pause(error.retry_after().unwrap_or(Duration::from_secs(1)))
                .await;
            if self.stop.is_cancelled() {
                return false;
            }
        }
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn batch(prefix: &str, received: Timestamp, lines: Vec<TailedLine>) -> Batch {
    let mut exporters: Vec<Arc<str>> = Vec::new();
    let mut index: HashMap<Arc<str>, u32> = HashMap::new();
    let records = lines
        .into_iter()
        .map(|line| {
            let exporter = *index.entry(line.file).or_insert_with_key(|file| {
                exporters.push(format!("{prefix}{file}").into());
                u32::try_from(exporters.len() - 1).unwrap_or(u32::MAX)
            });
            Record {
                exporter,
                sequence: line.number,
                observation: line.observation,
            }
        })
        .collect();
    Batch {
        received,
        exporters,
        records,
        places: Vec::new(),
    }
}
