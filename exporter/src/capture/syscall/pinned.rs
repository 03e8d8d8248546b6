//! Objects that live in the BPF file system, and links whose program is exchanged.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{InfoAttributes, bpf, number, owned};

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_OBJ_PIN: libc::c_long = 6;
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const BPF_LINK_UPDATE: libc::c_long = 29;

/// `BPF_LINK_TYPE_CGROUP`
const LINK_TYPE_CGROUP: u32 = 3;

/// `union bpf_attr`, `map_create`
#[repr(C)]
#[derive(Default)]
struct MapAttributes {
    kind: u32,
    key_bytes: u32,
    value_bytes: u32,
    max_entries: u32,
    flags: u32,
    inner: u32,
    node: u32,
    name: [u8; 16],
}

/// `union bpf_attr`, for pins
#[repr(C)]
#[derive(Default)]
struct PinAttributes {
    path: u64,
    object: u32,
    flags: u32,
}

/// `union bpf_attr`, `raw_tracepoint`
#[repr(C)]
#[derive(Default)]
struct TracepointAttributes {
    name: u64,
    prog_fd: u32,
    padding: u32,
}

/// `union bpf_attr`, `link_update`
#[repr(C)]
#[derive(Default)]
struct UpdateAttributes {
    link_fd: u32,
    new_prog_fd: u32,
    flags: u32,
    old_prog_fd: u32,
}

/// `struct bpf_link_info`, as far as a cgroup's link fills it
#[repr(C)]
#[derive(Default)]
struct LinkInfo {
    kind: u32,
    id: u32,
    prog_id: u32,
    padding: u32,
    cgroup_id: u64,
    attach_type: u32,
    padding_2: u32,
}

/// A map, as it is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::capture) struct MapShape {
    /// `enum bpf_map_type`
    pub(in crate::capture) kind: u32,
    pub(in crate::capture) key_bytes: u32,
    pub(in crate::capture) value_bytes: u32,
    pub(in crate::capture) max_entries: u32,
    pub(in crate::capture) flags: u32,
}

/// Makes a map that no program uses.
pub(in crate::capture) fn make_map(shape: MapShape, name: [u8; 16]) -> io::Result<OwnedFd> {
    let mut attributes = MapAttributes {
        kind: shape.kind,
        key_bytes: shape.key_bytes,
        value_bytes: shape.value_bytes,
        max_entries: shape.max_entries,
        flags: shape.flags,
        name,
        ..MapAttributes::default()
    };
    owned(bpf(BPF_MAP_CREATE, &mut attributes)?)
}

fn text(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

/// Gives an object a name in the BPF file system, which keeps it alive.
pub(in crate::capture) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = text(path)?;
    let mut attributes = PinAttributes {
        path: path.as_ptr().expose_provenance() as u64,
        object: number(object),
        flags: 0,
    };
    bpf(BPF_OBJ_PIN, &mut attributes).map(drop)
}

/// Opens a pinned object.
pub(in crate::capture) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = text(path)?;
    let mut attributes = PinAttributes {
        path: path.as_ptr().expose_provenance() as u64,
        ..PinAttributes::default()
    };
    owned(bpf(BPF_OBJ_GET, &mut attributes)?)
}

/// Exchanges the program of a link: each run of the hook is one of the old or one of the new program.
pub(in crate::capture) fn update_link(
    link: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut attributes = UpdateAttributes {
        link_fd: number(link),
        new_prog_fd: number(program),
        ..UpdateAttributes::default()
    };
    bpf(BPF_LINK_UPDATE, &mut attributes).map(drop)
}

/// Number of the cgroup that a link hangs on; `None` when it is no link of a cgroup, or the cgroup is gone.
pub(in crate::capture) fn cgroup_of_link(link: BorrowedFd<'_>) -> io::Result<Option<u64>> {
    let info = info_of_link(link)?;
    let is_cgroup = info.kind == LINK_TYPE_CGROUP && info.cgroup_id != 0;
    Ok(is_cgroup.then_some(info.cgroup_id))
}

/// The kernel's number of a link.
pub(in crate::capture) fn number_of_link(link: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(info_of_link(link)?.id)
}

fn info_of_link(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let mut info = LinkInfo::default();
    let mut attributes = InfoAttributes {
        fd: number(link),
        length: u32::try_from(size_of::<LinkInfo>()).map_err(io::Error::other)?,
        info: (&raw mut info).expose_provenance() as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attributes)?;
    Ok(info)
}

/// Attaches a `tp_btf` program until the descriptor is dropped.
pub(in crate::capture) fn link_to_tracepoint(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attributes = TracepointAttributes {
        prog_fd: number(program),
        ..TracepointAttributes::default()
    };
    owned(bpf(BPF_RAW_TRACEPOINT_OPEN, &mut attributes)?)
}

/// How many bytes of a ring buffer were read since it was made: the first page of it, mapped.
#[derive(Debug)]
pub(in crate::capture) struct ReadPosition {
    page: NonNull<AtomicU64>,
    bytes: usize,
}

#[expect(
    unsafe_code,
    reason = "the page is shared with the kernel and read atomically"
)]
// SAFETY: the page stays mapped as long as the value lives, and is only read, by one atomic load.
unsafe impl Send for ReadPosition {}

#[expect(unsafe_code, reason = "mapping memory")]
impl ReadPosition {
    pub(in crate::capture) fn of(ring: BorrowedFd<'_>) -> io::Result<Self> {
        // SAFETY: asks for a number.
        let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        // SAFETY: a new mapping, of the ring buffer's page with the reader's position.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ,
                libc::MAP_SHARED,
                ring.as_fd().as_raw_fd(),
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let page = NonNull::new(page.cast());
        let page = page.ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { page, bytes })
    }

    pub(in crate::capture) fn get(&self) -> u64 {
        // SAFETY: mapped until the value is dropped; the kernel keeps an aligned word there.
        unsafe { self.page.as_ref() }.load(Ordering::Acquire)
    }
}

#[expect(unsafe_code, reason = "unmapping memory")]
impl Drop for ReadPosition {
    fn drop(&mut self) {
        // SAFETY: what `of` mapped, and nobody uses any more.
        unsafe { libc::munmap(self.page.as_ptr().cast(), self.bytes) };
    }
}
