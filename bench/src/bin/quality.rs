//! How well the detector finds what should be found: `./x bench quality`.
//!
//! Data, generator, peers' formulas and judge are programs that contain no code of ours, in a folder beside the
//! project (`BEACONWATCH_EVALUATION`, by default `../shared/eval`; Python with numpy in `PYTHON`, by default
//! `python3`). For each data set this scores every series at the end of the data with the methods `evidence` (with
//! context, as `beaconwatch score` does, and by times alone) and `seed`, lets the peers score it, and has the judge compare them with the truth. One JSON line for each set
//! and method: recall at three budgets of false positives among pairs that do not beat, and the method's own flag.
//! `evidence, online` looks at every series again whenever it changed, once a minute of the data (every ten minutes where they are longer
//! than two days), and tells when a score rises: the judge takes a pair's largest score ever, and says how long an implant had beaten
//! when its score passed the threshold of one false positive in 10,000. It is left out where there are more than 200,000 connections.
//!
//! A member of a view counts as flagged when the view is a detection, whichever member it is reported at: so does a
//! neighbour that was taken for a member, as a false positive.
//!
//! `BEACONWATCH_QUALITY=small` makes small worlds, to try it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use beaconwatch_detector::context::Prevalence;
use beaconwatch_detector::{
    Assessment, Context, Detector, Observation, Profile, SeriesKey, Settings, Timestamp,
};
use beaconwatch_inputs as inputs;
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// A world to generate: name, seed, pairs, days and implants of each kind.
const WORLDS: [(&str, u32, u32, u32, u32); 2] = [
    ("one day", 301, 100_000, 1, 15),
    ("fourteen days", 302, 25_000, 14, 20),
];
const SMALL: [(&str, u32, u32, u32, u32); 2] = [
    ("one day", 301, 6_000, 1, 2),
    ("fourteen days", 302, 3_000, 14, 2),
];
/// Real days into which implants are injected, and real captures with truth of their own.
const HOSTS: [&str; 2] = ["strato_008_benign", "strato_010_benign"];
const REAL: [&str; 2] = ["rita_missing_host", "strato_001_njrat"];

/// Name in the output, method, whether context weighs: the catalogue that ships, and who talks to whom in the data.
const OURS: [(&str, Profile, bool); 3] = [
    ("evidence", Profile::Evidence, true),
    ("evidence, times alone", Profile::Evidence, false),
    ("seed", Profile::Seed, false),
];
const ONLINE: &str = "evidence, online";
/// Observations past which nobody waits for it.
const ONLINE_MOST: usize = 200_000;
/// Log-odds below which a rise is not told, and the least that is.
const TOLD_FROM: f64 = -1.0;
const RISE: f64 = 0.1;
/// More keys than any of the sets has.
const PREVALENCE_KEYS: usize = 1_000_000;

fn main() -> Result<(), Failure> {
    let evaluation = PathBuf::from(
        std::env::var_os("BEACONWATCH_EVALUATION").unwrap_or_else(|| "../shared/eval".into()),
    );
    if !evaluation.join("judge.py").is_file() {
        return Err(format!(
            "{} has no judge.py: set BEACONWATCH_EVALUATION to the folder of the evaluation",
            evaluation.display()
        )
        .into());
    }
    let work = tempfile::tempdir()?;
    let small = std::env::var("BEACONWATCH_QUALITY").is_ok_and(|size| size == "small");
    for (name, seed, pairs, days, per_cell) in if small { SMALL } else { WORLDS } {
        let folder = work.path().join(format!("world-{seed}"));
        let numbers = [
            ("--seed", seed),
            ("--pairs", pairs),
            ("--days", days),
            ("--per-cell", per_cell),
        ];
        let mut generate = python(&evaluation, "gen.py");
        for (flag, number) in numbers {
            generate.arg(flag).arg(number.to_string());
        }
        run(generate.args(["--split", "dev", "--out"]).arg(&folder))?;
        judge_all(&evaluation, name, &folder)?;
    }
    for host in HOSTS {
        let folder = work.path().join(host);
        let mut inject = python(&evaluation, "gen.py");
        inject
            .arg("--host-data")
            .arg(evaluation.join("data").join(host));
        run(inject
            .args(["--seed", "1", "--split", "dev", "--per-cell", "1", "--out"])
            .arg(&folder))?;
        judge_all(&evaluation, &format!("implants in {host}"), &folder)?;
    }
    for set in REAL {
        // The judge writes a file beside the data, which may not be writable.
        let folder = work.path().join(set);
        fs::create_dir(&folder)?;
        for entry in fs::read_dir(evaluation.join("data").join(set))? {
            let from = entry?.path();
            if let (true, Some(name)) = (from.is_file(), from.file_name()) {
                fs::write(folder.join(name), fs::read(&from)?)?;
            }
        }
        judge_all(&evaluation, set, &folder)?;
    }
    Ok(())
}

