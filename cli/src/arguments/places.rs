//! `destinations` and `dead-letters`: where documents go.

use clap::{Args, Subcommand};

use super::instance::AskArguments;

/// `destinations`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DestinationsArguments {
    #[command(subcommand)]
    pub(crate) command: Option<DestinationCommand>,
    #[command(flatten)]
    pub(crate) list: super::ListArguments,
}

/// What to do with destinations.
#[derive(Debug, Subcommand)]
pub(crate) enum DestinationCommand {
    /// List destinations (what `destinations` alone does)
    List(super::ListArguments),
    /// Send a marked test document
    Test(DestinationTestArguments),
    /// Drop what waits for a destination that is not configured any more, and its dead letters
    Purge(DestinationPurgeArguments),
}

/// `destinations test`.
#[derive(Debug, Args)]
pub(crate) struct DestinationTestArguments {
    /// Name of the destination
    pub(crate) name: String,
    /// Show what would be sent, and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) ask: AskArguments,
}

/// `destinations purge`.
#[derive(Debug, Args)]
pub(crate) struct DestinationPurgeArguments {
    /// Name of the destination
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) ask: AskArguments,
}

/// `dead-letters`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DeadLettersArguments {
    #[command(subcommand)]
    pub(crate) command: Option<DeadLetterCommand>,
    #[command(flatten)]
    pub(crate) list: DeadLetterListArguments,
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetterCommand {
    /// List dead letters (what `dead-letters` alone does)
    List(DeadLetterListArguments),
    /// Show one with its document
    Show(DeadLetterShowArguments),
    /// Send dead letters again
    Replay(DeadLetterChoice),
    /// Drop dead letters for good
    Drop(DeadLetterChoice),
}

/// `dead-letters list`.
#[derive(Debug, Args)]
pub(crate) struct DeadLetterListArguments {
    /// Of this destination only
    #[arg(long, value_name = "NAME")]
    pub(crate) destination: Option<String>,
    #[command(flatten)]
    pub(crate) list: super::ListArguments,
}

/// `dead-letters show`.
#[derive(Debug, Args)]
pub(crate) struct DeadLetterShowArguments {
    /// Name of the destination
    pub(crate) destination: String,
    /// Number of the dead letter
    pub(crate) number: u64,
    #[command(flatten)]
    pub(crate) ask: AskArguments,
}

/// Which dead letters.
#[derive(Debug, Args)]
pub(crate) struct DeadLetterChoice {
    /// Name of the destination
    pub(crate) destination: String,
    /// Numbers of the dead letters
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) numbers: Vec<u64>,
    /// All of the destination
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) ask: AskArguments,
}
