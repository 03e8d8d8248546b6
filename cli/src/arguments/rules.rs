//! `rules`: Sigma rules without an instance.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `rules`.
#[derive(Debug, Args)]
pub(crate) struct RulesArguments {
    #[command(subcommand)]
    pub(crate) command: RulesCommand,
}

/// What to do with rules.
#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Say which rules of a folder count, and what is wrong with the others
    Check {
        /// Folder with rules, correlations and filters
        folder: PathBuf,
    },
    /// Hold documents against the rules of a folder and print what matches
    Try(TryArguments),
}

/// `rules try`.
#[derive(Debug, Args)]
pub(crate) struct TryArguments {
    /// Folder with rules, correlations and filters
    pub(crate) folder: PathBuf,
    /// Detection and flow documents, one JSON object a line, in the order in which they come
    #[arg(required = true)]
    pub(crate) documents: Vec<PathBuf>,
    /// Print one JSON object for each match
    #[arg(long)]
    pub(crate) json: bool,
}
