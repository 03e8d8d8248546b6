//! Worlds of the project's own, each judged as two sets: ordinary schedules, and the hard set.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use beaconwatch_bench::judge::{BUDGETS, Judged, judge};
use beaconwatch_bench::peers;
use beaconwatch_bench::world::{Plan, World};
use serde_json::{Value, json};

use crate::score::{OURS, score};
use crate::{Failure, print_line};

const WORLDS: [(&str, Plan); 2] = [
    (
        "own day",
        Plan {
            seed: 71,
            days: 1,
            irregular: 80_000,
            implants_each: 16,
        },
    ),
    (
        "own fourteen days",
        Plan {
            seed: 72,
            days: 14,
            irregular: 30_000,
            implants_each: 16,
        },
    ),
];
/// A small world has this part of the pairs, and one implant of each schedule.
const SMALL_PART: usize = 10;

/// Makes every world and judges its two sets.
pub(crate) fn run_all(small: bool) -> Result<(), Failure> {
    let temporary = tempfile::tempdir()?;
    let kept = std::env::var_os("BEACONWATCH_WORLDS").map(PathBuf::from);
    let work = kept.unwrap_or_else(|| temporary.path().to_owned());
    for (name, mut plan) in WORLDS {
        if small {
            plan.irregular /= SMALL_PART;
            plan.implants_each = 1;
        }
        let world = World::generate(&plan);
        let folder = work.join(name.replace(' ', "-"));
        fs::create_dir_all(&folder)?;
        world.write(&folder)?;
        for (method, scores) in all_scores(&folder)? {
            for (hard, set) in [(false, name.to_owned()), (true, format!("{name}, hard"))] {
                let judged = judge(&world, hard, lines(&scores)?);
                print_line(&line(&set, &method, &judged))?;
            }
        }
    }
    Ok(())
}

fn all_scores(folder: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let mut methods = Vec::new();
    for (method, profile, context) in OURS {
        methods.push((method.to_owned(), score(folder, method, profile, context)?));
    }
    let scores = folder.join("peers");
    peers::score(&folder.join("conn.ndjson.gz"), &scores)?;
    for peer in peers::NAMES {
        methods.push((peer.to_owned(), scores.join(peer).with_extension("ndjson")));
    }
    Ok(methods)
}

/// The score lines of a file that this program or `peers.py` has written.
fn lines(path: &Path) -> Result<impl Iterator<Item = Value>, Failure> {
    let lines = BufReader::new(File::open(path)?).lines();
    let lines: Vec<Value> = lines
        .map(|line| Ok(serde_json::from_str(&line?)?))
        .collect::<Result<_, Failure>>()?;
    Ok(lines.into_iter())
}

/// The same line as that of a set of the evaluation.
fn line(set: &str, method: &str, judged: &Judged) -> Value {
    let budgets = BUDGETS.iter().map(|(budget, _)| (*budget).to_owned());
    let recall = judged.recall.iter().map(|recall| json!(recall));
    let recall: serde_json::Map<String, Value> = budgets.zip(recall).collect();
    json!({
        "set": set,
        "method": method,
        "implants": judged.implants,
        "pairs_not_beating": judged.irregular,
        "recall": recall,
        "recall_by_family_at_1e-4": judged.families,
        "own_flag": {
            "recall": judged.flagged,
            "members_of_detected_views": "flagged",
            "false_among_pairs_not_beating": judged.false_flags,
        },
    })
}
