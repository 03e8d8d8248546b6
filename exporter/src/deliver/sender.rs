//! [`Sender`]: takes events from the queue, makes requests and sends them, one after the other.
//!
//! A request is repeated unchanged until the receiver takes it, refuses it for good, or the queue overflows
//! while it waits: then it is the oldest and gives way, counted as the queue's loss. A time that the
//! receiver named is kept for the next request too. When the exporter stops, what is queued is sent until
//! the deadline; an attempt that is cut off is counted as unconfirmed, the rest as unsent.
//!
//! With a queue on disk nothing gives way and nothing is unsent. What is there is older than what is in memory
//! and is sent first. A request that failed once goes there, the oldest in memory do when half of the room in
//! memory is taken, and all of it when the exporter stops. An attempt that was cut off is repeated by the next run, as one that
//! got no answer is by this one: a receiver may see it twice.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backlog::{Backlog, End, Kept};
use super::{DiskQueue, Queue, RetryPolicy};
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
    /// Where requests wait that memory has no room for.
    pub disk: Option<DiskQueue>,
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

impl Sender {
    /// Sends until the queue is closed and empty, or `abandon` is cancelled.
    pub async fn run(mut self, abandon: CancellationToken) {
        let backlog = self.disk.take().map(Backlog::new);
        let sending = Sending {
            sender: self,
            backlog,
            hold: None,
            abandon,
        };
        sending.run().await;
    }
}

/// One request on its way.
struct Request {
    bytes: Bytes,
    records: usize,
    on_disk: bool,
}

/// What became of one request.
enum Outcome {
    Taken(ExportLogsServiceResponse),
    Lost(LossPlace),
    Abandoned(LossPlace),
}

/// A sender at work.
struct Sending {
    sender: Sender,
    backlog: Option<Backlog>,
    /// How long the receiver wants to be left alone.
    hold: Option<Duration>,
    abandon: CancellationToken,
}

impl Sending {
    async fn run(mut self) {
        while let Some(mut request) = self.next().await {
            let outcome = self.deliver(&mut request).await;
            let abandoned = matches!(outcome, Outcome::Abandoned(_));
            self.settle(request, outcome).await;
            if abandoned {
                break;
            }
        }
        self.keep_rest().await;
        let unsent = self.sender.queue.discard(LossPlace::Unsent);
        if unsent > 0 {
            tracing::warn!(records = unsent, "stopped before these records were sent");
        }
    }

    /// The oldest request; `None` when there is nothing more to send.
    async fn next(&self) -> Option<Request> {
        if self.abandon.is_cancelled() {
            return None;
        }
        if let Some(backlog) = &self.backlog {
            let first = tokio::select! {
                biased;
                () = self.abandon.cancelled() => return None,
                first = backlog.first() => first,
            };
            if let Some((bytes, records)) = first {
                return Some(Request {
                    bytes,
                    records,
                    on_disk: true,
                });
            }
        }
        let sender = &self.sender;
        let mut events = tokio::select! {
            biased;
            () = self.abandon.cancelled() => return None,
            taken = sender.queue.take(sender.limits.max_records) => taken?,
        };
        let (bytes, records) = self.pack(&events);
        let rest = events.split_off(records);
        if !rest.is_empty() {
            sender.queue.give_back(rest);
        }
        Some(Request {
            bytes,
            records,
            on_disk: false,
        })
    }

    /// Encodes as many events as fit into a request, and says how many.
    fn pack(&self, events: &[NumberedEvent]) -> (Bytes, usize) {
        let Sender {
            encoder, limits, ..
        } = &self.sender;
        let mut request = encoder.request(events.len(), limits.max_bytes);
        for event in events {
            if !request.push(event) {
                break;
            }
        }
        let records = request.count();
        (request.finish(), records)
    }

    /// Moves the oldest events in memory to the disk; false when nothing was moved.
    async fn spill(&mut self) -> bool {
        let queue = Arc::clone(&self.sender.queue);
        let mut events = queue.take_oldest(self.sender.limits.max_records);
        if events.is_empty() {
            return false;
        }
        let (bytes, records) = self.pack(&events);
        let kept = match &mut self.backlog {
            Some(backlog) => backlog.keep(bytes, records, End::Back).await,
            None => Kept::Failed,
        };
        if kept == Kept::NoRoom {
            self.sender.telemetry.lose(LossPlace::Disk, records as u64);
        }
        let rest = match kept {
            Kept::Failed => events,
            Kept::Yes | Kept::NoRoom => events.split_off(records),
        };
        if !rest.is_empty() {
            queue.put_back(rest);
        }
        kept != Kept::Failed
    }

