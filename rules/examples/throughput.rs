//! How many flow documents a second the shipped rules are held against, and none of them matches.
//!
//! `cargo run --release -p beaconwatch-rules --example throughput -- integrations/sigma/rules`

use std::time::Instant;

use beaconwatch_rules::{Document, DocumentKind, Limits, RuleSet};
use serde_json::{Value, json};

const DOCUMENTS: u32 = 200_000;

fn document(number: u32) -> Value {
    json!({
        "@timestamp": "2026-11-25T08:00:00Z", "event.dataset": "beaconwatch.flow", "event.action": "flow-start",
        "event.kind": "event", "event.module": "beaconwatch", "event.category": ["network"], "event.type": ["connection", "start"],
        "beaconwatch.flow.event": "start", "beaconwatch.flow.record": 0, "beaconwatch.flow.role": "client",
        "beaconwatch.flow.id": format!("{number:032x}"), "beaconwatch.flow.established": true,
        "related.ip": ["192.0.2.10", "198.51.100.7"], "source.ip": "192.0.2.10", "source.port": 40_000,
        "source.bytes": 512, "destination.ip": "198.51.100.7", "destination.port": 443, "destination.bytes": 2048,
        "destination.domain": "updates.example.org", "network.transport": "tcp", "network.type": "ipv4",
        "host.id": "8f14e45fceea167a5a36dedd4bea2543", "host.name": "web-3", "process.pid": 4711,
        "process.name": "curl", "process.executable": "/usr/bin/curl", "process.real_user.id": "1000",
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args()
        .nth(1)
        .ok_or("expected a folder of rules")?;
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        texts.push((path.display().to_string(), std::fs::read_to_string(path)?));
    }
    let files = texts
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()));
    let (mut rules, report) = RuleSet::load(files, &Limits::default());
    let begun = Instant::now();
    let mut matches = 0;
    for number in 0..DOCUMENTS {
        let body = document(number);
        matches += rules
            .evaluate(&Document {
                kind: DocumentKind::Flow,
                id: "1",
                time_ns: 0,
                body: &body,
            })
            .len();
    }
    let with = begun.elapsed();
    let begun = Instant::now();
    for number in 0..DOCUMENTS {
        std::hint::black_box(document(number));
    }
    let (with, making) = (with / DOCUMENTS, begun.elapsed() / DOCUMENTS);
    #[expect(clippy::print_stdout, reason = "this is what it is for")]
    {
        println!(
            "{}",
            json!({
                "rules": report.rules, "matches": matches, "document_ns": u64::try_from(making.as_nanos())?,
                "document_and_rules_ns": u64::try_from(with.as_nanos())?,
            })
        );
    }
    Ok(())
}
