//! Reads the kernel's own structures, by offsets from its type information.
//!
//! [`member`] copies by a helper, from any address. [`field`] is a plain load, some 20 ns less: it needs a pointer
//! that the verifier knows the type of (of the current task, of an iterator's item), and leads to such pointers.

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

/// A member of the kernel structure that `base` points to, at an offset that is constant to the verifier; zero where
/// the memory is gone.
///
/// # Safety
///
/// The verifier knows the type behind `base` and checks that it has a member of that size there.
#[inline(always)]
pub unsafe fn field<T: Copy>(base: *const c_void, offset: u32) -> T {
    // SAFETY: the caller's promise. Volatile: the compiler must neither join nor repeat the loads.
    unsafe {
        base.cast::<u8>()
            .add(offset as usize)
            .cast::<T>()
            .read_volatile()
    }
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
