//! The OpenTelemetry Collector 0.128.0, built from its released modules.
//!
//! The registries that a machine may reach need not serve the builder of 0.128.0, so the builder of
//! 0.130.0 writes the sources and the versions are set afterwards. `go mod tidy` would also resolve the
//! tests of dependencies, one of which cannot be had: its complaint is not fatal (`-e`), a really
//! missing module fails the build.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::certificates::Certificates;
use crate::process::Process;
use crate::{cache, http, tools, wait};

const COMPONENTS: &str = include_str!("../../servers/collector-builder.yaml");
const RECEIVING: &str = include_str!("../../servers/collector-logs.yaml");
const ALONE: &str = include_str!("../../servers/collector-flows.yaml");
const BUILDER: &str = "go.opentelemetry.io/collector/cmd/builder@v0.130.0";

/// The Collector's program, built when it is not in the cache yet.
pub fn install(progress: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    let folder = cache::entry("otelcol-0.128.0", COMPONENTS, |folder| {
        progress("building the OpenTelemetry Collector 0.128.0 (about 3 minutes on 2 cores)");
        build(folder)
    })?;
    Ok(folder.join("otelcol"))
}

fn build(folder: &Path) -> Result<()> {
    let go = tools::go()?;
    let proxy = tools::go_proxy(&go)?;
    let log = folder.join("build.log");
    let go_in = |directory: &Path| {
        let mut command = Command::new(&go);
        command
            .current_dir(directory)
            .env("GOPROXY", &proxy)
            .env("CGO_ENABLED", "0");
        command
    };
    let builder_yaml = folder.join("builder.yaml");
    fs::write(&builder_yaml, COMPONENTS).context("writing builder.yaml")?;
    let flags = [
        "--skip-compilation",
        "--skip-get-modules",
        "--skip-strict-versioning",
        "--config",
    ];
    tools::run(
        go_in(folder)
            .args(["run", BUILDER])
            .args(flags)
            .arg(&builder_yaml),
        &log,
    )?;

    let source = folder.join("source");
    let go_mod = source.join("go.mod");
    let pinned = fs::read_to_string(&go_mod)
        .context("reading go.mod")?
        .replace("v0.130.0", "v0.128.0")
        .replace("v1.36.0", "v1.34.0");
    fs::write(&go_mod, pinned).context("writing go.mod")?;
    if let Err(complaint) = tools::run(go_in(&source).args(["mod", "tidy", "-e"]), &log) {
        let noted = format!("go mod tidy: {complaint:#}\n");
        fs::write(folder.join("tidy.complaint"), noted).context("noting the complaint")?;
    }
    tools::run(
        go_in(&source)
            .args(["build", "-mod=mod", "-trimpath", "-ldflags=-s -w", "-o"])
            .arg(folder.join("otelcol"))
            .arg("."),
        &log,
    )?;
    fs::remove_dir_all(&source).context("removing the Collector's sources")
}

/// How long the Collector may take until it listens.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// A running Collector, configured by the file that the documentation shows.
#[derive(Debug)]
pub struct Collector {
    command: Command,
    process: Process,
    grpc_port: u16,
    http_port: u16,
    folder: PathBuf,
}

impl Collector {
    /// Starts the Collector with `packaging/collector.yaml`: it listens on free ports, keeps queue and files in
    /// `folder`, and sends on to the sidecar on `sidecar_port`.
    pub fn start(program: &Path, folder: &Path, sidecar_port: u16) -> Result<Self> {
        fs::create_dir_all(folder).context("creating the folder of the Collector")?;
        let configuration =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/collector.yaml");
        let [grpc_port, http_port] = http::free_ports()?;
        let mut command = Command::new(program);
        command
            .arg(format!("--config=file:{}", configuration.display()))
            .env("OTLP_GRPC_ENDPOINT", format!("127.0.0.1:{grpc_port}"))
            .env("OTLP_HTTP_ENDPOINT", format!("127.0.0.1:{http_port}"))
            .env(
                "BEACONWATCH_SIDECAR_ENDPOINT",
                format!("127.0.0.1:{sidecar_port}"),
            )
            .env("COLLECTOR_STATE_FOLDER", folder);
        let process = launch(&command, folder, &[grpc_port])?;
        Ok(Self {
            command,
            process,
            grpc_port,
            http_port,
            folder: folder.to_owned(),
        })
    }

