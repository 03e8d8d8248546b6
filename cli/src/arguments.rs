//! The command line.

mod doctor;
mod instance;
mod learning;
mod life;
mod lists;
mod places;
mod rules;
mod score;
mod setup;
mod simulate;
mod watch;
mod webhook;

use std::net::SocketAddr;
use std::path::PathBuf;

use beaconwatch_exporter::otlp::connection::Protocol;
use beaconwatch_exporter::replay::Speed;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use doctor::{DoctorArguments, DoctorFormat};
pub(crate) use instance::{
    AskArguments, InstanceArguments, ListArguments, ListPrintArguments, PrintArguments,
};
pub(crate) use learning::{HostsArguments, ReportFormat, TrainArguments};
pub(crate) use life::{
    AlertArguments, AlertCommand, AlertFormat, AlertListArguments, AlertShowArguments,
    AlertsArguments, AllowAddArguments, AllowArguments, AllowCommand, AllowRemoveArguments,
};
pub(crate) use lists::{
    BeaconsArguments, ConnectionOrder, ConnectionsArguments, Ends, LongConnsArguments,
};
pub(crate) use places::{
    DeadLetterChoice, DeadLetterCommand, DeadLetterListArguments, DeadLetterShowArguments,
    DeadLettersArguments, DestinationCommand, DestinationPurgeArguments, DestinationTestArguments,
    DestinationsArguments,
};
pub(crate) use rules::{RulesArguments, RulesCommand, TryArguments};
pub(crate) use score::{ContextArguments, InputFormat, OutputFormat, ScoreArguments};
pub(crate) use setup::{
    ElasticArguments, OpensearchArguments, SetupArguments, SetupCommand, SetupPart,
    SplunkArguments, StoreSetupArguments,
};
pub(crate) use simulate::SimulateArguments;
pub(crate) use watch::WatchArguments;
pub(crate) use webhook::{PreviewArguments, WebhookArguments, WebhookCommand};

/// Finds command-and-control beacons in network flows.
///
/// A score says how much a series of connections beats like an implant that calls home. It supports an
/// analyst's decision and does not replace it.
#[derive(Debug, Parser)]
#[command(name = "beaconwatch", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Configuration file [default: /etc/beaconwatch/beaconwatch.toml, where it exists]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "BEACONWATCH_CONFIG",
        help_heading = "Everywhere"
    )]
    pub(crate) config: Option<PathBuf>,
    /// What to log to standard error: error, warn, info, debug or trace, or a filter such as info,h2=warn
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "RUST_LOG",
        help_heading = "Everywhere"
    )]
    pub(crate) log: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Capture this host's traffic, find beacons in it, keep state and findings
    Run(RunArguments),
    /// Receive flows over OTLP and find beacons in them (the sidecar alone)
    Detect(DetectArguments),
    /// Capture this host's flows and send them over OTLP (the exporter alone)
    Export(ExportArguments),
    /// Say what kernel, rights and receiver allow the exporter, and what each missing thing costs
    Doctor(DoctorArguments),
    /// Score files: captures, Zeek and Suricata logs, flow NDJSON, tables of connections
    Score(ScoreArguments),
    /// Rank hosts by what was scored on them, in files or by a running instance
    Hosts(HostsArguments),
    /// Learn from labelled files: a model for `score --model`, and a report of what it is worth
    Train(TrainArguments),
    /// Show what a running instance does
    Status(AskArguments),
    /// Show the series that a running instance has scored, best first
    Beacons(BeaconsArguments),
    /// Show the series that have lasted longest
    LongConns(LongConnsArguments),
    /// Show the connection series that a running instance knows
    Connections(ConnectionsArguments),
    /// Watch findings and scored series as they come, in an interface
    Watch(WatchArguments),
    /// Show sensors: what they sent, what is missing, who fell silent
    Sensors(ListArguments),
    /// Show who changed what through the API, newest first
    Audit(ListArguments),
    /// Look at findings and settle them
    Alerts(Box<AlertsArguments>),
    /// Show and change what is allowed to beacon
    Allow(AllowArguments),
    /// Show where findings go, and try it
    Destinations(DestinationsArguments),
    /// Look at documents that a destination refused for good, send them again or drop them
    DeadLetters(DeadLettersArguments),
    /// Try Sigma rules without an instance
    Rules(RulesArguments),
    /// Show what a webhook would send
    Webhook(WebhookArguments),
    /// Prove the whole chain with a harmless beacon to a listener of this program's own
    Simulate(SimulateArguments),
    /// Install dashboards, rules and what documents need in Elastic or OpenSearch, and try Splunk
    Setup(SetupArguments),
    /// Score everything now instead of at the next interval
    Analyze(AskArguments),
    /// Work on a store that no instance has open
    Store(StoreArguments),
    /// Print what a shell needs to complete this program's command lines
    Completions(CompletionsArguments),
    /// Print the manual page, or write those of all commands
    Man(ManArguments),
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

