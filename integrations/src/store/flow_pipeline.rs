//! The OTLP record of a flow becomes a document.
//!
//! A Collector's exporter writes a record's attributes beside or below the document's root, as it is configured:
//!
//! | mapping mode | attributes | resource attributes |
//! |---|---|---|
//! | `otel` | `attributes` | `resource.attributes` |
//! | `none` | `Attributes` | `Resource` |
//! | `ecs`, `raw` | root | root |
//!
//! One script takes them from any of these places, renames them as the field model says, and drops what is left of the
//! record's frame. Names of attributes are flat (`source.address`) or already objects. The time is ISO 8601 or, in mode
//! `otel`, milliseconds with a fraction. Heartbeats say nothing of a flow and are dropped; a record that is neither
//! is an error of the pipeline, which its document says.

use serde_json::{Map, Value, json};

use beaconwatch_schema::{
    ECS_VERSION, FieldType, Vocabulary, exporter_record, flow, flow_document, template,
};

use crate::panel::DataSet;

const SCRIPT: &str = include_str!("flow.painless");
/// Set by the script when the record is a heartbeat.
const HEARTBEAT: &str = "beaconwatch_heartbeat";
/// What a record has beside attributes, in all modes.
const FRAME: &[&str] = &[
    "attributes",
    "Attributes",
    "body",
    "Body",
    "dropped_attributes_count",
    "event_name",
    "EventName",
    "InstrumentationScope",
    "observed_timestamp",
    "ObservedTimestamp",
    "processor",
    "resource",
    "Resource",
    "scope",
    "Scope",
    "severity_number",
    "SeverityNumber",
    "severity_text",
    "SeverityText",
    "span_id",
    "SpanId",
    "trace_flags",
    "TraceFlags",
    "trace_id",
    "TraceId",
];

/// The processors, in their order.
pub(super) fn processors() -> Vec<Value> {
    let set = |field: &str, value: Value| json!({ "set": { "field": field, "value": value } });
    vec![
        json!({ "script": {
            "description": "Attributes of the OTLP record to fields of the document",
            "params": params(),
            "source": SCRIPT,
        } }),
        json!({ "drop": { "if": format!("ctx.{HEARTBEAT} == true") } }),
        set(flow_document::ECS_VERSION, ECS_VERSION.into()),
        set(
            flow_document::EVENT_CATEGORY,
            json!([flow_document::CATEGORY]),
        ),
        set(flow_document::EVENT_KIND, flow_document::KIND.into()),
        set(flow_document::EVENT_MODULE, flow_document::MODULE.into()),
        set(flow_document::EVENT_DATASET, flow_document::DATASET.into()),
    ]
}

/// What the script is told: it names no field of the model itself but those that it computes.
fn params() -> Value {
    let mut names = Map::new();
    let (mut instants, mut texts) = (Vec::new(), Vec::new());
    for field in exporter_record::FIELDS.iter().chain(flow::FIELDS) {
        let target = field.name_in(Vocabulary::Ecs).unwrap_or(field.name);
        let becomes = field
            .mapping(Vocabulary::Ecs)
            .and_then(|mapping| mapping.field_type);
        match (field.field_type, becomes) {
            (FieldType::Long, Some(FieldType::Date)) => instants.push(target),
            (FieldType::Long, Some(FieldType::Keyword)) => texts.push(target),
            _ => {}
        }
        names.insert(field.name.to_owned(), target.into());
    }
    json!({
        "action": flow_document::ACTION_PREFIX,
        "dataset": DataSet::Flow.name(),
        "event": flow::EVENT,
        "frame": FRAME,
        "heartbeat": HEARTBEAT,
        "instants": instants,
        "names": names,
        "sequence": flow::EXPORTER_SEQUENCE,
        "stream": format!("{}-", template::FLOW_NAME),
        "stream_type": flow_document::STREAM_TYPE,
        "texts": texts,
        "types": {
            flow::EVENT_START: flow_document::event_types(flow::EVENT_START),
            flow::EVENT_UPDATE: flow_document::event_types(flow::EVENT_UPDATE),
            flow::EVENT_ACTIVITY: flow_document::event_types(flow::EVENT_ACTIVITY),
            flow::EVENT_END: flow_document::event_types(flow::EVENT_END),
        },
    })
}