    /// Starts the Collector with files as its only destination, which it appends to.
    pub fn alone(program: &Path, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).context("creating the folder of the Collector")?;
        let [grpc_port, http_port] = http::free_ports()?;
        let configuration = folder.join("collector.yaml");
        fs::write(&configuration, ALONE).context("writing the configuration")?;
        let mut command = Command::new(program);
        command
            .arg(format!("--config=file:{}", configuration.display()))
            .env("GRPC_ENDPOINT", format!("127.0.0.1:{grpc_port}"))
            .env("FOLDER", folder);
        let process = launch(&command, folder, &[grpc_port])?;
        Ok(Self {
            command,
            process,
            grpc_port,
            http_port,
            folder: folder.to_owned(),
        })
    }

    /// Ends it (SIGTERM): what it took is in its files.
    pub fn stop(&mut self) -> Result<()> {
        let status = self.process.terminate(START_DEADLINE)?;
        ensure!(status.success(), "the Collector ended with {status}");
        Ok(())
    }

    /// Starts it on its ports and with its files.
    pub fn start_again(&mut self) -> Result<()> {
        self.process = launch(&self.command, &self.folder, &[self.grpc_port])?;
        Ok(())
    }

    /// Starts the Collector as a receiver of log records over TLS, which asks for a client's certificate; it writes
    /// them to the file [`Self::logs`].
    pub fn receiving(program: &Path, folder: &Path, certificates: &Certificates) -> Result<Self> {
        fs::create_dir_all(folder).context("creating the folder of the Collector")?;
        let [grpc_port, http_port] = http::free_ports()?;
        let [certificate, key] = certificates.pair("server");
        let configuration = folder.join("collector.yaml");
        fs::write(&configuration, RECEIVING).context("writing the configuration")?;
        let mut command = Command::new(program);
        command
            .arg(format!("--config=file:{}", configuration.display()))
            .env("GRPC_ENDPOINT", format!("127.0.0.1:{grpc_port}"))
            .env("HTTP_ENDPOINT", format!("127.0.0.1:{http_port}"))
            .env("CERTIFICATE", certificate)
            .env("KEY", key)
            .env("AUTHORITY", certificates.authority())
            .env("FOLDER", folder);
        let process = launch(&command, folder, &[grpc_port, http_port])?;
        Ok(Self {
            command,
            process,
            grpc_port,
            http_port,
            folder: folder.to_owned(),
        })
    }

    /// The file of log records that [`Self::receiving`] writes.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.folder.join("logs.ndjson")
    }

    /// Port for OTLP over HTTP.
    #[must_use]
    pub fn http_port(&self) -> u16 {
        self.http_port
    }

    /// Base address for OTLP over gRPC.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc_port)
    }

    /// Port for OTLP over gRPC.
    #[must_use]
    pub fn grpc_port(&self) -> u16 {
        self.grpc_port
    }

    /// The file of flow records.
    #[must_use]
    pub fn flows(&self) -> PathBuf {
        self.folder.join("flows.ndjson")
    }

    /// The file of metrics.
    #[must_use]
    pub fn metrics(&self) -> PathBuf {
        self.folder.join("metrics.ndjson")
    }

    /// An error when it is not running any more.
    pub fn expect_running(&mut self) -> Result<()> {
        self.process.expect_running()
    }
}

/// Starts the program and waits until it listens on all of `ports`.
fn launch(command: &Command, folder: &Path, ports: &[u16]) -> Result<Process> {
    let log = folder.join("collector.log");
    let mut process = Process::start("the Collector", command, None, &log)?;
    wait::wait_for("the Collector", START_DEADLINE, || {
        process.expect_running()?;
        let listening = |port: &u16| TcpStream::connect(("127.0.0.1", *port)).is_ok();
        Ok(ports.iter().all(listening).then_some(()))
    })?;
    Ok(process)
}
