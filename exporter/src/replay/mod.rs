//! [`Replay`]: the packets of captures as a source of flows, in the place of the kernel part. Needs no rights.
//!
//! ```text
//! input (pcap, pcapng, gzip) -> flows (records, slices) -> the exporter, as over the live capture
//! ```
//!
//! # Contract
//! - Every flow of TCP, UDP and ICMP echo is told from the end that **initiated** it ([`Role::Client`](beaconwatch_records::Role)):
//!   a capture does not say which end is this host. Owner and network namespace are unknown. Who initiated, where
//!   a flow begins and ends, and which tunnels are taken off is told in [`beaconwatch_packets`].
//! - The clock is the packets': an exporter's times are those of the capture. Nothing depends on when a replay runs
//!   at [`Speed::Max`], so that two replays tell the same.
//! - A TCP connection whose SYN was not captured is marked `start_inferred`. One that ended is told a minute of
//!   capture later, with its stragglers, or at the capture's end. What lives then has no end.
//! - Payload totals and retransmits of TCP are read from sequence numbers; there is no round-trip time.
//!
//! # Limits
//! As many flows as the exporter's table holds (`max_flows`); beyond that the one looked at longest ago ends, and is
//! counted as [`LossCounter::StorageFull`]. A capture that cannot be read on ends the replay: what came before is
//! exported, and [`Progress::failure`] names file and packet. Packets that cannot be read are skipped and counted.

mod flows;
mod input;
mod look;
mod pace;
mod run;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use beaconwatch_records::{FlowRecord, LOSS_COUNTERS, LossCounter};

use crate::capture::CaptureError;
use crate::capture::slices::SliceBatch;
use crate::config::Config;
use crate::flow::Moment;
use crate::pipeline::RunError;
use crate::source::FlowSource;
use crate::telemetry::Telemetry;
use flows::Flows;
use input::{Batch, Feed, Input};
use pace::Pace;
pub use pace::{Speed, SpeedError};
pub use run::export;

/// Records that wait to be sent at most before more is read: nothing is lost by reading faster than sending.
const MOST_QUEUED: u64 = 16_384;
const PAUSE: Duration = Duration::from_millis(2);

/// What is replayed, and how.
#[derive(Clone, Debug)]
pub struct ReplaySettings {
    /// Captures (pcap, pcapng; also gzip), in the order of their times. `-` is standard input.
    pub files: Vec<PathBuf>,
    /// How fast.
    pub speed: Speed,
    /// The host that the flows are of; else the settings', else this one.
    pub host_name: Option<String>,
}

/// Why a replay cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// No capture was named.
    #[error("no capture to replay: expected at least one file")]
    NoFiles,
    /// A file cannot be opened.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is no capture, or cannot be read on; the source says after which packet.
    #[error("{}: {source}", path.display())]
    Capture {
        /// The file.
        path: PathBuf,
        /// Why.
        source: beaconwatch_packets::capture::CaptureError,
    },
    /// The exporter cannot run.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// What a replay has read; stays when the replay has gone into an exporter.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    packets: AtomicU64,
    unreadable: AtomicU64,
    failure: Mutex<Option<ReplayError>>,
    queue: OnceLock<Arc<Telemetry>>,
}

impl Progress {
    /// Lets the replay wait while the queue of this exporter has much to send.
    pub fn wait_for(&self, telemetry: Arc<Telemetry>) {
        // A second exporter over one source does not exist.
        let _first = self.0.queue.set(telemetry);
    }

