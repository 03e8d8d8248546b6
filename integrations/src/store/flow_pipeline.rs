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
//! record's frame. Names of attributes are flat (`source.address`) or already objects.

use serde_json::{Map, Value, json};

use beaconwatch_schema::{
    ECS_VERSION, FieldType, Vocabulary, exporter_record, flow, flow_document,
};

use crate::panel::DataSet;

const SCRIPT: &str = include_str!("flow.painless");

/// The processors, in their order.
pub(super) fn processors() -> Vec<Value> {
    let mut names = Map::new();
    let mut instants = Vec::new();
    for field in exporter_record::FIELDS.iter().chain(flow::FIELDS) {
        let target = field.name_in(Vocabulary::Ecs).unwrap_or(field.name);
        let becomes = field
            .mapping(Vocabulary::Ecs)
            .and_then(|mapping| mapping.field_type);
        if field.field_type == FieldType::Long && becomes == Some(FieldType::Date) {
            instants.push(target);
        }
        names.insert(field.name.to_owned(), target.into());
    }
    let set = |field: &str, value: Value| json!({ "set": { "field": field, "value": value } });
    vec![
        json!({ "script": {
            "description": "Attributes of the OTLP record to fields of the document",
            "params": {
                "action": flow_document::ACTION_PREFIX,
                "dataset": DataSet::Flow.name(),
                "event": flow::EVENT,
                "instants": instants,
                "names": names,
                "types": {
                    flow::EVENT_START: flow_document::event_types(flow::EVENT_START),
                    flow::EVENT_UPDATE: flow_document::event_types(flow::EVENT_UPDATE),
                    flow::EVENT_END: flow_document::event_types(flow::EVENT_END),
                },
            },
            "source": SCRIPT,
        } }),
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
