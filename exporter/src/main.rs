//! `beaconwatch-exporter`: captures this host's flows, or replays a capture's, and sends them by OTLP.
//!
//! Exit codes: 0 stopped on request, or all was replayed; 1 settings, files, rights or kernel do not allow to
//! run; 2 wrong flags. Of
//! `doctor`: 0 the capture can run in full, 3 with losses, 1 not at all.
//!
//! Rights: threads of the runtime give all capabilities up when they start, the main thread those that a running
//! capture does not need as soon as the capture is set up.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use beaconwatch_exporter::capture::capabilities::{self, CapabilitySet};
use beaconwatch_exporter::capture::{CaptureError, doctor, pins};
use beaconwatch_exporter::config::{self, Config, ConfigError, OtelEnvironment, Overrides};
use beaconwatch_exporter::otlp::client::{self, ConnectError};
use beaconwatch_exporter::otlp::connection::Protocol;
use beaconwatch_exporter::replay::{self, ReplayError, ReplaySettings, Speed};
use beaconwatch_exporter::{Counters, Exporter, LogsTarget, RunError};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

const ENVIRONMENT_HELP: &str = "Environment:
  OTEL_EXPORTER_OTLP_ENDPOINT, _PROTOCOL, _HEADERS, _COMPRESSION, _TIMEOUT, _CERTIFICATE, ...
  OTEL_EXPORTER_OTLP_LOGS_..., OTEL_EXPORTER_OTLP_METRICS_...   for one signal
  BEACONWATCH_EXPORTER__<KEY>, such as BEACONWATCH_EXPORTER__FLUSH_INTERVAL_S=0.5
Order: defaults, file, OTEL_*, BEACONWATCH_*, flags; the later one holds.";

/// Captures every flow of TCP, UDP and ICMP echo of this host by eBPF and sends it as OpenTelemetry logs and metrics.
///
/// The standard variables of OTLP exporters are honoured, and any key of the settings file can be set by a
/// variable.
#[derive(Debug, Parser)]
#[command(version, after_help = ENVIRONMENT_HELP)]
struct Arguments {
    /// Settings (TOML, section [exporter]); /etc/beaconwatch/beaconwatch.toml is read if it exists.
    #[arg(long, global = true, env = "BEACONWATCH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Base URL of the OTLP receiver, such as `http://127.0.0.1:4317`.
    #[arg(long, global = true, value_name = "URL")]
    endpoint: Option<String>,
    /// OTLP protocol.
    #[arg(long, global = true)]
    protocol: Option<Protocol>,
    /// What to log: error, warn, info, debug or trace, or a filter such as info,h2=warn.
    #[arg(
        long,
        global = true,
        env = "RUST_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    log: String,
    /// Log as JSON lines.
    #[arg(long, global = true)]
    log_json: bool,
    /// Check the settings, print them (secrets redacted) and exit.
    #[arg(long, global = true)]
    check: bool,
    /// Keep every capability after the start, for a receiver's socket, a port or files that need one.
    #[arg(long)]
    keep_capabilities: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what kernel, rights and receiver allow, and what each missing thing costs.
    Doctor(DoctorArguments),
    /// Send the flows of captures instead of this host's; needs no rights.
    ///
    /// Every flow of TCP, UDP and ICMP echo is told from the end that initiated it, under the capture's times. Tunnels and tags are
    /// taken off.
    Replay(ReplayArguments),
    /// End the kernel part that goes on in `exporter.capture.pin_directory` while no exporter runs.
    Unpin(UnpinArguments),
}

#[derive(Debug, Args)]
struct UnpinArguments {
    /// Directory of the pins; else the settings'
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct DoctorArguments {
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Attach a program that does nothing to each hook for a moment, too.
    #[arg(long)]
    attach: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Args)]
