//! Measures what the p-values of [`beaconwatch_detector::evidence`] promise, on irregular series that the table was
//! not made from (same kinds of processes, other seeds, other numbers of gaps).
//!
//! `cargo run --release --package beaconwatch-detector --example calibration -- single [SERIES]`: for each kind, the
//! share of series with p at most a level, at one look.
//! `... -- looks [SERIES]`: how often the smallest p of all looks up to a number of beats is at most a level,
//! relative to that level. `... -- run [SERIES]`: the same of the newest 16 gaps alone.
//! `... -- views [SOURCES]`: sources that talk irregularly to 2 to 40 destinations that share a port, a name
//! or a process; the share of sources for which a view is reported with p at most a level.
//! `... -- views-looks [SOURCES] [GROWTH]`: such sources looked at again and again, whenever their starts have grown by
//! a share (0.02: at every start up to 50, at every tenth near 500; 0: at every start): how often the smallest p of
//! all views at all looks up to a number of starts is at most 0.01, relative to 0.01; last, for all starts, how often that
//! which holds at any look is at most 0.05, relative to 0.05.
//! `... -- superposition [SOURCES] [GROWTH]`: the table of `looks` for all starts of such a source as one series, which is what
//! a view weighs, without the price of choosing it.
#![expect(clippy::print_stdout, reason = "a program")]
#![expect(
    clippy::cast_precision_loss,
    reason = "counts of simulated series stay far below 2^52"
)]

#[path = "../tests/irregular/mod.rs"]
mod irregular;
#[path = "../tests/irregular/look.rs"]
mod look;
#[path = "../tests/irregular/neighbours.rs"]
mod neighbours;

use std::thread;

use beaconwatch_detector::evidence::{CadenceMeter, MOST_GAPS};
use irregular::{KINDS, Kind};
use look::{any_gaps, look, look_at_newest};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

const SEED: u64 = 77_001;
const LEVELS: [f64; 5] = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5];
/// Numbers of beats up to which a series is looked at, for the second table.
const HORIZONS: [usize; 9] = [8, 16, 32, 64, 128, 256, 512, 1024, 2048];
const MOST_BEATS: usize = HORIZONS[HORIZONS.len() - 1];
/// Share by which the starts of a source grow from look to look.
const GROWTH: f64 = 0.02;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_else(|| "single".to_owned());
    let default = match mode.as_str() {
        "looks" | "run" => 400,
        "views" => 4_000,
        "views-looks" | "superposition" => 200,
        _ => 72_000,
    };
    let series = arguments
        .next()
        .map_or(Ok(default), |text| text.parse())
        .expect("the number of series of each kind is a whole number");
    let growth = arguments
        .next()
        .map_or(
            Ok(if mode == "views-looks" { GROWTH } else { 0.0 }),
            |text| text.parse(),
        )
        .expect("the growth from look to look is a number");
    let rows: Vec<(Kind, Vec<f64>)> = in_parallel(|kind| {
        let one = |rng: &mut StdRng| irregular::beats(KINDS[kind], MOST_BEATS, rng);
        let row = match mode.as_str() {
            "looks" => repeated(kind, series, (MOST_GAPS, growth), one),
            "run" => repeated(kind, series, (16, growth), one),
            "superposition" => repeated(kind, series, (MOST_GAPS, growth), |rng| {
                Some(look::superposed(KINDS[kind], rng))
            }),
            "views" => superposed(kind, series),
            "views-looks" => watched(kind, series, growth),
            _ => single(kind, series),
        };
        (KINDS[kind], row)
    });
    let mut mean = vec![0.0; rows[0].1.len()];
    for (kind, row) in &rows {
        println!("{:<20} {}", format!("{kind:?}"), numbers(row));
        for (sum, value) in mean.iter_mut().zip(row) {
            *sum += value / rows.len() as f64;
        }
    }
    println!("{:<20} {}", "all", numbers(&mean));
}

fn in_parallel<T: Send>(work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let work = &work;
    let half = KINDS.len() / 2;
    thread::scope(|scope| {
        let spawn = |kinds: std::ops::Range<usize>| {
            scope.spawn(move || kinds.map(work).collect::<Vec<T>>())
        };
        let workers = [spawn(0..half), spawn(half..KINDS.len())];
        let finished = workers.into_iter().map(thread::ScopedJoinHandle::join);
        finished
            .flat_map(|rows| rows.expect("no worker panics"))
            .collect()
    })
}

