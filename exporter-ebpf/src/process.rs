//! What processes execute: told when they begin to, because many are gone before user space looks.
//!
//! Two tracepoints: a process executes a program, or is born and goes on as its parent. Threads are left out.
//! The path is as it was executed: links are not followed, and for a script it is its interpreter's.

use core::ffi::c_void;

use aya_ebpf::{bindings::BPF_RB_NO_WAKEUP, helpers::generated::bpf_probe_read_kernel_str};
use beaconwatch_records::{LossCounter, PATH_BYTES};

use crate::{
    maps::{PROCESSES, lose, task_offsets},
    memory::{member, process_start_ns},
    words,
};

/// The task executes what `program` (a `linux_binprm`) describes.
///
/// # Safety
///
/// Both are what the tracepoint told.
#[inline(always)]
pub unsafe fn executes(task: u64, program: u64) {
    let offsets = task_offsets();
    if !offsets.knows_executables() {
        return;
    }
    let Some(mut entry) = PROCESSES.reserve(0) else {
        return lose(LossCounter::ProcessLost);
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the reserved record, and the caller's promise.
    unsafe {
        words::zero(record);
        (*record).start_ns = process_start_ns(task, &offsets);
        (*record).pid = member(task, offsets.tgid);
        let path: u64 = member(program, offsets.executed);
        let target = (&raw mut (*record).path).cast::<c_void>();
        let length = bpf_probe_read_kernel_str(target, PATH_BYTES as u32, path as *const c_void);
        if length >= PATH_BYTES as i64 {
            // Cut off: better none than another one.
            (*record).path[0] = 0;
        }
    }
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
}

/// A task is born of another.
///
/// # Safety
///
/// Both are what the tracepoint told.
#[inline(always)]
pub unsafe fn is_born(parent: u64, child: u64) {
    let offsets = task_offsets();
    if !offsets.knows_executables() {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let pid: u32 = member(child, offsets.tgid);
        if member::<u32>(child, offsets.pid) != pid {
            return;
        }
        let Some(mut entry) = PROCESSES.reserve(0) else {
            return lose(LossCounter::ProcessLost);
        };
        let record = entry.as_mut_ptr();
        words::zero(record);
        (*record).start_ns = process_start_ns(child, &offsets);
        (*record).parent_start_ns = process_start_ns(parent, &offsets);
        (*record).pid = pid;
        (*record).parent_pid = member(parent, offsets.tgid);
        entry.submit(u64::from(BPF_RB_NO_WAKEUP));
    }
}
