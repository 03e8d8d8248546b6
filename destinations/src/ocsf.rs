//! Documents in the Open Cybersecurity Schema Framework: class Detection Finding (2004), version [`VERSION`].
//!
//! # Contract
//! Pure: a document in, an event of OCSF out. Attributes come from the field model
//! (`Field::name_in(Vocabulary::Ocsf)`); beside them stand what OCSF wants of every event (identities of class, activity
//! and severity) and the ATT&CK technique. What has no attribute of its own is kept below `unmapped`. Every document
//! makes an event that OCSF's own schema takes: findings, sensors, tests, with or without their optional fields.
//!
//! | finding | `activity_id` | `status_id` |
//! |---|---|---|
//! | first revision | 1, Create | 1, New |
//! | later ones | 2, Update | 1, New; 2, In Progress, when somebody has acknowledged it |
//! | closed | 3, Close | 4, Resolved; 3, Suppressed, when the allow-list closed it |
//! | a test | 0, Unknown | 0, Unknown |
//!
//! # Limits
//! OCSF takes whole milliseconds and whole risk scores: what is finer is rounded. Of an array the first element is
//! taken. A process without an id is no process there: its executable is a file of the evidence. A parent without an id and a
//! container without id and name are left out. No attribute takes the name of a pod: pods are kept below `unmapped` too.

use beaconwatch_schema::{Field, FieldType, Vocabulary, detection as field, sensor};
use serde_json::{Map, Value, json};

use crate::fields::{Fields, Level};

/// Version of OCSF.
pub const VERSION: &str = "1.5.0";
/// Detection Finding.
const CLASS_UID: u64 = 2004;
/// Findings.
const CATEGORY_UID: u64 = 2;
/// Statistical.
const ANALYTIC_TYPE: u64 = 3;
/// A regular file.
const FILE_TYPE: u64 = 1;
/// SHA-256.
const HASH_ALGORITHM: u64 = 3;
/// Not known: of a device its kind, of a connection its direction.
const UNKNOWN: u64 = 0;
/// Kinds of observables.
const HOSTNAME: u64 = 1;
const IP_ADDRESS: u64 = 2;

/// The event of a document in the Elastic Common Schema.
///
/// ```
/// let document = serde_json::json!({
///     "@timestamp": "2025-11-22T08:26:30.123Z",
///     "message": "Beaconing from 192.0.2.10 to 198.51.100.7:443/tcp",
///     "event": {"severity": 99},
///     "beaconwatch": {"finding": {"id": "9f1c2a7b", "revision": 1}},
/// });
/// let event = beaconwatch_destinations::ocsf::detection_finding(&document);
/// assert_eq!(event["type_uid"], 200_401);
/// assert_eq!(event["severity_id"], 5);
/// assert_eq!(event["time"], 1_763_799_990_123_i64);
/// ```
#[must_use]
pub fn detection_finding(document: &Value) -> Value {
    let fields = Fields::of(document.clone());
    let mut event = Map::new();
    let is_sensor = fields.get(sensor::SENSOR_ID).is_some();
    let model = if is_sensor {
        sensor::FIELDS
    } else {
        field::FIELDS
    };
    for one in model {
        put_mapped(&mut event, &fields, one);
    }
    classify(&mut event, &fields);
    describe_finding(&mut event, &fields);
    complete_product(&mut event);
    complete_device(&mut event);
    complete_evidence(&mut event);
    put_observables(&mut event, &fields);
    for name in ["beaconwatch", "orchestrator"] {
        if let Some(rest) = document.get(name) {
            place(&mut event, &format!("unmapped.{name}"), rest.clone());
        }
    }
    Value::Object(event)
}

/// Puts a field where the model says.
fn put_mapped(event: &mut Map<String, Value>, fields: &Fields, one: &Field) {
    let Some(mapping) = one.mapping(Vocabulary::Ocsf) else {
        return;
    };
    let Some(value) = fields.get(one.name) else {
        return;
    };
    let value = match mapping.field_type.unwrap_or(one.field_type) {
        FieldType::Date => fields.time(one.name).map(|it| json!(it.as_millisecond())),
        FieldType::Long => integer(value).map(Value::from),
        _ => Some(value.clone()),
    };
    if let Some(value) = value {
        place(event, mapping.name, value);
    }
}

/// A number, or text with one, as a whole number.
fn integer(value: &Value) -> Option<i64> {
    if let Some(text) = value.as_str() {
        return text.parse().ok();
    }
    value.as_i64().or_else(|| {
        let number = value.as_f64()?.round();
        // Exact within the range of the check.
        #[expect(clippy::cast_possible_truncation, reason = "its size was checked")]
        (number.abs() < 9e15).then_some(number as i64)
    })
}

