//! What was exported and what was lost, by place.
//!
//! For every record that was numbered, or found on disk at the start, one of these holds in the end: delivered,
//! lost at a named place, still queued or in flight, or kept on disk: `made + restored = delivered +
//! lost(queue, disk_queue, disk_damaged, rejected, refused, unconfirmed, unsent) + queued + in_flight + stored`
//! (a file that a crash cut off is lost and was never restored). Losses
//! before numbering (kernel, flow table) are counted in their own places.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use beaconwatch_records::{CounterSet, FLAG_START_INFERRED, FlowRecord};

use crate::flow::{FlowEvent, FlowEventKind, TableCounters};
use crate::otlp::logs;

mod exposition;
pub(crate) mod instruments;
pub(crate) mod scrape;

use instruments::Histograms;

/// A place that can lose, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum LossPlace {
    /// Kernel: the ring buffer had no room for a record.
    KernelRing,
    /// Kernel: no storage for a socket; its flow is not seen.
    KernelStorage,
    /// Kernel: no room for a further UDP peer; its flow is not seen.
    KernelPeers,
    /// Kernel: a packet could not be attributed to a flow.
    KernelUnattributed,
    /// Kernel: a connection's state changes are not reported; its close is inferred later.
    KernelCloseUnseen,
    /// A slice of payload, or a flow's name, found no room, in the kernel or behind it: a name may be missing, no flow is.
    KernelSlice,
    /// Kernel: the ring buffer of processes had no room: an executable may be unknown, no flow is.
    KernelProcess,
    /// Kernel: no room for a flow in transit; its packets are not counted.
    KernelTransit,
    /// Kernel: packets on interfaces whose headers could not be read; they are not counted.
    KernelTransitUnread,
    /// Kernel: records that nobody had read when pins of another layout were replaced.
    KernelReplaced,
    /// A record from the kernel made no sense.
    InvalidRecord,
    /// Flow table: flows evicted because it was full. Their updates are lost, not their end.
    FlowTable,
    /// Flow table: evicted flows forgotten before their end.
    FlowMemory,
    /// Queue: the oldest records made room for new ones.
    Queue,
    /// Queue on disk: the oldest requests made room for new ones, or one had no room.
    Disk,
    /// Queue on disk: a file could not be read any more.
    DiskDamaged,
    /// The receiver took the request, but rejected these records.
    Rejected,
    /// The receiver refused the request for good.
    Refused,
    /// Sent, but the exporter stopped before an answer came.
    Unconfirmed,
    /// Not sent when the exporter stopped.
    Unsent,
}

impl LossPlace {
    /// Every place.
    pub const ALL: [Self; 20] = [
        Self::KernelRing,
        Self::KernelStorage,
        Self::KernelPeers,
        Self::KernelUnattributed,
        Self::KernelCloseUnseen,
        Self::KernelSlice,
        Self::KernelProcess,
        Self::KernelTransit,
        Self::KernelTransitUnread,
        Self::KernelReplaced,
        Self::InvalidRecord,
        Self::FlowTable,
        Self::FlowMemory,
        Self::Queue,
        Self::Disk,
        Self::DiskDamaged,
        Self::Rejected,
        Self::Refused,
        Self::Unconfirmed,
        Self::Unsent,
    ];

    /// Name in metrics and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KernelRing => "kernel_ring",
            Self::KernelStorage => "kernel_storage",
            Self::KernelPeers => "kernel_peers",
            Self::KernelUnattributed => "kernel_unattributed",
            Self::KernelCloseUnseen => "kernel_close_unseen",
            Self::KernelSlice => "kernel_slice",
            Self::KernelProcess => "kernel_process",
            Self::KernelTransit => "kernel_transit",
            Self::KernelTransitUnread => "kernel_transit_unread",
            Self::KernelReplaced => "kernel_replaced",
            Self::InvalidRecord => "invalid_record",
            Self::FlowTable => "flow_table",
            Self::FlowMemory => "flow_memory",
            Self::Queue => "queue",
            Self::Disk => "disk_queue",
            Self::DiskDamaged => "disk_damaged",
            Self::Rejected => "rejected",
            Self::Refused => "refused",
            Self::Unconfirmed => "unconfirmed",
            Self::Unsent => "unsent",
        }
    }
}

/// Traffic of one kind of flow: role, transport and network layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrafficKey {
    /// `client` or `server`: what the local end is.
    pub role: &'static str,
    /// `tcp`, `udp` or `icmp`.
    pub transport: &'static str,
    /// `ipv4` or `ipv6`.
    pub network_type: &'static str,
}

