//! `doctor`.

use clap::{Args, ValueEnum};

/// `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// How to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: DoctorFormat,
    /// Attach a program that does nothing to each hook for a moment, too
    #[arg(long)]
    pub(crate) attach: bool,
    /// Base URL of an OTLP receiver to try [default: the one that is configured, if one is]
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DoctorFormat {
    /// A table
    Text,
    /// One JSON object
    Json,
}
