//! Capture of every flow of TCP, UDP and ICMP echo of this host from its sockets, by eBPF.
//!
//! [`Capture::start`] checks the machine, loads the kernel part (`exporter-ebpf/`, compiled and
//! committed as `ebpf/beaconwatch.bpf.o`), attaches it to the root of the cgroup v2 tree and returns
//! a reader of [`FlowRecord`]s:
//!
//! - [`Capture::read`]: beginnings, activity and ends of flows, in batches, as they happen;
//! - [`Capture::live_flows`]: the counters of every live flow, when asked;
//! - [`Capture::take_slices`]: the beginnings of what connections carry, for names;
//! - [`Capture::take_processes`]: what processes execute;
//! - [`Capture::losses`]: what the kernel part could not tell, by place.
//!
//! With [`CaptureSettings::pin_directory`] the kernel part outlives the process and the next capture takes it over: see [`pins`],
//! and [`ledger`] for what user space keeps there.
//!
//! [`doctor`] says beforehand what this machine lets it do; [`capabilities`] gives up the rights that it is
//! done with.
//!
//! Contract: every flow has one `Close`, and that comes after its other records, but for updates that were read
//! while it ended; counters never fall. UDP flows and sockets older than the capture have an
//! [`Open`](beaconwatch_records::RecordKind::Open), and of UDP it comes first. A TCP flow has one only if it is the first
//! of its process (an owner must be looked at while it lives): any other is first told by its close, by activity or
//! as live, whichever comes first. Exceptions are counted losses. Nothing of the traffic is changed or held up.
//! Dropping the capture detaches everything.
//!
//! Limits: Linux 5.15 or later with BTF and a mounted cgroup v2 tree; flows of sockets in the
//! captured cgroup, and of chosen interfaces what no socket tells of (see [`interfaces`]); the owner of an accepted connection is the
//! process that created its listener, its handler the one that answers; sockets older than the capture of one
//! cgroup alone are met with their next packet.

mod attach;
pub mod capabilities;
pub mod clock;
pub mod doctor;
mod error;
mod existing;
pub mod interfaces;
mod iterator;
pub mod ledger;
pub mod namespace;
mod offsets;
pub mod pins;
mod preflight;
mod ring;
pub mod slices;
pub mod statistics;
mod syscall;
mod system_calls;

use std::{path::PathBuf, sync::Arc, time::Duration};

use beaconwatch_records::{FlowRecord, LOSS_COUNTERS, LossCounter, ProcessRecord, RecordKind};

pub use self::error::CaptureError;
use self::{
    attach::{Attached, Purpose},
    interfaces::{Hooks, InterfaceNames, InterfaceSettings, Monitor},
    iterator::LiveFlows,
    ledger::Ledger,
    pins::Pinned,
    ring::Ring,
    slices::SliceBatch,
};

/// The compiled kernel part.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/ebpf/beaconwatch.bpf.o"
));

/// A UDP flow younger than this when the live flows are read is left to the next reading, because its
/// opening may still be on its way through the ring buffer.
const SETTLING_NS: u64 = 10_000_000;

/// The kernel part notes the time of what is sent in steps of 2 ms.
const SHORTEST_ACTIVITY_IDLE: Duration = Duration::from_millis(10);

/// How to capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureSettings {
    /// A UDP flow without a datagram for this long has ended; more than zero.
    pub udp_idle_timeout: Duration,
    /// Size of the ring buffer: a power of two of at least 64 KiB. 16 MiB hold 83,886 records: a
    /// reader that the scheduler holds up for seconds loses nothing.
    pub ring_bytes: u32,
    /// Size of the ring buffer for slices of payload: a power of two of at least 64 KiB.
    pub slice_ring_bytes: u32,
    /// Whether the beginning of what connections carry is handed out, so that names are found in it.
    pub take_slices: bool,
    /// Payload sent after this long without any, in a live connection, is told as activity; zero: never.
    pub activity_idle: Duration,
    /// Most peers of unconnected UDP sockets beyond the first of each, at one time.
    pub max_peers: u32,
    /// Longest time a record waits in the ring buffer while little happens.
    pub max_latency: Duration,
    /// Most records that one [`Capture::read`] returns.
    pub batch_records: usize,
    /// The cgroup v2 directory whose sockets are captured; by default the root of the tree.
    pub cgroup: Option<PathBuf>,
    /// Interfaces whose forwarded traffic is captured; by default none.
    pub interfaces: InterfaceSettings,
    /// Directory of a BPF file system in which the kernel part outlives the process; see [`pins`]. By default it ends
    /// with the process.
    pub pin_directory: Option<PathBuf>,
    /// With pins: flows of which it is kept what was told.
    pub max_told: usize,
}

