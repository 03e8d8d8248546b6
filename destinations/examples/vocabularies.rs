//! Prints sample documents in other vocabularies, one JSON object a line, for programs that check them:
//! `{"name": "Finding", "kind": "ocsf", "body": {...}}`.

use std::io::Write as _;

use beaconwatch_destinations::{SampleDocument, ocsf, sample_document, stix};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    for which in [
        SampleDocument::Finding,
        SampleDocument::Least,
        SampleDocument::Closed,
        SampleDocument::Sensor,
    ] {
        let name = format!("{which:?}");
        let document: Value = serde_json::from_str(&sample_document(which).body)?;
        let event = ocsf::detection_finding(&document);
        writeln!(
            out,
            "{}",
            json!({"name": name, "kind": "ocsf", "body": event})
        )?;
        if let Ok(bundle) = stix::bundle(&document) {
            writeln!(
                out,
                "{}",
                json!({"name": name, "kind": "stix", "body": bundle})
            )?;
        }
    }
    let test =
        json!({"event": {"id": "test-1", "severity": 21, "kind": "event"}, "message": "a test"});
    let event = ocsf::detection_finding(&test);
    writeln!(
        out,
        "{}",
        json!({"name": "test", "kind": "ocsf", "body": event})
    )?;
    Ok(())
}
