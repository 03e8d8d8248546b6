//! The detection rules that ask for one kind of documents, on a real OpenSearch: what must fire fires, what is benign does not.
//!
//! A rule's query, its new terms and its threshold are turned into the requests that the detection engine makes of them.
//! Sequences (EQL) have no engine that could be had: their fields are checked in `siem.rs`, and nothing runs them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::panels::kuery;
use beaconwatch_tests::servers::opensearch::{self, Node};
use beaconwatch_tests::setup::committed;
use beaconwatch_tests::{deployment, http};
use serde_json::{Value, json};

const INDEX: &str = "rules";
/// Most values that are asked for.
const MOST: usize = 100;

fn rules() -> Result<Vec<Value>> {
    let folder: PathBuf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../integrations/elastic/kibana/security_rule");
    let mut rules = Vec::new();
    for entry in fs::read_dir(&folder).context("reading the rules")? {
        let text =
            fs::read(entry.context("reading the rules")?.path()).context("reading a rule")?;
        let rule: Value = serde_json::from_slice(&text).context("reading a rule")?;
        rules.push(rule["attributes"].clone());
    }
    Ok(rules)
}

/// A detection `days` ago.
fn detection(id: &str, days: u32, ends: [&str; 2], executable: &str, domain: &str) -> Value {
    let [source, destination] = ends;
    let mut document = json!({
        // Days are counted back from a fixed date, which the requests name, too.
        "@timestamp": format!("2025-11-{:02}T12:00:00Z", 28 - days),
        "data_stream": { "dataset": "beaconwatch.detection" },
        "destination": { "domain": domain, "ip": destination },
        "event": { "id": id, "kind": "alert" },
        "process": { "executable": executable },
        "source": { "ip": source },
    });
    if id == "simulated" {
        document["beaconwatch"] = json!({ "simulated": true });
    }
    document
}

/// Old ones, new ones, a simulated one, and a document of another data set.
fn corpus() -> Vec<Value> {
    let mut other = detection(
        "other",
        0,
        ["192.0.2.9", "198.51.100.9"],
        "/opt/other",
        "other.example",
    );
    other["data_stream"]["dataset"] = "beaconwatch.sensor".into();
    vec![
        detection(
            "old",
            5,
            ["192.0.2.1", "198.51.100.1"],
            "/usr/bin/agent",
            "known.example",
        ),
        detection(
            "again",
            0,
            ["192.0.2.1", "198.51.100.1"],
            "/usr/bin/agent",
            "known.example",
        ),
        detection(
            "new",
            0,
            ["192.0.2.2", "198.51.100.2"],
            "/tmp/implant",
            "new.example",
        ),
        detection(
            "second",
            0,
            ["192.0.2.3", "198.51.100.2"],
            "/tmp/implant",
            "new.example",
        ),
        detection(
            "third",
            0,
            ["192.0.2.4", "198.51.100.2"],
            "/usr/bin/agent",
            "known.example",
        ),
        detection(
            "simulated",
            0,
            ["192.0.2.5", "198.51.100.5"],
            "/usr/bin/beaconwatch",
            "tried.example",
        ),
        other,
    ]
}

#[test]
fn rules_fire_for_what_they_describe_and_for_nothing_else() -> Result<()> {
    deployment::in_folder(|folder| {
        let installed = opensearch::install(&mut |_progress| ())?;
        let node = Node::start(&installed, &folder.join("opensearch"))?;
        store(&node)?;
        let mut asked = BTreeSet::new();
        for rule in rules()? {
            let kind = rule["type"].as_str().context("no type")?;
            let (found, expected) = match kind {
                "query" => (
                    ids(&node, &rule)?,
                    vec!["again", "new", "old", "second", "third"],
                ),
                "new_terms" => {
                    let field = rule["new_terms_fields"][0].as_str().context("no field")?;
                    let expected = if field == "process.executable" {
                        "/tmp/implant"
                    } else {
                        "new.example"
                    };
                    (new_terms(&node, &rule, field)?, vec![expected])
                }
                "threshold" => (several(&node, &rule)?, vec!["198.51.100.2"]),
                _ => continue,
            };
            asked.insert(kind.to_owned());
            let expected: BTreeSet<String> = expected.into_iter().map(str::to_owned).collect();
            ensure!(
                found == expected,
                "{}: {found:?}, expected {expected:?}",
                rule["name"]
            );
        }
        ensure!(asked.len() == 3, "only {asked:?} were asked");
        Ok(())
    })
}

