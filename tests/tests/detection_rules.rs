//! The detection rules over samples: what must fire fires, what is benign does not.
//!
//! A rule's query, its new terms and its threshold are turned into the requests that the detection engine makes of them, and asked
//! of a real OpenSearch. Sequences (EQL) are asked by the engine of that language.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use beaconwatch_tests::event_queries::{self, Question};
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

/// A change of one of a sequence's two documents: which, the way to the field, and what it holds instead.
type Change = (usize, &'static [&'static str], Value);

/// What is asked of a sequence: what is changed in the two documents that it is about, and whether it fires all the same.
#[derive(Clone, Debug)]
struct Case {
    what: &'static str,
    fires: bool,
    changes: Vec<Change>,
}

impl Case {
    fn fires(what: &'static str, changes: Vec<Change>) -> Self {
        Self {
            what,
            fires: true,
            changes,
        }
    }

    fn benign(what: &'static str, changes: Vec<Change>) -> Self {
        Self {
            what,
            fires: false,
            changes,
        }
    }
}

const TIME: &[&str] = &["@timestamp"];
const DATA_SET: &[&str] = &["data_stream", "dataset"];
const SIMULATED: &[&str] = &["beaconwatch", "simulated"];
const HOST: &[&str] = &["host", "id"];
const SOURCE: &[&str] = &["source", "ip"];
const DESTINATION: &[&str] = &["destination", "ip"];
const DURATION: &[&str] = &["event", "duration"];
const ACTION: &[&str] = &["event", "action"];
const ROLE: &[&str] = &["beaconwatch", "flow", "role"];
const ESTABLISHED: &[&str] = &["beaconwatch", "flow", "established"];

/// A flow and, half a day later, a detection, of one host and between the same ends.
fn flow_and_detection() -> [Value; 2] {
    let both = json!({
        "destination": { "ip": "198.51.100.1" },
        "host": { "id": "8f14e45fceea167a5a36dedd4bea2543" },
        "source": { "ip": "192.0.2.1" },
    });
    let mut flow = both.clone();
    flow["@timestamp"] = "2025-11-28T00:00:00Z".into();
    flow["data_stream"] = json!({ "dataset": "beaconwatch.flow" });
    flow["event"] = json!({ "action": "flow-end", "duration": 3_600_000_000_000_u64 });
    flow["beaconwatch"] = json!({ "flow": { "role": "server", "established": true } });
    let mut detection = both;
    detection["@timestamp"] = "2025-11-28T12:00:00Z".into();
    detection["data_stream"] = json!({ "dataset": "beaconwatch.detection" });
    detection["event"] = json!({ "action": "beacon-detected" });
    [flow, detection]
}

/// What holds for each sequence of a flow and a detection within a day.
fn cases_of_both() -> Vec<Case> {
    vec![
        Case::fires("as described", vec![]),
        Case::fires(
            "the last moment of a day",
            vec![(1, TIME, "2025-11-29T00:00:00Z".into())],
        ),
        Case::fires(
            "told not to be simulated",
            vec![(1, SIMULATED, false.into())],
        ),
        Case::benign(
            "a day and a second",
            vec![(1, TIME, "2025-11-29T00:00:01Z".into())],
        ),
        Case::benign(
            "the wrong order",
            vec![(1, TIME, "2025-11-27T23:59:59Z".into())],
        ),
        Case::benign("simulated", vec![(1, SIMULATED, true.into())]),
        Case::benign(
            "no detection",
            vec![(1, DATA_SET, "beaconwatch.sensor".into())],
        ),
        Case::benign("no flow", vec![(0, DATA_SET, "beaconwatch.sensor".into())]),
    ]
}

/// What holds for one of the rules, by its name.
fn cases_of(rule: &str) -> Result<Vec<Case>> {
    let other = || Value::from("192.0.2.99");
    Ok(match rule {
        "Beacon and long connection to one destination" => vec![
            Case::fires(
                "another host behind the address",
                vec![(1, HOST, "another".into())],
            ),
            Case::fires("a client's flow", vec![(0, ROLE, "client".into())]),
            Case::fires(
                "the finding goes on",
                vec![(1, ACTION, "beacon-ongoing".into())],
            ),
            Case::benign("another source", vec![(1, SOURCE, other())]),
            Case::benign(
                "no source",
                vec![(0, SOURCE, Value::Null), (1, SOURCE, Value::Null)],
            ),
            Case::benign("another destination", vec![(1, DESTINATION, other())]),
            Case::benign(
                "a nanosecond short of an hour",
                vec![(0, DURATION, 3_599_999_999_999_u64.into())],
            ),
        ],
        "New beacon from a server" => vec![
            Case::fires(
                "other ends on the same host",
                vec![(1, SOURCE, other()), (1, DESTINATION, other())],
            ),
            Case::fires("a short flow", vec![(0, DURATION, 1.into())]),
            Case::benign(
                "no host",
                vec![(0, HOST, Value::Null), (1, HOST, Value::Null)],
            ),
            Case::benign("another host", vec![(1, HOST, "another".into())]),
            Case::benign("a client's flow", vec![(0, ROLE, "client".into())]),
            Case::benign("a refused flow", vec![(0, ESTABLISHED, false.into())]),
            Case::benign(
                "the finding goes on",
                vec![(1, ACTION, "beacon-ongoing".into())],
            ),
        ],
        _ => bail!("no samples for the sequence {rule}"),
    })
}

/// The two documents with the case's changes, and others around them that belong to neither.
fn documents_of(case: &Case) -> Vec<(String, Value)> {
    let mut pair = flow_and_detection();
    for (which, path, value) in &case.changes {
        let mut place = &mut pair[*which];
        for part in *path {
            place = &mut place[*part];
        }
        *place = value.clone();
    }
    let mut elsewhere = flow_and_detection().map(|mut document| {
        document["host"]["id"] = "elsewhere".into();
        document["source"]["ip"] = "192.0.2.200".into();
        document
    });
    // A flow before and a detection long after: no pair of their own.
    elsewhere[0]["@timestamp"] = "2025-11-26T00:00:00Z".into();
    elsewhere[1]["@timestamp"] = "2025-11-28T06:00:00Z".into();
    let ids = ["first", "second", "before", "between"];
    ids.map(str::to_owned)
        .into_iter()
        .zip(pair.into_iter().chain(elsewhere))
        .collect()
}

#[test]
fn sequences_fire_for_what_they_describe_and_for_nothing_else() -> Result<()> {
    let folder = tempfile::tempdir().context("making a folder")?;
    let mut asked = 0;
    for rule in rules()?.iter().filter(|rule| rule["type"] == "eql") {
        let name = rule["name"].as_str().context("no name")?;
        let query = rule["query"].as_str().context("no query")?;
        let cases = [cases_of_both(), cases_of(name)?].concat();
        let questions: Vec<Question> = cases
            .iter()
            .map(|case| Question {
                query: query.to_owned(),
                documents: documents_of(case),
            })
            .collect();
        let found = event_queries::ask(folder.path(), &questions)?;
        for (case, found) in cases.iter().zip(found) {
            let pair = ["first", "second"].map(str::to_owned).to_vec();
            let expected = if case.fires { vec![pair] } else { vec![] };
            ensure!(
                found == expected,
                "{name}, {}: {found:?}, expected {expected:?}",
                case.what
            );
        }
        asked += 1;
    }
    ensure!(asked == 2, "{asked} sequences");
    Ok(())
}
