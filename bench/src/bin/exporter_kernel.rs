//! What the capture costs in the kernel: nanoseconds per packet and per connection of each program.
//!
//! - `kernel_packet`: the kernel repeats one packet of a known flow (`BPF_PROG_TEST_RUN`); an empty
//!   program's time on the same packet is taken off.
//! - `kernel_packet_tcp`, `kernel_packet_udp`, `kernel_connection`: real traffic over the loopback
//!   interface inside a cgroup of its own, by the kernel's run statistics, less those of an empty
//!   program on each hook. Caches are as cold as the traffic leaves them.
//! - `kernel_program`: size of each program, and what the verifier went through.
//! - `kernel_live_flow_read`: time to read the counters of one live flow.
//!
//! One JSON object a line, medians over the rounds. Needs root.
//!
//! `cargo run --release -p beaconwatch-bench --bin exporter_kernel`

use std::{
    error::Error,
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
};

use beaconwatch_exporter::capture::{
    Capture, CaptureError, CaptureSettings,
    statistics::{self, Baseline, ProgramStatistics, TestRunTime, TestRuns},
};
use serde_json::json;

const ROUNDS: usize = 101;
const REPETITIONS: u32 = 100_000;
const ROUND_TRIPS: u32 = 2_000;
const CONNECTIONS: u32 = 200;
/// Live flows for the memory figure.
const LIVE: usize = 2_000;
/// Another flow on interfaces than of sockets, which would be told by these.
const SOCKETS_PORT: u16 = 12_345;
const FORWARDED_PORT: u16 = 12_346;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    test_runs()?;
    let cgroup = Cgroup::enter()?;
    let settings = CaptureSettings {
        cgroup: Some(cgroup.path.clone()),
        ..CaptureSettings::default()
    };
    let capture = Capture::start(&settings)?;
    let baseline = Baseline::start(Some(&cgroup.path))?;
    let _measuring = statistics::enable()?;
    let mut bench = Bench { capture, baseline };
    let packets = ["packet_sent", "packet_received"];
    bench.run("kernel_packet_tcp", "packet", &packets, tcp_round_trips)?;
    bench.run("kernel_packet_udp", "packet", &packets, udp_round_trips)?;
    let all = [
        "socket_created",
        "socket_released",
        "socket_operation",
        packets[0],
        packets[1],
    ];
    bench.run(
        "kernel_connection",
        "connection with both ends",
        &all,
        connections,
    )?;
    bench.live_flows()?;
    Ok(())
}

/// What the verifier went through. Its depth of the stack stands in its log, at most 512 bytes: a program that
/// needs more is refused.
fn programs(runs: &TestRuns) -> Outcome<()> {
    for program in runs.program_statistics()? {
        print(&json!({
            "bench": "kernel_program",
            "program": program.program,
            "instructions": program.bytes / 8,
            "verified_instructions": program.verified_instructions,
        }));
    }
    Ok(())
}

/// Repeats one packet of each protocol in each direction.
fn test_runs() -> Outcome<()> {
    let mut runs = TestRuns::load()?;
    programs(&runs)?;
    for (protocol, number, flows) in [("tcp", 6, 1), ("udp", 17, 2)] {
        let frame = frame(number, SOCKETS_PORT);
        for (program, sent) in [("packet_sent", true), ("packet_received", false)] {
            let run = |runs: &mut TestRuns| runs.run(sent, &frame, REPETITIONS);
            repeat("kernel_packet", program, protocol, &mut runs, run)?;
        }
        let frame = self::frame(number, FORWARDED_PORT);
        for (program, sent) in [("frame_sent", true), ("frame_received", false)] {
            let run = |runs: &mut TestRuns| runs.run_on_interface(sent, &frame, REPETITIONS, flows);
            repeat("kernel_frame", program, protocol, &mut runs, run)?;
        }
    }
    Ok(())
}

fn repeat(
    bench: &str,
    program: &str,
    protocol: &str,
    runs: &mut TestRuns,
    run: impl Fn(&mut TestRuns) -> Result<TestRunTime, CaptureError>,
) -> Outcome<()> {
    let mut net = (0..ROUNDS)
        .map(|_| {
            let time = run(runs)?;
            Ok((time.program.as_secs_f64() - time.empty.as_secs_f64()) * 1e9)
        })
        .collect::<Outcome<Vec<_>>>()?;
    print(&json!({
        "bench": bench, "program": program, "protocol": protocol,
        "ns_net": rounded(median(&mut net)), "per": "packet", "rounds": ROUNDS,
    }));
    Ok(())
}

/// An Ethernet frame with an IPv4 packet of 100 bytes.
fn frame(protocol: u8, source_port: u16) -> Vec<u8> {
    let mut frame = vec![0; 114];
    let header = [
        0x08, 0x00, 0x45, 0, 0, 100, 0, 0, 0x40, 0, 64, protocol, 0, 0,
    ];
    let [high, low] = source_port.to_be_bytes();
    let addresses = [192, 0, 2, 1, 192, 0, 2, 2, high, low, 0x01, 0xbb];
    for (target, value) in frame
        .iter_mut()
        .skip(12)
        .zip(header.into_iter().chain(addresses))
    {
        *target = value;
    }
    frame
}

struct Bench {
    capture: Capture,
    baseline: Baseline,
}

/// Nanoseconds and runs of one program and of the empty one beside it.
#[derive(Clone, Copy, Default)]
struct Cost {
    own_ns: f64,
    empty_ns: f64,
    runs: f64,
}

