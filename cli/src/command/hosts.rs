//! `beaconwatch hosts` and `score --hosts`: which hosts to look at first.
//!
//! The host of a series is its source address; that of an event of BeaconHunter is its `host_id`.

use std::path::Path;

use beaconwatch_detector::{Assessment, HostSummaries, HostSummary, Scored, Settings};
use beaconwatch_learning::{Event, Risk, add_series};
use serde_json::Value;

use super::instance::Instance;
use super::known::Known;
use super::score;
use crate::arguments::{HostsArguments, OutputFormat, ScoreArguments};
use crate::client::Query;
use crate::error::Error;
use crate::output::answer::items;
use crate::output::risk_line::{HOSTS, answer};
use crate::output::score_table::Style;
use crate::output::{json, to_stdout};

/// Risk from which an event counts as a finding: more likely malicious than benign.
const EVENT_FINDING: f64 = 0.5;

/// Ranks the hosts of files, as `score --hosts` does.
pub(crate) fn of_files(
    arguments: &HostsArguments,
    settings: Settings,
    known: &Known,
) -> Result<(), Error> {
    let arguments = ScoreArguments {
        paths: arguments.paths.clone(),
        input: arguments.input,
        format: arguments.format,
        model: arguments.model.clone(),
        min_risk: None,
        hosts: true,
        all: false,
        min_score: None,
        limit: arguments.limit,
        context: arguments.context.clone(),
        detector: arguments.detector.clone(),
        fdr: None,
    };
    score::run(&arguments, settings, known)
}

/// Shows the hosts that a running instance has scored.
pub(crate) fn of_instance(arguments: &HostsArguments, config: Option<&Path>) -> Result<(), Error> {
    let limit = arguments.limit.and_then(|it| u64::try_from(it).ok());
    let instance = Instance::of(&arguments.instance, config)?;
    let answer = instance.list("/api/v1/hosts", &Query::new(), HOSTS.key, limit)?;
    show(&answer, arguments.format)
}

/// Hosts by the risk of their series, or by their score where there is none.
pub(super) fn of_series(assessments: &[Assessment], risks: Option<&[Risk]>) -> Vec<HostSummary> {
    let mut hosts = HostSummaries::default();
    for (at, it) in assessments.iter().enumerate() {
        let risk = risks.and_then(|risks| risks.get(at));
        add_series(&mut hosts, it, risk);
    }
    hosts.ranked()
}

/// Hosts by the risk of their events.
pub(super) fn of_events(events: &[(&Event, Risk)]) -> Vec<HostSummary> {
    let mut hosts = HostSummaries::default();
    for (event, risk) in events {
        let scored = Scored {
            host: &event.host_id,
            events: 1,
            risk: risk.risk,
            finding: risk.risk >= EVENT_FINDING,
        };
        hosts.add(&scored, || {
            let (to, port) = (&event.destination, event.destination_port);
            format!("event {} to {to}:{port}: {}", event.event_id, risk.reason())
        });
    }
    hosts.ranked()
}

/// Prints hosts, the first ones first.
pub(super) fn print(
    mut hosts: Vec<HostSummary>,
    format: OutputFormat,
    limit: Option<usize>,
) -> Result<(), Error> {
    let total = hosts.len();
    hosts.truncate(score::limit(format, limit));
    let answer = answer(HOSTS.key, &hosts, total).map_err(std::io::Error::from)?;
    show(&answer, format)
}

fn show(answer: &Value, format: OutputFormat) -> Result<(), Error> {
    to_stdout(|out| match format {
        OutputFormat::Json => items(answer, "/hosts")
            .iter()
            .try_for_each(|host| json::line(out, host)),
        OutputFormat::Csv => HOSTS.print_csv(out, answer),
        OutputFormat::Table => HOSTS.print_table(out, answer, Style::of_stdout()),
    })?;
    Ok(())
}
