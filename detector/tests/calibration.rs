//! The p-value against irregular series that its table was not made from.
//!
//! This is the short form of `examples/calibration.rs`, which measures with more series and down to 10^-5.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "irregular/mod.rs"]
mod irregular;
#[path = "irregular/look.rs"]
mod look;
#[path = "irregular/neighbours.rs"]
#[expect(dead_code, reason = "the tests of views use the rest")]
mod neighbours;

use beaconwatch_detector::evidence::{CadenceMeter, MOST_GAPS, e_value, looks_factor};
use irregular::{KINDS, Kind};
use look::{any_gaps, look, look_at_newest, superposed};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

const SERIES: u32 = 600;

/// p-values of series of one kind with 3 to 200 gaps.
fn p_values(kind: Kind, seed: u64) -> Vec<f64> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut meter = CadenceMeter::default();
    (0..SERIES)
        .filter_map(|_| {
            let gaps = any_gaps(&mut rng);
            let beats = irregular::beats(kind, gaps + 1, &mut rng)?;
            look(&mut meter, &beats)
        })
        .collect()
}

/// Largest count that a binomial variable exceeds by chance once in about 30,000 times.
fn bound(series: usize, level: f64) -> f64 {
    let mean = f64::from(u32::try_from(series).unwrap()) * level;
    mean + 4.0 * mean.sqrt() + 2.0
}

fn count(p_values: &[f64], level: f64) -> f64 {
    f64::from(u32::try_from(p_values.iter().filter(|p| **p <= level).count()).unwrap())
}

#[test]
fn irregular_traffic_of_every_kind_has_small_p_values_no_more_often_than_they_say() {
    let mut all = Vec::new();
    for (seed, kind) in (4_242..).zip(KINDS) {
        let found = p_values(kind, seed);
        assert!(found.len() > 500, "{kind:?} made {} series", found.len());
        for level in [0.1, 0.01] {
            let passed = count(&found, level);
            assert!(
                passed <= bound(found.len(), level),
                "{kind:?}: {passed} of {} at {level}",
                found.len()
            );
        }
        all.extend(found);
    }
    let passed = count(&all, 1e-3);
    assert!(
        passed <= bound(all.len(), 1e-3),
        "{passed} of {}",
        all.len()
    );
    let mean =
        all.iter().map(|p| e_value(*p)).sum::<f64>() / f64::from(u32::try_from(all.len()).unwrap());
    assert!(
        mean <= 1.0,
        "the e-values of irregular traffic have the mean {mean}"
    );
}

/// Smallest p-value for any look at all looks at the first beats, as [`looks_factor`] makes it, and smallest of one look.
fn smallest_of_all_looks(meter: &mut CadenceMeter, beats: &[f64], most: usize) -> (f64, f64) {
    let counts = 4..=beats.len().min(most);
    counts.fold((1.0, 1.0), |(any, one): (f64, f64), count| {
        let p = look_at_newest(meter, &beats[..count], MOST_GAPS).unwrap_or(1.0);
        let factor = looks_factor(u64::try_from(count).unwrap());
        (any.min(p * factor), one.min(p))
    })
}

#[test]
fn at_any_look_irregular_destinations_laid_over_each_other_are_small_no_more_often_than_the_factor_says()
 {
    let mut meter = CadenceMeter::default();
    let (mut of_any_look, mut of_one) = (Vec::new(), Vec::new());
    for (seed, kind) in (5_151..).zip(KINDS) {
        let mut rng = StdRng::seed_from_u64(seed);
        for _ in 0..10 {
            let beats = superposed(kind, &mut rng);
            let (any, one) = smallest_of_all_looks(&mut meter, &beats, 96);
            of_any_look.push(any);
            of_one.push(one);
        }
    }
    let passed = count(&of_any_look, 0.1);
    assert!(
        passed <= bound(of_any_look.len(), 0.1),
        "{passed} of {} at 0.1",
        of_any_look.len()
    );
    // Without the factor the same looks break the promise: this test can see it.
    assert!(count(&of_one, 0.1) > bound(of_one.len(), 0.1));
}