    /// Packets read.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.0.packets.load(Ordering::Relaxed)
    }

    /// Packets among them that could not be read: without a time, of an unknown link layer, or broken.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.0.unreadable.load(Ordering::Relaxed)
    }

    /// Why reading stopped before the last file's end; told once.
    #[must_use]
    pub fn failure(&self) -> Option<ReplayError> {
        let mut failure = self.0.failure.lock();
        failure
            .as_mut()
            .unwrap_or_else(|poisoned: &mut PoisonError<_>| poisoned.get_mut())
            .take()
    }

    fn fail(&self, error: ReplayError) {
        let mut failure = self
            .0
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *failure = Some(error);
    }

    async fn until_queued(&self, most: u64) {
        let Some(telemetry) = self.0.queue.get() else {
            return;
        };
        while telemetry.counters().queued > most {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Captures as a source of flow records and slices of payload.
#[derive(Debug)]
pub struct Replay {
    feed: Feed,
    batch: Batch,
    /// Frames of the batch that were taken.
    taken: usize,
    flows: Flows,
    pace: Pace,
    /// At full speed: how much of the capture is handed out at a time at most, and up to when now.
    flush_interval_ns: i64,
    flush_due_ns: Option<i64>,
    /// The same of living flows, which are told when nothing else is.
    snapshot_interval_ns: i64,
    snapshot_due_ns: Option<i64>,
    progress: Progress,
}

impl Replay {
    /// Opens the first capture and reads its beginning, so that the clock is known; blocks meanwhile.
    pub fn open(settings: &ReplaySettings, config: &Config) -> Result<Self, ReplayError> {
        let mut input = Input::open(&settings.files)?;
        let mut batch = input.fill();
        if batch.is_empty()
            && let Some(error) = batch.failure.take()
        {
            return Err(error);
        }
        Ok(Self {
            pace: Pace::new(settings.speed, batch.first_time_ns()),
            feed: Feed::new(input),
            batch,
            taken: 0,
            flows: Flows::new(config),
            flush_interval_ns: nanoseconds(config.flush_interval_s),
            flush_due_ns: None,
            snapshot_interval_ns: nanoseconds(config.snapshot_interval_s),
            snapshot_due_ns: None,
            progress: Progress::default(),
        })
    }

    /// What the replay reads.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    fn next_time_ns(&self) -> Option<i64> {
        self.batch.frame(self.taken)?.time_ns
    }

    fn present_ns(&self) -> i64 {
        self.pace.now_ns(self.next_time_ns())
    }

    /// Whether what comes next is to be handed out apart from what came before.
    fn is_past_interval(&self) -> bool {
        let past = self.flush_due_ns.zip(self.next_time_ns());
        self.pace.speed == Speed::Max && past.is_some_and(|(due_ns, next_ns)| next_ns >= due_ns)
    }

    /// At full speed: appends the living flows when that is due before what comes next.
    fn tell_living(&mut self, records: &mut Vec<FlowRecord>) {
        let Some(next_ns) = self
            .next_time_ns()
            .filter(|_| self.pace.speed == Speed::Max)
        else {
            return;
        };
        let following_ns = next_ns.saturating_add(self.snapshot_interval_ns);
        let due_ns = *self.snapshot_due_ns.get_or_insert(following_ns);
        if next_ns >= due_ns {
            self.snapshot_due_ns = Some(following_ns);
            self.pace.reach(due_ns);
            self.flows.snapshot(due_ns, records);
        }
    }

    /// Takes the next frame of the batch; false when there is none.
    fn take_frame(&mut self, records: &mut Vec<FlowRecord>) -> bool {
        let Some(captured) = self.batch.frame(self.taken) else {
            return false;
        };
        self.taken += 1;
        if let Some(time_ns) = captured.time_ns {
            self.pace.reach(time_ns);
            if self.flush_due_ns.is_none_or(|due_ns| time_ns >= due_ns) {
                self.flush_due_ns = Some(time_ns.saturating_add(self.flush_interval_ns));
            }
        }
        self.flows.take(&captured, records);
        true
    }

    /// The rest of a batch: at once, or what is due.
    async fn take_due(&mut self, records: &mut Vec<FlowRecord>) {
        let before = records.len();
        while self.taken < self.batch.len() {
            if let Some(due) = self.pace.due(self.next_time_ns()) {
                if records.len() > before {
                    break;
                }
                tokio::time::sleep_until(due).await;
            }
            self.tell_living(records);
            if self.is_past_interval() && records.len() > before {
                break;
            }
            self.take_frame(records);
        }
        let shared = &self.progress.0;
        let taken = self.batch.numbers_before() + self.taken as u64;
        shared.packets.store(taken, Ordering::Relaxed);
        let unreadable = self.flows.unreadable();
        shared.unreadable.store(unreadable, Ordering::Relaxed);
    }

    /// Goes on to the next batch; false at the end.
    async fn go_on(&mut self) -> bool {
        if let Some(error) = self.batch.failure.take() {
            tracing::error!(%error, "the capture cannot be read on");
            self.progress.fail(error);
        }
        let Some(batch) = self.feed.next().await else {
            return false;
        };
        self.batch = batch;
        self.taken = 0;
        true
    }
}

#[async_trait]
impl FlowSource for Replay {
    async fn read(&mut self, records: &mut Vec<FlowRecord>) -> Result<usize, CaptureError> {
        let before = records.len();
        loop {
            self.progress.until_queued(MOST_QUEUED).await;
            self.take_due(records).await;
            if records.len() > before {
                return Ok(records.len() - before);
            }
            if !self.go_on().await {
                self.flows.settle(records);
                if records.len() == before {
                    self.progress.until_queued(0).await;
                }
                return Ok(records.len() - before);
            }
        }
    }

    fn live_flows(&mut self, records: &mut Vec<FlowRecord>) -> Result<usize, CaptureError> {
        let before = records.len();
        self.flows.snapshot(self.present_ns(), records);
        Ok(records.len() - before)
    }

    fn take_slices(&mut self, batch: &mut SliceBatch) {
        batch.clear();
        std::mem::swap(batch, &mut self.flows.slices);
    }

    fn losses(&self) -> Result<[u64; LOSS_COUNTERS as usize], CaptureError> {
        let counters = self.flows.counters();
        Ok(LossCounter::ALL.map(|counter| match counter {
            LossCounter::StorageFull => counters.evicted,
            LossCounter::Unattributed => counters.strays,
            _ => 0,
        }))
    }

    fn passes_time(&self) -> bool {
        self.pace.speed == Speed::Max
    }

    fn malformed(&self) -> u64 {
        self.flows.unreadable()
    }

    fn now(&self) -> Result<Moment, CaptureError> {
        let ns = u64::try_from(self.present_ns()).unwrap_or(0);
        Ok(Moment {
            boot_ns: ns,
            unix_ns: ns,
        })
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
