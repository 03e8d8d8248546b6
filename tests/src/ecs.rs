//! Whether a document follows the Elastic Common Schema, judged by the table that Elastic publishes.
//!
//! Checked: every field is known (or lies under `beaconwatch.`), has a value of the right type, is an array exactly
//! when the schema says so, and holds one of the allowed or expected values where the schema lists some; event
//! types fit the event categories; the fields that every document needs are there. A field whose values
//! the schema describes by a pattern, or that is of a type not handled here, is a complaint: it is never passed
//! unseen.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

/// Prefix of the fields that are this project's own.
const OWN: &str = "beaconwatch.";

/// The field table of the schema.
#[derive(Debug)]
pub struct Schema {
    fields: Map<String, Value>,
}

impl Schema {
    /// Reads the table from a file: an object from field name to its description.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let fields = serde_json::from_slice(&text).context("reading the ECS field table")?;
        Ok(Self { fields })
    }

    /// A table from an object, for tests of the checks themselves.
    #[cfg(test)]
    pub(crate) fn of(fields: &Value) -> Self {
        Self {
            fields: fields.as_object().cloned().unwrap_or_default(),
        }
    }

    /// What is wrong with `document`; empty when nothing is.
    #[must_use]
    pub fn complaints(&self, document: &Value) -> Vec<String> {
        let mut leaves = Vec::new();
        flatten("", document, &mut leaves);
        let mut complaints = Vec::new();
        for (name, value) in &leaves {
            if !name.starts_with(OWN) {
                self.check_field(name, value, &mut complaints);
            }
        }
        let value_of = |wanted: &str| {
            leaves
                .iter()
                .find(|(name, _)| name == wanted)
                .map(|(_, v)| *v)
        };
        for required in ["@timestamp", "ecs.version"] {
            if value_of(required).is_none() {
                complaints.push(format!("{required}: missing"));
            }
        }
        let categories = strings(value_of("event.category"));
        for event_type in strings(value_of("event.type")) {
            if !categories
                .iter()
                .any(|category| self.expects(category, event_type))
            {
                complaints.push(format!(
                    "event.type {event_type}: not of categories {categories:?}"
                ));
            }
        }
        complaints
    }

    fn check_field(&self, name: &str, value: &Value, complaints: &mut Vec<String>) {
        let Some(field) = self.fields.get(name) else {
            complaints.push(format!("{name}: not in the schema"));
            return;
        };
        let wants_array = listed(&field["normalize"]).any(|rule| rule == "array");
        let values = match value {
            Value::Array(values) if wants_array => values.as_slice(),
            Value::Array(_) => {
                complaints.push(format!("{name}: an array, the schema has a single value"));
                return;
            }
            single => {
                if wants_array {
                    complaints.push(format!("{name}: a single value, the schema has an array"));
                }
                std::slice::from_ref(single)
            }
        };
        for single in values {
            if let Some(complaint) = value_complaint(field, single) {
                complaints.push(format!("{name}: {complaint}"));
            }
        }
    }

    /// Whether the schema lists `event_type` under `category`; a category that lists none takes any.
    fn expects(&self, category: &str, event_type: &str) -> bool {
        let Some(categories) = self.fields.get("event.category") else {
            return false;
        };
        listed(&categories["allowed_values"])
            .find(|allowed| allowed["name"] == category)
            .is_some_and(|allowed| {
                listed(&allowed["expected_event_types"]).any(|t| t == event_type)
            })
    }
}

/// What is wrong with one value of a field.
fn value_complaint(field: &Value, value: &Value) -> Option<String> {
    if field.get("pattern").is_some() {
        return Some("has a pattern, which is not checked here".to_owned());
    }
    let kind = field["type"].as_str().unwrap_or_default();
    let fits = match kind {
        "keyword" | "constant_keyword" | "wildcard" | "match_only_text" => value.is_string(),
        "long" | "integer" => value.is_i64(),
        "float" | "double" | "scaled_float" => value.is_number(),
        "boolean" => value.is_boolean(),
        "date" => value.as_str().is_some_and(is_rfc_3339),
        "ip" => value
            .as_str()
            .is_some_and(|text| text.parse::<IpAddr>().is_ok()),
        _ => return Some(format!("is of type {kind}, which is not checked here")),
    };
    if !fits {
        return Some(format!("{value} is not of type {kind}"));
    }
    let allowed: Vec<&Value> = listed(&field["allowed_values"])
        .map(|allowed| &allowed["name"])
        .chain(listed(&field["expected_values"]))
        .collect();
    (!allowed.is_empty() && !allowed.contains(&value))
        .then(|| format!("{value} is none of the schema's values"))
}

