//! Finds the sockets that are older than the capture, once, right after the programs were attached: what they
//! are comes through the ring buffer.
//!
//! The iterator over TCP sockets sees one network namespace: it runs in that of every process. What this
//! kernel does not run, or what rights are missing for, is said; such sockets are met with their next packet.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use aya::Btf;

use super::{CaptureError, attach::Attached, namespace, syscall};

/// An iterator's program and what it iterates.
pub(super) const OWNERS: (&str, &str) = ("existing_owners", "task_file");
/// As [`OWNERS`].
pub(super) const CONNECTIONS: (&str, &str) = ("existing_tcp", "tcp");

/// Runs the iterators.
pub(super) fn find(attached: &mut Attached, types: &Btf) {
    if let Err(error) = owners(attached, types).and_then(|()| tcp(attached, types)) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "sockets older than the capture are seen from their next packet on"
        );
    }
}

/// Whose sockets there are.
fn owners(attached: &mut Attached, types: &Btf) -> Result<(), CaptureError> {
    let program = attached.load_iterator(OWNERS.0, OWNERS.1, types)?;
    run(link(program.as_fd())?.as_fd())
}

/// Which connections there are.
fn tcp(attached: &mut Attached, types: &Btf) -> Result<(), CaptureError> {
    let program = attached.load_iterator(CONNECTIONS.0, CONNECTIONS.1, types)?;
    let link = link(program.as_fd())?;
    run(link.as_fd())?;
    for other in namespace::others() {
        let result = namespace::within(&other, || run(link.as_fd()));
        if let Err(error) = result.and_then(|result| result) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                namespace = ?other,
                "connections of a network namespace are seen from their next packet on"
            );
        }
    }
    Ok(())
}

fn link(program: BorrowedFd<'_>) -> Result<OwnedFd, CaptureError> {
    syscall::link_iterator(program, None).map_err(CaptureError::system("bpf link of an iterator"))
}

fn run(link: BorrowedFd<'_>) -> Result<(), CaptureError> {
    let mut file =
        syscall::open_iterator(link).map_err(CaptureError::system("opening an iterator"))?;
    io::copy(&mut file, &mut io::sink())
        .map(drop)
        .map_err(CaptureError::system("running an iterator"))
}
