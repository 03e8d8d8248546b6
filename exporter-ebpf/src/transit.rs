//! Flows in transit: what interfaces see and no socket of this kernel tells of.
//!
//! A flow is told once, wherever its packets pass:
//!
//! - A packet of a socket whose storage is known, or of a half-open or waiting TCP socket, is the socket's.
//! - What is addressed to the host itself belongs to the socket that answers there, if there is one.
//! - Sockets of other network namespaces put their ends into `TOLD_ELSEWHERE` when a flow begins, because an
//!   interface of this namespace sees their packets without their socket.
//! - Each direction is counted where it was seen first: at one interface, on one way through it (a `point`). When that
//!   interface is captured no longer, or nothing of the flow passed for a second, where it is seen next.
//! - What leaves under ends that are not known, but came in on an interface whose flows are told, was translated on
//!   the way: it is told under its former ends already.
//!
//! There is no opening record: a flow is told by its close, or by the iterator once it is older than
//! [`TELLING_AGE_NS`], so that a socket which answers in time takes it over without a trace.
//!
//! Of ICMP a flow is the echo requests between two addresses with one identifier, and their replies; a request begins
//! it. TCP ends with the last acknowledgement after both FINs, or with a RST. What ends by silence is told by the
//! iterator. Limits: a flow that began unseen is opened by its next payload, initiated by the end with the higher
//! port; packets to multicast addresses are no flows; of a flow that takes another way between captured interfaces
//! without a pause, one direction may be counted no further.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_ANY, BPF_F_CURRENT_NETNS, BPF_NOEXIST, bpf_sock_tuple},
    helpers::generated::{
        bpf_ktime_get_coarse_ns, bpf_sk_fullsock, bpf_sk_lookup_udp, bpf_sk_release,
        bpf_skc_lookup_tcp,
    },
};
use beaconwatch_records::{
    CloseReason, Direction, FLAG_START_INFERRED, InterfaceUse, LossCounter, Protocol, Role,
    interface_of, point,
};

use crate::{
    activity, atomic, clock,
    emit::emit_transit_close,
    frame::{self, ACK, Content, FIN, Frame, RST, SYN},
    maps::{
        ADDRESSES, EndsKey, FlowState, INTERFACES, PHASE_ENDED, PHASE_OPEN, READING, SCRATCH,
        SOCKETS, TOLD_ELSEWHERE, TRANSIT, lose, transit_idle_timeout_ns, transit_namespace,
    },
    packet::count,
    payload, udp, words,
};

/// A younger flow is told by its close only.
pub const TELLING_AGE_NS: u64 = 5_000_000_000;
/// From one interface to the next, and through what queues there are between.
const PASSING_NS: u64 = 1_000_000_000;
/// A connect is given up without an answer: the last of Linux's six repetitions waits as long.
const NO_REPLY_NS: u64 = 64_000_000_000;
/// The acknowledgement after both FINs does not come, or what is late has come.
pub const LINGER_NS: u64 = 10_000_000_000;
/// What is told elsewhere is looked up anew after this long without a packet.
const ELSEWHERE_AGE_NS: u64 = 600_000_000_000;
/// The time of a packet is written this often only.
const ELSEWHERE_STEP_NS: u64 = 1_000_000_000;

// Bits of `FlowState::state` of a flow in transit.
const FIN_OF_INITIATOR: u8 = 1;
const FIN_OF_RESPONDER: u8 = 2;
const CLOSING: u8 = FIN_OF_INITIATOR | FIN_OF_RESPONDER;
const RESPONDER_FIRST: u8 = 4;
/// The responder sent something else than a refusal.
const ANSWERED: u8 = 8;

/// `PACKET_BROADCAST` and `PACKET_MULTICAST` of a received packet.
const TO_ALL: u32 = 1;
const TO_MANY: u32 = 2;

/// One end of a flow.
type End = ([u64; 2], u16);

