//! From a captured frame to a packet: link layers, VLAN tags, IPv4 and IPv6 with their extensions.

use beaconwatch_detector::{Timestamp, Transport};
use etherparse::{
    EtherType, IpNumber, LaxIpPayloadSlice, LaxNetSlice, LaxSlicedPacket, TcpSlice, UdpSlice,
};

use super::fragments::{FragmentId, Fragments};
use super::{End, Packet, Segment};

const UDP_HEADER_BYTES: u64 = 8;
const ICMP_HEADER_BYTES: u64 = 8;

/// What a frame is.
#[derive(Debug)]
pub(crate) enum Frame<'a> {
    /// A packet of a connection.
    Packet(Packet<'a>),
    /// Something else: ARP, a neighbour's discovery, an error message.
    Other,
    /// A packet cut or broken inside of its headers.
    Broken(&'static str),
    /// A link layer that is not read.
    UnknownLink,
}

/// The link layers that are read, by the numbers of <https://www.tcpdump.org/linktypes.html>.
fn slice(link: i32, frame: &[u8]) -> Option<Result<LaxSlicedPacket<'_>, &'static str>> {
    const CUT: &str = "the link header is cut";
    Some(match link {
        1 => LaxSlicedPacket::from_ethernet(frame).map_err(|_error| CUT),
        // Raw IP, also by the numbers of some BSDs.
        12 | 14 | 101 | 228 | 229 => ip(frame),
        // Loopback: a family in the byte order of the host, or in that of the network.
        0 | 108 => frame.get(4..).map_or(Err(CUT), ip),
        // Linux cooked, versions 1 and 2.
        113 => cooked(frame, 14, 16).ok_or(CUT),
        276 => cooked(frame, 0, 20).ok_or(CUT),
        _ => return None,
    })
}

fn ip(packet: &[u8]) -> Result<LaxSlicedPacket<'_>, &'static str> {
    LaxSlicedPacket::from_ip(packet).map_err(|_error| "no IP packet")
}

fn cooked(frame: &[u8], protocol_at: usize, header: usize) -> Option<LaxSlicedPacket<'_>> {
    let protocol = frame.get(protocol_at..protocol_at + 2)?;
    let protocol = u16::from_be_bytes(protocol.try_into().ok()?);
    let payload = frame.get(header..)?;
    Some(LaxSlicedPacket::from_ether_type(
        EtherType(protocol),
        payload,
    ))
}

/// The network layer: ends without ports, and what is above it.
struct Network<'a> {
    sender: std::net::IpAddr,
    receiver: std::net::IpAddr,
    payload: LaxIpPayloadSlice<'a>,
    /// Bytes above the network layer, as its header states them.
    bytes: u64,
    /// Identity and offset of a fragment.
    fragment: Option<(u32, bool)>,
}

fn network<'a>(net: &LaxNetSlice<'a>) -> Option<Network<'a>> {
    match net {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            let above = ip.payload();
            let extensions = ip.extensions().auth.map_or(0, |it| it.slice().len());
            let headers = header.slice().len() + extensions;
            Some(Network {
                sender: header.source_addr().into(),
                receiver: header.destination_addr().into(),
                bytes: stated(header.total_len().into(), headers, above),
                fragment: above.fragmented.then(|| {
                    let first = header.fragments_offset().value() == 0;
                    (header.identification().into(), first)
                }),
                payload: above.clone(),
            })
        }
        LaxNetSlice::Ipv6(ip) => {
            let header = ip.header();
            let above = ip.payload();
            let extensions = ip.extensions().slice().len();
            let fragment = fragment_header(header.next_header(), ip.extensions().slice());
            Some(Network {
                sender: header.source_addr().into(),
                receiver: header.destination_addr().into(),
                bytes: stated(header.payload_length().into(), extensions, above),
                fragment: fragment.filter(|_| above.fragmented),
                payload: above.clone(),
            })
        }
        LaxNetSlice::Arp(_) => None,
    }
}

