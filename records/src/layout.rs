//! Layout version, loader settings and loss counters shared by both sides.

/// Version of every layout in this crate.
pub const LAYOUT_VERSION: u32 = 3;

/// Version of what the kernel part keeps in maps that outlive it: raise it with any change of `FlowState`, of keys, or of
/// what their members mean. A newer exporter takes over maps of its own versions only.
pub const STORAGE_VERSION: u32 = 3;

/// Name of the [`ProgramSettings`] variable in the compiled object.
///
/// It ends in [`LAYOUT_VERSION`]: a loader with another layout does not find the variable and refuses
/// the object instead of misreading its records.
pub const SETTINGS_SYMBOL: &str = "PROGRAM_SETTINGS_3";

/// Byte offsets inside kernel structures, from the running kernel's type information. 0: unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TaskOffsets {
    /// `task_struct.tgid`
    pub tgid: u32,
    /// `task_struct.comm`
    pub comm: u32,
    /// `task_struct.group_leader`
    pub group_leader: u32,
    /// `task_struct.start_boottime`
    pub start_boottime: u32,
    /// `task_struct.cred`
    pub cred: u32,
    /// `cred.uid`
    pub cred_uid: u32,
    /// `task_struct.pid`
    pub pid: u32,
    /// `linux_binprm.interp`: the path of what a process begins to execute.
    pub executed: u32,
}

impl TaskOffsets {
    /// Whether the kernel part can read a process by these offsets.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.tgid != 0
            && self.comm != 0
            && self.group_leader != 0
            && self.start_boottime != 0
            && self.cred != 0
            && self.cred_uid != 0
    }

    /// Whether the kernel part can tell what processes execute, too.
    #[must_use]
    pub const fn knows_executables(&self) -> bool {
        self.is_complete() && self.pid != 0 && self.executed != 0
    }
}

/// Byte offsets inside the kernel's sockets, from the running kernel's type information. 0: unknown, but for
/// the first members of a structure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SocketOffsets {
    /// `socket.sk`
    pub sk: u32,
    /// `sock.sk_type`
    pub kind: u32,
    /// `sock.sk_protocol`
    pub protocol: u32,
    /// `sock_common.skc_family`
    pub family: u32,
    /// `sock_common.skc_state`
    pub state: u32,
    /// `sock_common.skc_num`
    pub local_port: u32,
    /// `sock_common.skc_dport`
    pub remote_port: u32,
    /// `sock_common.skc_rcv_saddr`
    pub local_address: u32,
    /// `sock_common.skc_daddr`; it is the first member.
    pub remote_address: u32,
    /// `sock_common.skc_v6_rcv_saddr`
    pub local_address_6: u32,
    /// `sock_common.skc_v6_daddr`
    pub remote_address_6: u32,
    /// `sock_common.skc_net`
    pub namespace: u32,
    /// `net.net_cookie`
    pub namespace_cookie: u32,
    /// `sock_common.skc_cookie`
    pub cookie: u32,
}

impl SocketOffsets {
    /// Whether the kernel part can read a socket by these offsets.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.sk != 0
            && self.kind != 0
            && self.protocol != 0
            && self.family != 0
            && self.state != 0
            && self.local_port != 0
            && self.remote_port != 0
            && self.local_address != 0
            && self.local_address_6 != 0
            && self.remote_address_6 != 0
            && self.namespace != 0
            && self.namespace_cookie != 0
            && self.cookie != 0
    }

    const fn words(&self) -> [u32; 14] {
        [
            self.sk,
            self.kind,
            self.protocol,
            self.family,
            self.state,
            self.local_port,
            self.remote_port,
            self.local_address,
            self.remote_address,
            self.local_address_6,
            self.remote_address_6,
            self.namespace,
            self.namespace_cookie,
            self.cookie,
        ]
    }
}

