//! `beaconwatch score`: files in, scores out.

use std::io::{self, Write};
use std::path::PathBuf;

use beaconwatch_detector::{
    Assessment, Context, Detector, Observation, Profile, Settings, Timestamp, detect_by_rate,
};
use beaconwatch_inputs::{self as read, Reading, Report};

use super::known::Known;
use super::{events, hosts, risk};
use crate::arguments::{InputFormat, OutputFormat, ScoreArguments};
use crate::error::Error;
use crate::output::score_line::ScoreLine;
use crate::output::{csv, json, score_table, text, to_stdout};

/// Series that a table shows when nobody says how many.
const TABLE_LIMIT: usize = 50;

/// Reads the files, scores all series and prints those asked for.
pub(crate) fn run(
    arguments: &ScoreArguments,
    settings: Settings,
    known: &Known,
) -> Result<(), Error> {
    let model = arguments.model.as_deref().map(risk::load).transpose()?;
    let events = model.as_ref().filter(|it| risk::is_of_events(it));
    refuse_rate(arguments, &settings, events.is_some())?;
    if let Some(model) = events {
        return events::score(arguments, model);
    }
    let Reading {
        observations,
        report,
    } = read_files(&arguments.paths, arguments.input)?;
    let context = known.with(&observations);
    let mut scored = score(&observations, settings.clone(), &context)?;
    if let Some(rate) = arguments.fdr {
        let (tests, threshold) = (scored.tests, scored.threshold);
        detect_by_rate(&mut scored.assessments, tests, rate, threshold);
    }
    let risks = match &model {
        Some(model) => Some(risk::of(model, &observations, settings, &scored, &context)?),
        None => None,
    };
    if arguments.hosts {
        let hosts = hosts::of_series(&scored.assessments, risks.as_deref());
        hosts::print(hosts, arguments.format, arguments.limit)?;
    } else if let Some(risks) = risks {
        risk::print(&scored, risks, arguments)?;
    } else {
        let shown = choose(&scored, arguments);
        to_stdout(|out| match arguments.format {
            OutputFormat::Json => print_json(out, &shown),
            OutputFormat::Csv => print_csv(out, &shown),
            OutputFormat::Table => print_table(out, &shown, &scored, arguments),
        })?;
    }
    Ok(print_report(&report)?)
}

/// A false discovery rate is for what has p-values.
fn refuse_rate(arguments: &ScoreArguments, settings: &Settings, events: bool) -> Result<(), Error> {
    let refused = match settings.profile {
        _ if arguments.fdr.is_none() => return Ok(()),
        _ if events => "events",
        Profile::Evidence => return Ok(()),
        other => other.name(),
    };
    Err(Error::NoFalseDiscoveryRate(refused))
}

/// Reads files of a format.
pub(super) fn read_files(paths: &[PathBuf], input: InputFormat) -> Result<Reading, Error> {
    let settings = read::Settings {
        format: input.into(),
        ..read::Settings::default()
    };
    Ok(read::read(paths, &settings)?)
}

/// What was scored.
pub(super) struct Scored {
    /// Every series, best first.
    pub(super) assessments: Vec<Assessment>,
    connections: u64,
    ignored: u64,
    evicted: u64,
    threshold: f64,
    /// Tests that share the permitted false alerts.
    tests: u64,
}

/// Scores all series of the observations, as at the end of them.
pub(super) fn score(
    observations: &[Observation],
    mut settings: Settings,
    context: &Context,
) -> Result<Scored, Error> {
    let threshold = settings.alert_threshold();
    let first = observations
        .iter()
        .map(|it| it.time)
        .min()
        .unwrap_or_default();
    let now = observations
        .iter()
        .map(|it| it.time)
        .max()
        .unwrap_or_default();
    // Files are read at once, long after they were written: nothing in them comes too late.
    let span_s = now.saturating_since(first).as_secs_f64();
    settings.max_lateness_s = settings.max_lateness_s.max(span_s + 1.0);
    let mut detector = Detector::new(settings)?;
    for observation in observations {
        detector.observe(now, observation);
    }
    let mut assessments: Vec<Assessment> = detector.assess_all(now, context).collect();
    assessments.sort_by(|one, other| {
        let by_score = other.score.total_cmp(&one.score);
        by_score
            .then(other.count.cmp(&one.count))
            .then_with(|| one.key.cmp(&other.key))
    });
    let counters = detector.counters();
    Ok(Scored {
        connections: assessments.iter().map(|it| it.count).sum(),
        ignored: counters.ignored_future + counters.ignored_late + counters.ignored_key_too_long,
        evicted: counters.evicted,
        assessments,
        threshold,
        tests: detector.tests(),
    })
}

/// Lines to show at most.
pub(super) fn limit(format: OutputFormat, asked_for: Option<usize>) -> usize {
    asked_for.unwrap_or(match format {
        OutputFormat::Table => TABLE_LIMIT,
        OutputFormat::Json | OutputFormat::Csv => usize::MAX,
    })
}

fn choose<'a>(scored: &'a Scored, arguments: &ScoreArguments) -> Vec<&'a Assessment> {
    let limit = limit(arguments.format, arguments.limit);
    let asked_for = |it: &&Assessment| match arguments.min_score {
        _ if arguments.all => true,
        Some(minimum) => it.score >= minimum,
        None => it.detected,
    };
    scored
        .assessments
        .iter()
        .filter(asked_for)
        .take(limit)
        .collect()
}