impl Default for CaptureSettings {
    fn default() -> Self {
        Self {
            udp_idle_timeout: Duration::from_secs(10),
            ring_bytes: 16 << 20,
            slice_ring_bytes: 4 << 20,
            take_slices: true,
            activity_idle: Duration::from_secs(1),
            max_peers: 65_536,
            max_latency: Duration::from_millis(100),
            batch_records: 4096,
            cgroup: None,
            interfaces: InterfaceSettings::default(),
            pin_directory: None,
            max_told: 131_072,
        }
    }
}

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    ring: Ring,
    live: LiveFlows,
    names: InterfaceNames,
    _interfaces: Option<Monitor>,
    attached: Attached,
    /// With pins: locks the directory.
    _pinned: Option<Pinned>,
    ledger: Option<Box<Ledger>>,
    /// Ends that were read before anybody asked for the live flows.
    ended: Vec<FlowRecord>,
    /// Losses that an earlier run has counted.
    counted_losses: [u64; LOSS_COUNTERS as usize],
}

impl Capture {
    /// Checks rights and kernel, loads and attaches. Needs a Tokio runtime with time and I/O.
    pub fn start(settings: &CaptureSettings) -> Result<Self, CaptureError> {
        settings.check()?;
        let cgroup = preflight::check(settings.cgroup.as_deref())?;
        let types = attach::kernel_types()?;
        let maps = attach::make_maps(settings, OBJECT, Purpose::Capture)?;
        let (maps, mut pinned, mut ledger) = match &settings.pin_directory {
            None => (maps, None, None),
            Some(directory) => {
                let (maps, pinned, ledger) = pins::prepare(directory, settings, maps, &cgroup)?;
                (maps, Some(pinned), Some(Box::new(ledger)))
            }
        };
        let mut attached = Attached::with_maps(maps, &types)?;
        let ring = Ring::new(
            attached.take_ring()?,
            attached.take_slice_ring()?,
            attached.take_process_ring()?,
            settings,
        )?;
        let mut live = LiveFlows::new(&attached)?;
        attached.watch_processes(&types, pinned.as_mut());
        attached.attach(&cgroup, pinned.as_mut())?;
        if let (Some(pinned), Some(ledger)) = (&mut pinned, &mut ledger) {
            pinned.commit(ledger)?;
        }
        if settings.cgroup.is_none() {
            existing::find(&mut attached, &types);
        }
        let names = InterfaceNames::default();
        let mut ended = Vec::new();
        let interfaces = Interfaces {
            attached: &mut attached,
            live: &mut live,
            ended: &mut ended,
            pinned: pinned.as_ref(),
        };
        let interfaces = interfaces.attach(settings, &names)?;
        tracing::info!(cgroup = %cgroup.path.display(), "capture started");
        Ok(Self {
            ring,
            live,
            names,
            _interfaces: interfaces,
            attached,
            _pinned: pinned,
            ended,
            counted_losses: ledger
                .as_ref()
                .map(|it| it.counted_losses())
                .unwrap_or_default(),
            ledger,
        })
    }

    /// Name of a captured interface, also of one that is gone since; [`FlowRecord::interface`] is its index.
    #[must_use]
    pub fn interface_name(&self, index: u32) -> Option<Arc<str>> {
        self.names.find(index)
    }

    /// With pins: what an earlier run told, and where this one takes note of what it tells. Once.
    pub const fn take_ledger(&mut self) -> Option<Box<Ledger>> {
        self.ledger.take()
    }

    /// Waits for records and appends them to `out`; returns how many came, at least one and at most
    /// [`CaptureSettings::batch_records`].
    ///
    /// Cancel-safe: no record is lost when the future is dropped.
    pub async fn read(&mut self, out: &mut Vec<FlowRecord>) -> Result<usize, CaptureError> {
        self.ring.read(out).await
    }

    /// Appends what waits in the ring buffer, then a record with the present counters of every live
    /// flow (kind `Update`), or with its end for a UDP flow that has fallen idle (kind `Close`).
    ///
    /// Blocks for about a microsecond per live flow. A UDP flow that opened within the last 10 ms is left
    /// to the next call, so its opening always comes before its updates.
    pub fn live_flows(&mut self, out: &mut Vec<FlowRecord>) -> Result<usize, CaptureError> {
        let before = out.len();
        let newest_ns = clock::boottime_ns()?.saturating_sub(SETTLING_NS);
        self.ring.drain(out, usize::MAX);
        out.append(&mut self.ended);
        self.live.read(out, newest_ns)?;
        Ok(out.len() - before)
    }

    /// Hands over the slices that came since the last call, up to now. Never waits.
    pub fn take_slices(&mut self, batch: &mut SliceBatch) {
        self.ring.take_slices(batch);
    }

    /// Appends what processes began to execute since the last call, up to now. Never waits.
    pub fn take_processes(&mut self, out: &mut Vec<ProcessRecord>) {
        self.ring.take_processes(out);
    }

