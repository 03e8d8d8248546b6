//! The maps and settings, and what a socket's storage holds.
//!
//! Memory: one [`FlowState`] of 184 bytes per socket (with the kernel's header it fits a 256-byte
//! slab object), one more per further peer of an unconnected UDP socket, at most [`MAX_PEERS`] of
//! those. Everything else has a fixed size.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
    helpers::generated::bpf_sk_storage_get,
    macros::btf_map,
};
use beaconwatch_records::{
    CounterSet, FlowRecord, LOSS_COUNTERS, LossCounter, Owner, ProcessRecord, ProgramSettings,
    SocketOffsets, TaskOffsets,
};

use crate::{atomic, frame::Frame};

/// Bytes of the ring buffer unless the loader says otherwise.
const RING_BYTES: usize = 16 << 20;
/// Bytes of the ring buffer of slices unless the loader says otherwise.
const SLICE_RING_BYTES: usize = 4 << 20;
/// Bytes of the ring buffer of processes: 4,096 of them between two visits of the reader.
const PROCESS_RING_BYTES: usize = 1 << 20;
/// Further peers of unconnected UDP sockets unless the loader says otherwise.
const MAX_PEERS: usize = 65_536;
/// Listening sockets older than the capture.
const MAX_LISTENING: usize = 16_384;
/// Processes whose first connection was told; a power of two.
pub const TOLD_PROCESSES: usize = 4_096;
/// Flows in transit unless the loader says otherwise.
const MAX_TRANSIT: usize = 65_536;
/// Ends that interfaces may see although others tell of them.
const MAX_TOLD_ELSEWHERE: usize = 65_536;
/// Addresses of the namespace whose interfaces are captured.
const MAX_ADDRESSES: usize = 16_384;
/// Interfaces that anything is known of.
const MAX_INTERFACES: usize = 16_384;
/// Closed sockets whose further peers still wait for their last record.
const MAX_RELEASED: usize = 4_096;

/// The socket has had no flow yet.
pub const PHASE_NEW: u32 = 0;
/// The flow lives.
pub const PHASE_OPEN: u32 = 1;
/// One processor writes the start of a flow; the others keep off.
pub const PHASE_FILLING: u32 = 2;
/// The flow's end has been told; a datagram starts another.
pub const PHASE_ENDED: u32 = 3;
/// The socket is closed: nothing starts here any more.
pub const PHASE_RELEASED: u32 = 4;

/// A packet with the FIN flag is still to be looked for (see `tcp`).
pub const WATCH_FIN: u8 = 1;
/// The remote end's FIN was seen.
pub const SEEN_FIN: u8 = 2;

/// The socket's state changes are reported, although it is older than the capture.
pub const REPORTS_CLOSE: u8 = 4;
/// The socket, of UDP or ICMP, has peers in [`PEERS`].
pub const HAS_PEERS: u8 = 1;

/// A live flow; in socket storage and in [`PEERS`].
#[derive(Clone, Copy)]
#[repr(C)]
pub struct FlowState {
    /// Hot: written by every packet.
    pub counters: CounterSet,
    /// As in [`FlowRecord`], to the tick of the coarse clock.
    pub last_packet_ns: u64,
    /// Boot time less the coarse clock when the flow began (see `clock`).
    pub clock_offset_ns: u64,
    /// A `PHASE_*`; changed by compare-and-exchange where several processors compete.
    pub phase: u32,
    /// The kernel's tick when the coarse clock was read last (see `clock`).
    pub tick: u32,
    /// As in [`FlowRecord`].
    pub remote_address: [u64; 2],
    /// As in [`FlowRecord`].
    pub remote_port: u16,
    /// As in [`FlowRecord`].
    pub local_port: u16,
    /// As in [`FlowRecord`].
    pub protocol: u8,
    /// As in [`FlowRecord`].
    pub role: u8,
    /// As in [`FlowRecord`].
    pub flags: u8,
    /// `WATCH_FIN` and `SEEN_FIN`; for UDP and ICMP [`HAS_PEERS`].
    pub state: u8,
    /// As in [`FlowRecord`].
    pub local_address: [u64; 2],
    /// As in [`FlowRecord`].
    pub start_ns: u64,
    /// As in [`FlowRecord`].
    pub cookie: u64,
    /// As in [`FlowRecord`].
    pub netns_cookie: u64,
    /// UDP and ICMP: when a socket older than the capture was first seen; 0 when its creation was seen. TCP: start of
    /// the handler. In transit: the `point` at which what the answering end sends is counted; 0 before.
    pub adopted_ns: u64,
    /// As in [`FlowRecord`].
    pub owner: Owner,
    /// When payload was sent last, in units of 2^20 ns (see `activity`); 0 when none was.
    pub sent_at: u32,
    /// As in [`FlowRecord`]; its start lies in `adopted_ns`, which TCP does not need otherwise.
    pub handler_pid: u32,
    /// What to look for (see `payload`); a byte of its own, because both directions write it.
    pub look: u8,
    /// 1 while who uses an accepted socket is still to be seen (see `owner`).
    pub watch_handler: u8,
    /// Bytes that are still to be looked at, or datagrams. ICMP: identifier of the last echo request.
    pub look_left: u16,
    /// In transit: the `point` at which what the initiating end sends is counted; 0 before, and for sockets.
    pub point: u32,
}