const ROLES: [&str; 3] = ["client", "server", "transit"];
const TRANSPORTS: [&str; 3] = ["tcp", "udp", "icmp"];
const NETWORK_TYPES: [&str; 2] = ["ipv4", "ipv6"];
const TRAFFIC_KEYS: usize = ROLES.len() * TRANSPORTS.len() * NETWORK_TYPES.len();

#[derive(Debug, Default)]
struct Traffic {
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    packets_sent: AtomicU64,
    packets_received: AtomicU64,
}

/// Counters that every part of the exporter writes and any thread may read.
#[derive(Debug, Default)]
pub struct Telemetry {
    made: AtomicU64,
    sampled_out: AtomicU64,
    delivered: AtomicU64,
    requests: AtomicU64,
    retries: AtomicU64,
    queued: AtomicU64,
    in_flight: AtomicU64,
    restored: AtomicU64,
    stored: AtomicU64,
    disk_bytes: AtomicU64,
    flows_active: AtomicU64,
    flows: AtomicU64,
    late: AtomicU64,
    losses: [AtomicU64; LossPlace::ALL.len()],
    traffic: [Traffic; TRAFFIC_KEYS],
    histograms: OnceLock<Histograms>,
    last_error: Mutex<Option<String>>,
}

/// What [`Telemetry`] holds at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records made and numbered.
    pub made: u64,
    /// Records that sampling left out; they have no number and are not lost.
    pub sampled_out: u64,
    /// Records that a receiver took.
    pub delivered: u64,
    /// Requests that a receiver took.
    pub requests: u64,
    /// Attempts that failed and were tried again.
    pub retries: u64,
    /// Records in the queue.
    pub queued: u64,
    /// Records in the request that is being sent.
    pub in_flight: u64,
    /// Records that an earlier run left on disk.
    pub restored: u64,
    /// Records on disk.
    pub stored: u64,
    /// Bytes of files of the queue on disk.
    pub disk_bytes: u64,
    /// Flows in the flow table.
    pub flows_active: u64,
    /// Flows seen since the start.
    pub flows: u64,
    /// Records of flows that had ended already; nothing is lost by them.
    pub late: u64,
    /// What was lost, by place; in the order of [`LossPlace::ALL`].
    pub losses: Vec<(LossPlace, u64)>,
    /// Why the last attempt failed; `None` once one succeeded.
    pub last_error: Option<String>,
}

impl Counters {
    /// What was lost at one place.
    #[must_use]
    pub fn lost(&self, place: LossPlace) -> u64 {
        self.losses
            .iter()
            .find(|(at, _)| *at == place)
            .map_or(0, |(_, count)| *count)
    }
}

