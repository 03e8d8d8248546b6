//! Simulates irregular processes and writes `src/evidence/null_table.rs`: what the statistics of
//! [`beaconwatch_detector::evidence`] reach without any beacon.
//!
//! `cargo run --release --package beaconwatch-detector --example null_table -- [SERIES_PER_CELL]`
//!
//! For each number of gaps and each class of the median gap, the quantiles of each kind of process are
//! taken, and of the kinds the largest: the table holds for each of them, not only for their mixture.
//! Beyond what the sample shows, the tail is exponential.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and ranks of samples stay far below 2^52"
)]

#[path = "../tests/irregular/mod.rs"]
mod irregular;

use std::thread;

use beaconwatch_detector::Timestamp;
use beaconwatch_detector::evidence::{CadenceMeter, clock_rhythm};
use irregular::KINDS;
use rand::SeedableRng;
use rand::rngs::StdRng;

const GAPS: [usize; 18] = [
    3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 21, 26, 34, 44, 58, 76, 100, 128,
];
/// Lower ends of the classes of the median gap, in seconds.
const CLASSES_S: [f64; 9] = [2.0, 6.0, 15.0, 40.0, 150.0, 1e3, 5e3, 15e3, 50e3];
/// Levels as -log10 of the probability to reach the quantile.
const LEVELS: [f64; 13] = [
    0.3, 0.5, 0.8, 1.0, 1.3, 1.6, 2.0, 2.3, 2.6, 3.0, 3.3, 3.6, 4.0,
];
const FEWEST_SERIES: usize = 200;
const SEED: u64 = 20_261_125;

/// Of one kind and number of gaps: cadence statistics by class, and clock statistics.
struct Sample {
    cadence: Vec<Vec<f64>>,
    clock: Vec<f64>,
}

fn main() {
    let series: usize = std::env::args()
        .nth(1)
        .map_or(Ok(40_000), |text| text.parse())
        .expect("the number of series of each kind is a whole number");
    let mut cadence = Vec::new();
    let mut clock = Vec::new();
    for (row, gaps) in GAPS.into_iter().enumerate() {
        let samples = simulate_all(row, gaps, series);
        let mut rows: Vec<Option<[f64; LEVELS.len()]>> = (0..CLASSES_S.len())
            .map(|class| envelope(samples.iter().map(|sample| &sample.cadence[class])))
            .collect();
        fill_from_neighbours(&mut rows);
        cadence.push(rows.into_iter().flatten().collect::<Vec<_>>());
        clock.push(envelope(samples.iter().map(|sample| &sample.clock)).unwrap_or(LEVELS));
        eprintln!("{gaps} gaps: done");
    }
    smooth(&mut cadence);
    print_table(&cadence, &clock);
}

fn simulate_all(row: usize, gaps: usize, series: usize) -> Vec<Sample> {
    let half = KINDS.len() / 2;
    thread::scope(|scope| {
        let workers: Vec<_> = [0..half, half..KINDS.len()]
            .map(|kinds| {
                scope.spawn(move || {
                    let simulate = |kind| simulate(row, kind, gaps, series);
                    kinds.map(simulate).collect::<Vec<_>>()
                })
            })
            .into();
        let finished = workers.into_iter().map(thread::ScopedJoinHandle::join);
        finished
            .flat_map(|samples| samples.expect("no worker panics"))
            .collect()
    })
}

fn simulate(row: usize, kind: usize, gaps: usize, series: usize) -> Sample {
    let mut rng = StdRng::seed_from_u64(SEED ^ ((row * 100 + kind) as u64) << 32);
    let mut meter = CadenceMeter::default();
    let mut sample = Sample {
        cadence: vec![Vec::new(); CLASSES_S.len()],
        clock: Vec::new(),
    };
    for _ in 0..series {
        let Some(beats) = irregular::beats(KINDS[kind], gaps + 1, &mut rng) else {
            continue;
        };
        let gaps_s: Vec<f64> = beats.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let Some(found) = meter.measure(&gaps_s) else {
            continue;
        };
        let class = CLASSES_S.partition_point(|low| *low <= found.median_gap_s);
        sample.cadence[class.saturating_sub(1)].push(found.statistic);
        let times: Vec<Timestamp> = beats
            .iter()
            .map(|beat| Timestamp::from_unix_nanos((beat * 1e9) as i64))
            .collect();
        sample
            .clock
            .push(clock_rhythm(&times).map_or(0.0, |found| found.statistic));
    }
    sample
}

