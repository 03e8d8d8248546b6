//! Batches of packets that other sensors post as JSON, on their way into the journal.
//!
//! # Contract
//! - A batch is answered when what it told is in the journal on disk, like an OTLP request, and counts once
//!   however often it comes: while the process lives the joiner knows its id, and over restarts the scoring thread
//!   does, which keeps the ids with its state.
//! - Packets are joined to connections in memory. What a batch told that could not be written waits here and is
//!   written before anything else is taken: the sender, who was told to come again, is answered then.
//! - A restart ends the connections that were open; their next packets begin new ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use beaconwatch_detector::Timestamp;
use beaconwatch_inputs::telemetry::{self, Connections, DecodeError, Limits};
use tokio::sync::Mutex;

use super::{AcceptError, Batch, Receiver, Record};

/// What has been posted since the start.
#[derive(Debug, Default)]
pub(crate) struct TelemetryCounters {
    pub(crate) batches: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) events_skipped: AtomicU64,
}

/// Joins packets to connections, one batch after the other.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    state: Mutex<State>,
    pub(super) counters: TelemetryCounters,
}

#[derive(Debug)]
struct State {
    connections: Connections,
    /// What was told and could not be written.
    unwritten: Option<Batch>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            connections: Connections::new(Limits::default()),
            unwritten: None,
        }
    }
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Posted {
    pub(crate) batch_id: String,
    pub(crate) events_received: u64,
    pub(crate) events_skipped: u64,
    pub(crate) problems: Vec<String>,
    /// Whether the batch had come before: then it told nothing.
    pub(crate) repeated: bool,
    /// Observations that the scoring thread gets.
    pub(crate) observations: u64,
}

impl Receiver {
    /// Accepts a batch of telemetry; when this returns `Ok`, what it told is on disk.
    pub(crate) async fn accept_telemetry(&self, body: bytes::Bytes) -> Result<Posted, AcceptError> {
        let outcome = self.try_accept_telemetry(body).await;
        match &outcome {
            Ok(posted) => self.count_posted(posted),
            Err(error) if error.is_retryable() => self.count_put_off(),
            Err(_) => self.count_refused(),
        }
        outcome
    }

    async fn try_accept_telemetry(&self, body: bytes::Bytes) -> Result<Posted, AcceptError> {
        let inner = &self.inner;
        let retry_after = self.retry_after();
        if inner.stopping.load(Ordering::Relaxed) {
            return Err(AcceptError::Stopping { retry_after });
        }
        let limit = inner.config.max_records;
        let decode = move || telemetry::decode(&body, limit);
        let decoded: Result<_, DecodeError> = tokio::task::spawn_blocking(decode)
            .await
            .map_err(|_ended| AcceptError::Stopping { retry_after })?;
        let batch = decoded?;
        let permit = self.reserve(batch.events.len()).await?;
        let mut state = inner.joiner.state.lock().await;
        if let Some(unwritten) = &state.unwritten {
            let room = self.reserve(unwritten.records.len()).await?;
            self.journal(unwritten.clone(), room).await?;
            state.unwritten = None;
        }
        let taken = state.connections.take(&batch);
        let mut posted = Posted {
            batch_id: batch.batch_id.clone(),
            events_received: batch.events_received,
            events_skipped: batch.events_skipped,
            problems: batch.problems,
            repeated: taken.repeated,
            observations: 0,
        };
        if taken.repeated {
            return Ok(posted);
        }
        let now = inner.clock.now();
        let mut observations = taken.observations;
        observations.extend(state.connections.expire(now));
        posted.observations = observations.len() as u64;
        let told = Batch::posted(&batch.node_id, &batch.batch_id, now, observations);
        if let Err(error) = self.journal(told.clone(), permit).await {
            state.unwritten = Some(told);
            return Err(error);
        }
        Ok(posted)
    }

    async fn journal(
        &self,
        batch: Batch,
        permit: tokio::sync::OwnedSemaphorePermit,
    ) -> Result<(), AcceptError> {
        let appended = self.inner.store.append(batch, permit).await;
        appended.map_err(|source| AcceptError::Store {
            source,
            retry_after: self.retry_after(),
        })
    }

    fn count_posted(&self, posted: &Posted) {
        let counters = &self.inner.joiner.counters;
        counters.batches.fetch_add(1, Ordering::Relaxed);
        let repeated = u64::from(posted.repeated);
        counters.repeated.fetch_add(repeated, Ordering::Relaxed);
        if posted.repeated {
            return;
        }
        let (events, skipped) = (posted.events_received, posted.events_skipped);
        counters.events.fetch_add(events, Ordering::Relaxed);
        counters
            .events_skipped
            .fetch_add(skipped, Ordering::Relaxed);
    }

    /// What has been posted since the start.
    pub(crate) fn telemetry_counters(&self) -> &TelemetryCounters {
        &self.inner.joiner.counters
    }
}

/// Stands first among the exporters of a batch that was posted. No exporter's identity is empty.
const POSTED: &str = "";
/// Stands before a node's name where exporters are named.
const NODE_PREFIX: &str = "telemetry:";

/// Who posted a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Poster {
    /// The node, named as exporters are.
    pub(crate) exporter: Arc<str>,
    /// Identity of the batch.
    pub(crate) batch_id: Arc<str>,
}

impl Batch {
    fn posted(
        node_id: &str,
        batch_id: &str,
        received: Timestamp,
        observations: Vec<beaconwatch_detector::Observation>,
    ) -> Self {
        let records = (0..)
            .zip(observations)
            .map(|(sequence, observation)| Record {
                exporter: 1,
                sequence,
                observation: Some(observation),
            });
        Self {
            received,
            exporters: vec![
                POSTED.into(),
                format!("{NODE_PREFIX}{node_id}").into(),
                batch_id.into(),
            ],
            records: records.collect(),
            places: Vec::new(),
        }
    }

    /// Who posted the batch; `None` for one that came over OTLP.
    pub(crate) fn poster(&self) -> Option<Poster> {
        match self.exporters.as_slice() {
            [mark, exporter, batch_id] if &**mark == POSTED => Some(Poster {
                exporter: Arc::clone(exporter),
                batch_id: Arc::clone(batch_id),
            }),
            _ => None,
        }
    }
}
