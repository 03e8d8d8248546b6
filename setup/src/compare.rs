//! Whether an object on a server is the planned one, whose it is, and whether somebody has changed it.
//!
//! Servers add defaults to what they are given, so an object is as planned when it has everything that the plan says
//! ([`includes`]). Whether somebody has changed it since is told by the [`digest`] of what the server gave right after
//! it was written.

use beaconwatch_integrations::store::{MANAGED, MANAGER};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::Kind;
use crate::plan::Object;

/// Fields that a server writes itself, by kind; they cannot be sent back either.
const fn volatile(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Pipeline | Kind::ComponentTemplate | Kind::IndexTemplate => &[
            "created_date",
            "created_date_millis",
            "modified_date",
            "modified_date_millis",
        ],
        Kind::Transform => &["authorization", "create_time", "id", "version"],
        Kind::IsmPolicy => &["last_updated_time", "policy_id", "schema_version"],
        Kind::Monitor => &[
            "enabled_time",
            "last_update_time",
            "owner",
            "schema_version",
            "user",
        ],
        Kind::SavedObject => &[
            "created_at",
            "created_by",
            "managed",
            "namespaces",
            "updated_at",
            "updated_by",
            "version",
        ],
        Kind::DetectionRule => &[
            "created_at",
            "created_by",
            "execution_summary",
            "id",
            "immutable",
            "revision",
            "rule_source",
            "updated_at",
            "updated_by",
        ],
    }
}

/// An object without what the server writes itself.
pub(crate) fn settled(kind: Kind, mut object: Value) -> Value {
    let inner = match kind {
        Kind::IsmPolicy => object.get_mut("policy"),
        _ => Some(&mut object),
    };
    if let Some(Value::Object(fields)) = inner {
        fields.retain(|name, _| !volatile(kind).contains(&name.as_str()));
        if let (Kind::IsmPolicy, Some(Value::Array(templates))) =
            (kind, fields.get_mut("ism_template"))
        {
            for template in templates.iter_mut().filter_map(Value::as_object_mut) {
                template.remove("last_updated_time");
            }
        }
    }
    object
}

/// Whether the server's value has all that the plan says. Settings come back as texts, so a number equals its text.
pub(crate) fn includes(server: &Value, planned: &Value) -> bool {
    match (server, planned) {
        (Value::Object(server), Value::Object(planned)) => planned.iter().all(|(name, wanted)| {
            match server.get(name) {
                Some(value) => includes(value, wanted),
                // A server may leave out what is empty.
                None => {
                    wanted.is_null() || wanted.as_object().is_some_and(serde_json::Map::is_empty)
                }
            }
        }),
        (Value::Array(server), Value::Array(planned)) => {
            server.len() == planned.len()
                && server
                    .iter()
                    .zip(planned)
                    .all(|(one, other)| includes(one, other))
        }
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::String(text), scalar @ (Value::Number(_) | Value::Bool(_)))
        | (scalar @ (Value::Number(_) | Value::Bool(_)), Value::String(text)) => {
            serde_json::from_str(text).is_ok_and(|read: Value| read == *scalar)
        }
        (one, other) => one == other,
    }
}

/// The planned body, with what users decide taken from what is there: whether a rule is switched on.
pub(crate) fn adjusted(object: &Object, found: Option<&Value>) -> Object {
    let mut object = object.clone();
    if let (Kind::DetectionRule | Kind::Monitor, Some(enabled)) =
        (object.kind, found.and_then(|found| found.get("enabled")))
        && let Some(body) = object.body.as_object_mut()
    {
        body.insert("enabled".to_owned(), enabled.clone());
    }
    object
}

