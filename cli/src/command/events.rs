//! Events of BeaconHunter: read as they are, and scored one by one as its `score-live` did.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use beaconwatch_inputs::open_plain;
use beaconwatch_learning::{Event, EventReader, Events, Model, Risk, RiskSets};

use super::{hosts, score};
use crate::arguments::{InputFormat, OutputFormat, ScoreArguments};
use crate::error::Error;
use crate::output::risk_line::{EVENTS, EventRisk, answer};
use crate::output::score_table::Style;
use crate::output::{json, text, to_stdout};

/// Bytes of one table, unpacked.
const BYTES_MAX: u64 = 4 << 30;
/// What is said of a table that is larger.
const TOO_LARGE: &str = "more than 4 GiB";

/// Scores events and prints those asked for, riskiest first, or their hosts.
pub(super) fn score(arguments: &ScoreArguments, model: &Model) -> Result<(), Error> {
    let events = read_for(model, &arguments.paths, arguments.input)?;
    let mut risks = assess(&events, model)?;
    if arguments.hosts {
        hosts::print(hosts::of_events(&risks), arguments.format, arguments.limit)?;
        return report(&events);
    }
    let total = risks.len();
    risks.sort_by(|one, other| other.1.risk.total_cmp(&one.1.risk));
    risks.retain(|(_, risk)| arguments.min_risk.is_none_or(|least| risk.risk >= least));
    let matching = risks.len();
    risks.truncate(score::limit(arguments.format, arguments.limit));
    let lines: Vec<EventRisk<'_>> = risks
        .iter()
        .map(|(event, risk)| EventRisk::new(event, risk))
        .collect();
    to_stdout(|out| match arguments.format {
        OutputFormat::Json => lines.iter().try_for_each(|line| json::line(out, line)),
        OutputFormat::Csv => EVENTS.print_csv(out, &answer(EVENTS.key, &lines, matching)?),
        OutputFormat::Table => {
            let answer = answer(EVENTS.key, &lines, matching)?;
            EVENTS.print_table(out, &answer, Style::of_stdout())?;
            writeln!(
                out,
                "\n{} scored.",
                text::counted(total as u64, "event", "events")
            )
        }
    })?;
    report(&events)
}

/// Reads events for a model that takes them.
pub(super) fn read_for(
    model: &Model,
    paths: &[PathBuf],
    input: InputFormat,
) -> Result<Events, Error> {
    if input == InputFormat::BeaconHunter && model.sets().is_some() {
        read(paths)
    } else {
        Err(Error::EventModel)
    }
}

/// The events with their risks, in the order of the files.
pub(super) fn assess<'a>(
    events: &'a Events,
    model: &Model,
) -> Result<Vec<(&'a Event, Risk)>, Error> {
    let sets = model.sets().ok_or(Error::EventModel)?;
    let risk = |event: &'a Event| Ok((event, model.assess(&event.features(sets))?));
    events.events.iter().map(risk).collect()
}

/// Reads tables of events; `-` is standard input.
pub(super) fn read(paths: &[PathBuf]) -> Result<Events, Error> {
    let mut reader = EventReader::default();
    let mut events = Events::default();
    for path in paths {
        let here = open_plain(path)
            .map_err(|error| Error::in_file(path, error))
            .and_then(|input| {
                let mut input = input.take(BYTES_MAX);
                let here = reader.read(&mut input);
                if input.limit() == 0 {
                    return Err(Error::in_file(path, TOO_LARGE));
                }
                here.map_err(|error| Error::in_file(path, error))
            })?;
        events
            .extend(here)
            .map_err(|error| Error::in_file(path, error))?;
    }
    Ok(events)
}

/// Lines that were skipped, on standard error.
pub(super) fn report(events: &Events) -> Result<(), Error> {
    use io::Write as _;
    let mut out = io::stderr().lock();
    for problem in &events.problems {
        writeln!(out, "{}", text::harmless(&problem.to_string()))?;
    }
    let more = events.skipped.saturating_sub(events.problems.len() as u64);
    if more > 0 {
        writeln!(out, "... and {} more", text::thousands(more))?;
    }
    if events.skipped > 0 {
        let skipped = text::counted(events.skipped, "line", "lines");
        writeln!(out, "{skipped} skipped.")?;
    }
    Ok(())
}

/// Sets in place of those that ship.
pub(super) fn sets(file: Option<&Path>) -> Result<RiskSets, Error> {
    let shipped = RiskSets::shipped().map_err(|error| Error::in_file(Path::new("sets"), error))?;
    let Some(file) = file else {
        return Ok(shipped);
    };
    let own = super::risk::contents(file, beaconwatch_learning::SETS_BYTES_MAX)?;
    shipped
        .overridden_by(&own)
        .map_err(|error| Error::in_file(file, error))
}
