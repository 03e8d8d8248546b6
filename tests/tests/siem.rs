//! What is committed for SIEMs: valid by their publishers' validators, and over fields that documents have.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::panels::{Panel, kuery, lens, vis};
use beaconwatch_tests::servers::opensearch::{self, Node};
use beaconwatch_tests::servers::package_spec;
use beaconwatch_tests::{deployment, http, tools};
use serde_json::{Value, json};

/// Dashboards that each product has.
const DASHBOARDS: usize = 4;
/// Data streams that the Elastic package has.
const DATA_STREAMS: usize = 4;
/// What Lens and searches may name beside fields of documents.
const NO_FIELDS: [&str; 1] = ["_id"];

fn integrations() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../integrations")
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        files.push(
            entry
                .with_context(|| format!("reading {}", folder.display()))?
                .path(),
        );
    }
    files.sort();
    Ok(files)
}

/// Names of every field that a document of ours has, as the package lists them.
fn known_fields() -> Result<BTreeSet<String>> {
    let mut known = BTreeSet::new();
    for stream in files(&integrations().join("elastic/data_stream"))? {
        let path = stream.join("fields/fields.yml");
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let names = text
            .lines()
            .filter_map(|line| line.strip_prefix("- name: "));
        known.extend(names.map(|name| name.trim_matches('"').to_owned()));
    }
    ensure!(
        known.contains("beaconwatch.score"),
        "the package lists no fields"
    );
    Ok(known)
}

fn kibana_panels() -> Result<Vec<Panel>> {
    let dashboards = files(&integrations().join("elastic/kibana/dashboard"))?;
    ensure!(
        dashboards.len() == DASHBOARDS,
        "{} dashboards",
        dashboards.len()
    );
    let mut all = Vec::new();
    for file in dashboards {
        all.extend(lens::panels(&file)?);
    }
    Ok(all)
}

fn opensearch_panels() -> Result<Vec<Panel>> {
    vis::panels(&integrations().join("opensearch/saved-objects.ndjson"))
}

#[test]
fn the_elastic_package_is_what_the_package_specification_demands() -> Result<()> {
    let validator = package_spec::install(&mut |progress| println!("{progress}"))?;
    tools::output_of(Command::new(&validator).arg(integrations().join("elastic")))?;
    // The validator itself refuses: a package with a damaged field is no package.
    let folder = tempfile::tempdir().context("making a folder")?;
    let copied = Command::new("cp")
        .arg("-r")
        .arg(integrations().join("elastic"))
        .arg(folder.path())
        .status()
        .context("copying")?;
    ensure!(copied.success(), "copying the package failed");
    let fields = folder
        .path()
        .join("elastic/data_stream/flow/fields/fields.yml");
    let text = fs::read_to_string(&fields).context("reading the fields")?;
    fs::write(&fields, text.replacen("type: keyword", "type: keywurd", 1)).context("writing")?;
    let refused = tools::output_of(Command::new(&validator).arg(folder.path().join("elastic")));
    ensure!(
        refused.is_err(),
        "the validator takes a field of type keywurd"
    );
    Ok(())
}

#[test]
fn the_pipeline_of_every_data_stream_makes_the_documents_that_the_package_expects() -> Result<()> {
    let streams = files(&integrations().join("elastic/data_stream"))?;
    ensure!(streams.len() == DATA_STREAMS, "{streams:?}");
    deployment::in_folder(|folder| {
        let installed = opensearch::install(&mut |_progress| ())?;
        let node = Node::start(&installed, &folder.join("opensearch"))?;
        for stream in &streams {
            let data = stream.file_name().and_then(|name| name.to_str());
            let data = data.context("a data stream without name")?;
            let test = stream.join(format!("_dev/test/pipeline/test-{data}.json"));
            let events = json_of(&test)?["events"].clone();
            let events = events.as_array().context("no events")?;
            ensure!(!events.is_empty(), "{data} has no events");
            let expected =
                json_of(&test.with_file_name(format!("test-{data}.json-expected.json")))?;
            let pipeline = json_of(&stream.join("elasticsearch/ingest_pipeline/default.json"))?;
            let made = simulated(&node, data, &pipeline, events)?;
            ensure!(
                Value::from(made.clone()) == expected["expected"],
                "{data}: {made:#?}"
            );
        }
        Ok(())
    })
}

fn json_of(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}

/// What a pipeline makes of documents, without what depends on the time; null for one that it drops.
fn simulated(node: &Node, data: &str, pipeline: &Value, documents: &[Value]) -> Result<Vec<Value>> {
    let index = format!("logs-beaconwatch.{data}-default");
    let documents: Vec<Value> = documents
        .iter()
        .map(|document| json!({ "_index": index, "_source": document }))
        .collect();
    let url = format!("{}/_ingest/pipeline/_simulate", node.url());
    let request = json!({ "pipeline": pipeline, "docs": documents });
    let answer = http::post(&url, &request)?.expect_success(&url)?;
    let made = answer["docs"].as_array().context("no documents")?;
    made.iter()
        .map(|made| without_arrival(data, made))
        .collect()
}

