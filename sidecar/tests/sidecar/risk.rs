//! The risk that a learnt model gives hosts and series, beside their score.

use std::fs;
use std::path::Path;

use beaconwatch_detector::Profile;
use beaconwatch_learning::{FeatureSet, Model, Risk};
use beaconwatch_sidecar::{Config, RiskConfig, Sidecar};
use serde_json::{Value, json};

use crate::asking::Asking;
use crate::flows::{START, beacon, request};
use crate::running::{Hands, config_without_destinations, start};

/// Connections of the series that are sent.
const COUNTS: [u64; 3] = [20, 30, 40];

fn with_model(folder: &Path, model: &str) -> Config {
    Config {
        risk: RiskConfig {
            model: model.to_owned(),
        },
        ..config_without_destinations(folder)
    }
}

/// A model that looks at the number of connections and at nothing else, as a file.
fn model_of_connections(weight: f64) -> String {
    let mut model: Value =
        serde_json::from_str(&Model::builtin().unwrap().to_json().unwrap()).unwrap();
    for feature in model["features"].as_array_mut().unwrap() {
        let is_it = feature["name"] == "connections";
        feature["weight"] = json!(if is_it { weight } else { 0.0 });
    }
    let rows = model["anomaly"]["sample_size"].clone();
    model["anomaly"]["trees"] = json!([{"feature": [-1], "value": [rows]}]);
    model.to_string()
}

/// What the library says of a series with so many connections, by a model that looks at nothing else.
fn expected(model: &str, connections: u64) -> Risk {
    let names = FeatureSet::Series.features().iter();
    let connections = f64::from(u32::try_from(connections).unwrap());
    let row: Vec<f64> = names
        .map(|it| match it.name {
            "connections" => (1.0 + connections).log10(),
            _ => 0.0,
        })
        .collect();
    let model = Model::read(model.as_bytes()).unwrap();
    model.assess(&row).unwrap()
}

async fn running(config: Config, folder: &Path) -> (Sidecar, Asking) {
    let sidecar = start(config, &Hands::new()).await;
    let asking = Asking::of(&sidecar, folder);
    let flows: Vec<_> = (1_u64..)
        .zip(COUNTS)
        .flat_map(|(last, count)| {
            let destination = format!("198.51.100.{last}");
            beacon("first", last * 100, &destination, START, 60, count)
        })
        .collect();
    sidecar.receiver().accept(request(flows)).await.unwrap();
    sidecar.analyse().await.unwrap();
    (sidecar, asking)
}

/// The one host, and its series in full.
async fn host_and_series(asking: &Asking) -> (Value, Vec<Value>) {
    let hosts = asking.read("/api/v1/hosts").await;
    assert_eq!(hosts["total"], 1, "{hosts}");
    let beacons = asking.read("/api/v1/beacons").await;
    let mut series = Vec::new();
    for it in beacons["beacons"].as_array().unwrap() {
        let id = it["id"].as_str().unwrap();
        series.push(asking.read(&format!("/api/v1/series/{id}")).await);
    }
    assert_eq!(series.len(), COUNTS.len());
    (hosts["hosts"][0].clone(), series)
}

fn close(value: &Value, expected: f64) {
    let value = value.as_f64().unwrap();
    assert!((value - expected).abs() < 1e-12, "{value}, {expected}");
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / f64::from(u32::try_from(values.len()).unwrap())
}

#[tokio::test]
async fn the_risk_of_hosts_and_series_is_what_the_library_gives_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let model = model_of_connections(0.7);
    let file = folder.path().join("model.json");
    fs::write(&file, &model).unwrap();
    let config = with_model(folder.path(), file.to_str().unwrap());
    let (_sidecar, asking) = running(config, folder.path()).await;
    let (host, series) = host_and_series(&asking).await;
    let risks = COUNTS.map(|count| expected(&model, count));
    for it in &series {
        let risk = expected(&model, it["connection_count"].as_u64().unwrap());
        close(&it["risk"], risk.risk);
        close(&it["probability"], risk.probability);
        close(&it["anomaly"], risk.anomaly);
        assert_eq!(it["driven_by"], json!(risk.reason()));
    }
    close(&host["mean_risk"], mean(risks.iter().map(|it| it.risk)));
    close(&host["max_risk"], risks[2].risk);
    assert!(risks[2].risk > risks[1].risk, "more is riskier here");
    let reason = format!("198.51.100.3 443/tcp: {}", risks[2].reason());
    assert!(
        host["reason"].as_str().unwrap().ends_with(&reason),
        "{host}"
    );
}