fn store(node: &Node) -> Result<()> {
    let component =
        committed("opensearch/component-template/logs-beaconwatch.detection@mappings.json")?;
    let url = format!("{}/{INDEX}", node.url());
    http::put(
        &url,
        &json!({ "mappings": component["template"]["mappings"] }),
    )?
    .expect_success(&url)?;
    for document in corpus() {
        let id = document["event"]["id"].as_str().context("no id")?;
        let url = format!("{url}/_doc/{id}?refresh=true");
        http::put(&url, &document)?.expect_success(&url)?;
    }
    Ok(())
}

fn ask(node: &Node, rule: &Value, from: &str, until: &str, more: &Value) -> Result<Value> {
    let query = kuery::parse(rule["query"].as_str().context("no query")?)?;
    let time = json!({ "range": { "@timestamp": { "gte": from, "lt": until } } });
    let mut request = json!({ "query": { "bool": { "filter": [query, time] } }, "size": MOST });
    if more.is_object() {
        request["aggs"] = more.clone();
    }
    let url = format!("{}/{INDEX}/_search", node.url());
    http::post(&url, &request)?.expect_success(&url)
}

const LONG_AGO: &str = "2025-11-01T00:00:00Z";
const TODAY: &str = "2025-11-28T00:00:00Z";
const TOMORROW: &str = "2025-11-29T00:00:00Z";

fn ids(node: &Node, rule: &Value) -> Result<BTreeSet<String>> {
    let answer = ask(node, rule, LONG_AGO, TOMORROW, &Value::Null)?;
    let hits = answer["hits"]["hits"].as_array().context("no hits")?;
    Ok(hits
        .iter()
        .filter_map(|hit| hit["_id"].as_str())
        .map(str::to_owned)
        .collect())
}

fn values(answer: &Value) -> Result<BTreeSet<String>> {
    let buckets = answer["aggregations"]["values"]["buckets"]
        .as_array()
        .context("no values")?;
    Ok(buckets
        .iter()
        .filter_map(|bucket| bucket["key"].as_str())
        .map(str::to_owned)
        .collect())
}

/// Values of today that were not there before.
fn new_terms(node: &Node, rule: &Value, field: &str) -> Result<BTreeSet<String>> {
    let terms = json!({ "values": { "terms": { "field": field, "size": MOST } } });
    let before = values(&ask(node, rule, LONG_AGO, TODAY, &terms)?)?;
    let today = values(&ask(node, rule, TODAY, TOMORROW, &terms)?)?;
    Ok(today.difference(&before).cloned().collect())
}

/// Values with at least so many different values of the other field.
fn several(node: &Node, rule: &Value) -> Result<BTreeSet<String>> {
    let threshold = &rule["threshold"];
    let cardinality = &threshold["cardinality"][0];
    let least = cardinality["value"].as_u64().context("no value")?;
    let terms = json!({ "values": {
        "aggs": {
            "different": { "cardinality": { "field": cardinality["field"] } },
            "enough": { "bucket_selector": {
                "buckets_path": { "different": "different" },
                "script": format!("params.different >= {least}"),
            } },
        },
        "terms": { "field": threshold["field"][0], "min_doc_count": threshold["value"], "size": MOST },
    } });
    values(&ask(node, rule, TODAY, TOMORROW, &terms)?)
}
