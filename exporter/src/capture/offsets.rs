//! Where the running kernel keeps what is told of processes and sockets: member offsets from BTF.
//!
//! BTF ("BPF type format", <https://docs.kernel.org/bpf/btf.html>) is the kernel's description of
//! its own types. This reads just struct members. Nothing in the input is trusted: every read is
//! checked, nesting is bounded, and what is not found is 0, "unknown".

use beaconwatch_records::{SocketOffsets, TaskOffsets};

const MAGIC: u16 = 0xeb9f;
const KIND_INT: u32 = 1;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_ENUM64: u32 = 19;
const LAST_KIND: u32 = KIND_ENUM64;
/// Anonymous structs inside structs.
const MAX_NESTING: u32 = 4;

/// Offsets from the contents of `/sys/kernel/btf/vmlinux`.
pub(super) fn offsets(btf: &[u8]) -> (TaskOffsets, SocketOffsets) {
    Types::parse(btf).map_or_else(Default::default, |types| {
        (task_offsets(&types), socket_offsets(&types))
    })
}

fn socket_offsets(types: &Types<'_>) -> SocketOffsets {
    let common = |member| types.offset("sock_common", member);
    SocketOffsets {
        sk: types.offset("socket", "sk"),
        kind: types.offset("sock", "sk_type"),
        protocol: types.offset("sock", "sk_protocol"),
        family: common("skc_family"),
        state: common("skc_state"),
        local_port: common("skc_num"),
        remote_port: common("skc_dport"),
        local_address: common("skc_rcv_saddr"),
        remote_address: common("skc_daddr"),
        local_address_6: common("skc_v6_rcv_saddr"),
        remote_address_6: common("skc_v6_daddr"),
        namespace: common("skc_net"),
        namespace_cookie: types.offset("net", "net_cookie"),
        cookie: common("skc_cookie"),
    }
}

fn task_offsets(types: &Types<'_>) -> TaskOffsets {
    let task = |member| types.offset("task_struct", member);
    TaskOffsets {
        tgid: task("tgid"),
        comm: task("comm"),
        group_leader: task("group_leader"),
        start_boottime: task("start_boottime"),
        cred: task("cred"),
        cred_uid: types.offset("cred", "uid"),
        pid: task("pid"),
        executed: types.offset("linux_binprm", "interp"),
    }
}

/// The type section, with the place of each type.
struct Types<'a> {
    bytes: &'a [u8],
    strings: &'a [u8],
    /// Place of type `id` at index `id - 1`.
    places: Vec<u32>,
}

/// One type's fixed part.
#[derive(Clone, Copy)]
struct Head {
    name: u32,
    kind: u32,
    members: u32,
    /// Member offsets carry a bit field size in their upper byte.
    with_bit_fields: bool,
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let found = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(found.try_into().ok()?))
}

fn section(btf: &[u8], header: u32, offset: u32, length: u32) -> Option<&[u8]> {
    let start = usize::try_from(header.checked_add(offset)?).ok()?;
    btf.get(start..start.checked_add(usize::try_from(length).ok()?)?)
}

impl<'a> Types<'a> {
    fn parse(btf: &'a [u8]) -> Option<Self> {
        let magic = u16::from_le_bytes(btf.get(..2)?.try_into().ok()?);
        if magic != MAGIC {
            return None;
        }
        let header = word(btf, 4)?;
        let mut types = Self {
            bytes: section(btf, header, word(btf, 8)?, word(btf, 12)?)?,
            strings: section(btf, header, word(btf, 16)?, word(btf, 20)?)?,
            places: Vec::new(),
        };
        types.index()?;
        Some(types)
    }

    /// Finds the place of every type; the section is a sequence without an index.
    fn index(&mut self) -> Option<()> {
        let mut at = 0;
        while at < self.bytes.len() {
            self.places.push(u32::try_from(at).ok()?);
            let head = self.head(at)?;
            at = at.checked_add(12)?.checked_add(trailing_bytes(&head)?)?;
        }
        Some(())
    }

    fn head(&self, at: usize) -> Option<Head> {
        let info = word(self.bytes, at.checked_add(4)?)?;
        Some(Head {
            name: word(self.bytes, at)?,
            kind: (info >> 24) & 0x1f,
            members: info & 0xffff,
            with_bit_fields: info >> 31 != 0,
        })
    }

    fn is_named(&self, name: u32, expected: &str) -> bool {
        let Some(rest) = usize::try_from(name)
            .ok()
            .and_then(|at| self.strings.get(at..))
        else {
            return false;
        };
        rest.strip_prefix(expected.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&0))
    }

    /// Byte offset of a member of a struct; 0 when there is none.
    fn offset(&self, structure: &str, member: &str) -> u32 {
        let mut places = self
            .places
            .iter()
            .filter_map(|place| usize::try_from(*place).ok());
        let found = places.find(|place| {
            self.head(*place).is_some_and(|head| {
                head.kind == KIND_STRUCT && head.members > 0 && self.is_named(head.name, structure)
            })
        });
        found
            .and_then(|place| self.member(place, member, MAX_NESTING))
            .unwrap_or_default()
    }

    /// Looks for a member, also inside anonymous structs and unions.
    fn member(&self, place: usize, name: &str, nesting: u32) -> Option<u32> {
        let head = self.head(place)?;
        if head.kind != KIND_STRUCT && head.kind != KIND_UNION {
            return None;
        }
        for index in 0..usize::try_from(head.members).ok()? {
            let at = place.checked_add(12)?.checked_add(index.checked_mul(12)?)?;
            let member_name = word(self.bytes, at)?;
            let bits = word(self.bytes, at + 8)?;
            let bytes = if head.with_bit_fields {
                bits & 0x00ff_ffff
            } else {
                bits
            } / 8;
            if self.is_named(member_name, name) {
                return Some(bytes);
            }
            if member_name == 0 && nesting > 0 {
                let id = usize::try_from(word(self.bytes, at + 4)?).ok()?;
                let inner = self.places.get(id.checked_sub(1)?).copied()?;
                let inner = self.member(usize::try_from(inner).ok()?, name, nesting - 1);
                if let Some(inner) = inner {
                    return bytes.checked_add(inner);
                }
            }
        }
        None
    }
}

/// Bytes after the fixed part of a type.
fn trailing_bytes(head: &Head) -> Option<usize> {
    let members = usize::try_from(head.members).ok()?;
    match head.kind {
        KIND_INT | KIND_VAR | KIND_DECL_TAG => Some(4),
        KIND_ARRAY => Some(12),
        KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => members.checked_mul(12),
        KIND_ENUM | KIND_FUNC_PROTO => members.checked_mul(8),
        1..=LAST_KIND => Some(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
