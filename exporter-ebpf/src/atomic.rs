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
pub unsafe fn replace(target: *mut u32, expected: u32, new: u32) -> bool {
    let found: u64;
    // SAFETY: the caller's promise, checked by the verifier. The halves of registers have no class of their own.
    unsafe {
        asm!(
            "w0 = cmpxchg32_32(r1 + 0, w0, w2)",
            in("r1") target,
            in("r2") u64::from(new),
            inlateout("r0") u64::from(expected) => found,
        );
    }
    found as u32 == expected
}
