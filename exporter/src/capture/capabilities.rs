//! Capabilities of this process: which it has, and giving up those that it is done with.
//!
//! Capabilities, by `capabilities(7)`, belong to threads. [`keep_only`] therefore changes the calling
//! thread; threads that it starts afterwards have what it has then. Nothing here ever gains one.

use std::{fmt, fs, io};

use super::system_calls;

/// A capability that matters to the capture; the values are the kernel's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Capability {
    /// Read files and folders whatever their mode.
    DacReadSearch = 2,
    /// Attach programs to cgroups and interfaces.
    NetAdmin = 12,
    /// See what other users' processes execute.
    SysPtrace = 19,
    /// Enter other network namespaces.
    SysAdmin = 21,
    /// Exceed resource limits.
    SysResource = 24,
    /// Let eBPF programs read kernel memory.
    Perfmon = 38,
    /// Load eBPF programs and maps.
    Bpf = 39,
}

impl Capability {
    /// As `capabilities(7)` calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::SysResource => "CAP_SYS_RESOURCE",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A set of capabilities, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilitySet(u64);

impl CapabilitySet {
    /// Those listed.
    #[must_use]
    pub fn of(list: &[Capability]) -> Self {
        Self(list.iter().fold(0, |all, it| all | 1 << (*it as u32)))
    }

    /// Whether it is among them.
    #[must_use]
    pub const fn has(self, capability: Capability) -> bool {
        self.0 & (1 << (capability as u32)) != 0
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// As `/proc/PID/status` shows it.
impl fmt::LowerHex for CapabilitySet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, formatter)
    }
}

/// The sets of one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// What the kernel asks for.
    pub effective: CapabilitySet,
    /// What may be made effective.
    pub permitted: CapabilitySet,
}

impl Capabilities {
    /// Those of the calling thread.
    pub fn of_this_thread() -> io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string(
            "/proc/thread-self/status",
        )?))
    }

    /// Reads `status` of `proc_pid_status(5)`; what is missing or malformed counts as none.
    pub(super) fn parse(status: &str) -> Self {
        let set = |name| {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            let bits = value.and_then(|value| u64::from_str_radix(value.trim(), 16).ok());
            CapabilitySet(bits.unwrap_or_default())
        };
        Self {
            effective: set("CapEff:"),
            permitted: set("CapPrm:"),
        }
    }
}

/// What a running capture still needs of `release` (such as `6.1.0-13-amd64`): `CAP_SYS_PTRACE`, with
/// `hashes` `CAP_DAC_READ_SEARCH` to read executables that others may not, and before Linux 6.0, which may ask
/// for it at every `bpf(2)` call, `CAP_BPF`.
#[must_use]
pub fn of_running_capture(release: &str, hashes: bool) -> CapabilitySet {
    let mut list = vec![Capability::SysPtrace];
    if hashes {
        list.push(Capability::DacReadSearch);
    }
    if version(release).is_none_or(|version| version < (6, 0)) {
        list.push(Capability::Bpf);
    }
    CapabilitySet::of(&list)
}

/// First two numbers of a kernel's release.
pub(super) fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// `struct __user_cap_header_struct`
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// `struct __user_cap_data_struct`
#[repr(C)]
#[derive(Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Gives up every capability of the calling thread but those that are in `keep`, for good: no program that
/// it executes can have more either. Returns what it has now.
///
/// The bounding set stays as it is where `CAP_SETPCAP` is missing; it gives nothing by itself.
pub fn keep_only(keep: CapabilitySet) -> io::Result<CapabilitySet> {
    const VERSION_3: u32 = 0x2008_0522;
    let kept = Capabilities::of_this_thread()?.permitted.and(keep);
    control(libc::PR_SET_NO_NEW_PRIVS, 1, 0)?;
    let clear_all = libc::PR_CAP_AMBIENT_CLEAR_ALL;
    control(libc::PR_CAP_AMBIENT, clear_all.cast_unsigned().into(), 0)?;
    drop_bounding(kept)?;
    let half = |shift: u32| {
        let bits = u32::try_from((kept.0 >> shift) & 0xffff_ffff).unwrap_or_default();
        Data {
            effective: bits,
            permitted: bits,
            inheritable: 0,
        }
    };
    let header = Header {
        version: VERSION_3,
        pid: 0,
    };
    set(&header, &[half(0), half(32)])?;
    Ok(kept)
}

