//! From a [`FlowState`] to a [`FlowRecord`] in the ring buffer.
//!
//! The reader comes by itself a few times a second; it is woken only when much waits, because a
//! wake-up per connection would cost more than all the rest of the kernel part.

use core::{ffi::c_void, mem::offset_of};

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::generated::bpf_ringbuf_query,
};
use beaconwatch_records::{
    CloseReason, FLAG_TCP_TOTALS, FlowRecord, LossCounter, Protocol, RecordKind, Role, interface_of,
};

use crate::{
    maps::{FlowState, RECORDS, lose, wakeup_bytes},
    words,
};

const _: () = assert!(offset_of!(FlowRecord, flags) == size_of::<FlowRecord>() - 12);
const _: () = assert!(offset_of!(FlowRecord, established) == size_of::<FlowRecord>() - 11);
const _: () = assert!(offset_of!(FlowRecord, interface) == size_of::<FlowRecord>() - 8);

/// Two of the largest entries: processors that pass a multiple together still see it.
const WAKEUP_SLACK_BYTES: u64 = 2 * (4096 + 8);

/// What the TCP socket itself counted.
#[derive(Clone, Copy)]
pub struct TcpTotals {
    pub payload_sent: u64,
    pub payload_received: u64,
    pub smoothed_rtt_us: u32,
    pub retransmits: u32,
    pub established: bool,
}

/// Writes the record of `flow`.
///
/// # Safety
///
/// Both pointers are valid.
#[inline(always)]
pub unsafe fn fill(
    record: *mut FlowRecord,
    flow: *const FlowState,
    kind: RecordKind,
    reason: CloseReason,
    time_ns: u64,
) {
    // SAFETY: the caller's promise, checked by the verifier.
    unsafe {
        (*record).cookie = (*flow).cookie;
        (*record).netns_cookie = (*flow).netns_cookie;
        (*record).start_ns = (*flow).start_ns;
        (*record).time_ns = time_ns;
        // Ticks are coarser than records: a packet is not later than what is told of it.
        let last_packet_ns = (*flow).last_packet_ns;
        (*record).last_packet_ns = if last_packet_ns < time_ns {
            last_packet_ns
        } else {
            time_ns
        };
        words::copy(&raw mut (*record).counters, &raw const (*flow).counters);
        words::zero(&raw mut (*record).payload_sent);
        words::zero(&raw mut (*record).payload_received);
        words::copy(&raw mut (*record).owner, &raw const (*flow).owner);
        let local = (&raw mut (*record).local_address).cast::<[u64; 2]>();
        words::copy(local, &raw const (*flow).local_address);
        let remote = (&raw mut (*record).remote_address).cast::<[u64; 2]>();
        words::copy(remote, &raw const (*flow).remote_address);
        (*record).handler_start_ns = if (*flow).handler_pid == 0 {
            0
        } else {
            (*flow).adopted_ns
        };
        (&raw mut (*record).smoothed_rtt_us).write_volatile(0);
        (&raw mut (*record).retransmits).write_volatile(0);
        (*record).local_port = (*flow).local_port;
        (*record).remote_port = (*flow).remote_port;
        (*record).kind = kind as u8;
        (*record).role = (*flow).role;
        (*record).protocol = (*flow).protocol;
        (*record).close_reason = reason as u8;
        (*record).handler_pid = (*flow).handler_pid;
        // One word: flags, established and padding.
        let word = (&raw mut (*record).flags).cast::<u32>();
        word.write_volatile(u32::from((*flow).flags) | (u32::from(established(flow)) << 8));
        let last = (&raw mut (*record).interface).cast::<u64>();
        last.write_volatile(u64::from(interface(flow)));
    }
}

/// Where a flow in transit is counted; 0 for those of sockets.
#[inline(always)]
unsafe fn interface(flow: *const FlowState) -> u32 {
    // SAFETY: the caller's promise, checked by the verifier.
    unsafe {
        if (*flow).role != Role::Transit as u8 {
            0
        } else if (*flow).point != 0 {
            interface_of((*flow).point)
        } else {
            interface_of((*flow).adopted_ns as u32)
        }
    }
}

/// Whether both ends have spoken. A TCP client that got a packet and lives is established: a refusal
/// would have ended it.
#[inline(always)]
unsafe fn established(flow: *const FlowState) -> bool {
    // SAFETY: the caller's promise, checked by the verifier.
    unsafe {
        if (*flow).protocol == Protocol::Tcp as u8 && (*flow).role == Role::Server as u8 {
            return true;
        }
        (*flow).counters.packets_received != 0
            && ((*flow).protocol == Protocol::Tcp as u8 || (*flow).counters.packets_sent != 0)
    }
}

/// Hands a record of `flow` to user space, or counts that it could not.
///
/// # Safety
///
/// `flow` is valid.
#[inline(always)]
pub unsafe fn emit(flow: *const FlowState, kind: RecordKind, reason: CloseReason, time_ns: u64) {
    let Some(mut entry) = RECORDS.reserve(0) else {
        return lose(LossCounter::RingFull);
    };
    // SAFETY: the reserved record, and the caller's promise.
    unsafe { fill(entry.as_mut_ptr(), flow, kind, reason, time_ns) };
    entry.submit(wakeup((&raw const RECORDS).cast_mut().cast()));
}

/// Like [`emit`], for a TCP socket that is about to go.
///
/// # Safety
///
/// `flow` is valid.
#[inline(always)]
pub unsafe fn emit_tcp_close(
    flow: *const FlowState,
    reason: CloseReason,
    time_ns: u64,
    totals: TcpTotals,
) {
    let Some(mut entry) = RECORDS.reserve(0) else {
        return lose(LossCounter::RingFull);
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the reserved record, and the caller's promise.
    unsafe {
        fill(record, flow, RecordKind::Close, reason, time_ns);
        (*record).payload_sent = totals.payload_sent;
        (*record).payload_received = totals.payload_received;
        (*record).smoothed_rtt_us = totals.smoothed_rtt_us;
        (*record).retransmits = totals.retransmits;
        (*record).established = u8::from(totals.established);
        (*record).flags |= FLAG_TCP_TOTALS;
    }
    entry.submit(wakeup((&raw const RECORDS).cast_mut().cast()));
}

/// Like [`emit`], for the end of a TCP flow in transit.
///
/// # Safety
///
/// `flow` is valid.
#[inline(always)]
pub unsafe fn emit_transit_close(
    flow: *const FlowState,
    reason: CloseReason,
    time_ns: u64,
    established: bool,
) {
    let Some(mut entry) = RECORDS.reserve(0) else {
        return lose(LossCounter::RingFull);
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the reserved record, and the caller's promise.
    unsafe {
        fill(record, flow, RecordKind::Close, reason, time_ns);
        (*record).established = u8::from(established);
    }
    entry.submit(wakeup((&raw const RECORDS).cast_mut().cast()));
}

/// Whether the reader of a ring buffer is to be woken.
#[inline(always)]
pub fn wakeup(ring: *mut c_void) -> u64 {
    // SAFETY: a ring buffer.
    let waiting = unsafe { bpf_ringbuf_query(ring, u64::from(BPF_RB_AVAIL_DATA)) };
    // Once at each multiple: a reader that is late is not woken by every record.
    let past = waiting & (wakeup_bytes() - 1);
    if waiting >= wakeup_bytes() && past < WAKEUP_SLACK_BYTES {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}
