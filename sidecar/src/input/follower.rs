//! One input that is followed, from its start to its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use beaconwatch_detector::Timestamp;
use beaconwatch_inputs::tail::{Polled, TailedLine, Tailer};
use tokio_util::sync::CancellationToken;

use super::{FILE_PREFIX, Statuses};
use crate::config::TailConfig;
use crate::observe::Observer;
use crate::receive::{Batch, Receiver, Record};

/// Lines of one batch.
const LINES_MAX: usize = 2000;

pub(super) struct Follower {
    pub(super) name: String,
    pub(super) config: TailConfig,
    pub(super) receiver: Receiver,
    pub(super) observer: Observer,
    pub(super) statuses: Statuses,
    pub(super) stop: CancellationToken,
}

impl Follower {
    pub(super) async fn run(self) {
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
        let mut bytes_kept = 0;
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
            let unkept = tailer.status().bytes_read - bytes_kept;
            let lag = || tailer.lag_bytes() + unkept;
            if !lines.is_empty() && !self.keep(&prefix, lines, lag).await {
                return;
            }
            // Told only now: what is counted as read is on disk.
            self.statuses.set(&self.name, tailer.status().clone());
            bytes_kept = tailer.status().bytes_read;
            if !more {
                self.pause(interval).await;
            }
        }
    }

    /// Writes lines to the journal, however often that takes; false when the input is to end. `lag_bytes` is what is
    /// behind as long as they are not written.
    async fn keep(
        &self,
        prefix: &str,
        lines: Vec<TailedLine>,
        lag_bytes: impl Fn() -> u64,
    ) -> bool {
        let batch = batch(prefix, self.receiver.now(), lines);
        loop {
            let Err(error) = self.receiver.accept_lines(batch.clone()).await else {
                return true;
            };
            tracing::warn!(input = self.name, %error, "lines wait");
            self.statuses.set_lag(&self.name, lag_bytes());
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