/// [`keep_only`] for a program that goes on whatever comes of it: what cannot be given up is kept, which is said
/// in the log and no reason to stop, as everything works.
pub fn give_up_all_but(keep: CapabilitySet) {
    match keep_only(keep) {
        Ok(kept) => tracing::debug!(capabilities = format!("{kept:016x}"), "capabilities kept"),
        Err(error) => tracing::warn!(%error, "capabilities cannot be given up"),
    }
}

/// [`give_up_all_but`] what a capture that runs on this kernel needs: for the thread that polls
/// [`crate::Exporter::run`], once the capture is set up. The system calls that it is done with are forbidden to
/// every thread (see `system_calls`), as far as the kernel has filters.
pub fn keep_for_running_capture(hashes: bool) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    give_up_all_but(of_running_capture(&release, hashes));
    if let Err(error) = system_calls::forbid() {
        tracing::warn!(%error, "system calls cannot be forbidden");
    }
}

/// Takes all but `kept` out of the bounding set, as far as rights allow.
fn drop_bounding(kept: CapabilitySet) -> io::Result<()> {
    for number in 0..u64::BITS {
        if kept.0 & (1 << number) != 0 {
            continue;
        }
        match control(libc::PR_CAPBSET_DROP, number.into(), 0) {
            Ok(()) => {}
            // The last capability of this kernel is behind us, or `CAP_SETPCAP` is missing.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM)) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[expect(unsafe_code, reason = "a system call")]
fn control(option: libc::c_int, first: libc::c_ulong, second: libc::c_ulong) -> io::Result<()> {
    let none: libc::c_ulong = 0;
    // SAFETY: the options used here take numbers and change the calling thread's rights only.
    if unsafe { libc::prctl(option, first, second, none, none) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[expect(unsafe_code, reason = "a system call")]
fn set(header: &Header, data: &[Data; 2]) -> io::Result<()> {
    // SAFETY: the kernel reads one header and, in this version, two data blocks.
    let result =
        unsafe { libc::syscall(libc::SYS_capset, std::ptr::from_ref(header), data.as_ptr()) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read_from_the_status_of_a_process() {
        let status = "Name:\tx\nCapInh:\t0\nCapPrm:\t0000008000001000\nCapEff:\t0000000000001000\n";
        let found = Capabilities::parse(status);
        assert_eq!(
            found.permitted,
            CapabilitySet::of(&[Capability::NetAdmin, Capability::Bpf])
        );
        assert!(found.effective.has(Capability::NetAdmin));
        assert!(!found.effective.has(Capability::Bpf));
        assert_eq!(
            Capabilities::parse("CapEff:\tnot hexadecimal"),
            Capabilities::default()
        );
    }

    #[test]
    fn an_old_kernel_and_hashing_need_more_than_a_new_one_without() {
        let names = |release, hashes| format!("{:x}", of_running_capture(release, hashes));
        assert_eq!(names("6.18.1", false), "80000");
        assert_eq!(names("6.1.0-13-amd64", true), "80004");
        assert_eq!(names("5.15.0-91-generic", false), "8000080000");
        assert_eq!(names("unknown", false), "8000080000");
    }

    #[test]
    fn a_thread_that_gives_all_up_has_none_and_its_parent_stays_as_it_was() {
        let before = Capabilities::of_this_thread().unwrap();
        let child = std::thread::spawn(|| {
            let kept = keep_only(CapabilitySet::default()).unwrap();
            let status = fs::read_to_string("/proc/thread-self/status").unwrap();
            (kept, Capabilities::of_this_thread().unwrap(), status)
        });
        let (kept, after, status) = child.join().unwrap();
        assert_eq!(kept, CapabilitySet::default());
        assert_eq!(after, Capabilities::default());
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
        assert_eq!(Capabilities::of_this_thread().unwrap(), before);
    }
}
