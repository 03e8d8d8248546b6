//! What a program's traffic costs with the exporter beside it, and without.
//!
//! - `traffic_connection`: process CPU of connect, request, answer and close, both ends, with the exporter attached
//!   over without; and the same with programs that do nothing at its hooks, which is what the kernel takes for calling any.
//! - `traffic_bulk`: throughput of one connection, with over without.
//! - `kernel_memory`: kernel memory of a living flow, and of the maps whatever lives.
//!
//! The program that makes the traffic is a process of its own, held on one processor: plain code of the standard library
//! (`program.rs`), nothing of the exporter. The exporter is whole: kernel part, flow table, encoder; its receiver takes
//! everything at once. It is attached to the program's cgroup, which the rounds without it have, too.
//!
//! Rounds are interleaved: without, with, with, without, and the exporter starts anew for each such cycle. A cycle gives one
//! ratio, so what drifts evenly cancels; the figures are the median over the cycles and its 95 % interval by order
//! statistics, which assumes nothing of how the ratios spread. CPU is what the scheduler counts for the program's threads
//! (`schedstat`, nanoseconds). Over loopback the kernel handles a sent packet in the sender's own context, so that work is in it
//! unless the kernel keeps interrupts' time apart (`CONFIG_IRQ_TIME_ACCOUNTING`) or another thread (`ksoftirqd`) does it; what
//! other programs' interrupts take is in it, too.
//!
//! A second exporter of the machine would be in both kinds of rounds and make the ratio look better: `others_attached` says
//! whether one was there at the begin or the end.
//!
//! Kernel memory is what the memory controller charges to a cgroup that holds the exporter alone: the kernel charges storage of
//! sockets and entries of maps to whoever made the map. It is read before and after the program opens its sockets. A TCP
//! connection over loopback has two flows. Another program with socket storage on the same sockets (a second exporter) may
//! have been charged for the kernel's list that both share: the figure is too low then.
//!
//! One JSON object a line. Needs root. `BEACONWATCH_BENCH_SECONDS` is how long each comparison takes.
//!
//! `cargo run --release -p beaconwatch-bench --bin exporter_traffic`

mod attached;
mod cgroup;
mod memory;
mod program;
mod rounds;

use std::error::Error;
use std::time::Duration;

use serde_json::json;

use attached::Attached;
use cgroup::Cgroup;
use program::Program;
use rounds::{Cycle, Rounds, Stop};

type Outcome<T> = Result<T, Box<dyn Error>>;
type Attach = fn(&Cgroup) -> Outcome<Stop>;

/// How long each comparison is measured unless told otherwise.
const DEFAULT_S: u64 = 60;
/// CPU of one round: long against a tick of the clock, short against what else happens on the machine.
const ROUND: Duration = Duration::from_millis(60);

fn main() -> Outcome<()> {
    if std::env::args().nth(1).as_deref() == Some(program::ARGUMENT) {
        return program::run();
    }
    let seconds = match std::env::var("BEACONWATCH_BENCH_SECONDS") {
        Ok(seconds) => seconds.parse()?,
        Err(_) => DEFAULT_S,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let _entered = runtime.enter();
    let cgroup = Cgroup::create("program")?;
    let mut program = Program::start(&cgroup)?;
    memory::measure(&cgroup, &mut program)?;
    let length = Duration::from_secs(seconds);
    let attach: [(&str, Attach); 2] = [
        ("exporter", attached::exporter),
        ("empty programs at the same hooks", attached::empty_programs),
    ];
    for (name, attach) in attach {
        connections(name, || attach(&cgroup), &mut program, length)?;
    }
    bulk(&cgroup, &mut program, length)
}

fn connections(
    what: &str,
    attach: impl Fn() -> Outcome<Stop>,
    program: &mut Program,
    length: Duration,
) -> Outcome<()> {
    let others_before = attached::others_are();
    let rounds = Rounds::run(length, ROUND, attach, |count| program.connect(count))?;
    let others = others_before || attached::others_are();
    let cpu = |cycle: &Cycle| cycle.with.cpu_each() / cycle.without.cpu_each();
    let ratio = rounds.median_of(cpu);
    let each = |read: fn(&Cycle) -> f64| rounds.median_of(move |cycle| read(cycle) * 1e6).middle;
    print(&json!({
        "bench": "traffic_connection", "per": "connection with both ends", "attached": what,
        "cpu_ratio": digits(ratio.middle, 4),
        "cpu_ratio_95": [digits(ratio.low, 4), digits(ratio.high, 4)],
        "us_without": digits(each(|cycle| cycle.without.cpu_each()), 2),
        "us_with": digits(each(|cycle| cycle.with.cpu_each()), 2),
        "us_exporter_user_space": digits(each(Cycle::exporter_each), 2),
        "others_attached": others, "cycles": rounds.cycles.len(), "connections_a_round": rounds.size,
        "lost": rounds.lost, "load": load()?,
    }));
    Ok(())
}

fn bulk(cgroup: &Cgroup, program: &mut Program, length: Duration) -> Outcome<()> {
    let attach = || attached::exporter(cgroup);
    let rounds = Rounds::run(length, ROUND, attach, |count| program.stream(count))?;
    let throughput = |cycle: &Cycle| cycle.without.wall_each() / cycle.with.wall_each();
    let per_cpu = |cycle: &Cycle| cycle.without.cpu_each() / cycle.with.cpu_each();
    let (ratio, by_cpu) = (rounds.median_of(throughput), rounds.median_of(per_cpu));
    let rate = |read: fn(&Cycle) -> f64| {
        rounds
            .median_of(move |cycle| f64::from(program::BLOCK_BYTES) / read(cycle) / 1e9)
            .middle
    };
    print(&json!({
        "bench": "traffic_bulk", "per": "connection over loopback, both ends on one processor",
        "throughput_ratio": digits(ratio.middle, 4),
        "throughput_ratio_95": [digits(ratio.low, 4), digits(ratio.high, 4)],
        "bytes_per_cpu_ratio": digits(by_cpu.middle, 4),
        "bytes_per_cpu_ratio_95": [digits(by_cpu.low, 4), digits(by_cpu.high, 4)],
        "gb_s_without": digits(rate(|cycle| cycle.without.wall_each()), 2),
        "gb_s_with": digits(rate(|cycle| cycle.with.wall_each()), 2),
        "cycles": rounds.cycles.len(), "lost": rounds.lost, "load": load()?,
    }));
    Ok(())
}

/// Processes that ran or waited to run, by the kernel's average over a minute.
fn load() -> Outcome<f64> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

fn digits(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[expect(clippy::print_stdout, reason = "the result of a measurement")]
fn print(line: &serde_json::Value) {
    println!("{line}");
}
