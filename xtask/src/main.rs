//! What `./x` does: `cargo xtask COMMAND`.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool reports on its standard output"
)]
#![expect(
    clippy::print_stderr,
    reason = "a command-line tool complains on its standard error"
)]

mod bench;
mod ebpf;
mod end_to_end;
mod fuzz;
mod generated;
mod graph;
mod lanes;
mod licences;
mod lint;
mod steps;
mod test;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use beaconwatch_tests::servers::Servers;
use clap::{Parser, Subcommand};

use crate::steps::Steps;

/// Developer commands of this repository (`./x` calls them).
#[derive(Parser)]
#[command(name = "x", bin_name = "./x")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything that CI checks.
    Test,
    /// Formatting, clippy, documentation, crate graph, licences, generated files, kernel object.
    Lint,
    /// Format the sources.
    Fmt,
    /// Only the end-to-end tests.
    E2e {
        /// Only tests whose name contains this.
        filter: Option<String>,
    },
    /// Install the servers of the end-to-end tests and say where they are.
    Servers,
    /// Measure: one JSON object a line.
    Bench {
        /// Only benchmarks whose name begins with this: exporter, detector, quality or sidecar.
        name: Option<String>,
        /// How long each comparison of interleaved rounds takes.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Run the fuzz targets, each on its seeds and for some seconds.
    Fuzz {
        /// Only this target.
        target: Option<String>,
        /// For how long each.
        #[arg(long, default_value_t = 5)]
        seconds: u32,
    },
    /// Write the generated files anew.
    Generate,
    /// Rebuild the committed kernel object.
    Ebpf {
        /// Only compare it with what the source builds.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("x: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    workspace::enter()?;
    match command {
        Command::Test => {
            let mut steps = Steps::default();
            lint::run(&mut steps);
            test::run(&mut steps);
            steps.finish()
        }
        Command::Lint => {
            let mut steps = Steps::default();
            lint::run(&mut steps);
            steps.finish()
        }
        Command::Fmt => workspace::cargo(&["fmt", "--all"]),
        Command::E2e { filter } => {
            let mut steps = Steps::default();
            end_to_end::run(&mut steps, filter.as_deref());
            steps.finish()
        }
        Command::Servers => show_servers(),
        Command::Bench { name, seconds } => {
            bench::run(name.as_deref().unwrap_or_default(), seconds)
        }
        Command::Fuzz { target, seconds } => fuzz::run(target.as_deref(), seconds),
        Command::Generate => generated::write(),
        Command::Ebpf { check } => ebpf::run(check),
    }
}

fn show_servers() -> Result<()> {
    let servers = Servers::install(&mut |progress| println!("{progress}"))?;
    println!("collector   {}", servers.collector.display());
    println!(
        "opensearch  {:?}",
        servers.opensearch.command("DATA_FOLDER".as_ref(), 0)
    );
    println!("ecs schema  {}", servers.ecs_schema.display());
    Ok(())
}
