//! Activity: payload that a live connection sends after it has sent none for a while.
//!
//! Implants that keep one connection open call home inside it; each call is an event of its own. Only what
//! the local end sends counts, so that a peer's keep-alive traffic hides nothing. Time is kept in units of
//! 2^20 ns (about a millisecond) of the coarse clock: a packet in the same unit as the one before costs a
//! comparison. A datagram or segment sent for the first time is the start of the flow and no activity.

use beaconwatch_records::{CloseReason, RecordKind};

use crate::{
    clock,
    emit::emit,
    maps::{FlowState, activity_idle_ns},
};

const UNIT_SHIFT: u32 = 20;

/// Whether payload sent at a time of the coarse clock is news.
///
/// # Safety
///
/// `flow` is valid.
#[inline(always)]
pub unsafe fn is_awaited(flow: *const FlowState, now: u64) -> bool {
    // SAFETY: the caller's promise.
    activity_idle_ns() != 0 && unit(now) != unsafe { (*flow).sent_at }
}

/// Notes payload sent at a time of the coarse clock, before it is counted.
///
/// # Safety
///
/// `flow` is valid.
#[inline(always)]
pub unsafe fn payload_sent(flow: *mut FlowState, now: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        let before = (*flow).sent_at;
        (*flow).sent_at = unit(now);
        let idle = u64::from(unit(now).wrapping_sub(before)) << UNIT_SHIFT;
        if before != 0 && activity_idle_ns() != 0 && idle >= activity_idle_ns() {
            tell(flow);
        }
    }
}

/// Rare, so not in the way of packets.
#[inline(never)]
unsafe fn tell(flow: *mut FlowState) {
    // SAFETY: the caller's promise.
    unsafe {
        if flow.is_null() {
            return;
        }
        emit(
            flow,
            RecordKind::Activity,
            CloseReason::None,
            clock::exact_ns(),
        );
    }
}

/// Never 0, which means "none".
#[inline(always)]
const fn unit(now: u64) -> u32 {
    (now >> UNIT_SHIFT) as u32 | 1
}
