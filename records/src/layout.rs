//! Layout version, loader settings and loss counters shared by both sides.

/// Version of every layout in this crate.
pub const LAYOUT_VERSION: u32 = 1;

/// Values that the loader writes into the kernel object before it is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ProgramSettings {
    /// A UDP flow without a datagram for this long has ended.
    pub udp_idle_timeout_ns: u64,
    /// Thread group id of the exporter: its sockets are marked [`crate::FLAG_OWN`].
    pub own_pid: u32,
    /// Byte offset of `task_struct.group_leader`; 0 when unknown.
    pub task_group_leader_offset: u32,
    /// Byte offset of `task_struct.start_boottime`; 0 when unknown.
    pub task_start_boottime_offset: u32,
    /// Zero.
    pub padding: u32,
}

/// A place in the kernel part that can lose information. Each has a per-CPU counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum LossCounter {
    /// The ring buffer had no room for a record.
    RingFull = 0,
    /// Socket storage could not be allocated: the socket is not seen.
    StorageFull = 1,
    /// The map of further UDP peers was full: the peer's datagrams are not seen.
    PeerMapFull = 2,
    /// A packet could not be attributed to a flow.
    Unattributed = 3,
}

/// Number of [`LossCounter`] values.
pub const LOSS_COUNTERS: u32 = 4;

const _: () = assert!(size_of::<ProgramSettings>() == 24);
