//! What connections carry, as far as names lie in it: bounded slices for user space to read.
//!
//! | looked for | where | until |
//! |---|---|---|
//! | TLS `ClientHello` | first payload of the initiator, and what its length says is missing | it is whole |
//! | HTTP/1 request | first payload of the initiator | it was seen |
//! | DNS | port 53, both ways | TCP: [`MOST_DNS_BYTES`]; UDP: the end |
//! | QUIC Initial | UDP, first [`MOST_DATAGRAMS`] datagrams of the initiator | one is none |
//!
//! Nothing is parsed here but what tells these apart. Once a connection is classified, it costs the look at
//! one byte. A slice that finds no room is counted; the flow is told all the same.

use core::{ffi::c_void, mem::transmute};

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes};
use beaconwatch_records::{
    Direction, LossCounter, MOST_SLICE_BYTES, Protocol, Role, SLICE_HEADER_BYTES, SliceHeader,
};

use crate::{
    clock,
    emit::wakeup,
    headers,
    maps::{FlowState, SLICES, lose, take_slices},
    words,
};

/// Classified, or nothing to look for.
const NOTHING: u8 = 0;
/// The initiator's first payload is to come.
const BEGINNING: u8 = 1;
/// A `ClientHello` is not whole: `look_left` bytes are missing.
const HELLO: u8 = 2;
/// DNS: `look_left` bytes may still be looked at (TCP).
const DNS: u8 = 3;

const DNS_PORT: u16 = 53;
const MOST_DNS_BYTES: u16 = 32_768;
const MOST_HELLO_BYTES: u32 = 16_384;
/// Datagrams of a flow that may be QUIC Initial packets.
const MOST_DATAGRAMS: u16 = 4;

/// Bytes of a record header and the header of a handshake message in it (RFC 8446).
const TLS_HEADERS: u32 = 9;
const TLS_HANDSHAKE: u8 = 22;
const TLS_MAJOR: u8 = 3;
const CLIENT_HELLO: u8 = 1;
/// More records than one, or more headers, may lie in between.
const TLS_SLACK: u32 = 64;

/// Long header with the fixed bit (RFC 9000).
const QUIC_LONG: u8 = 0xc0;
const QUIC_1: u32 = 1;
const QUIC_2: u32 = 0x6b33_43cf;

/// Room for the common small slice: DNS messages, short requests and hellos.
const SMALL: usize = 512 - SLICE_HEADER_BYTES;
const LARGE: usize = MOST_SLICE_BYTES;

#[repr(C)]
struct Entry<const N: usize> {
    header: SliceHeader,
    bytes: [u8; N],
}

/// Where a packet's payload lies.
struct Payload {
    skb: *mut __sk_buff,
    /// Of the TCP header; 0 for UDP.
    transport: u32,
    offset: u32,
    length: u32,
    direction: Direction,
}

impl Payload {
    /// What lies behind the headers; `None` when that is nothing.
    #[inline(always)]
    unsafe fn behind(
        skb: *mut __sk_buff,
        transport: u32,
        offset: u32,
        direction: Direction,
    ) -> Option<Self> {
        // SAFETY: the program's context.
        let length = unsafe { (*skb).len }.checked_sub(offset)?;
        (length != 0).then_some(Self {
            skb,
            transport,
            offset,
            length,
            direction,
        })
    }
}

/// Lets a flow that begins be looked at.
///
/// # Safety
///
/// `flow` is valid and its ends, protocol and role are written.
#[inline(always)]
pub unsafe fn begin(flow: *mut FlowState) {
    // SAFETY: the caller's promise.
    unsafe {
        let tcp = (*flow).protocol == Protocol::Tcp as u8;
        let service = if (*flow).role == Role::Server as u8 {
            (*flow).local_port
        } else {
            (*flow).remote_port
        };
        (*flow).look = if !take_slices() {
            NOTHING
        } else if service == DNS_PORT {
            DNS
        } else {
            BEGINNING
        };
        (*flow).look_left = if service == DNS_PORT {
            MOST_DNS_BYTES
        } else if tcp {
            0
        } else {
            MOST_DATAGRAMS
        };
    }
}

/// Looks at a segment of a flow that is not classified, in a packet that begins with its IP header; its payload
/// begins at `offset`.
///
/// # Safety
///
/// `skb` is the program's context, `flow` valid.
#[inline(never)]
pub unsafe fn segment(
    skb: *mut __sk_buff,
    flow: *mut FlowState,
    offset: u32,
    direction: Direction,
) {
    // SAFETY: the caller's promise; the verifier checks every access.
    unsafe {
        if !flow.is_null() {
            let transport = headers::transport(skb, Protocol::Tcp);
            look_at_segment(skb, flow, (transport, offset), direction);
        }
    }
}

