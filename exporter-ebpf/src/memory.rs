//! Reads the kernel's own structures, by offsets from its type information.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use beaconwatch_records::TaskOffsets;

/// Copies kernel memory; leaves `target` zeroed when that fails.
///
/// # Safety
///
/// `target` points to memory that the program may write; the helper checks the address.
#[inline(always)]
pub unsafe fn read<T>(target: *mut T, address: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        bpf_probe_read_kernel(
            target.cast(),
            size_of::<T>() as u32,
            address as *const c_void,
        );
    }
}

/// A member of the kernel structure at `base`; zero when it cannot be read.
///
/// # Safety
///
/// None is needed: the helper checks the address.
#[inline(always)]
pub unsafe fn member<T: Copy + Default>(base: u64, offset: u32) -> T {
    let mut value = T::default();
    // SAFETY: a local variable.
    unsafe { read(&raw mut value, base + u64::from(offset)) };
    value
}

/// Start of the process (not of the thread) that a task belongs to.
///
/// # Safety
///
/// As [`member`].
#[inline(always)]
pub unsafe fn process_start_ns(task: u64, offsets: &TaskOffsets) -> u64 {
    // SAFETY: as `member`.
    unsafe {
        let leader: u64 = member(task, offsets.group_leader);
        member(leader, offsets.start_boottime)
    }
}
