//! UDP: a flow is a socket and a peer, and ends after an idle time or with the socket. Those of ICMP are kept here,
//! too (see `icmp`).
//!
//! The first peer's flow lies in the socket's storage, so a connected socket and a client with one
//! server cost one look-up a datagram. Further peers lie in the map `PEERS`. A flow's end is told
//! once: whoever moves its phase away from open tells it.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_ANY, BPF_NOEXIST, bpf_sock},
    helpers::generated::bpf_skb_load_bytes,
};
use beaconwatch_records::{
    CloseReason, Direction, FLAG_OWN, FLAG_START_INFERRED, LossCounter, Protocol, RecordKind, Role,
};

use crate::{
    activity, address, atomic, clock,
    emit::emit,
    headers::{self, ETH_P_IP},
    maps::{
        FlowState, HAS_PEERS, PEERS, PHASE_ENDED, PHASE_FILLING, PHASE_NEW, PHASE_OPEN,
        PHASE_RELEASED, PeerKey, RELEASED, REPORTS_CLOSE, SOCKETS, lose, udp_idle_timeout_ns,
    },
    owner,
    packet::{count, size},
    payload,
    transit::{self, Teller},
    words,
};

/// Both ends of a datagram, seen from the local socket.
#[derive(Clone, Copy)]
pub struct Ends {
    pub local: [u64; 2],
    pub remote: [u64; 2],
    pub local_port: u16,
    pub remote_port: u16,
}

/// One datagram, or one echo request or reply, and its circumstances.
pub struct Datagram {
    pub ends: Ends,
    pub direction: Direction,
    /// Of ICMP; 0 for UDP.
    pub identifier: u16,
    pub bytes: u64,
    pub packets: u64,
}

/// Handles one datagram of the socket whose storage is `socket`.
///
/// # Safety
///
/// `skb` is the program's context, `socket` valid.
#[inline(always)]
pub unsafe fn datagram(skb: *mut __sk_buff, socket: *mut FlowState, direction: Direction) {
    // SAFETY: the caller's promise; the verifier checks every access.
    unsafe {
        let transport = headers::transport(skb, Protocol::Udp);
        if transport == 0 {
            return lose(LossCounter::Unattributed);
        }
        let Some(ends) = ends(skb, transport, direction) else {
            return lose(LossCounter::Unattributed);
        };
        let (bytes, packets) = size(skb, Protocol::Udp);
        let datagram = Datagram {
            ends,
            direction,
            identifier: 0,
            bytes,
            packets,
        };
        let flow = take(socket, &datagram);
        if !flow.is_null() && (*flow).look != 0 {
            payload::datagram(skb, flow, transport + 8, direction);
        }
    }
}

/// Takes a datagram in that may begin a flow; returns its flow, or null when there is no room for it.
///
/// # Safety
///
/// `socket` is the storage of the datagram's socket.
#[inline(always)]
pub unsafe fn take(socket: *mut FlowState, datagram: &Datagram) -> *mut FlowState {
    // SAFETY: the caller's promise.
    unsafe {
        if is_peer(socket, &datagram.ends) {
            known_peer(socket, datagram);
            socket
        } else {
            other_peer(socket, datagram)
        }
    }
}

/// The flow between these ends, or null.
///
/// # Safety
///
/// `socket` is the storage of the local end's socket.
#[inline(always)]
pub unsafe fn find(socket: *mut FlowState, ends: &Ends) -> *mut FlowState {
    // SAFETY: the caller's promise.
    unsafe {
        if is_peer(socket, ends) {
            return socket;
        }
        if (*socket).state & HAS_PEERS == 0 {
            return core::ptr::null_mut();
        }
        let key = PeerKey {
            cookie: (*socket).cookie,
            address: ends.remote,
            port: u64::from(ends.remote_port),
        };
        PEERS.get_ptr_mut(&key).unwrap_or(core::ptr::null_mut())
    }
}

#[inline(always)]
unsafe fn is_peer(flow: *const FlowState, ends: &Ends) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        (*flow).remote_port == ends.remote_port
            && (*flow).remote_address[1] == ends.remote[1]
            && (*flow).remote_address[0] == ends.remote[0]
    }
}

/// Whether a flow has had no datagram for too long at a time of its own.
///
/// # Safety
///
/// `flow` is valid.
#[inline(always)]
pub unsafe fn idle(flow: *const FlowState, now: u64) -> bool {
    // SAFETY: the caller's promise.
    now > unsafe { (*flow).last_packet_ns } + udp_idle_timeout_ns()
}

