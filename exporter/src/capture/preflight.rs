//! What the machine must have, checked before anything is loaded, so that an error names the cause
//! and not the system call that stumbled over it.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use aya::util::KernelVersion;

use super::{
    CaptureError,
    capabilities::{Capabilities, Capability},
    interfaces,
};

/// Oldest kernel with every feature; see the kernel part's documentation for what sets it.
const OLDEST_KERNEL: (u8, u8) = (5, 15);
pub(super) const OLDEST_KERNEL_NAME: &str = "5.15";
pub(super) const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// An open cgroup v2 directory.
#[derive(Debug)]
pub(super) struct Cgroup {
    pub(super) path: PathBuf,
    directory: File,
}

impl Cgroup {
    /// As the kernel numbers it.
    pub(super) fn number(&self) -> io::Result<u64> {
        Ok(self.directory.metadata()?.ino())
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// Checks rights, kernel and cgroup tree; opens the cgroup to capture.
pub(super) fn check(cgroup: Option<&Path>) -> Result<Cgroup, CaptureError> {
    check_kernel()?;
    check_capabilities(&read_text("/proc/self/status")?)?;
    check_lockdown()?;
    warn_of_pid_namespace();
    File::open(BTF_PATH).map_err(|source| CaptureError::Btf {
        path: BTF_PATH,
        source,
    })?;
    open(cgroup)
}

/// Opens the cgroup to capture; by default the root of the tree.
pub(super) fn open(cgroup: Option<&Path>) -> Result<Cgroup, CaptureError> {
    match cgroup {
        Some(path) => open_cgroup(path).map_err(|source| CaptureError::Cgroup {
            path: path.to_owned(),
            source,
        }),
        None => find_cgroup(),
    }
}

fn read_text(path: &'static str) -> Result<String, CaptureError> {
    fs::read_to_string(path).map_err(CaptureError::system(path))
}

pub(super) fn check_kernel() -> Result<(), CaptureError> {
    let release = read_text("/proc/sys/kernel/osrelease")?;
    let (major, minor) = OLDEST_KERNEL;
    let running = KernelVersion::current()
        .map_err(|error| CaptureError::system("uname")(io::Error::other(error.to_string())))?;
    if running.code() >= KernelVersion::new(major, minor, 0).code() {
        return Ok(());
    }
    Err(CaptureError::Kernel {
        found: release.trim().to_owned(),
        expected: OLDEST_KERNEL_NAME,
    })
}

/// Whether interfaces can be captured; says so when not.
pub(super) fn has_tcx() -> bool {
    let (major, minor) = interfaces::TCX_KERNEL;
    let has = KernelVersion::current()
        .is_ok_and(|running| running.code() >= KernelVersion::new(major, minor, 0).code());
    if !has {
        tracing::error!(
            "the kernel has no TCX, which comes with Linux {major}.{minor}: no interface is captured, \
             sockets are"
        );
    }
    has
}

/// Loading needs `CAP_BPF`, the packet and cgroup hooks `CAP_NET_ADMIN`, iterators and process names
/// `CAP_PERFMON`; `CAP_SYS_ADMIN` stands for the first and the last.
fn check_capabilities(status: &str) -> Result<(), CaptureError> {
    let effective = Capabilities::parse(status).effective;
    let has = |capability| effective.has(capability);
    let all = has(Capability::SysAdmin);
    let wanted = [
        (Capability::Bpf.name(), has(Capability::Bpf) || all),
        (Capability::NetAdmin.name(), has(Capability::NetAdmin)),
        (Capability::Perfmon.name(), has(Capability::Perfmon) || all),
    ];
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|(_, has)| !has)
        .map(|(name, _)| *name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(CaptureError::Capability {
        capabilities: missing.join(" "),
    })
}

/// The kernel part sees process ids of the initial namespace only.
fn warn_of_pid_namespace() {
    if !sees_host_processes() {
        tracing::warn!(
            "not in the host's process namespace: process ids in flows are the host's, and this \
             process does not recognise its own traffic (container: use the host's, --pid=host)"
        );
    }
}

/// Whether this process is in the initial pid namespace, or cannot tell.
pub(super) fn sees_host_processes() -> bool {
    /// `PROC_PID_INIT_INO` of the kernel.
    const INITIAL: u64 = 0xefff_fffc;
    fs::metadata("/proc/self/ns/pid").map_or(true, |namespace| namespace.ino() == INITIAL)
}

/// Lockdown is off where the file is missing.
pub(super) fn check_lockdown() -> Result<(), CaptureError> {
    let mode = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    if mode.contains("[confidentiality]") {
        return Err(CaptureError::Lockdown);
    }
    Ok(())
}

/// The root of the cgroup v2 tree in this mount namespace, else in that of process 1: `ip netns exec`
/// mounts a fresh /sys without the tree.
fn find_cgroup() -> Result<Cgroup, CaptureError> {
    for (mounts, prefix) in [
        ("/proc/self/mountinfo", "/"),
        ("/proc/1/mountinfo", "/proc/1/root"),
    ] {
        let mounts = fs::read_to_string(mounts).unwrap_or_default();
        for mount in cgroup_mounts(&mounts) {
            let path = Path::new(prefix).join(mount.path.trim_start_matches('/'));
            let Ok(cgroup) = open_cgroup(&path) else {
                continue;
            };
            if mount.root != "/" {
                tracing::warn!(
                    cgroup = %path.display(), root = %mount.root,
                    "only a part of the cgroup tree is visible: sockets outside it are not captured"
                );
            }
            return Ok(cgroup);
        }
    }
    Err(CaptureError::NoCgroup)
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// What part of the tree is mounted; `/` is all.
    pub(super) root: String,
    pub(super) path: String,
}

/// The cgroup v2 mounts, whole trees first. Format: `proc_pid_mountinfo(5)`.
pub(super) fn cgroup_mounts(mountinfo: &str) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = mountinfo
        .lines()
        .filter_map(|line| {
            let (mount, kind) = line.split_once(" - ")?;
            if kind.split(' ').next() != Some("cgroup2") {
                return None;
            }
            let mut fields = mount.split(' ').skip(3);
            Some(Mount {
                root: unescape(fields.next()?),
                path: unescape(fields.next()?),
            })
        })
        .collect();
    mounts.sort_by_key(|mount| mount.root != "/");
    mounts
}

/// Undoes the octal escapes of spaces and the like.
fn unescape(field: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(field.to_owned(), |text, (escape, character)| {
        text.replace(escape, character)
    })
}

fn open_cgroup(path: &Path) -> io::Result<Cgroup> {
    let directory = File::open(path)?;
    if file_system(&directory)? != libc::CGROUP2_SUPER_MAGIC {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a cgroup v2 file system",
        ));
    }
    Ok(Cgroup {
        path: path.to_owned(),
        directory,
    })
}

