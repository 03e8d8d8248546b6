//! The seed score against values that numpy computed from the documented formula.
//!
//! `tests/oracle/seed.py` writes `tests/oracle/seed.json`; it shares nothing with this code.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use beaconwatch_detector::seed::{self, Gate, SeedScore};
use beaconwatch_detector::{SeedSettings, Timestamp};
use serde_json::Value;

/// Largest difference, relative to values above 1.
const TOLERANCE: f64 = 1e-9;

fn cases() -> Vec<Value> {
    serde_json::from_str(include_str!("oracle/seed.json")).unwrap()
}

fn times(case: &Value) -> Vec<Timestamp> {
    let mut nanos = i128::from(case["first_ns"].as_i64().unwrap());
    let steps = case["steps_ns"].as_array().unwrap();
    let mut times = vec![nanos];
    for step in steps {
        nanos += i128::from(step.as_u64().unwrap());
        times.push(nanos);
    }
    times
        .into_iter()
        .map(|t| Timestamp::from_unix_nanos(i64::try_from(t).unwrap()))
        .collect()
}

fn found(score: &SeedScore) -> Vec<(&'static str, f64)> {
    let intervals = &score.intervals;
    let mut values = vec![
        ("/intervals/mean_s", intervals.mean_s),
        (
            "/intervals/standard_deviation_s",
            intervals.standard_deviation_s,
        ),
        (
            "/intervals/coefficient_of_variation",
            intervals.coefficient_of_variation,
        ),
        ("/intervals/median_s", intervals.median_s),
        (
            "/intervals/median_absolute_deviation_s",
            intervals.median_absolute_deviation_s,
        ),
        ("/intervals/minimum_s", intervals.minimum_s),
        ("/intervals/maximum_s", intervals.maximum_s),
        (
            "/intervals/maximum_deviation_s",
            intervals.maximum_deviation_s,
        ),
        ("/cv_score", score.cv_score),
        ("/near_median", score.near_median),
        ("/periodicity_score", score.periodicity_score),
        ("/jitter_threshold_s", score.jitter_threshold_s),
        ("/jitter_score", score.jitter_score),
        ("/combined", score.combined),
    ];
    if let Some(peak) = score.spectrum {
        values.extend([
            ("/spectrum/period_s", peak.period_s),
            ("/spectrum/share", peak.share),
            ("/spectrum/ratio", peak.ratio),
            ("/spectrum/score", peak.score),
        ]);
    }
    values
}

#[test]
fn every_component_agrees_with_numpy_to_nine_digits() {
    let cases = cases();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    for case in &cases {
        let (name, expected) = (&case["name"], &case["expected"]);
        let score = seed::score(&times(case), &SeedSettings::default()).unwrap();
        for (field, value) in found(&score) {
            let wanted = expected.pointer(field).and_then(Value::as_f64);
            let wanted =
                wanted.unwrap_or_else(|| panic!("{name}: {field} is {value}, expected none"));
            let difference = (value - wanted).abs() / wanted.abs().max(1.0);
            assert!(
                difference <= TOLERANCE,
                "{name}: {field} is {value}, expected {wanted}"
            );
        }
        assert_eq!(
            score.spectrum.is_none(),
            expected["spectrum"].is_null(),
            "{name}: spectrum"
        );
        assert_eq!(
            Some(score.intervals.count),
            expected["intervals"]["count"].as_u64(),
            "{name}"
        );
    }
}

#[test]
fn the_gates_agree_with_the_oracle() {
    for case in &cases() {
        let score = seed::score(&times(case), &SeedSettings::default()).unwrap();
        let gate = score.gate.map(|gate| match gate {
            Gate::Connections { .. } => "connections",
            Gate::Duration { .. } => "duration",
            Gate::Interval { .. } => "interval",
        });
        assert_eq!(gate, case["expected"]["gate"].as_str(), "{}", case["name"]);
    }
}

#[test]
fn the_order_of_the_times_does_not_matter() {
    for case in &cases() {
        let mut times = times(case);
        let sorted = seed::score(&times, &SeedSettings::default());
        times.reverse();
        assert_eq!(
            seed::score(&times, &SeedSettings::default()),
            sorted,
            "{}",
            case["name"]
        );
    }
}
