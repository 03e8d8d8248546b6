//! `beaconwatch detect` with destinations of the test's choice, fed with flow records that no exporter made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::otlp_json::{self, Connection};
use crate::process::Process;
use crate::{deployment, http, wait};

/// How long something may take that waits for the sidecar.
pub const DEADLINE: Duration = Duration::from_mins(2);
/// Connections of each beacon, and seconds between two.
const CONNECTIONS: u64 = 20;
const INTERVAL_S: u64 = 60;
/// Log records of one request.
const RECORDS_IN_REQUEST: usize = 1000;
const SECOND_NS: u64 = 1_000_000_000;
const HOST_ID: &str = "8f14e45fceea167a5a36dedd4bea2543";

/// A sidecar with one destination, `siem`.
#[derive(Debug)]
pub struct Detect {
    folder: PathBuf,
    ports: [u16; 3],
    process: Process,
    /// Number of the next record.
    sequence: u64,
}

/// A beacon to be found.
#[derive(Clone, Debug)]
pub struct Beacon {
    /// Where it comes from.
    pub source: String,
    /// Name of its process.
    pub process: String,
}

impl Beacon {
    fn connection(&self, sequence: u64, start_ns: u64) -> Connection<'_> {
        Connection {
            exporter: "0f8e4a2f6d3b4c1e9a5d7c0b1a2f3e4d",
            sequence,
            source: &self.source,
            destination: "198.51.100.7",
            process: &self.process,
            start_ns,
        }
    }
}

impl Detect {
    /// Starts it in `folder`; `destination` is the inside of the table `[sidecar.destinations.siem]`.
    pub fn start(folder: &Path, destination: &str) -> Result<Self> {
        fs::create_dir_all(folder.join("data")).context("creating the folder of the sidecar")?;
        let ports = http::free_ports()?;
        let process = launch(folder, ports, destination)?;
        Ok(Self {
            folder: folder.to_owned(),
            ports,
            process,
            sequence: 0,
        })
    }

    /// Kills it, and starts it again with this destination and what it had stored.
    pub fn restart(&mut self, destination: &str) -> Result<()> {
        self.process.kill()?;
        self.process = launch(&self.folder, self.ports, destination)?;
        Ok(())
    }

    /// Kills it and keeps a copy of what it has stored.
    pub fn kill_and_copy(&mut self) -> Result<()> {
        self.process.kill()?;
        self.copy("data", "copy")
    }

    /// Kills it and puts the copy back, so that it no longer knows what it has delivered since.
    pub fn kill_and_put_back(&mut self) -> Result<()> {
        self.process.kill()?;
        fs::remove_dir_all(self.folder.join("data")).context("removing what is stored")?;
        self.copy("copy", "data")
    }

    fn copy(&self, from: &str, to: &str) -> Result<()> {
        let mut command = Command::new("cp");
        command
            .arg("-r")
            .arg(from)
            .arg(to)
            .current_dir(&self.folder);
        crate::tools::output_of(&mut command).map(drop)
    }

    /// Sends the connections of beacons: enough, and regular enough, for each to be found.
    pub fn feed(&mut self, beacons: &[Beacon]) -> Result<()> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .context("reading the clock")?;
        let begin = now.as_secs() - CONNECTIONS * INTERVAL_S - 60;
        let mut records = Vec::new();
        for beacon in beacons {
            for number in 0..CONNECTIONS {
                let start = (begin + number * INTERVAL_S) * SECOND_NS;
                records.push(beacon.connection(self.sequence, start).record());
                self.sequence += 1;
            }
        }
        let url = format!("http://127.0.0.1:{}/v1/logs", self.ports[1]);
        for part in records.chunks(RECORDS_IN_REQUEST) {
            http::post(&url, &otlp_json::request(HOST_ID, "web-3", part))?.expect_success(&url)?;
        }
        Ok(())
    }

    /// Port of its API.
    #[must_use]
    pub const fn api_port(&self) -> u16 {
        self.ports[2]
    }

    /// What it says of the destination.
    pub fn destination(&self) -> Result<Value> {
        let url = format!("http://127.0.0.1:{}/api/v1/status", self.ports[2]);
        let status = http::get(&url)?.expect_success(&url)?;
        let all = status["destinations"]
            .as_array()
            .context("no destinations")?;
        let siem = all.iter().find(|destination| destination["name"] == "siem");
        siem.cloned()
            .with_context(|| format!("no siem in {status:#}"))
    }

    /// Waits until the destination's status is as `wanted` says.
    pub fn wait_for_status(
        &mut self,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        wait::wait_for(what, DEADLINE, || {
            self.process.expect_running()?;
            let status = self.destination()?;
            ensure!(wanted(&status), "{status:#}");
            Ok(Some(status))
        })
    }

    /// Waits until `count` documents have been delivered or sent unconfirmed, and none waits.
    pub fn wait_until_sent(&mut self, count: u64) -> Result<Value> {
        self.wait_for_status(&format!("{count} documents that were sent"), |status| {
            let number = |name: &str| status[name].as_u64().unwrap_or_default();
            number("pending") == 0 && number("delivered") + number("unconfirmed") >= count
        })
    }

    /// Everything that it wrote.
    pub fn log(&self) -> Result<String> {
        self.process.log()
    }
}

/// Beacons from addresses of their own; the name of the first one's process needs every escape there is.
#[must_use]
pub fn beacons(count: u32) -> Vec<Beacon> {
    (0..count)
        .map(|number| Beacon {
            source: std::net::Ipv4Addr::from(0x0a01_0000 + number).to_string(),
            process: match number {
                0 => AWKWARD_NAME.to_owned(),
                _ => format!("caller-{number}"),
            },
        })
        .collect()
}

/// A name with what syslog, CEF, LEEF and JSON have to escape.
pub const AWKWARD_NAME: &str = "a\"]\\=|\n\u{fc}";

fn launch(folder: &Path, ports: [u16; 3], destination: &str) -> Result<Process> {
    let [grpc, http_port, api] = ports;
    let configuration = folder.join("beaconwatch.toml");
    let data = folder.join("data");
    let data = data.display();
    let text = format!(
        "[sidecar]
data_directory = \"{data}\"
analysis_interval_s = 1
[sidecar.receive]
grpc_address = \"127.0.0.1:{grpc}\"
http_address = \"127.0.0.1:{http_port}\"
[sidecar.api]
address = \"127.0.0.1:{api}\"
[sidecar.delivery]
max_backoff_s = 1
[sidecar.destinations.siem]
{destination}
"
    );
    fs::write(&configuration, text).context("writing the configuration")?;
    let mut command = Command::new(deployment::binaries()?.join("beaconwatch"));
    command.args(["detect", "--config"]).arg(&configuration);
    let log = folder.join("sidecar.log");
    let mut process = Process::start("the sidecar", &command, None, &log)?;
    let health = format!("http://127.0.0.1:{api}/healthz");
    wait::wait_for("the sidecar", DEADLINE, || {
        process.expect_running()?;
        Ok((http::get(&health)?.status == 200).then_some(()))
    })?;
    Ok(process)
}
