//! Rights: what each capability is for, and what is lost without it.

use super::{Check, Report, State};
use crate::capture::capabilities::{Capabilities, Capability};

/// A capability that the capture uses.
struct Need {
    capability: Capability,
    /// Without it.
    state: State,
    /// Whether `CAP_SYS_ADMIN` stands for it.
    in_sys_admin: bool,
    used_for: &'static str,
    cost: &'static str,
}

const NEEDS: [Need; 6] = [
    Need {
        capability: Capability::Bpf,
        state: State::Missing,
        in_sys_admin: true,
        used_for: "loads programs and maps",
        cost: "nothing is captured: no program and no map can be loaded",
    },
    Need {
        capability: Capability::Perfmon,
        state: State::Missing,
        in_sys_admin: true,
        used_for: "lets programs read processes and sockets of the kernel",
        cost: "nothing is captured: the programs read kernel memory for the owner of a socket and for live flows",
    },
    Need {
        capability: Capability::NetAdmin,
        state: State::Missing,
        in_sys_admin: false,
        used_for: "attaches to the hooks of the cgroup",
        cost: "nothing is captured: programs for packets and sockets can be neither loaded nor attached",
    },
    Need {
        capability: Capability::SysPtrace,
        state: State::Degraded,
        in_sys_admin: false,
        used_for: "reads /proc/PID/exe of other users' processes",
        cost: "executables of other users' processes that began before the exporter stay unknown, hashes of all; \
               their network namespaces are not found",
    },
    Need {
        capability: Capability::SysAdmin,
        state: State::Degraded,
        in_sys_admin: false,
        used_for: "enters other network namespaces once, at the start",
        cost: "TCP connections that other network namespaces (containers) had open before the start are seen from \
               their next packet on, and not at all if none comes; names of other programs at the hooks",
    },
    Need {
        capability: Capability::DacReadSearch,
        state: State::Degraded,
        in_sys_admin: false,
        used_for: "reads executables that others may not read, for their hash",
        cost: "executables that only their owner may read have no hash",
    },
];

pub(super) fn examine(report: &mut Report, hashes: bool) {
    match Capabilities::of_this_thread() {
        Ok(held) => judge(report, held, hashes),
        Err(error) => report.push(Check::not_ok(
            State::Missing,
            "capabilities",
            format!("/proc/thread-self/status cannot be read: {error}"),
            "nothing is captured: the exporter cannot tell its rights, and no owner of a flow",
            "mount /proc",
        )),
    }
}

/// One check for each capability; pure.
pub(super) fn judge(report: &mut Report, held: Capabilities, hashes: bool) {
    for need in &NEEDS {
        // Without hashing nothing needs it.
        if need.capability != Capability::DacReadSearch || hashes {
            report.push(judge_one(need, held));
        }
    }
    let resource = if held.effective.has(Capability::SysResource) {
        "held, not needed"
    } else {
        "not held, not needed"
    };
    report.push(Check::ok(
        Capability::SysResource.name(),
        format!("{resource}: since Linux 5.11 memory of maps counts to the cgroup, not to RLIMIT_MEMLOCK"),
    ));
}

fn judge_one(need: &Need, held: Capabilities) -> Check {
    let name = need.capability.name();
    if held.effective.has(need.capability) {
        return Check::ok(name, format!("effective: {}", need.used_for));
    }
    if need.in_sys_admin && held.effective.has(Capability::SysAdmin) {
        return Check::ok(
            name,
            format!("CAP_SYS_ADMIN stands for it: {}", need.used_for),
        );
    }
    let (finding, remedy) = if held.permitted.has(need.capability) {
        (
            "permitted, not effective",
            format!(
                "start the exporter with {name} effective (setcap {name}+ep, AmbientCapabilities={name})"
            ),
        )
    } else {
        (
            "not held",
            format!(
                "systemd: AmbientCapabilities={name}; container: --cap-add {}; or run as root",
                name.trim_start_matches("CAP_")
            ),
        )
    };
    Check::not_ok(need.state, name, finding, need.cost, remedy)
}