/// A datagram of the peer that `flow` belongs to.
#[inline(always)]
unsafe fn known_peer(flow: *mut FlowState, datagram: &Datagram) {
    // SAFETY: the caller's promise.
    unsafe {
        let now = clock::packet_time(flow);
        if (*flow).phase == PHASE_OPEN && !idle(flow, now.ns) {
            if datagram.direction == Direction::Sent {
                activity::payload_sent(flow, now.ns);
            }
            count(flow, datagram.direction, datagram.bytes, datagram.packets);
            clock::note_packet(flow, now);
        } else if claim(flow) {
            start(flow, datagram);
        } else {
            // Another processor is just starting or ending the flow.
            lose(LossCounter::Unattributed);
        }
    }
}

/// A datagram of a peer that does not lie in the socket's storage; returns its flow, or null when there is
/// no room for it.
#[inline(never)]
unsafe fn other_peer(socket: *mut FlowState, datagram: &Datagram) -> *mut FlowState {
    let mut key = PeerKey {
        cookie: 0,
        address: datagram.ends.remote,
        port: u64::from(datagram.ends.remote_port),
    };
    // SAFETY: the caller's promise.
    unsafe {
        if socket.is_null() {
            return core::ptr::null_mut();
        }
        key.cookie = (*socket).cookie;
        if (*socket).state & HAS_PEERS != 0
            && let Some(flow) = PEERS.get_ptr_mut(&key)
        {
            known_peer(flow, datagram);
            return flow;
        }
        if claim(socket) {
            start(socket, datagram);
            return socket;
        }
        insert(socket, &key, datagram);
        PEERS.get_ptr_mut(&key).unwrap_or(core::ptr::null_mut())
    }
}

/// Takes the right to start a flow where none lives; tells the end of an idle one.
#[inline(always)]
unsafe fn claim(flow: *mut FlowState) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let phase = &raw mut (*flow).phase;
        match *phase {
            PHASE_NEW => atomic::replace(phase, PHASE_NEW, PHASE_FILLING),
            PHASE_ENDED => atomic::replace(phase, PHASE_ENDED, PHASE_FILLING),
            PHASE_OPEN => {
                let now = clock::coarse_ns(flow);
                if !idle(flow, now) || !atomic::replace(phase, PHASE_OPEN, PHASE_FILLING) {
                    return false;
                }
                emit(
                    flow,
                    RecordKind::Close,
                    CloseReason::Idle,
                    (*flow).last_packet_ns,
                );
                true
            }
            _ => false,
        }
    }
}

/// Writes the start of a flow that the caller has claimed.
#[inline(always)]
unsafe fn start(flow: *mut FlowState, datagram: &Datagram) {
    // SAFETY: the caller's promise.
    unsafe {
        begin(flow, datagram);
        emit(flow, RecordKind::Open, CloseReason::None, (*flow).start_ns);
        count(flow, datagram.direction, datagram.bytes, datagram.packets);
        (*flow).phase = PHASE_OPEN;
    }
}

#[inline(always)]
unsafe fn begin(flow: *mut FlowState, datagram: &Datagram) {
    // SAFETY: the caller's promise.
    unsafe {
        words::zero(&raw mut (*flow).counters);
        let now = clock::exact_ns();
        clock::begin(flow, now);
        (*flow).last_packet_ns = now;
        (*flow).local_address = datagram.ends.local;
        (*flow).remote_address = datagram.ends.remote;
        (*flow).local_port = datagram.ends.local_port;
        (*flow).remote_port = datagram.ends.remote_port;
        (*flow).role = if datagram.direction == Direction::Sent {
            Role::Client as u8
        } else {
            Role::Server as u8
        };
        if (*flow).protocol == Protocol::Udp as u8 {
            payload::begin(flow);
        } else {
            (*flow).look_left = datagram.identifier;
        }
        (*flow).sent_at = 0;
        if datagram.direction == Direction::Sent {
            activity::payload_sent(flow, now);
        }
        // On an old socket a first datagram may be one of many; after an idle time it is not.
        let adopted = (*flow).adopted_ns;
        let young = adopted != 0 && now < adopted + udp_idle_timeout_ns();
        (*flow).flags = ((*flow).flags & FLAG_OWN) | if young { FLAG_START_INFERRED } else { 0 };
        let teller = if datagram.direction == Direction::Sent {
            Teller::Sending
        } else {
            Teller::Receiving
        };
        transit::told_by_socket(flow, teller, now.wrapping_sub((*flow).clock_offset_ns));
    }
}