    /// Losses since the start, at the index of each [`LossCounter`]; with pins since an earlier run counted last.
    pub fn losses(&self) -> Result<[u64; LOSS_COUNTERS as usize], CaptureError> {
        let mut losses = self.attached.losses()?;
        for (loss, counted) in losses.iter_mut().zip(self.counted_losses) {
            *loss = loss.saturating_sub(counted);
        }
        Ok(losses)
    }

    /// Losses at one place, as [`Self::losses`].
    pub fn loss(&self, counter: LossCounter) -> Result<u64, CaptureError> {
        let losses = self.losses()?;
        Ok(losses.get(counter as usize).copied().unwrap_or_default())
    }

    /// Records that were refused because they did not hold what a record holds. Not 0 means a fault.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.ring.malformed() + self.live.malformed()
    }

    /// What the kernel measured of each program; see [`statistics`].
    pub fn program_statistics(&self) -> Result<Vec<statistics::ProgramStatistics>, CaptureError> {
        self.attached.program_statistics()
    }
}

/// What the capture of interfaces is made of.
struct Interfaces<'a> {
    attached: &'a mut Attached,
    live: &'a mut LiveFlows,
    ended: &'a mut Vec<FlowRecord>,
    pinned: Option<&'a Pinned>,
}

impl Interfaces<'_> {
    /// After the sockets that are there already: an interface would tell of their packets.
    fn attach(
        mut self,
        settings: &CaptureSettings,
        names: &InterfaceNames,
    ) -> Result<Option<Monitor>, CaptureError> {
        let selection = settings.interfaces.selection()?;
        let pins = self.pinned.map(Pinned::pins);
        if selection.is_empty() || !preflight::has_tcx() {
            if let Some(pins) = pins {
                interfaces::let_go_of_all(&pins)?;
            }
            return Ok(None);
        }
        let hooks = Hooks::open(self.attached.load_classifiers()?, pins)?;
        if self.pinned.is_some_and(Pinned::takes_over) && !hooks.have_earlier() {
            self.note_told_elsewhere()?;
        }
        Monitor::start(
            selection,
            hooks,
            self.attached.take_hash("INTERFACES")?,
            self.attached.take_hash("ADDRESSES")?,
            names.clone(),
        )
        .map(Some)
    }

    /// Sockets of an earlier run without interfaces are known already, but not that they are not to be told by interfaces.
    fn note_told_elsewhere(&mut self) -> Result<(), CaptureError> {
        let mut flows = Vec::new();
        self.live.read(&mut flows, u64::MAX)?;
        let mut told_elsewhere = self.attached.take_hash("TOLD_ELSEWHERE")?;
        let now_ns = clock::monotonic_ns()?;
        let own = namespace::own_cookie()?;
        interfaces::note_told_elsewhere(&flows, &mut told_elsewhere, own, now_ns);
        // Those that live are read again, their ends are not.
        flows.retain(|flow| flow.kind == RecordKind::Close as u8);
        self.ended.append(&mut flows);
        Ok(())
    }
}

impl CaptureSettings {
    fn check(&self) -> Result<(), CaptureError> {
        let wrong = |name, found: String, expected| {
            Err(CaptureError::Setting {
                name,
                found,
                expected,
            })
        };
        if self.udp_idle_timeout.is_zero() || self.udp_idle_timeout > Duration::from_hours(24) {
            let found = format!("{:?}", self.udp_idle_timeout);
            return wrong("udp_idle_timeout", found, "more than 0 and at most a day");
        }
        for (name, bytes) in [
            ("ring_bytes", self.ring_bytes),
            ("slice_ring_bytes", self.slice_ring_bytes),
        ] {
            if !bytes.is_power_of_two() || bytes < 64 << 10 {
                let expected = "a power of two of at least 65536";
                return wrong(name, bytes.to_string(), expected);
            }
        }
        if !self.activity_idle.is_zero() && self.activity_idle < SHORTEST_ACTIVITY_IDLE {
            let found = format!("{:?}", self.activity_idle);
            return wrong("activity_idle", found, "0 or at least 10ms");
        }
        if self.max_peers == 0 {
            return wrong("max_peers", "0".to_owned(), "at least 1");
        }
        if self.max_latency.is_zero() || self.max_latency > Duration::from_mins(1) {
            let found = format!("{:?}", self.max_latency);
            return wrong("max_latency", found, "more than 0 and at most a minute");
        }
        if self.interfaces.max_flows == 0 {
            return wrong("interfaces.max_flows", "0".to_owned(), "at least 1");
        }
        let idle = self.interfaces.idle_timeout;
        if idle.is_zero() || idle > Duration::from_hours(240) {
            let expected = "more than 0 and at most ten days";
            return wrong("interfaces.idle_timeout", format!("{idle:?}"), expected);
        }
        if self.batch_records == 0 {
            return wrong("batch_records", "0".to_owned(), "at least 1");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
