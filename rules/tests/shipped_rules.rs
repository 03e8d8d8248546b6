//! The rules in `integrations/sigma/`: each fires on its firing samples and on none of the benign ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use beaconwatch_rules::{Document, DocumentKind, Limits, Match, RuleSet};
use beaconwatch_schema::sigma;
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../integrations/sigma")
}

/// Names without `.yml`, and texts.
fn files(kind: &str) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder().join(kind)).unwrap();
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    entries.map(|entry| read(entry.unwrap().path())).collect()
}

fn load(all: &[&BTreeMap<String, String>]) -> RuleSet {
    let files = all.iter().flat_map(|files| files.iter());
    let files = files.map(|(name, text)| (name.as_str(), text.as_str()));
    let (rules, report) = RuleSet::load(files, &Limits::default());
    assert_eq!(report.broken, []);
    assert_eq!(report.skipped, 0);
    rules
}

fn manifest() -> Value {
    let text = std::fs::read_to_string(folder().join("samples/manifest.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn samples(name: &str) -> Vec<Value> {
    let path = folder().join(format!("samples/{name}.ndjson"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn kind_of(body: &Value) -> DocumentKind {
    match body["event"]["dataset"].as_str().unwrap() {
        "beaconwatch.detection" => DocumentKind::Detection,
        "beaconwatch.flow" => DocumentKind::Flow,
        other => panic!("{other}"),
    }
}

fn id_of(body: &Value) -> &str {
    let id = body["event"]["id"].as_str();
    id.or(body["beaconwatch"]["flow"]["id"].as_str()).unwrap()
}

/// All samples are of days in one month, in whole seconds.
fn time_ns(body: &Value) -> i64 {
    let text = body["@timestamp"].as_str().unwrap();
    assert!(
        text.starts_with("2026-11-") && text.ends_with(".000Z"),
        "{text}"
    );
    let number = |range: std::ops::Range<usize>| text.get(range).unwrap().parse::<i64>().unwrap();
    let (day, hour, minute, second) = (
        number(8..10),
        number(11..13),
        number(14..16),
        number(17..19),
    );
    (((day * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000_000
}

fn evaluate(rules: &mut RuleSet, body: &Value) -> Vec<Match> {
    rules.evaluate(&Document {
        kind: kind_of(body),
        id: id_of(body),
        time_ns: time_ns(body),
        body,
    })
}

fn id_in(text: &str) -> &str {
    let line = text.lines().find_map(|line| line.strip_prefix("id: "));
    line.unwrap()
}

#[test]
fn each_rule_fires_on_its_firing_samples_and_on_no_benign_one() {
    let (rules, manifest) = (files("rules"), manifest());
    let expected = manifest["rules"].as_object().unwrap();
    let named: BTreeSet<&String> = expected.keys().collect();
    assert_eq!(named, rules.keys().collect());
    let mut set = load(&[&rules]);
    for (name, expected) in expected {
        let id = id_in(&rules[name]);
        let mut fired = Vec::new();
        let all = samples(name);
        for body in &all {
            let matches = evaluate(&mut set, body);
            if matches.iter().any(|found| &*found.rule.id == id) {
                fired.push(id_of(body).to_owned());
            }
        }
        let fires: Vec<&str> = expected["fires"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it.as_str().unwrap())
            .collect();
        assert_eq!(fired, fires, "{name}");
        assert_eq!(
            expected["expected"].as_u64().unwrap(),
            fires.len() as u64,
            "{name}"
        );
        assert!(
            !fires.is_empty() && fires.len() < all.len(),
            "{name} has samples of one kind only"
        );
    }
}

#[test]
fn each_correlation_matches_as_often_as_the_manifest_says() {
    let (rules, correlations, manifest) = (files("rules"), files("correlations"), manifest());
    let expected = manifest["correlations"].as_object().unwrap();
    let named: BTreeSet<&String> = expected.keys().collect();
    assert_eq!(named, correlations.keys().collect());
    for (name, expected) in expected {
        let mut set = load(&[&rules, &correlations]);
        let id = id_in(&correlations[name]);
        let mut found = 0;
        for body in &samples(name) {
            let matches = evaluate(&mut set, body);
            found += matches.iter().filter(|it| &*it.rule.id == id).count();
        }
        assert_eq!(
            found as u64,
            expected["expected"].as_u64().unwrap(),
            "{name}"
        );
        assert!(found > 0, "{name}");
    }
}

fn names_in(prefix: &str, value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = if prefix.is_empty() {
                    name.clone()
                } else {
                    format!("{prefix}.{name}")
                };
                names_in(&name, value, names);
            }
        }
        _ => drop(names.insert(prefix.to_owned())),
    }
}

#[test]
fn every_field_of_every_sample_is_in_the_field_model() {
    for name in files("rules").keys().chain(files("correlations").keys()) {
        for body in samples(name) {
            let known = match kind_of(&body) {
                DocumentKind::Detection => sigma::detection_fields(),
                DocumentKind::Flow => sigma::flow_fields(),
            };
            let mut names = BTreeSet::new();
            names_in("", &body, &mut names);
            assert!(names.len() > 10, "{name}");
            for field in names {
                assert!(known.contains(&field.as_str()), "{name}: {field}");
            }
        }
    }
}

/// Files are named after their log source, ids are unique UUIDs of version 4, and each says what SigmaHQ's conventions ask.
#[test]
fn every_rule_follows_the_conventions() {
    let mut ids = BTreeSet::new();
    for (name, text) in files("rules").into_iter().chain(files("correlations")) {
        let prefix = if text.contains("category: network_connection") {
            "net_connection_lnx_"
        } else {
            "beaconwatch_"
        };
        assert!(name.starts_with(prefix), "{name}");
        let id = id_in(&text);
        assert_eq!((id.len(), &id[14..15]), (36, "4"), "{name}");
        assert!(ids.insert(id.to_owned()), "{name}");
        assert!(text.contains("\ndescription: Detects "), "{name}");
        for part in [
            "\nstatus: experimental\n",
            "\nfalsepositives:\n",
            "\nlevel: ",
            "\ntags:\n    - attack.",
        ] {
            assert!(text.contains(part), "{name}: {part}");
        }
    }
    assert!(ids.len() >= 20);
}