/// The same where the TCP header begins at `transport`.
///
/// # Safety
///
/// `skb` is the program's context, `flow` valid.
#[inline(never)]
pub unsafe fn segment_at(
    skb: *mut __sk_buff,
    flow: *mut FlowState,
    transport: u32,
    direction: Direction,
) {
    // SAFETY: the caller's promise; the verifier checks every access.
    unsafe {
        if !flow.is_null() {
            let offset = transport + u32::from(headers::byte(skb, transport + 12) >> 4) * 4;
            look_at_segment(skb, flow, (transport, offset), direction);
        }
    }
}

/// `at`: offsets of TCP header and payload.
#[inline(always)]
unsafe fn look_at_segment(
    skb: *mut __sk_buff,
    flow: *mut FlowState,
    at: (u32, u32),
    direction: Direction,
) {
    // SAFETY: the caller's promise; the verifier checks every access.
    unsafe {
        let Some(payload) = Payload::behind(skb, at.0, at.1, direction) else {
            return;
        };
        let look = (*flow).look;
        if look == DNS {
            return spend(flow, &payload);
        }
        if !of_initiator(flow, direction) {
            // Who answers first speaks none of the protocols that name a server.
            if look == BEGINNING {
                (*flow).look = NOTHING;
            }
            return;
        }
        if look == BEGINNING {
            let missing = classify(&payload);
            let Some(missing) = missing else {
                (*flow).look = NOTHING;
                return;
            };
            (*flow).look = HELLO;
            (*flow).look_left = missing;
        }
        spend(flow, &payload);
    }
}

/// Hands out a slice and takes its length off what is left; looks no further when nothing is.
#[inline(always)]
unsafe fn spend(flow: *mut FlowState, payload: &Payload) {
    // SAFETY: the caller's promise.
    unsafe {
        let left = u32::from((*flow).look_left);
        (*flow).look_left = left.saturating_sub(payload.length) as u16;
        if left <= payload.length {
            (*flow).look = NOTHING;
        }
        take(flow, payload);
    }
}

/// Bytes to look at from here on, when the first payload of a connection is worth it.
#[inline(always)]
unsafe fn classify(payload: &Payload) -> Option<u16> {
    let mut head = [0u8; TLS_HEADERS as usize];
    // SAFETY: the helper checks the range.
    let short = unsafe {
        bpf_skb_load_bytes(
            payload.skb.cast(),
            payload.offset,
            (&raw mut head).cast(),
            TLS_HEADERS,
        ) != 0
    };
    if short {
        // SAFETY: as above.
        let first = unsafe { headers::byte(payload.skb, payload.offset) };
        return (first == TLS_HANDSHAKE).then_some(MOST_HELLO_BYTES as u16);
    }
    let [kind, major, _, _, _, message, high, middle, low] = head;
    if kind == TLS_HANDSHAKE && major == TLS_MAJOR && message == CLIENT_HELLO {
        let length = u32::from(high) << 16 | u32::from(middle) << 8 | u32::from(low);
        let whole = TLS_HEADERS + length;
        if whole <= payload.length {
            return Some(0);
        }
        let whole = whole + TLS_SLACK;
        let most = if whole < MOST_HELLO_BYTES {
            whole
        } else {
            MOST_HELLO_BYTES
        };
        return Some(most as u16);
    }
    let [a, b, c, d, ..] = head;
    is_method(u32::from_be_bytes([a, b, c, d])).then_some(0)
}

/// Whether a request of HTTP/1 begins with these four bytes.
#[inline(always)]
const fn is_method(begin: u32) -> bool {
    const fn word(text: &[u8; 4]) -> u32 {
        u32::from_be_bytes(*text)
    }
    begin == const { word(b"GET ") }
        || begin == const { word(b"POST") }
        || begin == const { word(b"HEAD") }
        || begin == const { word(b"PUT ") }
        || begin == const { word(b"DELE") }
        || begin == const { word(b"OPTI") }
        || begin == const { word(b"CONN") }
        || begin == const { word(b"PATC") }
        || begin == const { word(b"TRAC") }
}

/// Looks at a datagram of a flow that is not classified; its payload begins at `offset`.
///
/// # Safety
///
/// `skb` is the program's context, `flow` valid.
#[inline(never)]
pub unsafe fn datagram(
    skb: *mut __sk_buff,
    flow: *mut FlowState,
    offset: u32,
    direction: Direction,
) {
    // SAFETY: the caller's promise; the verifier checks every access.
    unsafe {
        if flow.is_null() {
            return;
        }
        let Some(payload) = Payload::behind(skb, 0, offset, direction) else {
            return;
        };
        if (*flow).look == DNS {
            return take(flow, &payload);
        }
        if !of_initiator(flow, direction) {
            return;
        }
        if !is_quic_initial(&payload) {
            (*flow).look = NOTHING;
            return;
        }
        let left = (*flow).look_left.saturating_sub(1);
        (*flow).look_left = left;
        if left == 0 {
            (*flow).look = NOTHING;
        }
        take(flow, &payload);
    }
}

