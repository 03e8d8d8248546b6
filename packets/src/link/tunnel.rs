//! What is inside of a tunnel: MPLS (RFC 3032), `PPPoE` (RFC 2516), GRE (RFC 2784, RFC 2890), IP in IP (RFC 2003,
//! RFC 2473, RFC 4213), VXLAN (RFC 7348), Geneve (RFC 8926).

use etherparse::{EtherType, IpNumber, LaxEtherPayloadSlice, LaxIpPayloadSlice, LaxSlicedPacket};
use etherparse::{UdpSlice, ether_type};

use crate::cursor::Cursor;

const VXLAN_PORT: u16 = 4789;
/// What Linux took before there was a number, and what some overlays still take.
const VXLAN_PORT_OF_LINUX: u16 = 8472;
const GENEVE_PORT: u16 = 6081;
const MPLS: EtherType = EtherType(0x8847);
const MPLS_MULTICAST: EtherType = EtherType(0x8848);
const PPPOE_SESSION: EtherType = EtherType(0x8864);
/// Ethernet by its number as a payload.
const BRIDGED_ETHERNET: EtherType = EtherType(0x6558);
/// Labels of one stack.
const LABELS_MAX: usize = 16;

/// What is behind tags that the frame's headers end at; `None` when that is no tag.
pub(super) fn tagged<'a>(payload: &LaxEtherPayloadSlice<'a>) -> Option<LaxSlicedPacket<'a>> {
    match payload.ether_type {
        MPLS | MPLS_MULTICAST => labelled(payload.payload),
        PPPOE_SESSION => point_to_point(payload.payload),
        // More tags than are read at once.
        ether_type::VLAN_TAGGED_FRAME
        | ether_type::PROVIDER_BRIDGING
        | ether_type::VLAN_DOUBLE_TAGGED_FRAME => Some(LaxSlicedPacket::from_ether_type(
            payload.ether_type,
            payload.payload,
        )),
        _ => None,
    }
}

/// IP below a stack of labels.
fn labelled(stack: &[u8]) -> Option<LaxSlicedPacket<'_>> {
    let mut cursor = Cursor::new(stack);
    for _ in 0..LABELS_MAX {
        let is_last = cursor.take(4)?.get(2)? & 1 == 1;
        if is_last {
            return LaxSlicedPacket::from_ip(cursor.rest).ok();
        }
    }
    None
}

fn point_to_point(session: &[u8]) -> Option<LaxSlicedPacket<'_>> {
    let mut cursor = Cursor::new(session);
    let version_and_code = cursor.short()?;
    let _session_and_length = cursor.take(4)?;
    let protocol = cursor.short()?;
    (version_and_code == 0x1100 && matches!(protocol, 0x21 | 0x57))
        .then(|| LaxSlicedPacket::from_ip(cursor.rest).ok())?
}

/// What a packet carries inside; `None` when it is no tunnel, or not one that is read.
pub(super) fn inner<'a>(payload: &LaxIpPayloadSlice<'a>) -> Option<LaxSlicedPacket<'a>> {
    match payload.ip_number {
        IpNumber::IPV4 | IpNumber::IPV6 => LaxSlicedPacket::from_ip(payload.payload).ok(),
        IpNumber::GRE => generic_routing(payload.payload),
        IpNumber::UDP => {
            let udp = UdpSlice::from_slice_lax(payload.payload).ok()?;
            match udp.destination_port() {
                VXLAN_PORT | VXLAN_PORT_OF_LINUX => vxlan(udp.payload()),
                GENEVE_PORT => geneve(udp.payload()),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Version 0; version 1 carries PPP.
fn generic_routing(header: &[u8]) -> Option<LaxSlicedPacket<'_>> {
    const CHECKSUM: u16 = 0x8000;
    const ROUTING: u16 = 0x4000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    const VERSION: u16 = 0x0007;
    let mut cursor = Cursor::new(header);
    let flags = cursor.short()?;
    let protocol = cursor.short()?;
    if flags & (ROUTING | VERSION) != 0 {
        return None;
    }
    for flag in [CHECKSUM, KEY, SEQUENCE] {
        if flags & flag != 0 {
            cursor.take(4)?;
        }
    }
    of_ether_type(protocol, cursor.rest)
}

fn vxlan(header: &[u8]) -> Option<LaxSlicedPacket<'_>> {
    const HAS_NETWORK: u8 = 0x08;
    let (header, frame) = header.split_at_checked(8)?;
    let is_valid = header.first()? & HAS_NETWORK != 0 && header.last() == Some(&0);
    is_valid.then(|| LaxSlicedPacket::from_ethernet(frame).ok())?
}

fn geneve(header: &[u8]) -> Option<LaxSlicedPacket<'_>> {
    let mut cursor = Cursor::new(header);
    let version_and_length = cursor.byte()?;
    let _flags = cursor.byte()?;
    let protocol = cursor.short()?;
    let _network = cursor.take(4)?;
    let _options = cursor.take(usize::from(version_and_length & 0x3f) * 4)?;
    (version_and_length >> 6 == 0).then(|| of_ether_type(protocol, cursor.rest))?
}

fn of_ether_type(protocol: u16, payload: &[u8]) -> Option<LaxSlicedPacket<'_>> {
    match EtherType(protocol) {
        BRIDGED_ETHERNET => LaxSlicedPacket::from_ethernet(payload).ok(),
        other => Some(LaxSlicedPacket::from_ether_type(other, payload)),
    }
}
