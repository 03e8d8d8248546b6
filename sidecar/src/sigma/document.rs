//! A match as a document ([`beaconwatch_schema::rule_match`]).

use std::collections::BTreeSet;

use beaconwatch_detector::Timestamp;
use beaconwatch_rules::{Correlated, Match, RuleLevel};
use beaconwatch_schema::{ECS_VERSION, FieldType, rule_match as field};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::attack::{Attack, page};
use crate::config::Labels;
use crate::time_text::rfc3339;

const PRODUCT: &str = "Beaconwatch";
const PROJECT: &str = "beaconwatch";

/// A document that is not routed yet.
#[derive(Debug)]
pub(crate) struct RuleDocument {
    pub(crate) event_id: String,
    pub(crate) body: Value,
}

/// The document of a match; `completing` is the document that completed it.
pub(super) fn of(
    found: &Match,
    completing: &Value,
    suppressed: u64,
    now: Timestamp,
    labels: &Labels,
) -> RuleDocument {
    let event_id = event_id(found, completing);
    let mut body = Value::Object(Map::new());
    describe_event(&mut body, found, now);
    describe_origin(&mut body, labels);
    describe_rule(&mut body, found);
    describe_threat(&mut body, &Attack::of(&found.rule.tags));
    put(&mut body, field::EVENT_ID, json!(event_id));
    if suppressed > 0 {
        put(&mut body, field::SUPPRESSION_COUNT, json!(suppressed));
    }
    let tags = completing_tags(completing);
    put(&mut body, field::TAGS, tags);
    match &found.correlation {
        Some(correlated) => describe_correlation(&mut body, correlated, completing),
        None => describe_flow(&mut body, completing),
    }
    let (message, reason) = words(found, &body);
    put(&mut body, field::MESSAGE, json!(message));
    put(&mut body, field::EVENT_REASON, json!(reason));
    RuleDocument { event_id, body }
}

/// The same for the same match: of the rule, what was matched, when, and for whom.
fn event_id(found: &Match, completing: &Value) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        // With its length, so that no two lists of texts are the same bytes.
        hash.update(text.len().to_le_bytes());
        hash.update(text.as_bytes());
    };
    add(&found.rule.id);
    add(found.documents.first().map_or("", |id| id));
    add(&found.time_ns.to_string());
    add(text_at(completing, "event.action").unwrap_or_default());
    for (name, value) in found.correlation.iter().flat_map(|it| &it.group) {
        add(name);
        add(value);
    }
    let digest = hash.finalize();
    let half = digest.get(..16).unwrap_or_default();
    format!("sigma-{}", hex::encode(half))
}

fn describe_event(body: &mut Value, found: &Match, now: Timestamp) {
    let severity = severity(found.rule.level);
    let action = match found.correlation {
        Some(_) => "correlation-matched",
        None => "rule-matched",
    };
    let time = Timestamp::from_unix_nanos(found.time_ns);
    put(body, field::TIMESTAMP, json!(rfc3339(time)));
    put(body, field::EVENT_ACTION, json!(action));
    let category = json!(["network", "intrusion_detection"]);
    put(body, field::EVENT_CATEGORY, category);
    put(body, field::EVENT_CREATED, json!(rfc3339(now)));
    put(body, field::EVENT_DATASET, json!(field::DATASET));
    put(body, field::EVENT_KIND, json!("alert"));
    put(body, field::EVENT_MODULE, json!(PROJECT));
    put(body, field::EVENT_PROVIDER, json!(PROJECT));
    put(body, field::EVENT_RISK_SCORE, json!(f64::from(severity)));
    put(body, field::EVENT_SEVERITY, json!(severity));
    put(body, field::EVENT_TYPE, json!(["info"]));
}

fn describe_origin(body: &mut Value, labels: &Labels) {
    put(body, field::DATA_STREAM_DATASET, json!(field::DATASET));
    put(body, field::DATA_STREAM_NAMESPACE, json!(labels.namespace));
    put(body, field::DATA_STREAM_TYPE, json!(field::STREAM_TYPE));
    put(body, field::ECS_VERSION, json!(ECS_VERSION));
    if let Some(name) = &labels.observer_name {
        put(body, field::OBSERVER_NAME, json!(name));
    }
    put(body, field::OBSERVER_PRODUCT, json!(PRODUCT));
    put(body, field::OBSERVER_TYPE, json!("ids"));
    put(body, field::OBSERVER_VENDOR, json!(PRODUCT));
    let version = env!("CARGO_PKG_VERSION");
    put(body, field::OBSERVER_VERSION, json!(version));
}