/// Largest quantile over the kinds, by level.
fn envelope<'a>(samples: impl Iterator<Item = &'a Vec<f64>>) -> Option<[f64; LEVELS.len()]> {
    samples
        .filter(|sample| sample.len() >= FEWEST_SERIES)
        .map(|sample| quantiles(sample))
        .reduce(|a, b| std::array::from_fn(|level| a[level].max(b[level])))
}

/// Quantiles of a sample; an exponential tail where fewer than twenty series lie above.
fn quantiles(sample: &[f64]) -> [f64; LEVELS.len()] {
    let mut sorted = sample.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let rank = |level: f64| (10_f64.powf(-level) * sorted.len() as f64) as usize;
    let shown = LEVELS
        .iter()
        .rposition(|level| rank(*level) >= 20)
        .unwrap_or(3);
    let mut found = LEVELS.map(|level| sorted[rank(level)]);
    let base = LEVELS
        .iter()
        .rposition(|level| *level <= LEVELS[shown] - 0.8)
        .unwrap_or(0);
    let slope = ((found[shown] - found[base]) / (LEVELS[shown] - LEVELS[base])).max(0.5);
    for level in shown + 1..LEVELS.len() {
        found[level] = found[shown] + slope * (LEVELS[level] - LEVELS[shown]);
    }
    found
}

/// A class that no kind fills takes the row of the nearest one.
fn fill_from_neighbours(rows: &mut [Option<[f64; LEVELS.len()]>]) {
    let full: Vec<usize> = (0..rows.len())
        .filter(|class| rows[*class].is_some())
        .collect();
    for class in 0..rows.len() {
        let nearest = full.iter().min_by_key(|other| other.abs_diff(class));
        if let (None, Some(nearest)) = (rows[class], nearest) {
            rows[class] = rows[*nearest];
        }
    }
}

/// Weights 1, 2, 1 over neighbouring numbers of gaps, against the noise of the sample.
fn smooth(table: &mut [Vec<[f64; LEVELS.len()]>]) {
    let rough = table.to_vec();
    for (rows, smooth) in rough.windows(3).zip(table.iter_mut().skip(1)) {
        for (class, levels) in smooth.iter_mut().enumerate() {
            for (level, value) in levels.iter_mut().enumerate() {
                let at = |row: usize| rows[row][class][level];
                *value = 0.25 * (at(0) + 2.0 * at(1) + at(2));
            }
        }
    }
}

fn print_table(cadence: &[Vec<[f64; LEVELS.len()]>], clock: &[[f64; LEVELS.len()]]) {
    println!(
        "//! Quantiles of the statistics without a beacon. Written by `examples/null_table.rs`; do not edit."
    );
    println!(
        "\n/// Numbers of gaps: rows.\npub(super) const GAPS: [u16; {}] = {GAPS:?};",
        GAPS.len()
    );
    let classes = CLASSES_S.map(|class| format!("{class:.1}")).join(", ");
    println!(
        "/// Lower ends of the classes of the median gap, in seconds.\npub(super) const CLASSES_S: [f64; {}] = [{classes}];",
        CLASSES_S.len()
    );
    println!(
        "/// -log10 of the probability to reach a quantile.\npub(super) const LEVELS: [f64; {}] = {LEVELS:?};",
        LEVELS.len()
    );
    println!(
        "/// By number of gaps, class of the median gap and level.\npub(super) const CADENCE: [[[f32; {}]; {}]; {}] = [",
        LEVELS.len(),
        CLASSES_S.len(),
        GAPS.len()
    );
    for rows in cadence {
        println!("    [");
        for row in rows {
            println!("        {},", numbers(row));
        }
        println!("    ],");
    }
    println!(
        "];\n/// By number of gaps and level.\npub(super) const CLOCK: [[f32; {}]; {}] = [",
        LEVELS.len(),
        GAPS.len()
    );
    for row in clock {
        println!("    {},", numbers(row));
    }
    println!("];");
}

fn numbers(row: &[f64]) -> String {
    let texts: Vec<String> = row.iter().map(|value| format!("{value:.2}")).collect();
    format!("[{}]", texts.join(", "))
}
