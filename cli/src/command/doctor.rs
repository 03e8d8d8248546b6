//! `beaconwatch doctor`: what kernel, rights and receiver allow the exporter, and what each missing thing costs.

use std::io::{self, Write};
use std::path::Path;

use beaconwatch_exporter::Config;
use beaconwatch_exporter::capture::doctor::{self, Check, Report, State, Verdict};
use beaconwatch_exporter::config::Overrides;
use comfy_table::{Cell, Color, ColumnConstraint};

use crate::arguments::{DoctorArguments, DoctorFormat};
use crate::config::{self, Flags};
use crate::error::Error;
use crate::output::score_table::{self, Style};
use crate::output::{json, text, to_stdout};
use crate::process;

/// Looks and prints. Whatever is less than a full capture is an error, for the exit code.
pub(crate) fn run(file: Option<&Path>, arguments: &DoctorArguments) -> Result<(), Error> {
    let loaded = config::load(file, Flags::default())?;
    process::warn_all(&loaded.warnings);
    let mut config = loaded.config.exporter;
    let overrides = Overrides {
        endpoint: arguments.endpoint.clone(),
        protocol: None,
    };
    overrides.apply(&mut config);
    let mut report = doctor::examine(&doctor::Options {
        cgroup: config.capture_settings().cgroup,
        attach: arguments.attach,
        hashes: config.process.hash,
        pin_directory: config.capture.pin_directory.clone(),
    });
    report.checks.extend(receiver(&config)?);
    to_stdout(|out| match arguments.format {
        DoctorFormat::Json => json::pretty(out, &report.to_json()),
        DoctorFormat::Text => print(out, &report, Style::of_stdout()),
    })?;
    match report.verdict() {
        Verdict::Full => Ok(()),
        less => Err(Error::Doctor(less)),
    }
}

/// Tries the receiver, if one is named.
fn receiver(config: &Config) -> Result<Option<Check>, Error> {
    if !config.otlp.has_endpoint() {
        return Ok(None);
    }
    let connection = config.otlp.logs_connection()?;
    let runtime = process::multi_threaded()?;
    Ok(Some(runtime.block_on(doctor::receiver(&connection))))
}

fn print(out: &mut dyn Write, report: &Report, style: Style) -> io::Result<()> {
    let mut table = score_table::empty(style);
    table.set_header(["STATE", "CHECK", "FINDING"]);
    for check in &report.checks {
        table.add_row([
            state(check.state),
            Cell::new(text::harmless(&check.name)),
            Cell::new(finding(check)),
        ]);
    }
    for at in 0..2 {
        if let Some(column) = table.column_mut(at) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    writeln!(out, "\n{}", report.verdict().sentence())
}

fn state(state: State) -> Cell {
    let cell = Cell::new(state.name());
    match state {
        State::Ok => cell.fg(Color::Green),
        State::Degraded => cell.fg(Color::Yellow),
        State::Missing => cell.fg(Color::Red),
    }
}

/// What was found; below it what that costs and what to do.
fn finding(check: &Check) -> String {
    let more = [("costs", &check.cost), ("do", &check.remedy)];
    let more = more
        .into_iter()
        .filter_map(|(what, said)| Some(format!("\n{what}: {}", said.as_ref()?)));
    let whole: String = std::iter::once(check.finding.clone()).chain(more).collect();
    text::harmless_lines(&whole)
}
