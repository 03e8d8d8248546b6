//! Scores a folder of flow records with the detector, as lines that a judge reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use beaconwatch_detector::context::Prevalence;
use beaconwatch_detector::{
    Assessment, Context, Detector, Observation, Profile, SeriesKey, Settings, Timestamp,
};
use beaconwatch_inputs as inputs;
use serde_json::{Value, json};

use crate::Failure;

/// Name in the output, method, whether context weighs: the catalogue that ships, and who talks to whom in the data.
pub(crate) const OURS: [(&str, Profile, bool); 3] = [
    ("evidence", Profile::Evidence, true),
    ("evidence, times alone", Profile::Evidence, false),
    ("seed", Profile::Seed, false),
];
pub(crate) const ONLINE: &str = "evidence, online";
/// Observations past which nobody waits for it.
const ONLINE_MOST: usize = 200_000;
/// Log-odds below which a rise is not told, and the least that is.
const TOLD_FROM: f64 = -1.0;
const RISE: f64 = 0.1;
/// More keys than any of the sets has.
const PREVALENCE_KEYS: usize = 1_000_000;

/// Scores a folder; the lines that the judge reads are in the file that is returned.
pub(crate) fn score(
    folder: &Path,
    method: &str,
    profile: Profile,
    with_context: bool,
) -> Result<PathBuf, Failure> {
    let observations = read(folder)?;
    let now = observations
        .iter()
        .map(|it| it.time)
        .max()
        .unwrap_or_default();
    let mut detector = Detector::new(Settings {
        profile,
        max_lateness_s: 1e9,
        ..Settings::default()
    })?;
    let mut prevalence = Prevalence::new(PREVALENCE_KEYS, 0);
    for observation in &observations {
        detector.observe(now, observation);
        if with_context {
            prevalence.observe(observation);
        }
    }
    let context = if with_context {
        Context::default().with_prevalence(Arc::new(prevalence))
    } else {
        Context::timing_only()
    };
    let path = folder.join(format!("{method}.ndjson"));
    let assessments: Vec<Assessment> = detector.assess_all(now, &context).collect();
    write_scores(&path, &assessments)?;
    Ok(path)
}

fn write_scores(path: &Path, assessments: &[Assessment]) -> Result<(), Failure> {
    let mut out = BufWriter::new(File::create(path)?);
    let detected: BTreeSet<&SeriesKey> = assessments
        .iter()
        .filter(|found| found.detected)
        .map(|found| &found.key)
        .collect();
    for found in assessments.iter().filter(|it| it.gate.is_none()) {
        let anchor = found
            .part_of
            .as_ref()
            .map_or(&found.key, |view| &view.anchor);
        let mut line = score_line(found, detected.contains(anchor));
        line["benign"] = json!(found.benign.as_ref().map(|it| &it.id));
        let view = found.part_of.as_ref().map_or(&found.view, |it| &it.view);
        line["view"] = json!(view.name());
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    Ok(())
}

fn read(folder: &Path) -> Result<Vec<Observation>, Failure> {
    let files: Vec<PathBuf> = ["conn.ndjson.gz", "updates.ndjson.gz"]
        .map(|name| folder.join(name))
        .into_iter()
        .filter(|path| path.is_file())
        .collect();
    Ok(inputs::read(&files, &inputs::Settings::default())?.observations)
}

/// Scores a folder as it would have been scored while it came in, by times alone; none when that takes too long.
pub(crate) fn score_online(folder: &Path) -> Result<Option<PathBuf>, Failure> {
    let mut observations = read(folder)?;
    if observations.len() > ONLINE_MOST {
        return Ok(None);
    }
    observations.sort_by_key(|it| it.time);
    let first = observations
        .first()
        .map_or(Timestamp::default(), |it| it.time);
    let last = observations.last().map_or(first, |it| it.time);
    let long = last.saturating_since(first) > Duration::from_hours(48);
    let step_ns: i64 = if long { 600 } else { 60 } * 1_000_000_000;
    let mut detector = Detector::new(Settings::default())?;
    let mut told: BTreeMap<SeriesKey, f64> = BTreeMap::new();
    let path = folder.join(format!("{ONLINE}.ndjson"));
    let mut out = BufWriter::new(File::create(&path)?);
    let mut rest = observations.as_slice();
    let mut now = first;
    while !rest.is_empty() {
        now = Timestamp::from_unix_nanos(now.unix_nanos().saturating_add(step_ns));
        let (come, later) = rest.split_at(rest.partition_point(|it| it.time <= now));
        rest = later;
        for observation in come {
            detector.observe(now, observation);
        }
        for found in detector.analyse(now, &Context::timing_only()) {
            let rank = ranking(&found);
            let best = told.get(&found.key).copied().unwrap_or(TOLD_FROM);
            if found.gate.is_some() || rank < best + RISE {
                continue;
            }
            let mut line = score_line(&found, found.detected || found.part_of.is_some());
            line["asof"] = json!(now.unix_nanos() / 1_000_000_000);
            writeln!(out, "{line}")?;
            told.insert(found.key, rank);
        }
    }
    out.flush()?;
    Ok(Some(path))
}

/// What the judge reads of a series.
fn score_line(found: &Assessment, detected: bool) -> Value {
    json!({
        "src": found.key.source,
        "dst": found.key.destination,
        "server_name": found.server_name,
        "dport": found.key.destination_port,
        "proto": found.key.transport.name(),
        "score": ranking(found),
        "detected": detected,
    })
}

/// The log-odds rank as the score does, and keep apart what rounds to 1.
fn ranking(found: &Assessment) -> f64 {
    if found.evidence.is_none() && found.part_of.is_none() {
        return found.score;
    }
    found.signals.iter().map(|signal| signal.contribution).sum()
}
