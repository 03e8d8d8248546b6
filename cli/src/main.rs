//! The program `beaconwatch`: composes capture, detection and delivery, scores files, and shows what a
//! running instance has found.
//!
//! Exit codes: 0 when the command did what it was asked (also when beacons were found), 1 when it could
//! not, 2 for a command line that it does not understand; 3 when `setup --dry-run --exit-code` would change something, or
//! `doctor` found that the capture can run with losses only (1: not at all).

mod arguments;
mod client;
mod command;
mod config;
mod error;
mod output;
mod process;
mod progress;
mod reload;
mod watch;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command, ConfigCommand};
use command::config::ShownAs;
use command::known::Known;
use config::Flags;
use error::Error;
use output::text;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // Asked for by --exit-code, and told above.
        Err(Error::WouldChange) => ExitCode::from(3),
        // Printed above.
        Err(Error::Doctor(verdict)) => ExitCode::from(verdict.exit_code()),
        Err(error) => {
            // Nowhere is left to tell when standard error is closed.
            let _closed = report(&error);
            ExitCode::FAILURE
        }
    }
}

/// The error, its causes and what can be done.
fn report(error: &Error) -> std::io::Result<()> {
    let mut out = std::io::stderr().lock();
    let mut said = error.to_string();
    writeln!(out, "beaconwatch: {}", text::harmless_lines(&said))?;
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.contains(&text) {
            writeln!(out, "  because: {}", text::harmless_lines(&text))?;
        }
        said = text;
        cause = error.source();
    }
    match error.advice() {
        Some(advice) => writeln!(out, "{advice}"),
        None => Ok(()),
    }
}

fn run(arguments: Arguments) -> Result<(), Error> {
    let file = arguments.config.as_deref();
    process::log_to_stderr(arguments.log.as_deref().unwrap_or(match arguments.command {
        Command::Detect(_) | Command::Export(_) => "info",
        // A line of the log would stand in the middle of the interface.
        Command::Watch(_) => "off",
        _ => "warn",
    }))?;
    match arguments.command {
        Command::Run(run) => command::run::run(file, &run),
        Command::Detect(detect) => command::detect::run(file, &detect),
        Command::Export(export) => command::export::run(file, export),
        Command::Doctor(doctor) => command::doctor::run(file, &doctor),
        Command::Score(score) => {
            let loaded = config::load(file, Flags::default().detector(&score.detector))?;
            process::warn_all(&loaded.unread);
            let known = Known::open(&loaded.config.sidecar.context, &score.context)?;
            command::score::run(&score, loaded.config.detector, &known)
        }
        Command::Hosts(hosts) if hosts.paths.is_empty() => {
            command::hosts::of_instance(&hosts, file)
        }
        Command::Hosts(hosts) => {
            let loaded = config::load(file, Flags::default().detector(&hosts.detector))?;
            process::warn_all(&loaded.unread);
            let known = Known::open(&loaded.config.sidecar.context, &hosts.context)?;
            command::hosts::of_files(&hosts, loaded.config.detector, &known)
        }
        Command::Train(train) => {
            let loaded = config::load(file, Flags::default())?;
            command::train::run(&train, loaded.config.detector)
        }
        Command::Status(status) => command::status::run(&status, file),
        Command::Beacons(beacons) => command::lists::beacons(&beacons, file),
        Command::LongConns(long) => command::lists::long_conns(&long, file),
        Command::Connections(connections) => command::lists::connections(&connections, file),
        Command::Watch(arguments) => watch::run(&arguments, file),
        Command::Sensors(sensors) => command::lists::sensors(&sensors, file),
        Command::Audit(audit) => command::lists::audit(&audit, file),
        Command::Simulate(simulate) => command::simulate::run(&simulate, file),
        Command::Analyze(analyze) => command::lists::analyze(&analyze, file),
        Command::Alerts(alerts) => command::alerts::run(*alerts, file),
        Command::Allow(allow) => command::allow::run(allow, file),
        Command::Destinations(destinations) => command::destinations::run(destinations, file),
        Command::DeadLetters(letters) => command::destinations::dead_letters(letters, file),
        Command::Rules(rules) => command::rules::run(&rules),
        Command::Webhook(webhook) => command::webhook::run(webhook, file),
        Command::Setup(setup) => command::setup::run(&setup),
        Command::Store(store) => command::store::run(&store),
        Command::Completions(it) => command::manual::completions(&it),
        Command::Man(man) => command::manual::man(&man),
        Command::Config(config) => configure(config.command, file),
    }
}

fn configure(command: ConfigCommand, file: Option<&Path>) -> Result<(), Error> {
    match command {
        ConfigCommand::Check { file: named } => command::config::check(named.as_deref().or(file)),
        ConfigCommand::Show(show) => {
            let shown_as = if show.json {
                ShownAs::Json
            } else {
                ShownAs::Toml
            };
            command::config::show(show.file.as_deref().or(file), show.effective, shown_as)
        }
        ConfigCommand::Schema => command::config::schema(),
    }
}
