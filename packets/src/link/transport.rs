//! The transport layer of a packet: ports, flags, payload.

use etherparse::{IpNumber, TcpSlice, UdpSlice};

use super::network::Network;
use super::{Frame, end};
use crate::{Echo, Icmp, Packet, Segment, Transport};

const UDP_HEADER_BYTES: u64 = 8;
const ICMP_HEADER_BYTES: u64 = 8;

pub(super) fn transport(protocol: IpNumber) -> Transport {
    match protocol {
        IpNumber::TCP => Transport::Tcp,
        IpNumber::UDP => Transport::Udp,
        IpNumber::ICMP | IpNumber::IPV6_ICMP => Transport::Icmp,
        IpNumber(other) => Transport::Other(other),
    }
}

/// Reads what is above the network layer of a whole packet or a first fragment.
pub(super) fn read<'a>(network: &Network<'a>, time_ns: i64) -> Frame<'a> {
    let above = network.payload.payload;
    match transport(network.payload.ip_number) {
        Transport::Tcp => tcp(network, time_ns),
        Transport::Udp => {
            let Ok(udp) = UdpSlice::from_slice_lax(above) else {
                return Frame::Broken("the UDP header is cut or broken");
            };
            let ports = (udp.source_port(), udp.destination_port());
            Frame::Packet(Packet {
                payload: udp.payload(),
                ..packet(network, time_ns, ports, UDP_HEADER_BYTES)
            })
        }
        Transport::Icmp => match *above {
            [] => Frame::Broken("the ICMP header is cut"),
            [kind, ..] if is_housekeeping(network.payload.ip_number, kind) => Frame::Other,
            [kind, ref rest @ ..] => Frame::Packet(Packet {
                icmp: rest.first().map(|&code| Icmp {
                    kind,
                    code,
                    echo: echo(network.payload.ip_number, above),
                }),
                ..packet(network, time_ns, (0, 0), ICMP_HEADER_BYTES)
            }),
        },
        // No next header: nothing talks.
        Transport::Other(59) => Frame::Other,
        Transport::Other(_) => Frame::Packet(packet(network, time_ns, (0, 0), 0)),
    }
}

fn tcp<'a>(network: &Network<'a>, time_ns: i64) -> Frame<'a> {
    let Ok(tcp) = TcpSlice::from_slice(network.payload.payload) else {
        return Frame::Broken("the TCP header is cut or broken");
    };
    let segment = Segment {
        syn: tcp.syn(),
        ack: tcp.ack(),
        fin: tcp.fin(),
        reset: tcp.rst(),
        numbers: Some((tcp.sequence_number(), tcp.acknowledgment_number())),
    };
    let header = u64::from(tcp.data_offset()) * 4;
    let ports = (tcp.source_port(), tcp.destination_port());
    Frame::Packet(Packet {
        tcp: Some(segment),
        payload: tcp.payload(),
        ..packet(network, time_ns, ports, header)
    })
}

/// A packet without payload.
fn packet<'a>(network: &Network<'a>, time_ns: i64, ports: (u16, u16), header: u64) -> Packet<'a> {
    Packet {
        time_ns,
        sender: end(network.sender, ports.0),
        receiver: end(network.receiver, ports.1),
        transport: transport(network.payload.ip_number),
        tcp: None,
        icmp: None,
        network_bytes: network.packet_bytes,
        payload_bytes: network.bytes.saturating_sub(header),
        payload: &[],
    }
}

/// What an echo says (RFC 792, RFC 4443).
fn echo(protocol: IpNumber, message: &[u8]) -> Option<Echo> {
    let &[kind, 0, _, _, high, low, ..] = message else {
        return None;
    };
    let (request, reply) = if protocol == IpNumber::ICMP {
        (8, 0)
    } else {
        (128, 129)
    };
    let is_request = kind == request;
    (is_request || kind == reply).then_some(Echo {
        is_request,
        identifier: u16::from_be_bytes([high, low]),
    })
}

/// Errors about other packets, and how neighbours and routers find each other.
fn is_housekeeping(protocol: IpNumber, kind: u8) -> bool {
    if protocol == IpNumber::ICMP {
        matches!(kind, 3 | 4 | 5 | 9 | 10 | 11 | 12)
    } else {
        matches!(kind, 1..=4 | 130..=137 | 143)
    }
}
