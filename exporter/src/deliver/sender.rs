//! [`Sender`]: takes events from the queue, makes requests and sends them, one after the other.
//!
//! A request is repeated unchanged until the receiver takes it, refuses it for good, or the queue overflows
//! while it waits: then it is the oldest and gives way, counted as the queue's loss. A time that the
//! receiver named is kept for the next request too. When the exporter stops, what is queued is sent until
//! the deadline; an attempt that is cut off is counted as unconfirmed, the rest as unsent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use tokio_util::sync::CancellationToken;

use super::{Queue, RetryPolicy};
use crate::otlp::logs::{LogEncoder, NumberedEvent};
use crate::otlp::{ExportError, LogsTarget};
use crate::telemetry::{LossPlace, Telemetry};

#[cfg(test)]
mod tests;

/// Limits of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Records at most.
    pub max_records: usize,
    /// Encoded bytes at most (a single larger record still goes alone).
    pub max_bytes: usize,
}

impl Default for BatchLimits {
    fn default() -> Self {
        // gRPC receivers take messages up to 4 MiB unless told otherwise.
        Self {
            max_records: 2048,
            max_bytes: 3 * 1024 * 1024,
        }
    }
}

/// Sends what the queue holds; see the module.
pub struct Sender {
    /// Where events come from.
    pub queue: Arc<Queue>,
    /// Where requests go.
    pub target: Arc<dyn LogsTarget>,
    /// Makes log records.
    pub encoder: LogEncoder,
    /// Limits of one request.
    pub limits: BatchLimits,
    /// Back-off.
    pub retry: RetryPolicy,
    /// Where results are counted.
    pub telemetry: Arc<Telemetry>,
}

/// What became of one request.
enum Outcome {
    Taken(ExportLogsServiceResponse),
    Lost(LossPlace),
    Abandoned(LossPlace),
}

impl Sender {
    /// Sends until the queue is closed and empty, or `abandon` is cancelled.
    pub async fn run(self, abandon: CancellationToken) {
        let mut hold: Option<Duration> = None;
        loop {
            let taken = tokio::select! {
                biased;
                () = abandon.cancelled() => break,
                taken = self.queue.take(self.limits.max_records) => taken,
            };
            let Some(events) = taken else { break };
            let (request, count) = self.batch(events);
            let outcome = self.deliver(&request, &mut hold, &abandon).await;
            self.account(count, &outcome);
            self.queue.settle();
            if matches!(outcome, Outcome::Abandoned(_)) {
                break;
            }
        }
        let unsent = self.queue.discard(LossPlace::Unsent);
        if unsent > 0 {
            tracing::warn!(records = unsent, "stopped before these records were sent");
        }
    }

    /// Encodes as many events as fit into a request and gives the rest back.
    fn batch(&self, events: Vec<NumberedEvent>) -> (Bytes, usize) {
        let mut request = self.encoder.request(events.len(), self.limits.max_bytes);
        let mut events = events.into_iter();
        let mut rest = Vec::new();
        for event in events.by_ref() {
            if !request.push(&event) {
                rest.push(event);
                break;
            }
        }
        rest.extend(events);
        if !rest.is_empty() {
            self.queue.give_back(rest);
        }
        let count = request.count();
        (request.finish(), count)
    }

    /// Repeats one request until it is settled. `hold` is how long the receiver wants to be left alone.
    async fn deliver(
        &self,
        request: &Bytes,
        hold: &mut Option<Duration>,
        abandon: &CancellationToken,
    ) -> Outcome {
        let overflows = self.queue.overflows();
        let mut attempt = 0;
        loop {
            if let Some(wait) = hold.take() {
                let until = tokio::time::Instant::now() + wait;
                tokio::select! {
                    () = abandon.cancelled() => return Outcome::Abandoned(LossPlace::Unsent),
                    () = self.queue.overflowed_since(overflows), if attempt > 0 => {
                        let left = until.saturating_duration_since(tokio::time::Instant::now());
                        *hold = Some(left);
                        return Outcome::Lost(LossPlace::Queue);
                    }
                    () = tokio::time::sleep_until(until) => {}
                }
            }
            let answer = tokio::select! {
                () = abandon.cancelled() => return Outcome::Abandoned(LossPlace::Unconfirmed),
                answer = self.target.export(request.clone()) => answer,
            };
            match answer {
                Ok(response) => return Outcome::Taken(response),
                Err(error) => {
                    self.telemetry
                        .failed(&error.to_string(), error.is_retryable());
                    if !error.is_retryable() {
                        tracing::error!(%error, "request refused for good");
                        return Outcome::Lost(LossPlace::Refused);
                    }
                    *hold = Some(self.wait(attempt, &error));
                }
            }
            attempt += 1;
        }
    }

    fn wait(&self, attempt: u32, error: &ExportError) -> Duration {
        let wait = self
            .retry
            .delay(attempt, error.retry_after(), rand::random());
        if attempt == 0 {
            tracing::warn!(%error, wait_s = wait.as_secs_f64(), "request failed; trying again");
        } else {
            tracing::debug!(%error, attempt, wait_s = wait.as_secs_f64(), "request failed again");
        }
        wait
    }

    fn account(&self, count: usize, outcome: &Outcome) {
        let count = count as u64;
        match outcome {
            Outcome::Taken(response) => {
                let rejected = rejected(response).min(count);
                self.telemetry.lose(LossPlace::Rejected, rejected);
                self.telemetry.took(count - rejected);
            }
            Outcome::Lost(place) | Outcome::Abandoned(place) => {
                self.telemetry.lose(*place, count);
                tracing::warn!(records = count, place = place.name(), "records lost");
            }
        }
    }
}

/// Records that a receiver rejected although it took the request.
fn rejected(response: &ExportLogsServiceResponse) -> u64 {
    let Some(partial) = &response.partial_success else {
        return 0;
    };
    let rejected = u64::try_from(partial.rejected_log_records).unwrap_or(0);
    if rejected > 0 {
        tracing::error!(
            rejected,
            message = partial.error_message,
            "receiver rejected records"
        );
    } else if !partial.error_message.is_empty() {
        tracing::warn!(
            message = partial.error_message,
            "receiver took the records with a warning"
        );
    }
    rejected
}