/// A document without when it arrived, which it must tell.
fn without_arrival(data: &str, made: &Value) -> Result<Value> {
    let mut document = made["doc"]["_source"].clone();
    if document.is_null() || document["event"]["kind"] == "pipeline_error" {
        return Ok(document);
    }
    let mut taken = Vec::new();
    for (holder, field) in [("event", "ingested"), ("beaconwatch", "delivery")] {
        let holder = document[holder].as_object_mut();
        let value = holder.and_then(|holder| holder.remove(field));
        taken.push(value.with_context(|| format!("{data}: no {field} in {made:#}"))?);
    }
    let late = taken
        .iter()
        .any(|it| it["lag_s"].as_f64().is_some_and(|lag| lag > 0.0));
    ensure!(late, "{data}: no lag in {made:#}");
    Ok(document)
}

#[test]
fn every_field_that_a_panel_names_is_one_that_documents_have() -> Result<()> {
    let known = known_fields()?;
    let panels = [kibana_panels()?, opensearch_panels()?].concat();
    ensure!(panels.len() > 80, "{} panels", panels.len());
    for panel in &panels {
        let fields = panel.fields();
        ensure!(!fields.is_empty(), "{} names no field", panel.title);
        for field in fields {
            let fine = known.contains(&field) || NO_FIELDS.contains(&field.as_str());
            ensure!(fine, "{} / {} names {field}", panel.dashboard, panel.title);
        }
    }
    Ok(())
}

#[test]
fn panels_lie_side_by_side_within_the_grid() -> Result<()> {
    for panels in [kibana_panels()?, opensearch_panels()?] {
        for panel in &panels {
            let [x, y, width, height] = panel.place;
            ensure!(
                x >= 0 && y >= 0 && width > 0 && height > 0 && x + width <= 48,
                "{} / {}: {:?}",
                panel.dashboard,
                panel.title,
                panel.place
            );
            let over = panels.iter().find(|other| {
                let [left, top, wide, high] = other.place;
                other.dashboard == panel.dashboard
                    && other.id != panel.id
                    && left < x + width
                    && x < left + wide
                    && top < y + height
                    && y < top + high
            });
            ensure!(
                over.is_none(),
                "{} / {} lies over {over:?}",
                panel.dashboard,
                panel.title
            );
        }
    }
    Ok(())
}

#[test]
fn every_field_that_a_detection_rule_names_is_one_that_documents_have() -> Result<()> {
    let known = known_fields()?;
    let rules = files(&integrations().join("elastic/kibana/security_rule"))?;
    ensure!(rules.len() >= 6, "{} rules", rules.len());
    for file in rules {
        let rule: Value = serde_json::from_slice(&fs::read(&file)?).context("reading a rule")?;
        for field in fields_of_rule(&rule["attributes"])? {
            ensure!(known.contains(&field), "{}: {field}", file.display());
        }
    }
    Ok(())
}

#[test]
fn the_detector_of_security_analytics_names_every_sigma_rule_for_detections() -> Result<()> {
    let file = integrations().join("opensearch/security-analytics/detector.json");
    let detector: Value = serde_json::from_slice(&fs::read(&file)?).context("the detector")?;
    let named = detector["inputs"][0]["detector_input"]["custom_rules"].as_array();
    let named: BTreeSet<&str> = named
        .context("no rules")?
        .iter()
        .filter_map(|it| it["id"].as_str())
        .collect();
    let mut written = BTreeSet::new();
    let mut texts = Vec::new();
    for path in files(&integrations().join("sigma/rules"))? {
        texts.push(fs::read_to_string(&path).with_context(|| path.display().to_string())?);
    }
    for text in texts
        .iter()
        .filter(|text| text.contains("service: detection"))
    {
        written.extend(text.lines().find_map(|line| line.strip_prefix("id: ")));
    }
    ensure!(
        written.len() >= 10 && named == written,
        "{named:?}, expected {written:?}"
    );
    Ok(())
}

fn fields_of_rule(rule: &Value) -> Result<Vec<String>> {
    let mut fields: Vec<String> = Vec::new();
    let query = rule["query"].as_str().context("no query")?;
    if rule["language"] == "kuery" {
        let named = kuery::fields(query);
        ensure!(!named.is_empty(), "not understood: {query}");
        fields.extend(named);
    } else {
        // A field of the event query language: lower-case words joined by dots, outside quotes.
        let outside: String = query.split('"').step_by(2).collect::<Vec<_>>().join(" ");
        let words = outside.split(|c: char| !(c.is_ascii_alphanumeric() || "._@".contains(c)));
        let named = words.filter(|word| {
            word.contains('.') && word.starts_with(|c: char| c.is_ascii_lowercase())
        });
        fields.extend(named.map(str::to_owned));
    }
    let lists = [&rule["new_terms_fields"], &rule["threshold"]["field"]];
    fields.extend(
        lists
            .into_iter()
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned),
    );
    let named = [
        &rule["threshold"]["cardinality"],
        &rule["severity_mapping"],
        &rule["risk_score_mapping"],
    ];
    let named = named.into_iter().filter_map(Value::as_array).flatten();
    fields.extend(
        named
            .filter_map(|one| one["field"].as_str())
            .map(str::to_owned),
    );
    fields.extend(
        ["rule_name_override", "timestamp_override"]
            .iter()
            .filter_map(|it| rule[*it].as_str())
            .map(str::to_owned),
    );
    ensure!(!fields.is_empty(), "no fields in {rule}");
    Ok(fields)
}