/// Values that the loader writes into the kernel object before it is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ProgramSettings {
    /// A UDP flow without a datagram for this long has ended.
    pub udp_idle_timeout_ns: u64,
    /// The reader is woken when this many bytes wait in the ring buffer, and at each multiple; in
    /// between it comes by itself. A power of two.
    pub wakeup_bytes: u64,
    /// Payload sent after this long without any is activity, which is told; 0: never.
    pub activity_idle_ns: u64,
    /// A TCP flow in transit without a packet for this long has ended.
    pub transit_idle_timeout_ns: u64,
    /// Cookie of the network namespace whose interfaces are captured; 0: none are.
    pub transit_namespace: u64,
    /// Thread group id of the exporter: its sockets are marked [`crate::FLAG_OWN`].
    pub own_pid: u32,
    /// Where a process keeps what [`crate::Owner`] tells.
    pub task: TaskOffsets,
    /// Not 0: packets of any socket count as packets of an old connection, so that the kernel's test
    /// runs, whose socket is of no kind, take the path of real packets. Only for measurements.
    pub adopt_any: u32,
    /// Not 0: the beginning of what connections carry is handed out, so that user space finds names in it.
    pub take_slices: u32,
    /// Where a socket keeps what is told of it.
    pub socket: SocketOffsets,
    /// Zero.
    pub padding: u32,
}

impl ProgramSettings {
    /// The settings as they lie in memory.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; size_of::<Self>()] {
        let words = [
            self.own_pid,
            self.task.tgid,
            self.task.comm,
            self.task.group_leader,
            self.task.start_boottime,
            self.task.cred,
            self.task.cred_uid,
            self.task.pid,
            self.task.executed,
            self.adopt_any,
            self.take_slices,
        ];
        let long = [
            self.udp_idle_timeout_ns,
            self.wakeup_bytes,
            self.activity_idle_ns,
            self.transit_idle_timeout_ns,
            self.transit_namespace,
        ];
        let mut bytes = [0; size_of::<Self>()];
        let source = long
            .iter()
            .flat_map(|value| value.to_ne_bytes())
            .chain(words.iter().flat_map(|value| value.to_ne_bytes()))
            .chain(self.socket.words().into_iter().flat_map(u32::to_ne_bytes));
        for (byte, value) in bytes.iter_mut().zip(source) {
            *byte = value;
        }
        bytes
    }
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
    /// The kernel refused to report a connection's state changes: its close is not seen.
    CloseUnseen = 4,
    /// The ring buffer of slices had no room: a name may be missing, no flow is.
    SliceLost = 5,
    /// The ring buffer of processes had no room: an executable may be unknown, no flow is.
    ProcessLost = 6,
    /// The map of flows in transit was full: the packet is not counted.
    TransitMapFull = 7,
    /// A packet on an interface whose headers could not be read, such as a later fragment: not counted.
    TransitUnread = 8,
}

impl LossCounter {
    /// Every counter, in the order of its index.
    pub const ALL: [Self; LOSS_COUNTERS as usize] = [
        Self::RingFull,
        Self::StorageFull,
        Self::PeerMapFull,
        Self::Unattributed,
        Self::CloseUnseen,
        Self::SliceLost,
        Self::ProcessLost,
        Self::TransitMapFull,
        Self::TransitUnread,
    ];

    /// Name for metrics and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingFull => "ring_full",
            Self::StorageFull => "storage_full",
            Self::PeerMapFull => "peer_map_full",
            Self::Unattributed => "unattributed",
            Self::CloseUnseen => "close_unseen",
            Self::SliceLost => "slice_lost",
            Self::ProcessLost => "process_lost",
            Self::TransitMapFull => "transit_map_full",
            Self::TransitUnread => "transit_unread",
        }
    }
}

/// Number of [`LossCounter`] values.
pub const LOSS_COUNTERS: u32 = 9;

