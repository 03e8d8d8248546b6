//! The registry of our attributes and events, as the OpenTelemetry semantic conventions describe theirs.
//!
//! Format: the semantic convention schema of OpenTelemetry Weaver (`groups` of `attribute_group` and `event`). Attributes that
//! the conventions have themselves are referred to, the others are defined.

use std::fmt::Write as _;

use serde_json::Value;

use beaconwatch_schema::{Field, FieldType, Level, Origin, exporter_record, flow, heartbeat};

/// The registry's file.
pub(crate) fn file() -> (String, String) {
    let mut text =
        "# Generated from the field model in schema/ by `./x generate`: do not edit.\ngroups:\n"
            .to_owned();
    group(
        &mut text,
        "registry.beaconwatch",
        "attribute_group",
        "Attributes of Beaconwatch.",
        &[("display_name", "Beaconwatch Attributes")],
    );
    for field in exporter_record::FIELDS.iter().chain(flow::FIELDS) {
        if field.origin != Origin::OpenTelemetry {
            definition(&mut text, field);
        }
    }
    let own: Vec<&Field> = exporter_record::FIELDS.iter().chain(flow::FIELDS).collect();
    event(
        &mut text,
        flow::EVENT_NAME,
        "One event of a flow: its start, an update or its end.",
        &own,
    );
    let own: Vec<&Field> = exporter_record::FIELDS.iter().collect();
    event(
        &mut text,
        heartbeat::EVENT_NAME,
        "An exporter lives and had no flow records to send.",
        &own,
    );
    ("integrations/opentelemetry/registry.yaml".to_owned(), text)
}

/// Text that YAML reads as it is.
fn quoted(text: &str) -> Value {
    text.into()
}

fn group(text: &mut String, id: &str, kind: &str, brief: &str, more: &[(&str, &str)]) {
    // Writing to a string cannot fail.
    let _infallible = writeln!(
        text,
        "  - id: {id}\n    type: {kind}\n    brief: {}",
        quoted(brief)
    );
    for (key, value) in more {
        let _infallible = writeln!(text, "    {key}: {}", quoted(value));
    }
    text.push_str("    attributes:\n");
}

fn event(text: &mut String, name: &str, brief: &str, fields: &[&Field]) {
    let id = format!("event.{name}");
    group(
        text,
        &id,
        "event",
        brief,
        &[("name", name), ("stability", "development")],
    );
    // An event's own attributes; those of the resource are the resource's.
    for field in fields
        .iter()
        .filter(|field| !exporter_record::in_resource(field.name))
    {
        let level = if field.level == Level::Required {
            "required"
        } else {
            "{ conditionally_required: when it is known }"
        };
        let _infallible = writeln!(
            text,
            "      - ref: {}\n        requirement_level: {level}",
            field.name
        );
    }
}

fn definition(text: &mut String, field: &Field) {
    let mut brief = field.description.to_owned();
    if !field.unit.is_empty() {
        let _infallible = write!(brief, " Unit: {}.", field.unit);
    }
    let (kind, example) = match field.field_type {
        FieldType::Long => ("int", field.example.to_owned()),
        FieldType::Float | FieldType::Double => ("double", field.example.to_owned()),
        FieldType::Boolean => ("boolean", field.example.to_owned()),
        _ => ("string", quoted(field.example).to_string()),
    };
    let _infallible = writeln!(
        text,
        "      - id: {}\n        type: {kind}\n        stability: development\n        brief: {}\n        examples: [{example}]",
        field.name,
        quoted(&brief),
    );
}
