//! The programs: whether this kernel takes each of them, and whether the hooks are free.

use std::{collections::HashMap, fs, os::fd::AsFd, path::Path};

use aya::{Btf, Ebpf, programs::loaded_programs};

use super::{Check, Report, State, chain};
use crate::capture::{
    CaptureError, CaptureSettings, OBJECT,
    attach::{self, HOOKED, ITERATORS, Purpose, TRACEPOINTS},
    existing,
    preflight::Cgroup,
    syscall::{self, Hook, HookUse},
};

/// What the capture loses without any one of its hooks: it does not start.
const NOTHING: &str = "nothing is captured";
const KERNEL_REMEDY: &str =
    "grant the capabilities named above; else report the kernel's message with its release";

pub(super) fn examine(report: &mut Report, cgroup: Option<&Cgroup>, attach: bool) {
    let settings = CaptureSettings {
        ring_bytes: 64 << 10,
        slice_ring_bytes: 64 << 10,
        max_peers: 1024,
        ..CaptureSettings::default()
    };
    match attach::make_maps(&settings, OBJECT, Purpose::Capture) {
        Ok(mut object) => {
            let ring = attach::take_ring(&mut object, attach::RECORDS);
            examine_maps(report, object.maps().count(), &ring);
            for (program, hook) in HOOKED {
                let loaded = attach::load_hooked(&mut object, program);
                report.push(examine_hook((program, hook), loaded, cgroup, attach));
            }
            examine_traced(report, &mut object);
        }
        Err(error) => report.push(Check::not_ok(
            State::Missing,
            "maps and ring buffer",
            chain(&error),
            NOTHING,
            KERNEL_REMEDY,
        )),
    }
}

fn examine_maps<T>(report: &mut Report, others: usize, ring: &Result<T, CaptureError>) {
    let name = "maps and ring buffer";
    report.push(match ring {
        Ok(_mapped) => Check::ok(
            name,
            format!("ring buffer mapped, {others} other maps made"),
        ),
        Err(error) => Check::not_ok(State::Missing, name, chain(error), NOTHING, KERNEL_REMEDY),
    });
}

