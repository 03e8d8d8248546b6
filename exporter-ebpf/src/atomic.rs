//! Atomic operations: `core` has none for this target, so each is its one instruction.

use core::arch::asm;

/// Adds.
///
/// # Safety
///
/// `target` points to memory that the program may write.
#[inline(always)]
pub unsafe fn add(target: *mut u64, value: u64) {
    // SAFETY: the caller's promise, checked by the verifier.
    unsafe {
        asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) target, in(reg) value);
    }
}

/// Writes `new` if the value is `expected`; says whether it was (kernel 5.12).
///
/// # Safety
///
/// `target` points to memory that the program may write.
#[inline(always)]
pub unsafe fn replace(target: *mut u64, expected: u64, new: u64) -> bool {
    let found: u64;
    // SAFETY: the caller's promise, checked by the verifier.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({0} + 0, r0, {1})",
            in(reg) target,
            in(reg) new,
            inlateout("r0") expected => found,
        );
    }
    found == expected
}