struct ReplayArguments {
    /// Captures (pcap, pcapng; also gzip) in the order of their times; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// max: as fast as it goes; N: so many times as fast as it was captured, 1 in time
    #[arg(long, default_value = "max", value_name = "max|N")]
    speed: Speed,
    /// The host that the flows are of; else the settings', else this one
    #[arg(long, value_name = "NAME")]
    host_name: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Unpin(#[from] CaptureError),
    #[error("no directory of pins: name one, or set exporter.capture.pin_directory")]
    NoPinDirectory,
    #[error("log filter `{filter}`: {source}")]
    Filter {
        filter: String,
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("{0}")]
    System(#[from] std::io::Error),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(&arguments) {
        Ok(code) => code,
        Err(failure) => {
            report(&failure);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "logging may not have been set up")]
fn report(failure: &Failure) {
    let mut said = failure.to_string();
    eprintln!("beaconwatch-exporter: {said}");
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.contains(&text) {
            eprintln!("  because: {text}");
        }
        said = text;
        cause = error.source();
    }
}

fn start(arguments: &Arguments) -> Result<ExitCode, Failure> {
    log_to_stderr(arguments)?;
    let otel = OtelEnvironment::from_process();
    for warning in otel.warnings() {
        tracing::warn!("{warning}");
    }
    let overrides = Overrides {
        endpoint: arguments.endpoint.clone(),
        protocol: arguments.protocol,
    };
    let mut config = config::load(arguments.config.as_deref(), &otel, overrides)?;
    if let Some(Command::Doctor(asked)) = &arguments.command {
        return examine(&config, asked);
    }
    if let Some(Command::Unpin(asked)) = &arguments.command {
        return unpin(&config, asked);
    }
    if !config.otlp.has_endpoint() {
        config.otlp.endpoint = Some(config.otlp.protocol.default_endpoint().to_owned());
    }
    if arguments.check {
        print(&config);
        return Ok(ExitCode::SUCCESS);
    }
    let keeps = arguments.keep_capabilities;
    let runtime = runtime(keeps)?;
    let exported = runtime.block_on(export(config, arguments));
    if arguments.command.is_some() {
        // Standard input may never end.
        runtime.shutdown_background();
    }
    let counters = exported?;
    tracing::info!(
        made = counters.made,
        delivered = counters.delivered,
        flows = counters.flows,
        "stopped"
    );
    Ok(ExitCode::SUCCESS)
}

/// A runtime whose threads have no capability, unless all are kept.
fn runtime(keep_capabilities: bool) -> Result<Runtime, Failure> {
    let mut builder = Builder::new_multi_thread();
    if !keep_capabilities {
        builder.on_thread_start(|| capabilities::give_up_all_but(CapabilitySet::default()));
    }
    Ok(builder.enable_all().build()?)
}

#[expect(clippy::print_stdout, reason = "asked for")]
fn unpin(config: &Config, asked: &UnpinArguments) -> Result<ExitCode, Failure> {
    let directory = asked.directory.as_ref();
    let directory = directory.or(config.capture.pin_directory.as_ref());
    let directory = directory.ok_or(Failure::NoPinDirectory)?;
    let removed = pins::unpin(directory)?;
    println!("{removed} pins removed from {}", directory.display());
    Ok(ExitCode::SUCCESS)
}

/// What `doctor` prints. The receiver is tried if one is named.
fn examine(config: &Config, asked: &DoctorArguments) -> Result<ExitCode, Failure> {
    let options = doctor::Options {
        cgroup: config.capture_settings().cgroup,
        attach: asked.attach,
        hashes: config.process.hash,
        pin_directory: config.capture.pin_directory.clone(),
    };
    let mut report = doctor::examine(&options);
    if config.otlp.has_endpoint() {
        let connection = config.otlp.logs_connection()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        report
            .checks
            .push(runtime.block_on(doctor::receiver(&connection)));
    }
    print_report(&report, asked.format);
    Ok(ExitCode::from(report.verdict().exit_code()))
}

#[expect(clippy::print_stdout, reason = "asked for")]
fn print_report(report: &doctor::Report, format: Format) {
    match format {
        Format::Text => println!("{report}"),
        Format::Json => println!("{:#}", report.to_json()),
    }
}

#[expect(clippy::print_stdout, reason = "asked for")]
fn print(config: &Config) {
    println!("{config:#?}");
}

fn log_to_stderr(arguments: &Arguments) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&arguments.log).map_err(|source| Failure::Filter {
        filter: arguments.log.clone(),
        source,
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if arguments.log_json {
        builder.json().init();
    } else {
        builder.init();
    }
    Ok(())
}

async fn export(config: Config, arguments: &Arguments) -> Result<Counters, Failure> {
    let shutdown = CancellationToken::new();
    stop_on_signal(shutdown.clone())?;
    let connection = config.otlp.logs_connection()?;
    let target = client::connect(&connection)?;
    if let Some(Command::Replay(arguments)) = &arguments.command {
        return Box::pin(replay(config, arguments, target, shutdown)).await;
    }
    let hashes = config.process.hash;
    let exporter = Exporter::start(config, target)?;
    // This future runs on the main thread from here to its end, and the collector within it.
    if !arguments.keep_capabilities {
        capabilities::keep_for_running_capture(hashes);
    }
    tracing::info!(
        endpoint = %connection.endpoint,
        protocol = ?connection.protocol,
        exporter = exporter.identity().exporter_id,
        host = exporter.identity().host_name,
        "exporting"
    );
    Ok(exporter.run(shutdown).await?)
}

async fn replay(
    config: Config,
    arguments: &ReplayArguments,
    target: Arc<dyn LogsTarget>,
    shutdown: CancellationToken,
) -> Result<Counters, Failure> {
    let settings = ReplaySettings {
        files: arguments.files.clone(),
        speed: arguments.speed,
        host_name: arguments.host_name.clone(),
    };
    Ok(replay::export(config, settings, target, shutdown).await?)
}

/// The first SIGINT or SIGTERM stops in order.
fn stop_on_signal(shutdown: CancellationToken) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
        shutdown.cancel();
    });
    Ok(())
}