#[inline(always)]
unsafe fn is_quic_initial(payload: &Payload) -> bool {
    let mut head = [0u8; 5];
    // SAFETY: the helper checks the range.
    let short = unsafe {
        bpf_skb_load_bytes(
            payload.skb.cast(),
            payload.offset,
            (&raw mut head).cast(),
            5,
        ) != 0
    };
    let [first, a, b, c, d] = head;
    let version = u32::from_be_bytes([a, b, c, d]);
    !short && first & QUIC_LONG == QUIC_LONG && (version == QUIC_1 || version == QUIC_2)
}

#[inline(always)]
unsafe fn of_initiator(flow: *const FlowState, direction: Direction) -> bool {
    // SAFETY: the caller's promise.
    let initiates = unsafe { (*flow).role } != Role::Server as u8;
    initiates == (direction as u8 == Direction::Sent as u8)
}

/// Hands out a slice, in an entry of the smaller size that it fits.
#[inline(always)]
unsafe fn take(flow: *const FlowState, payload: &Payload) {
    // SAFETY: the caller's promise.
    unsafe {
        if payload.length as usize <= SMALL {
            take_into::<SMALL>(flow, payload);
        } else {
            take_into::<LARGE>(flow, payload);
        }
    }
}

#[inline(always)]
unsafe fn take_into<const N: usize>(flow: *const FlowState, payload: &Payload) {
    let Some(mut entry) = SLICES.reserve_untyped::<Entry<N>>(0) else {
        return lose(LossCounter::SliceLost);
    };
    let target = entry.as_mut_ptr();
    // SAFETY: the reserved entry, and the caller's promise.
    let captured = unsafe { copy::<N>(payload, (&raw mut (*target).bytes).cast()) };
    if captured == 0 {
        entry.discard(0);
        return;
    }
    // SAFETY: as above.
    unsafe { describe(&raw mut (*target).header, flow, payload, captured) };
    entry.submit(wakeup((&raw const SLICES).cast_mut().cast()));
}

/// Copies payload; returns how many bytes.
#[inline(always)]
unsafe fn copy<const N: usize>(payload: &Payload, target: *mut c_void) -> u32 {
    /// `bpf_skb_load_bytes` (helper 26) with a length of 64 bits: the verifier must see the very register
    /// that was compared.
    type LoadBytes = unsafe extern "C" fn(*const c_void, u32, *mut c_void, u64) -> i64;
    let mut length = u64::from(payload.length);
    // SAFETY: changes nothing; the compiler forgets what it knows, and keeps the comparisons.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) length) };
    if length > N as u64 {
        length = N as u64;
    }
    if length == 0 {
        return 0;
    }
    // SAFETY: the number is the helper's; the helper checks the packet's range, the verifier the target's.
    let failed = unsafe {
        let load: LoadBytes = transmute::<usize, LoadBytes>(26);
        load(payload.skb.cast(), payload.offset, target, length) != 0
    };
    if failed { 0 } else { length as u32 }
}

#[inline(always)]
unsafe fn describe(
    header: *mut SliceHeader,
    flow: *const FlowState,
    payload: &Payload,
    captured: u32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        (*header).cookie = (*flow).cookie;
        (*header).netns_cookie = (*flow).netns_cookie;
        (*header).start_ns = (*flow).start_ns;
        (*header).time_ns = clock::exact_ns();
        (*header).process_start_ns = (*flow).owner.process_start_ns;
        (*header).pid = (*flow).owner.pid;
        (*header).sequence = if payload.transport == 0 {
            0
        } else {
            sequence(payload)
        };
        (*header).length = payload.length;
        (*header).captured = captured;
        let local = (&raw mut (*header).local_address).cast::<[u64; 2]>();
        words::copy(local, &raw const (*flow).local_address);
        let remote = (&raw mut (*header).remote_address).cast::<[u64; 2]>();
        words::copy(remote, &raw const (*flow).remote_address);
        (*header).local_port = (*flow).local_port;
        (*header).remote_port = (*flow).remote_port;
        (*header).direction = payload.direction as u8;
        (*header).protocol = (*flow).protocol;
        (*header).role = (*flow).role;
        (*header).padding = 0;
    }
}

#[inline(always)]
unsafe fn sequence(payload: &Payload) -> u32 {
    let mut number = 0u32;
    // SAFETY: the context; the helper checks the range.
    unsafe {
        let at = payload.transport + 4;
        bpf_skb_load_bytes(payload.skb.cast(), at, (&raw mut number).cast(), 4);
    }
    u32::from_be(number)
}
