//! Rules as Kibana's `security-rule` objects.
//!
//! Types used: `query`, `new_terms`, `threshold`, `eql`. Alert suppression is not used: it needs a paid tier, and Beaconwatch
//! suppresses repeated detections itself.

use serde_json::{Map, Value, json};

use beaconwatch_schema::{FieldType, detection};

use super::{Question, Rule};
use crate::panel::{Condition, DataSet};

/// How often a rule runs, and how far back it looks each time.
const INTERVAL: &str = "5m";
const FROM: &str = "now-9m";
/// Severities by `event.severity`.
const SEVERITIES: [(&str, &str); 4] = [
    ("21", "low"),
    ("47", "medium"),
    ("73", "high"),
    ("99", "critical"),
];

/// The attributes of the rule's object, as the package has them and the detection engine's API takes them.
#[must_use]
pub fn attributes(rule: &Rule) -> Value {
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| all.insert(name.to_owned(), value);
    put("author", json!(["Beaconwatch"]));
    put("description", rule.description.into());
    put("enabled", false.into());
    put("false_positives", json!([rule.false_positives]));
    put("from", FROM.into());
    put("index", indices(rule));
    put("interval", INTERVAL.into());
    put("license", "Apache-2.0".into());
    put("max_signals", 100.into());
    put("name", rule.name.into());
    put("note", rule.note.into());
    put(
        "references",
        json!(["https://attack.mitre.org/tactics/TA0011/"]),
    );
    put(
        "related_integrations",
        json!([{ "package": "beaconwatch", "version": "^0.1.0" }]),
    );
    put("required_fields", required_fields(rule));
    put("risk_score", rule.severity.risk_score().into());
    put("rule_id", rule.id.into());
    put(
        "setup",
        "Documents of Beaconwatch arrive in data streams logs-beaconwatch.*.".into(),
    );
    put("severity", rule.severity.name().into());
    put(
        "tags",
        json!([
            "Beaconwatch",
            "Tactic: Command and Control",
            "Domain: Network"
        ]),
    );
    put("threat", threat());
    put("timestamp_override", "event.ingested".into());
    put("version", 1.into());
    for (name, value) in question(rule) {
        put(name, value);
    }
    Value::Object(all)
}

fn indices(rule: &Rule) -> Value {
    let sets: Vec<DataSet> = match rule.question {
        Question::Sequence { steps, .. } => steps.iter().map(|(data, _conditions)| *data).collect(),
        _ => vec![DataSet::Detection],
    };
    let names = sets.iter().map(|data| format!("{}-*", data.template()));
    Value::Array(names.map(Value::from).collect())
}

fn threat() -> Value {
    json!([{
        "framework": "MITRE ATT&CK",
        "tactic": {
            "id": "TA0011",
            "name": "Command and Control",
            "reference": "https://attack.mitre.org/tactics/TA0011/",
        },
        "technique": [{
            "id": "T1071",
            "name": "Application Layer Protocol",
            "reference": "https://attack.mitre.org/techniques/T1071/",
        }],
    }])
}

fn question(rule: &Rule) -> Vec<(&'static str, Value)> {
    match rule.question {
        Question::Every(conditions) => own_scores(kuery("query", conditions)),
        Question::New {
            conditions,
            fields,
            days,
        } => {
            let mut all = kuery("new_terms", conditions);
            all.push(("new_terms_fields", json!(fields)));
            all.push(("history_window_start", format!("now-{days}d").into()));
            all
        }
        Question::Several {
            conditions,
            field,
            of,
            least,
        } => {
            let mut all = kuery("threshold", conditions);
            all.push((
                "threshold",
                json!({
                    "cardinality": [{ "field": of, "value": least }],
                    "field": [field],
                    "value": 1,
                }),
            ));
            all.push(("from", "now-65m".into()));
            all
        }
        Question::Sequence { by, hours, steps } => vec![
            ("type", "eql".into()),
            ("language", "eql".into()),
            ("query", sequence(by, hours, steps).into()),
            ("from", format!("now-{}m", hours * 60 + 10).into()),
        ],
    }
}