fn print_json(out: &mut dyn Write, shown: &[&Assessment]) -> io::Result<()> {
    for assessment in shown {
        json::line(out, &ScoreLine::new(assessment))?;
    }
    Ok(())
}

fn print_csv(out: &mut dyn Write, shown: &[&Assessment]) -> io::Result<()> {
    let rows = shown.iter().map(|it| ScoreLine::new(it).csv());
    csv::write(out, &ScoreLine::CSV_HEAD, rows)
}

fn print_table(
    out: &mut dyn Write,
    shown: &[&Assessment],
    scored: &Scored,
    arguments: &ScoreArguments,
) -> io::Result<()> {
    if !shown.is_empty() {
        let style = score_table::Style::of_stdout();
        writeln!(out, "{}\n", score_table::layout(shown, style))?;
    }
    print_summary(out, shown.len() as u64, scored, arguments)
}

/// What stands below a table.
pub(super) fn print_summary(
    out: &mut dyn Write,
    shown: u64,
    scored: &Scored,
    arguments: &ScoreArguments,
) -> io::Result<()> {
    let detected = scored.assessments.iter().filter(|it| it.detected).count() as u64;
    writeln!(
        out,
        "{} scoring {} or more among {} of {}{}.",
        text::counted(detected, "beacon", "beacons"),
        scored.threshold,
        text::counted(scored.assessments.len() as u64, "series", "series"),
        text::counted(scored.connections, "connection", "connections"),
        period(&scored.assessments),
    )?;
    print_rest(out, shown, detected, scored, arguments)
}

fn print_rest(
    out: &mut dyn Write,
    shown: u64,
    detected: u64,
    scored: &Scored,
    arguments: &ScoreArguments,
) -> io::Result<()> {
    if shown < detected || (arguments.all && shown < scored.assessments.len() as u64) {
        writeln!(out, "{} shown; --limit shows more.", text::thousands(shown))?;
    } else if detected == 0
        && arguments.min_score.is_none()
        && arguments.min_risk.is_none()
        && !arguments.all
    {
        writeln!(
            out,
            "--min-score shows series below that, --all every one with the reason."
        )?;
    }
    let benign = scored.assessments.iter().filter(|it| it.benign.is_some());
    let benign = benign.count() as u64;
    if benign > 0 && !arguments.all {
        let series = text::counted(benign, "series", "series");
        writeln!(out, "{series} listed as benign; --all shows why.")?;
    }
    if scored.evicted > 0 {
        let evicted = text::counted(scored.evicted, "series", "series");
        writeln!(out, "{evicted} had no room: raise detector.max_series.")?;
    }
    if scored.ignored > 0 {
        let ignored = text::counted(scored.ignored, "observation", "observations");
        writeln!(out, "{ignored} ignored by the detector.")?;
    }
    Ok(())
}

/// `, 2024-04-19 00:00:01 to 2024-04-20 00:00:00 UTC`.
fn period(assessments: &[Assessment]) -> String {
    let first: Option<Timestamp> = assessments.iter().map(|it| it.first_seen).min();
    let last: Option<Timestamp> = assessments.iter().map(|it| it.last_seen).max();
    match (first, last) {
        (Some(first), Some(last)) => {
            format!(", {} to {} UTC", text::time(first), text::time(last))
        }
        _ => String::new(),
    }
}

/// What was not read goes to standard error, so that it does not get among the scores.
pub(super) fn print_report(report: &Report) -> io::Result<()> {
    let mut out = io::stderr().lock();
    for problem in &report.file_problems {
        writeln!(out, "{}", text::harmless(&problem.to_string()))?;
    }
    for skip in &report.kept {
        writeln!(out, "{}", text::harmless(&skip.to_string()))?;
    }
    let (skipped, fields) = (report.lines_skipped(), report.fields_not_used_total());
    let unshown = (skipped + fields).saturating_sub(report.kept.len() as u64);
    if unshown > 0 {
        writeln!(out, "... and {} more", text::thousands(unshown))?;
    }
    for (count, one, many, reasons) in [
        (skipped, "line skipped", "lines skipped", &report.skipped),
        (
            fields,
            "field not used",
            "fields not used",
            &report.fields_not_used,
        ),
    ] {
        if count > 0 {
            let reasons: Vec<String> = reasons
                .iter()
                .map(|(why, count)| format!("{} {count}", why.text()))
                .collect();
            let of = text::counted(report.lines, "line", "lines");
            let what = text::counted(count, one, many);
            writeln!(out, "{what} of {of}: {}", reasons.join(", "))?;
        }
    }
    print_files_passed_over(&mut out, report)
}

fn print_files_passed_over(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    if report.files_of_other_kind == 0 {
        return Ok(());
    }
    let kept: &[PathBuf] = &report.files_of_other_kind_kept;
    let names: Vec<String> = kept
        .iter()
        .map(|path| text::harmless(&path.display().to_string()))
        .collect();
    let more = if report.files_of_other_kind > kept.len() as u64 {
        ", ..."
    } else {
        ""
    };
    let count = text::counted(report.files_of_other_kind, "file", "files");
    writeln!(
        out,
        "{count} passed over, of unknown formats: {}{more}",
        names.join(", ")
    )
}
