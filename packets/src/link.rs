//! From a captured frame to a packet: link layers, tags and tunnels, IPv4 and IPv6 with their extensions.
//!
//! # Tunnels
//! VLAN tags (also stacked), MPLS labels above IP, `PPPoE`, GRE (with checksum, key and sequence; also
//! Ethernet in it), IP in IP in all four combinations, VXLAN on ports 4789 and 8472 and Geneve on 6081 are
//! taken off: a packet is what the innermost headers say. What cannot be read inside of a tunnel stands as
//! a packet of the tunnel itself. Encrypted ones stay closed.
//!
//! # Limits
//! At most [`TUNNELS_MAX`] layers are taken off.
//!
//! ```
//! use beaconwatch_packets::link::{self, Frame};
//! use beaconwatch_packets::{Fragments, Transport};
//!
//! // Ethernet, IPv4, UDP with two bytes.
//! let frame = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0\
//!     E\0\0\x1e\0\x01\0\0\x40\x11\0\0\x0a\0\0\x01\xc0\0\x02\x01\
//!     \x9c\x40\0\x35\0\x0a\0\0hi";
//! let Frame::Packet(packet) = link::read(1, 0, frame, &mut Fragments::default()) else {
//!     panic!("no packet");
//! };
//! assert_eq!((packet.transport, packet.receiver.port), (Transport::Udp, 53));
//! assert_eq!(packet.payload, b"hi");
//! ```

mod network;
mod transport;
mod tunnel;

use etherparse::{EtherType, LaxSlicedPacket};

use crate::fragments::{First, FragmentId, Fragments};
use crate::{End, Packet, Segment, Transport};
use network::{Network, network};
use transport::transport;

/// Layers of tunnels and tags that are taken off.
pub const TUNNELS_MAX: u8 = 8;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
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

/// Reads a frame of a link layer, captured at `time_ns` nanoseconds since 1970.
///
/// `link` is a number of <https://www.tcpdump.org/linktypes.html>: 1 Ethernet, 101 raw IP, 113 and 276 Linux
/// cooked, 0 and 108 loopback. `fragments` is the caller's, one for each place of capture.
pub fn read<'a>(link: i32, time_ns: i64, frame: &'a [u8], fragments: &mut Fragments) -> Frame<'a> {
    let sliced = match slice(link, frame) {
        None => return Frame::UnknownLink,
        Some(Err(reason)) => return Frame::Broken(reason),
        Some(Ok(sliced)) => sliced,
    };
    let mut reader = Reader {
        time_ns,
        fragments,
        tunnels: 0,
    };
    reader.frame(&sliced)
}

/// Reads one frame from the outside in.
struct Reader<'f> {
    time_ns: i64,
    fragments: &'f mut Fragments,
    /// Layers that were taken off.
    tunnels: u8,
}

impl Reader<'_> {
    fn frame<'a>(&mut self, sliced: &LaxSlicedPacket<'a>) -> Frame<'a> {
        let Some(net) = &sliced.net else {
            if sliced.stop_err.is_some() {
                return Frame::Broken("the network header is cut or broken");
            }
            return match sliced.ether_payload().and_then(|it| tunnel::tagged(&it)) {
                Some(inner) => self.inner(&inner).unwrap_or(Frame::Other),
                None if self.tunnels > 0 => Frame::Broken("no IP packet in the tunnel"),
                None => Frame::Other,
            };
        };
        let Some(network) = network(net) else {
            return Frame::Other;
        };
        match network.fragment {
            Some((number, first)) => self.fragment(&network, number, first),
            None => self.whole(&network).0,
        }
    }

    /// What is inside of a tunnel; `None` when that is too deep.
    fn inner<'a>(&mut self, sliced: &LaxSlicedPacket<'a>) -> Option<Frame<'a>> {
        if self.tunnels >= TUNNELS_MAX {
            return None;
        }
        self.tunnels += 1;
        Some(self.frame(sliced))
    }

    /// A packet that is no later fragment, and whether it came out of a tunnel.
    fn whole<'a>(&mut self, network: &Network<'a>) -> (Frame<'a>, bool) {
        if let Some(sliced) = tunnel::inner(&network.payload)
            && let Some(frame @ (Frame::Packet(_) | Frame::Other)) = self.inner(&sliced)
        {
            return (frame, true);
        }
        (transport::read(network, self.time_ns), false)
    }

    /// The first fragment has the ports; the others are told by their identity.
    fn fragment<'a>(&mut self, network: &Network<'a>, number: u32, first: bool) -> Frame<'a> {
        let id = FragmentId {
            sender: network.sender,
            receiver: network.receiver,
            number,
            protocol: network.payload.ip_number.0,
        };
        if first {
            let (frame, tunnelled) = self.whole(network);
            match &frame {
                _ if tunnelled => self.fragments.remember(id, First::Tunnel),
                Frame::Packet(packet) => {
                    let ports = (packet.sender.port, packet.receiver.port);
                    self.fragments
                        .remember(id, First::Header(ports, packet.icmp));
                }
                _ => {}
            }
            return frame;
        }
        let ((sender, receiver), icmp) = match self.fragments.first(&id) {
            Some(First::Header(ports, icmp)) => (ports, icmp),
            // The packet inside was told whole by its own header.
            Some(First::Tunnel) => return Frame::Other,
            None => return Frame::Broken("a fragment whose first one was not captured"),
        };
        let transport = transport(network.payload.ip_number);
        Frame::Packet(Packet {
            time_ns: self.time_ns,
            sender: end(network.sender, sender),
            receiver: end(network.receiver, receiver),
            transport,
            tcp: (transport == Transport::Tcp).then(Segment::default),
            icmp,
            network_bytes: network.packet_bytes,
            payload_bytes: network.bytes,
            payload: &[],
        })
    }
}

const fn end(address: std::net::IpAddr, port: u16) -> End {
    End { address, port }
}
