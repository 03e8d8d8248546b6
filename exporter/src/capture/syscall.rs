//! The few `bpf(2)` calls that aya does not offer.
//!
//! Each passes a zeroed attribute block of the size that kernel 5.15 knows at least; the kernel
//! accepts longer ones as long as the rest is zero.

pub(super) mod pinned;

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    time::Duration,
};

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
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
    /// The program type that the hook takes (`enum bpf_prog_type`).
    const fn program_type(self) -> u32 {
        match self {
            Self::Ingress | Self::Egress => 8,
            Self::SockCreate | Self::SockRelease => 9,
            Self::SockOps => 13,
        }
    }

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

/// Ways through an interface, by their number in `enum bpf_attach_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(super) enum Way {
    In = 46,
    Out = 47,
}

/// `union bpf_attr`, `prog_load`; the fields between are of no use here.
#[repr(C)]
#[derive(Default)]
struct LoadAttributes {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
}

/// `union bpf_attr`, `test`
#[repr(C)]
#[derive(Default)]
struct TestAttributes {
    prog_fd: u32,
    return_value: u32,
    data_length_in: u32,
    data_length_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration_ns: u32,
    context: [u64; 3],
    flags: u32,
    cpu: u32,
}

/// `union bpf_attr`, `info`
#[repr(C)]
#[derive(Default)]
struct InfoAttributes {
    fd: u32,
    length: u32,
    info: u64,
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
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
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

/// The kernel's own limit of programs at one hook.
const MOST_AT_A_HOOK: usize = 64;

/// What is attached at one hook of a cgroup, itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HookUse {
    /// Ids of the first programs.
    pub(super) programs: Vec<u32>,
    /// Whether they keep all others out.
    pub(super) alone: bool,
}

/// Asks what is attached at a hook of a cgroup. Needs `CAP_NET_ADMIN`.
pub(super) fn hook_use(cgroup: BorrowedFd<'_>, hook: Hook) -> io::Result<HookUse> {
    const BPF_F_ALLOW_MULTI: u32 = 2;
    let mut programs = [0_u32; MOST_AT_A_HOOK];
    let mut attributes = QueryAttributes {
        target_fd: number(cgroup),
        attach_type: hook as u32,
        prog_ids: programs.as_mut_ptr().expose_provenance() as u64,
        prog_count: u32::try_from(MOST_AT_A_HOOK).map_err(io::Error::other)?,
        ..QueryAttributes::default()
    };
    bpf(BPF_PROG_QUERY, &mut attributes)?;
    let count = usize::try_from(attributes.prog_count).map_err(io::Error::other)?;
    Ok(HookUse {
        programs: programs.into_iter().take(count).collect(),
        alone: count > 0 && attributes.attach_flags & BPF_F_ALLOW_MULTI == 0,
    })
}

/// Whether programs are attached at a hook of a cgroup that keep all others out.
pub(super) fn is_held_alone(cgroup: BorrowedFd<'_>, hook: Hook) -> io::Result<bool> {
    Ok(hook_use(cgroup, hook)?.alone)
}

/// Ties an iterator program to the map that it reads.
pub(super) fn link_iterator(
    program: BorrowedFd<'_>,
    map: Option<BorrowedFd<'_>>,
) -> io::Result<OwnedFd> {
    let target = map.map(|map| IteratorTarget {
        map_fd: number(map),
        ..IteratorTarget::default()
    });
    let mut attributes = LinkAttributes {
        prog_fd: number(program),
        attach_type: BPF_TRACE_ITER,
        ..LinkAttributes::default()
    };
    if let Some(target) = &target {
        attributes.iter_info = std::ptr::from_ref(target).expose_provenance() as u64;
        attributes.iter_info_length =
            u32::try_from(size_of::<IteratorTarget>()).map_err(io::Error::other)?;
    }
    owned(bpf(BPF_LINK_CREATE, &mut attributes)?)
}