/// Shares of series with p at most each level, with 3 to 200 gaps.
fn single(kind: usize, series: usize) -> Vec<f64> {
    let mut rng = StdRng::seed_from_u64(SEED + kind as u64);
    let mut meter = CadenceMeter::default();
    let (mut made, mut passed) = (0_u64, [0_u64; LEVELS.len()]);
    for _ in 0..series {
        let gaps = any_gaps(&mut rng);
        let Some(beats) = irregular::beats(KINDS[kind], gaps + 1, &mut rng) else {
            continue;
        };
        made += 1;
        let p = look(&mut meter, &beats).unwrap_or(1.0);
        for (passed, level) in passed.iter_mut().zip(LEVELS) {
            *passed += u64::from(p <= level);
        }
    }
    passed
        .iter()
        .map(|passed| *passed as f64 / made as f64)
        .collect()
}

/// For each horizon the ratio of P(some look has p <= 0.01) to 0.01, of the series that are so long.
fn repeated(
    kind: usize,
    series: usize,
    (gaps, growth): (usize, f64),
    beats_of: impl Fn(&mut StdRng) -> Option<Vec<f64>>,
) -> Vec<f64> {
    let mut rng = StdRng::seed_from_u64(SEED + 1000 + kind as u64);
    let mut meter = CadenceMeter::default();
    let (mut made, mut passed) = ([0_u64; HORIZONS.len()], [0_u64; HORIZONS.len()]);
    for beats in (0..series).filter_map(|_| beats_of(&mut rng)) {
        let mut smallest = 1.0_f64;
        let (mut horizon, mut next) = (0, 0.0);
        for count in 4..=beats.len().min(MOST_BEATS) {
            if count as f64 >= next {
                let p = look_at_newest(&mut meter, &beats[..count], gaps).unwrap_or(1.0);
                smallest = smallest.min(p);
                next = count as f64 * (1.0 + growth);
            }
            if HORIZONS.get(horizon) == Some(&count) {
                made[horizon] += 1;
                passed[horizon] += u64::from(smallest <= 0.01);
                horizon += 1;
            }
        }
    }
    let horizons = passed.iter().zip(made);
    horizons
        .map(|(passed, made)| *passed as f64 / made as f64 / 0.01)
        .collect()
}

/// The same of the views of irregular sources, by their starts; then P(some look has p for any look <= 0.05) to 0.05
/// for all of their starts.
fn watched(kind: usize, sources: usize, growth: f64) -> Vec<f64> {
    let mut rng = StdRng::seed_from_u64(SEED + 3000 + kind as u64);
    let mut passed = [0_u64; HORIZONS.len() + 1];
    let mut made = [0_u64; HORIZONS.len() + 1];
    for _ in 0..sources {
        let looks = neighbours::watch(KINDS[kind], MOST_BEATS, growth, &mut rng);
        for (place, horizon) in HORIZONS.into_iter().enumerate() {
            // A look that is not made at the horizon itself is made within one step of growth before it.
            let last = looks.iter().take_while(|it| it.starts <= horizon).last();
            let is_long = looks
                .last()
                .is_some_and(|it| it.starts * 11 >= horizon * 10);
            made[place] += u64::from(is_long);
            passed[place] += u64::from(is_long && last.is_some_and(|it| it.p <= 0.01));
        }
        let whole = looks.last().map_or(1.0, |it| it.p_any_look);
        made[HORIZONS.len()] += 1;
        passed[HORIZONS.len()] += u64::from(whole <= 0.05);
    }
    let level = |place: usize| if place < HORIZONS.len() { 0.01 } else { 0.05 };
    let places = passed.iter().zip(made).enumerate();
    places
        .map(|(place, (passed, made))| *passed as f64 / made as f64 / level(place))
        .collect()
}

/// Shares of sources with a view whose p is at most each level.
fn superposed(kind: usize, sources: usize) -> Vec<f64> {
    let mut rng = StdRng::seed_from_u64(SEED + 2000 + kind as u64);
    let mut passed = [0_u64; LEVELS.len()];
    for _ in 0..sources {
        let p = neighbours::smallest_p_of_views(KINDS[kind], &mut rng);
        for (passed, level) in passed.iter_mut().zip(LEVELS) {
            *passed += u64::from(p <= level);
        }
    }
    passed
        .iter()
        .map(|passed| *passed as f64 / sources as f64)
        .collect()
}

fn numbers(row: &[f64]) -> String {
    let texts: Vec<String> = row.iter().map(|value| format!("{value:10.2e}")).collect();
    texts.concat()
}
