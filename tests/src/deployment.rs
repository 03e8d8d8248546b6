//! Beaconwatch as it is deployed: exporter, Collector, sidecar and OpenSearch, each a process.
//!
//! Exporter, Collector and sidecar run with the files in `packaging/`. What differs in a test is set
//! through the environment: ports, folders, and one consistent scale of time in which a second stands
//! for minutes.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::flows::Flows;
use crate::process::Process;
use crate::servers::Servers;
use crate::servers::collector::Collector;
use crate::servers::opensearch::Node;
use crate::{http, metrics, wait};

/// How long a program of ours may take until it serves, or until it ends.
const DEADLINE: Duration = Duration::from_mins(3);
/// Name of the index template.
pub const INDEX_TEMPLATE: &str = "logs-beaconwatch.detection";
/// The data stream that detections go to.
pub const DATA_STREAM: &str = "logs-beaconwatch.detection-default";

/// Settings of the exporter in the scale of the tests.
pub const EXPORTER_SCALE: &[(&str, &str)] = &[
    ("BEACONWATCH_EXPORTER__FLUSH_INTERVAL_S", "0.2"),
    ("BEACONWATCH_EXPORTER__UPDATE_INTERVAL_S", "1"),
    ("BEACONWATCH_EXPORTER__SNAPSHOT_INTERVAL_S", "0.2"),
    // Shorter than the time between two updates of the exporter's own connection.
    ("BEACONWATCH_EXPORTER__HEARTBEAT_INTERVAL_S", "0.3"),
    // Shorter than the shortest pause between two beats, so that each beat is a flow.
    ("BEACONWATCH_EXPORTER__UDP_IDLE_TIMEOUT_S", "0.5"),
    ("BEACONWATCH_EXPORTER__METRICS__INTERVAL_S", "1"),
];

/// Settings of the sidecar in the scale of the tests.
pub const SIDECAR_SCALE: &[(&str, &str)] = &[
    ("BEACONWATCH_SIDECAR__ANALYSIS_INTERVAL_S", "1"),
    ("BEACONWATCH_SIDECAR__DELIVERY__MAX_BACKOFF_S", "1"),
];

/// The folder of the built binaries.
pub fn binaries() -> Result<PathBuf> {
    let test = std::env::current_exe().context("finding the test's own program")?;
    let beside_test = test
        .ancestors()
        .nth(2)
        .context("the test lies in no folder")?;
    let folder = std::env::var_os("BEACONWATCH_BINARIES")
        .map_or_else(|| beside_test.to_owned(), PathBuf::from);
    for name in ["beaconwatch", "beaconwatch-exporter"] {
        if !folder.join(name).is_file() {
            bail!(
                "{} is missing: `./x e2e` builds it and runs this test",
                folder.join(name).display()
            );
        }
    }
    Ok(folder)
}

/// A folder for one test, which is kept when the test fails.
pub fn in_folder(test: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let mut folder: TempDir = tempfile::Builder::new()
        .prefix("beaconwatch-test-")
        .tempdir()
        .context("making a folder")?;
    let result = test(folder.path());
    if result.is_err() {
        folder.disable_cleanup(true);
    }
    result.with_context(|| format!("logs and data are in {}", folder.path().display()))
}

/// Everything that is deployed.
#[derive(Debug)]
pub struct Deployment {
    folder: PathBuf,
    /// The search server.
    pub opensearch: Node,
    /// The Collector.
    pub collector: Collector,
    /// The sidecar.
    pub sidecar: Sidecar,
    exporter: Process,
}

/// A sidecar, which can be killed and started again.
#[derive(Debug)]
pub struct Sidecar {
    places: Places,
    process: Process,
}

/// What stays the same when the sidecar is started again.
#[derive(Debug)]
struct Places {
    folder: PathBuf,
    search_url: String,
    settings: Vec<(String, String)>,
    grpc_port: u16,
    http_port: u16,
    api_port: u16,
}

impl Deployment {
    /// Starts everything in `folder`, and waits until a connection made now is seen at the other end.
    pub fn start(servers: &Servers, folder: &Path) -> Result<Self> {
        let opensearch = Node::start(&servers.opensearch, &folder.join("opensearch"))?;
        Self::beside(servers, folder, opensearch, &[])
    }

