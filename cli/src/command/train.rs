//! `beaconwatch train`: from labelled files to a model, and what it is worth.

use std::io::{self, Write};

use beaconwatch_detector::{Assessment, Context, Settings};
use beaconwatch_inputs::Reading;
use beaconwatch_learning::{
    Example, FeatureSet, LABELS_BYTES_MAX, Labels, Model, Report, TrainSettings, series_features,
    train,
};
use comfy_table::{Cell, CellAlignment};
use serde::Serialize;

use super::{events, risk, score};
use crate::arguments::{InputFormat, ReportFormat, TrainArguments};
use crate::error::Error;
use crate::output::score_table::{self, Style};
use crate::output::{file, json, text, to_stdout};

/// What was trained, as JSON tells it.
#[derive(Debug, Serialize)]
struct Trained<'a> {
    model: String,
    feature_set: FeatureSet,
    seed: u64,
    /// Series or events without a label.
    unlabelled: usize,
    #[serde(flatten)]
    report: &'a Report,
}

/// Examples, and how many were left out because they have no label.
struct Data {
    set: FeatureSet,
    examples: Vec<Example>,
    unlabelled: usize,
}

/// Reads, trains, writes the model and prints the report.
pub(crate) fn run(arguments: &TrainArguments, settings: Settings) -> Result<(), Error> {
    let mut how = TrainSettings {
        seed: arguments.seed,
        trees: arguments.trees,
        folds: arguments.folds,
        ..TrainSettings::default()
    };
    let data = if let Some(labels) = &arguments.labels {
        let bytes = risk::contents(labels, LABELS_BYTES_MAX)?;
        let labels = Labels::read(&bytes).map_err(|error| Error::in_file(labels, error))?;
        series(arguments, settings, &labels)?
    } else if arguments.input != InputFormat::BeaconHunter {
        return Err(Error::NoLabels);
    } else {
        let sets = events::sets(arguments.sets.as_deref())?;
        let read = events::read(&arguments.paths)?;
        events::report(&read)?;
        let all = read.events.iter();
        let examples: Vec<Example> = all.filter_map(|it| it.example(&sets)).collect();
        how.sets = Some(sets);
        Data {
            set: FeatureSet::BeaconHunter,
            unlabelled: read.events.len() - examples.len(),
            examples,
        }
    };
    let (model, report) = train(data.set, &data.examples, &how)?;
    write(arguments, &model)?;
    let trained = Trained {
        model: arguments.out.display().to_string(),
        feature_set: data.set,
        seed: arguments.seed,
        unlabelled: data.unlabelled,
        report: &report,
    };
    to_stdout(|out| match arguments.format {
        ReportFormat::Json => json::pretty(out, &trained),
        ReportFormat::Table => print(out, &trained),
    })?;
    Ok(())
}

fn write(arguments: &TrainArguments, model: &Model) -> Result<(), Error> {
    let text = model
        .to_json()
        .map_err(|error| Error::in_file(&arguments.out, error))?;
    Ok(file::write(&arguments.out, |out| {
        out.write_all(text.as_bytes())
    })?)
}

/// Labelled series. Their features are those of the evidence, whatever method the configuration names.
fn series(arguments: &TrainArguments, settings: Settings, labels: &Labels) -> Result<Data, Error> {
    let Reading {
        observations,
        report,
    } = score::read_files(&arguments.paths, arguments.input)?;
    score::print_report(&report)?;
    let scored = score::score(
        &observations,
        risk::with_evidence(settings),
        &Context::default(),
    )?;
    let example = |it: &Assessment| {
        Some(Example {
            features: series_features(it),
            label: labels.of(it)?,
            host: it.key.source.to_string().into(),
            pair: format!("{} {}", it.key.source, it.key.destination).into(),
        })
    };
    let examples: Vec<Example> = scored.assessments.iter().filter_map(example).collect();
    Ok(Data {
        set: FeatureSet::Series,
        unlabelled: scored.assessments.len() - examples.len(),
        examples,
    })
}

fn print(out: &mut dyn Write, trained: &Trained<'_>) -> io::Result<()> {
    let report = trained.report;
    let (one, many) = match trained.feature_set {
        FeatureSet::Series => ("series", "series"),
        FeatureSet::BeaconHunter => ("event", "events"),
    };
    writeln!(
        out,
        "Trained on {} of {}: {} malicious, {} benign; {} without a label left out.",
        text::counted(report.rows as u64, one, many),
        text::counted(report.hosts as u64, "host", "hosts"),
        text::thousands(report.positives as u64),
        text::thousands(report.negatives as u64),
        text::thousands(trained.unlabelled as u64),
    )?;
    print_validation(out, report)?;
    print_weights(out, trained)?;
    writeln!(out, "\nThe model is {}.", text::harmless(&trained.model))
}

fn print_validation(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let Some(it) = &report.cross_validation else {
        return writeln!(
            out,
            "\nNo cross-validation: too few examples of one kind. Nothing is known of what the model is worth."
        );
    };
    let area = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |it| format!("{it:.3}"));
    let folds: Vec<String> = it.fold_auc.iter().map(|value| area(*value)).collect();
    writeln!(
        out,
        "\nOn what was held out, {} by {} whole:\n  area under the curve  risk {}, probability {}, anomaly {}; \
         risk in each fold {}\n  Brier score           {:.4}; {:.4} with both kinds weighing the same\n",
        text::counted(folds.len() as u64, "fold", "folds"),
        it.grouping.name(),
        area(it.auc_risk),
        area(it.auc_probability),
        area(it.auc_anomaly),
        folds.join(" "),
        it.brier,
        it.brier_balanced,
    )?;
    let bins = it.bins.iter().map(|bin| {
        vec![
            format!("{:.1} to {:.1}", bin.from, bin.to),
            area(bin.mean_probability),
            area(bin.share_positive),
            text::thousands(bin.count as u64),
        ]
    });
    table(out, &["PROBABILITY", "MEAN", "MALICIOUS", "COUNT"], bins)
}

fn print_weights(out: &mut dyn Write, trained: &Trained<'_>) -> io::Result<()> {
    writeln!(
        out,
        "\nWhat a standard deviation of a feature adds to the log-odds:"
    )?;
    let features = trained.feature_set.features().iter();
    let rows = features.zip(&trained.report.weights).map(|(feature, it)| {
        vec![
            feature.name.to_owned(),
            format!("{:+.3}", it.weight),
            format!("{:.3}", it.mean),
            format!("{:.3}", it.scale),
            feature.unit.to_owned(),
        ]
    });
    table(
        out,
        &["FEATURE", "WEIGHT", "MEAN", "DEVIATION", "UNIT"],
        rows,
    )
}

/// A table whose middle columns are numbers.
fn table(
    out: &mut dyn Write,
    head: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> io::Result<()> {
    let mut table = score_table::empty(Style::of_stdout());
    table.set_header(head);
    for row in rows {
        table.add_row(row.into_iter().enumerate().map(|(at, text)| match at {
            1..=3 => Cell::new(text).set_alignment(CellAlignment::Right),
            _ => Cell::new(text),
        }));
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
