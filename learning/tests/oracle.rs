//! Formulas against an oracle: `tests/oracle/learning.py` writes `tests/oracle/learning.json` and shares nothing with
//! this code.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use beaconwatch_learning::{
    Example, FeatureSet, Model, TrainSettings, auc, average_path_length, brier, reliability, train,
};
use serde_json::Value;

fn oracle() -> Value {
    serde_json::from_str(include_str!("oracle/learning.json")).unwrap()
}

fn cases(name: &str) -> Vec<Value> {
    let cases = oracle()[name].as_array().unwrap().clone();
    assert!(!cases.is_empty(), "{name}");
    cases
}

fn numbers(value: &Value) -> Vec<f64> {
    let values = value.as_array().unwrap().iter();
    values.map(|it| it.as_f64().unwrap()).collect()
}

fn truths(value: &Value) -> Vec<bool> {
    let values = value.as_array().unwrap().iter();
    values.map(|it| it.as_bool().unwrap()).collect()
}

fn close(name: &str, found: f64, expected: f64, tolerance: f64) {
    let difference = (found - expected).abs() / expected.abs().max(1.0);
    assert!(
        difference < tolerance,
        "{name}: {found}, expected {expected}"
    );
}

#[test]
fn the_logistic_regression_is_the_minimum_that_scipy_finds() {
    for (number, case) in cases("logistic").iter().enumerate() {
        let rows: Vec<Vec<f64>> = case["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(numbers)
            .collect();
        let examples: Vec<Example> = rows
            .iter()
            .zip(truths(&case["labels"]))
            .map(|(row, label)| Example {
                features: row.clone(),
                label,
                host: Arc::from("h"),
                pair: Arc::from("p"),
            })
            .collect();
        let settings = TrainSettings {
            ridge: case["ridge"].as_f64().unwrap(),
            ..TrainSettings::default()
        };
        let (model, report) = train(FeatureSet::BeaconHunter, &examples, &settings).unwrap();
        // Nine digits are kept.
        let name = |what: &str| format!("case {number}, {what}");
        let intercept = case["intercept"].as_f64().unwrap();
        close(&name("intercept"), report.intercept, intercept, 2e-8);
        for (at, weight) in report.weights.iter().enumerate() {
            let expected = |list: &str| numbers(&case[list])[at];
            close(&name("mean"), weight.mean, expected("mean"), 2e-8);
            close(&name("scale"), weight.scale, expected("scale"), 2e-8);
            close(&name("weight"), weight.weight, expected("weights"), 2e-8);
        }
        let step = usize::try_from(case["step"].as_u64().unwrap()).unwrap();
        let expected = numbers(&case["probabilities"]);
        for (row, probability) in rows.iter().step_by(step).zip(expected) {
            let found = model.assess(row).unwrap().probability;
            close(&name("probability"), found, probability, 1e-7);
        }
    }
}

#[test]
fn ranking_and_calibration_are_those_counted_pair_by_pair() {
    for case in cases("auc") {
        let labels = truths(&case["labels"]);
        let found = auc(&numbers(&case["scores"]), &labels).unwrap();
        close("auc", found, case["auc"].as_f64().unwrap(), 1e-12);
        let probabilities = numbers(&case["probabilities"]);
        let expected = case["brier"].as_f64().unwrap();
        close("brier", brier(&probabilities, &labels), expected, 1e-12);
        let bins = reliability(&probabilities, &labels);
        let expected = case["bins"].as_array().unwrap();
        assert_eq!(bins.len(), expected.len());
        for (bin, expected) in bins.iter().zip(expected) {
            assert_eq!(Some(bin.count as u64), expected[0].as_u64());
            for (found, expected) in [
                (bin.mean_probability, &expected[1]),
                (bin.share_positive, &expected[2]),
            ] {
                assert_eq!(found.is_some(), !expected.is_null());
                if let Some(found) = found {
                    close("bin", found, expected.as_f64().unwrap(), 1e-12);
                }
            }
        }
    }
}

#[test]
fn path_lengths_are_those_of_numpy() {
    for case in cases("path_lengths") {
        let [rows, expected] = numbers(&case).try_into().unwrap();
        close("c", average_path_length(rows), expected, 1e-14);
    }
}

#[test]
fn a_model_written_by_hand_gives_the_risks_that_numpy_gives() {
    let case = &oracle()["forest"];
    let model = Model::read(case["model"].to_string().as_bytes()).unwrap();
    let rows = case["rows"].as_array().unwrap();
    assert!(rows.len() > 3);
    for expected in rows {
        let risk = model.assess(&numbers(&expected["row"])).unwrap();
        for (name, found) in [
            ("probability", risk.probability),
            ("anomaly", risk.anomaly),
            ("risk", risk.risk),
        ] {
            close(name, found, expected[name].as_f64().unwrap(), 1e-12);
        }
    }
}
