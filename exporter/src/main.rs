//! `beaconwatch-exporter`: captures this host's flows and sends them by OTLP.
//!
//! Exit codes: 0 stopped on request; 1 settings, rights or kernel do not allow to run; 2 wrong flags.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use beaconwatch_exporter::config::{self, Config, ConfigError, OtelEnvironment, Overrides};
use beaconwatch_exporter::otlp::client::{self, ConnectError};
use beaconwatch_exporter::otlp::connection::Protocol;
use beaconwatch_exporter::{Counters, Exporter, RunError};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

const ENVIRONMENT_HELP: &str = "Environment:
  OTEL_EXPORTER_OTLP_ENDPOINT, _PROTOCOL, _HEADERS, _COMPRESSION, _TIMEOUT, _CERTIFICATE, ...
  OTEL_EXPORTER_OTLP_LOGS_..., OTEL_EXPORTER_OTLP_METRICS_...   for one signal
  BEACONWATCH_EXPORTER__<KEY>, such as BEACONWATCH_EXPORTER__FLUSH_INTERVAL_S=0.5
Order: defaults, file, OTEL_*, BEACONWATCH_*, flags; the later one holds.";

/// Captures every TCP and UDP flow of this host by eBPF and sends it as OpenTelemetry logs and metrics.
///
/// The standard variables of OTLP exporters are honoured, and any key of the settings file can be set by a
/// variable.
#[derive(Debug, Parser)]
#[command(version, after_help = ENVIRONMENT_HELP)]
struct Arguments {
    /// Settings (TOML, section [exporter]); /etc/beaconwatch/beaconwatch.toml is read if it exists.
    #[arg(long, env = "BEACONWATCH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Base URL of the OTLP receiver, such as `http://127.0.0.1:4317`.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// OTLP protocol.
    #[arg(long)]
    protocol: Option<Protocol>,
    /// What to log: error, warn, info, debug or trace, or a filter such as info,h2=warn.
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    /// Log as JSON lines.
    #[arg(long)]
    log_json: bool,
    /// Check the settings, print them (secrets redacted) and exit.
    #[arg(long)]
    check: bool,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Run(#[from] RunError),
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
        Ok(()) => ExitCode::SUCCESS,
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

fn start(arguments: &Arguments) -> Result<(), Failure> {
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
    if !config.otlp.has_endpoint() {
        config.otlp.endpoint = Some(config.otlp.protocol.default_endpoint().to_owned());
    }
    if arguments.check {
        print(&config);
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let counters = runtime.block_on(export(config))?;
    tracing::info!(
        made = counters.made,
        delivered = counters.delivered,
        flows = counters.flows,
        "stopped"
    );
    Ok(())
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

async fn export(config: Config) -> Result<Counters, Failure> {
    let shutdown = CancellationToken::new();
    stop_on_signal(shutdown.clone())?;
    let connection = config.otlp.logs_connection()?;
    let target = client::connect(&connection)?;
    let exporter = Exporter::start(config, target)?;
    tracing::info!(
        endpoint = %connection.endpoint,
        protocol = ?connection.protocol,
        exporter = exporter.identity().exporter_id,
        host = exporter.identity().host_name,
        "exporting"
    );
    Ok(exporter.run(shutdown).await?)
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