/// Opens an iterator for one reading.
pub(super) fn open_iterator(link: BorrowedFd<'_>) -> io::Result<File> {
    let mut attributes = [number(link), 0];
    Ok(File::from(owned(bpf(BPF_ITER_CREATE, &mut attributes)?)?))
}

/// Loads a program for a hook that does nothing and lets everything pass.
pub(super) fn load_empty_program(hook: Hook) -> io::Result<OwnedFd> {
    // r0 = 1; exit
    let instructions = [0x0000_0001_0000_00b7_u64, 0x95];
    let mut attributes = LoadAttributes {
        kind: hook.program_type(),
        instruction_count: 2,
        instructions: instructions.as_ptr().expose_provenance() as u64,
        license: c"GPL".as_ptr().expose_provenance() as u64,
        expected_attach_type: hook as u32,
        ..LoadAttributes::default()
    };
    owned(bpf(BPF_PROG_LOAD, &mut attributes)?)
}

/// Attaches a program to a hook of a cgroup until the descriptor is dropped.
pub(super) fn link_to_cgroup(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    hook: Hook,
) -> io::Result<OwnedFd> {
    let mut attributes = LinkAttributes {
        prog_fd: number(program),
        target_fd: number(cgroup),
        attach_type: hook as u32,
        ..LinkAttributes::default()
    };
    owned(bpf(BPF_LINK_CREATE, &mut attributes)?)
}

/// Attaches a program to one way through an interface (TCX) until the descriptor is dropped.
pub(super) fn link_to_interface(
    program: BorrowedFd<'_>,
    index: u32,
    way: Way,
) -> io::Result<OwnedFd> {
    let mut attributes = LinkAttributes {
        prog_fd: number(program),
        target_fd: index,
        attach_type: way as u32,
        ..LinkAttributes::default()
    };
    owned(bpf(BPF_LINK_CREATE, &mut attributes)?)
}

/// Numbers of the links that hang on one way through an interface of this network namespace (TCX); programs that hang there
/// without a link are 0. Needs `CAP_NET_ADMIN`.
pub(super) fn links_on_interface(index: u32, way: Way) -> io::Result<Vec<u32>> {
    let mut programs = [0_u32; MOST_AT_A_HOOK];
    let mut links = [0_u32; MOST_AT_A_HOOK];
    let mut attributes = QueryAttributes {
        target_fd: index,
        attach_type: way as u32,
        prog_ids: programs.as_mut_ptr().expose_provenance() as u64,
        prog_count: u32::try_from(MOST_AT_A_HOOK).map_err(io::Error::other)?,
        link_ids: links.as_mut_ptr().expose_provenance() as u64,
        ..QueryAttributes::default()
    };
    bpf(BPF_PROG_QUERY, &mut attributes)?;
    let count = usize::try_from(attributes.prog_count).map_err(io::Error::other)?;
    Ok(links.into_iter().take(count).collect())
}

/// Nanoseconds and number of a program's runs while statistics were on.
pub(super) fn run_statistics(program: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    // `struct bpf_prog_info` up to `run_cnt`, its 26th word.
    let mut info = [0u64; 26];
    let mut attributes = InfoAttributes {
        fd: number(program),
        length: u32::try_from(size_of_val(&info)).map_err(io::Error::other)?,
        info: info.as_mut_ptr().expose_provenance() as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attributes)?;
    let [.., time_ns, runs] = info;
    Ok((time_ns, runs))
}

/// Runs a packet program on one frame; returns the time of a run.
pub(super) fn test_run(program: BorrowedFd<'_>, frame: &[u8], repeat: u32) -> io::Result<Duration> {
    let mut attributes = TestAttributes {
        prog_fd: number(program),
        data_length_in: u32::try_from(frame.len()).map_err(io::Error::other)?,
        data_in: frame.as_ptr().expose_provenance() as u64,
        repeat,
        ..TestAttributes::default()
    };
    bpf(BPF_PROG_TEST_RUN, &mut attributes)?;
    Ok(Duration::from_nanos(attributes.duration_ns.into()))
}