/// Handles one packet on an interface whose link header has `LINK` bytes.
///
/// # Safety
///
/// `skb` is the program's context.
#[inline(always)]
pub unsafe fn packet<const LINK: u32>(skb: *mut __sk_buff, leaves: bool) {
    // SAFETY: the context; the verifier checks every access.
    unsafe {
        let kind = (*skb).pkt_type;
        if is_of_socket(skb) || (!leaves && (kind == TO_ALL || kind == TO_MANY)) {
            return;
        }
        let Some(reading) = READING.get_ptr_mut(0) else {
            return;
        };
        match frame::read::<LINK>(skb, reading) {
            Content::Found => {}
            Content::Other => return,
            Content::Unread => return lose(LossCounter::TransitUnread),
        }
        let frame = &raw const (*reading).frame;
        order(&raw mut (*reading).key, &*frame);
        let key = &(*reading).key;
        let flow = match TRANSIT.get_ptr_mut(key) {
            Some(flow) if !is_over(frame, flow) => flow,
            Some(flow) => {
                end_unseen(flow);
                let _gone = TRANSIT.remove(key);
                begin(frame, key)
            }
            None if is_new(skb, frame, key, leaves) => begin(frame, key),
            None => return,
        };
        if !flow.is_null() {
            known(skb, frame, flow, key, point((*skb).ifindex, leaves));
        }
    }
}

/// Whether the packet belongs to a socket that tells of it.
#[inline(always)]
unsafe fn is_of_socket(skb: *mut __sk_buff) -> bool {
    // SAFETY: the context; the verifier checks every access.
    unsafe {
        let socket = (*skb).__bindgen_anon_2.sk;
        if socket.is_null() {
            return false;
        }
        // A half-open or waiting TCP socket has no storage, and is nobody else's.
        !SOCKETS.find(socket.cast()).is_null() || bpf_sk_fullsock(socket).is_null()
    }
}

/// Writes the key of a packet.
#[inline(always)]
unsafe fn order(key: *mut EndsKey, frame: &Frame) {
    let source = (frame.source, frame.source_port);
    let destination = (frame.destination, frame.destination_port);
    // SAFETY: the caller's promise.
    unsafe {
        *key = ordered(
            source,
            destination,
            of_key(frame.protocol, frame.identifier),
        )
    };
}

/// The order means nothing; it is the same for both ways.
#[inline(always)]
fn ordered(a: End, b: End, protocol: u32) -> EndsKey {
    let ([a_high, a_low], [b_high, b_low]) = (a.0, b.0);
    let first =
        a_low < b_low || (a_low == b_low && (a_high < b_high || (a_high == b_high && a.1 < b.1)));
    let (lower, higher) = if first { (a, b) } else { (b, a) };
    EndsKey {
        lower: lower.0,
        higher: higher.0,
        lower_port: lower.1,
        higher_port: higher.1,
        protocol,
    }
}

/// Protocol as a key has it.
#[inline(always)]
const fn of_key(protocol: u8, identifier: u16) -> u32 {
    protocol as u32 | (identifier as u32) << 16
}

/// The key of a flow.
///
/// # Safety
///
/// `flow` is valid.
#[inline(always)]
pub unsafe fn key_of(flow: *const FlowState) -> EndsKey {
    // SAFETY: the caller's promise.
    unsafe {
        let mut key = unfinished_key(flow);
        key.protocol = protocol(flow);
        key
    }
}

/// The key of a flow without its protocol: so much the stack has room for where a key is noted.
#[inline(always)]
unsafe fn unfinished_key(flow: *const FlowState) -> EndsKey {
    // SAFETY: the caller's promise.
    unsafe {
        ordered(
            ((*flow).local_address, (*flow).local_port),
            ((*flow).remote_address, (*flow).remote_port),
            0,
        )
    }
}

/// Protocol of a flow as its key has it.
#[inline(always)]
unsafe fn protocol(flow: *const FlowState) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        let protocol = (*flow).protocol;
        if protocol == Protocol::Tcp as u8 || protocol == Protocol::Udp as u8 {
            of_key(protocol, 0)
        } else {
            of_key(protocol, (*flow).look_left)
        }
    }
}

