//! Models and tables as outsiders may make them, and what training promises.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use beaconwatch_learning::{
    EventReader, Example, FeatureSet, Grouping, Labels, Model, ModelError, RiskSets, RowError,
    TrainError, TrainSettings, train,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn example(interval_s: f64, label: bool, host: usize) -> Example {
    Example {
        features: vec![interval_s, 0.0, 1.0, 0.0],
        label,
        host: Arc::from(format!("h{host}")),
        pair: Arc::from(format!("h{host} d")),
    }
}

/// Beacons near their interval, others far from it, on ten hosts.
fn examples() -> Vec<Example> {
    (0..100_u32)
        .map(|n| {
            let label = n % 4 == 0;
            let base = if label { 2.0 } else { 300.0 };
            example(base + f64::from(n * 37 % 90), label, n as usize % 10)
        })
        .collect()
}

fn settings(seed: u64) -> TrainSettings {
    TrainSettings {
        seed,
        trees: 10,
        ..TrainSettings::default()
    }
}

fn trained() -> Model {
    let (model, _) = train(FeatureSet::BeaconHunter, &examples(), &settings(1)).unwrap();
    model
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_another_forest() {
    let text = |seed| {
        let (model, _) = train(FeatureSet::BeaconHunter, &examples(), &settings(seed)).unwrap();
        model.to_json().unwrap()
    };
    assert_eq!(text(5), text(5));
    assert_ne!(text(5), text(6));
}

#[test]
fn a_model_that_was_written_and_read_says_the_same() {
    let model = trained();
    let read = Model::read(model.to_json().unwrap().as_bytes()).unwrap();
    assert_eq!(model, read);
    let builtin = Model::builtin().unwrap();
    assert_eq!(builtin.feature_set(), FeatureSet::Series);
    let text = builtin.to_json().unwrap();
    assert_eq!(builtin, Model::read(text.as_bytes()).unwrap());
}

#[test]
fn hosts_are_held_out_whole_and_separable_examples_are_ranked_perfectly() {
    let (_, report) = train(FeatureSet::BeaconHunter, &examples(), &settings(1)).unwrap();
    assert_eq!(
        (report.rows, report.positives, report.negatives),
        (100, 25, 75)
    );
    let held_out = report.cross_validation.unwrap();
    assert_eq!(held_out.grouping, Grouping::Host);
    assert_eq!(held_out.auc_probability, Some(1.0));
    assert_eq!(
        held_out.bins.iter().map(|bin| bin.count).sum::<usize>(),
        100
    );
    assert!(held_out.brier < 0.1 && held_out.brier_balanced < 0.1);
}

#[test]
fn what_cannot_be_trained_on_is_an_error_that_says_why() {
    let set = FeatureSet::BeaconHunter;
    let benign: Vec<Example> = (0..9).map(|n| example(300.0, false, n)).collect();
    let error = train(set, &benign, &settings(1)).unwrap_err();
    assert!(matches!(
        error,
        TrainError::Kinds {
            positives: 0,
            negatives: 9
        }
    ));
    let mut wrong = examples();
    wrong[6].features[0] = f64::NAN;
    let error = train(set, &wrong, &settings(1)).unwrap_err();
    let said =
        "example 7: feature interval_distance is NaN, expected a finite number of at most 1e100";
    assert_eq!(error.to_string(), said);
    let error = train(FeatureSet::Series, &examples(), &settings(1)).unwrap_err();
    assert_eq!(error.to_string(), "example 1: 4 features, expected 26");
    let none = TrainSettings {
        trees: 0,
        ..settings(1)
    };
    let error = train(set, &examples(), &none).unwrap_err();
    assert_eq!(error.to_string(), "trees is 0, expected 1 to 500");
}

#[test]
fn a_row_with_an_infinity_is_refused() {
    let row = [1.0, f64::INFINITY, 0.0, 0.0];
    let error = trained().assess(&row).unwrap_err();
    assert!(matches!(
        error,
        RowError::NotFinite {
            feature: "is_rare_port",
            ..
        }
    ));
}

/// The trained model with one value changed.
fn changed(pointer: &str, value: Value) -> ModelError {
    let text = trained().to_json().unwrap();
    let mut model: Value = serde_json::from_str(&text).unwrap();
    *model.pointer_mut(pointer).unwrap() = value;
    Model::read(model.to_string().as_bytes()).unwrap_err()
}

#[test]
fn a_wrong_model_is_refused_with_the_name_of_the_field() {
    for (pointer, value, expected) in [
        (
            "/beaconwatch_model",
            json!(2),
            "field beaconwatch_model: version 2, expected 1",
        ),
        (
            "/feature_set",
            json!("other"),
            "field feature_set: unknown variant",
        ),
        (
            "/feature_set",
            json!("series"),
            "field features: 4 features, expected the 26 of the set series",
        ),
        (
            "/intercept",
            Value::Null,
            "field intercept: invalid type: null",
        ),
        ("/intercept", json!(1e101), "field intercept"),
        (
            "/features/1/name",
            json!("x"),
            "field features[1].name: \"x\", expected \"is_rare_port\"",
        ),
        (
            "/features/1/weight",
            json!("1"),
            "field features[1].weight: invalid type: string",
        ),
        (
            "/features/2/scale",
            json!(0.0),
            "field features[2].scale: 0, expected",
        ),
        (
            "/anomaly/sample_size",
            json!(0),
            "field anomaly.sample_size: 0, expected 1 to 1024",
        ),
        (
            "/anomaly/smallest",
            json!(-0.5),
            "field anomaly.smallest: -0.5, expected 0 to 1",
        ),
        (
            "/anomaly/largest",
            json!(0.0),
            "field anomaly.largest: 0, expected at least smallest",
        ),
        (
            "/anomaly/trees",
            json!([]),
            "field anomaly.trees: 0, expected 1 to 500",
        ),
        (
            "/anomaly/trees/3/feature/0",
            json!(9),
            "field anomaly.trees[3]: expected the number of a feature",
        ),
        (
            "/anomaly/trees/3/value/0",
            Value::Null,
            "field anomaly.trees[3].value[0]: invalid type: null",
        ),
        (
            "/sets/processes/0/risk",
            json!(3),
            "field sets.processes[0].risk: 3, expected 0, 1 or 2",
        ),
        ("/sets", Value::Null, "field sets: missing"),
        (
            "/origin",
            json!({"rows": 1}),
            "field origin: missing field `positives`",
        ),
    ] {
        let error = changed(pointer, value).to_string();
        assert!(error.starts_with(expected), "{error}, expected {expected}");
    }
    let text = trained().to_json().unwrap();
    let infinite = text.replacen("\"intercept\":", "\"intercept\":1e999,\"x\":", 1);
    let error = Model::read(infinite.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("number out of range"), "{error}");
    let more = format!("{text}{{}}");
    assert!(Model::read(more.as_bytes()).is_err());
    let large = vec![b' '; (32 << 20) + 1];
    assert!(matches!(
        Model::read(&large),
        Err(ModelError::TooLarge { .. })
    ));
}

const HEAD: &str = "event_id,host_id,timestamp,src_ip,dst_ip,dst_port,protocol,bytes_out,bytes_in,\
                    inter_event_seconds,proc_name,user,country_code,signed_binary,label\n";

#[test]
fn numbers_that_are_none_are_told_with_line_and_field_and_the_rest_is_read() {
    let line = |seconds: &str, label: &str| {
        format!("1,H,t,10.0.0.1,192.0.2.1,4444,TCP,1,2,{seconds},mshta.exe,u,KP,0,{label}\n")
    };
    let mut table = HEAD.to_owned();
    for seconds in ["60.5", "NaN", "inf", "-inf", "1e999", "-1", "", "1e300"] {
        table.push_str(&line(seconds, "1"));
    }
    table.push_str(&line("1", "2"));
    table.push_str(&line("1", "").replace("4444", "65536"));
    table.push_str(&line("0", ""));
    let read = EventReader::default().read(table.as_bytes()).unwrap();
    let sets = RiskSets::shipped().unwrap();
    assert_eq!((read.events.len(), read.skipped), (2, 9));
    assert_eq!(read.events[0].features(&sets), [0.5, 1.0, 2.0, 2.0]);
    assert_eq!(
        (read.events[0].label, read.events[1].label),
        (Some(true), None)
    );
    let said: Vec<(u64, &str)> = read.problems.iter().map(|it| (it.line, it.field)).collect();
    let seconds = (3..=9).map(|line| (line, "inter_event_seconds"));
    let expected: Vec<(u64, &str)> = seconds.chain([(10, "label"), (11, "dst_port")]).collect();
    assert_eq!(said, expected);
    let error = EventReader::default().read("a,b\n".as_bytes()).unwrap_err();
    assert!(
        error.to_string().starts_with("line 1: no column host_id"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _any = Model::read(&bytes);
        let _any = Labels::read(&bytes);
        let _any = RiskSets::read(&bytes);
        let _any = EventReader::default().read(&bytes[..]);
        let mut table = HEAD.as_bytes().to_vec();
        table.extend(bytes);
        let read = EventReader::default().read(&table[..]).unwrap();
        let sets = RiskSets::shipped().unwrap();
        for event in &read.events {
            prop_assert!(event.features(&sets).iter().all(|it| it.is_finite()));
        }
    }

    #[test]
    fn a_model_with_bytes_changed_is_refused_or_gives_risks_in_range(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        row in proptest::collection::vec(-1e12..1e12_f64, 4),
    ) {
        let mut text = trained().to_json().unwrap().into_bytes();
        for (at, byte) in changes {
            let at = at.index(text.len());
            text[at] = byte;
        }
        if let Ok(model) = Model::read(&text) {
            let risk = model.assess(&row);
            if let Ok(risk) = risk {
                prop_assert!((0.0..=1.0).contains(&risk.risk), "{risk:?}");
                prop_assert!((0.0..=1.0).contains(&risk.anomaly), "{risk:?}");
            }
        }
    }
}
