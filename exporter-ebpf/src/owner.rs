//! Whose socket it is: read from the current process.

use core::ffi::c_void;

use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid, bpf_get_current_uid_gid,
    generated::{bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_task_btf},
};
use beaconwatch_records::{FLAG_OWN, TaskOffsets};

use crate::{
    maps::{FlowState, own_pid, task_offsets},
    memory::field,
};

/// A task that the verifier knows as one.
type Task = *const c_void;

#[inline(always)]
fn current_task() -> Task {
    // SAFETY: the helper has no condition.
    unsafe { bpf_get_current_task_btf() }.cast()
}

/// Writes the owner of a socket that the current process is creating.
///
/// # Safety
///
/// `flow` is valid, and the program type has the helpers (cgroup socket programs have).
#[inline(always)]
pub unsafe fn take_creator(flow: *mut FlowState) {
    // SAFETY: the caller's promise.
    unsafe {
        let owner = &raw mut (*flow).owner;
        (*owner).cgroup_id = bpf_get_current_cgroup_id();
        let offsets = task_offsets();
        if offsets.is_complete() {
            return task_owner(flow, current_task(), &offsets);
        }
        (*owner).pid = (bpf_get_current_pid_tgid() >> 32) as u32;
        (*owner).uid = bpf_get_current_uid_gid() as u32;
        bpf_get_current_comm((&raw mut (*owner).comm).cast(), 16);
        mark_own(flow);
    }
}

/// Writes the owner of a connecting socket if that is not the process that created it.
///
/// Socket operation programs have no helper for the process before kernel 6.10, so this reads the
/// task; without offsets the creator stays the owner. The cgroup stays the socket's.
///
/// # Safety
///
/// `flow` is valid, and the current process is the connecting one.
#[inline(always)]
pub unsafe fn take_connecting(flow: *mut FlowState) {
    let offsets = task_offsets();
    if !offsets.is_complete() {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let task = current_task();
        if field::<u32>(task, offsets.tgid) != (*flow).owner.pid {
            task_owner(flow, task, &offsets);
        }
    }
}

/// Writes the owner of a socket that `task` holds open: for iterators. The cgroup is not known there.
///
/// # Safety
///
/// `flow` is valid, `task` a task that the verifier knows as one.
#[inline(always)]
pub unsafe fn take_holder(flow: *mut FlowState, task: *const c_void) {
    let offsets = task_offsets();
    if !offsets.is_complete() {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe { task_owner(flow, task, &offsets) };
}

/// Writes what is told of the process (not of the thread).
#[inline(always)]
unsafe fn task_owner(flow: *mut FlowState, task: Task, offsets: &TaskOffsets) {
    // SAFETY: the caller's promise.
    unsafe {
        let owner = &raw mut (*flow).owner;
        (*owner).pid = field(task, offsets.tgid);
        let cred: *const c_void = field(task, offsets.cred);
        (*owner).uid = field(cred, offsets.cred_uid);
        let leader: Task = field(task, offsets.group_leader);
        (*owner).process_start_ns = field(leader, offsets.start_boottime);
        let name = (&raw mut (*owner).comm).cast::<u64>();
        *name = field(leader, offsets.comm);
        *name.add(1) = field(leader, offsets.comm + 8);
        mark_own(flow);
    }
}

/// Notes who sends the first payload of an accepted socket, if that is not its owner.
///
/// A worker that accepts from another process's listener answers in its own context; what the kernel sends by
/// itself is never the first payload. Where that is not enough, [`take_last_user`] tells better.
///
/// # Safety
///
/// `flow` is valid, and a packet with payload is being sent.
#[inline(always)]
pub unsafe fn take_sender(flow: *mut FlowState) {
    // SAFETY: the caller's promise.
    unsafe {
        (*flow).watch_handler = 0;
        take_handler(flow);
    }
}

/// Notes who closes a TCP socket last, if that is not its owner: it was passed on, forked or accepted.
///
/// # Safety
///
/// `flow` is valid, and the current process is the closing one.
#[inline(always)]
pub unsafe fn take_last_user(flow: *mut FlowState) {
    // SAFETY: the caller's promise.
    unsafe {
        let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
        if pid != (*flow).owner.pid && pid != (*flow).handler_pid {
            take_handler(flow);
        }
    }
}

#[inline(always)]
unsafe fn take_handler(flow: *mut FlowState) {
    let offsets = task_offsets();
    if !offsets.is_complete() {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let task = current_task();
        let pid: u32 = field(task, offsets.tgid);
        // Without an owner the handler is the best that is known, and told as what it is.
        if pid == 0 || pid == (*flow).owner.pid {
            return;
        }
        let leader: Task = field(task, offsets.group_leader);
        (*flow).adopted_ns = field(leader, offsets.start_boottime);
        (*flow).handler_pid = pid;
    }
}

#[inline(always)]
unsafe fn mark_own(flow: *mut FlowState) {
    // SAFETY: the caller's promise.
    unsafe {
        if (*flow).owner.pid == own_pid() {
            (*flow).flags |= FLAG_OWN;
        } else {
            (*flow).flags &= !FLAG_OWN;
        }
    }
}
