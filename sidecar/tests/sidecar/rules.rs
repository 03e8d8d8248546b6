//! Sigma rules in the sidecar: they mark detections, choose destinations, and find in flows and by correlation.

use std::path::{Path, PathBuf};

use beaconwatch_schema::{Level, rule_match};
use beaconwatch_sidecar::destinations::{Condition, ConditionValue};
use beaconwatch_sidecar::{Config, Sidecar};
use serde_json::Value;

use crate::asking::Asking;
use crate::flows::{SECOND, START, beacon, request, whole_flow};
use crate::running::{Hands, PATIENCE, config, crash, documents, start};

/// A rule for detections: the test's implant runs from /tmp.
const MARKS: &str = "title: Beacon From Tmp\nid: marks\nlogsource: {product: beaconwatch, service: detection}\n\
    detection:\n  selection:\n    process.executable|startswith: /tmp/\n  condition: selection\nlevel: high\n";
/// A rule for flows.
const FLOWS: &str = "title: Flow To Eight\nid: flows\ndescription: Detects a test\nlogsource: {category: network_connection, product: linux}\n\
    detection:\n  selection:\n    DestinationIp: 198.51.100.8\n    Initiated: 'true'\n  condition: selection\n\
    tags: [attack.command-and-control, attack.t1071.001]\nlevel: medium\n";
/// First the one, then the other.
const ORDERED: &str = "title: Both\nid: both\nlevel: critical\ntags: [attack.t1105]\ncorrelation:\n  type: temporal_ordered\n\
    \x20 rules: [flows, marks]\n  generate: true\n  group-by: [host.id]\n  timespan: 1d\n";

fn folder_with(rules: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("rules");
    std::fs::create_dir(&place).unwrap();
    for (name, text) in rules {
        std::fs::write(place.join(name), text).unwrap();
    }
    folder
}

fn config_of(folder: &Path) -> Config {
    let mut config = config(folder);
    config.rules.folder = Some(folder.join("rules"));
    config
}

async fn send(sidecar: &Sidecar, records: Vec<opentelemetry_proto::tonic::logs::v1::LogRecord>) {
    sidecar.receiver().accept(request(records)).await.unwrap();
}

fn of_dataset<'a>(documents: &'a [Value], dataset: &str) -> Vec<&'a Value> {
    let all = documents.iter();
    all.filter(|it| it["event"]["dataset"] == dataset).collect()
}

fn names_in(prefix: &str, value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = format!("{prefix}.{name}");
                names_in(name.trim_start_matches('.'), value, names);
            }
        }
        _ => names.push(prefix.to_owned()),
    }
}

