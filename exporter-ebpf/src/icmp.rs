//! ICMP and `ICMPv6`: a flow is a socket and a peer that it sends echo requests to.
//!
//! Of ping sockets and raw ones. A flow begins with a request that is sent, counts requests and the replies with the
//! identifier of the last one (in [`FlowState::look_left`](crate::maps::FlowState::look_left), which these flows do not need otherwise), and
//! ends as one of UDP: after the idle time or with its socket. In the place of ports stand type and code of the request.
//!
//! A raw socket gets a copy of every ICMP packet of its namespace: what answers no request of its own is passed over.
//! Limits: requests that the kernel itself answers have no socket; other types than echo are no flows; of a socket
//! that gets no answers (`IPPROTO_RAW`) requests only are seen.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{__sk_buff, bpf_sock},
    helpers::generated::bpf_skb_load_bytes,
};
use beaconwatch_records::{Direction, Protocol};

use crate::{
    address, clock,
    headers::{self, ETH_P_IP},
    maps::{FlowState, PHASE_OPEN},
    packet::count,
    transit::{self, Teller},
    udp::{self, Datagram},
};

const SOCK_DGRAM: u32 = 2;
const SOCK_RAW: u32 = 3;
const AF_INET: u32 = 2;
const IPPROTO_RAW: u32 = 255;

pub const HEADER_BYTES: u32 = 8;

/// Types of the messages (RFC 792, RFC 4443).
const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST_6: u8 = 128;
const ECHO_REPLY_6: u8 = 129;

/// An echo message.
#[derive(Clone, Copy)]
pub struct Echo {
    /// Type of the request, also where this is the reply.
    pub request: u8,
    pub is_request: bool,
    pub identifier: u16,
}

/// Reads an ICMP header of `protocol` at `offset`; `None` when it is no echo.
///
/// # Safety
///
/// `skb` is the program's context.
#[inline(always)]
pub unsafe fn echo(skb: *mut __sk_buff, offset: u32, protocol: Protocol) -> Option<Echo> {
    let mut header = [0u16; 4];
    // SAFETY: the helper checks the range.
    let failed = unsafe {
        bpf_skb_load_bytes(skb.cast(), offset, (&raw mut header).cast(), HEADER_BYTES) != 0
    };
    let [kind_and_code, _, identifier, _] = header;
    let (request, reply) = if protocol as u8 == Protocol::Icmp as u8 {
        (ECHO_REQUEST, ECHO_REPLY)
    } else {
        (ECHO_REQUEST_6, ECHO_REPLY_6)
    };
    // Little-endian: the type is the lower byte, and a code of 0 leaves nothing above it.
    let is_request = kind_and_code == u16::from(request);
    if failed || !(is_request || kind_and_code == u16::from(reply)) {
        return None;
    }
    Some(Echo {
        request,
        is_request,
        identifier: u16::from_be(identifier),
    })
}

/// Whether a socket of this type and protocol can send echo requests.
#[inline(always)]
pub const fn sends_requests(kind: u32, protocol: u32) -> bool {
    let icmp = protocol == Protocol::Icmp as u32 || protocol == Protocol::Icmpv6 as u32;
    (kind == SOCK_DGRAM && icmp) || (kind == SOCK_RAW && (icmp || protocol == IPPROTO_RAW))
}

/// What sockets of this family send.
#[inline(always)]
pub const fn protocol_in(family: u32) -> Protocol {
    if family == AF_INET {
        Protocol::Icmp
    } else {
        Protocol::Icmpv6
    }
}

/// What a socket is counted as; `None` when it sends no echo requests.
///
/// # Safety
///
/// `socket` is a full socket or the context of a socket program.
#[inline(always)]
pub unsafe fn protocol_of(socket: *const bpf_sock) -> Option<Protocol> {
    // SAFETY: the verifier checks every access.
    unsafe {
        sends_requests((*socket).type_, (*socket).protocol).then_some(protocol_in((*socket).family))
    }
}