/// Puts a value at a path whose `[]` mark arrays; the value lies in their first element.
fn place(object: &mut Map<String, Value>, path: &str, value: Value) {
    let Some((first, rest)) = path.split_once('.') else {
        object.insert(path.to_owned(), value);
        return;
    };
    let inner = match first.strip_suffix("[]") {
        Some(name) => match object.entry(name).or_insert_with(|| json!([{}])) {
            Value::Array(elements) => elements.first_mut(),
            _ => None,
        },
        None => Some(object.entry(first).or_insert_with(|| json!({}))),
    };
    if let Some(Value::Object(inner)) = inner {
        place(inner, rest, value);
    }
}

/// What became of a finding: activity and status, by number and name.
fn state(fields: &Fields) -> [(u64, &'static str); 2] {
    let is_closed = fields.text(field::FINDING_STATE).as_deref() == Some("closed");
    let activity = match fields.get(field::FINDING_REVISION).and_then(integer) {
        None => return [(0, "Unknown"), (0, "Unknown")],
        Some(_) if is_closed => (3, "Close"),
        Some(1) => (1, "Create"),
        Some(_) => (2, "Update"),
    };
    let is_allowed = fields.get(field::FINDING_ALLOWED_ID).is_some();
    let is_acknowledged = fields.get(field::FINDING_ACKNOWLEDGED).is_some();
    let status = match (is_closed, is_allowed, is_acknowledged) {
        (true, true, _) => (3, "Suppressed"),
        (true, false, _) => (4, "Resolved"),
        (false, _, true) => (2, "In Progress"),
        (false, _, false) => (1, "New"),
    };
    [activity, status]
}

/// What OCSF wants of every event.
fn classify(event: &mut Map<String, Value>, fields: &Fields) {
    let [(activity, activity_name), (status, status_name)] = state(fields);
    let (severity, severity_name) = match fields.severity() {
        Level::Low => (2, "Low"),
        Level::Medium => (3, "Medium"),
        Level::High => (4, "High"),
        Level::Critical => (5, "Critical"),
    };
    for (name, value) in [
        ("activity_id", json!(activity)),
        ("activity_name", json!(activity_name)),
        ("category_name", json!("Findings")),
        ("category_uid", json!(CATEGORY_UID)),
        ("class_name", json!("Detection Finding")),
        ("class_uid", json!(CLASS_UID)),
        ("severity", json!(severity_name)),
        ("severity_id", json!(severity)),
        ("status", json!(status_name)),
        ("status_id", json!(status)),
        (
            "type_name",
            json!(format!("Detection Finding: {activity_name}")),
        ),
        ("type_uid", json!(CLASS_UID * 100 + activity)),
    ] {
        event.insert(name.to_owned(), value);
    }
    if let Some(kind) = fields.text(field::EVENT_KIND) {
        event.insert("is_alert".to_owned(), json!(kind == "alert"));
    }
    event.entry("time").or_insert_with(|| json!(0));
}

fn describe_finding(event: &mut Map<String, Value>, fields: &Fields) {
    let title = fields.text(field::MESSAGE);
    let id = fields
        .text(field::FINDING_ID)
        .or_else(|| fields.text(field::EVENT_ID));
    place(event, "finding_info.uid", json!(id.unwrap_or_default()));
    if let Some(title) = title {
        place(event, "finding_info.title", json!(title));
    }
    if let Some(time) = event.get("time").cloned() {
        place(event, "finding_info.modified_time", time);
    }
    let analytic = event
        .get_mut("finding_info")
        .and_then(|it| it.get_mut("analytic"));
    if let Some(Value::Object(analytic)) = analytic {
        analytic.insert("type".to_owned(), json!("Statistical"));
        analytic.insert("type_id".to_owned(), json!(ANALYTIC_TYPE));
    }
    if let Some(attack) = attack(fields) {
        place(event, "finding_info.attacks", json!([attack]));
    }
}

/// The technique of ATT&CK; none when the document names no tactic.
fn attack(fields: &Fields) -> Option<Value> {
    let entry = |id: &str, name: &str, reference: &str| {
        let mut entry = Map::new();
        for (key, field) in [("uid", id), ("name", name), ("src_url", reference)] {
            if let Some(text) = fields.text(field) {
                entry.insert(key.to_owned(), json!(text));
            }
        }
        (!entry.is_empty()).then_some(Value::Object(entry))
    };
    let parts = [
        (
            "tactic",
            entry(
                field::THREAT_TACTIC_ID,
                field::THREAT_TACTIC_NAME,
                field::THREAT_TACTIC_REFERENCE,
            ),
        ),
        (
            "technique",
            entry(
                field::THREAT_TECHNIQUE_ID,
                field::THREAT_TECHNIQUE_NAME,
                field::THREAT_TECHNIQUE_REFERENCE,
            ),
        ),
        (
            "sub_technique",
            entry(
                field::THREAT_SUBTECHNIQUE_ID,
                field::THREAT_SUBTECHNIQUE_NAME,
                field::THREAT_SUBTECHNIQUE_REFERENCE,
            ),
        ),
    ];
    let known: Map<String, Value> = parts
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    (!known.is_empty()).then_some(Value::Object(known))
}

fn complete_product(event: &mut Map<String, Value>) {
    place(event, "metadata.version", json!(VERSION));
    place(event, "metadata.product.name", json!("Beaconwatch"));
    place(event, "metadata.product.vendor_name", json!("Beaconwatch"));
}

fn complete_device(event: &mut Map<String, Value>) {
    if let Some(Value::Object(device)) = event.get_mut("device") {
        device.insert("type".to_owned(), json!("Unknown"));
        device.insert("type_id".to_owned(), json!(UNKNOWN));
    }
}

fn complete_evidence(event: &mut Map<String, Value>) {
    let Some(Value::Array(evidences)) = event.get_mut("evidences") else {
        return;
    };
    let Some(Value::Object(evidence)) = evidences.first_mut() else {
        return;
    };
    if let Some(Value::Object(connection)) = evidence.get_mut("connection_info") {
        connection.insert("direction_id".to_owned(), json!(UNKNOWN));
    }
    let container = evidence.get("container");
    if container.is_some_and(|it| it.get("uid").or_else(|| it.get("name")).is_none()) {
        evidence.remove("container");
    }
    let Some(Value::Object(process)) = evidence.get_mut("process") else {
        return;
    };
    complete_process(process);
    if process.contains_key("pid") {
        return;
    }
    let name = process.get("name").cloned();
    let file = process.remove("file");
    let user = process.remove("user");
    evidence.remove("process");
    let file = file.or_else(|| Some(json!({"name": name?, "type_id": FILE_TYPE})));
    for (key, value) in [("file", file), ("user", user)] {
        if let Some(value) = value {
            evidence.insert(key.to_owned(), value);
        }
    }
}

fn complete_process(process: &mut Map<String, Value>) {
    let name = process.get("name").cloned();
    if let Some(Value::Object(file)) = process.get_mut("file") {
        complete_file(file, name);
    }
    if let Some(Value::Object(parent)) = process.get_mut("parent_process") {
        complete_process(parent);
        if !parent.contains_key("pid") {
            process.remove("parent_process");
        }
    }
}

/// A file has a name: that of its path, else of its process.
fn complete_file(file: &mut Map<String, Value>, name: Option<Value>) {
    let hash = file.get("hashes").and_then(|it| it.pointer("/0/value"));
    match hash.and_then(Value::as_str) {
        Some(hash) if is_hexadecimal(hash) => {
            place(file, "hashes[].algorithm", json!("SHA-256"));
            place(file, "hashes[].algorithm_id", json!(HASH_ALGORITHM));
        }
        _ => {
            file.remove("hashes");
        }
    }
    let path = file.get("path").and_then(Value::as_str);
    let last = path.map(|path| {
        path.rsplit('/')
            .find(|part| !part.is_empty())
            .unwrap_or(path)
    });
    let name = last.map(Value::from).or(name);
    file.insert("name".to_owned(), name.unwrap_or_else(|| json!("")));
    file.insert("type_id".to_owned(), json!(FILE_TYPE));
}

fn is_hexadecimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What an analyst looks for, by the names of its attributes.
fn put_observables(event: &mut Map<String, Value>, fields: &Fields) {
    let observables: Vec<Value> = [
        (field::SOURCE_IP, IP_ADDRESS),
        (field::DESTINATION_IP, IP_ADDRESS),
        (field::DESTINATION_DOMAIN, HOSTNAME),
        (field::HOST_NAME, HOSTNAME),
    ]
    .iter()
    .filter_map(|(name, kind)| {
        let model = field::FIELDS.iter().find(|field| field.name == *name)?;
        let path = model.name_in(Vocabulary::Ocsf)?.replace("[]", "[0]");
        let value = fields.text(name)?;
        Some(json!({"name": path, "type_id": kind, "value": value}))
    })
    .collect();
    if !observables.is_empty() {
        event.insert("observables".to_owned(), observables.into());
    }
}

#[cfg(test)]
mod tests;