/// The alert has the name, the severity and the risk of the document.
fn own_scores(mut all: Vec<(&'static str, Value)>) -> Vec<(&'static str, Value)> {
    let severities: Vec<Value> = SEVERITIES
        .iter()
        .map(|(number, name)| {
            json!({ "field": detection::EVENT_SEVERITY, "operator": "equals", "severity": name, "value": number })
        })
        .collect();
    all.push(("severity_mapping", severities.into()));
    all.push((
        "risk_score_mapping",
        json!([
            { "field": detection::EVENT_RISK_SCORE, "operator": "equals", "value": "" },
        ]),
    ));
    all.push(("rule_name_override", detection::MESSAGE.into()));
    all
}

fn kuery(kind: &str, conditions: &[Condition]) -> Vec<(&'static str, Value)> {
    let query = crate::kibana::kuery_of(DataSet::Detection, conditions);
    vec![
        ("type", kind.into()),
        ("language", "kuery".into()),
        ("query", query.into()),
    ]
}

/// A sequence in the event query language.
#[must_use]
pub fn sequence(by: &[&str], hours: u32, steps: &[(DataSet, &[Condition])]) -> String {
    let mut text = format!("sequence by {} with maxspan={hours}h", by.join(", "));
    for (data, conditions) in steps {
        let data_set = format!("data_stream.dataset == \"{}\"", data.name());
        let conditions = conditions
            .iter()
            .map(|condition| event_query(*data, *condition));
        let all: Vec<String> = std::iter::once(data_set).chain(conditions).collect();
        text.push_str("\n  [any where ");
        text.push_str(&all.join(" and "));
        text.push(']');
    }
    text
}

fn event_query(data: DataSet, condition: Condition) -> String {
    let literal = |field: &str, value: &str| {
        let known = data.fields().into_iter().find(|known| known.name == field);
        match known.map(|known| known.field_type) {
            Some(FieldType::Boolean | FieldType::Long) => value.to_owned(),
            _ => format!("\"{value}\""),
        }
    };
    match condition {
        Condition::Is(field, value) => format!("{field} == {}", literal(field, value)),
        Condition::Exists(field) => format!("{field} != null"),
        Condition::AtLeast(field, least) => format!("{field} >= {least}"),
        // A field that is not there is not unequal to anything in this language.
        Condition::IsNot(field, value) => {
            format!("({field} == null or {field} != {})", literal(field, value))
        }
    }
}

fn required_fields(rule: &Rule) -> Value {
    let mut fields: Vec<(DataSet, &str)> = Vec::new();
    let mut add = |data: DataSet, conditions: &[Condition]| {
        fields.push((data, "data_stream.dataset"));
        fields.extend(conditions.iter().map(|condition| (data, condition.field())));
    };
    match rule.question {
        Question::Every(conditions) => add(DataSet::Detection, conditions),
        Question::New {
            conditions,
            fields: new,
            ..
        } => {
            add(DataSet::Detection, conditions);
            fields.extend(new.iter().map(|field| (DataSet::Detection, *field)));
        }
        Question::Several {
            conditions,
            field,
            of,
            ..
        } => {
            add(DataSet::Detection, conditions);
            fields.extend([field, of].map(|field| (DataSet::Detection, field)));
        }
        Question::Sequence { by, steps, .. } => {
            for (data, conditions) in steps {
                add(*data, conditions);
            }
            fields.extend(by.iter().map(|field| (DataSet::Detection, *field)));
        }
    }
    fields.sort_by_key(|(_data, field)| *field);
    fields.dedup_by_key(|(_data, field)| *field);
    let described = fields.into_iter().map(|(data, name)| {
        let field = data.fields().into_iter().find(|field| field.name == name);
        json!({
            "ecs": !name.starts_with("beaconwatch."),
            "name": name,
            "type": field.map_or("keyword", |field| field.field_type.name()),
        })
    });
    Value::Array(described.collect())
}

/// Id of a rule's saved object in the package.
#[must_use]
pub fn object_id(rule: &Rule) -> String {
    format!("{}_1", rule.id)
}