/// Rights of a program that captures.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct RightsArguments {
    /// Keep every capability after the start, for ports below 1024, or for files and sockets of other users
    #[arg(long)]
    pub(crate) keep_capabilities: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) detect: DetectArguments,
    #[command(flatten)]
    pub(crate) rights: RightsArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// Base URL of the OTLP receiver, for flow records and metrics
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// OTLP protocol
    #[arg(long, value_name = "PROTOCOL")]
    pub(crate) protocol: Option<Protocol>,
    #[command(flatten)]
    pub(crate) rights: RightsArguments,
    /// Send the flows of captures (pcap, pcapng; also gzip; - is standard input) instead of this host's; needs no rights
    #[arg(long, num_args = 1.., value_name = "FILE", help_heading = "Replay")]
    pub(crate) replay: Vec<PathBuf>,
    /// max: as fast as it goes; N: so many times as fast as it was captured, 1 in time
    #[arg(
        long,
        default_value = "max",
        value_name = "max|N",
        requires = "replay",
        help_heading = "Replay"
    )]
    pub(crate) speed: Speed,
    /// The host that the flows are of; else the settings', else this one
    #[arg(
        long,
        value_name = "NAME",
        requires = "replay",
        help_heading = "Replay"
    )]
    pub(crate) host_name: Option<String>,
}

/// How a detector scores.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Profile {
    /// Calibrated evidence
    Evidence,
    /// The published seed score
    Seed,
}

/// Settings of the detector; each stands above the configuration file.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct DetectorArguments {
    /// Scoring method
    #[arg(long, value_enum, value_name = "METHOD", help_heading = "Detector")]
    pub(crate) profile: Option<Profile>,
    /// Expected false alerts a day among series that do not beat (method evidence)
    #[arg(long, value_name = "NUMBER", help_heading = "Detector")]
    pub(crate) false_alerts_per_day: Option<f64>,
    /// Score from which a series is a detection, 0 to 1, whatever the method
    #[arg(long, value_name = "SCORE", help_heading = "Detector")]
    pub(crate) alert_threshold: Option<f64>,
    /// Fewest connections that are scored (from here on: method seed)
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

/// `store`.
#[derive(Debug, Args)]
pub(crate) struct StoreArguments {
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
}

/// What to do with a store.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Read what can still be read of a damaged store into a new one; the damaged file is not changed
    Salvage(SalvageArguments),
}

/// `store salvage`.
#[derive(Debug, Args)]
pub(crate) struct SalvageArguments {
    /// The damaged store
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Where to write the new one; must not exist
    #[arg(long, value_name = "NEW")]
    pub(crate) out: PathBuf,
    /// Print what was read as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// Which shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// `man`.
#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// Write a page for each command into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// The file [default: as for --config]
    pub(crate) file: Option<PathBuf>,
    /// Show every setting, also those that have their default
    #[arg(long)]
    pub(crate) effective: bool,
    /// Print JSON, with origins and warnings beside the configuration
    #[arg(long, conflicts_with = "toml")]
    pub(crate) json: bool,
    /// Print TOML, with origins as comments (the default)
    #[arg(long)]
    pub(crate) toml: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check every section of a configuration file
    Check {
        /// The file [default: as for --config]
        file: Option<PathBuf>,
    },
    /// Show what file, environment and defaults say together, and where each value came from
    Show(ShowArguments),
    /// Print the JSON Schema of the configuration file
    Schema,
}