fn describe_rule(body: &mut Value, found: &Match) {
    let rule = &found.rule;
    let category = match found.correlation {
        Some(_) => "Sigma correlation",
        None => "Sigma rule",
    };
    put(body, field::SIGMA_ID, json!([&*rule.id]));
    put(body, field::SIGMA_LEVEL, json!([rule.level.name()]));
    put(body, field::SIGMA_TITLE, json!([rule.title]));
    let documents: Vec<&str> = found.documents.iter().map(|it| &**it).collect();
    put(body, field::SIGMA_DOCUMENTS, json!(documents));
    put(body, field::RULE_CATEGORY, json!(category));
    if let Some(description) = &rule.description {
        put(body, field::RULE_DESCRIPTION, json!(description));
    }
    put(body, field::RULE_ID, json!(&*rule.id));
    put(body, field::RULE_NAME, json!(rule.title));
    put(body, field::RULE_RULESET, json!("sigma"));
}

fn describe_threat(body: &mut Value, attack: &Attack) {
    if attack.tactics.is_empty() && attack.techniques.is_empty() {
        return;
    }
    put(body, field::THREAT_FRAMEWORK, json!("MITRE ATT&CK"));
    let mut list = |name: &str, values: Vec<String>| {
        if !values.is_empty() {
            put(body, name, json!(values));
        }
    };
    let tactics = attack.tactics.iter();
    let ids = tactics.clone().map(|it| it.0.to_owned()).collect();
    let names = tactics.clone().map(|it| it.1.to_owned()).collect();
    let pages = tactics.map(|it| page("tactics", it.0)).collect();
    list(field::THREAT_TACTIC_ID, ids);
    list(field::THREAT_TACTIC_NAME, names);
    list(field::THREAT_TACTIC_REFERENCE, pages);
    let page_of = |id: &String| page("techniques", id);
    let pages = attack.techniques.iter().map(page_of).collect();
    list(field::THREAT_TECHNIQUE_REFERENCE, pages);
    list(field::THREAT_TECHNIQUE_ID, attack.techniques.clone());
    let pages = attack.sub_techniques.iter().map(page_of).collect();
    list(field::THREAT_SUBTECHNIQUE_REFERENCE, pages);
    list(field::THREAT_SUBTECHNIQUE_ID, attack.sub_techniques.clone());
}

fn completing_tags(completing: &Value) -> Value {
    let is_simulated = at(completing, field::TAGS)
        .and_then(Value::as_array)
        .is_some_and(|tags| tags.iter().any(|tag| tag == "simulated"));
    if is_simulated {
        json!([super::TAG, "simulated"])
    } else {
        json!([super::TAG])
    }
}

/// Fields that a document of a flow rule has from its flow.
const OF_FLOW: [&str; 21] = [
    field::FLOW_ID,
    field::CONTAINER_ID,
    field::ORCHESTRATOR_NAMESPACE,
    field::ORCHESTRATOR_RESOURCE_NAME,
    field::PROCESS_PARENT_EXECUTABLE,
    field::PROCESS_PARENT_NAME,
    field::PROCESS_REAL_USER_NAME,
    field::SYSTEMD_UNIT,
    field::DESTINATION_DOMAIN,
    field::DESTINATION_IP,
    field::DESTINATION_PORT,
    field::HOST_ID,
    field::HOST_NAME,
    field::NETWORK_COMMUNITY_ID,
    field::NETWORK_TRANSPORT,
    field::PROCESS_EXECUTABLE,
    field::PROCESS_NAME,
    field::PROCESS_PID,
    field::PROCESS_REAL_USER_ID,
    field::SOURCE_IP,
    field::SOURCE_PORT,
];

fn describe_flow(body: &mut Value, flow: &Value) {
    for name in OF_FLOW {
        if let Some(value) = at(flow, name) {
            put(body, name, value.clone());
        }
    }
    describe_related(body, &[flow]);
}