/// Whether a directory lies in a file system in which eBPF objects can be pinned.
pub(super) fn is_bpf_file_system(directory: &File) -> io::Result<bool> {
    Ok(file_system(directory)? == libc::BPF_FS_MAGIC)
}

#[expect(unsafe_code, reason = "a system call")]
fn file_system(file: &File) -> io::Result<libc::c_long> {
    // SAFETY: an all-zero statfs is valid.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one statfs.
    if unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut found) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(found.f_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP_NET_ADMIN: u32 = 12;
    const CAP_SYS_ADMIN: u32 = 21;
    const CAP_PERFMON: u32 = 38;
    const CAP_BPF: u32 = 39;

    fn status(capabilities: u64) -> String {
        format!("Name:\tx\nCapInh:\t0\nCapEff:\t{capabilities:016x}\nCapBnd:\t0\n")
    }

    #[test]
    fn each_missing_capability_is_named() {
        let bits = |list: &[u32]| list.iter().fold(0u64, |all, bit| all | 1 << bit);
        let check = |list: &[u32]| check_capabilities(&status(bits(list)));
        check(&[CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON]).unwrap();
        check(&[CAP_SYS_ADMIN, CAP_NET_ADMIN]).unwrap();
        let message = |list: &[u32]| check(list).unwrap_err().to_string();
        assert!(message(&[]).starts_with("missing capability CAP_BPF CAP_NET_ADMIN CAP_PERFMON:"));
        assert!(message(&[CAP_SYS_ADMIN]).starts_with("missing capability CAP_NET_ADMIN:"));
        assert!(message(&[CAP_BPF, CAP_NET_ADMIN]).starts_with("missing capability CAP_PERFMON:"),);
    }

    #[test]
    fn a_status_without_capabilities_counts_as_none() {
        assert!(check_capabilities("Name:\tx\n").is_err());
        assert!(check_capabilities("CapEff:\tnot hexadecimal\n").is_err());
    }

    #[test]
    fn mounts_of_the_whole_tree_come_first_and_others_are_skipped() {
        let mountinfo = "\
            30 24 0:26 /pods/a /mnt/part rw,relatime shared:9 - cgroup2 cgroup2 rw\n\
            31 24 0:27 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
            32 24 0:26 / /sys/fs/cgroup\\040two rw,relatime shared:4 - cgroup2 cgroup2 rw\n\
            cut off line";
        let mount = |root: &str, path: &str| Mount {
            root: root.to_owned(),
            path: path.to_owned(),
        };
        assert_eq!(
            cgroup_mounts(mountinfo),
            [
                mount("/", "/sys/fs/cgroup two"),
                mount("/pods/a", "/mnt/part")
            ]
        );
        assert!(cgroup_mounts("").is_empty());
    }

    #[test]
    fn a_directory_of_another_file_system_is_refused() {
        let error = open_cgroup(Path::new("/proc")).unwrap_err();
        assert_eq!(error.to_string(), "not a cgroup v2 file system");
        assert!(open_cgroup(Path::new("/no/such/directory")).is_err());
    }
}
