//! Packets: attributes each to its socket's flow and counts it.
//!
//! The path of a packet of a known TCP flow is: find the storage, add to two counters, read the
//! coarse clock.

use aya_ebpf::{
    bindings::{__sk_buff, bpf_sock},
    helpers::generated::{bpf_get_socket_cookie, bpf_sk_fullsock},
};
use beaconwatch_records::{
    CloseReason, Direction, FLAG_START_INFERRED, Protocol, RecordKind, Role,
};

use crate::{
    activity, address, atomic, clock,
    emit::emit,
    headers, icmp,
    maps::{FlowState, PHASE_OPEN, SEEN_FIN, SOCKETS, WATCH_FIN, adopt_any},
    owner, payload, udp,
};

const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
const TCP_ESTABLISHED: u32 = 1;
const TCP_CLOSE_WAIT: u32 = 8;
/// Handles one packet.
///
/// # Safety
///
/// `skb` is the program's context.
#[inline(always)]
pub unsafe fn packet(skb: *mut __sk_buff, direction: Direction) {
    // SAFETY: the context; the verifier checks every access.
    unsafe {
        let socket = (*skb).__bindgen_anon_2.sk;
        if socket.is_null() {
            return;
        }
        let mut flow = SOCKETS.find(socket.cast());
        if flow.is_null() {
            flow = adopt(skb, socket, direction);
            if flow.is_null() {
                return;
            }
        }
        if (*flow).protocol != Protocol::Tcp as u8 {
            if (*flow).protocol == Protocol::Udp as u8 {
                return udp::datagram(skb, flow, direction);
            }
            return icmp::message(skb, flow, direction);
        }
        if (*flow).phase != PHASE_OPEN {
            return;
        }
        let now = clock::packet_time(flow);
        let sent = direction == Direction::Sent;
        if sent && activity::is_awaited(flow, now.ns)
            || sent && (*flow).watch_handler != 0
            || (*flow).look != 0
        {
            look_for_payload(skb, flow, direction, now.ns);
        }
        if !sent && (*flow).state & WATCH_FIN != 0 && headers::is_fin(skb) {
            (*flow).state |= SEEN_FIN;
        }
        let (bytes, packets) = size(skb, Protocol::Tcp);
        count(flow, direction, bytes, packets);
        clock::note_packet(flow, now);
    }
}

/// Hands a segment with payload to whoever waits for one, before it is counted.
#[inline(always)]
unsafe fn look_for_payload(
    skb: *mut __sk_buff,
    flow: *mut FlowState,
    direction: Direction,
    now: u64,
) {
    // SAFETY: the context; the verifier checks every access.
    unsafe {
        let offset = headers::tcp_payload(skb);
        if (*skb).len <= offset {
            return;
        }
        if direction == Direction::Sent {
            activity::payload_sent(flow, now);
            if (*flow).watch_handler != 0 {
                owner::take_sender(flow);
            }
        }
        if (*flow).look != 0 {
            payload::segment(skb, flow, offset, direction);
        }
    }
}

/// Adds to the counters of one direction. Atomic: several processors can handle one socket.
///
/// # Safety
///
/// `flow` is valid.
#[inline(always)]
pub unsafe fn count(flow: *mut FlowState, direction: Direction, bytes: u64, packets: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        let counters = &raw mut (*flow).counters;
        if direction == Direction::Sent {
            atomic::add(&raw mut (*counters).bytes_sent, bytes);
            atomic::add(&raw mut (*counters).packets_sent, packets);
        } else {
            atomic::add(&raw mut (*counters).bytes_received, bytes);
            atomic::add(&raw mut (*counters).packets_received, packets);
        }
    }
}

/// Bytes and packets as on the wire: a segmented buffer stands for several packets, each with
/// headers of its own.
///
/// # Safety
///
/// `skb` is the program's context.
#[inline(always)]
pub unsafe fn size(skb: *mut __sk_buff, protocol: Protocol) -> (u64, u64) {
    // SAFETY: the context; the verifier checks every access.
    unsafe {
        let bytes = u64::from((*skb).len);
        let segments = u64::from((*skb).gso_segs);
        if segments <= 1 {
            return (bytes, 1);
        }
        let headers = match protocol {
            Protocol::Tcp => headers::tcp_payload(skb),
            _ => headers::transport(skb, Protocol::Udp) + 8,
        };
        let headers = u64::from(headers);
        (bytes + (segments - 1) * headers, segments)
    }
}

/// Makes storage for a socket that is older than the capture; null when it carries no flow.
#[inline(never)]
unsafe fn adopt(
    skb: *mut __sk_buff,
    socket: *mut bpf_sock,
    direction: Direction,
) -> *mut FlowState {
    // SAFETY: the context; the verifier checks every access.
    unsafe {
        let socket = bpf_sk_fullsock(socket);
        if socket.is_null() {
            return core::ptr::null_mut();
        }
        let tcp = (*socket).type_ == SOCK_STREAM && (*socket).protocol == Protocol::Tcp as u32;
        let udp = (*socket).type_ == SOCK_DGRAM && (*socket).protocol == Protocol::Udp as u32;
        let live = matches!((*socket).state, TCP_ESTABLISHED | TCP_CLOSE_WAIT);
        // The setting is constant to the verifier, which removes what depends on it.
        let any = adopt_any();
        let udp = udp || (any && headers::byte(skb, 9) == Protocol::Udp as u8);
        // The kernel's own sockets send no requests.
        let icmp = if direction == Direction::Sent && icmp::sends_request(skb) {
            icmp::protocol_of(socket)
        } else {
            None
        };
        if !(udp || any || (tcp && live) || icmp.is_some()) {
            return core::ptr::null_mut();
        }
        let flow = SOCKETS.find_or_make(socket.cast());
        if flow.is_null() {
            return flow;
        }
        let now = clock::exact_ns();
        (*flow).adopted_ns = now;
        (*flow).cookie = bpf_get_socket_cookie(skb.cast());
        if udp {
            (*flow).protocol = Protocol::Udp as u8;
            return flow;
        }
        if let Some(protocol) = icmp {
            (*flow).protocol = protocol as u8;
            return flow;
        }
        (*flow).protocol = Protocol::Tcp as u8;
        (*flow).flags = FLAG_START_INFERRED;
        address::of_socket(socket, flow);
        // Nothing tells who connected; services listen on the lower port.
        (*flow).role = if (*flow).local_port >= (*flow).remote_port {
            Role::Client as u8
        } else {
            Role::Server as u8
        };
        clock::begin(flow, now);
        (*flow).sent_at = 0;
        (*flow).phase = PHASE_OPEN;
        emit(flow, RecordKind::Open, CloseReason::None, now);
        flow
    }
}