const _: () = assert!(size_of::<FlowState>() == 184);

/// Both ends of a flow, in one order whichever way a packet goes.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct EndsKey {
    /// Address of the lower end.
    pub lower: [u64; 2],
    /// Address of the higher end.
    pub higher: [u64; 2],
    /// Port of the lower end.
    pub lower_port: u16,
    /// Port of the higher end.
    pub higher_port: u16,
    /// Transport protocol, and above its 16 bits the identifier of an ICMP echo.
    pub protocol: u32,
}

/// Further peers of an unconnected UDP socket.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct PeerKey {
    /// The socket.
    pub cookie: u64,
    /// Remote address.
    pub address: [u64; 2],
    /// Remote port.
    pub port: u64,
}

/// A port of a network namespace.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ListenKey {
    /// Cookie of the namespace.
    pub namespace: u64,
    /// Local port.
    pub port: u64,
}

/// A packet on an interface while it is read.
#[repr(C)]
pub struct Reading {
    /// What was found.
    pub frame: Frame,
    /// Its ends in order.
    pub key: EndsKey,
    /// What the next header is (see `frame`).
    pub kind: u32,
    /// Where it lies.
    pub offset: u32,
}

/// Socket storage as this kernel part needs it: cloned from a listener to the sockets it accepts.
#[repr(C)]
pub struct SocketStorage<T> {
    r#type: *const [i32; 24],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; 0x201],
}

// SAFETY: the fields are type information for the loader and never dereferenced.
unsafe impl<T> Sync for SocketStorage<T> {}

impl<T> SocketStorage<T> {
    const fn new() -> Self {
        Self {
            r#type: core::ptr::null(),
            key: core::ptr::null(),
            value: core::ptr::null(),
            max_entries: core::ptr::null(),
            map_flags: core::ptr::null(),
        }
    }

    /// The socket's value, or null.
    #[inline(always)]
    pub fn find(&self, socket: *mut c_void) -> *mut T {
        self.call(socket, 0)
    }

    /// The socket's value, made with zeroes if there was none; null, counted, when out of memory.
    #[inline(always)]
    pub fn find_or_make(&self, socket: *mut c_void) -> *mut T {
        let value = self.call(socket, 1);
        if value.is_null() {
            lose(LossCounter::StorageFull);
        }
        value
    }

    #[inline(always)]
    fn call(&self, socket: *mut c_void, flags: u64) -> *mut T {
        let map = core::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the verifier proves that `socket` is a socket.
        unsafe { bpf_sk_storage_get(map, socket, core::ptr::null_mut(), flags).cast() }
    }
}

#[btf_map]
pub static SOCKETS: SocketStorage<FlowState> = SocketStorage::new();

#[btf_map]
pub static PEERS: HashMap<PeerKey, FlowState, MAX_PEERS, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

/// Ports on which sockets older than the capture listen: who has such a local port was called.
#[btf_map]
pub static LISTENING: HashMap<ListenKey, u8, MAX_LISTENING, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

/// Flows that are seen on interfaces and told by no socket.
#[btf_map]
pub static TRANSIT: HashMap<EndsKey, FlowState, MAX_TRANSIT, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

/// What is seen on interfaces and told by a socket, or elsewhere under other ends: when last, by the coarse clock.
#[btf_map]
pub static TOLD_ELSEWHERE: LruHashMap<EndsKey, u64, MAX_TOLD_ELSEWHERE> = LruHashMap::new();

/// The host's own addresses; written by user space.
#[btf_map]
pub static ADDRESSES: HashMap<[u64; 2], u32, MAX_ADDRESSES, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

/// An [`InterfaceUse`](beaconwatch_records::InterfaceUse) by the interface's index; written by user space.
#[btf_map]
pub static INTERFACES: HashMap<u32, u32, MAX_INTERFACES, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

/// The packet that a processor reads on an interface. In a map and not on the stack: there is little of that, and to
/// the verifier what comes out of a map is any number, so that it need not follow every path to the end.
#[btf_map]
pub static READING: PerCpuArray<Reading, 1> = PerCpuArray::new();

/// Room for a key where the stack has none.
#[btf_map]
pub static SCRATCH: PerCpuArray<EndsKey, 5> = PerCpuArray::new();

/// Closing times of UDP sockets that had entries in [`PEERS`], by cookie.
#[btf_map]
pub static RELEASED: LruHashMap<u64, u64, MAX_RELEASED> = LruHashMap::new();

