//! The generated files of the Elastic package (`integrations/elastic/`).
//!
//! The package follows the package specification 3.5. Written by hand are its manifests, its changelog, its pictures and the
//! tests of its pipelines; made here are the fields, the pipelines, lifecycles, transforms, saved objects and the tables of
//! its documentation.

use std::fmt::Write as _;

use serde_json::{Value, json};

use beaconwatch_schema::{Field, FieldType};

use crate::panel::DataSet;
use crate::store::{self, TRANSFORMS, Transform};
use crate::{dashboards, kibana, rules};

const ROOT: &str = "integrations/elastic";

/// Every generated file of the package: path and content.
pub(crate) fn files() -> Vec<(String, String)> {
    let mut files = vec![(format!("{ROOT}/docs/README.md"), readme())];
    for data in DataSet::ALL {
        let folder = format!("{ROOT}/data_stream/{}", data.short_name());
        files.push((format!("{folder}/fields/fields.yml"), field_list(data)));
        files.push((
            format!("{folder}/elasticsearch/ingest_pipeline/default.json"),
            crate::pretty(&store::package_pipeline(data)),
        ));
        files.push((
            format!("{folder}/lifecycle.yml"),
            format!("data_retention: \"{}d\"\n", store::retention_days(data)),
        ));
    }
    files.extend(TRANSFORMS.iter().flat_map(transform));
    for object in kibana::saved_objects() {
        let path = format!("{ROOT}/kibana/{}/{}.json", object.kind, object.id);
        files.push((path, crate::pretty(&object.body)));
    }
    for rule in rules::ALL {
        let id = rules::kibana::object_id(rule);
        let body = json!({
            "attributes": rules::kibana::attributes(rule),
            "id": id,
            "type": "security-rule",
        });
        files.push((
            format!("{ROOT}/kibana/security_rule/{id}.json"),
            crate::pretty(&body),
        ));
    }
    files
}

fn transform(transform: &Transform) -> Vec<(String, String)> {
    let folder = format!("{ROOT}/elasticsearch/transform/{}", transform.id);
    let mut body = transform.body();
    if let Some(object) = body.as_object_mut() {
        object.insert(
            "_meta".to_owned(),
            json!({ "fleet_transform_version": "0.1.0", "managed": true }),
        );
    }
    let mut fields = String::new();
    for name in transform.groups {
        let known = DataSet::Detection
            .fields()
            .into_iter()
            .find(|field| field.name == *name);
        if let Some(field) = known {
            entry(&mut fields, &field);
        }
    }
    for (name, kind, _measure) in transform.measures {
        entry_of(&mut fields, name, kind, transform.description, &[]);
    }
    let mapping = json!({ "destination_index_template": { "mappings": { "dynamic": false } }, "start": true });
    vec![
        // JSON is YAML.
        (format!("{folder}/transform.yml"), crate::pretty(&body)),
        (format!("{folder}/manifest.yml"), crate::pretty(&mapping)),
        (format!("{folder}/fields/fields.yml"), fields),
    ]
}

fn field_list(data: DataSet) -> String {
    let mut text =
        "# Generated from the field model in schema/ by `./x generate`: do not edit.\n".to_owned();
    let mut fields = data.fields();
    fields.sort_by_key(|field| field.name);
    for field in &fields {
        entry(&mut text, field);
    }
    text
}

fn entry(text: &mut String, field: &Field) {
    let mut more: Vec<(&str, Value)> = Vec::new();
    if let Some(unit) = unit(field) {
        more.push(("unit", unit.into()));
    }
    if field.field_type == FieldType::ConstantKeyword && field.name != "data_stream.namespace" {
        more.push(("value", field.example.into()));
    }
    if field.field_type == FieldType::Keyword {
        more.push(("ignore_above", 1024.into()));
    }
    entry_of(
        text,
        field.name,
        field.field_type.name(),
        field.description,
        &more,
    );
}

/// A field as the specification has it; scalars are JSON, which YAML reads.
fn entry_of(text: &mut String, name: &str, kind: &str, description: &str, more: &[(&str, Value)]) {
    // Writing to a string cannot fail.
    let _infallible = writeln!(
        text,
        "- name: {}\n  type: {kind}\n  description: {}",
        Value::from(name),
        Value::from(description),
    );
    for (key, value) in more {
        let _infallible = writeln!(text, "  {key}: {value}");
    }
}

/// Unit by the name that the specification knows.
fn unit(field: &Field) -> Option<&'static str> {
    if !matches!(
        field.field_type,
        FieldType::Long | FieldType::Float | FieldType::Double
    ) {
        return None;
    }
    match field.unit {
        "By" => Some("byte"),
        "s" => Some("s"),
        "us" => Some("micros"),
        "ns" => Some("nanos"),
        "h" => Some("h"),
        _ => None,
    }
}

fn readme() -> String {
    let mut text = include_str!("package_readme.md").to_owned();
    text.push_str("\n## Dashboards\n\n| dashboard | what it is for |\n|---|---|\n");
    for dashboard in dashboards::ALL {
        let _infallible = writeln!(text, "| {} | {} |", dashboard.title, dashboard.description);
    }
    text.push_str(
        "\n## Detection rules\n\n| rule | what an alert means | severity |\n|---|---|---|\n",
    );
    for rule in rules::ALL {
        let _infallible = writeln!(
            text,
            "| {} | {} | {} |",
            rule.name,
            rule.description,
            rule.severity.name()
        );
    }
    for data in DataSet::ALL {
        let _infallible = writeln!(
            text,
            "\n## Fields of `{}`\n\n| field | type | what it says |\n|---|---|---|",
            data.name()
        );
        let mut fields = data.fields();
        fields.sort_by_key(|field| field.name);
        for field in fields {
            let _infallible = writeln!(
                text,
                "| {} | {} | {} |",
                field.name,
                field.field_type.name(),
                field.description.replace('|', "\\|"),
            );
        }
    }
    text
}
