//! How well the detector finds what should be found: `./x bench quality`.
//!
//! Every series is scored at the end of the data with the methods `evidence` (with context, as `beaconwatch score` does, and
//! by times alone) and `seed`, and with the peers' formulas; a judge compares them with the truth. One JSON line for each set
//! and method: recall at three budgets of false positives among pairs that do not beat, by family at one in 10,000, and the
//! method's own flag. A member of a view counts as flagged when the view is a detection, whichever member it is reported at: so
//! does a neighbour that was taken for a member, as a false positive.
//!
//! - [`own`]: worlds of the project's own (`beaconwatch_bench::world`), a day and fourteen days. Each has two sets: the
//!   ordinary schedules and the hard set. Generator, truth, judge and peers' formulas (`bench/peers.py`) are the project's,
//!   and share nothing with the detector.
//! - [`evaluation`]: data, generator, peers' formulas and judge that contain no code of ours, in a folder beside the project
//!   (`BEACONWATCH_EVALUATION`, by default `../shared/eval`). Here `evidence, online` looks at every series again whenever
//!   it changed, once a minute of the data (every ten minutes where they are longer than two days), and tells when a score
//!   rises: the judge takes a pair's largest score ever, and says how long an implant had beaten when its score passed the
//!   threshold of one false positive in 10,000. It is left out where there are more than 200,000 connections.
//!
//! Both are run, the second when the folder is there. `BEACONWATCH_QUALITY` chooses by words: `own`, `evaluation` (then the
//! folder must be there), `small` for small worlds, to try it. Python with numpy is `PYTHON`, by default `python3`.
//! `BEACONWATCH_WORLDS` names a folder in which the own worlds and all scores are left.

mod evaluation;
mod own;
mod score;

use std::io::Write as _;

use beaconwatch_bench::peers;
use serde_json::Value;

type Failure = Box<dyn std::error::Error>;

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Choice {
    own: bool,
    evaluation: bool,
    small: bool,
}

impl Choice {
    fn read(words: &str) -> Result<Self, Failure> {
        let mut choice = Self::default();
        for word in words.split([',', ' ']).filter(|word| !word.is_empty()) {
            match word {
                "own" => choice.own = true,
                "evaluation" => choice.evaluation = true,
                "small" => choice.small = true,
                _ => {
                    let expected = "expected own, evaluation, small";
                    return Err(format!("BEACONWATCH_QUALITY has {word:?}; {expected}").into());
                }
            }
        }
        Ok(choice)
    }
}

fn main() -> Result<(), Failure> {
    let choice = Choice::read(&std::env::var("BEACONWATCH_QUALITY").unwrap_or_default())?;
    if let Some(missing) = peers::missing() {
        return Err(format!("the peers' formulas cannot be run: {missing}").into());
    }
    let folder = evaluation::folder();
    let is_there = evaluation::is_there(&folder);
    if choice.evaluation && !is_there {
        return Err(format!(
            "{} has no judge.py: set BEACONWATCH_EVALUATION to the folder of the evaluation",
            folder.display()
        )
        .into());
    }
    let chosen = choice.own || choice.evaluation;
    if choice.own || !chosen {
        own::run_all(choice.small)?;
    }
    if choice.evaluation || (!chosen && is_there) {
        evaluation::run_all(&folder, choice.small)?;
    }
    Ok(())
}

fn print_line(line: &Value) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(())
}
