//! The detection rules by the definition of Kibana's API: `schemas/detection-rule.json` says where it is from.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use beaconwatch_integrations::rules::{self, kibana};
use serde_json::{Value, json};

fn definition() -> jsonschema::Validator {
    let text = include_str!("schemas/detection-rule.json");
    jsonschema::validator_for(&serde_json::from_str::<Value>(text).unwrap()).unwrap()
}

#[test]
fn every_rule_is_one_that_the_api_takes() {
    let definition = definition();
    for rule in rules::ALL {
        let attributes = kibana::attributes(rule);
        let problems: Vec<String> = definition
            .iter_errors(&attributes)
            .map(|problem| format!("{} at {}", problem, problem.instance_path()))
            .collect();
        assert_eq!(problems, Vec::<String>::new(), "{}", rule.name);
    }
}

#[test]
fn what_no_type_of_rule_has_is_refused() {
    let definition = definition();
    for rule in rules::ALL {
        for (name, value) in [
            ("alert_suppresion", json!({})),
            ("severity", json!("grave")),
            ("from", json!("yesterday")),
            ("type", json!("signature")),
        ] {
            let mut broken = kibana::attributes(rule);
            broken[name] = value;
            assert!(!definition.is_valid(&broken), "{}: {name}", rule.name);
        }
    }
}