/// Who manages what is there under a planned name; none when it is ours.
pub(crate) fn owner(object: &Object, found: &Value) -> Option<String> {
    let text = |pointer: &str| found.pointer(pointer).and_then(Value::as_str);
    let ours = match object.kind {
        Kind::ComponentTemplate | Kind::IndexTemplate | Kind::Transform => {
            text("/_meta/managed_by") == Some(MANAGER)
        }
        Kind::Pipeline => text("/description").is_some_and(|it| it.contains(MANAGED)),
        Kind::IsmPolicy => text("/policy/description").is_some_and(|it| it.contains(MANAGED)),
        // Found by our name.
        Kind::Monitor => true,
        Kind::SavedObject => {
            text("/attributes/title").is_some_and(|it| it.starts_with("[Beaconwatch]"))
        }
        Kind::DetectionRule => includes(&found["author"], &object.body["author"]),
    };
    if ours || includes(found, &object.body) {
        return None;
    }
    let manager = text("/_meta/managed_by").or_else(|| text("/_meta/package/name"));
    Some(manager.unwrap_or("somebody else").to_owned())
}

/// SHA-256 of a value, whatever the order of its fields; whether a rule is switched on does not count.
pub(crate) fn digest(kind: Kind, value: &Value) -> String {
    let mut text = String::new();
    let mut value = value.clone();
    if let (Kind::DetectionRule | Kind::Monitor, Some(fields)) = (kind, value.as_object_mut()) {
        fields.remove("enabled");
    }
    canonical(&value, &mut text);
    hex::encode(Sha256::digest(text))
}

fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            text.push('{');
            for (name, value) in fields {
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                canonical(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(values) => {
            text.push('[');
            for value in values {
                canonical(value, text);
                text.push(',');
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_may_add_fields_and_write_numbers_as_texts() {
        let planned =
            json!({ "settings": { "index": { "shards": 1, "empty": {} } }, "list": [{ "a": 1 }] });
        let server = json!({ "settings": { "index": { "shards": "1", "more": true } }, "list": [{ "a": 1.0, "b": 2 }], "x": 1 });
        assert!(includes(&server, &planned));
        for other in [
            json!({ "settings": { "index": { "shards": "2" } }, "list": [{ "a": 1 }] }),
            json!({ "settings": { "index": { "shards": "1" } }, "list": [] }),
            json!({ "settings": { "index": { "shards": "1" } }, "list": [{ "a": 1 }, { "a": 1 }] }),
            json!({ "list": [{ "a": 1 }] }),
        ] {
            assert!(!includes(&other, &planned), "{other}");
        }
    }

    #[test]
    fn a_digest_is_the_same_for_any_order_and_another_for_any_other_value() {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let of = |text: &str| digest(Kind::Pipeline, &read(text));
        assert_eq!(
            of(r#"{"a":1,"b":{"c":2,"d":3}}"#),
            of(r#"{"b":{"d":3,"c":2},"a":1}"#)
        );
        for other in [
            r#"{"a":1,"b":{"c":2}}"#,
            r#"{"a":"1","b":{"c":2,"d":3}}"#,
            "[]",
            "{}",
        ] {
            assert_ne!(of(r#"{"a":1,"b":{"c":2,"d":3}}"#), of(other), "{other}");
        }
    }

    #[test]
    fn a_rule_that_somebody_switched_on_is_still_ours_as_it_was_written_and_stays_on() {
        let rule = Object {
            kind: Kind::DetectionRule,
            name: "id".to_owned(),
            body: json!({ "author": ["Beaconwatch"], "enabled": false, "query": "new" }),
        };
        let on = json!({ "author": ["Beaconwatch"], "enabled": true, "query": "old" });
        let off = json!({ "author": ["Beaconwatch"], "enabled": false, "query": "old" });
        assert_eq!(digest(rule.kind, &on), digest(rule.kind, &off));
        assert_eq!(adjusted(&rule, Some(&on)).body["enabled"], true);
        assert_eq!(adjusted(&rule, None).body["enabled"], false);
        assert_eq!(owner(&rule, &on), None);
        assert_eq!(
            owner(&rule, &json!({ "author": ["Elastic"] })).as_deref(),
            Some("somebody else")
        );
    }
}
