//! The programs of a test between two hosts, and what they did.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cgroup::Cgroup;
use crate::network::Ends;
use crate::program::{Connection, Program, Truth};

/// How long the programs may take to start or to end.
const DEADLINE: Duration = Duration::from_mins(2);

/// Beats of a beacon.
pub const BEATS: u32 = 16;
/// Middle interval of a beacon in seconds: each beat follows more than two seconds of silence.
pub const INTERVAL_S: f64 = 4.5;
/// Each interval differs by up to this share of the middle one.
pub const JITTER: f64 = 0.1;

/// The server on the far end, and the ports that the kernel gave it.
#[derive(Debug)]
pub struct Server {
    program: Program,
    ports: BTreeMap<String, u16>,
}

impl Server {
    /// Starts the server and waits until it listens.
    pub fn start(folder: &Path, ends: &Ends) -> Result<Self> {
        Self::start_in(folder, ends, None)
    }

    /// The same in a cgroup.
    pub fn start_in(folder: &Path, ends: &Ends, cgroup: Option<&Cgroup>) -> Result<Self> {
        let ready = folder.join("server.ports");
        let arguments = [
            ready.display().to_string(),
            ends.server.ipv4.to_string(),
            ends.server.ipv6.to_string(),
        ];
        let place = (ends.server.namespace.as_str(), cgroup);
        let mut program = Program::start_in(folder, "answering", "server.py", place, &arguments)?;
        let ports = program.wait_for_file(&ready, DEADLINE)?;
        let ports = serde_json::from_str(&ports).context("reading the server's ports")?;
        Ok(Self { program, ports })
    }

    /// A port by its name in `server.py`.
    pub fn port(&self, name: &str) -> Result<u16> {
        self.ports
            .get(name)
            .copied()
            .with_context(|| format!("the server has no port {name}"))
    }

    /// Ends the server and gives what it accepted.
    pub fn stop(&mut self) -> Result<Truth> {
        self.program.stop(DEADLINE)
    }

    /// Kills the server: it tells nothing of what it accepted.
    pub fn kill(&mut self) -> Result<()> {
        self.program.kill()
    }
}

/// Starts a TCP beacon over IPv4 and IPv6 to the server's ports for `use_name`.
pub fn tcp_beacon(
    folder: &Path,
    name: &str,
    ends: &Ends,
    server: &Server,
    use_name: &str,
) -> Result<Program> {
    let mut arguments = schedule();
    for (family, local, remote) in [
        (
            "ipv4",
            IpAddr::from(ends.client.ipv4),
            IpAddr::from(ends.server.ipv4),
        ),
        (
            "ipv6",
            IpAddr::from(ends.client.ipv6),
            IpAddr::from(ends.server.ipv6),
        ),
    ] {
        let port = server.port(&format!("tcp_{use_name}_{family}"))?;
        arguments.extend([local.to_string(), remote.to_string(), port.to_string()]);
    }
    Program::start(
        folder,
        name,
        "beacon_tcp.py",
        &ends.client.namespace,
        &arguments,
    )
}

/// Starts a UDP beacon over IPv4.
pub fn udp_beacon(folder: &Path, ends: &Ends, server: &Server) -> Result<Program> {
    let mut arguments = schedule();
    arguments.extend(to_server(ends, server.port("udp_ipv4")?));
    let namespace = &ends.client.namespace;
    Program::start(folder, "udp-beacon", "beacon_udp.py", namespace, &arguments)
}

/// Starts a program that keeps one connection open and calls home inside it.
pub fn kept_open(folder: &Path, ends: &Ends) -> Result<Program> {
    let mut arguments = schedule();
    arguments.push(ends.client.ipv4.to_string());
    let namespace = &ends.client.namespace;
    Program::start(folder, "kept-open", "kept_open.py", namespace, &arguments)
}

/// Starts a program that connects in bursts with pauses of any length.
pub fn browsing(folder: &Path, ends: &Ends, server: &Server) -> Result<Program> {
    let mut arguments = vec!["8".to_owned()];
    arguments.extend(to_server(ends, server.port("tcp_browsing_ipv4")?));
    let namespace = &ends.client.namespace;
    Program::start(folder, "browsing", "browsing.py", namespace, &arguments)
}

/// Starts a program that is refused again and again.
pub fn refused(folder: &Path, ends: &Ends, server: &Server) -> Result<Program> {
    let mut arguments = vec!["20".to_owned()];
    arguments.extend(to_server(ends, server.port("refused_ipv4")?));
    Program::start(
        folder,
        "refused",
        "refused.py",
        &ends.client.namespace,
        &arguments,
    )
}

fn schedule() -> Vec<String> {
    vec![
        BEATS.to_string(),
        INTERVAL_S.to_string(),
        JITTER.to_string(),
    ]
}

fn to_server(ends: &Ends, port: u16) -> [String; 3] {
    [
        ends.client.ipv4.to_string(),
        ends.server.ipv4.to_string(),
        port.to_string(),
    ]
}

/// Waits until `programs` have ended by themselves, and gives what each did.
pub fn finish<const COUNT: usize>(mut programs: [Program; COUNT]) -> Result<[Truth; COUNT]> {
    let mut truths = Vec::with_capacity(COUNT);
    for program in &mut programs {
        truths.push(program.finish(DEADLINE)?);
    }
    truths
        .try_into()
        .map_err(|_other_length| anyhow::anyhow!("a program without a truth"))
}

/// The median of the intervals between the connections, in seconds.
#[must_use]
pub fn median_interval_s<'a>(connections: impl Iterator<Item = &'a Connection>) -> f64 {
    let starts: Vec<i64> = connections.map(|connection| connection.before_ns).collect();
    let mut intervals: Vec<f64> = starts
        .windows(2)
        .map(|pair| Duration::from_nanos((pair[1] - pair[0]).unsigned_abs()).as_secs_f64())
        .collect();
    intervals.sort_by(f64::total_cmp);
    match intervals.len() {
        0 => f64::NAN,
        even if even % 2 == 0 => f64::midpoint(intervals[even / 2 - 1], intervals[even / 2]),
        odd => intervals[odd / 2],
    }
}