/// Whether a packet between the same ends begins another flow.
#[inline(always)]
unsafe fn is_over(frame: *const Frame, flow: *const FlowState) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let open = (*flow).phase == PHASE_OPEN;
        if (*frame).protocol != Protocol::Tcp as u8 {
            return !open || udp::idle(flow, clock::packet_time(flow).ns);
        }
        (*frame).flags & (SYN | ACK) == SYN && (!open || (*flow).state & ANSWERED != 0)
    }
}

/// Tells the end of a flow after which another came between the same ends.
#[inline(always)]
unsafe fn end_unseen(flow: *mut FlowState) {
    // SAFETY: the caller's promise.
    unsafe {
        if atomic::replace(&raw mut (*flow).phase, PHASE_OPEN, PHASE_ENDED) {
            let reason = if (*flow).protocol == Protocol::Tcp as u8 {
                CloseReason::None
            } else {
                CloseReason::Idle
            };
            let answered = (*flow).counters.packets_received != 0;
            emit_transit_close(flow, reason, (*flow).last_packet_ns, answered);
        }
    }
}

/// Whether a packet with unknown ends begins a flow that nobody else tells of.
#[inline(never)]
unsafe fn is_new(skb: *mut __sk_buff, frame: *const Frame, key: &EndsKey, leaves: bool) -> bool {
    // SAFETY: the context; the verifier checks every access.
    unsafe {
        if frame.is_null() || !can_begin(&*frame) {
            return false;
        }
        let now = bpf_ktime_get_coarse_ns();
        if let Some(seen) = TOLD_ELSEWHERE.get_ptr_mut(key) {
            let age = now.saturating_sub(*seen);
            if age < ELSEWHERE_AGE_NS {
                if age > ELSEWHERE_STEP_NS {
                    *seen = now;
                }
                return false;
            }
        }
        let elsewhere = if leaves {
            let came_in = (*skb).ingress_ifindex;
            came_in != 0 && INTERFACES.get_ptr(came_in).is_some()
        } else {
            ADDRESSES.get_ptr((*frame).destination).is_some() && has_socket(skb, &*frame)
        };
        if elsewhere {
            // Full of what is fresh: looked up anew with the next packet.
            let _full = TOLD_ELSEWHERE.insert(key, now, u64::from(BPF_ANY));
        }
        !elsewhere
    }
}

/// A connection begins with its SYN, or in the middle with payload; nothing begins with an end or an echo reply.
#[inline(always)]
fn can_begin(frame: &Frame) -> bool {
    /// Of IPv4 (224.0.0.0/4, and above it what is no unicast either) and IPv6.
    const MULTICAST: u8 = 224;
    const MULTICAST_6: u8 = 0xff;
    let [high, low] = frame.destination;
    let many = if is_ipv4(frame.destination) {
        (low >> 32) as u8 >= MULTICAST
    } else {
        high as u8 == MULTICAST_6
    };
    let tcp = frame.protocol == Protocol::Tcp as u8;
    let syn = frame.flags & (SYN | ACK) == SYN;
    let middle = frame.flags & (SYN | FIN | RST) == 0 && frame.carries_payload();
    !many && !frame.is_reply() && (!tcp || syn || middle)
}

#[inline(always)]
const fn is_ipv4(address: [u64; 2]) -> bool {
    address[0] == 0 && address[1] as u32 == 0xffff_0000
}

/// `struct bpf_sock_tuple`, its IPv6 part; IPv4 uses the first 12 bytes.
#[repr(C)]
struct Tuple {
    words: [u32; 9],
}

