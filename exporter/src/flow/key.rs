//! [`FlowId`]: identity of a flow on its host.
//!
//! A socket cookie is unique among the live sockets of one boot, so the identity also takes the boot, the
//! start and the remote end. It is a hash (XXH3, 128 bits): equal in every run of the exporter on the same
//! boot, so that a restart does not give a living flow a second identity. It is not a secret and not a
//! signature: whoever controls the kernel can forge it.

use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use beaconwatch_records::{FlowRecord, SliceHeader};
use xxhash_rust::xxh3::xxh3_128;

/// Identity of one boot of the host (`/proc/sys/kernel/random/boot_id` without its hyphens).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BootId(pub u128);

impl BootId {
    /// Reads the text form, with or without hyphens; `None` unless it is 32 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.trim().chars().filter(|&c| c != '-').collect();
        if digits.len() != 32 {
            return None;
        }
        u128::from_str_radix(&digits, 16).ok().map(Self)
    }
}

/// Identity of a flow: 32 hexadecimal digits when displayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowId {
    // Two halves and not one u128: its alignment of 16 would pad every table entry.
    high: u64,
    low: u64,
}

impl FlowId {
    /// Identity of the flow that `record` tells of.
    #[must_use]
    pub fn of(boot: BootId, record: &FlowRecord) -> Self {
        Self::of_parts(
            boot,
            record.cookie,
            record.start_ns,
            record.remote_address,
            record.remote_port,
        )
    }

    /// Identity of the flow that a slice of payload belongs to.
    #[must_use]
    pub fn of_slice(boot: BootId, header: &SliceHeader) -> Self {
        Self::of_parts(
            boot,
            header.cookie,
            header.start_ns,
            header.remote_address,
            header.remote_port,
        )
    }

    /// The identity as [`Self::from_bytes`] reads it.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.high) << 64 | u128::from(self.low)).to_be_bytes()
    }

    /// What [`Self::to_bytes`] wrote.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let (high, low) = bytes.split_at(8);
        Self {
            high: big_endian(high),
            low: big_endian(low),
        }
    }

    fn of_parts(
        boot: BootId,
        cookie: u64,
        start_ns: u64,
        remote_address: [u8; 16],
        remote_port: u16,
    ) -> Self {
        let mut bytes = [0u8; 50];
        let parts: [&[u8]; 5] = [
            &boot.0.to_be_bytes(),
            &cookie.to_be_bytes(),
            &start_ns.to_be_bytes(),
            &remote_address,
            &remote_port.to_be_bytes(),
        ];
        let mut rest = bytes.as_mut_slice();
        for part in parts {
            let (head, tail) = rest.split_at_mut(part.len());
            head.copy_from_slice(part);
            rest = tail;
        }
        Self::from_bytes(xxh3_128(&bytes).to_be_bytes())
    }
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, &byte| value << 8 | u64::from(byte))
}

impl fmt::Display for FlowId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}{:016x}", self.high, self.low)
    }
}

impl Hash for FlowId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low);
    }
}

/// Hasher for keys that are hashes already.
#[derive(Default)]
pub struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |value, &byte| {
            value.rotate_left(8) ^ u64::from(byte)
        });
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// Set of flows.
pub(super) type FlowSet = std::collections::HashSet<FlowId, BuildHasherDefault<AlreadyHashed>>;

/// Map keyed by flow.
pub(super) type FlowMap<V> =
    std::collections::HashMap<FlowId, V, BuildHasherDefault<AlreadyHashed>>;
