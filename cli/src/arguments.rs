//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use beaconwatch_exporter::otlp::connection::Protocol;
use beaconwatch_inputs::Format;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Finds command-and-control beacons in network flows.
///
/// A score says how much a series of connections beats like an implant that calls home. It supports an
/// analyst's decision and does not replace it.
#[derive(Debug, Parser)]
#[command(name = "beaconwatch", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Configuration file [default: /etc/beaconwatch/beaconwatch.toml, where it exists]
    #[arg(long, global = true, value_name = "FILE", env = "BEACONWATCH_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// What to log to standard error: error, warn, info, debug or trace, or a filter such as info,h2=warn
    #[arg(long, global = true, value_name = "FILTER", env = "RUST_LOG")]
    pub(crate) log: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Capture this host's traffic, find beacons in it, keep state and findings
    Run(DetectArguments),
    /// Receive flows over OTLP and find beacons in them (the sidecar alone)
    Detect(DetectArguments),
    /// Capture this host's flows and send them over OTLP (the exporter alone)
    Export(ExportArguments),
    /// Score log files: flow NDJSON and Zeek logs
    Score(ScoreArguments),
    /// Show what a running instance does
    Status(InstanceArguments),
    /// Show the beacons that a running instance has found
    Beacons(BeaconsArguments),
    /// Show the connection series that a running instance knows
    Connections(ConnectionsArguments),
    /// Look at the configuration
    Config(ConfigArguments),
}

/// Places and settings of an instance that detects.
#[derive(Debug, Args)]
pub(crate) struct DetectArguments {
    /// Folder for state and findings
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Address of the status API; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) api_address: Option<SocketAddr>,
    /// Address of the OTLP receiver for gRPC; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) grpc_address: Option<SocketAddr>,
    /// Address of the OTLP receiver for HTTP; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) http_address: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) detector: DetectorArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// Base URL of the OTLP receiver, for flow records and metrics
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// OTLP protocol
    #[arg(long, value_name = "PROTOCOL")]
    pub(crate) protocol: Option<Protocol>,
}

/// Settings of the seed score; each stands above the configuration file.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct DetectorArguments {
    /// Score from which a series is a detection, 0 to 1
    #[arg(long, value_name = "SCORE", help_heading = "Detector")]
    pub(crate) alert_threshold: Option<f64>,
    /// Fewest connections that are scored
    #[arg(long, value_name = "NUMBER", help_heading = "Detector")]
    pub(crate) min_connections: Option<u64>,
    /// Shortest time from first to last connection that is scored
    #[arg(long, value_name = "SECONDS", help_heading = "Detector")]
    pub(crate) min_duration_s: Option<f64>,
    /// Shortest interval that is scored
    #[arg(long, value_name = "SECONDS", help_heading = "Detector")]
    pub(crate) min_interval_s: Option<f64>,
    /// Longest interval that is scored
    #[arg(long, value_name = "SECONDS", help_heading = "Detector")]
    pub(crate) max_interval_s: Option<f64>,
    /// Coefficient of variation at which its signal is one half
    #[arg(long, value_name = "RATIO", help_heading = "Detector")]
    pub(crate) cv_threshold: Option<f64>,
    /// Deviation from the median interval that is tolerated
    #[arg(long, value_name = "SECONDS", help_heading = "Detector")]
    pub(crate) jitter_threshold_s: Option<f64>,
}

/// Format of the input files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    /// Told by content, for each file
    #[default]
    Auto,
    /// Flow NDJSON
    Flows,
    /// Zeek conn, http, ssl and dns logs
    Zeek,
}

impl From<InputFormat> for Format {
    fn from(format: InputFormat) -> Self {
        match format {
            InputFormat::Auto => Self::Auto,
            InputFormat::Flows => Self::Flows,
            InputFormat::Zeek => Self::Zeek,
        }
    }
}

/// Format of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// A table for people
    #[default]
    Table,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct ScoreArguments {
    /// Files and folders: flow NDJSON and Zeek conn, http, ssl and dns logs, plain or gzip
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Format of the input
    #[arg(long, value_enum, default_value_t)]
    pub(crate) input: InputFormat,
    /// Format of the output
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: OutputFormat,
    /// Show every series, also those below the alert threshold and those that cannot be scored
    #[arg(long, conflicts_with = "min_score")]
    pub(crate) all: bool,
    /// Show series with at least this score instead of detections only
    #[arg(long, value_name = "SCORE", value_parser = score)]
    pub(crate) min_score: Option<f64>,
    /// Show at most so many series, best first [default: 50 in a table, else all]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) limit: Option<usize>,
    #[command(flatten)]
    pub(crate) detector: DetectorArguments,
}

/// Which instance to ask.
#[derive(Debug, Args)]
pub(crate) struct InstanceArguments {
    /// Host of the status API
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// Port of the status API
    #[arg(long, value_name = "PORT", default_value_t = 9090)]
    pub(crate) port: u16,
    /// Base URL of the status API, instead of host and port
    #[arg(long, value_name = "URL", conflicts_with_all = ["host", "port"])]
    pub(crate) url: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BeaconsArguments {
    #[command(flatten)]
    pub(crate) instance: InstanceArguments,
    /// Show series with at least this score
    #[arg(long, value_name = "SCORE", value_parser = score)]
    pub(crate) min_score: Option<f64>,
    /// Show at most so many
    #[arg(long, value_name = "NUMBER")]
    pub(crate) limit: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct ConnectionsArguments {
    #[command(flatten)]
    pub(crate) instance: InstanceArguments,
    /// Show at most so many
    #[arg(long, value_name = "NUMBER")]
    pub(crate) limit: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check every section of a configuration file
    Check {
        /// The file [default: as for --config]
        file: Option<PathBuf>,
    },
}

fn score(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|score| (0.0..=1.0).contains(score))
        .ok_or_else(|| "expected a score from 0 to 1".to_owned())
}