    /// A request that failed once goes to the disk, so that a crash in an outage takes the newest only.
    async fn secure(&mut self, request: &mut Request) {
        let may_spill = self.may_spill();
        if let Some(backlog) = &mut self.backlog
            && may_spill
            && !request.on_disk
        {
            let bytes = request.bytes.clone();
            if backlog.keep(bytes, request.records, End::Front).await == Kept::Yes {
                request.on_disk = true;
                self.sender.queue.settle();
            }
        }
    }

    /// With a queue on disk, what is in memory goes there.
    async fn keep_rest(&mut self) {
        if self.backlog.is_none() {
            return;
        }
        while self.spill().await {}
        let stored = self.sender.telemetry.stored();
        if stored > 0 {
            tracing::info!(records = stored, "kept on disk for the next run");
        }
    }

    /// Repeats one request until it is settled.
    async fn deliver(&mut self, request: &mut Request) -> Outcome {
        let overflows = self.sender.queue.overflows();
        let mut attempt = 0;
        loop {
            if let Some(wait) = self.hold.take() {
                let may_give_way = attempt > 0 && self.backlog.is_none();
                if let Err(outcome) = self.wait_for(wait, may_give_way.then_some(overflows)).await {
                    return outcome;
                }
            }
            let Some(answer) = self.attempt(request).await else {
                return Outcome::Abandoned(LossPlace::Unconfirmed);
            };
            match answer {
                Ok(response) => return Outcome::Taken(response),
                Err(error) => {
                    self.sender
                        .telemetry
                        .failed(&error.to_string(), error.is_retryable());
                    if !error.is_retryable() {
                        tracing::error!(%error, "request refused for good");
                        return Outcome::Lost(LossPlace::Refused);
                    }
                    self.hold = Some(self.sender.wait(attempt, &error));
                    self.secure(request).await;
                }
            }
            attempt += 1;
        }
    }

    /// Waits before an attempt. Given how often the queue had overflowed, a further overflow ends it.
    async fn wait_for(&mut self, wait: Duration, overflows: Option<u64>) -> Result<(), Outcome> {
        let until = Instant::now() + wait;
        let queue = Arc::clone(&self.sender.queue);
        let abandon = self.abandon.clone();
        loop {
            let may_spill = self.may_spill();
            tokio::select! {
                () = abandon.cancelled() => {
                    return Err(Outcome::Abandoned(LossPlace::Unsent));
                }
                () = queue.overflowed_since(overflows.unwrap_or_default()), if overflows.is_some() => {
                    self.hold = Some(until.saturating_duration_since(Instant::now()));
                    return Err(Outcome::Lost(LossPlace::Queue));
                }
                () = queue.crowded(), if may_spill => {
                    self.spill().await;
                }
                () = tokio::time::sleep_until(until) => return Ok(()),
            }
        }
    }

    /// One attempt; `None` when it was cut off.
    async fn attempt(
        &mut self,
        request: &Request,
    ) -> Option<Result<ExportLogsServiceResponse, ExportError>> {
        let target = Arc::clone(&self.sender.target);
        let queue = Arc::clone(&self.sender.queue);
        let abandon = self.abandon.clone();
        let mut answer = target.export(request.bytes.clone());
        loop {
            let may_spill = self.may_spill();
            tokio::select! {
                () = abandon.cancelled() => return None,
                answer = &mut answer => return Some(answer),
                () = queue.crowded(), if may_spill => {
                    self.spill().await;
                }
            }
        }
    }

    fn may_spill(&self) -> bool {
        self.backlog.as_ref().is_some_and(Backlog::is_usable)
    }

    /// Counts what became of a request, and takes it from where it was or keeps it.
    async fn settle(&mut self, request: Request, outcome: Outcome) {
        let Sender {
            queue, telemetry, ..
        } = &self.sender;
        let records = request.records as u64;
        let lost = match outcome {
            Outcome::Taken(response) => {
                let rejected = rejected(&response).min(records);
                telemetry.lose(LossPlace::Rejected, rejected);
                telemetry.took(records - rejected);
                None
            }
            Outcome::Lost(place) => Some(place),
            Outcome::Abandoned(_) if request.on_disk => return,
            Outcome::Abandoned(place) => {
                let kept = match &mut self.backlog {
                    Some(backlog) => {
                        backlog
                            .keep(request.bytes, request.records, End::Front)
                            .await
                    }
                    None => Kept::Failed,
                };
                (kept != Kept::Yes).then_some(place)
            }
        };
        if let Some(place) = lost {
            telemetry.lose(place, records);
            tracing::warn!(records, place = place.name(), "records lost");
        }
        if request.on_disk
            && let Some(backlog) = &self.backlog
        {
            backlog.remove_first().await;
        }
        queue.settle();
    }
}

impl Sender {
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
