//! The p-value against irregular series that its table was not made from.
//!
//! This is the short form of `examples/calibration.rs`, which measures with more series and down to 10^-5.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "irregular/mod.rs"]
mod irregular;
#[path = "irregular/look.rs"]
mod look;

use beaconwatch_detector::evidence::{CadenceMeter, e_value};
use irregular::{KINDS, Kind};
use look::{any_gaps, look};
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
