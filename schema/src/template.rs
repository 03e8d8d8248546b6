//! Index templates of the data streams of detections, of documents about sensors and of matches of rules.
//!
//! One template for OpenSearch 3 and Elasticsearch 9, so it uses only what both have: `constant_keyword`
//! becomes `keyword`, and no component templates are composed. Every field of the table is mapped, so that
//! nothing depends on what a server brings along. A field that the template does not know is kept in the
//! document but not indexed (`dynamic: false`): a newer sidecar's documents are never rejected, and nobody can
//! grow the mapping.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{Field, FieldType, detection, flow_document, ingest, rule_match, sensor};

/// Name of the index template.
pub const NAME: &str = "logs-beaconwatch.detection";
/// Name of the index template for documents about sensors.
pub const SENSOR_NAME: &str = "logs-beaconwatch.sensor";
/// Name of the index template for flow documents.
pub const FLOW_NAME: &str = "logs-beaconwatch.flow";
/// Name of the index template for matches of rules.
pub const RULE_NAME: &str = "logs-beaconwatch.rule";
/// Above 200, the priority of the servers' own template for `logs-*-*`.
pub const PRIORITY: u32 = 250;
/// Longer keywords are kept and not indexed: one above 32,766 bytes would make the server refuse its
/// document.
const IGNORE_ABOVE: u32 = 1024;

/// Name of the data stream of detections in a namespace.
#[must_use]
pub fn data_stream(namespace: &str) -> String {
    format!("{NAME}-{namespace}")
}

/// Body of the index template, as it is put to `/_index_template/` with its [`NAME`].
#[must_use]
pub fn index_template() -> Value {
    template(
        "Detections of Beaconwatch",
        &data_stream("*"),
        detection::FIELDS,
    )
}

/// Name of the data stream of documents about sensors in a namespace.
#[must_use]
pub fn sensor_data_stream(namespace: &str) -> String {
    format!("{SENSOR_NAME}-{namespace}")
}

/// Body of the index template for documents about sensors: its name is [`SENSOR_NAME`].
#[must_use]
pub fn sensor_index_template() -> Value {
    template(
        "Sensors of Beaconwatch",
        &sensor_data_stream("*"),
        sensor::FIELDS,
    )
}

/// Name of the data stream of matches of rules in a namespace.
#[must_use]
pub fn rule_data_stream(namespace: &str) -> String {
    format!("{RULE_NAME}-{namespace}")
}

/// Body of the index template for matches of rules: its name is [`RULE_NAME`].
#[must_use]
pub fn rule_index_template() -> Value {
    template(
        "Rule matches of Beaconwatch",
        &rule_data_stream("*"),
        rule_match::FIELDS,
    )
}

/// Body of the index template for flow documents: its name is [`FLOW_NAME`].
#[must_use]
pub fn flow_index_template() -> Value {
    template(
        "Flows of Beaconwatch",
        &format!("{FLOW_NAME}-*"),
        &flow_document::fields(),
    )
}

/// Fields of a document as it is stored: those that it came with, and those that the ingest pipeline adds.
#[must_use]
pub fn stored(fields: &[Field]) -> Vec<Field> {
    fields.iter().chain(ingest::FIELDS).copied().collect()
}

fn template(description: &str, pattern: &str, fields: &[Field]) -> Value {
    // Keys are in alphabetical order, so that the text is the same whatever kind of map serde_json has.
    json!({
        "_meta": { "description": description, "managed_by": "beaconwatch" },
        "data_stream": {},
        "index_patterns": [pattern],
        "priority": PRIORITY,
        "template": {
            "mappings": mappings(&stored(fields)),
        },
    })
}

/// The mappings of documents with the given fields; others are kept and not indexed.
#[must_use]
pub fn mappings(fields: &[Field]) -> Value {
    json!({ "dynamic": false, "properties": properties(fields) })
}

/// Mapping of each field at its place.
fn properties(fields: &[Field]) -> Value {
    let mut root = Node::default();
    for field in fields {
        let place = field
            .name
            .split('.')
            .fold(&mut root, |node, part| node.inner.entry(part).or_default());
        place.field_type = Some(field.field_type);
    }
    root.properties()
}

/// A field, an object of fields, or (nested) both.
#[derive(Default)]
struct Node {
    field_type: Option<FieldType>,
    inner: BTreeMap<&'static str, Node>,
}

impl Node {
    fn properties(&self) -> Value {
        let entries = self
            .inner
            .iter()
            .map(|(name, node)| ((*name).to_owned(), node.mapping()));
        Value::Object(entries.collect())
    }

    fn mapping(&self) -> Value {
        let mut mapping = Map::new();
        if !self.inner.is_empty() {
            mapping.insert("properties".to_owned(), self.properties());
        }
        if let Some((name, is_keyword)) = self.field_type.map(portable_type) {
            if is_keyword {
                mapping.insert("ignore_above".to_owned(), IGNORE_ABOVE.into());
            }
            mapping.insert("type".to_owned(), name.into());
        }
        Value::Object(mapping)
    }
}

/// Name of a type that both servers have, and whether it is `keyword`.
const fn portable_type(field_type: FieldType) -> (&'static str, bool) {
    match field_type {
        FieldType::Keyword | FieldType::ConstantKeyword => ("keyword", true),
        FieldType::MatchOnlyText => ("match_only_text", false),
        FieldType::Long => ("long", false),
        FieldType::Float => ("float", false),
        FieldType::Double => ("double", false),
        FieldType::Boolean => ("boolean", false),
        FieldType::Date => ("date", false),
        FieldType::Ip => ("ip", false),
        FieldType::Nested => ("nested", false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_table_is_mapped_where_its_name_says() {
        for (template, fields) in [
            (index_template(), detection::FIELDS),
            (sensor_index_template(), sensor::FIELDS),
            (flow_index_template(), &flow_document::fields()),
            (rule_index_template(), rule_match::FIELDS),
        ] {
            for field in &stored(fields) {
                let inner = field.name.replace('.', "/properties/");
                let path = format!("/template/mappings/properties/{inner}/type");
                let expected = portable_type(field.field_type).0;
                let found = template.pointer(&path);
                assert_eq!(found, Some(&Value::from(expected)), "{}", field.name);
            }
        }
    }

    #[test]
    fn the_template_wins_over_the_servers_own_and_covers_every_namespace() {
        let template = index_template();
        assert!(
            template["priority"]
                .as_u64()
                .is_some_and(|priority| priority > 200)
        );
        assert_eq!(
            template["index_patterns"],
            json!(["logs-beaconwatch.detection-*"])
        );
        assert_eq!(data_stream("default"), "logs-beaconwatch.detection-default");
        let stream = format!("{}-{}", detection::STREAM_TYPE, detection::DATASET);
        assert_eq!(NAME, stream);
    }

    #[test]
    fn unknown_fields_are_neither_refused_nor_mapped() {
        assert_eq!(
            index_template()["template"]["mappings"]["dynamic"],
            json!(false)
        );
    }
}
