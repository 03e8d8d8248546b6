//! Fields of a flow document: a flow record as a document of a store.
//!
//! Attributes of the record have the names of the Elastic Common Schema where it has one ([`crate::Vocabulary::Ecs`] in
//! [`crate::flow::FIELDS`]) and keep their own else. The fields of [`ENVELOPE`] are beside them. An ingest pipeline makes
//! the document of what a Collector sends to the store; the sidecar makes the same to match rules with.

use crate::field::fields;
use crate::{Field, Origin, Vocabulary, exporter_record, flow};

/// Value of [`DATA_STREAM_TYPE`].
pub const STREAM_TYPE: &str = "logs";
/// Value of [`DATA_STREAM_DATASET`] and of [`EVENT_DATASET`].
pub const DATASET: &str = "beaconwatch.flow";
/// Value of [`EVENT_KIND`].
pub const KIND: &str = "event";
/// Value of [`EVENT_CATEGORY`].
pub const CATEGORY: &str = "network";
/// Value of [`EVENT_MODULE`].
pub const MODULE: &str = "beaconwatch";
/// What comes before the record's event (start, update, activity, end) in [`EVENT_ACTION`].
pub const ACTION_PREFIX: &str = "flow-";

/// Values of [`EVENT_TYPE`] for an event of a flow ([`crate::flow::EVENT`]).
#[must_use]
pub fn event_types(event: &str) -> &'static [&'static str] {
    match event {
        flow::EVENT_START => &["connection", "start"],
        flow::EVENT_END => &["connection", "end"],
        _ => &["connection", "info"],
    }
}

/// The fields beside the record's own.
pub const ENVELOPE: &[Field] = FIELDS;

/// Every field of a flow document, sorted by name.
#[must_use]
pub fn fields() -> Vec<Field> {
    let of_record = exporter_record::FIELDS.iter().chain(flow::FIELDS);
    let of_record = of_record.map(|field| {
        let Some(mapping) = field.mapping(Vocabulary::Ecs) else {
            return *field;
        };
        Field {
            name: mapping.name,
            field_type: mapping.field_type.unwrap_or(field.field_type),
            origin: Origin::Ecs,
            ..*field
        }
    });
    let mut fields: Vec<Field> = of_record.chain(ENVELOPE.iter().copied()).collect();
    fields.sort_by_key(|field| field.name);
    fields
}

fields! {
    TIMESTAMP = "@timestamp", Date, "", Required, Ecs,
        "Time of the event.", "2025-11-22T08:26:30.123Z";
    DATA_STREAM_DATASET = "data_stream.dataset", ConstantKeyword, "", Required, Ecs,
        "Always beaconwatch.flow.", "beaconwatch.flow";
    DATA_STREAM_NAMESPACE = "data_stream.namespace", ConstantKeyword, "", Required, Ecs,
        "Namespace of the data stream.", "default";
    DATA_STREAM_TYPE = "data_stream.type", ConstantKeyword, "", Required, Ecs,
        "Always logs.", "logs";
    ECS_VERSION = "ecs.version", Keyword, "", Required, Ecs,
        "Version of the Elastic Common Schema that the document follows.", "9.4.0";
    EVENT_ACTION = "event.action", Keyword, "", Required, Ecs,
        "flow-start, flow-update or flow-end.", "flow-end";
    EVENT_CATEGORY = "event.category", Keyword [array], "", Required, Ecs,
        "Always network.", "network";
    EVENT_DATASET = "event.dataset", Keyword, "", Required, Ecs,
        "Always beaconwatch.flow.", "beaconwatch.flow";
    EVENT_DURATION = "event.duration", Long, "ns", Required, Ecs,
        "Time from the flow's start to this event.", "200000000";
    EVENT_KIND = "event.kind", Keyword, "", Required, Ecs,
        "Always event.", "event";
    EVENT_MODULE = "event.module", Keyword, "", Required, Ecs,
        "Always beaconwatch.", "beaconwatch";
    EVENT_TYPE = "event.type", Keyword [array], "", Required, Ecs,
        "connection, and start or end at the flow's begin or end, info between.", "connection";
    RELATED_IP = "related.ip", Ip [array], "", Required, Ecs,
        "Addresses of both ends.", "192.0.2.10";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_flow_document_are_unique() {
        let names: Vec<&str> = fields().iter().map(|field| field.name).collect();
        assert!(names.windows(2).all(|pair| pair.first() < pair.last()));
        assert!(names.contains(&"source.ip") && names.contains(&"beaconwatch.flow.id"));
    }
}
