//! The playbooks of `integrations/soar`: what they name exists, in them, in the API and in what a webhook sends.

use std::collections::{BTreeMap, BTreeSet};

use beaconwatch_sidecar::destinations::{
    BuiltInTemplate, PreviewTemplate, SampleDocument, preview, sample_document,
};
use serde_json::Value;

use crate::asking::Asking;
use crate::running::{Hands, config_without_destinations, start};

const N8N: &str = include_str!("../../../integrations/soar/n8n/beaconwatch.json");
const SHUFFLE: &str = include_str!("../../../integrations/soar/shuffle/beaconwatch.json");

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// Method and path of every request to the API, with `*` for what the playbook puts in.
fn n8n_requests(workflow: &Value) -> BTreeSet<(String, String)> {
    let nodes = list(&workflow["nodes"]).iter();
    let requests = nodes.filter(|it| it["type"] == "n8n-nodes-base.httpRequest");
    let read = |node: &Value| {
        let url = text(&node["parameters"]["url"]).strip_prefix('=').unwrap();
        let path = url.strip_prefix("{{ $env.BEACONWATCH_URL }}").unwrap();
        let mut path = path.to_owned();
        while let (Some(start), Some(end)) = (path.find("{{"), path.find("}}")) {
            path.replace_range(start..end + 2, "*");
        }
        (text(&node["parameters"]["method"]).to_lowercase(), path)
    };
    requests.map(read).collect()
}

fn shuffle_requests(workflow: &Value) -> BTreeSet<(String, String)> {
    let actions = list(&workflow["actions"]).iter();
    let requests = actions.filter(|it| it["app_name"] == "http");
    let read = |action: &Value| {
        let url = parameter(action, "url");
        let path = url.strip_prefix("$beaconwatch_url").unwrap();
        let path = path.split('?').next().unwrap();
        let parts = path.split('/');
        let parts = parts.map(|part| if part.starts_with('$') { "*" } else { part });
        let path = parts.collect::<Vec<_>>().join("/");
        (text(&action["name"]).to_lowercase(), path)
    };
    requests.map(read).collect()
}

fn parameter<'a>(action: &'a Value, name: &str) -> &'a str {
    let found = list(&action["parameters"])
        .iter()
        .find(|it| it["name"] == name);
    text(&found.unwrap()["value"])
}

#[tokio::test]
async fn every_request_of_a_playbook_is_one_that_the_api_describes() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config_without_destinations(folder.path()), &Hands::new()).await;
    let description = Asking::of(&sidecar, folder.path())
        .read("/openapi.json")
        .await;
    let paths = description["paths"].as_object().unwrap();
    let described: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let path = path.replace("{id}", "*");
            let methods = methods.as_object().unwrap().keys();
            methods.map(move |method| (method.clone(), path.clone()))
        })
        .collect();
    for (file, requests) in [
        (N8N, n8n_requests as fn(&Value) -> _),
        (SHUFFLE, shuffle_requests),
    ] {
        let requests = requests(&serde_json::from_str(file).unwrap());
        for action in ["/api/v1/alerts/*/acknowledge", "/api/v1/allow"] {
            assert!(requests.contains(&("post".to_owned(), action.to_owned())));
        }
        let unknown: Vec<_> = requests.difference(&described).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}

#[test]
fn every_node_that_n8n_connects_exists_and_can_be_reached() {
    let workflow: Value = serde_json::from_str(N8N).unwrap();
    let nodes = list(&workflow["nodes"]);
    let names: BTreeSet<&str> = nodes.iter().map(|it| text(&it["name"])).collect();
    let ids: BTreeSet<&str> = nodes.iter().map(|it| text(&it["id"])).collect();
    assert_eq!((names.len(), ids.len()), (nodes.len(), nodes.len()));
    let mut reached = BTreeSet::from(["Webhook"]);
    for (from, outputs) in workflow["connections"].as_object().unwrap() {
        assert!(names.contains(from.as_str()), "{from}");
        for to in list(&outputs["main"]).iter().flat_map(list) {
            assert!(names.contains(text(&to["node"])), "{to}");
            reached.insert(text(&to["node"]));
        }
    }
    assert_eq!(reached, names);
    // Nothing happens before the signature was looked at.
    let after_hook = &workflow["connections"]["Webhook"]["main"][0][0]["node"];
    assert_eq!(after_hook, "Verify signature");
    // Nodes that expressions name.
    for named in N8N.split("$('").skip(1) {
        let name = named.split('\'').next().unwrap();
        assert!(names.contains(name), "{name}");
    }
}

#[test]
fn every_node_that_shuffle_connects_exists() {
    let workflow: Value = serde_json::from_str(SHUFFLE).unwrap();
    let steps = list(&workflow["actions"])
        .iter()
        .chain(list(&workflow["triggers"]));
    let labels: BTreeMap<&str, &str> = steps
        .map(|it| (text(&it["id"]), text(&it["label"])))
        .collect();
    assert!(labels.contains_key(text(&workflow["start"])));
    let mut reached = BTreeSet::from(["Webhook"]);
    for branch in list(&workflow["branches"]) {
        assert!(labels.contains_key(text(&branch["source_id"])), "{branch}");
        reached.insert(labels[text(&branch["destination_id"])]);
    }
    assert_eq!(reached, labels.values().copied().collect());
    // Every `$name` is a step, a variable, or the document.
    let variables = list(&workflow["workflow_variables"]).iter();
    let mut known: BTreeSet<&str> = variables.map(|it| text(&it["name"])).collect();
    known.extend(labels.values());
    known.insert("exec");
    for name in words_after(SHUFFLE, "$") {
        assert!(known.contains(name), "${name}");
    }
}

/// Words of letters, digits and `_` that stand behind a mark.
fn words_after<'a>(text: &'a str, mark: &str) -> BTreeSet<&'a str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let parts = text.split(mark).skip(1);
    parts
        .map(|part| &part[..part.find(|c| !is_part(c)).unwrap_or(part.len())])
        .collect()
}

#[test]
fn every_key_that_a_playbook_reads_is_one_that_the_template_writes() {
    let document = sample_document(SampleDocument::Finding);
    for (file, template, mark) in [
        (N8N, BuiltInTemplate::N8n, "json.body."),
        (N8N, BuiltInTemplate::N8n, "const domain = String(body."),
        (SHUFFLE, BuiltInTemplate::Shuffle, "$exec."),
    ] {
        let template = PreviewTemplate::BuiltIn(template);
        let body = preview(template, &BTreeMap::new(), &document).unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        let used = words_after(file, mark);
        assert!(!used.is_empty(), "{mark}");
        for key in used {
            assert!(body.get(key).is_some(), "{mark}{key}");
        }
    }
}

#[test]
fn playbooks_hold_no_secrets_and_are_switched_off() {
    let workflow: Value = serde_json::from_str(N8N).unwrap();
    assert_eq!(workflow["active"], false);
    for file in [N8N, SHUFFLE] {
        assert!(!file.contains("whsec_M"), "a secret");
    }
    let workflow: Value = serde_json::from_str(SHUFFLE).unwrap();
    for variable in list(&workflow["workflow_variables"]) {
        if text(&variable["name"]).ends_with("token") {
            assert_eq!(variable["value"], "CHANGE-ME");
        }
    }
}
