//! TCP: a flow opens at connect or accept and closes with the socket's state.
//!
//! It is told once, when it closes; live flows are read by the iterators. Only the first connection of a process is
//! also told when it opens, so that user space looks at a process while it lives. Which processes were told is
//! remembered in [`TOLD_PROCESSES`] places: one that was driven out of its place is told again.
//!
//! A flow needs four calls: connect (or established, for an accepted socket), the change to
//! FIN_WAIT1 where the local end closes first, the change to CLOSE, and the packets. Other state
//! changes return at once.

use aya_ebpf::{
    bindings::{
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG,
        BPF_SOCK_OPS_TCP_CONNECT_CB, bpf_sock_ops,
    },
    helpers::generated::{bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_sock_ops_cb_flags_set},
};
use beaconwatch_records::{CloseReason, FLAG_OWN, LossCounter, Protocol, RecordKind, Role};

use crate::{
    address, clock,
    emit::{TcpTotals, emit, emit_tcp_close},
    maps::{
        FlowState, PHASE_ENDED, PHASE_OPEN, SEEN_FIN, SOCKETS, TOLD, TOLD_PROCESSES, WATCH_FIN,
        lose,
    },
    owner, payload,
    transit::{self, Teller},
    words,
};

// Values of the kernel's TCP states (include/net/tcp_states.h), part of its stable interface.
const ESTABLISHED: u32 = 1;
const SYN_SENT: u32 = 2;
const SYN_RECV: u32 = 3;
const FIN_WAIT1: u32 = 4;
const FIN_WAIT2: u32 = 5;
const TIME_WAIT: u32 = 6;
const CLOSE: u32 = 7;
const CLOSE_WAIT: u32 = 8;
const LAST_ACK: u32 = 9;
const LISTEN: u32 = 10;
const CLOSING: u32 = 11;

/// Handles one socket operation.
///
/// # Safety
///
/// `ops` is the program's context.
#[inline(always)]
pub unsafe fn operation(ops: *mut bpf_sock_ops) {
    // SAFETY: the context; the verifier checks every access.
    unsafe {
        match (*ops).op {
            BPF_SOCK_OPS_STATE_CB => {
                let [old, new, ..] = (*ops).__bindgen_anon_1.args;
                if new == CLOSE {
                    closed(ops, old);
                } else if new == FIN_WAIT1 {
                    watch_fin(ops);
                }
            }
            BPF_SOCK_OPS_TCP_CONNECT_CB => connecting(ops),
            BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => accepted(ops),
            _ => {}
        }
    }
}

#[inline(always)]
unsafe fn connecting(ops: *mut bpf_sock_ops) {
    // SAFETY: the context; the verifier checks every access.
    unsafe {
        let socket = (*ops).__bindgen_anon_2.sk;
        if socket.is_null() {
            return;
        }
        let flow = SOCKETS.find_or_make(socket.cast());
        if flow.is_null() {
            return;
        }
        owner::take_connecting(flow);
        open(ops, flow, Role::Client);
    }
}

#[inline(always)]
unsafe fn accepted(ops: *mut bpf_sock_ops) {
    // SAFETY: the context; the verifier checks every access.
    unsafe {
        let socket = (*ops).__bindgen_anon_2.sk;
        if socket.is_null() {
            return;
        }
        let flow = SOCKETS.find_or_make(socket.cast());
        if flow.is_null() {
            return;
        }
        // Storage is a copy of the listener's: owner and namespace hold, the cookie does not.
        (*flow).cookie = 0;
        open(ops, flow, Role::Server);
    }
}

#[inline(always)]
unsafe fn open(ops: *mut bpf_sock_ops, flow: *mut FlowState, role: Role) {
    // SAFETY: the context and its socket's storage; the verifier checks every access.
    unsafe {
        if (*flow).cookie == 0 {
            (*flow).cookie = bpf_get_socket_cookie(ops.cast());
        }
        if (*flow).netns_cookie == 0 {
            (*flow).netns_cookie = bpf_get_netns_cookie(ops.cast());
        }
        words::zero(&raw mut (*flow).counters);
        (*flow).last_packet_ns = 0;
        (*flow).protocol = Protocol::Tcp as u8;
        (*flow).role = role as u8;
        (*flow).flags &= FLAG_OWN;
        (*flow).state = 0;
        (*flow).sent_at = 0;
        (*flow).handler_pid = 0;
        (*flow).watch_handler = u8::from(role as u8 == Role::Server as u8);
        address::of_operation(ops, flow);
        payload::begin(flow);
        let now = clock::exact_ns();
        clock::begin(flow, now);
        (*flow).phase = PHASE_OPEN;
        let teller = if role as u8 == Role::Client as u8 {
            Teller::Connecting
        } else {
            Teller::Accepting
        };
        transit::told_by_socket(flow, teller, now.wrapping_sub((*flow).clock_offset_ns));
        if is_first_of_process(flow) {
            tell_opened(flow, now);
        }
        // Keep what other programs on this socket asked for.
        let flags = (*ops).bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG;
        if bpf_sock_ops_cb_flags_set(ops, flags as i32) != 0 {
            lose(LossCounter::CloseUnseen);
        }
    }
}

