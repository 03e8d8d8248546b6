//! Two clocks: the exact one for starts and ends, the coarse one for packets.
//!
//! Reading the exact clock costs some 50 ns on a virtual machine, more than all the rest of a packet.
//! The coarse clock is a variable that the kernel sets at every tick (1 to 10 ms). It does not count
//! suspends, so each flow keeps its distance to boot time as of its start: within a flow, time goes on
//! from there, and a suspended host lets no UDP flow fall idle.
//!
//! To call for the coarse clock still costs 25 ns, to look at the number of the tick one: so it is read once a tick, for all
//! flows, and a flow keeps the number of the tick that its time is of. The number changes a little before the clock, so
//! a time may be two ticks old.

use aya_ebpf::helpers::generated::{
    bpf_jiffies64, bpf_ktime_get_boot_ns, bpf_ktime_get_coarse_ns, bpf_ktime_get_ns,
};

use crate::maps::{COARSE, FlowState};

/// Boot time.
#[inline(always)]
pub fn exact_ns() -> u64 {
    // SAFETY: reads a clock.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Number of the kernel's tick.
#[inline(always)]
fn tick() -> u64 {
    // SAFETY: reads a variable.
    unsafe { bpf_jiffies64() }
}

/// The coarse clock in this tick.
#[inline(always)]
fn coarse_at(tick: u64) -> u64 {
    let Some(last) = COARSE.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: the map's value. Whoever sees the new tick sees the new time, or at worst that of the tick before.
    unsafe {
        if (&raw const (*last).tick).read_volatile() == tick {
            return (&raw const (*last).ns).read_volatile();
        }
        let now = bpf_ktime_get_coarse_ns();
        (&raw mut (*last).ns).write_volatile(now);
        (&raw mut (*last).tick).write_volatile(tick);
        now
    }
}

/// Lets the time of `flow` begin at `now`, which is boot time.
///
/// # Safety
///
/// `flow` is valid.
#[inline(always)]
pub unsafe fn begin(flow: *mut FlowState, now: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        let tick = tick();
        (*flow).start_ns = now;
        (*flow).tick = tick as u32;
        (*flow).clock_offset_ns = now.wrapping_sub(coarse_at(tick));
    }
}

/// [`begin`] for iterators, which may not read the coarse clock: to the tick.
///
/// # Safety
///
/// `flow` is valid.
#[inline(always)]
pub unsafe fn begin_by_fine(flow: *mut FlowState, now: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        (*flow).start_ns = now;
        (*flow).tick = tick() as u32;
        (*flow).clock_offset_ns = now.wrapping_sub(bpf_ktime_get_ns());
    }
}

/// A packet's time within its flow, to the tick, and that tick.
#[derive(Clone, Copy)]
pub struct PacketTime {
    pub ns: u64,
    tick: u32,
}

/// The present as the time of a packet of `flow`.
///
/// # Safety
///
/// `flow` is valid and has begun.
#[inline(always)]
pub unsafe fn packet_time(flow: *const FlowState) -> PacketTime {
    let tick = tick();
    // SAFETY: the caller's promise.
    let ns = unsafe {
        if tick as u32 != (*flow).tick {
            coarse_at(tick).wrapping_add((*flow).clock_offset_ns)
        } else if (*flow).last_packet_ns != 0 {
            (*flow).last_packet_ns
        } else {
            (*flow).start_ns
        }
    };
    PacketTime {
        ns,
        tick: tick as u32,
    }
}

/// Notes the time of a packet of `flow`.
///
/// # Safety
///
/// `flow` is valid.
#[inline(always)]
pub unsafe fn note_packet(flow: *mut FlowState, time: PacketTime) {
    // SAFETY: the caller's promise.
    unsafe {
        (*flow).tick = time.tick;
        (*flow).last_packet_ns = time.ns;
    }
}

/// The time within `flow`, to the tick.
///
/// # Safety
///
/// `flow` is valid and has begun.
#[inline(always)]
pub unsafe fn coarse_ns(flow: *const FlowState) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { coarse_at(tick()).wrapping_add((*flow).clock_offset_ns) }
}

/// The time within `flow`, exactly: iterators may not read the coarse clock.
///
/// # Safety
///
/// `flow` is valid and has begun.
#[inline(always)]
pub unsafe fn fine_ns(flow: *const FlowState) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { bpf_ktime_get_ns().wrapping_add((*flow).clock_offset_ns) }
}