/// Starts a flow in the map of further peers.
#[inline(always)]
unsafe fn insert(socket: *mut FlowState, key: &PeerKey, datagram: &Datagram) {
    // SAFETY: the caller's promise.
    unsafe {
        if (*socket).phase == PHASE_RELEASED {
            return lose(LossCounter::Unattributed);
        }
        let mut copy = MaybeUninit::<FlowState>::uninit();
        let flow = copy.as_mut_ptr();
        words::copy(flow, socket);
        (*flow).phase = PHASE_OPEN;
        (*flow).state = 0;
        begin(flow, datagram);
        count(flow, datagram.direction, datagram.bytes, datagram.packets);
        (*socket).state |= HAS_PEERS;
        if PEERS.insert(key, copy.assume_init_ref(), u64::from(BPF_NOEXIST)) == Ok(()) {
            words::zero(&raw mut (*flow).counters);
            emit(flow, RecordKind::Open, CloseReason::None, (*flow).start_ns);
        } else if let Some(flow) = PEERS.get_ptr_mut(key) {
            // Another processor was first.
            known_peer(flow, datagram);
        } else {
            lose(LossCounter::PeerMapFull);
        }
    }
}

/// Ends the flow of a socket that its owner closes. Flows of further peers end when the map is read
/// next (see `iterator`), with this moment as their end.
///
/// # Safety
///
/// `socket` is the program's context.
#[inline(always)]
pub unsafe fn released(socket: *mut bpf_sock) {
    // SAFETY: the context; the verifier checks every access.
    unsafe {
        let flow = SOCKETS.find(socket.cast());
        if flow.is_null() {
            return;
        }
        let tcp = (*flow).protocol == Protocol::Tcp as u8;
        if tcp {
            owner::take_last_user(flow);
        }
        let adopted_tcp =
            (*flow).flags & FLAG_START_INFERRED != 0 && (*flow).state & REPORTS_CLOSE == 0;
        if tcp && !adopted_tcp {
            return;
        }
        let now = clock::exact_ns();
        if atomic::replace(&raw mut (*flow).phase, PHASE_OPEN, PHASE_RELEASED) {
            emit(flow, RecordKind::Close, CloseReason::SocketClosed, now);
        } else {
            (*flow).phase = PHASE_RELEASED;
        }
        if !tcp && (*flow).state & HAS_PEERS != 0 {
            let cookie = (*flow).cookie;
            if RELEASED.insert(cookie, now, u64::from(BPF_ANY)).is_err() {
                lose(LossCounter::CloseUnseen);
            }
        }
    }
}

/// Reads both ends from the headers; `None` when the packet ends before them.
#[inline(always)]
unsafe fn ends(skb: *mut __sk_buff, transport: u32, direction: Direction) -> Option<Ends> {
    // SAFETY: the verifier proves every read to lie inside the packet.
    unsafe {
        let start = (*skb).data as usize;
        let end = (*skb).data_end as usize;
        let (source, destination, ports) = if (*skb).protocol == ETH_P_IP {
            if start + 28 > end || transport != 20 {
                return copied(skb, transport, direction);
            }
            (
                address::mapped(*((start + 12) as *const u32)),
                address::mapped(*((start + 16) as *const u32)),
                *((start + 20) as *const u32),
            )
        } else {
            if start + 48 > end || transport != 40 {
                return copied(skb, transport, direction);
            }
            (
                words(start + 8),
                words(start + 24),
                *((start + 40) as *const u32),
            )
        };
        Some(oriented(source, destination, ports, direction))
    }
}

/// The same by copies: for headers with options or extensions, and what is not in the linear part.
#[inline(always)]
unsafe fn copied(skb: *mut __sk_buff, transport: u32, direction: Direction) -> Option<Ends> {
    let mut addresses = [0u64; 4];
    let mut ports = 0u32;
    // SAFETY: the helper checks the range.
    unsafe {
        if bpf_skb_load_bytes(skb.cast(), transport, (&raw mut ports).cast(), 4) != 0 {
            return None;
        }
        if (*skb).protocol == ETH_P_IP {
            let mut short = [0u32; 2];
            if bpf_skb_load_bytes(skb.cast(), 12, (&raw mut short).cast(), 8) != 0 {
                return None;
            }
            let [source, destination] = short.map(address::mapped);
            return Some(oriented(source, destination, ports, direction));
        }
        if bpf_skb_load_bytes(skb.cast(), 8, (&raw mut addresses).cast(), 32) != 0 {
            return None;
        }
    }
    let [a, b, c, d] = addresses;
    Some(oriented([a, b], [c, d], ports, direction))
}

#[inline(always)]
unsafe fn words(at: usize) -> [u64; 2] {
    // SAFETY: the caller checked the range.
    unsafe { [*(at as *const u64), *((at + 8) as *const u64)] }
}

#[inline(always)]
fn oriented(source: [u64; 2], destination: [u64; 2], ports: u32, direction: Direction) -> Ends {
    let source_port = u16::from_be(ports as u16);
    let destination_port = u16::from_be((ports >> 16) as u16);
    if direction == Direction::Sent {
        Ends {
            local: source,
            remote: destination,
            local_port: source_port,
            remote_port: destination_port,
        }
    } else {
        Ends {
            local: destination,
            remote: source,
            local_port: destination_port,
            remote_port: source_port,
        }
    }
}
