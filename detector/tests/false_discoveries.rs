//! False discoveries through the public interface: against an oracle, on simulated tests, and on a detector's series.
//!
//! `tests/oracle/false_discoveries.py` writes `tests/oracle/false_discoveries.json`; it shares nothing with this code.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use beaconwatch_detector::{
    Assessment, Context, Detector, Observation, Phase, SeriesKey, Settings, Timestamp, Transport,
    ViewKind, detect_by_rate, discoveries, rate_e_value,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

fn cases(kind: &str) -> Vec<Value> {
    let oracle: Value =
        serde_json::from_str(include_str!("oracle/false_discoveries.json")).unwrap();
    let cases = oracle[kind].as_array().unwrap().clone();
    assert!(cases.len() >= 5);
    cases
}

fn numbers(values: &Value) -> Vec<f64> {
    let values = values.as_array().unwrap().iter();
    values.map(|it| it.as_f64().unwrap()).collect()
}

#[test]
fn as_many_e_values_are_discoveries_as_the_definition_says() {
    for case in cases("e_values") {
        let (tests, rate) = (case["tests"].as_u64().unwrap(), case["rate"].as_f64());
        let found = discoveries(&numbers(&case["e_values"]), tests, rate.unwrap());
        assert_eq!(Some(found as u64), case["discoveries"].as_u64(), "{tests}");
    }
}

#[test]
fn p_values_are_discoveries_where_benjamini_and_yekutieli_have_them() {
    for case in cases("p_values") {
        let (tests, rate) = (case["tests"].as_u64().unwrap(), case["rate"].as_f64());
        let rate = rate.unwrap();
        let e_values = numbers(&case["p_values"])
            .into_iter()
            .map(|p| rate_e_value(p, tests, rate))
            .collect::<Vec<_>>();
        let discovered = case["discovered"].as_array().unwrap();
        let expected = discovered.iter().filter(|it| **it == true).count();
        let found = discoveries(&e_values, tests, rate);
        assert_eq!(found, expected, "{tests} tests at {rate}");
        let least = tests_over(tests, rate, found);
        for (e, discovered) in e_values.iter().zip(discovered) {
            assert_eq!(
                Value::from(*e >= least),
                *discovered,
                "{e} of {tests} tests"
            );
        }
    }
}

fn tests_over(tests: u64, rate: f64, found: usize) -> f64 {
    f64::from(u32::try_from(tests).unwrap()) / (rate * f64::from(u32::try_from(found).unwrap()))
}

#[test]
fn the_e_value_of_a_uniform_p_value_has_the_mean_one() {
    for (tests, rate) in [(1, 0.5), (20, 0.1), (5_000, 0.1)] {
        // Midpoints in the logarithm from 10^-9: below, the e-value is constant.
        let steps = 400_000;
        let step = 9.0 * 10_f64.ln() / f64::from(steps);
        let above: f64 = (0..steps)
            .map(|at| (-step * (f64::from(at) + 0.5)).exp())
            .map(|p| p * step * rate_e_value(p, tests, rate))
            .sum();
        let mean = above + 1e-9 * rate_e_value(1e-9, tests, rate);
        assert!((mean - 1.0).abs() < 2e-3, "{mean} of {tests} tests");
    }
}

/// p-values of tests that all are of nothing, each uniform, so dependent that as many as there may be are small
/// together: with the chance `q / k`, `k` of them lie below `k q / m` and above `(k - 1) q / m`.
fn worst_p_values(tests: u32, q: f64, rng: &mut StdRng) -> Vec<f64> {
    let mut chance: f64 = rng.random();
    let together = (1..=tests).find(|k| {
        chance -= q / f64::from(*k);
        chance < 0.0
    });
    let p = (0..tests).map(|number| match together {
        Some(k) if number < k => (f64::from(k) - rng.random::<f64>()) * q / f64::from(tests),
        _ => 1.0 - (1.0 - q) * rng.random::<f64>(),
    });
    p.collect()
}

#[test]
fn the_share_of_false_ones_is_the_rate_where_dependence_is_worst() {
    const WORLDS: u32 = 4_000;
    let mut rng = StdRng::seed_from_u64(31);
    for (tests, rate) in [(60, 0.2), (200, 0.05)] {
        let mut share = |q: f64| {
            let mut with_a_false_one = 0;
            for _ in 0..WORLDS {
                let p = worst_p_values(tests, q, &mut rng).into_iter();
                let e_values: Vec<f64> =
                    p.map(|p| rate_e_value(p, u64::from(tests), rate)).collect();
                let found = discoveries(&e_values, u64::from(tests), rate);
                with_a_false_one += u32::from(found > 0);
            }
            f64::from(with_a_false_one) / f64::from(WORLDS)
        };
        let harmonic: f64 = (1..=tests).map(|k| 1.0 / f64::from(k)).sum();
        let error = (rate / f64::from(WORLDS)).sqrt();
        let worst = share(rate / harmonic);
        assert!((worst - rate).abs() <= 4.0 * error, "{worst} at {rate}");
        // The worst for a procedure that takes the tests for independent: it would be wrong `H(m)` times as often.
        let other = share(rate);
        assert!(other <= rate + 4.0 * error, "{other} at {rate}");
    }
}