    /// The same with an OpenSearch that runs already, and with more settings of the sidecar.
    pub fn beside(
        servers: &Servers,
        folder: &Path,
        opensearch: Node,
        settings: &[(&str, String)],
    ) -> Result<Self> {
        let sidecar = Sidecar::start(&folder.join("sidecar"), &opensearch.url(), settings)?;
        let collector = Collector::start(
            &servers.collector,
            &folder.join("collector"),
            sidecar.grpc_port(),
        )?;
        let exporter = start_exporter(folder, &collector.endpoint())?;
        let mut deployment = Self {
            folder: folder.to_owned(),
            opensearch,
            collector,
            sidecar,
            exporter,
        };
        deployment.wait_until_capturing()?;
        Ok(deployment)
    }

    /// Everything that the Collector has written so far.
    pub fn flows(&self) -> Result<Flows> {
        Flows::read(&self.collector.flows())
    }

    fn expect_running(&mut self) -> Result<()> {
        self.exporter.expect_running()?;
        self.collector.expect_running()
    }

    /// Ends the exporter (SIGTERM); it must send what it still has and end with success.
    pub fn stop_exporter(&mut self) -> Result<()> {
        let status = self.exporter.terminate(DEADLINE)?;
        ensure!(
            status.success(),
            "the exporter ended with {status}: {}",
            self.exporter.log()?
        );
        Ok(())
    }

    /// Kills the exporter: nobody hears of it any more.
    pub fn kill_exporter(&mut self) -> Result<()> {
        self.exporter.kill()
    }

    /// The exporter's connection to the Collector and the sidecar's to OpenSearch are marked as Beaconwatch's
    /// own.
    pub fn expect_own_traffic_marked(&self) -> Result<()> {
        let flows = self.flows()?;
        for (what, port) in [
            ("the exporter to the Collector", self.collector.grpc_port()),
            ("the sidecar to OpenSearch", self.opensearch.port()),
        ] {
            let mut clients = 0;
            for flow in &flows.flows {
                let first = flow.first();
                let is_client = first.text("beaconwatch.flow.role")? == "client"
                    && first.number("destination.port")? == i64::from(port)
                    && first
                        .text("process.executable.name")?
                        .starts_with("beaconwatch")
                    // A process that is killed at once after its start may be gone before the exporter reads what
                    // it ran; a name alone, which any process can give itself, marks nothing.
                    && first.text("process.executable.path").is_ok();
                if is_client {
                    clients += 1;
                    ensure!(
                        first.flag("beaconwatch.flow.own"),
                        "{what} is not marked: {flow:?}"
                    );
                }
            }
            ensure!(clients > 0, "no flow of {what} to port {port}");
        }
        Ok(())
    }

    /// The exporter says in its metrics that it made records and lost none.
    pub fn expect_no_losses(&self) -> Result<()> {
        let file = self.collector.metrics();
        let made = metrics::last_values(&file, "beaconwatch.exporter.records")?;
        ensure!(
            made.values().sum::<i64>() > 0,
            "no records in the exporter's metrics"
        );
        let lost = metrics::last_values(&file, "beaconwatch.exporter.lost")?;
        ensure!(
            !lost.is_empty(),
            "no losses in the exporter's metrics, not even none"
        );
        ensure!(
            lost.values().all(|count| *count == 0),
            "the exporter lost records: {lost:?}"
        );
        Ok(())
    }

    /// After the exporter's end: waits until the sequence numbers in the Collector's file are whole, and
    /// checks that the records of every flow fit together.
    pub fn expect_complete_sequences(&self) -> Result<()> {
        wait::wait_for("whole sequences", DEADLINE, || {
            self.flows()?.check().map(Some)
        })
    }