/// Whether a socket of this namespace answers there that tells of its packets.
#[inline(always)]
unsafe fn has_socket(skb: *mut __sk_buff, frame: &Frame) -> bool {
    // SAFETY: the context; the helpers read the tuple, and each socket found is given back.
    unsafe {
        let ports =
            u32::from(frame.source_port.to_be()) | u32::from(frame.destination_port.to_be()) << 16;
        let [a, b] = frame.source;
        let [c, d] = frame.destination;
        let mut tuple = Tuple { words: [0; 9] };
        let size = if is_ipv4(frame.destination) {
            tuple.words = [(b >> 32) as u32, (d >> 32) as u32, ports, 0, 0, 0, 0, 0, 0];
            12
        } else {
            let words = [a, b, c, d].map(|word| [word as u32, (word >> 32) as u32]);
            let [[a, b], [c, d], [e, f], [g, h]] = words;
            tuple.words = [a, b, c, d, e, f, g, h, ports];
            36
        };
        let tuple = (&raw mut tuple).cast::<bpf_sock_tuple>();
        let here = BPF_F_CURRENT_NETNS as i64 as u64;
        if frame.protocol == Protocol::Tcp as u8 {
            let socket = bpf_skc_lookup_tcp(skb.cast(), tuple, size, here, 0);
            if socket.is_null() {
                return false;
            }
            bpf_sk_release(socket.cast());
            return true;
        }
        if frame.protocol != Protocol::Udp as u8 {
            // The kernel answers echo requests without one.
            return false;
        }
        let socket = bpf_sk_lookup_udp(skb.cast(), tuple, size, here, 0);
        if socket.is_null() {
            return false;
        }
        // The kernel's own sockets (tunnels) have no storage.
        let told = !SOCKETS.find(socket.cast()).is_null();
        bpf_sk_release(socket.cast());
        told
    }
}

/// Puts a flow into the map; returns it, or null when there is no room.
#[inline(never)]
unsafe fn begin(frame: *const Frame, key: &EndsKey) -> *mut FlowState {
    // SAFETY: the caller's promise; the verifier checks every access.
    unsafe {
        if frame.is_null() {
            return core::ptr::null_mut();
        }
        let mut copy = MaybeUninit::<FlowState>::uninit();
        let flow = copy.as_mut_ptr();
        words::zero(flow);
        let middle = (*frame).protocol == Protocol::Tcp as u8 && (*frame).flags & SYN == 0;
        // Nothing tells who connected; services listen on the lower port.
        let turned = middle && (*frame).source_port < (*frame).destination_port;
        let source = ((*frame).source, (*frame).source_port);
        let destination = ((*frame).destination, (*frame).destination_port);
        let (local, remote) = if turned {
            (destination, source)
        } else {
            (source, destination)
        };
        (*flow).local_address = local.0;
        (*flow).local_port = local.1;
        (*flow).remote_address = remote.0;
        (*flow).remote_port = remote.1;
        (*flow).protocol = (*frame).protocol;
        (*flow).role = Role::Transit as u8;
        (*flow).cookie = cookie((local.0, local.1 ^ (*frame).identifier));
        (*flow).netns_cookie = transit_namespace();
        clock::begin(flow, clock::exact_ns());
        (*flow).last_packet_ns = (*flow).start_ns;
        if middle {
            (*flow).flags = FLAG_START_INFERRED;
            (*flow).state = ANSWERED;
        } else if (*frame).protocol == Protocol::Tcp as u8
            || (*frame).protocol == Protocol::Udp as u8
        {
            payload::begin(flow);
        } else {
            (*flow).look_left = (*frame).identifier;
        }
        (*flow).phase = PHASE_OPEN;
        let inserted = TRANSIT.insert(key, copy.assume_init_ref(), u64::from(BPF_NOEXIST));
        let flow = TRANSIT.get_ptr_mut(key).unwrap_or(core::ptr::null_mut());
        if inserted.is_err() && flow.is_null() {
            lose(LossCounter::TransitMapFull);
        }
        flow
    }
}

/// Stands for a socket's cookie: a mixture of the initiating end, which with the start and the other end
/// makes the identity. Sockets' own cookies never reach the highest bit.
#[inline(always)]
fn cookie(end: End) -> u64 {
    /// 2^64 divided by the golden ratio: spreads what differs in few bits (Knuth, vol. 3, 6.4).
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let ([high, low], port) = end;
    let mixed = (high.wrapping_mul(SPREAD) ^ low).wrapping_mul(SPREAD) ^ u64::from(port);
    mixed.wrapping_mul(SPREAD) | 1 << 63
}

