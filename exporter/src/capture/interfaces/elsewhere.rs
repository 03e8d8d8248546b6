//! Tells the kernel part which flows sockets told before interfaces were captured, so that interfaces tell them not again.
//!
//! The kernel part notes the ends of a flow of another network namespace when it begins, but only while interfaces are
//! captured. A capture that takes over from one without interfaces therefore notes those of the flows that live. Not of ICMP:
//! its keys have an identifier, which records have not.

use aya::maps::{HashMap, MapData};
use beaconwatch_records::{FlowRecord, Role};

/// `EndsKey` of the kernel part, which says how it is ordered (`transit.rs`): both addresses, both ports, the protocol.
type Key = [u8; 40];
/// Address and port.
type End = ([u8; 16], u16);

/// Notes the flows of sockets in other network namespaces than `own_namespace` (a cookie) at `now_ns` of the monotonic clock.
pub(in crate::capture) fn note(
    flows: &[FlowRecord],
    told_elsewhere: &mut HashMap<MapData, Key, u64>,
    own_namespace: u64,
    now_ns: u64,
) {
    let elsewhere = flows
        .iter()
        .filter(|flow| flow.netns_cookie != own_namespace && flow.role != Role::Transit as u8);
    let failed = elsewhere
        .filter_map(|flow| told_elsewhere.insert(key_of(flow), now_ns, 0).err())
        .last();
    if let Some(error) = failed {
        tracing::warn!(%error, "flows of other network namespaces may be told by interfaces, too");
    }
}

fn key_of(flow: &FlowRecord) -> Key {
    let local = (flow.local_address, flow.local_port);
    key(
        local,
        (flow.remote_address, flow.remote_port),
        flow.protocol,
    )
}

fn key(one: End, other: End, protocol: u8) -> Key {
    let (lower, higher) = if rank(one) < rank(other) {
        (one, other)
    } else {
        (other, one)
    };
    let parts = [
        &lower.0[..],
        &higher.0[..],
        &lower.1.to_ne_bytes(),
        &higher.1.to_ne_bytes(),
        &u32::from(protocol).to_ne_bytes(),
    ];
    let mut key = [0; 40];
    for (to, from) in key.iter_mut().zip(parts.into_iter().flatten()) {
        *to = *from;
    }
    key
}

/// The second half of the address, the first, and the port, as the kernel part compares them.
fn rank((address, port): End) -> (u64, u64, u16) {
    let both = u128::from_le_bytes(address);
    let high = u64::try_from(both >> 64).unwrap_or_default();
    let low = u64::try_from(both & u128::from(u64::MAX)).unwrap_or_default();
    (high, low, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_a_flow_have_one_key_ordered_by_the_end_of_the_address_first() {
        let one = ([9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 2);
        let other = ([8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2], 1);
        let key = key(one, other, 17);
        assert_eq!(key, super::key(other, one, 17));
        assert_eq!(key[..16], one.0);
        assert_eq!(key[16..32], other.0);
        assert_eq!(key[32..], [2, 0, 1, 0, 17, 0, 0, 0]);
    }
}