fn judge_all(evaluation: &Path, name: &str, folder: &Path) -> Result<(), Failure> {
    let mut methods = Vec::new();
    for (method, profile, context) in OURS {
        methods.push((method.to_owned(), score(folder, method, profile, context)?));
    }
    if let Some(online) = score_online(folder)? {
        methods.push((ONLINE.to_owned(), online));
    }
    let peers = folder.join("peers");
    run(python(evaluation, "peers.py")
        .arg(folder.join("conn.ndjson.gz"))
        .arg("--out")
        .arg(&peers))?;
    for peer in ["rita", "elastic", "litemars"] {
        methods.push((peer.to_owned(), peers.join(peer).with_extension("ndjson")));
    }
    for (method, scores) in methods {
        let result = folder.join(format!("{method}.judged.json"));
        let mut judge = python(evaluation, "judge.py");
        judge
            .arg("--scores")
            .arg(scores)
            .arg("--data")
            .arg(folder)
            .arg("--json")
            .arg(&result);
        run(&mut judge)?;
        let judged: Value = serde_json::from_slice(&fs::read(&result)?)?;
        print(name, &method, &judged)?;
    }
    Ok(())
}

fn print(set: &str, method: &str, judged: &Value) -> Result<(), Failure> {
    let sets = judged["sets"]
        .as_object()
        .ok_or("the judge names no sets")?;
    let found = sets.values().next().ok_or("the judge names no set")?;
    let families: serde_json::Map<String, Value> = found["families"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(family, summary)| (family.clone(), summary["recall_np"]["0.0001"].clone()))
        .collect();
    let line = json!({
        "time_to_detection": found.get("ttd_min_median").map(|minutes| json!({
            "found": found["ttd_found"],
            "median_min": minutes,
            "p90_min": found["ttd_min_p90"],
            "median_beats": found["ttd_beats_median"],
        })),
        "set": set,
        "method": method,
        "implants": found["c2"],
        "pairs_not_beating": found["benign_np"],
        "recall": found["recall_np"],
        "recall_by_family_at_1e-4": families,
        "ranks": found.get("truth_ranks").map(ranks),
        "own_flag": {
            "recall": found["own_flag"]["recall"],
            "members_of_detected_views": "flagged",
            "false_among_pairs_not_beating": found["own_flag"]["false_np"],
        },
    });
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(())
}

fn ranks(truth: &Value) -> Value {
    let all = truth.as_array().into_iter().flatten();
    all.map(|one| one["rank"].clone()).collect()
}

/// Scores a folder; the lines that the judge reads are in the file that is returned.
fn score(
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
    let mut out = BufWriter::new(File::create(&path)?);
    let assessments: Vec<Assessment> = detector.assess_all(now, &context).collect();
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
    Ok(path)
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
fn score_online(folder: &Path) -> Result<Option<PathBuf>, Failure> {
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

fn python(evaluation: &Path, program: &str) -> Command {
    let mut command = Command::new(std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into()));
    // Modules lie beside the programs, and nothing is written there.
    command.arg("-B").arg(evaluation.join(program));
    command
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.stdout(Stdio::null()).status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{command:?} ended with {status}").into())
}