/// Every value of a document that is not an object, with its dotted name.
fn flatten<'a>(prefix: &str, value: &'a Value, leaves: &mut Vec<(String, &'a Value)>) {
    let Value::Object(members) = value else {
        leaves.push((prefix.to_owned(), value));
        return;
    };
    for (key, member) in members {
        let name = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        flatten(&name, member, leaves);
    }
}

fn listed(value: &Value) -> impl Iterator<Item = &Value> {
    value
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
}

fn strings(value: Option<&Value>) -> Vec<&str> {
    value
        .into_iter()
        .flat_map(listed)
        .filter_map(Value::as_str)
        .collect()
}

/// `2025-11-22T08:26:30Z`, with an optional fraction of a second, in UTC or with an offset.
fn is_rfc_3339(text: &str) -> bool {
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    let Some(rest) = shape.strip_prefix("0000-00-00T00:00:00") else {
        return false;
    };
    let zone = match rest.strip_prefix('.') {
        Some(fraction) if fraction.starts_with('0') => fraction.trim_start_matches('0'),
        Some(_) => return false,
        None => rest,
    };
    let within = |range: std::ops::Range<usize>, limit: u32| {
        text.get(range)
            .and_then(|digits| digits.parse::<u32>().ok())
            .is_some_and(|n| n <= limit)
    };
    matches!(zone, "Z" | "+00:00" | "-00:00")
        && within(5..7, 12)
        && within(8..10, 31)
        && within(11..13, 23)
        && within(14..16, 59)
        && within(17..19, 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Schema {
        Schema::of(&json!({
            "@timestamp": {"type": "date", "normalize": []},
            "ecs.version": {"type": "keyword", "normalize": []},
            "event.kind": {"type": "keyword", "normalize": [], "allowed_values": [{"name": "alert"}]},
            "event.category": {"type": "keyword", "normalize": ["array"], "allowed_values": [
                {"name": "network", "expected_event_types": ["info"]}]},
            "event.type": {"type": "keyword", "normalize": ["array"]},
            "source.ip": {"type": "ip", "normalize": []},
            "source.port": {"type": "long", "normalize": []},
            "source.mac": {"type": "keyword", "normalize": [], "pattern": "x"},
        }))
    }

    fn document() -> Value {
        json!({
            "@timestamp": "2025-11-22T08:26:30.123Z", "ecs": {"version": "9.4.0"},
            "event": {"kind": "alert", "category": ["network"], "type": ["info"]},
            "source": {"ip": "192.0.2.1", "port": 443}, "beaconwatch": {"score": 0.9},
        })
    }

    type Change = fn(&mut Value);

    /// The one complaint about the document after `change`.
    fn complaint_after(change: impl FnOnce(&mut Value)) -> String {
        let mut changed = document();
        change(&mut changed);
        let complaints = schema().complaints(&changed);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        complaints[0].clone()
    }

    #[test]
    fn a_document_that_follows_the_schema_has_no_complaints() {
        assert_eq!(schema().complaints(&document()), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_departure_is_a_complaint() {
        let cases: [(&str, Change); 11] = [
            ("event.kin: not in", |d| d["event"]["kin"] = json!("alert")),
            ("event.kind: \"odd\" is none", |d| {
                d["event"]["kind"] = json!("odd");
            }),
            ("event.kind: an array", |d| {
                d["event"]["kind"] = json!(["alert"]);
            }),
            ("event.category: a single", |d| {
                d["event"]["category"] = json!("network");
                d["event"]["type"] = json!([]);
            }),
            ("event.type start", |d| {
                d["event"]["type"] = json!(["start"]);
            }),
            ("source.ip: \"1.2.3\" is not", |d| {
                d["source"]["ip"] = json!("1.2.3");
            }),
            ("source.port: \"443\" is not", |d| {
                d["source"]["port"] = json!("443");
            }),
            ("source.port: 1.5 is not", |d| {
                d["source"]["port"] = json!(1.5);
            }),
            ("source.mac: has a pattern", |d| {
                d["source"]["mac"] = json!("x");
            }),
            ("@timestamp: \"today\" is not", |d| {
                d["@timestamp"] = json!("today");
            }),
            ("ecs.version: missing", |d| d["ecs"] = json!({})),
        ];
        for (expected, change) in cases {
            let complaint = complaint_after(change);
            assert!(
                complaint.starts_with(expected),
                "{complaint} does not start with {expected}"
            );
        }
    }

    #[test]
    fn dates_are_read_by_rfc_3339() {
        for good in [
            "2025-11-22T08:26:30Z",
            "2025-11-22T08:26:30.1Z",
            "2025-11-22T08:26:30+00:00",
        ] {
            assert!(is_rfc_3339(good), "{good}");
        }
        for bad in [
            "2025-11-22",
            "2025-13-22T08:26:30Z",
            "2025-11-22T08:26:30",
            "2025-11-22T08:26:30.Z",
        ] {
            assert!(!is_rfc_3339(bad), "{bad}");
        }
    }
}
