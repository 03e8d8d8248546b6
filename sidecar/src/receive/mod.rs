//! Receives OTLP logs: gRPC, HTTP (Protocol Buffers and JSON) and from inside of the process.
//!
//! All ways end in [`Receiver::accept_encoded`]: decode, wait until the store has the batch on disk,
//! answer. A request is refused as retryable when more records wait than the limit, when more requests
//! are worked on than the limit, or when the store cannot write.

mod access;
mod batch;
mod body;
mod decode;
mod flow_record;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod grpc;
mod http;
mod json;
mod telemetry;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use beaconwatch_detector::Timestamp;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use access::Senders;
pub use batch::{Batch, Decoded, Fault, Place, Record, Rejection, Rejections};
pub use beaconwatch_inputs::telemetry::DecodeError as TelemetryError;
pub(crate) use body::{BodyError, gunzip};
pub use decode::{DecodeError, DecodeLimits, decode};
pub(crate) use grpc::grpc_router;
pub(crate) use http::http_router;
pub(crate) use telemetry::{Posted, Poster};
pub use wire::WireError;

use crate::clock::Clock;
use crate::config::ReceiveConfig;
use crate::store::{Store, StoreError};

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The request cannot be read, now or later.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A batch of telemetry cannot be read, now or later.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// More waits to be scored than the limit.
    #[error("{waiting} log records wait to be scored, the limit is {limit}: send again later")]
    Behind {
        /// Records that wait.
        waiting: usize,
        /// The limit.
        limit: usize,
        /// When to send again.
        retry_after: Duration,
    },
    /// More requests are worked on than the limit.
    #[error("{limit} requests are worked on, which is the limit: send again later")]
    Busy {
        /// The limit.
        limit: usize,
        /// When to send again.
        retry_after: Duration,
    },
    /// The store could not write.
    #[error("{source}")]
    Store {
        /// Why.
        source: StoreError,
        /// When to send again.
        retry_after: Duration,
    },
    /// The sidecar is stopping.
    #[error("stopping: send again later")]
    Stopping {
        /// When to send again.
        retry_after: Duration,
    },
}

impl AcceptError {
    /// When to send the same request again; `None` when that cannot help.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Decode(_) | Self::Telemetry(_) => None,
            Self::Behind { retry_after, .. }
            | Self::Busy { retry_after, .. }
            | Self::Store { retry_after, .. }
            | Self::Stopping { retry_after } => Some(*retry_after),
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.retry_after().is_some()
    }
}

/// What has been received since the start.
#[derive(Debug, Default)]
pub(crate) struct ReceiveCounters {
    pub(crate) requests: AtomicU64,
    pub(crate) requests_refused: AtomicU64,
    pub(crate) requests_unauthenticated: AtomicU64,
    pub(crate) requests_put_off: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) heartbeats: AtomicU64,
    pub(crate) foreign: AtomicU64,
    rejections: Mutex<Rejections>,
}

impl ReceiveCounters {
    fn accepted(&self, decoded: &Decoded, records: u64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let flows = records.saturating_sub(decoded.heartbeats);
        self.records.fetch_add(flows, Ordering::Relaxed);
        self.heartbeats
            .fetch_add(decoded.heartbeats, Ordering::Relaxed);
        self.foreign.fetch_add(decoded.foreign, Ordering::Relaxed);
        if decoded.rejections.is_empty() {
            return;
        }
        let mut rejections = self
            .rejections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (reason, count) in &decoded.rejections {
            *rejections.entry(*reason).or_insert(0) += count;
        }
    }