#[tokio::test]
async fn rules_mark_detections_and_matches_in_flows_and_correlations_are_documents() {
    let rules = [
        ("marks.yml", MARKS),
        ("flows.yml", FLOWS),
        ("both.yml", ORDERED),
    ];
    let folder = folder_with(&rules);
    let sidecar = start(config_of(folder.path()), &Hands::new()).await;
    send(
        &sidecar,
        vec![whole_flow("exporter-1", 0, "198.51.100.8", START)],
    )
    .await;
    send(
        &sidecar,
        beacon("exporter-1", 1, "198.51.100.7", START, 60, 40),
    )
    .await;
    sidecar.analyse().await.unwrap();
    let status = sidecar.status().await.unwrap().rules;
    assert_eq!(
        (status.rules, status.correlations, status.broken),
        (2, 1, 0)
    );
    assert_eq!((status.flows, status.detections), (41, 1));
    sidecar.stop(PATIENCE).await;
    let all = documents(folder.path());
    let [detection] = of_dataset(&all, "beaconwatch.detection")[..] else {
        panic!("{all:?}")
    };
    assert_eq!(
        detection["beaconwatch"]["sigma"]["id"],
        serde_json::json!(["marks"])
    );
    assert_eq!(
        detection["beaconwatch"]["sigma"]["level"],
        serde_json::json!(["high"])
    );
    assert_eq!(detection["tags"], serde_json::json!(["beaconing", "sigma"]));
    let found = of_dataset(&all, "beaconwatch.rule");
    let [flow, both] = found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(flow["rule"]["id"], "flows");
    assert_eq!(flow["@timestamp"], "2025-11-22T08:00:00Z");
    assert_eq!(flow["event"]["severity"], 47);
    assert_eq!(flow["process"]["executable"], "/tmp/implant");
    assert_eq!(
        flow["threat"]["technique"]["subtechnique"]["id"][0],
        "T1071.001"
    );
    assert_eq!(flow["threat"]["tactic"]["name"][0], "Command and Control");
    assert_eq!(
        flow["beaconwatch"]["sigma"]["documents"][0],
        format!("{:032x}", 0)
    );
    assert_eq!(
        flow["related"]["ip"],
        serde_json::json!(["192.0.2.10", "198.51.100.8"])
    );
    assert_eq!(both["rule"]["name"], "Both");
    assert_eq!(both["host"]["id"], "8f14e45fceea167a5a36dedd4bea2543");
    assert_eq!(
        both["beaconwatch"]["sigma"]["correlation"]["type"],
        "temporal_ordered"
    );
    assert_eq!(
        both["beaconwatch"]["sigma"]["documents"][0],
        detection["event"]["id"]
    );
    for document in found {
        let mut names = Vec::new();
        names_in("", document, &mut names);
        for name in &names {
            assert!(
                rule_match::FIELDS.iter().any(|it| it.name == name),
                "{name}"
            );
        }
        for field in rule_match::FIELDS
            .iter()
            .filter(|it| it.level == Level::Required)
        {
            assert!(names.iter().any(|it| it == field.name), "{}", field.name);
        }
    }
}

#[tokio::test]
async fn a_destination_is_chosen_by_what_rules_say() {
    let folder = folder_with(&[("marks.yml", MARKS)]);
    let mut config = config_of(folder.path());
    let mut routed = config.destinations["file"].clone();
    let condition = |value: &str| Condition {
        field: "beaconwatch.sigma.id".to_owned(),
        any_of: vec![ConditionValue::Text(value.to_owned())],
    };
    routed.route.only = vec![condition("marks")];
    let mut other = routed.clone();
    other.route.only = vec![condition("another")];
    config.destinations = [("routed".to_owned(), routed), ("other".to_owned(), other)].into();
    let sidecar = start(config, &Hands::new()).await;
    send(
        &sidecar,
        beacon("exporter-1", 0, "198.51.100.7", START, 60, 40),
    )
    .await;
    sidecar.analyse().await.unwrap();
    let status = sidecar.status().await.unwrap();
    let filtered = status
        .destinations
        .iter()
        .map(|it| (it.name.as_str(), it.filtered));
    assert_eq!(filtered.collect::<Vec<_>>(), [("other", 1), ("routed", 0)]);
}

#[tokio::test]
async fn a_reload_reads_the_rules_again_and_keeps_those_from_before_when_it_cannot() {
    let folder = folder_with(&[("flows.yml", FLOWS)]);
    let place: PathBuf = folder.path().join("rules");
    let config = config_of(folder.path());
    let sidecar = start(config.clone(), &Hands::new()).await;
    let rules = async || sidecar.status().await.unwrap().rules;
    std::fs::write(place.join("marks.yml"), MARKS).unwrap();
    std::fs::write(place.join("broken.yml"), "title: [").unwrap();
    sidecar.reload(config.clone()).await.unwrap();
    let status = rules().await;
    assert_eq!((status.rules, status.broken), (2, 1));
    assert!(
        status.faults[0].starts_with("broken.yml:"),
        "{:?}",
        status.faults
    );
    for text in ["title: [", "title: Other\nlogsource: {}\n"] {
        std::fs::write(place.join("marks.yml"), text).unwrap();
        std::fs::write(place.join("flows.yml"), text).unwrap();
        let refused = sidecar
            .reload(config.clone())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("none of its rules can be used"),
            "{refused}"
        );
        assert_eq!(rules().await.rules, 2);
    }
    std::fs::remove_dir_all(&place).unwrap();
    let refused = sidecar
        .reload(config.clone())
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("rules"), "{refused}");
    assert_eq!(rules().await.rules, 2);
    // Without a folder there are none.
    let mut none = config;
    none.rules.folder = None;
    let report = sidecar.reload(none).await.unwrap();
    assert_eq!(report.applied, ["rules.folder"]);
    assert_eq!(rules().await.rules, 0);
}