impl Bench {
    /// Measures a workload, which returns how many packets or connections it made.
    fn run(
        &mut self,
        bench: &str,
        unit: &str,
        programs: &[&str],
        workload: fn() -> Outcome<Option<u32>>,
    ) -> Outcome<()> {
        let mut net = vec![Vec::new(); programs.len()];
        let mut runs = vec![Vec::new(); programs.len()];
        for _ in 0..ROUNDS {
            let before = self.costs(programs)?;
            let units = workload()?;
            let after = self.costs(programs)?;
            // Empties the ring buffer, so that it never fills.
            self.capture.live_flows(&mut Vec::new())?;
            for (index, (before, after)) in before.iter().zip(&after).enumerate() {
                let count = after.runs - before.runs;
                let units = units.map_or(count, f64::from);
                let own = after.own_ns - before.own_ns;
                let empty = after.empty_ns - before.empty_ns;
                if let (Some(net), Some(runs)) = (net.get_mut(index), runs.get_mut(index)) {
                    net.push((own - empty) / units);
                    runs.push(count / units);
                }
            }
        }
        let mut sum = 0.0;
        for ((program, mut net), mut runs) in programs.iter().zip(net).zip(runs) {
            let ns_net = median(&mut net);
            sum += ns_net;
            print(&json!({
                "bench": bench, "program": program, "ns_net": rounded(ns_net), "per": unit,
                "runs_per_unit": rounded(median(&mut runs)), "rounds": ROUNDS,
            }));
        }
        if unit != "packet" {
            print(
                &json!({ "bench": bench, "program": "all", "ns_net": rounded(sum), "per": unit }),
            );
        }
        Ok(())
    }

    fn costs(&self, programs: &[&str]) -> Outcome<Vec<Cost>> {
        let own = self.capture.program_statistics()?;
        let empty = self.baseline.statistics()?;
        let find = |list: &[ProgramStatistics], name: &str| {
            list.iter()
                .find(|one| one.program == name)
                .copied()
                .ok_or("a program is missing")
        };
        programs
            .iter()
            .map(|name| {
                let (own, empty) = (find(&own, name)?, find(&empty, name)?);
                Ok(Cost {
                    own_ns: own.time.as_secs_f64() * 1e9,
                    empty_ns: empty.time.as_secs_f64() * 1e9,
                    runs: u32::try_from(own.runs)?.into(),
                })
            })
            .collect()
    }

    /// Time to read a live flow.
    fn live_flows(&mut self) -> Outcome<()> {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let mut sockets = Vec::with_capacity(LIVE);
        for _ in 0..LIVE / 2 {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.send_to(b"live", server.local_addr()?)?;
            sockets.push(socket);
        }
        self.capture.live_flows(&mut Vec::new())?;
        let mut times = Vec::new();
        let mut flows = 0;
        for _ in 0..ROUNDS {
            let mut records = Vec::new();
            let start = std::time::Instant::now();
            flows = self.capture.live_flows(&mut records)?;
            times.push(start.elapsed().as_secs_f64() * 1e9);
        }
        let each = median(&mut times) / f64::from(u32::try_from(flows.max(1))?);
        print(&json!({
            "bench": "kernel_live_flow_read", "ns": rounded(each), "per": "live flow",
            "flows": flows, "rounds": ROUNDS,
        }));
        Ok(())
    }
}

fn tcp_round_trips() -> Outcome<Option<u32>> {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut client = TcpStream::connect(server.local_addr()?)?;
    client.set_nodelay(true)?;
    let (mut accepted, _) = server.accept()?;
    accepted.set_nodelay(true)?;
    let mut buffer = [0; 64];
    for _ in 0..ROUND_TRIPS {
        client.write_all(&buffer)?;
        accepted.read_exact(&mut buffer)?;
        accepted.write_all(&buffer)?;
        client.read_exact(&mut buffer)?;
    }
    Ok(None)
}

fn udp_round_trips() -> Outcome<Option<u32>> {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    client.connect(server.local_addr()?)?;
    let mut buffer = [0; 64];
    for _ in 0..ROUND_TRIPS {
        client.send(&buffer)?;
        let (_, from) = server.recv_from(&mut buffer)?;
        server.send_to(&buffer, from)?;
        client.recv(&mut buffer)?;
    }
    Ok(None)
}

fn connections() -> Outcome<Option<u32>> {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = server.local_addr()?;
    let mut buffer = [0; 64];
    for _ in 0..CONNECTIONS {
        let mut client = TcpStream::connect(address)?;
        let (mut accepted, _) = server.accept()?;
        client.write_all(&buffer)?;
        accepted.read_exact(&mut buffer)?;
        accepted.write_all(&buffer)?;
        client.read_exact(&mut buffer)?;
    }
    Ok(Some(CONNECTIONS))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[expect(clippy::print_stdout, reason = "the result of a measurement")]
fn print(line: &serde_json::Value) {
    println!("{line}");
}

/// A cgroup v2 directory that holds this process while the value lives.
struct Cgroup {
    root: PathBuf,
    path: PathBuf,
}

impl Cgroup {
    fn enter() -> Outcome<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let root = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find_map(|words| (words.get(2)? == &"cgroup2").then(|| words.get(1).copied())?)
            .ok_or("no cgroup v2 mount")?;
        let root = PathBuf::from(root);
        let path = root.join(format!("beaconwatch-bench-{}", std::process::id()));
        fs::create_dir(&path)?;
        let cgroup = Self { root, path };
        join(&cgroup.path)?;
        Ok(cgroup)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if join(&self.root)
            .and_then(|()| fs::remove_dir(&self.path))
            .is_err()
        {
            tracing::warn!(path = %self.path.display(), "cgroup stays");
        }
    }
}

fn join(cgroup: &Path) -> std::io::Result<()> {
    fs::write(cgroup.join("cgroup.procs"), "0")
}
