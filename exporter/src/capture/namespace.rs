//! The network namespace of this process, by the number that records carry.

use std::{io, net::UdpSocket, os::fd::AsRawFd};

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