const _: () = assert!(size_of::<TaskOffsets>() == 32);
const _: () = assert!(size_of::<ProgramSettings>() == 144);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_bytes_are_the_memory_layout() {
        let settings = ProgramSettings {
            udp_idle_timeout_ns: 0x0102_0304_0506_0708,
            wakeup_bytes: 0x1112_1314_1516_1718,
            activity_idle_ns: 0x2122_2324_2526_2728,
            transit_idle_timeout_ns: 0x3132_3334_3536_3738,
            transit_namespace: 0x4142_4344_4546_4748,
            own_pid: 1,
            task: TaskOffsets {
                tgid: 2,
                comm: 3,
                group_leader: 4,
                start_boottime: 5,
                cred: 6,
                cred_uid: 7,
                pid: 24,
                executed: 25,
            },
            adopt_any: 8,
            take_slices: 9,
            socket: SocketOffsets {
                sk: 10,
                cookie: 23,
                ..SocketOffsets::default()
            },
            padding: 0,
        };
        let bytes = settings.to_bytes();
        let long = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(
            long(std::mem::offset_of!(ProgramSettings, udp_idle_timeout_ns)),
            settings.udp_idle_timeout_ns
        );
        assert_eq!(
            long(std::mem::offset_of!(ProgramSettings, wakeup_bytes)),
            settings.wakeup_bytes
        );
        assert_eq!(
            long(std::mem::offset_of!(ProgramSettings, activity_idle_ns)),
            settings.activity_idle_ns
        );
        assert_eq!(
            long(std::mem::offset_of!(
                ProgramSettings,
                transit_idle_timeout_ns
            )),
            settings.transit_idle_timeout_ns
        );
        assert_eq!(
            long(std::mem::offset_of!(ProgramSettings, transit_namespace)),
            settings.transit_namespace
        );
        assert_eq!(word(std::mem::offset_of!(ProgramSettings, own_pid)), 1);
        assert_eq!(word(std::mem::offset_of!(ProgramSettings, take_slices)), 9);
        let socket = std::mem::offset_of!(ProgramSettings, socket);
        assert_eq!(word(socket + std::mem::offset_of!(SocketOffsets, sk)), 10);
        assert_eq!(
            word(socket + std::mem::offset_of!(SocketOffsets, cookie)),
            23
        );
        assert_eq!(word(std::mem::offset_of!(ProgramSettings, adopt_any)), 8);
        let task = std::mem::offset_of!(ProgramSettings, task);
        assert_eq!(word(task + std::mem::offset_of!(TaskOffsets, tgid)), 2);
        assert_eq!(word(task + std::mem::offset_of!(TaskOffsets, comm)), 3);
        assert_eq!(
            word(task + std::mem::offset_of!(TaskOffsets, group_leader)),
            4
        );
        assert_eq!(
            word(task + std::mem::offset_of!(TaskOffsets, start_boottime)),
            5
        );
        assert_eq!(word(task + std::mem::offset_of!(TaskOffsets, cred)), 6);
        assert_eq!(word(task + std::mem::offset_of!(TaskOffsets, cred_uid)), 7);
    }

    #[test]
    fn every_loss_counter_lies_at_its_index() {
        for (index, counter) in LossCounter::ALL.iter().enumerate() {
            assert_eq!(*counter as usize, index);
        }
    }

    #[test]
    fn the_settings_symbol_carries_the_layout_version() {
        assert!(SETTINGS_SYMBOL.ends_with(&format!("_{LAYOUT_VERSION}")));
    }

    #[test]
    fn offsets_with_one_unknown_are_incomplete() {
        let all = TaskOffsets {
            tgid: 1,
            comm: 1,
            group_leader: 1,
            start_boottime: 1,
            cred: 1,
            cred_uid: 1,
            pid: 0,
            executed: 0,
        };
        assert!(all.is_complete());
        assert!(!all.knows_executables());
        assert!(!TaskOffsets { cred: 0, ..all }.is_complete());
        assert!(!TaskOffsets::default().is_complete());
    }
}
