//! The sets of the evaluation: generated worlds, implants in real days, real captures; peers' formulas and judge beside them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use beaconwatch_bench::peers;
use serde_json::{Value, json};

use crate::score::{ONLINE, OURS, score, score_online};
use crate::{Failure, print_line};

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

/// The folder of the evaluation, whether there is one or not.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("BEACONWATCH_EVALUATION").map_or_else(|| "../shared/eval".into(), Into::into)
}

/// Whether a folder holds the evaluation.
pub(crate) fn is_there(folder: &Path) -> bool {
    folder.join("judge.py").is_file()
}

/// Judges every set.
pub(crate) fn run_all(evaluation: &Path, small: bool) -> Result<(), Failure> {
    let work = tempfile::tempdir()?;
    worlds(evaluation, small, work.path())?;
    for host in HOSTS {
        let folder = work.path().join(host);
        let mut inject = python(evaluation, "gen.py");
        inject
            .arg("--host-data")
            .arg(evaluation.join("data").join(host));
        run(inject
            .args(["--seed", "1", "--split", "dev", "--per-cell", "1", "--out"])
            .arg(&folder))?;
        judge_all(evaluation, &format!("implants in {host}"), &folder)?;
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
        judge_all(evaluation, set, &folder)?;
    }
    Ok(())
}

fn worlds(evaluation: &Path, small: bool, work: &Path) -> Result<(), Failure> {
    for (name, seed, pairs, days, per_cell) in if small { SMALL } else { WORLDS } {
        let folder = work.join(format!("world-{seed}"));
        let numbers = [
            ("--seed", seed),
            ("--pairs", pairs),
            ("--days", days),
            ("--per-cell", per_cell),
        ];
        let mut generate = python(evaluation, "gen.py");
        for (flag, number) in numbers {
            generate.arg(flag).arg(number.to_string());
        }
        run(generate.args(["--split", "dev", "--out"]).arg(&folder))?;
        judge_all(evaluation, name, &folder)?;
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
    for peer in peers::NAMES {
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
    print_line(&line)
}

fn ranks(truth: &Value) -> Value {
    let all = truth.as_array().into_iter().flatten();
    all.map(|one| one["rank"].clone()).collect()
}

fn python(evaluation: &Path, program: &str) -> Command {
    let mut command = Command::new(peers::python());
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
