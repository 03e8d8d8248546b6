//! Records to and from bytes, without trust in the bytes.

use crate::{
    CloseReason, CounterSet, Direction, FLAG_OWN, FLAG_START_INFERRED, FLAG_TCP_TOTALS, FlowRecord,
    Owner, Protocol, RecordKind, Role,
};

/// Size of a [`FlowRecord`] in bytes.
pub const FLOW_RECORD_BYTES: usize = size_of::<FlowRecord>();

const KNOWN_FLAGS: u8 = FLAG_OWN | FLAG_START_INFERRED | FLAG_TCP_TOTALS;

/// Why bytes are not a [`FlowRecord`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Not as long as a record.
    Length {
        /// Bytes given.
        found: usize,
    },
    /// A field holds a value that it does not have.
    Field {
        /// Name of the field.
        name: &'static str,
        /// Its value.
        found: u8,
    },
}

impl core::fmt::Display for RecordError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Length { found } => write!(
                formatter,
                "flow record of {found} bytes, expected {FLOW_RECORD_BYTES}"
            ),
            Self::Field { name, found } => {
                write!(formatter, "flow record with unknown {name} {found}")
            }
        }
    }
}

impl core::error::Error for RecordError {}

/// Integers in memory order, from the front of a slice that is long enough by construction; missing
/// bytes read as zero.
pub(crate) struct Reader<'a> {
    pub(crate) rest: &'a [u8],
}

impl Reader<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for (target, source) in bytes.iter_mut().zip(self.rest) {
            *target = *source;
        }
        self.rest = self.rest.get(N..).unwrap_or_default();
        bytes
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.take())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.take())
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_ne_bytes(self.take())
    }

    pub(crate) fn u8(&mut self) -> u8 {
        let [byte] = self.take();
        byte
    }
}

/// Integers in memory order to the front of a slice that is long enough by construction.
struct Writer<'a> {
    rest: core::slice::IterMut<'a, u8>,
}

impl Writer<'_> {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        for byte in bytes {
            if let Some(target) = self.rest.next() {
                *target = byte;
            }
        }
    }
}

impl FlowRecord {
    /// Reads a record from the memory of the kernel part.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() != FLOW_RECORD_BYTES {
            return Err(RecordError::Length { found: bytes.len() });
        }
        let record = Self::read(&mut Reader { rest: bytes });
        record.check()?;
        Ok(record)
    }

    /// Fields in the order of the layout; struct expressions evaluate in the order written.
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            cookie: reader.u64(),
            netns_cookie: reader.u64(),
            start_ns: reader.u64(),
            time_ns: reader.u64(),
            last_packet_ns: reader.u64(),
            counters: CounterSet {
                bytes_sent: reader.u64(),
                bytes_received: reader.u64(),
                packets_sent: reader.u64(),
                packets_received: reader.u64(),
            },
            payload_sent: reader.u64(),
            payload_received: reader.u64(),
            owner: Owner {
                process_start_ns: reader.u64(),
                cgroup_id: reader.u64(),
                pid: reader.u32(),
                uid: reader.u32(),
                comm: reader.take(),
            },
            handler_start_ns: reader.u64(),
            local_address: reader.take(),
            remote_address: reader.take(),
            smoothed_rtt_us: reader.u32(),
            retransmits: reader.u32(),
            local_port: reader.u16(),
            remote_port: reader.u16(),
            kind: reader.u8(),
            role: reader.u8(),
            protocol: reader.u8(),
            close_reason: reader.u8(),
            handler_pid: reader.u32(),
            flags: reader.u8(),
            established: reader.u8(),
            padding: reader.take(),
            interface: reader.u32(),
            unused: reader.u32(),
        }
    }

    fn check(&self) -> Result<(), RecordError> {
        RecordKind::try_from(self.kind)?;
        Role::try_from(self.role)?;
        Protocol::try_from(self.protocol)?;
        CloseReason::try_from(self.close_reason)?;
        if self.flags & !KNOWN_FLAGS != 0 {
            return Err(RecordError::Field {
                name: "flags",
                found: self.flags,
            });
        }
        if self.established > 1 {
            return Err(RecordError::Field {
                name: "established",
                found: self.established,
            });
        }
        Ok(())
    }

    /// The record as it lies in memory.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; FLOW_RECORD_BYTES] {
        let mut bytes = [0; FLOW_RECORD_BYTES];
        let mut writer = Writer {
            rest: bytes.iter_mut(),
        };
        for value in [
            self.cookie,
            self.netns_cookie,
            self.start_ns,
            self.time_ns,
            self.last_packet_ns,
            self.counters.bytes_sent,
            self.counters.bytes_received,
            self.counters.packets_sent,
            self.counters.packets_received,
            self.payload_sent,
            self.payload_received,
            self.owner.process_start_ns,
            self.owner.cgroup_id,
        ] {
            writer.put(value.to_ne_bytes());
        }
        writer.put(self.owner.pid.to_ne_bytes());
        writer.put(self.owner.uid.to_ne_bytes());
        writer.put(self.owner.comm);
        writer.put(self.handler_start_ns.to_ne_bytes());
        writer.put(self.local_address);
        writer.put(self.remote_address);
        writer.put(self.smoothed_rtt_us.to_ne_bytes());
        writer.put(self.retransmits.to_ne_bytes());
        writer.put(self.local_port.to_ne_bytes());
        writer.put(self.remote_port.to_ne_bytes());
        writer.put([self.kind, self.role, self.protocol, self.close_reason]);
        writer.put(self.handler_pid.to_ne_bytes());
        writer.put([self.flags, self.established]);
        writer.put(self.padding);
        writer.put(self.interface.to_ne_bytes());
        writer.put(self.unused.to_ne_bytes());
        bytes
    }
}

/// `TryFrom<u8>` by the listed variants.
macro_rules! from_byte {
    ($type:ident, $name:literal, $($variant:ident),+) => {
        impl TryFrom<u8> for $type {
            type Error = RecordError;

            fn try_from(found: u8) -> Result<Self, RecordError> {
                $(if found == Self::$variant as u8 {
                    return Ok(Self::$variant);
                })+
                Err(RecordError::Field { name: $name, found })
            }
        }
    };
}

from_byte!(RecordKind, "kind", Open, Update, Close, Activity);
from_byte!(Role, "role", Client, Server, Transit);
from_byte!(Protocol, "protocol", Icmp, Tcp, Udp, Icmpv6);
from_byte!(Direction, "direction", Sent, Received);
from_byte!(
    CloseReason,
    "close reason",
    None,
    FinLocal,
    FinRemote,
    Reset,
    Refused,
    NoReply,
    Idle,
    SocketClosed
);

#[cfg(test)]
mod tests;
