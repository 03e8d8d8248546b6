#![no_main]
//! Sigma rules from anybody: refused with a line, or rules that take any document within their bounds.

use beaconwatch_rules::{Document, DocumentKind, Limits, RuleSet};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|text: &str| {
    let limits = Limits {
        max_groups: 4,
        max_events_per_group: 4,
        ..Limits::default()
    };
    let (mut rules, report) = RuleSet::load([("rule.yml", text)], &limits);
    assert!(report.broken.iter().all(|broken| broken.line > 0));
    for second in 0..8_i64 {
        let flow = json!({
            "beaconwatch": { "flow": { "id": "f", "record": 0, "role": "client" } },
            "destination": { "ip": "198.51.100.7", "port": 9001 },
            "event": { "dataset": "beaconwatch.flow" },
            "process": { "executable": "/tmp/x" },
            "source": { "ip": format!("192.0.2.{second}") },
        });
        let detection = json!({
            "event": { "action": "beacon-detected", "dataset": "beaconwatch.detection", "kind": "alert" },
            "destination": { "ip": "198.51.100.7" },
            "source": { "ip": "192.0.2.1" },
        });
        for (kind, body) in [
            (DocumentKind::Flow, &flow),
            (DocumentKind::Detection, &detection),
        ] {
            let time_ns = second * 1_000_000_000;
            for found in rules.evaluate(&Document {
                kind,
                id: "it",
                time_ns,
                body,
            }) {
                assert!(!found.documents.is_empty());
            }
        }
    }
});
