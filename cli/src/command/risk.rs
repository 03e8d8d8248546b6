//! The risk of series by a model: `score --model`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use beaconwatch_detector::{Assessment, Context, Observation, Profile, SeriesKey, Settings};
use beaconwatch_learning::{FeatureSet, MODEL_BYTES_MAX, Model, Risk};

use super::score::{self, Scored};
use crate::arguments::{OutputFormat, ScoreArguments};
use crate::error::Error;
use crate::output::risk_line::{SERIES, SeriesRisk, answer};
use crate::output::score_table::Style;
use crate::output::{csv, json, to_stdout};

/// What names the model that ships.
const BUILTIN: &str = "builtin";

/// Reads the model that a command line names.
pub(super) fn load(name: &str) -> Result<Model, Error> {
    let path = Path::new(name);
    let model = if name == BUILTIN {
        Model::builtin()
    } else {
        Model::read(&contents(path, MODEL_BYTES_MAX)?)
    };
    model.map_err(|error| Error::in_file(path, error))
}

/// What a file holds, or a byte more than `bytes_max`, for its reader to refuse.
pub(super) fn contents(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(bytes_max as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| Error::in_file(path, error))?;
    Ok(bytes)
}

/// Whether a model takes events of BeaconHunter, and no series.
pub(super) fn is_of_events(model: &Model) -> bool {
    model.feature_set() == FeatureSet::BeaconHunter
}

/// The risk of each scored series, in their order. A model reads evidence, whatever method scored.
pub(super) fn of(
    model: &Model,
    observations: &[Observation],
    settings: Settings,
    scored: &Scored,
    context: &Context,
) -> Result<Vec<Risk>, Error> {
    let risk = |it: &Assessment| Ok(model.assess_series(it)?);
    if settings.profile == Profile::Evidence {
        return scored.assessments.iter().map(risk).collect();
    }
    let weighed = score::score(observations, with_evidence(settings), context)?.assessments;
    let weighed: BTreeMap<&SeriesKey, &Assessment> =
        weighed.iter().map(|it| (&it.key, it)).collect();
    let of = |it: &Assessment| risk(weighed.get(&it.key).copied().unwrap_or(it));
    scored.assessments.iter().map(of).collect()
}

/// The settings with the method that a model reads.
pub(super) fn with_evidence(settings: Settings) -> Settings {
    Settings {
        profile: Profile::Evidence,
        ..settings
    }
}

/// Prints the series asked for, riskiest first.
pub(super) fn print(
    scored: &Scored,
    risks: Vec<Risk>,
    arguments: &ScoreArguments,
) -> Result<(), Error> {
    let mut ranked: Vec<(&Assessment, Risk)> = scored.assessments.iter().zip(risks).collect();
    ranked.sort_by(|one, other| other.1.risk.total_cmp(&one.1.risk));
    ranked.retain(
        |(it, risk)| match (arguments.min_risk, arguments.min_score) {
            _ if arguments.all => true,
            (Some(minimum), _) => risk.risk >= minimum,
            (None, Some(minimum)) => it.score >= minimum,
            (None, None) => it.detected,
        },
    );
    ranked.truncate(score::limit(arguments.format, arguments.limit));
    let lines: Vec<SeriesRisk<'_>> = ranked
        .iter()
        .map(|(it, risk)| SeriesRisk::new(it, risk))
        .collect();
    let shown = lines.len() as u64;
    to_stdout(|out| match arguments.format {
        OutputFormat::Json => lines.iter().try_for_each(|line| json::line(out, line)),
        OutputFormat::Csv => {
            let rows = lines.iter().map(SeriesRisk::csv);
            csv::write(out, &SeriesRisk::csv_head(), rows)
        }
        OutputFormat::Table => {
            let answer = answer(SERIES.key, &lines, lines.len())?;
            SERIES.print_table(out, &answer, Style::of_stdout())?;
            writeln!(out)?;
            score::print_summary(out, shown, scored, arguments)
        }
    })?;
    Ok(())
}