/// Whether the owner's process has not been told yet; it is from then on. A process that executes another program and
/// so changes its name counts as another. Without an owner there is nothing to look at.
#[inline(always)]
unsafe fn is_first_of_process(flow: *const FlowState) -> bool {
    // SAFETY: the caller's promise; `comm` lies on a multiple of 8.
    unsafe {
        let owner = &raw const (*flow).owner;
        let name = (&raw const (*owner).comm).cast::<u64>();
        let process = (*owner).process_start_ns ^ *name;
        let place = (*owner).pid & (TOLD_PROCESSES as u32 - 1);
        match TOLD.get_ptr_mut(place) {
            Some(told) if *told != process => {
                *told = process;
                true
            }
            _ => false,
        }
    }
}

/// Rare, so not in the way of the others.
#[inline(never)]
unsafe fn tell_opened(flow: *const FlowState, now: u64) {
    if !flow.is_null() {
        // SAFETY: the caller's promise.
        unsafe { emit(flow, RecordKind::Open, CloseReason::None, now) };
    }
}

/// From here on a FIN of the remote end does not show in the state at CLOSE: an orphaned socket goes
/// there with or without it. The packets are asked instead.
#[inline(always)]
unsafe fn watch_fin(ops: *mut bpf_sock_ops) {
    // SAFETY: the context; the verifier checks every access.
    unsafe {
        let socket = (*ops).__bindgen_anon_2.sk;
        if socket.is_null() {
            return;
        }
        let flow = SOCKETS.find(socket.cast());
        if !flow.is_null() {
            (*flow).state |= WATCH_FIN;
        }
    }
}

#[inline(always)]
unsafe fn closed(ops: *mut bpf_sock_ops, old: u32) {
    if old == LISTEN {
        return;
    }
    // SAFETY: the context; the verifier checks every access.
    unsafe {
        let socket = (*ops).__bindgen_anon_2.sk;
        if socket.is_null() {
            return;
        }
        let flow = SOCKETS.find(socket.cast());
        if flow.is_null() || (*flow).phase != PHASE_OPEN {
            return;
        }
        let totals = totals(ops, flow, old);
        let reason = reason(flow, old);
        emit_tcp_close(flow, reason, clock::exact_ns(), totals);
        (*flow).phase = PHASE_ENDED;
    }
}

/// The order of the FINs lies in the state that the socket left.
#[inline(always)]
unsafe fn reason(flow: *const FlowState, old: u32) -> CloseReason {
    match old {
        SYN_SENT => {
            // SAFETY: the caller's promise.
            if unsafe { (*flow).counters.packets_received } != 0 {
                CloseReason::Refused
            } else {
                CloseReason::NoReply
            }
        }
        FIN_WAIT2 | CLOSING | TIME_WAIT => CloseReason::FinLocal,
        LAST_ACK => CloseReason::FinRemote,
        _ => CloseReason::Reset,
    }
}

/// The socket's totals, without the sequence numbers that SYN and FIN take.
#[inline(always)]
unsafe fn totals(ops: *mut bpf_sock_ops, flow: *const FlowState, old: u32) -> TcpTotals {
    // SAFETY: the context; the verifier checks every access.
    unsafe {
        let established = old != SYN_SENT && old != SYN_RECV;
        // A FIN that is acknowledged ends FIN_WAIT1; one that found no way out takes no number there yet.
        let sent_fin = !matches!(
            old,
            ESTABLISHED | CLOSE_WAIT | SYN_SENT | SYN_RECV | FIN_WAIT1
        );
        let acked_fin = sent_fin && (*ops).snd_una == (*ops).snd_nxt;
        let received_fin =
            matches!(old, CLOSE_WAIT | LAST_ACK | CLOSING) || (*flow).state & SEEN_FIN != 0;
        // Only a client's own SYN is acknowledged on its socket.
        let acked_syn = established && (*flow).role == Role::Client as u8;
        let control_sent = u64::from(acked_fin) + u64::from(acked_syn);
        let acked = (*ops).bytes_acked;
        let received = (*ops).bytes_received;
        TcpTotals {
            payload_sent: acked.saturating_sub(control_sent),
            payload_received: received.saturating_sub(u64::from(received_fin)),
            // The kernel keeps eighths of microseconds.
            smoothed_rtt_us: (*ops).srtt_us >> 3,
            retransmits: (*ops).total_retrans,
            established,
        }
    }
}
