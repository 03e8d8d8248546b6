//! Layout version, loader settings and loss counters shared by both sides.

/// Version of every layout in this crate.
pub const LAYOUT_VERSION: u32 = 1;

/// Name of the [`ProgramSettings`] variable in the compiled object.
///
/// It ends in [`LAYOUT_VERSION`]: a loader with another layout does not find the variable and refuses
/// the object instead of misreading its records.
pub const SETTINGS_SYMBOL: &str = "PROGRAM_SETTINGS_1";

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
    /// Thread group id of the exporter: its sockets are marked [`crate::FLAG_OWN`].
    pub own_pid: u32,
    /// Where a process keeps what [`crate::Owner`] tells.
    pub task: TaskOffsets,
    /// Not 0: packets of any socket count as packets of an old connection, so that the kernel's test
    /// runs, whose socket is of no kind, take the path of real packets. Only for measurements.
    pub adopt_any: u32,
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
            self.adopt_any,
        ];
        let long = [self.udp_idle_timeout_ns, self.wakeup_bytes];
        let mut bytes = [0; size_of::<Self>()];
        let source = long
            .iter()
            .flat_map(|value| value.to_ne_bytes())
            .chain(words.iter().flat_map(|value| value.to_ne_bytes()));
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
}

impl LossCounter {
    /// Every counter, in the order of its index.
    pub const ALL: [Self; LOSS_COUNTERS as usize] = [
        Self::RingFull,
        Self::StorageFull,
        Self::PeerMapFull,
        Self::Unattributed,
        Self::CloseUnseen,
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
        }
    }
}

/// Number of [`LossCounter`] values.
pub const LOSS_COUNTERS: u32 = 5;

const _: () = assert!(size_of::<TaskOffsets>() == 24);
const _: () = assert!(size_of::<ProgramSettings>() == 48);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_bytes_are_the_memory_layout() {
        let settings = ProgramSettings {
            udp_idle_timeout_ns: 0x0102_0304_0506_0708,
            wakeup_bytes: 0x1112_1314_1516_1718,
            own_pid: 1,
            task: TaskOffsets {
                tgid: 2,
                comm: 3,
                group_leader: 4,
                start_boottime: 5,
                cred: 6,
                cred_uid: 7,
            },
            adopt_any: 8,
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
        assert_eq!(word(std::mem::offset_of!(ProgramSettings, own_pid)), 1);
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
        };
        assert!(all.is_complete());
        assert!(!TaskOffsets { cred: 0, ..all }.is_complete());
        assert!(!TaskOffsets::default().is_complete());
    }
}
