//! Which instance to ask, and how to print its answer.

use std::path::{Path, PathBuf};

use clap::Args;

/// Which instance to ask, and who asks.
#[derive(Clone, Debug, Args)]
pub(crate) struct InstanceArguments {
    /// Host of the API
    #[arg(
        long,
        value_name = "HOST",
        default_value = "127.0.0.1",
        help_heading = "Instance"
    )]
    pub(crate) host: String,
    /// Port of the API
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 9090,
        help_heading = "Instance"
    )]
    pub(crate) port: u16,
    /// Base URL of the API, instead of host and port
    #[arg(long, value_name = "URL", conflicts_with_all = ["host", "port"], help_heading = "Instance")]
    pub(crate) url: Option<String>,
    /// Certificate authorities (PEM) that the API's certificate may come from; asks over HTTPS
    #[arg(long, value_name = "FILE", help_heading = "Instance")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Token of the API. Every user of this machine can see it in the list of processes: rather use
    /// --token-file or the variable `BEACONWATCH_TOKEN`
    #[arg(
        long,
        value_name = "TOKEN",
        conflicts_with = "token_file",
        help_heading = "Instance"
    )]
    pub(crate) token: Option<String>,
    /// File with the token [default: `BEACONWATCH_TOKEN`, else `api-token` in the state folder, where it
    /// can be read]
    #[arg(long, value_name = "FILE", help_heading = "Instance")]
    pub(crate) token_file: Option<PathBuf>,
}

/// How to print an answer, and where.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PrintArguments {
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Write to a file instead of standard output, all of it or nothing; without FILE, print a list as
    /// comma-separated values, as the seed's `-o` does
    #[arg(short, long, value_name = "FILE")]
    #[expect(
        clippy::option_option,
        reason = "no flag, the flag alone, the flag with a file"
    )]
    pub(crate) output: Option<Option<PathBuf>>,
}

impl PrintArguments {
    /// The file to write to; none for standard output.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.output.as_ref()?.as_deref()
    }
}

/// How to print a list, and how much of it.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ListPrintArguments {
    /// Print comma-separated values with a head
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    /// Show at most so many [default: 100]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) limit: Option<u64>,
    #[command(flatten)]
    pub(crate) print: PrintArguments,
}

/// A question without anything of its own.
#[derive(Debug, Args)]
pub(crate) struct AskArguments {
    #[command(flatten)]
    pub(crate) print: PrintArguments,
    #[command(flatten)]
    pub(crate) instance: InstanceArguments,
}

/// A list without any filter of its own.
#[derive(Clone, Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    pub(crate) list: ListPrintArguments,
    #[command(flatten)]
    pub(crate) instance: InstanceArguments,
}