fn describe_correlation(body: &mut Value, correlated: &Correlated, completing: &Value) {
    put(body, field::CORRELATION_TYPE, json!(correlated.kind));
    put(body, field::CORRELATION_VALUE, json!(correlated.value));
    put(
        body,
        field::CORRELATION_WINDOW,
        json!(correlated.timespan_s),
    );
    let time = |nanos| json!(rfc3339(Timestamp::from_unix_nanos(nanos)));
    put(body, field::EVENT_START, time(correlated.first_ns));
    put(body, field::EVENT_END, time(correlated.last_ns));
    let pairs = correlated.group.iter();
    let pairs: Vec<String> = pairs
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if !pairs.is_empty() {
        put(body, field::SIGMA_GROUP, json!(pairs));
    }
    for (name, value) in &correlated.group {
        let known = field::FIELDS.iter().find(|it| it.name == name);
        let Some(known) = known.filter(|it| OF_FLOW.contains(&it.name)) else {
            continue;
        };
        let value = match (known.field_type, value.parse::<u64>()) {
            (FieldType::Long, Ok(number)) => json!(number),
            (FieldType::Long, Err(_)) => continue,
            _ => json!(value),
        };
        put(body, known.name, value);
    }
    let group = body.clone();
    describe_related(body, &[&group, completing]);
}

/// What to search other documents by.
fn describe_related(body: &mut Value, documents: &[&Value]) {
    let lists = [
        (field::RELATED_IP, [field::SOURCE_IP, field::DESTINATION_IP]),
        (
            field::RELATED_HOSTS,
            [field::HOST_NAME, field::DESTINATION_DOMAIN],
        ),
        (field::RELATED_USER, [field::PROCESS_REAL_USER_ID; 2]),
    ];
    for (list, names) in lists {
        let values: BTreeSet<&str> = documents
            .iter()
            .flat_map(|document| names.map(|name| text_at(document, name)))
            .flatten()
            .collect();
        if !values.is_empty() {
            put(body, list, json!(values));
        }
    }
}

/// The message and the reason.
fn words(found: &Match, body: &Value) -> (String, String) {
    let title = &found.rule.title;
    if let Some(correlated) = &found.correlation {
        let pairs = correlated.group.iter();
        let pairs: Vec<String> = pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let values: Vec<&str> = correlated.group.iter().map(|it| it.1.as_str()).collect();
        let (whom, values) = if pairs.is_empty() {
            (String::new(), String::new())
        } else {
            (
                format!(" for {}", pairs.join(", ")),
                format!(": {}", values.join(", ")),
            )
        };
        let reason = format!(
            "{} is {} within {} s{whom}.",
            correlated.kind, correlated.value, correlated.timespan_s
        );
        return (format!("{title}{values}"), reason);
    }
    let of = |name| text_at(body, name).unwrap_or("?");
    let port = at(body, field::DESTINATION_PORT).map_or_else(String::new, ToString::to_string);
    let (source, destination) = (of(field::SOURCE_IP), of(field::DESTINATION_IP));
    let mut reason = format!("The rule matches a flow from {source} to {destination}:{port}");
    if let Some(program) =
        text_at(body, field::PROCESS_EXECUTABLE).or_else(|| text_at(body, field::PROCESS_NAME))
    {
        reason = format!("{reason} of {program}");
    }
    let message = format!("{title}: {source} to {destination}:{port}");
    (message, format!("{reason}."))
}

/// Severity as Elastic's detection rules number it.
const fn severity(level: RuleLevel) -> u32 {
    match level {
        RuleLevel::Informational | RuleLevel::Low => 21,
        RuleLevel::Medium => 47,
        RuleLevel::High => 73,
        RuleLevel::Critical => 99,
    }
}

/// Puts a value at a dotted name, objects in objects.
pub(super) fn put(body: &mut Value, name: &str, value: Value) {
    let mut place = body;
    for part in name.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(fields) = place else { return };
        place = fields.entry(part.to_owned()).or_insert(Value::Null);
    }
    *place = value;
}

/// The value of a dotted name: in objects in objects, or in one object.
fn at<'a>(document: &'a Value, name: &str) -> Option<&'a Value> {
    let nested = || {
        let mut parts = name.split('.');
        parts.try_fold(document, |value, part| value.get(part))
    };
    document.get(name).or_else(nested)
}

fn text_at<'a>(document: &'a Value, name: &str) -> Option<&'a str> {
    at(document, name).and_then(Value::as_str)
}
