//! Reading of the live flows: user space opens an iterator and gets a record for each.
//!
//! The packets of a live flow thus cost no records. An idle flow of UDP or ICMP ends here if no datagram ended
//! it before. A record that does not fit the kernel's page of output is asked for again, so nothing
//! is changed before it was written.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{bindings::seq_file, helpers::generated::bpf_seq_write};
use beaconwatch_records::{CloseReason, FlowRecord, Protocol, RecordKind};

use crate::{
    atomic, clock,
    emit::fill,
    maps::{
        EndsKey, FlowState, PEERS, PHASE_ENDED, PHASE_FILLING, PHASE_OPEN, PeerKey, RELEASED,
        TRANSIT,
    },
    transit::{self, LINGER_NS, TELLING_AGE_NS},
    udp,
};

/// `struct bpf_iter_meta`
#[repr(C)]
pub struct Meta {
    seq: *mut seq_file,
}

/// `struct bpf_iter__bpf_sk_storage_map`
#[repr(C)]
pub struct SocketItem {
    meta: *mut Meta,
    map: *mut c_void,
    socket: *mut c_void,
    value: *mut FlowState,
}

/// `struct bpf_iter__bpf_map_elem`
#[repr(C)]
pub struct PeerItem {
    meta: *mut Meta,
    map: *mut c_void,
    key: *mut PeerKey,
    value: *mut FlowState,
}

/// `struct bpf_iter__bpf_map_elem`, of the map of flows in transit.
#[repr(C)]
pub struct TransitItem {
    meta: *mut Meta,
    map: *mut c_void,
    key: *mut EndsKey,
    value: *mut FlowState,
}

/// Longest tick of the coarse clock that packets are timed by.
const TICK_NS: u64 = 10_000_000;

/// What to say of a flow.
#[derive(Clone, Copy)]
struct Report {
    kind: RecordKind,
    reason: CloseReason,
    time_ns: u64,
}

/// Tells one socket's flow.
///
/// # Safety
///
/// `item` is the program's context.
#[inline(always)]
pub unsafe fn socket(item: *mut SocketItem) {
    // SAFETY: the context; the verifier checks every access.
    unsafe {
        let flow = (*item).value;
        if flow.is_null() {
            return;
        }
        let now = clock::exact_ns();
        if !is_idle(flow) {
            if (*flow).phase == PHASE_OPEN {
                write((*item).meta, flow, Report::update(now));
            }
        } else if atomic::replace(&raw mut (*flow).phase, PHASE_OPEN, PHASE_FILLING) {
            // Nobody else touches the flow now: told once, or open again.
            let told = write((*item).meta, flow, Report::idle(flow));
            (*flow).phase = if told { PHASE_ENDED } else { PHASE_OPEN };
        }
    }
}

/// Tells one further peer's flow, and removes it when it is over.
///
/// # Safety
///
/// `item` is the program's context.
#[inline(always)]
pub unsafe fn peer(item: *mut PeerItem) {
    // SAFETY: the context; the verifier checks every access.
    unsafe {
        let flow = (*item).value;
        if flow.is_null() || (*item).key.is_null() {
            return;
        }
        let now = clock::exact_ns();
        let report = match released((*flow).cookie) {
            Some(time_ns) => Report::socket_closed(time_ns),
            None if is_idle(flow) => Report::idle(flow),
            None => {
                if (*flow).phase == PHASE_OPEN {
                    write((*item).meta, flow, Report::update(now));
                }
                return;
            }
        };
        let key = PeerKey {
            cookie: (*flow).cookie,
            address: (*flow).remote_address,
            port: u64::from((*flow).remote_port),
        };
        if atomic::replace(&raw mut (*flow).phase, PHASE_OPEN, PHASE_FILLING) {
            if write((*item).meta, flow, report) {
                let _gone = PEERS.remove(&key);
            } else {
                (*flow).phase = PHASE_OPEN;
            }
        }
    }
}

/// Tells one flow in transit, and removes it when it is over.
///
/// # Safety
///
/// `item` is the program's context.
#[inline(always)]
pub unsafe fn transit(item: *mut TransitItem) {
    // SAFETY: the context; the verifier checks every access.
    unsafe {
        let flow = (*item).value;
        if flow.is_null() || (*item).key.is_null() {
            return;
        }
        let now = clock::fine_ns(flow).saturating_sub(TICK_NS);
        if (*flow).phase == PHASE_OPEN {
            let Some(reason) = transit::silent(flow, now) else {
                if now.saturating_sub((*flow).start_ns) >= TELLING_AGE_NS {
                    write((*item).meta, flow, Report::update(clock::exact_ns()));
                }
                return;
            };
            let report = Report {
                reason,
                ..Report::idle(flow)
            };
            if !atomic::replace(&raw mut (*flow).phase, PHASE_OPEN, PHASE_FILLING) {
                return;
            }
            if !write((*item).meta, flow, report) {
                (*flow).phase = PHASE_OPEN;
                return;
            }
        } else if now.saturating_sub((*flow).last_packet_ns) < LINGER_NS {
            return;
        }
        let key = transit::key_of(flow);
        let _gone = TRANSIT.remove(&key);
    }
}

impl Report {
    #[inline(always)]
    const fn update(now: u64) -> Self {
        Self {
            kind: RecordKind::Update,
            reason: CloseReason::None,
            time_ns: now,
        }
    }

    #[inline(always)]
    const fn socket_closed(time_ns: u64) -> Self {
        Self {
            kind: RecordKind::Close,
            reason: CloseReason::SocketClosed,
            time_ns,
        }
    }

    #[inline(always)]
    unsafe fn idle(flow: *const FlowState) -> Self {
        Self {
            kind: RecordKind::Close,
            reason: CloseReason::Idle,
            // SAFETY: the caller's promise.
            time_ns: unsafe { (*flow).last_packet_ns },
        }
    }
}

#[inline(always)]
unsafe fn is_idle(flow: *const FlowState) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        (*flow).protocol != Protocol::Tcp as u8
            && udp::idle(flow, clock::fine_ns(flow).saturating_sub(TICK_NS))
    }
}

/// When the socket with this cookie was closed.
#[inline(always)]
fn released(cookie: u64) -> Option<u64> {
    // SAFETY: the value is a copied integer.
    RELEASED.get_ptr(cookie).map(|time| unsafe { *time })
}

/// Writes a record; says whether it fitted.
#[inline(always)]
unsafe fn write(meta: *mut Meta, flow: *const FlowState, report: Report) -> bool {
    let mut record = MaybeUninit::<FlowRecord>::uninit();
    // SAFETY: `fill` writes every field; the verifier checks the rest.
    unsafe {
        fill(
            record.as_mut_ptr(),
            flow,
            report.kind,
            report.reason,
            report.time_ns,
        );
        bpf_seq_write(
            (*meta).seq,
            record.as_ptr().cast(),
            size_of::<FlowRecord>() as u32,
        ) == 0
    }
}
