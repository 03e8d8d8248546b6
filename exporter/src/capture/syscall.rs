//! The few `bpf(2)` calls that aya does not offer.
//!
//! Each passes a zeroed attribute block of the size that kernel 5.15 knows at least; the kernel
//! accepts longer ones as long as the rest is zero.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

const BPF_PROG_QUERY: libc::c_long = 16;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_ITER_CREATE: libc::c_long = 33;

const BPF_TRACE_ITER: u32 = 28;

/// The hooks of a cgroup, by their number in `enum bpf_attach_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Hook {
    Ingress = 0,
    Egress = 1,
    SockCreate = 2,
    SockOps = 3,
    SockRelease = 34,
}

impl Hook {
    /// As `bpftool cgroup show` calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "cgroup_inet_ingress",
            Self::Egress => "cgroup_inet_egress",
            Self::SockCreate => "cgroup_inet_sock_create",
            Self::SockOps => "cgroup_sock_ops",
            Self::SockRelease => "cgroup_inet_sock_release",
        }
    }
}

/// `union bpf_attr`, `prog_query`
#[repr(C)]
#[derive(Default)]
struct QueryAttributes {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_count: u32,
    padding: u32,
    prog_attach_flags: u64,
}

/// `union bpf_attr`, `link_create` with `iter_info`
#[repr(C)]
#[derive(Default)]
struct LinkAttributes {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    iter_info: u64,
    iter_info_length: u32,
    padding: u32,
}

/// `union bpf_iter_link_info`, `map`
#[repr(C)]
#[derive(Default)]
struct IteratorTarget {
    map_fd: u32,
    padding: [u32; 3],
}

/// Calls `bpf(2)`.
#[expect(unsafe_code, reason = "a system call")]
fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the kernel reads and writes the attribute block within the size given; the pointers in
    // it point to live values of the callers below.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// Turns a returned descriptor into an owned one.
#[expect(unsafe_code, reason = "the kernel hands over a descriptor")]
fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let number = i32::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn number(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd().cast_unsigned()
}

/// Whether programs are attached at a hook of a cgroup that keep all others out.
pub(super) fn is_held_alone(cgroup: BorrowedFd<'_>, hook: Hook) -> io::Result<bool> {
    const BPF_F_ALLOW_MULTI: u32 = 2;
    let mut attributes = QueryAttributes {
        target_fd: number(cgroup),
        attach_type: hook as u32,
        ..QueryAttributes::default()
    };
    bpf(BPF_PROG_QUERY, &mut attributes)?;
    Ok(attributes.prog_count > 0 && attributes.attach_flags & BPF_F_ALLOW_MULTI == 0)
}

/// Ties an iterator program to the map that it reads.
pub(super) fn link_iterator(program: BorrowedFd<'_>, map: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let target = IteratorTarget {
        map_fd: number(map),
        ..IteratorTarget::default()
    };
    let mut attributes = LinkAttributes {
        prog_fd: number(program),
        attach_type: BPF_TRACE_ITER,
        iter_info: std::ptr::from_ref(&target).addr() as u64,
        iter_info_length: u32::try_from(size_of::<IteratorTarget>()).map_err(io::Error::other)?,
        ..LinkAttributes::default()
    };
    std::ptr::from_ref(&target).expose_provenance();
    owned(bpf(BPF_LINK_CREATE, &mut attributes)?)
}

/// Opens an iterator for one reading.
pub(super) fn open_iterator(link: BorrowedFd<'_>) -> io::Result<File> {
    let mut attributes = [number(link), 0];
    Ok(File::from(owned(bpf(BPF_ITER_CREATE, &mut attributes)?)?))
}