#[test]
fn beside_beacons_the_share_of_false_ones_is_no_larger_and_every_beacon_is_reported() {
    const WORLDS: u32 = 2_000;
    let mut rng = StdRng::seed_from_u64(32);
    for (rate, beacons) in [(0.2, 5_u32), (0.5, 40)] {
        let (mut share, mut found) = (0.0, 0);
        for _ in 0..WORLDS {
            // The 60 others share one chance.
            let common: f64 = rng.random();
            let p = (0..beacons + 60).map(|number| {
                if number < beacons {
                    1e-6 * rng.random::<f64>()
                } else {
                    common
                }
            });
            let tests = u64::from(beacons) + 60;
            let e_values: Vec<f64> = p.map(|p| rate_e_value(p, tests, rate)).collect();
            let reported = discoveries(&e_values, tests, rate);
            found += reported;
            let false_ones = reported.saturating_sub(beacons as usize);
            share += f64::from(u32::try_from(false_ones).unwrap())
                / f64::from(u32::try_from(reported.max(1)).unwrap());
        }
        let mean = share / f64::from(WORLDS);
        assert!(mean > 0.0 && mean <= rate, "{mean} at {rate}");
        assert!(found >= (beacons * WORLDS) as usize, "only {found}");
    }
}

#[test]
fn nothing_is_a_discovery_at_a_rate_that_is_none_nor_without_numbers() {
    for rate in [0.0, 1.0, -0.1, 2.0, f64::NAN, f64::INFINITY] {
        assert_eq!(discoveries(&[1e300, f64::INFINITY], 2, rate), 0, "{rate}");
        assert!(rate_e_value(1e-12, 2, rate).abs() < f64::MIN_POSITIVE);
    }
    assert_eq!(discoveries(&[], 0, 0.1), 0);
    assert_eq!(discoveries(&[f64::NAN; 4], 4, 0.5), 0);
    assert_eq!(discoveries(&[f64::INFINITY, f64::NAN], 1 << 40, 0.5), 1);
    for p in [f64::NAN, 1.0, f64::INFINITY] {
        assert!(rate_e_value(p, 100, 0.1).abs() < f64::MIN_POSITIVE, "{p}");
    }
    // No e-value says more than that one finding alone may be reported.
    assert!((rate_e_value(0.0, 100, 0.1) - 1_000.0).abs() < 1e-9);
}

fn key(place: u8) -> SeriesKey {
    SeriesKey {
        host: Arc::from("host"),
        namespace: Arc::from(""),
        source: [10, 0, 0, place].into(),
        destination: [198, 51, 100, place].into(),
        destination_port: 443,
        transport: Transport::Tcp,
    }
}

/// One look at `beacons` beacons of 60 s ± 50 % and 200 series in all, the others without any rhythm.
fn world(beacons: u8) -> (Vec<Assessment>, u64) {
    let mut rng = StdRng::seed_from_u64(u64::from(beacons));
    let mut detector = Detector::new(Settings {
        max_lateness_s: 1e9,
        ..Settings::default()
    })
    .unwrap();
    let now = Timestamp::from_unix_seconds(1.8e9).unwrap();
    for place in 0..200 {
        let mut time_s = 1.7e9;
        for _ in 0..16 {
            time_s += if place < beacons {
                60.0 * rng.random_range(0.5..1.5)
            } else {
                -60.0 * (1.0 - rng.random::<f64>()).ln()
            };
            let time = Timestamp::from_unix_seconds(time_s).unwrap();
            detector.observe(now, &Observation::new(time, Phase::Opened, key(place)));
        }
    }
    let found = detector.assess_all(now, &Context::default()).collect();
    (found, detector.tests())
}

#[test]
fn a_rate_finds_more_the_more_beacons_there_are_and_a_number_does_not() {
    let found = |beacons: u8| {
        let (mut found, tests) = world(beacons);
        // 200 series that can be tested, and their 200 sources.
        assert_eq!(tests, 400);
        let by_number = found.iter().filter(|it| it.detected).count();
        let by_rate = detect_by_rate(&mut found, tests, 0.1, 0.5);
        let marked = found.iter().filter(|it| it.detected);
        assert_eq!(by_rate, marked.clone().count());
        assert!(
            marked
                .clone()
                .all(|it| it.key.source <= key(beacons).source)
        );
        (by_number, by_rate)
    };
    let (few, many) = (found(2), found(100));
    assert!(few.1 <= few.0, "{few:?}");
    assert!(many.1 > many.0 && many.1 <= 100, "{many:?}");
}

#[test]
fn what_is_below_the_score_benign_or_told_elsewhere_is_no_finding_at_any_rate() {
    let (found, tests) = world(100);
    let all = |alter: &dyn Fn(&mut Assessment)| {
        let mut found = found.clone();
        found.iter_mut().for_each(alter);
        detect_by_rate(&mut found, tests, 0.1, 0.5)
    };
    let whole = all(&|_| ());
    assert!(whole > 50, "{whole}");
    assert_eq!(all(&|it| it.score = 0.4), 0);
    assert_eq!(all(&|it| it.evidence = None), 0);
    // What is left out leaves fewer to share the permitted false ones.
    let fewer = all(&|it| {
        if it.key.source >= key(50).source {
            it.score = 0.0;
        }
    });
    assert!(fewer > 0 && fewer <= 50, "{fewer}");
    // A view has paid for its share already.
    assert!(all(&|it| it.view.kind = ViewKind::Rotation) >= whole);
}
