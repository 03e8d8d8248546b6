//! Scores of pairs against the truth of a world of the project's own.
//!
//! The threshold at a budget b of false positives among N irregular pairs is the largest score such that at most ⌊b N⌋ of
//! them lie above it; an implant is found when the largest score of its pairs lies above. Pairs that were not scored lie
//! below all others; harmless beacons and the other set's implants do not count. That is how the judge of the evaluation
//! counts as well.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts far below 2^53"
)]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::Value;

use crate::world::{Kind, World};

/// Budgets of false positives among pairs that do not beat, as they are printed.
pub const BUDGETS: [(&str, f64); 3] = [("0.001", 1e-3), ("0.0001", 1e-4), ("1e-05", 1e-5)];
/// Which of [`BUDGETS`] the families are judged at.
const FAMILY_BUDGET: usize = 1;

/// What a method has found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// Implants of the set.
    pub implants: usize,
    /// Irregular pairs of the world.
    pub irregular: usize,
    /// Share of the implants found at each of [`BUDGETS`].
    pub recall: [f64; BUDGETS.len()],
    /// The same at one false positive in 10,000, for each family.
    pub families: BTreeMap<&'static str, f64>,
    /// Share of the implants that the method flags itself.
    pub flagged: f64,
    /// Irregular pairs that it flags.
    pub false_flags: usize,
}

/// What a method says of a pair.
#[derive(Clone, Copy, Debug)]
struct Said {
    score: f64,
    flagged: bool,
}

const NOTHING: Said = Said {
    score: f64::NEG_INFINITY,
    flagged: false,
};

/// Judges score lines (objects with `src`, `dst`, `dport`, `proto`, `score` and `detected`) for the implants of the hard
/// set or for the others. Lines of no pair of the world are left out.
#[must_use]
pub fn judge(world: &World, hard: bool, lines: impl Iterator<Item = Value>) -> Judged {
    let said = by_pair(world, lines);
    let irregular: Vec<Said> = world
        .pairs
        .iter()
        .zip(&said)
        .filter(|(pair, _)| pair.kind == Kind::Irregular && pair.connections > 0)
        .map(|(_, said)| *said)
        .collect();
    let thresholds = BUDGETS.map(|(_, budget)| threshold(&irregular, budget));
    let implants: Vec<(&'static str, Said)> = world
        .implants
        .iter()
        .filter(|implant| implant.schedule.hard == hard && implant.beats > 0)
        .map(|implant| {
            let pairs = implant.pairs.iter().map(|pair| said[*pair]);
            (implant.schedule.family, pairs.fold(NOTHING, larger))
        })
        .collect();
    let mut families: BTreeMap<&'static str, Vec<bool>> = BTreeMap::new();
    for (family, said) in &implants {
        let found = said.score > thresholds[FAMILY_BUDGET];
        families.entry(family).or_default().push(found);
    }
    Judged {
        implants: implants.len(),
        irregular: irregular.len(),
        recall: thresholds.map(|it| share(implants.iter().map(|(_, said)| said.score > it))),
        families: families
            .into_iter()
            .map(|(family, found)| (family, share(found.into_iter())))
            .collect(),
        flagged: share(implants.iter().map(|(_, said)| said.flagged)),
        false_flags: irregular.iter().filter(|said| said.flagged).count(),
    }
}

/// What is said of each pair of the world.
fn by_pair(world: &World, lines: impl Iterator<Item = Value>) -> Vec<Said> {
    let key = |source: &str, destination: &str, port: u64, transport: &str| {
        format!("{source} {destination} {port} {transport}")
    };
    let indices: BTreeMap<String, usize> = world
        .pairs
        .iter()
        .map(|pair| {
            let ends = [pair.source, pair.destination].map(|it| Ipv4Addr::from(it).to_string());
            key(&ends[0], &ends[1], u64::from(pair.port), pair.transport)
        })
        .zip(0..)
        .collect();
    let mut said = vec![NOTHING; world.pairs.len()];
    for line in lines {
        let text = |name: &str| line[name].as_str().unwrap_or_default();
        let port = line["dport"].as_u64().unwrap_or_default();
        let key = key(text("src"), text("dst"), port, text("proto"));
        if let Some(index) = indices.get(&key) {
            let one = Said {
                score: line["score"].as_f64().unwrap_or(f64::NEG_INFINITY),
                flagged: line["detected"].as_bool().unwrap_or(false),
            };
            said[*index] = larger(said[*index], one);
        }
    }
    said
}

fn larger(a: Said, b: Said) -> Said {
    Said {
        score: a.score.max(b.score),
        flagged: a.flagged || b.flagged,
    }
}

fn threshold(irregular: &[Said], budget: f64) -> f64 {
    let mut scores: Vec<f64> = irregular.iter().map(|said| said.score).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    let allowed = (budget * scores.len() as f64 + 1e-9) as usize;
    scores.get(allowed).copied().unwrap_or(f64::NEG_INFINITY)
}

fn share(found: impl ExactSizeIterator<Item = bool>) -> f64 {
    let all = found.len();
    found.filter(|it| *it).count() as f64 / all.max(1) as f64
}

#[cfg(test)]
mod tests;
