//! Why a capture cannot start or go on, and what to do about it.

use std::{io, path::PathBuf};

/// An error of the capture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// A setting is out of its range.
    #[error("{name} is {found}, expected {expected}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The process lacks a capability.
    #[error(
        "missing capability {capabilities}: run as root, or grant it \
         (systemd: AmbientCapabilities={capabilities}; container: --cap-add)"
    )]
    Capability {
        /// Names, separated by spaces.
        capabilities: String,
    },
    /// The kernel is too old.
    #[error("kernel {found} is too old, expected {expected} or later")]
    Kernel {
        /// Release of the running kernel.
        found: String,
        /// Oldest that has every feature.
        expected: &'static str,
    },
    /// The kernel does not describe its types.
    #[error(
        "kernel type information {path} cannot be read ({source}): \
         expected a kernel built with CONFIG_DEBUG_INFO_BTF=y"
    )]
    Btf {
        /// Where it was expected.
        path: &'static str,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// The kernel refuses to let eBPF programs read it.
    #[error(
        "kernel lockdown is in mode \"confidentiality\", which forbids eBPF to read kernel memory: \
         boot with lockdown=integrity or none"
    )]
    Lockdown,
    /// No cgroup v2 tree is mounted.
    #[error(
        "no cgroup v2 file system is mounted here: mount one \
         (mount -t cgroup2 none /sys/fs/cgroup), or enter a network namespace by nsenter --net, \
         because ip netns exec hides it"
    )]
    NoCgroup,
    /// The named cgroup directory is none.
    #[error("{path} is not a directory of a cgroup v2 file system: {source}")]
    Cgroup {
        /// The directory.
        path: PathBuf,
        /// Why it cannot be used.
        source: io::Error,
    },
    /// Another program holds a hook for itself.
    #[error(
        "another eBPF program is attached to {hook} of cgroup {cgroup} without permission for others \
         (bpftool cgroup show {cgroup}): have its owner attach it with BPF_F_ALLOW_MULTI or a link"
    )]
    ForeignProgram {
        /// The hook.
        hook: &'static str,
        /// The cgroup.
        cgroup: PathBuf,
    },
    /// The directory of pins cannot be used.
    #[error("directory {path} of pins cannot be used: {source}")]
    Pins {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory of pins is an ordinary one.
    #[error("{path} is not in a BPF file system: mount one (mount -t bpf bpf {path})")]
    NoBpfFileSystem {
        /// The directory.
        path: PathBuf,
    },
    /// Another exporter has the directory of pins.
    #[error("directory {path} of pins is in use by another exporter")]
    PinsInUse {
        /// The directory.
        path: PathBuf,
    },
    /// The compiled object is not what this build expects.
    #[error("compiled kernel object cannot be loaded")]
    Object(#[source] aya::EbpfError),
    /// The compiled object lacks a part.
    #[error("compiled kernel object has no {kind} {name}")]
    Missing {
        /// Program or map.
        kind: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// The kernel refuses a program.
    #[error("kernel refuses program {program}")]
    Load {
        /// The program.
        program: &'static str,
        /// Its reason.
        source: aya::programs::ProgramError,
    },
    /// A program cannot be attached.
    #[error("program {program} cannot be attached to cgroup {cgroup}")]
    Attach {
        /// The program.
        program: &'static str,
        /// The cgroup.
        cgroup: PathBuf,
        /// The kernel's reason.
        source: aya::programs::ProgramError,
    },
    /// A map cannot be used.
    #[error("map {map} cannot be used")]
    Map {
        /// The map.
        map: &'static str,
        /// The reason.
        source: aya::maps::MapError,
    },
    /// A system call failed.
    #[error("{call} failed: {source}")]
    System {
        /// What was called for.
        call: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
}

impl CaptureError {
    /// Turns the error of a system call.
    pub(super) fn system(call: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { call, source }
    }

    /// Whether the machine or the rights are at fault, so that trying again without a change is
    /// useless.
    #[must_use]
    pub const fn is_environment(&self) -> bool {
        matches!(
            self,
            Self::Capability { .. }
                | Self::Kernel { .. }
                | Self::Btf { .. }
                | Self::Lockdown
                | Self::NoCgroup
                | Self::Cgroup { .. }
                | Self::ForeignProgram { .. }
                | Self::Pins { .. }
                | Self::NoBpfFileSystem { .. }
                | Self::PinsInUse { .. }
        )
    }
}
