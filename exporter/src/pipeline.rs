//! [`Exporter`]: the parts in their order, from the source to the queue, and the sender beside them.
//!
//! One task reads the source, keeps the flow table and fills the queue; another sends. So a slow receiver
//! never holds up the kernel's ring buffer. Stopping: a last reading of the source, then the queue is
//! sent until the drain deadline; what remains is counted.
//!
//! When no event was made for an interval, a heartbeat takes the next number: whoever receives knows that
//! the exporter lives, and that nothing before it was lost on the way. While something waits to be sent there
//! is none, because it could not be sooner there than that.

use std::sync::Arc;

use beaconwatch_records::{FLAG_OWN, FlowRecord, LossCounter, ProcessRecord, RecordKind};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::capture::ledger::Ledger;
use crate::capture::slices::SliceBatch;
use crate::capture::{Capture, CaptureError};
use crate::config::{Config, ConfigError};
use crate::deliver::{DiskError, DiskQueue, Queue, Sampling, Sender};
use crate::enrich::kubernetes::KubernetesError;
use crate::enrich::{OwnProcesses, OwnerLookup, PodReader, Pods, Privacy, host};
use crate::flow::{FlowEvent, FlowEventKind, FlowTable, Moment};
use crate::names::{self, NameReader};
use crate::otlp::LogsTarget;
use crate::otlp::logs::{Content, Identity, LogEncoder, NumberedEvent};
use crate::otlp::metrics::{Metrics, MetricsError};
use crate::source::FlowSource;
use crate::succession::{self, Succession};
use crate::telemetry::{Counters, LossPlace, Telemetry};

/// Events that wait for the next flush at most: under load the queue gets them earlier.
const MAX_WAITING_EVENTS: usize = 8192;

