//! The kernel: its release, its types, its switches; and the cgroup tree.

use std::fs;

use beaconwatch_records::{SocketOffsets, TaskOffsets};

use super::{Check, Report, State, chain};
use crate::capture::{
    CaptureError, offsets,
    preflight::{self, BTF_PATH, Cgroup, OLDEST_KERNEL_NAME},
};

pub(super) fn examine(report: &mut Report) {
    report.push(release());
    report.push(architecture());
    match fs::read(BTF_PATH) {
        Ok(types) => examine_types(report, &types),
        Err(error) => report.push(Check::not_ok(
            State::Missing,
            "kernel types (BTF)",
            format!("{BTF_PATH}: {error}"),
            "nothing is captured: programs that read the kernel's structures cannot be loaded",
            "a kernel built with CONFIG_DEBUG_INFO_BTF=y, and /sys mounted",
        )),
    }
    report.push(lockdown());
    examine_switches(report);
    report.push(process_namespace());
}

fn release() -> Check {
    let found = read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned());
    let finding = format!("{found}, needs {OLDEST_KERNEL_NAME} or later");
    match preflight::check_kernel() {
        Ok(()) => Check::ok("kernel", finding),
        Err(_old) => Check::not_ok(
            State::Missing,
            "kernel",
            finding,
            "nothing is captured: hooks and iterators are missing",
            format!("Linux {OLDEST_KERNEL_NAME} or later"),
        ),
    }
}

fn architecture() -> Check {
    let name = "architecture";
    let finding = std::env::consts::ARCH;
    if cfg!(all(target_arch = "x86_64", target_endian = "little")) {
        return Check::ok(name, format!("{finding}, little endian"));
    }
    let cost = "the compiled kernel part was made for x86_64; elsewhere it may be refused";
    let remedy = "see the checks of the programs below";
    Check::not_ok(State::Degraded, name, finding, cost, remedy)
}

/// What the kernel's types tell; pure but for the report.
pub(super) fn examine_types(report: &mut Report, types: &[u8]) {
    let (task, socket) = offsets::offsets(types);
    let length = types.len();
    report.push(Check::ok(
        "kernel types (BTF)",
        format!("{BTF_PATH}, {length} bytes"),
    ));
    report.push(process_offsets(&task));
    report.push(socket_offsets(&socket));
    report.push(close_of_older(types));
    report.push(interfaces(knows(types, "tcx_link")));
}

fn interfaces(has_tcx: bool) -> Check {
    let name = "TCX";
    if has_tcx {
        return Check::ok(name, "present: interfaces can be captured");
    }
    Check::not_ok(
        State::Degraded,
        name,
        "absent",
        "forwarded traffic cannot be captured ([exporter.interfaces]); sockets are",
        "Linux 6.6 or later",
    )
}

const TYPES_REMEDY: &str = "a kernel whose types are complete (CONFIG_DEBUG_INFO_BTF=y)";

fn process_offsets(task: &TaskOffsets) -> Check {
    let name = "process offsets";
    if task.knows_executables() {
        return Check::ok(name, "all found");
    }
    let (finding, cost) = if task.is_complete() {
        (
            "found, but for linux_binprm.interp or task_struct.pid".to_owned(),
            "executables of processes that are soon gone stay unknown",
        )
    } else {
        (
            format!("not all found: {task:?}"),
            "flows have no start time of their process, and accepted or passed sockets no right owner",
        )
    };
    Check::not_ok(State::Degraded, name, finding, cost, TYPES_REMEDY)
}

fn socket_offsets(socket: &SocketOffsets) -> Check {
    let name = "socket offsets";
    if socket.is_complete() {
        return Check::ok(name, "all found");
    }
    let finding = format!("not all found: {socket:?}");
    let cost =
        "sockets older than the capture are seen from their next packet on, without a process";
    Check::not_ok(State::Degraded, name, finding, cost, TYPES_REMEDY)
}

