//! `beaconwatch status`: what a running instance does.

use std::io::{self, Write};
use std::path::Path;

use serde_json::Value;

use super::instance::{self, Instance};
use crate::arguments::AskArguments;
use crate::error::Error;
use crate::output::answer::{count, items, moment, number, optional, real, word};
use crate::output::text;

/// Asks and prints.
pub(crate) fn run(arguments: &AskArguments, config: Option<&Path>) -> Result<(), Error> {
    let instance = Instance::of(&arguments.instance, config)?;
    let answer = instance.get("/api/v1/status", &Vec::new())?;
    instance::print_lines(&arguments.print, &answer, print_status)
}

fn print_status(out: &mut dyn Write, it: &Value) -> io::Result<()> {
    let up = text::duration(real(it, "/uptime_s").unwrap_or_default());
    writeln!(out, "Beaconwatch {}, up {up}\n", word(it, "/version"))?;
    print_capture(out, it)?;
    print_received(out, it)?;
    print_scored(out, it)?;
    print_findings(out, it)?;
    print_destinations(out, it)?;
    print_exporters(out, it)?;
    print_store(out, it)
}

fn print_received(out: &mut dyn Write, it: &Value) -> io::Result<()> {
    let rejected: u64 = items(it, "/receive/rejected")
        .iter()
        .map(|it| number(it, "/count"))
        .sum();
    writeln!(
        out,
        "received    {} flow records in {} requests ({} rejected, {} duplicates, {} waiting; \
         {} requests refused, {} put off)",
        count(it, "/receive/records"),
        count(it, "/receive/requests"),
        text::thousands(rejected),
        count(it, "/receive/duplicates"),
        count(it, "/receive/records_waiting"),
        count(it, "/receive/requests_refused"),
        count(it, "/receive/requests_put_off"),
    )
}

fn print_scored(out: &mut dyn Write, it: &Value) -> io::Result<()> {
    let last_analysis = match it
        .pointer("/detector/last_analysis")
        .and_then(Value::as_str)
    {
        Some(_) => format!("last at {} UTC", moment(it, "/detector/last_analysis")),
        None => "none yet".to_owned(),
    };
    writeln!(
        out,
        "scored      {} series from {} observations, every {} s, {last_analysis}",
        count(it, "/detector/series"),
        count(it, "/detector/observations"),
        count(it, "/detector/analysis_interval_s"),
    )
}

fn print_findings(out: &mut dyn Write, it: &Value) -> io::Result<()> {
    write!(out, "findings    {}", count(it, "/findings/known"))?;
    if it.get("alerts").is_some() {
        write!(
            out,
            ": {} open, {} acknowledged, {} closed, {} allowed",
            count(it, "/alerts/open"),
            count(it, "/alerts/acknowledged"),
            count(it, "/alerts/closed"),
            count(it, "/alerts/allowed"),
        )?;
    }
    match number(it, "/allow/entries") {
        0 => writeln!(out),
        entries => {
            let entries = text::counted(entries, "entry", "entries");
            writeln!(out, "; {entries} on the allow-list")
        }
    }
}

fn print_store(out: &mut dyn Write, it: &Value) -> io::Result<()> {
    let bytes = number(it, "/store/file_bytes");
    let mebibytes = text::thousands(bytes.div_ceil(1 << 20));
    write!(
        out,
        "store       {mebibytes} MiB, {} batches in the journal",
        count(it, "/store/journal_batches")
    )?;
    match optional(it, "/store/error") {
        Some(error) => writeln!(out, ", ERROR: {error}"),
        None => writeln!(out),
    }
}

/// The exporter in the same process, where there is one.
fn print_capture(out: &mut dyn Write, it: &Value) -> io::Result<()> {
    let Some(exporter) = it.pointer("/parts/exporter") else {
        return Ok(());
    };
    let losses = exporter.get("losses").and_then(Value::as_object);
    let losses: Vec<String> = losses
        .into_iter()
        .flatten()
        .map(|(place, lost)| {
            format!(
                "{} {}",
                text::harmless(place),
                lost.as_u64().unwrap_or_default()
            )
        })
        .collect();
    let lost = if losses.is_empty() {
        "nothing lost".to_owned()
    } else {
        format!("LOST: {}", losses.join(", "))
    };
    writeln!(
        out,
        "captured    {} flows, {} active, {lost}",
        count(exporter, "/flows"),
        count(exporter, "/flows_active"),
    )
}

fn print_destinations(out: &mut dyn Write, it: &Value) -> io::Result<()> {
    for destination in items(it, "/destinations") {
        write!(
            out,
            "delivered   {} to {}, {} waiting, {} dead letters",
            count(destination, "/delivered"),
            word(destination, "/name"),
            count(destination, "/pending"),
            count(destination, "/dead_letters"),
        )?;
        match optional(destination, "/last_error") {
            Some(error) => writeln!(out, "; last error: {error}")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

fn print_exporters(out: &mut dyn Write, it: &Value) -> io::Result<()> {
    for exporter in items(it, "/exporters").iter().take(10) {
        writeln!(
            out,
            "exporter    {}: {} records, {} missing, last at {} UTC",
            word(exporter, "/id"),
            count(exporter, "/received"),
            count(exporter, "/missing"),
            moment(exporter, "/last_seen"),
        )?;
    }
    Ok(())
}