/// Identity of a fragment and whether it is the first, out of the extension headers (RFC 8200).
///
/// Walked here, because the crate's own iterator reads past the end of headers that were cut.
fn fragment_header(first: IpNumber, mut extensions: &[u8]) -> Option<(u32, bool)> {
    let mut kind = first;
    while let [next, length, ..] = *extensions {
        let bytes = match kind {
            IpNumber::IPV6_FRAGMENTATION_HEADER => {
                let offset = u16::from_be_bytes(extensions.get(2..4)?.try_into().ok()?) >> 3;
                let identity = u32::from_be_bytes(extensions.get(4..8)?.try_into().ok()?);
                return Some((identity, offset == 0));
            }
            IpNumber::AUTHENTICATION_HEADER => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        extensions = extensions.get(bytes..)?;
        kind = IpNumber(next);
    }
    None
}

/// Payload of a packet whose header states `length`. Zero stands for more than the field can hold.
fn stated(length: usize, headers: usize, above: &LaxIpPayloadSlice<'_>) -> u64 {
    let bytes = if length == 0 {
        above.payload.len()
    } else {
        length.saturating_sub(headers)
    };
    bytes as u64
}

/// Reads a frame of a link layer.
pub(crate) fn read<'a>(
    link: i32,
    time: Timestamp,
    frame: &'a [u8],
    fragments: &mut Fragments,
) -> Frame<'a> {
    let sliced = match slice(link, frame) {
        None => return Frame::UnknownLink,
        Some(Err(reason)) => return Frame::Broken(reason),
        Some(Ok(sliced)) => sliced,
    };
    let Some(net) = &sliced.net else {
        return match &sliced.stop_err {
            Some(_) => Frame::Broken("the network header is cut or broken"),
            None => Frame::Other,
        };
    };
    let Some(network) = network(net) else {
        return Frame::Other;
    };
    match network.fragment {
        Some((id, first)) => fragment(&network, id, first, time, fragments),
        None => whole(&network, time),
    }
}

/// The first fragment has the ports; the others are told by their identity.
fn fragment<'a>(
    network: &Network<'a>,
    number: u32,
    first: bool,
    time: Timestamp,
    fragments: &mut Fragments,
) -> Frame<'a> {
    let id = FragmentId {
        sender: network.sender,
        receiver: network.receiver,
        number,
        protocol: network.payload.ip_number.0,
    };
    if first {
        let frame = whole(network, time);
        if let Frame::Packet(packet) = &frame {
            fragments.remember(id, (packet.sender.port, packet.receiver.port));
        }
        return frame;
    }
    let Some((sender, receiver)) = fragments.ports(&id) else {
        return Frame::Broken("a fragment whose first one was not captured");
    };
    let transport = transport(network.payload.ip_number);
    Frame::Packet(Packet {
        time,
        sender: end(network.sender, sender),
        receiver: end(network.receiver, receiver),
        transport,
        tcp: (transport == Transport::Tcp).then(Segment::default),
        payload_bytes: network.bytes,
        payload: &[],
    })
}

const fn end(address: std::net::IpAddr, port: u16) -> End {
    End { address, port }
}

fn transport(protocol: IpNumber) -> Transport {
    match protocol {
        IpNumber::TCP => Transport::Tcp,
        IpNumber::UDP => Transport::Udp,
        IpNumber::ICMP | IpNumber::IPV6_ICMP => Transport::Icmp,
        IpNumber(other) => Transport::Other(other),
    }
}

fn whole<'a>(network: &Network<'a>, time: Timestamp) -> Frame<'a> {
    let above = network.payload.payload;
    let transport = transport(network.payload.ip_number);
    let packet = |ports: (u16, u16), header: u64, payload: &'a [u8], tcp| {
        Frame::Packet(Packet {
            time,
            sender: end(network.sender, ports.0),
            receiver: end(network.receiver, ports.1),
            transport,
            tcp,
            payload_bytes: network.bytes.saturating_sub(header),
            payload,
        })
    };
    match transport {
        Transport::Tcp => {
            let Ok(tcp) = TcpSlice::from_slice(above) else {
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
            packet(ports, header, tcp.payload(), Some(segment))
        }
        Transport::Udp => {
            let Ok(udp) = UdpSlice::from_slice_lax(above) else {
                return Frame::Broken("the UDP header is cut or broken");
            };
            let ports = (udp.source_port(), udp.destination_port());
            packet(ports, UDP_HEADER_BYTES, udp.payload(), None)
        }
        Transport::Icmp => match above.first() {
            None => Frame::Broken("the ICMP header is cut"),
            Some(kind) if is_housekeeping(network.payload.ip_number, *kind) => Frame::Other,
            Some(_) => packet((0, 0), ICMP_HEADER_BYTES, &[], None),
        },
        // No next header: nothing talks.
        Transport::Other(59) => Frame::Other,
        Transport::Other(_) => packet((0, 0), 0, &[], None),
    }
}

/// Errors about other packets, and how neighbours and routers find each other.
fn is_housekeeping(protocol: IpNumber, kind: u8) -> bool {
    if protocol == IpNumber::ICMP {
        matches!(kind, 3 | 4 | 5 | 9 | 10 | 11 | 12)
    } else {
        matches!(kind, 1..=4 | 130..=137 | 143)
    }
}