/// A packet of a flow that is in the map.
#[inline(always)]
unsafe fn known(
    skb: *mut __sk_buff,
    frame: *const Frame,
    flow: *mut FlowState,
    key: &EndsKey,
    here: u32,
) {
    // SAFETY: the caller's promise; the verifier checks every access.
    unsafe {
        let sent = (*flow).local_port == (*frame).source_port
            && (*flow).local_address[1] == (*frame).source[1]
            && (*flow).local_address[0] == (*frame).source[0];
        let counted_at = if sent {
            (*flow).point
        } else {
            (*flow).adopted_ns as u32
        };
        let now = clock::packet_time(flow);
        if counted_at != here {
            if counted_at != 0 && !has_left(flow, counted_at, now.ns) {
                return;
            }
            if counted_at == 0 && !sent && came_from_sockets(skb, here) {
                return hand_over(flow, key);
            }
            if sent {
                (*flow).point = here;
            } else {
                (*flow).adopted_ns = u64::from(here);
            }
        }
        if (*flow).phase != PHASE_OPEN {
            return;
        }
        if sent && activity::is_awaited(flow, now.ns) && (*frame).carries_payload() {
            activity::payload_sent(flow, now.ns);
        }
        let direction = if sent {
            Direction::Sent
        } else {
            Direction::Received
        };
        let (bytes, packets) = (*frame).size(skb);
        count(flow, direction, bytes, packets);
        clock::note_packet(flow, now);
        if (*frame).protocol == Protocol::Tcp as u8 {
            let flags = (*frame).flags;
            if !sent && flags & RST == 0 && (*flow).state & ANSWERED == 0 {
                (*flow).state |= ANSWERED;
            }
            if flags & (FIN | RST) != 0 || (*flow).state & CLOSING == CLOSING {
                may_end(flow, flags, sent);
            }
        }
        if (*flow).look != 0 {
            look(skb, frame, flow, direction);
        }
    }
}

/// Whether a packet that leaves came in on an interface with nothing but sockets of this kernel behind it.
#[inline(always)]
unsafe fn came_from_sockets(skb: *mut __sk_buff, here: u32) -> bool {
    // SAFETY: the context; the value is a copied integer.
    unsafe {
        let came_in = (*skb).ingress_ifindex;
        here & 1 != 0
            && came_in != 0
            && INTERFACES
                .get_ptr(came_in)
                .is_some_and(|used| *used == InterfaceUse::SocketsBehind as u32)
    }
}

/// Whether packets of a flow no longer pass the point where they are counted: its interface is not captured any more, or
/// this one did not pass it. A packet passes the points of one host within less than [`PASSING_NS`].
#[inline(always)]
unsafe fn has_left(flow: *const FlowState, counted_at: u32, now_ns: u64) -> bool {
    // SAFETY: the caller's promise; the map's value.
    unsafe {
        now_ns.saturating_sub((*flow).last_packet_ns) >= PASSING_NS
            || !INTERFACES
                .get_ptr(interface_of(counted_at))
                .is_some_and(|used| *used == InterfaceUse::Counted as u32)
    }
}

/// The answer shows that a socket tells of the flow.
#[inline(always)]
unsafe fn hand_over(flow: *mut FlowState, key: &EndsKey) {
    // SAFETY: the caller's promise.
    unsafe {
        (*flow).phase = PHASE_ENDED;
        let now = bpf_ktime_get_coarse_ns();
        let _full = TOLD_ELSEWHERE.insert(key, now, u64::from(BPF_ANY));
        let _gone = TRANSIT.remove(key);
    }
}

#[inline(always)]
unsafe fn look(
    skb: *mut __sk_buff,
    frame: *const Frame,
    flow: *mut FlowState,
    direction: Direction,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if (*frame).protocol == Protocol::Udp as u8 {
            payload::datagram(skb, flow, (*frame).payload, direction);
        } else {
            payload::segment_at(skb, flow, (*frame).transport, direction);
        }
    }
}