impl Telemetry {
    /// Everything as it stands now.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            made: read(&self.made),
            sampled_out: self.sampled_out(),
            delivered: read(&self.delivered),
            requests: read(&self.requests),
            retries: read(&self.retries),
            queued: read(&self.queued),
            in_flight: read(&self.in_flight),
            restored: read(&self.restored),
            stored: self.stored(),
            disk_bytes: self.disk_bytes(),
            flows_active: read(&self.flows_active),
            flows: read(&self.flows),
            late: read(&self.late),
            losses: LossPlace::ALL
                .iter()
                .map(|&place| (place, self.lost(place)))
                .collect(),
            last_error: self
                .last_error
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }

    /// Totals of the traffic seen, by kind of flow.
    #[must_use]
    pub fn traffic(&self) -> Vec<(TrafficKey, CounterSet)> {
        self.traffic
            .iter()
            .enumerate()
            .filter_map(|(index, traffic)| Some((traffic_key(index)?, traffic.read())))
            .collect()
    }

    pub(crate) fn lose(&self, place: LossPlace, count: u64) {
        if let Some(counter) = self.losses.get(place as usize) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// For places that keep a total of their own.
    pub(crate) fn set_lost(&self, place: LossPlace, total: u64) {
        if let Some(counter) = self.losses.get(place as usize) {
            counter.store(total, Ordering::Relaxed);
        }
    }

    /// What was lost at one place.
    #[must_use]
    pub fn lost(&self, place: LossPlace) -> u64 {
        self.losses.get(place as usize).map_or(0, read)
    }

    /// Records made and numbered.
    #[must_use]
    pub fn made(&self) -> u64 {
        read(&self.made)
    }

    /// Records that sampling left out.
    #[must_use]
    pub fn sampled_out(&self) -> u64 {
        read(&self.sampled_out)
    }

    /// Records that a receiver took.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        read(&self.delivered)
    }

    /// Requests that a receiver took.
    #[must_use]
    pub fn requests(&self) -> u64 {
        read(&self.requests)
    }

    /// Records that an earlier run left on disk.
    #[must_use]
    pub fn restored(&self) -> u64 {
        read(&self.restored)
    }

    /// Attempts that failed and were tried again.
    #[must_use]
    pub fn retries(&self) -> u64 {
        read(&self.retries)
    }

    /// Records in the queue.
    #[must_use]
    pub fn queued(&self) -> u64 {
        read(&self.queued)
    }

    /// Records on disk.
    #[must_use]
    pub fn stored(&self) -> u64 {
        read(&self.stored)
    }

    /// Bytes of files of the queue on disk.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        read(&self.disk_bytes)
    }

    /// Flows in the flow table.
    #[must_use]
    pub fn flows_active(&self) -> u64 {
        read(&self.flows_active)
    }

    /// Flows seen since the start.
    #[must_use]
    pub fn flows(&self) -> u64 {
        read(&self.flows)
    }

    pub(crate) fn set_made(&self, total: u64) {
        self.made.store(total, Ordering::Relaxed);
    }

    pub(crate) fn set_queue(&self, queued: usize, in_flight: usize) {
        self.queued.store(queued as u64, Ordering::Relaxed);
        self.in_flight.store(in_flight as u64, Ordering::Relaxed);
    }

    pub(crate) fn leave_out(&self) {
        self.sampled_out.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn set_restored(&self, records: u64) {
        self.restored.store(records, Ordering::Relaxed);
    }

    pub(crate) fn set_disk(&self, records: u64, bytes: u64) {
        self.stored.store(records, Ordering::Relaxed);
        self.disk_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn took(&self, records: u64) {
        self.delivered.fetch_add(records, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        *self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn failed(&self, error: &str, retried: bool) {
        self.retries
            .fetch_add(u64::from(retried), Ordering::Relaxed);
        *self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(error.to_owned());
    }

    pub(crate) fn set_table(&self, table: TableCounters) {
        self.flows_active
            .store(table.active as u64, Ordering::Relaxed);
        self.flows.store(table.flows, Ordering::Relaxed);
        self.late.store(table.late, Ordering::Relaxed);
        self.set_lost(LossPlace::FlowTable, table.evicted);
        self.set_lost(LossPlace::FlowMemory, table.forgotten);
    }

    /// Adds what an event says of the traffic.
    pub(crate) fn add_event(&self, event: &FlowEvent) {
        let index = traffic_index(&event.record);
        if let Some(traffic) = self.traffic.get(index) {
            traffic.add(event.delta);
        }
        if event.kind == FlowEventKind::End
            && let Some(histograms) = self.histograms.get()
            && let Some(key) = traffic_key(index)
        {
            record_end(histograms, key, event);
        }
    }

    /// What is recorded flow by flow; without it nothing is.
    pub(crate) fn set_histograms(&self, histograms: Histograms) {
        // Set once: a run has one meter.
        self.histograms.get_or_init(|| histograms);
    }
}

fn record_end(histograms: &Histograms, key: TrafficKey, event: &FlowEvent) {
    let record = &event.record;
    if key.transport == "tcp" && record.smoothed_rtt_us != 0 {
        histograms.record_rtt(key, f64::from(record.smoothed_rtt_us) / 1e6);
    }
    if record.flags & FLAG_START_INFERRED == 0 {
        let lived_ns = event.time_unix_ns.saturating_sub(event.start_unix_ns);
        let lived = std::time::Duration::from_nanos(lived_ns);
        histograms.record_duration(key, lived.as_secs_f64());
    }
}

fn traffic_index(record: &FlowRecord) -> usize {
    let place = |names: &[&str], name| names.iter().position(|it| *it == name).unwrap_or_default();
    let role = place(&ROLES, logs::role(record));
    let transport = place(&TRANSPORTS, logs::transport(record));
    let network_type = place(&NETWORK_TYPES, logs::network_type(record));
    role + ROLES.len() * (transport + TRANSPORTS.len() * network_type)
}

impl Traffic {
    fn add(&self, delta: CounterSet) {
        for (counter, more) in [
            (&self.bytes_sent, delta.bytes_sent),
            (&self.bytes_received, delta.bytes_received),
            (&self.packets_sent, delta.packets_sent),
            (&self.packets_received, delta.packets_received),
        ] {
            counter.fetch_add(more, Ordering::Relaxed);
        }
    }

    fn read(&self) -> CounterSet {
        CounterSet {
            bytes_sent: read(&self.bytes_sent),
            bytes_received: read(&self.bytes_received),
            packets_sent: read(&self.packets_sent),
            packets_received: read(&self.packets_received),
        }
    }
}

fn traffic_key(index: usize) -> Option<TrafficKey> {
    Some(TrafficKey {
        role: ROLES.get(index % ROLES.len())?,
        transport: TRANSPORTS.get(index / ROLES.len() % TRANSPORTS.len())?,
        network_type: NETWORK_TYPES.get(index / ROLES.len() / TRANSPORTS.len())?,
    })
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
