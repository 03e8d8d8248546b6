//! Documents to try a template on, made of the examples of the field model.

use beaconwatch_schema::{Field, FieldType, Level, detection, sensor};
use serde_json::{Map, Value, json};

use crate::{Document, Stream};

/// Which sample document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleDocument {
    /// A finding with every field that there is.
    Finding,
    /// A finding with those fields alone that are always there.
    Least,
    /// A finding that has closed.
    Closed,
    /// A sensor that fell silent.
    Sensor,
}

/// A document with the examples of the field model.
#[must_use]
pub fn sample_document(which: SampleDocument) -> Document {
    match which {
        SampleDocument::Finding => sample(detection::FIELDS, Stream::Detection, |field| {
            // What is only there while a finding is closed or allowed.
            !field.name.starts_with("beaconwatch.finding.allowed.")
                && field.name != detection::FINDING_CLOSED
                && field.name != detection::SIMULATED
        }),
        SampleDocument::Least => sample(detection::FIELDS, Stream::Detection, |field| {
            field.level == Level::Required
        }),
        SampleDocument::Closed => closed(),
        SampleDocument::Sensor => sample(sensor::FIELDS, Stream::Sensor, |field| {
            field.name != sensor::FINDING_CLOSED
        }),
    }
}

/// What a template is tried on: everything that can be there, and as little as can be.
pub(super) fn samples() -> [Document; 2] {
    let all = sample(detection::FIELDS, Stream::Detection, |_| true);
    [all, sample_document(SampleDocument::Least)]
}

fn closed() -> Document {
    let mut document = sample(detection::FIELDS, Stream::Detection, |field| {
        field.level == Level::Required || field.name == detection::FINDING_CLOSED
    });
    if let Ok(Value::Object(mut body)) = serde_json::from_str(&document.body) {
        place(&mut body, detection::FINDING_STATE, json!("closed"));
        place(&mut body, detection::EVENT_ACTION, json!("beacon-closed"));
        document.body = Value::Object(body).to_string();
    }
    document
}

fn sample(fields: &[Field], stream: Stream, wanted: impl Fn(&Field) -> bool) -> Document {
    let mut body = Map::new();
    for field in fields.iter().filter(|field| wanted(field)) {
        place(&mut body, field.name, value(field));
    }
    Document {
        event_id: "9f1c2a7be03d4f55a1b2c3d4e5f60718-1".to_owned(),
        body: Value::Object(body).to_string(),
        stream,
    }
}

fn value(field: &Field) -> Value {
    let one = match field.field_type {
        FieldType::Nested => json!({}),
        FieldType::Long | FieldType::Float | FieldType::Double | FieldType::Boolean => {
            serde_json::from_str(field.example).unwrap_or_else(|_text| json!(field.example))
        }
        _ => json!(field.example),
    };
    if field.array { json!([one]) } else { one }
}

/// Puts a value where its dotted name says. What lies below a list goes into its first object.
fn place(object: &mut Map<String, Value>, name: &str, value: Value) {
    let Some((first, rest)) = name.split_once('.') else {
        object.insert(name.to_owned(), value);
        return;
    };
    let inner = object.entry(first).or_insert_with(|| json!({}));
    let inner = match inner {
        Value::Array(values) => values.first_mut(),
        other => Some(other),
    };
    if let Some(Value::Object(inner)) = inner {
        place(inner, rest, value);
    }
}