#[tokio::test]
async fn alerts_of_a_rule_are_bounded_by_the_hour_and_the_rest_is_counted() {
    let folder = folder_with(&[("flows.yml", FLOWS)]);
    let mut config = config_of(folder.path());
    config.rules.max_alerts_per_rule_hour = 2;
    let sidecar = start(config, &Hands::new()).await;
    let flow = |number: u64, second: i64| {
        whole_flow(
            "exporter-1",
            number,
            "198.51.100.8",
            START + second * SECOND,
        )
    };
    // Times without a rhythm.
    send(
        &sidecar,
        (0..5)
            .map(|number| flow(number, i64::try_from(number * number * 31).unwrap()))
            .collect(),
    )
    .await;
    send(&sidecar, vec![flow(5, 3601)]).await;
    sidecar.analyse().await.unwrap();
    let asking = Asking::of(&sidecar, folder.path());
    let status = asking.read("/api/v1/status").await;
    assert_eq!(status["rules"]["suppressed"], 3);
    assert_eq!(
        status["rules"]["matches"][0],
        serde_json::json!({"id": "flows", "matches": 6})
    );
    let text = asking
        .request(reqwest::Method::GET, "/metrics")
        .send()
        .await
        .unwrap();
    let text = String::from_utf8(crate::running::bytes(text).await).unwrap();
    for line in [
        "beaconwatch_sigma_rules{kind=\"rule\"} 1.0",
        "beaconwatch_sigma_matches_total{rule=\"flows\"} 6",
        "beaconwatch_sigma_suppressed_total 3",
        "beaconwatch_sigma_evaluated_total{kind=\"flow\"} 6",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    sidecar.stop(PATIENCE).await;
    let all = documents(folder.path());
    let found = of_dataset(&all, "beaconwatch.rule").into_iter();
    let counts: Vec<Value> = found
        .map(|it| it["beaconwatch"]["suppression"]["count"].clone())
        .collect();
    assert_eq!(counts, [Value::Null, Value::Null, 3.into()]);
}

#[tokio::test]
async fn a_match_that_is_found_again_after_a_crash_has_the_same_id() {
    let folder = folder_with(&[("flows.yml", FLOWS)]);
    let hands = Hands::new();
    let sidecar = start(config_of(folder.path()), &hands).await;
    send(
        &sidecar,
        vec![whole_flow("exporter-1", 0, "198.51.100.8", START)],
    )
    .await;
    let copy = crash(folder.path());
    std::fs::create_dir(copy.path().join("rules")).unwrap();
    std::fs::write(copy.path().join("rules/flows.yml"), FLOWS).unwrap();
    hands.forward(60);
    let again = start(config_of(copy.path()), &hands).await;
    let mut ids = Vec::new();
    for (sidecar, folder) in [(sidecar, folder.path()), (again, copy.path())] {
        sidecar.analyse().await.unwrap();
        sidecar.stop(PATIENCE).await;
        let all = documents(folder);
        assert_eq!(all.len(), 1);
        ids.push(all[0]["event"]["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
    assert!(ids[0].as_str().unwrap().starts_with("sigma-"));
}

#[tokio::test]
async fn flows_are_left_alone_when_the_setting_says_so() {
    let folder = folder_with(&[("flows.yml", FLOWS), ("marks.yml", MARKS)]);
    let mut config = config_of(folder.path());
    config.rules.flows = false;
    let sidecar = start(config, &Hands::new()).await;
    send(
        &sidecar,
        vec![whole_flow("exporter-1", 0, "198.51.100.8", START)],
    )
    .await;
    assert_eq!(sidecar.status().await.unwrap().rules.flows, 0);
}
