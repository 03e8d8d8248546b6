//! `beaconwatch status`, `beacons` and `connections`: what a running instance knows.

use std::io::{self, Write};

use comfy_table::{Cell, CellAlignment, Table};
use serde_json::Value;

use crate::arguments::{BeaconsArguments, ConnectionsArguments, InstanceArguments};
use crate::client::Client;
use crate::error::Error;
use crate::output::score_table::{self, Style};
use crate::output::{text, to_stdout};

/// Answers one request, on a runtime of its own.
fn ask(instance: &InstanceArguments, path: &str, query: &[(&str, String)]) -> Result<Value, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let client = Client::new(instance)?;
    Ok(runtime.block_on(client.get(path, query))?)
}

/// Prints JSON where that was asked for, else what `table` makes of it.
fn show(
    json: bool,
    answer: &Value,
    table: impl FnOnce(&mut dyn Write, &Value) -> io::Result<()>,
) -> Result<(), Error> {
    to_stdout(|out| {
        if json {
            return writeln!(out, "{answer:#}");
        }
        table(out, answer)
    })?;
    Ok(())
}

pub(crate) fn status(arguments: &InstanceArguments) -> Result<(), Error> {
    let answer = ask(arguments, "/api/v1/status", &[])?;
    show(arguments.json, &answer, print_status)
}

pub(crate) fn beacons(arguments: &BeaconsArguments) -> Result<(), Error> {
    let mut query = Vec::new();
    query.extend(
        arguments
            .min_score
            .map(|score| ("min_score", score.to_string())),
    );
    query.extend(arguments.limit.map(|limit| ("limit", limit.to_string())));
    let answer = ask(&arguments.instance, "/api/v1/beacons", &query)?;
    show(arguments.instance.json, &answer, print_beacons)
}

pub(crate) fn connections(arguments: &ConnectionsArguments) -> Result<(), Error> {
    let query: Vec<_> = arguments
        .limit
        .iter()
        .map(|limit| ("limit", limit.to_string()))
        .collect();
    let answer = ask(&arguments.instance, "/api/v1/connections", &query)?;
    show(arguments.instance.json, &answer, print_connections)
}

fn number(value: &Value, pointer: &str) -> u64 {
    value
        .pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

fn real(value: &Value, pointer: &str) -> Option<f64> {
    value.pointer(pointer).and_then(Value::as_f64)
}

fn word(value: &Value, pointer: &str) -> String {
    text::harmless(
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("-"),
    )
}

/// An RFC 3339 time without its fraction.
fn moment(value: &Value, pointer: &str) -> String {
    let time = word(value, pointer);
    match time.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => time,
    }
}

fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn count_of(value: &Value, pointer: &str) -> String {
    text::thousands(number(value, pointer))
}

fn print_status(out: &mut dyn Write, it: &Value) -> io::Result<()> {
    let up = text::duration(real(it, "/uptime_s").unwrap_or_default());
    writeln!(out, "Beaconwatch {}, up {up}\n", word(it, "/version"))?;
    print_capture(out, it)?;
    print_received(out, it)?;
    print_scored(out, it)?;
    writeln!(out, "findings    {}", count_of(it, "/findings/known"))?;
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
        count_of(it, "/receive/records"),
        count_of(it, "/receive/requests"),
        text::thousands(rejected),
        count_of(it, "/receive/duplicates"),
        count_of(it, "/receive/records_waiting"),
        count_of(it, "/receive/requests_refused"),
        count_of(it, "/receive/requests_put_off"),
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
        count_of(it, "/detector/series"),
        count_of(it, "/detector/observations"),
        count_of(it, "/detector/analysis_interval_s"),
    )
}

fn print_store(out: &mut dyn Write, it: &Value) -> io::Result<()> {
    let bytes = number(it, "/store/file_bytes");
    let mebibytes = text::thousands(bytes.div_ceil(1 << 20));
    write!(
        out,
        "store       {mebibytes} MiB, {} batches in the journal",
        count_of(it, "/store/journal_batches")
    )?;
    match it.pointer("/store/error").and_then(Value::as_str) {
        Some(error) => writeln!(out, ", ERROR: {}", text::harmless(error)),
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
        count_of(exporter, "/flows"),
        count_of(exporter, "/flows_active"),
    )
}