fn close_of_older(types: &[u8]) -> Check {
    let name = "close of older connections";
    if knows(types, "TCP_BPF_SOCK_OPS_CB_FLAGS") {
        return Check::ok(name, "bpf_setsockopt knows TCP_BPF_SOCK_OPS_CB_FLAGS");
    }
    Check::not_ok(
        State::Degraded,
        name,
        "bpf_setsockopt does not know TCP_BPF_SOCK_OPS_CB_FLAGS",
        "connections older than the capture have their callbacks switched on by their next packet \
         only: one that closes without a packet is told late and without its final counters",
        "a newer kernel (about 6.12)",
    )
}

/// Whether a name stands among the strings of the types.
fn knows(types: &[u8], name: &str) -> bool {
    let sought: Vec<u8> = [&[0], name.as_bytes(), &[0]].concat();
    types.windows(sought.len()).any(|window| window == sought)
}

fn lockdown() -> Check {
    match preflight::check_lockdown() {
        Ok(()) => Check::ok("lockdown", "does not forbid eBPF to read kernel memory"),
        Err(error) => Check::not_ok(
            State::Missing,
            "lockdown",
            "confidentiality",
            "nothing is captured",
            error.to_string(),
        ),
    }
}

fn examine_switches(report: &mut Report) {
    let unprivileged = match read("/proc/sys/kernel/unprivileged_bpf_disabled").as_deref() {
        Some("0") => {
            "0: anyone may load simple programs; the capture needs its capabilities all the same"
        }
        Some("1") => "1: needs CAP_BPF, until the next boot",
        Some("2") => "2: needs CAP_BPF",
        _ => "cannot be read",
    };
    report.push(Check::ok("kernel.unprivileged_bpf_disabled", unprivileged));
    let name = "net.core.bpf_jit_enable";
    report.push(match read("/proc/sys/net/core/bpf_jit_enable").as_deref() {
        Some("0") => Check::not_ok(
            State::Degraded,
            name,
            "0: programs are interpreted",
            "each packet costs several times as much processor time",
            "sysctl net.core.bpf_jit_enable=1",
        ),
        Some(value) => Check::ok(name, format!("{value}: programs are compiled")),
        None => Check::ok(name, "readable for root only"),
    });
    let limits = read("/proc/self/limits").unwrap_or_default();
    let limit = limits.lines().find_map(|line| {
        let values = line.strip_prefix("Max locked memory")?;
        values.split_whitespace().next()
    });
    let limit = limit.unwrap_or("unknown");
    report.push(Check::ok(
        "RLIMIT_MEMLOCK",
        format!("{limit}; does not limit eBPF since Linux 5.11"),
    ));
}

fn process_namespace() -> Check {
    if preflight::sees_host_processes() {
        return Check::ok("process namespace", "the host's");
    }
    Check::not_ok(
        State::Degraded,
        "process namespace",
        "not the host's",
        "flows carry the host's process ids, for which this /proc has no executable, user or container; the \
         exporter does not recognise its own traffic",
        "container: --pid=host, hostPID: true",
    )
}

pub(super) fn examine_cgroup(report: &mut Report, cgroup: &Result<Cgroup, CaptureError>) {
    let name = "cgroup v2";
    let cgroup = match cgroup {
        Ok(cgroup) => cgroup,
        Err(error) => {
            let cost = "nothing is captured: the programs hang on a cgroup";
            let remedy = "mount -t cgroup2 none /sys/fs/cgroup";
            report.push(Check::not_ok(
                State::Missing,
                name,
                chain(error),
                cost,
                remedy,
            ));
            return;
        }
    };
    let mounts = read("/proc/self/mountinfo").unwrap_or_default();
    let legacy = mounts.lines().any(|line| line.contains(" - cgroup "));
    let kind = if legacy {
        "hybrid: version 1 is mounted beside it"
    } else {
        "unified"
    };
    let path = cgroup.path.display();
    let part = preflight::cgroup_mounts(&mounts)
        .into_iter()
        .find(|mount| cgroup.path.as_os_str() == mount.path.as_str() && mount.root != "/");
    report.push(match part {
        None => Check::ok(name, format!("{path} ({kind})")),
        Some(mount) => Check::not_ok(
            State::Degraded,
            name,
            format!("{path} shows {} of the tree only", mount.root),
            "sockets outside that part are not captured",
            "container: use the host's cgroup namespace (--cgroupns=host) and mount its tree",
        ),
    });
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}