/// Processes whose first connection was told, each at the place that its id ends in (see `tcp`).
#[btf_map]
pub static TOLD: Array<u64, TOLD_PROCESSES> = Array::new();

/// The coarse clock as it was read last.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CoarseTime {
    /// The kernel's tick then.
    pub tick: u64,
    /// What it showed.
    pub ns: u64,
}

#[btf_map]
pub static COARSE: Array<CoarseTime, 1> = Array::new();

#[btf_map]
pub static RECORDS: RingBuf<FlowRecord, RING_BYTES> = RingBuf::new();

/// What processes execute.
#[btf_map]
pub static PROCESSES: RingBuf<ProcessRecord, PROCESS_RING_BYTES> = RingBuf::new();

/// Slices of payload, each a `SliceHeader` and its bytes.
#[btf_map]
pub static SLICES: RingBuf<[u8; 0], SLICE_RING_BYTES> = RingBuf::new();

#[btf_map]
pub static LOSSES: PerCpuArray<u64, { LOSS_COUNTERS as usize }> = PerCpuArray::new();

#[unsafe(no_mangle)]
static PROGRAM_SETTINGS_3: ProgramSettings = ProgramSettings {
    udp_idle_timeout_ns: 10_000_000_000,
    wakeup_bytes: 1 << 19,
    activity_idle_ns: 1_000_000_000,
    transit_idle_timeout_ns: 3_600_000_000_000,
    transit_namespace: 0,
    own_pid: 0,
    task: TaskOffsets {
        tgid: 0,
        comm: 0,
        group_leader: 0,
        start_boottime: 0,
        cred: 0,
        cred_uid: 0,
        pid: 0,
        executed: 0,
    },
    adopt_any: 0,
    take_slices: 1,
    socket: SocketOffsets {
        sk: 0,
        kind: 0,
        protocol: 0,
        family: 0,
        state: 0,
        local_port: 0,
        remote_port: 0,
        local_address: 0,
        remote_address: 0,
        local_address_6: 0,
        remote_address_6: 0,
        namespace: 0,
        namespace_cookie: 0,
        cookie: 0,
    },
    padding: 0,
};

/// A field of the settings, read at run time because the loader wrote it.
macro_rules! setting {
    ($($field:tt)+) => {
        // SAFETY: points into a static.
        unsafe { core::ptr::read_volatile(&raw const PROGRAM_SETTINGS_3.$($field)+) }
    };
}

#[inline(always)]
pub fn udp_idle_timeout_ns() -> u64 {
    setting!(udp_idle_timeout_ns)
}

#[inline(always)]
pub fn wakeup_bytes() -> u64 {
    setting!(wakeup_bytes)
}

#[inline(always)]
pub fn activity_idle_ns() -> u64 {
    setting!(activity_idle_ns)
}

#[inline(always)]
pub fn transit_idle_timeout_ns() -> u64 {
    setting!(transit_idle_timeout_ns)
}

/// 0: no interface is captured.
#[inline(always)]
pub fn transit_namespace() -> u64 {
    setting!(transit_namespace)
}

#[inline(always)]
pub fn take_slices() -> bool {
    setting!(take_slices) != 0
}

#[inline(always)]
pub fn adopt_any() -> bool {
    setting!(adopt_any) != 0
}

#[inline(always)]
pub fn own_pid() -> u32 {
    setting!(own_pid)
}

#[inline(always)]
pub fn task_offsets() -> TaskOffsets {
    TaskOffsets {
        tgid: setting!(task.tgid),
        comm: setting!(task.comm),
        group_leader: setting!(task.group_leader),
        start_boottime: setting!(task.start_boottime),
        cred: setting!(task.cred),
        cred_uid: setting!(task.cred_uid),
        pid: setting!(task.pid),
        executed: setting!(task.executed),
    }
}

#[inline(always)]
pub fn socket_offsets() -> SocketOffsets {
    SocketOffsets {
        sk: setting!(socket.sk),
        kind: setting!(socket.kind),
        protocol: setting!(socket.protocol),
        family: setting!(socket.family),
        state: setting!(socket.state),
        local_port: setting!(socket.local_port),
        remote_port: setting!(socket.remote_port),
        local_address: setting!(socket.local_address),
        remote_address: setting!(socket.remote_address),
        local_address_6: setting!(socket.local_address_6),
        remote_address_6: setting!(socket.remote_address_6),
        namespace: setting!(socket.namespace),
        namespace_cookie: setting!(socket.namespace_cookie),
        cookie: setting!(socket.cookie),
    }
}

/// Counts a loss.
#[inline(always)]
pub fn lose(counter: LossCounter) {
    if let Some(value) = LOSSES.get_ptr_mut(counter as u32) {
        // SAFETY: the map's value; per processor, but an interrupt can come between.
        unsafe { atomic::add(value, 1) };
    }
}