fn print_destinations(out: &mut dyn Write, it: &Value) -> io::Result<()> {
    for destination in items(it, "/destinations") {
        write!(
            out,
            "delivered   {} to {}, {} waiting, {} dead letters",
            count_of(destination, "/delivered"),
            word(destination, "/name"),
            count_of(destination, "/pending"),
            count_of(destination, "/dead_letters"),
        )?;
        match destination.pointer("/last_error").and_then(Value::as_str) {
            Some(error) => writeln!(out, "; last error: {}", text::harmless(error))?,
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
            count_of(exporter, "/received"),
            count_of(exporter, "/missing"),
            moment(exporter, "/last_seen"),
        )?;
    }
    Ok(())
}

fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

fn print_beacons(out: &mut dyn Write, answer: &Value) -> io::Result<()> {
    let beacons = items(answer, "/beacons");
    if beacons.is_empty() {
        return writeln!(
            out,
            "No series has been scored yet: `beaconwatch connections` shows what was seen."
        );
    }
    let mut table = score_table::empty(Style::of_stdout());
    table.set_header([
        "SCORE",
        "SEVERITY",
        "SOURCE",
        "DESTINATION",
        "PROCESS",
        "COUNT",
        "INTERVAL",
        "JITTER",
        "LAST SEEN (UTC)",
    ]);
    for it in beacons {
        let interval = real(it, "/interval_s").map_or_else(|| "-".to_owned(), text::duration);
        let jitter = real(it, "/jitter").map_or_else(|| "-".to_owned(), text::percent);
        table.add_row([
            right(format!(
                "{:.2}",
                real(it, "/combined_score").unwrap_or_default()
            )),
            Cell::new(word(it, "/severity")),
            Cell::new(word(it, "/src_ip")),
            Cell::new(place(it)),
            Cell::new(process(it)),
            right(count_of(it, "/connection_count")),
            right(interval),
            right(jitter),
            Cell::new(moment(it, "/last_seen")),
        ]);
    }
    finish(out, &table, answer)
}

fn print_connections(out: &mut dyn Write, answer: &Value) -> io::Result<()> {
    let pairs = items(answer, "/pairs");
    if pairs.is_empty() {
        return writeln!(out, "No connection has been seen yet.");
    }
    let mut table = score_table::empty(Style::of_stdout());
    table.set_header([
        "COUNT",
        "SOURCE",
        "DESTINATION",
        "DURATION",
        "FIRST SEEN (UTC)",
        "LAST SEEN (UTC)",
    ]);
    for it in pairs {
        table.add_row([
            right(count_of(it, "/connection_count")),
            Cell::new(word(it, "/src_ip")),
            Cell::new(place(it)),
            right(text::duration(
                real(it, "/duration_seconds").unwrap_or_default(),
            )),
            Cell::new(moment(it, "/first_seen")),
            Cell::new(moment(it, "/last_seen")),
        ]);
    }
    finish(out, &table, answer)
}

fn finish(out: &mut dyn Write, table: &Table, answer: &Value) -> io::Result<()> {
    writeln!(out, "{table}")?;
    let (count, total) = (number(answer, "/count"), number(answer, "/total"));
    if total > count {
        writeln!(
            out,
            "\n{} of {} shown; --limit shows more.",
            text::thousands(count),
            text::thousands(total)
        )?;
    }
    Ok(())
}

/// `198.51.100.7:443/tcp (c2.example)`.
fn place(it: &Value) -> String {
    let address = word(it, "/dst_ip");
    let address = if address.contains(':') {
        format!("[{address}]")
    } else {
        address
    };
    let protocol = word(it, "/protocol").to_ascii_lowercase();
    let place = format!("{address}:{}/{protocol}", number(it, "/dst_port"));
    match it.pointer("/server_name").and_then(Value::as_str) {
        Some(name) => format!("{place} ({})", text::harmless(name)),
        None => place,
    }
}

/// `curl (1234)`.
fn process(it: &Value) -> String {
    match it.pointer("/process/pid").and_then(Value::as_u64) {
        Some(pid) => format!("{} ({pid})", word(it, "/process/name")),
        None => "-".to_owned(),
    }
}
