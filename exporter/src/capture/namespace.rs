//! Network namespaces: this process's, by the number that records carry, and the others of the machine.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    net::UdpSocket,
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    thread,
};

use super::CaptureError;

/// `SO_NETNS_COOKIE` (kernel 5.14)
const SO_NETNS_COOKIE: libc::c_int = 71;

/// Cookie of the network namespace of the calling thread: the host's own, if the process runs there.
pub fn own_cookie() -> Result<u64, CaptureError> {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).map_err(CaptureError::system("bind"))?;
    cookie_of(&socket).map_err(CaptureError::system("getsockopt SO_NETNS_COOKIE"))
}

#[expect(unsafe_code, reason = "a system call")]
fn cookie_of(socket: &impl AsRawFd) -> io::Result<u64> {
    let mut cookie = 0u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `length` bytes to `cookie`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(cookie)
}

/// The other network namespaces in which a process runs, as far as rights let them be seen.
pub(super) fn others() -> Vec<File> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let own = fs::metadata("/proc/thread-self/ns/net").map(|own| own.ino());
    let mut known: HashSet<u64> = own.into_iter().collect();
    processes
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            name.as_encoded_bytes().iter().all(u8::is_ascii_digit)
        })
        .filter_map(|entry| File::open(entry.path().join("ns/net")).ok())
        .filter(|namespace| {
            let number = namespace.metadata().map(|it| it.ino());
            number.is_ok_and(|number| known.insert(number))
        })
        .collect()
}

/// Does something in another network namespace, on a thread of its own.
pub(super) fn within<T: Send>(
    namespace: &File,
    work: impl FnOnce() -> T + Send,
) -> Result<T, CaptureError> {
    let inside = || {
        enter(namespace).map_err(CaptureError::system("setns"))?;
        Ok(work())
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("namespace".to_owned())
            .spawn_scoped(scope, inside)
            .map_err(CaptureError::system("starting a thread"))?;
        thread.join().unwrap_or_else(|_panicked| {
            let error = io::Error::other("its thread panicked");
            Err(CaptureError::system("work in a namespace")(error))
        })
    })
}

#[expect(unsafe_code, reason = "a system call")]
fn enter(namespace: &File) -> io::Result<()> {
    // SAFETY: changes the namespace of the calling thread and no memory.
    let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
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
    fn a_namespace_has_one_cookie_and_it_is_not_zero() {
        let cookie = own_cookie().unwrap();
        assert_ne!(cookie, 0);
        assert_eq!(own_cookie().unwrap(), cookie);
    }
}
