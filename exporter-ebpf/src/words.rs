//! Copies and zeroes memory word by word.
//!
//! The compiler would make calls of `memmove` and `memset` of plain assignments, which run byte by
//! byte on this target; volatile accesses stay what they are.

/// Copies `size_of::<T>()` bytes, a multiple of 8.
///
/// # Safety
///
/// Both pointers are valid and aligned to 8.
#[inline(always)]
pub unsafe fn copy<T>(target: *mut T, source: *const T) {
    const { assert!(size_of::<T>() % 8 == 0) };
    let target = target.cast::<u64>();
    let source = source.cast::<u64>();
    let mut word = 0;
    while word < size_of::<T>() / 8 {
        // SAFETY: the caller's promise.
        unsafe {
            target
                .add(word)
                .write_volatile(source.add(word).read_volatile())
        };
        word += 1;
    }
}

/// Zeroes `size_of::<T>()` bytes, a multiple of 8.
///
/// # Safety
///
/// The pointer is valid and aligned to 8, and zeroes are a value of `T`.
#[inline(always)]
pub unsafe fn zero<T>(target: *mut T) {
    const { assert!(size_of::<T>() % 8 == 0) };
    let target = target.cast::<u64>();
    let mut word = 0;
    while word < size_of::<T>() / 8 {
        // SAFETY: the caller's promise.
        unsafe { target.add(word).write_volatile(0) };
        word += 1;
    }
}