/// A FIN, a RST, or the packet after both FINs.
#[inline(never)]
unsafe fn may_end(flow: *mut FlowState, flags: u8, sent: bool) {
    // SAFETY: the caller's promise.
    unsafe {
        if flow.is_null() {
            return;
        }
        let state = (*flow).state;
        if flags & RST != 0 {
            let refused = !sent && state & ANSWERED == 0;
            let reason = if refused {
                CloseReason::Refused
            } else {
                CloseReason::Reset
            };
            return end(flow, reason);
        }
        if flags & FIN == 0 {
            return end(flow, first_fin(state));
        }
        (*flow).state = if sent {
            state | FIN_OF_INITIATOR
        } else if state & FIN_OF_INITIATOR == 0 {
            state | FIN_OF_RESPONDER | RESPONDER_FIRST
        } else {
            state | FIN_OF_RESPONDER
        };
    }
}

#[inline(always)]
const fn first_fin(state: u8) -> CloseReason {
    if state & RESPONDER_FIRST != 0 {
        CloseReason::FinRemote
    } else {
        CloseReason::FinLocal
    }
}

/// Tells the end of a TCP flow. Its entry stays for what comes late, until the iterator takes it away.
#[inline(always)]
unsafe fn end(flow: *mut FlowState, reason: CloseReason) {
    // SAFETY: the caller's promise.
    unsafe {
        if atomic::replace(&raw mut (*flow).phase, PHASE_OPEN, PHASE_ENDED) {
            let established = (*flow).state & ANSWERED != 0;
            emit_transit_close(flow, reason, clock::exact_ns(), established);
        }
    }
}

/// Why a flow has ended by silence at a time of its own; `None` while it lives.
///
/// # Safety
///
/// `flow` is valid.
#[inline(always)]
pub unsafe fn silent(flow: *const FlowState, now: u64) -> Option<CloseReason> {
    // SAFETY: the caller's promise.
    unsafe {
        let quiet_ns = now.saturating_sub((*flow).last_packet_ns);
        let state = (*flow).state;
        if (*flow).protocol != Protocol::Tcp as u8 {
            return udp::idle(flow, now).then_some(CloseReason::Idle);
        }
        if state & CLOSING == CLOSING {
            return (quiet_ns > LINGER_NS).then_some(first_fin(state));
        }
        if state & ANSWERED == 0 {
            return (quiet_ns > NO_REPLY_NS).then_some(CloseReason::NoReply);
        }
        (quiet_ns > transit_idle_timeout_ns()).then_some(CloseReason::Idle)
    }
}

/// Whose packets a key is for: programs that may interrupt each other on a processor do not share one.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Teller {
    Connecting = 0,
    Accepting = 1,
    Sending = 2,
    Receiving = 3,
    Existing = 4,
}

/// Notes that a socket tells of `flow`, when interfaces of another network namespace may see it.
///
/// # Safety
///
/// `flow` is valid and its ends are written; `now` is of the kernel's monotonic clock.
#[inline(always)]
pub unsafe fn told_by_socket(flow: *const FlowState, teller: Teller, now: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        if transit_namespace() != 0 && (*flow).netns_cookie != transit_namespace() {
            note(flow, teller as u32, now);
        }
    }
}

#[inline(never)]
unsafe fn note(flow: *const FlowState, slot: u32, now: u64) {
    // SAFETY: the caller's promise; the verifier checks every access.
    unsafe {
        if flow.is_null() {
            return;
        }
        let Some(key) = SCRATCH.get_ptr_mut(slot) else {
            return;
        };
        *key = unfinished_key(flow);
        (&raw mut (*key).protocol).write_volatile(protocol(flow));
        let _full = TOLD_ELSEWHERE.insert(&*key, now, u64::from(BPF_ANY));
        if let Some(transit) = TRANSIT.get_ptr_mut(&*key) {
            (*transit).phase = PHASE_ENDED;
            let _gone = TRANSIT.remove(&*key);
        }
    }
}
