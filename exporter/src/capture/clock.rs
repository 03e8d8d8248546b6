//! Kernel time to Unix time.
//!
//! The kernel part stamps records with `CLOCK_BOOTTIME`, which never jumps and counts suspends. Unix
//! time is that plus an offset that changes whenever the wall clock is set or slewed, so it is
//! measured again now and then ([`UnixClock::measure`]). The conversion itself is pure.
//!
//! Limit: a record is converted by the latest offset; one stamped just before a step of the wall
//! clock and converted after it is placed on the new scale.

use std::{io, time::Duration};

use super::CaptureError;

/// The difference between Unix time and boot time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnixClock {
    offset_ns: i128,
}

impl UnixClock {
    /// From an offset in nanoseconds: Unix time less boot time.
    #[must_use]
    pub const fn from_offset_ns(offset_ns: i128) -> Self {
        Self { offset_ns }
    }

    /// From one reading of both clocks: boot time before and after the reading of Unix time.
    #[must_use]
    pub const fn from_readings(boot_before_ns: u64, unix_ns: u64, boot_after_ns: u64) -> Self {
        let middle = boot_before_ns.midpoint(boot_after_ns);
        Self {
            offset_ns: unix_ns as i128 - middle as i128,
        }
    }

    /// Measures the offset: of several readings the one that was interrupted least.
    pub fn measure() -> Result<Self, CaptureError> {
        let mut best: Option<(u64, Self)> = None;
        for _ in 0..8 {
            let before = boottime_ns()?;
            let unix = read(libc::CLOCK_REALTIME)?;
            let after = boottime_ns()?;
            let gap = after.saturating_sub(before);
            if best.is_none_or(|(best_gap, _)| gap < best_gap) {
                best = Some((gap, Self::from_readings(before, unix, after)));
            }
        }
        best.map(|(_, clock)| clock).ok_or_else(|| {
            CaptureError::system("clock_gettime")(io::Error::from(io::ErrorKind::Other))
        })
    }

    /// Nanoseconds since 1970 of a boot time; 0 for what lies before, the largest value for what does
    /// not fit (after the year 2554).
    #[must_use]
    pub fn unix_ns(&self, boot_ns: u64) -> u64 {
        let unix = i128::from(boot_ns) + self.offset_ns;
        u64::try_from(unix.max(0)).unwrap_or(u64::MAX)
    }

    /// Unix time less boot time, in nanoseconds.
    #[must_use]
    pub const fn offset_ns(&self) -> i128 {
        self.offset_ns
    }

    /// How far two offsets lie apart: the step of the wall clock between their measurements.
    #[must_use]
    pub fn step_to(&self, later: &Self) -> Duration {
        let step = self.offset_ns.abs_diff(later.offset_ns);
        Duration::from_nanos(u64::try_from(step).unwrap_or(u64::MAX))
    }
}

/// The present `CLOCK_BOOTTIME` in nanoseconds.
pub fn boottime_ns() -> Result<u64, CaptureError> {
    read(libc::CLOCK_BOOTTIME)
}

/// Time since the start that the machine was awake.
pub(super) fn monotonic_ns() -> Result<u64, CaptureError> {
    read(libc::CLOCK_MONOTONIC)
}

#[expect(unsafe_code, reason = "a system call")]
fn read(clock: libc::clockid_t) -> Result<u64, CaptureError> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes one timespec.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(CaptureError::system("clock_gettime")(
            io::Error::last_os_error(),
        ));
    }
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or_default();
    Ok(seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_plus_offset_is_unix_time() {
        let clock = UnixClock::from_readings(100, 1_700_000_000_000_000_150, 200);
        assert_eq!(clock.offset_ns(), 1_700_000_000_000_000_000);
        assert_eq!(clock.unix_ns(5), 1_700_000_000_000_000_005);
        assert_eq!(clock.unix_ns(0), 1_700_000_000_000_000_000);
    }

    #[test]
    fn times_outside_the_scale_stay_at_its_ends() {
        assert_eq!(UnixClock::from_offset_ns(-10).unix_ns(5), 0);
        assert_eq!(UnixClock::from_offset_ns(10).unix_ns(u64::MAX), u64::MAX);
        assert_eq!(
            UnixClock::from_offset_ns(i128::from(u64::MAX)).unix_ns(u64::MAX),
            u64::MAX
        );
    }

    #[test]
    fn a_set_clock_shows_as_a_step_whichever_way() {
        let before = UnixClock::from_offset_ns(1_000);
        let after = UnixClock::from_offset_ns(-2_000);
        assert_eq!(before.step_to(&after), Duration::from_micros(3));
        assert_eq!(after.step_to(&before), Duration::from_micros(3));
    }

    #[test]
    fn a_measured_clock_agrees_with_the_system_clock() {
        let clock = UnixClock::measure().unwrap();
        let before = std::time::SystemTime::now();
        let converted = clock.unix_ns(boottime_ns().unwrap());
        let since = before.duration_since(std::time::UNIX_EPOCH).unwrap();
        let difference = converted.abs_diff(u64::try_from(since.as_nanos()).unwrap());
        assert!(difference < 5_000_000_000, "{difference} ns apart");
    }
}
