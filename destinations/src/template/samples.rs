//! Documents to try a template on: one with every field, and one with those alone that are always there.

use beaconwatch_schema::{Field, FieldType, Level, detection};
use serde_json::{Map, Value, json};

use crate::{Document, Stream};

pub(super) fn samples() -> [Document; 2] {
    let all = sample(|_| true);
    let required = sample(|field| field.level == Level::Required);
    [all, required]
}

fn sample(wanted: impl Fn(&Field) -> bool) -> Document {
    let mut body = Map::new();
    for field in detection::FIELDS.iter().filter(|field| wanted(field)) {
        place(&mut body, field.name, value(field));
    }
    Document {
        event_id: "9f1c2a7be03d4f55a1b2c3d4e5f60718-1".to_owned(),
        body: Value::Object(body).to_string(),
        stream: Stream::Detection,
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
