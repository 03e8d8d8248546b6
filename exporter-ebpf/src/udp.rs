//! UDP: a flow is a socket and a peer, and ends after an idle time or with the socket.
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
    CloseReason, FLAG_OWN, FLAG_START_INFERRED, LossCounter, Protocol, RecordKind, Role,
};

use crate::{
    address, atomic, clock,
    emit::emit,
    maps::{
        FlowState, PEERS, PHASE_ENDED, PHASE_FILLING, PHASE_NEW, PHASE_OPEN, PHASE_RELEASED,
        PeerKey, RELEASED, SOCKETS, lose, udp_idle_timeout_ns,
    },
    packet::{Direction, ETH_P_IP, count, ip_header, size},
    words,
};

/// IPv4, header of five words: the usual first byte.
const IPV4_PLAIN: u8 = 0x45;

/// Both ends of a datagram, seen from the local socket.
#[derive(Clone, Copy)]
struct Ends {
    local: [u64; 2],
    remote: [u64; 2],
    local_port: u16,
    remote_port: u16,
}

/// One datagram and its circumstances.
struct Datagram {
    ends: Ends,
    direction: Direction,
    bytes: u64,
    packets: u64,
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
        let Some(ends) = ends(skb, direction) else {
            return lose(LossCounter::Unattributed);
        };
        let (bytes, packets) = size(skb, Protocol::Udp);
        let datagram = Datagram {
            ends,
            direction,
            bytes,
            packets,
        };
        if is_peer(socket, &datagram.ends) {
            return known_peer(socket, &datagram);
        }
        other_peer(socket, &datagram);
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
        let now = clock::coarse_ns(flow);
        if (*flow).phase == PHASE_OPEN && !idle(flow, now) {
            count(flow, datagram.direction, datagram.bytes, datagram.packets);
            (*flow).last_packet_ns = now;
        } else if claim(flow) {
            start(flow, datagram);
        } else {
            // Another processor is just starting or ending the flow.
            lose(LossCounter::Unattributed);
        }
    }
}

/// A datagram of a peer that does not lie in the socket's storage.
#[inline(never)]
unsafe fn other_peer(socket: *mut FlowState, datagram: &Datagram) {
    let mut key = PeerKey {
        cookie: 0,
        address: datagram.ends.remote,
        port: u64::from(datagram.ends.remote_port),
    };
    // SAFETY: the caller's promise.
    unsafe {
        if socket.is_null() {
            return;
        }
        key.cookie = (*socket).cookie;
        if (*socket).state != 0
            && let Some(flow) = PEERS.get_ptr_mut(&key)
        {
            return known_peer(flow, datagram);
        }
        if claim(socket) {
            return start(socket, datagram);
        }
        insert(socket, &key, datagram);
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
        // On an old socket a first datagram may be one of many; after an idle time it is not.
        let adopted = (*flow).adopted_ns;
        let young = adopted != 0 && now < adopted + udp_idle_timeout_ns();
        (*flow).flags = ((*flow).flags & FLAG_OWN) | if young { FLAG_START_INFERRED } else { 0 };
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
        begin(flow, datagram);
        count(flow, datagram.direction, datagram.bytes, datagram.packets);
        (*socket).state = 1;
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
        let adopted_tcp =
            (*flow).protocol == Protocol::Tcp as u8 && (*flow).flags & FLAG_START_INFERRED != 0;
        if (*flow).protocol != Protocol::Udp as u8 && !adopted_tcp {
            return;
        }
        let now = clock::exact_ns();
        if atomic::replace(&raw mut (*flow).phase, PHASE_OPEN, PHASE_RELEASED) {
            emit(flow, RecordKind::Close, CloseReason::SocketClosed, now);
        } else {
            (*flow).phase = PHASE_RELEASED;
        }
        if (*flow).protocol == Protocol::Udp as u8 && (*flow).state != 0 {
            let cookie = (*flow).cookie;
            if RELEASED.insert(cookie, now, u64::from(BPF_ANY)).is_err() {
                lose(LossCounter::CloseUnseen);
            }
        }
    }
}

/// Reads both ends from the headers. `None` for a packet with IPv6 extension headers, a fragment or
/// something else than UDP.
#[inline(always)]
unsafe fn ends(skb: *mut __sk_buff, direction: Direction) -> Option<Ends> {
    // SAFETY: the verifier proves every read to lie inside the packet.
    unsafe {
        let start = (*skb).data as usize;
        let end = (*skb).data_end as usize;
        let (source, destination, ports) = if (*skb).protocol == ETH_P_IP {
            if start + 28 > end || *(start as *const u8) != IPV4_PLAIN {
                return with_options(skb, direction);
            }
            (
                address::mapped(*((start + 12) as *const u32)),
                address::mapped(*((start + 16) as *const u32)),
                *((start + 20) as *const u32),
            )
        } else {
            if start + 48 > end || *((start + 6) as *const u8) != Protocol::Udp as u8 {
                return None;
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

/// The same for an IPv4 header with options.
#[inline(always)]
unsafe fn with_options(skb: *mut __sk_buff, direction: Direction) -> Option<Ends> {
    let mut addresses = [0u32; 2];
    let mut ports = 0u32;
    // SAFETY: the helper checks the range.
    let failed = unsafe {
        let header = ip_header(skb);
        bpf_skb_load_bytes(skb.cast(), 12, (&raw mut addresses).cast(), 8) != 0
            || bpf_skb_load_bytes(skb.cast(), header, (&raw mut ports).cast(), 4) != 0
    };
    if failed {
        return None;
    }
    let [source, destination] = addresses;
    Some(oriented(
        address::mapped(source),
        address::mapped(destination),
        ports,
        direction,
    ))
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
