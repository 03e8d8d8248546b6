//! System calls that this program never makes once it captures, and that whoever took it over would want.
//!
//! [`forbid`] has the kernel answer them with `EPERM`, for every thread and for good (`seccomp(2)`). It names what is
//! refused and not what is allowed: what the C library, the runtime and TLS call changes with their versions,
//! and a filter that refuses a call of theirs would end a capture. The packaged unit has the list of what is allowed.
//!
//! Limits: calls by their arguments are not looked at (a socket of any family can be made); the x32 calls of a kernel
//! that has them (`CONFIG_X86_X32_ABI`) pass.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, Error, SeccompAction, SeccompFilter};

/// Programs, other processes, mounts, namespaces, the kernel and its clock, keys, and files by their number.
const FORBIDDEN: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_personality,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_open_by_handle_at,
];

/// Forbids them. Without `CAP_SYS_ADMIN` it asks for `no_new_privs`, and sets it.
///
/// # Errors
///
/// The kernel has no filters, or a thread has one that the others do not have.
pub(super) fn forbid() -> Result<(), Error> {
    seccompiler::apply_filter_all_threads(&filter()?)
}

fn filter() -> Result<BpfProgram, Error> {
    let calls: BTreeMap<i64, _> = FORBIDDEN.iter().map(|call| (*call, Vec::new())).collect();
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let architecture = std::env::consts::ARCH.try_into()?;
    Ok(SeccompFilter::new(calls, SeccompAction::Allow, refused, architecture)?.try_into()?)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::process::Command;
    use std::{fs, thread};

    use super::*;

    #[test]
    fn a_thread_with_the_filter_runs_no_program_and_goes_on_with_its_work() {
        thread::spawn(|| {
            assert!(Command::new("/bin/true").status().unwrap().success());
            seccompiler::apply_filter(&filter().unwrap()).unwrap();
            let refused = Command::new("/bin/true").status().unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
            let status = fs::read_to_string("/proc/thread-self/status").unwrap();
            assert!(status.contains("Seccomp:\t2"), "{status}");
        })
        .join()
        .unwrap();
        assert!(Command::new("/bin/true").status().unwrap().success());
    }
}
