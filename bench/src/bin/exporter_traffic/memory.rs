//! Kernel memory of living flows.

use std::fs;

use serde_json::json;

use crate::cgroup::Cgroup;
use crate::program::Program;
use crate::{Attached, Outcome, digits, print};

/// Flows that live at a time.
const FLOWS: u64 = 10_000;
/// Readings of each kind.
const ROUNDS: usize = 5;

/// What the kernel is asked to keep, what that is called, and how many flows one of it has.
const KINDS: [(&str, &str, u64); 3] = [
    ("connections", "TCP flow", 2),
    ("sockets", "UDP flow of a socket of its own", 1),
    ("peers", "UDP flow of a socket with many peers", 1),
];

/// Prints a line for each kind.
pub(crate) fn measure(cgroup: &Cgroup, program: &mut Program) -> Outcome<()> {
    let account = Cgroup::with_memory()?;
    account.hold(std::process::id())?;
    for (what, name, flows) in KINDS {
        let mut each = Vec::new();
        for _ in 0..ROUNDS {
            each.push(once(cgroup, &account, program, what, FLOWS / flows)?);
        }
        each.sort_unstable_by(f64::total_cmp);
        let at = |index: usize| each.get(index).map(|bytes| digits(*bytes, 1));
        print(&json!({
            "bench": "kernel_memory", "per": name, "bytes": at(ROUNDS / 2),
            "bytes_range": [at(0), at(ROUNDS - 1)], "flows": FLOWS, "rounds": ROUNDS,
        }));
    }
    let attached = Attached::start(cgroup)?;
    let maps = maps_bytes()?;
    attached.stop()?;
    print(&json!({ "bench": "kernel_memory", "per": "exporter, whatever lives", "bytes": maps }));
    Ok(())
}

/// Bytes a flow, of this many of a kind.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn once(
    cgroup: &Cgroup,
    account: &Cgroup,
    program: &mut Program,
    what: &str,
    count: u64,
) -> Outcome<f64> {
    let attached = Attached::start(cgroup)?;
    let before = account.kernel_bytes()?;
    program.hold(what, count)?;
    let after = account.kernel_bytes()?;
    program.release()?;
    let counters = attached.stop()?;
    if counters.flows < FLOWS {
        return Err(format!("{} flows of {FLOWS} {what} were seen", counters.flows).into());
    }
    Ok(after.saturating_sub(before) as f64 / FLOWS as f64)
}

/// Bytes of all maps that this process holds, as the kernel states them.
fn maps_bytes() -> Outcome<u64> {
    let mut bytes = 0;
    let mut seen = std::collections::BTreeSet::new();
    for entry in fs::read_dir("/proc/self/fdinfo")? {
        // The directory's own descriptor is gone by now.
        let Ok(text) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        let field = |name: &str| -> Option<u64> {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        };
        if let (Some(map), Some(size)) = (field("map_id:"), field("memlock:"))
            && seen.insert(map)
        {
            bytes += size;
        }
    }
    Ok(bytes)
}
