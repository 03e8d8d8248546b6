//! What a field is called in Splunk.
//!
//! | documents | name |
//! |---|---|
//! | detections, sensors | the field's own; an array's ends with `{}` |
//! | flows | the record's attribute, since no pipeline makes documents of records here |
//! | time of the document | `_time` |
//! | delivery lag, duration of a flow | computed in `props.conf`, in seconds |

use beaconwatch_schema::{
    Field, Vocabulary, detection, exporter_record, flow, flow_document, ingest, rule_match, sensor,
};

use crate::panel::DataSet;

/// Time of an event.
pub(super) const TIME: &str = "_time";
/// Computed: seconds from the document's time to its indexing.
pub(super) const DELIVERY_LAG_S: &str = "delivery_lag_s";
/// Computed: seconds that a flow lives or has lived; the data models' name.
pub(super) const DURATION_S: &str = "duration";
/// Unit of [`flow_document::EVENT_DURATION`] in seconds.
pub(super) const NANOSECOND_S: f64 = 1e-9;

/// Source type of a data set.
pub(super) const fn source_type(data: DataSet) -> &'static str {
    match data {
        DataSet::Detection => "beaconwatch:detection",
        DataSet::Flow => "beaconwatch:flow",
        DataSet::Sensor => "beaconwatch:sensor",
        DataSet::Rule => "beaconwatch:rule",
    }
}

/// Macro that finds the events of a data set.
pub(super) const fn events(data: DataSet) -> &'static str {
    match data {
        DataSet::Detection => "`beaconwatch_detections`",
        DataSet::Flow => "`beaconwatch_flows`",
        DataSet::Sensor => "`beaconwatch_sensors`",
        DataSet::Rule => "`beaconwatch_rules`",
    }
}

/// Name of a document's field in the events of a data set.
pub(super) fn name(data: DataSet, field: &str) -> String {
    match field {
        detection::TIMESTAMP => TIME.to_owned(),
        ingest::DELIVERY_LAG => DELIVERY_LAG_S.to_owned(),
        _ if data == DataSet::Flow => attribute(field).to_owned(),
        _ => fields(data)
            .iter()
            .find(|known| known.name == field)
            .map_or_else(|| field.to_owned(), json_name),
    }
}

/// Fields of the events of a data set, as they arrive.
pub(super) fn fields(data: DataSet) -> Vec<Field> {
    match data {
        DataSet::Detection => detection::FIELDS.to_vec(),
        DataSet::Flow => [exporter_record::FIELDS, flow::FIELDS].concat(),
        DataSet::Sensor => sensor::FIELDS.to_vec(),
        DataSet::Rule => rule_match::FIELDS.to_vec(),
    }
}

/// Name by which Splunk's extraction of JSON knows a field.
pub(super) fn json_name(field: &Field) -> String {
    if field.array {
        format!("{}{{}}", field.name)
    } else {
        field.name.to_owned()
    }
}

fn attribute(field: &str) -> &str {
    match field {
        flow_document::EVENT_ACTION => flow::EVENT,
        flow_document::EVENT_DURATION => DURATION_S,
        _ => flow::FIELDS
            .iter()
            .find(|known| known.name_in(Vocabulary::Ecs) == Some(field))
            .map_or(field, |known| known.name),
    }
}

/// A field's name in an expression (`eval`, `where`).
pub(super) fn in_expression(name: &str) -> String {
    if plain(name) {
        name.to_owned()
    } else {
        format!("'{name}'")
    }
}

/// A field's name anywhere else.
pub(super) fn in_command(name: &str) -> String {
    if plain(name) {
        name.to_owned()
    } else {
        format!("\"{name}\"")
    }
}

fn plain(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