#[tokio::test]
async fn the_model_that_ships_is_the_default_and_scores_stand_beside_its_risk() {
    let folder = tempfile::tempdir().unwrap();
    let config = config_without_destinations(folder.path());
    let (_sidecar, asking) = running(config, folder.path()).await;
    let (host, series) = host_and_series(&asking).await;
    let all = |name: &str| -> Vec<f64> {
        let values = series.iter().map(|it| it[name].as_f64().unwrap());
        values.collect()
    };
    for (name, mean_name, max_name) in [
        ("risk", "mean_risk", "max_risk"),
        ("combined_score", "mean_score", "max_score"),
    ] {
        close(&host[mean_name], mean(all(name).into_iter()));
        close(&host[max_name], all(name).into_iter().fold(0.0, f64::max));
    }
    assert!(all("probability").iter().all(|it| *it > 0.5), "they beat");
    let riskiest = series
        .iter()
        .find(|it| it["risk"] == host["max_risk"])
        .unwrap();
    let why = riskiest["driven_by"].as_str().unwrap();
    assert!(why.contains("probability 0."), "{why}");
    assert!(host["reason"].as_str().unwrap().ends_with(why), "{host}");
}

#[tokio::test]
async fn without_a_model_or_evidence_risks_are_null_and_hosts_rank_by_score() {
    let unmodelled = |folder: &Path| with_model(folder, "none");
    let seed = |folder: &Path| {
        let mut config = config_without_destinations(folder);
        config.detector.profile = Profile::Seed;
        config
    };
    for make in [&unmodelled as &dyn Fn(&Path) -> Config, &seed] {
        let folder = tempfile::tempdir().unwrap();
        let (_sidecar, asking) = running(make(folder.path()), folder.path()).await;
        let (host, series) = host_and_series(&asking).await;
        assert_eq!([&host["mean_risk"], &host["max_risk"]], [&Value::Null; 2]);
        assert_eq!(series[0]["combined_score"], host["max_score"]);
        assert!(host["max_score"].as_f64().unwrap() > 0.0);
        assert!(host["reason"].as_str().unwrap().contains("198.51.100."));
        for it in series {
            for name in ["risk", "probability", "anomaly", "driven_by"] {
                assert_eq!(it.get(name), Some(&Value::Null), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn a_reload_reads_the_model_again_and_a_broken_one_keeps_the_previous() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.json");
    fs::write(&file, model_of_connections(0.7)).unwrap();
    let config = with_model(folder.path(), file.to_str().unwrap());
    let (sidecar, asking) = running(config.clone(), folder.path()).await;
    let first = host_and_series(&asking).await.0["max_risk"].clone();

    let other = model_of_connections(1.4);
    let broken = other.replacen("\"intercept\":", "\"intercept\":true,\"was\":", 1);
    assert_ne!(broken, other);
    fs::write(&file, broken).unwrap();
    let refused = sidecar
        .reload(config.clone())
        .await
        .unwrap_err()
        .to_string();
    let names = |it: &str| refused.contains(it);
    assert!(
        names("risk.model: ") && names("model.json: field ") && names("expected f64"),
        "{refused}"
    );
    assert_eq!(host_and_series(&asking).await.0["max_risk"], first);

    fs::write(&file, &other).unwrap();
    sidecar.reload(config).await.unwrap();
    let second = host_and_series(&asking).await.0["max_risk"].clone();
    close(&second, expected(&other, 40).risk);
    assert_ne!(second, first);

    let none = with_model(folder.path(), "none");
    let report = sidecar.reload(none).await.unwrap();
    assert_eq!(report.applied, ["risk.model"]);
    assert_eq!(host_and_series(&asking).await.0["max_risk"], Value::Null);
}

#[tokio::test]
async fn a_start_with_what_is_no_model_of_series_names_file_and_field() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.json");
    let events = folder.path().join("events.json");
    fs::write(&events, r#"{"beaconwatch_model": 7}"#).unwrap();
    for (model, words) in [
        ("", "risk.model is "),
        (missing.to_str().unwrap(), "missing.json: No such file"),
        (
            events.to_str().unwrap(),
            "events.json: field beaconwatch_model: version 7, expected 1",
        ),
    ] {
        let config = with_model(folder.path(), model);
        let error = Sidecar::start(config).await.unwrap_err().to_string();
        assert!(error.contains("risk.model"), "{error}");
        assert!(error.contains(words), "{error}");
    }
}