/// Why an export cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The capture cannot start or go on.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The queue on disk cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Metrics cannot be sent.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The kubelet cannot be asked.
    #[error("exporter.kubernetes: {0}")]
    Kubernetes(#[from] KubernetesError),
    /// The thread that hashes executables cannot start.
    #[error("exporter.process.hash: {0}")]
    Hash(#[source] std::io::Error),
    /// A task of the exporter ended by a fault of its own.
    #[error("task: {0}")]
    Task(#[from] JoinError),
}

/// An exporter that is ready to run.
pub struct Exporter<S> {
    config: Config,
    source: S,
    target: Arc<dyn LogsTarget>,
    identity: Identity,
    ledger: Option<Box<Ledger>>,
    privacy: Privacy,
    telemetry: Arc<Telemetry>,
}

/// Captures this host until `shutdown`; returns what was exported and lost.
pub async fn run(
    config: Config,
    target: Arc<dyn LogsTarget>,
    shutdown: CancellationToken,
) -> Result<Counters, RunError> {
    Exporter::start(config, target)?.run(shutdown).await
}

impl Exporter<Capture> {
    /// Starts the capture. Needs a Tokio runtime.
    pub fn start(config: Config, target: Arc<dyn LogsTarget>) -> Result<Self, RunError> {
        config.validate()?;
        // A key that is missing is said before the kernel is asked for anything.
        Privacy::new(&config.privacy)?;
        let source = Capture::start(&config.capture_settings())?;
        Self::with_source(config, source, target)
    }
}

impl<S: FlowSource> Exporter<S> {
    /// Exports from any source.
    pub fn with_source(
        config: Config,
        mut source: S,
        target: Arc<dyn LogsTarget>,
    ) -> Result<Self, RunError> {
        config.validate()?;
        let own_namespace = crate::capture::namespace::own_cookie().unwrap_or_else(|error| {
            tracing::warn!(%error, "own network namespace unknown");
            0
        });
        let privacy = Privacy::new(&config.privacy)?;
        let mut identity = host::identify(&config, &privacy, source.now()?, own_namespace);
        let mut ledger = source.take_ledger();
        if let Some(ledger) = &mut ledger {
            succession::inherit_identity(ledger, &mut identity);
        }
        Ok(Self {
            config,
            source,
            target,
            identity,
            ledger,
            privacy,
            telemetry: Arc::default(),
        })
    }

    /// Counters that may be read while the exporter runs.
    #[must_use]
    pub fn telemetry(&self) -> Arc<Telemetry> {
        Arc::clone(&self.telemetry)
    }

    /// Identity of this run; with pins also of those that it takes over from.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Exports until `shutdown` or until the source ends; returns what was exported and lost.
    pub async fn run(self, shutdown: CancellationToken) -> Result<Counters, RunError> {
        let Self {
            config,
            source,
            target,
            identity,
            ledger,
            privacy,
            telemetry,
        } = self;
        let limits = &config.queue;
        let queue = Arc::new(Queue::new(
            limits.max_records,
            limits.max_bytes,
            Arc::clone(&telemetry),
        ));
        let stop_pods = CancellationToken::new();
        let _stops_pods = stop_pods.clone().drop_guard();
        let owners = look_up_owners(&config, &privacy, stop_pods)?;
        let disk = match limits.disk.settings() {
            Some(settings) => Some(DiskQueue::open(settings, Arc::clone(&telemetry))?),
            None => None,
        };
        let metrics = match start_metrics(&config, &identity, &telemetry, queue.capacity())? {
            Some(starting) => Some(starting.await??),
            None => None,
        };
        let abandon = CancellationToken::new();
        let sampling = config.sampling.sampling();
        let sender = Sender {
            queue: Arc::clone(&queue),
            disk,
            target,
            encoder: LogEncoder::new(identity).with_sampling(sampling.map(Sampling::ratio)),
            limits: config.batch_limits(),
            retry: config.retry_policy(),
            telemetry: Arc::clone(&telemetry),
        };
        let mut sending = tokio::spawn(sender.run(abandon.clone()));
        let queued = Arc::clone(&queue);
        let mut collector = Collector::new(&config, source, owners, privacy, queued, &telemetry);
        if let Some(ledger) = ledger {
            collector.succeed(ledger, config.capture.names)?;
        }
        let collected = collector.run(&config, &shutdown).await;
        queue.close();
        let drained = tokio::time::timeout(config.drain_timeout_s, &mut sending).await;
        if drained.is_err() {
            abandon.cancel();
            sending.await?;
        }
        if let Some(metrics) = metrics {
            metrics.stop(config.drain_timeout_s).await;
        }
        collected?;
        Ok(telemetry.counters())
    }
}

/// The look-up of owners, and the task beside it that asks the kubelet, when the settings want that.
fn look_up_owners(
    config: &Config,
    privacy: &Privacy,
    stop: CancellationToken,
) -> Result<OwnerLookup, RunError> {
    let own = OwnProcesses::of_this_program(&config.own_executables, &config.own_user_ids);
    let pods = if config.kubernetes.enabled {
        let (reader, pods) = PodReader::new(&config.kubernetes, &host::name(config))?;
        tokio::spawn(reader.run(stop));
        pods
    } else {
        Pods::unasked()
    };
    OwnerLookup::new(&config.process, own, privacy.clone(), pods).map_err(RunError::Hash)
}

/// On a thread of the runtime: the thread that sends them may do what the one that starts it may, and needs none of it.
fn start_metrics(
    config: &Config,
    identity: &Identity,
    telemetry: &Arc<Telemetry>,
    queue_capacity: usize,
) -> Result<Option<JoinHandle<Result<Metrics, MetricsError>>>, RunError> {
    let settings = config.metrics_settings(queue_capacity)?;
    if settings.otlp.is_none() && settings.listen.is_none() {
        return Ok(None);
    }
    let (identity, telemetry) = (identity.clone(), Arc::clone(telemetry));
    let start = move || Metrics::start(&settings, &identity, &telemetry);
    Ok(Some(tokio::task::spawn_blocking(start)))
}

/// From the source to the queue.
struct Collector<S> {
    source: S,
    table: FlowTable,
    names: NameReader,
    slices: SliceBatch,
    /// Slices that found no room behind the kernel.
    slices_lost: u64,
    owners: OwnerLookup,
    privacy: Privacy,
    sampling: Option<Sampling>,
    queue: Arc<Queue>,
    telemetry: Arc<Telemetry>,
    records: Vec<FlowRecord>,
    processes: Vec<ProcessRecord>,
    events: Vec<FlowEvent>,
    next_sequence: u64,
    reported_losses: Vec<(LossPlace, u64)>,
    /// With pins.
    succession: Option<Succession>,
}

impl<S: FlowSource> Collector<S> {
    fn new(
        config: &Config,
        source: S,
        owners: OwnerLookup,
        privacy: Privacy,
        queue: Arc<Queue>,
        telemetry: &Arc<Telemetry>,
    ) -> Self {
        let boot = host::boot_id();
        Self {
            source,
            table: FlowTable::new(boot, config.table_settings()),
            names: NameReader::new(boot, privacy.clone(), config.max_flows),
            slices: SliceBatch::default(),
            slices_lost: 0,
            owners,
            privacy,
            sampling: config.sampling.sampling(),
            queue,
            telemetry: Arc::clone(telemetry),
            records: Vec::new(),
            processes: Vec::new(),
            events: Vec::new(),
            next_sequence: 0,
            reported_losses: Vec::new(),
            succession: None,
        }
    }

    /// Goes on where an earlier run ended.
    fn succeed(&mut self, ledger: Box<Ledger>, reads_names: bool) -> Result<(), CaptureError> {
        self.next_sequence = ledger.next_sequence();
        let settings = names::fingerprint(&self.privacy, reads_names);
        let (table, names) = (&mut self.table, &mut self.names);
        self.succession = Some(Succession::new(ledger, table, names, settings)?);
        Ok(())
    }

    async fn run(
        &mut self,
        config: &Config,
        shutdown: &CancellationToken,
    ) -> Result<(), CaptureError> {
        if self.source.passes_time() {
            return self.run_by_records(config, shutdown).await;
        }
        let mut flush = ticks(config.flush_interval_s);
        let mut snapshot = ticks(config.snapshot_interval_s);
        let mut heartbeat = ticks(config.heartbeat_interval_s);
        heartbeat.reset();
        loop {
            let made = self.next_sequence;
            let step = tokio::select! {
                biased;
                () = shutdown.cancelled() => Step::Stop,
                _ = flush.tick() => Step::Flush,
                _ = snapshot.tick() => Step::Snapshot,
                _ = heartbeat.tick() => Step::Heartbeat,
                read = self.source.read(&mut self.records) => match read? {
                    0 => Step::Stop,
                    _ => Step::Apply,
                },
            };
            match step {
                Step::Apply => self.apply()?,
                Step::Flush => self.flush()?,
                // Announces at once what is first seen here.
                Step::Snapshot => {
                    self.snapshot()?;
                    self.flush()?;
                }
                Step::Heartbeat => self.heartbeat()?,
                Step::Stop => return self.stop(),
            }
            if self.next_sequence > made {
                heartbeat.reset();
            }
        }
    }

    /// The same with intervals by the source's clock. There is no heartbeat: nobody waits for the next record.
    async fn run_by_records(
        &mut self,
        config: &Config,
        shutdown: &CancellationToken,
    ) -> Result<(), CaptureError> {
        let (mut flush_due_ns, mut snapshot_due_ns) = (0, 0);
        loop {
            let read = tokio::select! {
                biased;
                () = shutdown.cancelled() => 0,
                read = self.source.read(&mut self.records) => read?,
            };
            if read == 0 {
                return self.stop();
            }
            let now_ns = self.source.now()?.boot_ns;
            // Before what comes after the interval: names that are learnt later are not those of earlier flows.
            if now_ns >= flush_due_ns {
                self.flush()?;
                flush_due_ns = after(now_ns, config.flush_interval_s);
            }
            self.apply()?;
            if now_ns >= snapshot_due_ns {
                self.snapshot()?;
                snapshot_due_ns = after(now_ns, config.snapshot_interval_s);
            }
        }
    }

    fn stop(&mut self) -> Result<(), CaptureError> {
        self.snapshot()?;
        self.table.report_changes(&mut self.events);
        self.flush()
    }

    fn heartbeat(&mut self) -> Result<(), CaptureError> {
        if !self.queue.is_idle() || self.telemetry.stored() > 0 {
            return Ok(());
        }
        let now = self.source.now()?;
        let numbered = self.next_number(now, Content::Heartbeat);
        self.push(vec![numbered])
    }

    fn apply(&mut self) -> Result<(), CaptureError> {
        let now = self.source.now()?;
        let records = std::mem::take(&mut self.records);
        self.read_slices();
        self.look_up(&records);
        for record in &records {
            self.table.apply(record, now, &mut self.events);
        }
        self.recycle(records);
        if self.events.len() >= MAX_WAITING_EVENTS {
            return self.hand_over();
        }
        self.note_waiting()
    }

    fn snapshot(&mut self) -> Result<(), CaptureError> {
        let mut records = std::mem::take(&mut self.records);
        let whole = self.source.live_flows(&mut records);
        let now = self.source.now()?;
        self.read_slices();
        self.look_up(&records);
        match whole {
            Ok(_) => self.table.apply_snapshot(&records, now, &mut self.events),
            Err(error) => {
                // What is missing from half a snapshot has not ended.
                tracing::warn!(%error, "live flows could not be read");
                for record in &records {
                    self.table.apply(record, now, &mut self.events);
                }
            }
        }
        self.recycle(records);
        self.report_losses();
        if let Some(succession) = &mut self.succession {
            succession.forget_departed(&mut self.table)?;
        }
        self.note_waiting()
    }

    /// With pins: takes note of what was read and has no number yet.
    fn note_waiting(&mut self) -> Result<(), CaptureError> {
        let Some(succession) = &mut self.succession else {
            return Ok(());
        };
        let keeps = |event: &&FlowEvent| self.sampling.is_none_or(|it| it.keeps(event.id));
        let waiting = self.events.iter().filter(keeps).count();
        succession.advance(self.next_sequence, waiting)
    }

    /// Reads the slices that came before the records that are about to be applied: whatever the kernel saw of
    /// a flow before its end is known when its end is told.
    fn read_slices(&mut self) {
        self.source.take_slices(&mut self.slices);
        for slice in self.slices.iter() {
            self.names.read(&slice);
        }
        if let Some(succession) = &mut self.succession {
            succession.keep_answers(&self.names.take_learnt());
        }
        self.slices_lost += self.slices.lost() + self.slices.malformed();
    }

    /// Reads owners while they live: an event may be made only when they are gone. Any record may be the first of its
    /// flow; of flows that are known, updates come again and again.
    fn look_up(&mut self, records: &[FlowRecord]) {
        self.source.take_processes(&mut self.processes);
        for process in self.processes.drain(..) {
            self.owners.note(&process);
        }
        for record in records {
            if record.kind != RecordKind::Update as u8 || !self.table.knows(record) {
                self.owners.find(&record.owner);
            }
        }
        for record in records {
            self.owners
                .find_handler(record.handler_pid, record.handler_start_ns);
        }
    }

    fn recycle(&mut self, mut records: Vec<FlowRecord>) {
        const KEPT: usize = 65_536;
        records.clear();
        records.shrink_to(KEPT);
        self.records = records;
    }

    fn flush(&mut self) -> Result<(), CaptureError> {
        self.table.announce(&mut self.events);
        self.hand_over()?;
        self.telemetry.set_table(self.table.counters());
        self.publish_kernel_losses()
    }

    /// Numbers what happened and queues it.
    fn hand_over(&mut self) -> Result<(), CaptureError> {
        let now = self.source.now()?;
        let events = std::mem::take(&mut self.events);
        let numbered: Vec<NumberedEvent> = events
            .into_iter()
            .filter_map(|event| self.number(event, now))
            .collect();
        self.push(numbered)
    }

    /// Queues what has numbers; with pins, it is noted before.
    fn push(&mut self, numbered: Vec<NumberedEvent>) -> Result<(), CaptureError> {
        let mut first = 0;
        if let Some(succession) = &mut self.succession {
            succession.tell(&numbered, &self.table)?;
            succession.advance(self.next_sequence, 0)?;
            first = succession.first_sequence();
        }
        self.telemetry.set_made(self.next_sequence - first);
        if !numbered.is_empty() {
            self.queue.push(numbered);
        }
        Ok(())
    }

    /// `None` for what sampling leaves out.
    fn number(&mut self, mut event: FlowEvent, now: Moment) -> Option<NumberedEvent> {
        self.telemetry.add_event(&event);
        let names = self.names.find(event.id, &event.record);
        if event.kind == FlowEventKind::End {
            self.names.forget(event.id);
        }
        let keeps = |sampling: Sampling| sampling.keeps(event.id);
        if !self.sampling.is_none_or(keeps) {
            self.telemetry.leave_out();
            return None;
        }
        let owner = self.owners.find(&event.record.owner);
        let handler = self
            .owners
            .find_handler(event.record.handler_pid, event.record.handler_start_ns);
        let succession = self.succession.as_ref();
        let is_marked = event.record.flags & FLAG_OWN != 0
            && succession.is_none_or(|it| it.is_own(&event.record.owner));
        self.privacy.hide_record(&mut event.record);
        let content = Content::Flow {
            interface: self.source.interface_name(event.record.interface),
            names,
            own: owner.own || is_marked,
            owner,
            handler,
            event,
        };
        Some(self.next_number(now, content))
    }

    fn next_number(&mut self, now: Moment, content: Content) -> NumberedEvent {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        NumberedEvent {
            sequence,
            observed_unix_ns: now.unix_ns,
            content,
        }
    }

    fn publish_kernel_losses(&mut self) -> Result<(), CaptureError> {
        let losses = self.source.losses()?;
        if let Some(succession) = &mut self.succession {
            succession.count_losses(&losses)?;
            self.telemetry
                .set_lost(LossPlace::KernelReplaced, succession.discarded());
        }
        for (counter, total) in LossCounter::ALL.into_iter().zip(losses) {
            let behind = match counter {
                LossCounter::SliceLost => self.slices_lost + self.names.lost(),
                _ => 0,
            };
            self.telemetry
                .set_lost(place_of(counter), total.saturating_add(behind));
        }
        let invalid = self.table.counters().invalid + self.source.malformed();
        self.telemetry.set_lost(LossPlace::InvalidRecord, invalid);
        Ok(())
    }

    /// One line per place and snapshot interval that lost something.
    fn report_losses(&mut self) {
        let now = self.telemetry.counters().losses;
        for (index, (place, total)) in now.iter().enumerate() {
            let before = self
                .reported_losses
                .get(index)
                .map_or(0, |(_, total)| *total);
            if *total > before {
                tracing::warn!(place = place.name(), lost = total - before, total, "lost");
            }
        }
        self.reported_losses = now;
    }
}

enum Step {
    Apply,
    Flush,
    Snapshot,
    Heartbeat,
    Stop,
}

const fn place_of(counter: LossCounter) -> LossPlace {
    match counter {
        LossCounter::RingFull => LossPlace::KernelRing,
        LossCounter::StorageFull => LossPlace::KernelStorage,
        LossCounter::PeerMapFull => LossPlace::KernelPeers,
        LossCounter::Unattributed => LossPlace::KernelUnattributed,
        LossCounter::CloseUnseen => LossPlace::KernelCloseUnseen,
        LossCounter::SliceLost => LossPlace::KernelSlice,
        LossCounter::ProcessLost => LossPlace::KernelProcess,
        LossCounter::TransitMapFull => LossPlace::KernelTransit,
        LossCounter::TransitUnread => LossPlace::KernelTransitUnread,
    }
}

fn after(now_ns: u64, interval: std::time::Duration) -> u64 {
    now_ns.saturating_add(u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX))
}

fn ticks(period: std::time::Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