    /// Refused records by reason.
    pub(crate) fn rejections(&self) -> Rejections {
        self.rejections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[derive(Debug)]
struct Inner {
    config: ReceiveConfig,
    store: Store,
    clock: Clock,
    counters: ReceiveCounters,
    /// One permit per record that may wait.
    room: Arc<Semaphore>,
    /// One permit per request that is worked on.
    requests: Arc<Semaphore>,
    joiner: telemetry::Joiner,
    stopping: AtomicBool,
}

/// Where requests go, however they come. Clones share everything.
#[derive(Clone, Debug)]
pub struct Receiver {
    inner: Arc<Inner>,
}

impl Receiver {
    pub(crate) fn new(config: ReceiveConfig, store: Store, clock: Clock) -> Self {
        let room = Arc::new(Semaphore::new(config.max_queued_records));
        let requests = Arc::new(Semaphore::new(config.max_requests));
        let counters = ReceiveCounters::default();
        let stopping = AtomicBool::new(false);
        Self {
            inner: Arc::new(Inner {
                config,
                store,
                clock,
                counters,
                room,
                requests,
                joiner: telemetry::Joiner::default(),
                stopping,
            }),
        }
    }

    /// Accepts a request; when this returns `Ok`, its records are on disk.
    pub async fn accept(
        &self,
        request: ExportLogsServiceRequest,
    ) -> Result<ExportLogsServiceResponse, AcceptError> {
        // One decoder for all ways in: what it costs to encode again buys one set of rules and limits.
        self.accept_encoded(&request.encode_to_vec()).await
    }

    /// Accepts a request in Protocol Buffers encoding; when this returns `Ok`, its records are on disk.
    pub async fn accept_encoded(
        &self,
        request: &[u8],
    ) -> Result<ExportLogsServiceResponse, AcceptError> {
        let outcome = self.try_accept(request).await;
        match &outcome {
            Ok(_) => {}
            Err(error) if error.is_retryable() => self.count_put_off(),
            Err(_) => self.count_refused(),
        }
        outcome
    }

    async fn try_accept(&self, request: &[u8]) -> Result<ExportLogsServiceResponse, AcceptError> {
        let inner = &self.inner;
        let retry_after = self.retry_after();
        if inner.stopping.load(Ordering::Relaxed) {
            return Err(AcceptError::Stopping { retry_after });
        }
        let limits = DecodeLimits {
            records: inner.config.max_records,
            attributes: inner.config.max_attributes,
            string_bytes: inner.config.max_string_bytes,
        };
        let mut decoded = decode(request, inner.clock.now(), limits)?;
        let batch = std::mem::take(&mut decoded.batch);
        let records = batch.records.len();
        if records > 0 {
            let permit = self.reserve(records).await?;
            let appended = inner.store.append(batch, permit).await;
            appended.map_err(|source| AcceptError::Store {
                source,
                retry_after,
            })?;
        }
        inner.counters.accepted(&decoded, records as u64);
        Ok(response(&decoded))
    }

    /// Accepts lines of files; when this returns `Ok`, they are on disk.
    pub(crate) async fn accept_lines(&self, batch: Batch) -> Result<(), AcceptError> {
        let retry_after = self.retry_after();
        if self.inner.stopping.load(Ordering::Relaxed) {
            return Err(AcceptError::Stopping { retry_after });
        }
        let permit = self.reserve(batch.records.len()).await?;
        let appended = self.inner.store.append(batch, permit).await;
        appended.map_err(|source| AcceptError::Store {
            source,
            retry_after,
        })
    }

    /// What time it is for what comes in.
    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Room for `records`; a request larger than all the room takes all of it.
    async fn reserve(&self, records: usize) -> Result<OwnedSemaphorePermit, AcceptError> {
        let limit = self.inner.config.max_queued_records;
        let wanted = u32::try_from(records.min(limit)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.inner.room).acquire_many_owned(wanted);
        match tokio::time::timeout(self.max_wait(), room).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(AcceptError::Behind {
                waiting: self.waiting(),
                limit,
                retry_after: self.retry_after(),
            }),
        }
    }

    /// A place among the requests that are worked on, taken before a body is read.
    pub(crate) async fn admit(&self) -> Result<OwnedSemaphorePermit, AcceptError> {
        let place = Arc::clone(&self.inner.requests).acquire_owned();
        if let Ok(Ok(permit)) = tokio::time::timeout(self.max_wait(), place).await {
            return Ok(permit);
        }
        self.count_put_off();
        let limit = self.inner.config.max_requests;
        Err(AcceptError::Busy {
            limit,
            retry_after: self.retry_after(),
        })
    }

    fn max_wait(&self) -> Duration {
        Duration::from_millis(self.inner.config.max_wait_ms)
    }

    pub(crate) fn config(&self) -> &ReceiveConfig {
        &self.inner.config
    }

    pub(crate) fn counters(&self) -> &ReceiveCounters {
        &self.inner.counters
    }

    /// Records that wait to be stored and scored.
    pub(crate) fn waiting(&self) -> usize {
        self.inner
            .config
            .max_queued_records
            .saturating_sub(self.inner.room.available_permits())
    }

    pub(crate) fn stop(&self) {
        self.inner.stopping.store(true, Ordering::Relaxed);
    }

    fn retry_after(&self) -> Duration {
        Duration::from_secs(self.inner.config.retry_after_s)
    }

    fn count_put_off(&self) {
        self.inner
            .counters
            .requests_put_off
            .fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request of somebody who may not send.
    fn count_unauthenticated(&self) {
        self.count_refused();
        self.inner
            .counters
            .requests_unauthenticated
            .fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that was refused before it was decoded.
    pub(crate) fn count_refused(&self) {
        self.inner
            .counters
            .requests_refused
            .fetch_add(1, Ordering::Relaxed);
    }
}

fn response(decoded: &Decoded) -> ExportLogsServiceResponse {
    let rejected = decoded.rejected();
    let partial_success = (rejected > 0).then(|| ExportLogsPartialSuccess {
        rejected_log_records: i64::try_from(rejected).unwrap_or(i64::MAX),
        error_message: format!("log records refused: {}", decoded.rejection_message()),
    });
    ExportLogsServiceResponse { partial_success }
}
