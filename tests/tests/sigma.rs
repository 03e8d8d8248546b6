//! The rules as Lucene on a real OpenSearch: each finds of its samples what the manifest says, which is what the sidecar's
//! engine is held to as well (`rules/tests/shipped_rules.rs`).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::servers::opensearch::{self, Node};
use beaconwatch_tests::{deployment, http};
use serde_json::{Value, json};

fn sigma() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../integrations/sigma")
}

fn read(path: &str) -> Result<String> {
    let path = sigma().join(path);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

#[test]
fn every_rule_finds_the_same_as_lucene_on_opensearch() -> Result<()> {
    deployment::in_folder(|folder| {
        let installed = opensearch::install(&mut |_progress| ())?;
        let node = Node::start(&installed, &folder.join("opensearch"))?;
        let manifest: Value = serde_json::from_str(&read("samples/manifest.json")?)?;
        let rules = manifest["rules"].as_object().context("no rules")?;
        ensure!(rules.len() >= 17, "{} rules", rules.len());
        for (name, expected) in rules {
            index(&node, name)?;
            let found = search(&node, name)?;
            let fires = expected["fires"].as_array().context("no samples")?;
            let fires: BTreeSet<&str> = fires.iter().filter_map(Value::as_str).collect();
            let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
            ensure!(found == fires, "{name}: {found:?}, expected {fires:?}");
        }
        Ok(())
    })
}

/// Puts the samples of a rule into an index of their own.
fn index(node: &Node, rule: &str) -> Result<()> {
    let samples = read(&format!("samples/{rule}.ndjson"))?;
    let samples: Result<Vec<Value>, _> = samples.lines().map(serde_json::from_str).collect();
    let samples = samples?;
    let url = format!("{}/{rule}", node.url());
    let is_flow = samples
        .iter()
        .all(|it| it["event"]["dataset"] == "beaconwatch.flow");
    let mappings = if is_flow {
        flow_mappings()
    } else {
        detection_mappings()?
    };
    http::put(&url, &json!({"mappings": mappings}))?.expect_success(&url)?;
    for sample in &samples {
        let id = sample["event"]["id"].as_str();
        let id = id.or(sample["beaconwatch"]["flow"]["id"].as_str());
        let document = format!("{url}/_doc/{}?refresh=true", id.context("no id")?);
        http::put(&document, sample)?.expect_success(&document)?;
    }
    Ok(())
}

fn detection_mappings() -> Result<Value> {
    let template = read("../elastic/index-template-detection.json")?;
    let template: Value = serde_json::from_str(&template)?;
    Ok(template["template"]["mappings"].clone())
}

/// Text is exact, and what is called `ip` is an address.
fn flow_mappings() -> Value {
    json!({"dynamic_templates": [
        {"addresses": {"match": "ip", "mapping": {"type": "ip"}}},
        {"text": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}},
    ]})
}

/// Ids of what a rule's query finds.
fn search(node: &Node, rule: &str) -> Result<Vec<String>> {
    let query = read(&format!("converted/lucene/{rule}.lucene"))?;
    let url = format!("{}/{rule}/_search", node.url());
    let query = json!({"size": 100, "query": {"query_string": {"query": query.trim()}}});
    let answer = http::post(&url, &query)?.expect_success(&url)?;
    let hits = answer["hits"]["hits"].as_array().context("no hits")?;
    let ids = hits.iter().filter_map(|hit| hit["_id"].as_str());
    Ok(ids.map(str::to_owned).collect())
}