/// Whether a packet that is sent is an echo request.
///
/// # Safety
///
/// `skb` is the program's context.
#[inline(always)]
pub unsafe fn sends_request(skb: *mut __sk_buff) -> bool {
    let mut room = MaybeUninit::<Datagram>::uninit();
    // SAFETY: the caller's promise.
    unsafe { read(skb, room.as_mut_ptr(), Direction::Sent) }
}

/// Handles one packet of the socket whose storage is `socket`.
///
/// # Safety
///
/// `skb` is the program's context, `socket` valid.
#[inline(always)]
pub unsafe fn message(skb: *mut __sk_buff, socket: *mut FlowState, direction: Direction) {
    let mut room = MaybeUninit::<Datagram>::uninit();
    // SAFETY: the caller's promise; what is read was written.
    unsafe {
        if !read(skb, room.as_mut_ptr(), direction) {
            return;
        }
        let datagram = room.assume_init_ref();
        if direction == Direction::Received {
            return reply(socket, datagram);
        }
        let flow = udp::take(socket, datagram);
        if !flow.is_null() && (*flow).look_left != datagram.identifier {
            (*flow).look_left = datagram.identifier;
            let now = clock::exact_ns().wrapping_sub((*flow).clock_offset_ns);
            transit::told_by_socket(flow, Teller::Sending, now);
        }
    }
}

/// Reads a request that is sent or a reply that is received; false when the packet is neither.
#[inline(never)]
unsafe fn read(skb: *mut __sk_buff, datagram: *mut Datagram, direction: Direction) -> bool {
    // SAFETY: the caller's promise; the helpers check the ranges.
    unsafe {
        if datagram.is_null() {
            return false;
        }
        let ipv4 = (*skb).protocol == ETH_P_IP;
        if ipv4 && !begins_icmp(skb) {
            return false;
        }
        let protocol = if ipv4 {
            Protocol::Icmp
        } else {
            Protocol::Icmpv6
        };
        let transport = headers::transport(skb, protocol);
        if transport == 0 {
            return false;
        }
        let Some(echo) = echo(skb, transport, protocol) else {
            return false;
        };
        if echo.is_request != (direction == Direction::Sent) {
            return false;
        }
        (*datagram).direction = direction;
        (*datagram).bytes = u64::from((*skb).len);
        (*datagram).packets = 1;
        (*datagram).identifier = echo.identifier;
        let ends = &raw mut (*datagram).ends;
        (*ends).local_port = u16::from(echo.request);
        (*ends).remote_port = 0;
        let (first, second) = if direction == Direction::Sent {
            (&raw mut (*ends).local, &raw mut (*ends).remote)
        } else {
            (&raw mut (*ends).remote, &raw mut (*ends).local)
        };
        address::of_packet(skb, first, second)
    }
}

/// Whether an IPv4 packet has the header of an ICMP message: later fragments have none.
#[inline(always)]
unsafe fn begins_icmp(skb: *mut __sk_buff) -> bool {
    // SAFETY: the context.
    unsafe {
        headers::byte(skb, 9) == Protocol::Icmp as u8
            && headers::byte(skb, 6) & 0x1f == 0
            && headers::byte(skb, 7) == 0
    }
}

/// Counts a reply to a request of the socket's own.
#[inline(never)]
unsafe fn reply(socket: *mut FlowState, datagram: &Datagram) {
    // SAFETY: the caller's promise.
    unsafe {
        if socket.is_null() {
            return;
        }
        let flow = udp::find(socket, &datagram.ends);
        if flow.is_null() || (*flow).look_left != datagram.identifier {
            return;
        }
        let now = clock::packet_time(flow);
        if (*flow).phase == PHASE_OPEN && !udp::idle(flow, now.ns) {
            count(flow, Direction::Received, datagram.bytes, datagram.packets);
            clock::note_packet(flow, now);
        }
    }
}
