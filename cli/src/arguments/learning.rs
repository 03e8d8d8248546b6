//! `train` and `hosts`.

use std::path::PathBuf;

use clap::Args;

use super::DetectorArguments;
use super::instance::InstanceArguments;
use super::score::{ContextArguments, InputFormat, OutputFormat};

/// Format of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people
    #[default]
    Table,
    /// One JSON object
    Json,
}

/// `train`.
#[derive(Debug, Args)]
pub(crate) struct TrainArguments {
    /// Files and folders to learn from: anything that `score` reads, or events of BeaconHunter
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Labels of series, CSV or NDJSON: src,dst,label, with dport and proto where they matter; without it the input must
    /// be beaconhunter, whose events have a column label
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// Where to write the model
    #[arg(long, value_name = "MODEL")]
    pub(crate) out: PathBuf,
    /// Format of the input
    #[arg(long, value_enum, default_value_t)]
    pub(crate) input: InputFormat,
    /// Format of the report
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ReportFormat,
    /// Seed of the random numbers: the same data and seed give the same model
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Trees of the isolation forest, 1 to 500
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub(crate) trees: usize,
    /// Most folds of the cross-validation, 2 to 50
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    pub(crate) folds: usize,
    /// Lists of common ports, risky processes and countries in place of those that ship, JSON (events only)
    #[arg(long, value_name = "FILE", conflicts_with = "labels")]
    pub(crate) sets: Option<PathBuf>,
}

/// `hosts`.
#[derive(Debug, Args)]
pub(crate) struct HostsArguments {
    /// Files and folders, plain or gzip; - is standard input. Without any, a running instance is asked
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Format of the input
    #[arg(long, value_enum, default_value_t, requires = "paths")]
    pub(crate) input: InputFormat,
    /// Format of the output
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: OutputFormat,
    /// Rank by the risk that this model gives (a file, or builtin) instead of the score
    #[arg(long, value_name = "MODEL", requires = "paths")]
    pub(crate) model: Option<String>,
    /// Show at most so many hosts [default: of files 50 in a table, else all; of an instance 100]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) limit: Option<usize>,
    #[command(flatten)]
    pub(crate) instance: InstanceArguments,
    #[command(flatten)]
    pub(crate) context: ContextArguments,
    #[command(flatten)]
    pub(crate) detector: DetectorArguments,
}
