//! `beaconwatch rules`: Sigma rules, tried on documents before an instance has them.
//!
//! The rules are loaded and evaluated as the sidecar does it. A line that is no document of ours ends the command with its
//! file and number: what was printed before stands.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use beaconwatch_sidecar::RulesConfig;
use beaconwatch_sidecar::rules::{Document, DocumentKind, LoadReport, Match, RuleSet};
use serde_json::{Value, json};

use crate::arguments::{RulesArguments, RulesCommand, TryArguments};
use crate::error::Error;
use crate::output::{json, text, to_stdout};

/// Most bytes of a line.
const MAX_LINE_BYTES: u64 = 4 << 20;

pub(crate) fn run(arguments: &RulesArguments) -> Result<(), Error> {
    match &arguments.command {
        RulesCommand::Check { folder } => check(folder),
        RulesCommand::Try(arguments) => attempt(arguments),
    }
}

fn open(folder: &Path) -> Result<(RuleSet, LoadReport), Error> {
    let config = RulesConfig {
        folder: Some(folder.to_owned()),
        ..RulesConfig::default()
    };
    Ok(config.open()?.into_rules())
}

fn check(folder: &Path) -> Result<(), Error> {
    let (_rules, report) = open(folder)?;
    to_stdout(|out| {
        for broken in &report.broken {
            writeln!(out, "{}", text::harmless(&broken.to_string()))?;
        }
        writeln!(
            out,
            "{} rules, {} correlations, {} filters; {} for other log sources, {} broken",
            report.rules, report.correlations, report.filters, report.skipped, report.broken_count
        )
    })?;
    match report.broken_count {
        0 => Ok(()),
        count => Err(Error::BrokenRules(count)),
    }
}

fn attempt(arguments: &TryArguments) -> Result<(), Error> {
    let (mut rules, report) = open(&arguments.folder)?;
    for broken in &report.broken {
        tracing::warn!(%broken, "a rule does not count");
    }
    for path in &arguments.documents {
        let file = File::open(path).map_err(|error| Error::in_file(path, error))?;
        let mut lines = BufReader::new(file);
        for number in 1_u64.. {
            let Some(line) = read_line(&mut lines).map_err(|it| at(path, number, &it))? else {
                break;
            };
            if line.trim().is_empty() {
                continue;
            }
            let body: Value =
                serde_json::from_str(&line).map_err(|it| at(path, number, &it.to_string()))?;
            let document = read(&body).map_err(|it| at(path, number, &it))?;
            let matches = rules.evaluate(&document);
            print(&matches, arguments.json)?;
        }
    }
    Ok(())
}

fn at(path: &Path, line: u64, problem: &str) -> Error {
    Error::in_file(path, format!("line {line}: {problem}"))
}

fn read_line(lines: &mut impl BufRead) -> Result<Option<String>, String> {
    let mut line = String::new();
    let read = lines.take(MAX_LINE_BYTES + 1).read_line(&mut line);
    match read.map_err(|error| error.to_string())? {
        0 => Ok(None),
        length if length as u64 > MAX_LINE_BYTES => {
            Err(format!("more than {MAX_LINE_BYTES} bytes"))
        }
        _ => Ok(Some(line)),
    }
}

/// The value of a field, as objects in objects or under its dotted name.
fn field<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    let nested = name
        .split('.')
        .try_fold(body, |value, part| value.get(part));
    nested.or_else(|| body.get(name))?.as_str()
}

fn read(body: &Value) -> Result<Document<'_>, String> {
    let wanted = |name: &str| field(body, name).ok_or_else(|| format!("no text {name}"));
    let (kind, id) = match wanted("event.dataset")? {
        "beaconwatch.detection" => (DocumentKind::Detection, wanted("event.id")?),
        "beaconwatch.flow" => (DocumentKind::Flow, wanted("beaconwatch.flow.id")?),
        other => {
            return Err(format!(
                "event.dataset is {other:?}, expected beaconwatch.detection or beaconwatch.flow"
            ));
        }
    };
    let time = wanted("@timestamp")?;
    let time: jiff::Timestamp = time
        .parse()
        .map_err(|error| format!("@timestamp is {time:?}, expected RFC 3339: {error}"))?;
    Ok(Document {
        kind,
        id,
        time_ns: i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX),
        body,
    })
}

fn print(matches: &[Match], as_json: bool) -> Result<(), Error> {
    to_stdout(|out| {
        for found in matches {
            if as_json {
                json::line(out, &described(found))?;
                continue;
            }
            let title = text::harmless(&found.rule.title);
            let documents: Vec<String> = found
                .documents
                .iter()
                .map(|id| text::harmless(id))
                .collect();
            writeln!(
                out,
                "{:<13} {title}: {}",
                found.rule.level.name(),
                documents.join(", ")
            )?;
        }
        Ok(())
    })?;
    Ok(())
}

fn described(found: &Match) -> Value {
    let documents: Vec<&str> = found.documents.iter().map(AsRef::as_ref).collect();
    let correlation = found.correlation.as_ref().map(|it| {
        let group: serde_json::Map<String, Value> = it
            .group
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        json!({ "group": group, "timespan_s": it.timespan_s, "type": it.kind, "value": it.value })
    });
    json!({
        "correlation": correlation,
        "documents": documents,
        "rule": { "id": &*found.rule.id, "level": found.rule.level.name(), "title": found.rule.title },
    })
}