/// A hook whose program was or was not loaded.
fn examine_hook(
    (program, hook): (&'static str, Hook),
    loaded: Result<(), CaptureError>,
    cgroup: Option<&Cgroup>,
    attach: bool,
) -> Check {
    let name = format!("hook {}", hook.name());
    if let Err(error) = loaded {
        return Check::not_ok(State::Missing, name, chain(&error), NOTHING, KERNEL_REMEDY);
    }
    let Some(cgroup) = cgroup else {
        let finding = format!("{program} loads; there is no cgroup to attach it to");
        return Check::ok(name, finding);
    };
    let used = match syscall::hook_use(cgroup.as_fd(), hook) {
        Ok(used) => used,
        Err(error) => {
            let finding =
                format!("{program} loads; what is attached already cannot be asked for: {error}");
            let cost = "whether another program keeps the capture out is not known";
            return Check::not_ok(State::Degraded, name, finding, cost, "CAP_NET_ADMIN");
        }
    };
    let others = describe(&used);
    if used.alone {
        return foreign(name, &others, &cgroup.path);
    }
    match attach.then(|| try_attach(cgroup, hook)) {
        None => Check::ok(name, format!("{program} loads; attached already: {others}")),
        Some(Ok(())) => Check::ok(
            name,
            format!("{program} loads, attaches; attached already: {others}"),
        ),
        Some(Err(error)) => {
            let finding =
                format!("{program} loads; attaching fails: {error}; attached already: {others}");
            Check::not_ok(State::Missing, name, finding, NOTHING, ABOVE_REMEDY)
        }
    }
}

const ABOVE_REMEDY: &str =
    "a program on a cgroup above that allows no other keeps others out (bpftool cgroup tree)";

fn foreign(name: String, others: &str, cgroup: &Path) -> Check {
    let cgroup = cgroup.display();
    Check::not_ok(
        State::Missing,
        name,
        format!("held for itself by {others}: attaching there fails with EPERM"),
        NOTHING,
        format!(
            "have its owner attach it with BPF_F_ALLOW_MULTI or a link (bpftool cgroup show {cgroup})"
        ),
    )
}

/// Attaches a program that does nothing, and takes it off.
fn try_attach(cgroup: &Cgroup, hook: Hook) -> std::io::Result<()> {
    let program = syscall::load_empty_program(hook)?;
    syscall::link_to_cgroup(program.as_fd(), cgroup.as_fd(), hook).map(drop)
}

/// Iterators and tracepoints.
fn examine_traced(report: &mut Report, object: &mut Ebpf) {
    let types = match attach::kernel_types() {
        Ok(types) => types,
        Err(error) => {
            let cost = "nothing is captured";
            report.push(Check::not_ok(
                State::Missing,
                "iterators",
                chain(&error),
                cost,
                "a kernel built with CONFIG_DEBUG_INFO_BTF=y",
            ));
            return;
        }
    };
    for iterator in ITERATORS {
        let result = attach::load_iterator(object, iterator.program, iterator.kind, &types);
        let name = format!("iterator {}", iterator.kind);
        report.push(traced(
            name,
            iterator.program,
            result,
            State::Missing,
            NOTHING,
        ));
    }
    examine_existing(report, object, &types);
    for (program, tracepoint) in TRACEPOINTS {
        let result = attach::load_tracepoint(object, program, tracepoint, &types).map(drop);
        let name = format!("tracepoint {tracepoint}");
        let cost = "executables of processes that are soon gone stay unknown";
        report.push(traced(name, program, result, State::Degraded, cost));
    }
}

fn examine_existing(report: &mut Report, object: &mut Ebpf, types: &Btf) {
    let costs = [
        "flows of sockets older than the capture have no process",
        "connections older than the capture are seen from their next packet on",
    ];
    for ((program, target), cost) in [existing::OWNERS, existing::CONNECTIONS]
        .into_iter()
        .zip(costs)
    {
        let result = attach::load_iterator(object, program, target, types);
        let name = format!("iterator {target}");
        report.push(traced(name, program, result, State::Degraded, cost));
    }
}

fn traced(
    name: String,
    program: &str,
    result: Result<(), CaptureError>,
    state: State,
    cost: &str,
) -> Check {
    match result {
        Ok(()) => Check::ok(name, format!("{program} loads")),
        Err(error) => Check::not_ok(state, name, chain(&error), cost, KERNEL_REMEDY),
    }
}

/// `12 count_bytes (agent[4711])`, for each; names need `CAP_SYS_ADMIN`, holders `CAP_SYS_PTRACE` and
/// `CAP_DAC_READ_SEARCH`.
fn describe(used: &HookUse) -> String {
    if used.programs.is_empty() {
        return "nothing".to_owned();
    }
    let names: HashMap<u32, String> = loaded_programs()
        .flatten()
        .filter(|info| used.programs.contains(&info.id()))
        .map(|info| (info.id(), info.name_as_str().unwrap_or_default().to_owned()))
        .collect();
    let one = |id: &u32| {
        let name = match names.get(id).map(String::as_str) {
            None => "(name needs CAP_SYS_ADMIN)",
            Some("") => "(unnamed)",
            Some(name) => name,
        };
        match holder(*id) {
            Some(process) => format!("program {id} {name} of {process}"),
            None => format!("program {id} {name}"),
        }
    };
    let all: Vec<String> = used.programs.iter().map(one).collect();
    all.join(", ")
}

/// A process that has a descriptor of the program or of a link to it, as `proc_pid_fdinfo(5)` tells. A program
/// that was attached without a link may have none.
fn holder(id: u32) -> Option<String> {
    let wanted = format!("prog_id:\t{id}");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let pid = process.file_name();
        if !pid.as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let holds = descriptors.flatten().any(|descriptor| {
            let kind = fs::read_link(descriptor.path()).unwrap_or_default();
            kind.to_string_lossy().contains("bpf") && {
                let place = process.path().join("fdinfo").join(descriptor.file_name());
                let text = fs::read_to_string(place).unwrap_or_default();
                text.lines().any(|line| line == wanted)
            }
        });
        if holds {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let name: String = name.trim().chars().filter(|c| !c.is_control()).collect();
            return Some(format!("{name}[{}]", pid.to_string_lossy()));
        }
    }
    None
}
