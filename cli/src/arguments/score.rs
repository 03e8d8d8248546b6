//! `score`: files in, scores out.

use std::path::PathBuf;

use beaconwatch_inputs::Format;
use clap::{Args, ValueEnum};

use super::DetectorArguments;
use super::lists::score;

/// Format of the input files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    /// Told by content, for each file
    #[default]
    Auto,
    /// Flow NDJSON
    Flows,
    /// Zeek conn, http, ssl, quic and dns logs
    Zeek,
    /// Suricata EVE JSON
    Eve,
    /// Tables of connections with a header line
    Csv,
    /// Captures: pcap and pcapng
    Pcap,
    /// Events of BeaconHunter: with a model of its features each event is scored, else as csv
    #[value(name = "beaconhunter")]
    BeaconHunter,
}

impl From<InputFormat> for Format {
    fn from(format: InputFormat) -> Self {
        match format {
            InputFormat::Auto => Self::Auto,
            InputFormat::Flows => Self::Flows,
            InputFormat::Zeek => Self::Zeek,
            InputFormat::Eve => Self::Eve,
            InputFormat::Csv | InputFormat::BeaconHunter => Self::Csv,
            InputFormat::Pcap => Self::Pcap,
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
    /// Comma-separated values with a head
    Csv,
}

/// What is known beside the flows; each stands above the configuration file's section `sidecar.context`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ContextArguments {
    /// Catalogue of benign beacons (TOML) beside the built-in one
    #[arg(long, value_name = "FILE", help_heading = "Context")]
    pub(crate) catalogue: Option<PathBuf>,
    /// Intelligence list: plain, CSV (.csv) or STIX 2.1 (.json, .stix); can be given several times
    #[arg(long, value_name = "FILE", help_heading = "Context")]
    pub(crate) intelligence: Vec<PathBuf>,
    /// Score by times alone: no catalogue, no lists, no prevalence
    #[arg(long, help_heading = "Context", conflicts_with_all = ["catalogue", "intelligence"])]
    pub(crate) timing_only: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ScoreArguments {
    /// Files and folders, plain or gzip; - is standard input
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Format of the input
    #[arg(long, value_enum, default_value_t)]
    pub(crate) input: InputFormat,
    /// Format of the output
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: OutputFormat,
    /// Add the risk that this model gives (a file, or builtin) with what drove it; riskiest first
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Show series, or events, of at least this risk
    #[arg(long, value_name = "RISK", value_parser = score, requires = "model", conflicts_with_all = ["min_score", "all"])]
    pub(crate) min_risk: Option<f64>,
    /// Show hosts instead, ranked by what was scored on each
    #[arg(long, conflicts_with_all = ["min_score", "min_risk", "all"])]
    pub(crate) hosts: bool,
    /// Show every series, also those below the alert threshold and those that cannot be scored
    #[arg(long, conflicts_with = "min_score")]
    pub(crate) all: bool,
    /// Show series with at least this score instead of detections only
    #[arg(long, value_name = "SCORE", value_parser = score)]
    pub(crate) min_score: Option<f64>,
    /// Show at most so many lines, best first [default: 50 in a table, else all]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) limit: Option<usize>,
    #[command(flatten)]
    pub(crate) context: ContextArguments,
    #[command(flatten)]
    pub(crate) detector: DetectorArguments,
    /// Share of false ones that is expected among the detections, instead of a number a day (method evidence)
    #[arg(long, value_name = "SHARE", value_parser = rate, help_heading = "Detector", conflicts_with = "false_alerts_per_day")]
    pub(crate) fdr: Option<f64>,
}

/// A share between 0 and 1, both excluded.
fn rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate| *rate > 0.0 && *rate < 1.0)
        .ok_or_else(|| "expected a share above 0 and below 1".to_owned())
}
