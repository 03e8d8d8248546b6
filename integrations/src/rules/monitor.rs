//! Rules as monitors of OpenSearch's alerting plugin, and the detector of its security analytics.
//!
//! A monitor asks for one thing over one kind of documents, so rules that look for something new or for a sequence are not
//! among them: on OpenSearch those are Sigma correlations in the sidecar.
//!
//! Limit: the plugins are in no package registry. The queries are run on OpenSearch, the monitors around them are not.

use serde_json::{Value, json};

use super::{Question, Rule};
use crate::panel::{Condition, DataSet};

/// Minutes between two runs, and how far back each looks.
const INTERVAL_MINUTES: u32 = 5;

/// The query that a monitor runs; none when the rule needs more than one.
#[must_use]
pub fn query(rule: &Rule) -> Option<Value> {
    let (conditions, minutes, groups) = match rule.question {
        Question::Every(conditions) => (conditions, INTERVAL_MINUTES, None),
        Question::Several {
            conditions,
            field,
            of,
            least,
        } => {
            let groups = json!({ "groups": {
                "aggs": {
                    "enough": { "bucket_selector": {
                        "buckets_path": { "different": "different" },
                        "script": format!("params.different >= {least}"),
                    } },
                    "different": { "cardinality": { "field": of } },
                },
                "terms": { "field": field, "size": 100 },
            } });
            (conditions, 60, Some(groups))
        }
        Question::New { .. } | Question::Sequence { .. } => return None,
    };
    let recent = json!({ "range": { "@timestamp": { "gte": format!("now-{minutes}m") } } });
    let mut query = json!({
        "query": { "bool": {
            "filter": filters(conditions, recent),
            "must_not": refused(conditions),
        } },
        "size": if groups.is_some() { 0 } else { 100 },
    });
    if let (Some(groups), Some(object)) = (groups, query.as_object_mut()) {
        object.insert("aggs".to_owned(), groups);
    }
    Some(query)
}

fn filters(conditions: &[Condition], recent: Value) -> Value {
    let wanted = conditions.iter().filter_map(|condition| match condition {
        Condition::Is(field, value) => Some(json!({ "term": { *field: value } })),
        Condition::Exists(field) => Some(json!({ "exists": { "field": field } })),
        Condition::AtLeast(field, least) => Some(json!({ "range": { *field: { "gte": least } } })),
        Condition::IsNot(..) => None,
    });
    Value::Array(std::iter::once(recent).chain(wanted).collect())
}

fn refused(conditions: &[Condition]) -> Value {
    let unwanted = conditions.iter().filter_map(|condition| match condition {
        Condition::IsNot(field, value) => Some(json!({ "term": { *field: value } })),
        _ => None,
    });
    Value::Array(unwanted.collect())
}

/// The monitor of a rule, switched off; none when the rule needs more than one query.
#[must_use]
pub fn monitor(rule: &Rule) -> Option<Value> {
    let query = query(rule)?;
    let counted = match rule.question {
        Question::Several { .. } => "ctx.results[0].aggregations.groups.buckets.size() > 0",
        _ => "ctx.results[0].hits.total.value > 0",
    };
    Some(json!({
        "enabled": false,
        "inputs": [{ "search": {
            "indices": [format!("{}-*", DataSet::Detection.template())],
            "query": query,
        } }],
        "monitor_type": "query_level_monitor",
        "name": format!("[Beaconwatch] {}", rule.name),
        "schedule": { "period": { "interval": INTERVAL_MINUTES, "unit": "MINUTES" } },
        "triggers": [{ "query_level_trigger": {
            "actions": [],
            "condition": { "script": { "lang": "painless", "source": counted } },
            "name": rule.name,
            "severity": match rule.severity { super::Severity::High => "2", super::Severity::Medium => "3" },
        } }],
        "type": "monitor",
    }))
}