    /// Connects to a port of the test until the Collector has a record of such a connection.
    fn wait_until_capturing(&mut self) -> Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("listening for the probe")?;
        let address = listener.local_addr().context("reading the probe's port")?;
        wait::wait_for("the first flow record", DEADLINE, || {
            self.expect_running()?;
            drop(TcpStream::connect(address).context("connecting the probe")?);
            drop(listener.accept().context("accepting the probe")?);
            let port = i64::from(address.port());
            let seen = self.flows()?.flows.iter().any(|flow| {
                flow.first()
                    .number("destination.port")
                    .is_ok_and(|found| found == port)
            });
            Ok(seen.then_some(()))
        })
        .with_context(|| {
            format!(
                "log of the exporter:\n{}",
                self.exporter.log().unwrap_or_default()
            )
        })
        .with_context(|| format!("everything is in {}", self.folder.display()))
    }
}

fn start_exporter(folder: &Path, endpoint: &str) -> Result<Process> {
    let mut command = Command::new(binaries()?.join("beaconwatch-exporter"));
    command
        .arg("--config")
        .arg(packaged("exporter.toml"))
        .env("BEACONWATCH_EXPORTER__OTLP__ENDPOINT", endpoint)
        .envs(EXPORTER_SCALE.iter().copied());
    Process::start("the exporter", &command, None, &folder.join("exporter.log"))
}

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../packaging")
        .join(name)
}

impl Sidecar {
    fn start(folder: &Path, search_url: &str, settings: &[(&str, String)]) -> Result<Self> {
        fs::create_dir_all(folder).context("creating the folder of the sidecar")?;
        let [grpc_port, http_port, api_port] = http::free_ports()?;
        let places = Places {
            folder: folder.to_owned(),
            search_url: search_url.to_owned(),
            settings: settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            grpc_port,
            http_port,
            api_port,
        };
        let process = places.launch()?;
        Ok(Self { places, process })
    }

    /// Starts the sidecar on its ports and with the state in its folder.
    pub fn start_again(&mut self) -> Result<()> {
        self.process = self.places.launch()?;
        Ok(())
    }

    /// Kills the sidecar (SIGKILL).
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Ends the sidecar (SIGTERM); it must end with success.
    pub fn stop(&mut self) -> Result<()> {
        let status = self.process.terminate(DEADLINE)?;
        ensure!(
            status.success(),
            "the sidecar ended with {status}: {}",
            self.process.log()?
        );
        Ok(())
    }

    /// The file that detections are written to.
    #[must_use]
    pub fn detections(&self) -> PathBuf {
        self.places.detections()
    }

    /// Asks the status API.
    pub fn ask(&self, path: &str) -> Result<Value> {
        let url = self.places.url(path);
        http::get(&url)?.expect_success(&url)
    }

    /// Address of the API.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        self.places.url(path)
    }

    fn grpc_port(&self) -> u16 {
        self.places.grpc_port
    }
}

impl Places {
    /// Starts the program and waits until it serves.
    fn launch(&self) -> Result<Process> {
        let mut command = Command::new(binaries()?.join("beaconwatch"));
        let local = |port: u16| format!("127.0.0.1:{port}");
        command
            .args(["detect", "--config"])
            .arg(packaged("sidecar.toml"))
            .env("BEACONWATCH_SIDECAR__DATA_DIRECTORY", &self.folder)
            .env(
                "BEACONWATCH_SIDECAR__RECEIVE__GRPC_ADDRESS",
                local(self.grpc_port),
            )
            .env(
                "BEACONWATCH_SIDECAR__RECEIVE__HTTP_ADDRESS",
                local(self.http_port),
            )
            .env("BEACONWATCH_SIDECAR__API__ADDRESS", local(self.api_port))
            .env(
                "BEACONWATCH_SIDECAR__DESTINATIONS__SEARCH__URL",
                &self.search_url,
            )
            .env(
                "BEACONWATCH_SIDECAR__DESTINATIONS__FILE__PATH",
                self.detections(),
            )
            .envs(SIDECAR_SCALE.iter().copied())
            .envs(self.settings.iter().map(|(name, value)| (name, value)));
        let log = self.folder.join("sidecar.log");
        let mut process = Process::start("the sidecar", &command, None, &log)?;
        wait::wait_for("the sidecar", DEADLINE, || {
            process.expect_running()?;
            Ok((http::get(&self.url("/healthz"))?.status == 200).then_some(()))
        })?;
        Ok(process)
    }

    fn detections(&self) -> PathBuf {
        self.folder.join("detections.ndjson")
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.api_port)
    }
}
