#![no_main]
//! Answers of servers: a document counts as delivered only where the answer says so of that very document. The first
//! byte is the number of documents, the second the status.

use beaconwatch_destinations::Outcome;
use beaconwatch_destinations::fuzzing::{acknowledged, bulk_outcomes, collector_verdict};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const STATUSES: [u16; 8] = [200, 201, 400, 403, 413, 429, 500, 503];

fuzz_target!(|bytes: &[u8]| {
    let [documents, status, body @ ..] = bytes else {
        return;
    };
    let documents = usize::from(*documents % 8) + 1;
    let status = STATUSES[usize::from(*status % 8)];
    // Numbers that no tree can hold stand where the types do not look.
    let tree: Option<Value> = serde_json::from_slice(body).ok();
    if let Ok(outcomes) = bulk_outcomes(body, documents) {
        assert_eq!(outcomes.len(), documents);
        for (place, outcome) in outcomes.iter().enumerate() {
            let Some(tree) = &tree else { break };
            let said = status_of(tree, place);
            let delivered = matches!(said, Some(200..=299));
            assert_eq!(
                *outcome == Outcome::Delivered,
                delivered,
                "{said:?} {outcome:?}"
            );
            assert_eq!(*outcome == Outcome::AlreadyThere, said == Some(409));
        }
    }
    if let Some((taken, refused)) = collector_verdict(status, body, documents) {
        assert!(!taken || status == 200);
        assert!(refused.is_none_or(|place| place < documents));
    }
    let numbers = acknowledged(status, body).filter(|_| tree.is_some());
    for id in numbers.unwrap_or_default() {
        let acks = tree
            .as_ref()
            .and_then(|tree| tree.get("acks"))
            .and_then(Value::as_object);
        let said = acks.and_then(|acks| {
            acks.iter()
                .find(|(key, said)| key.parse() == Ok(id) && **said == Value::Bool(true))
        });
        assert!(said.is_some(), "{id}");
    }
});

/// What is said of the document at a place. The types read lists in the order of their fields, too.
fn status_of(tree: &Value, place: usize) -> Option<u64> {
    let part = |value: &'_ Value, name: &str| -> Option<Value> {
        match value {
            Value::Array(values) => values.first().cloned(),
            value => value.get(name).cloned(),
        }
    };
    let item = part(tree, "items")?.get(place).cloned()?;
    part(&part(&item, "create")?, "status")?.as_u64()
}
