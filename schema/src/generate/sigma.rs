//! Sigma: log sources, fields, and the processing pipelines that are made from the field model.
//!
//! | log source | documents | field names in rules |
//! |---|---|---|
//! | `product: beaconwatch`, `service: detection` | detections | the document's |
//! | `product: beaconwatch`, `service: flow` | every flow record | the document's |
//! | `category: network_connection`, `product: linux` | each flow once: its record 0 | Sigma's (`Image`, `DestinationIp`, ...) |
//!
//! Contract: pure; the same model gives the same text. A pipeline renames fields, maps `Initiated` to the end that was
//! seen, and adds what tells the documents of its log source from others.

use std::fmt::Write as _;

use crate::{Field, Vocabulary, detection, flow, flow_document};

/// `product` of log sources whose fields are those of a document.
pub const PRODUCT: &str = "beaconwatch";
/// `service` of detections.
pub const SERVICE_DETECTION: &str = "detection";
/// `service` of flow records.
pub const SERVICE_FLOW: &str = "flow";
/// `category` of flows by Sigma's own names.
pub const CATEGORY_CONNECTION: &str = "network_connection";
/// `product` of flows by Sigma's own names.
pub const PRODUCT_CONNECTION: &str = "linux";

/// Sigma's field that says which end the host is, and what its values are in [`flow::ROLE`].
const INITIATED: &str = "Initiated";
const ROLES: [(&str, &str); 2] = [("true", flow::ROLE_CLIENT), ("false", flow::ROLE_SERVER)];

/// The generated files: path from the root of the repository, and content.
pub(super) fn files() -> Vec<(&'static str, String)> {
    vec![
        (
            "integrations/sigma/pipelines/beaconwatch-ecs.yml",
            pipeline(&ECS),
        ),
        (
            "integrations/sigma/pipelines/beaconwatch-cim.yml",
            pipeline(&CIM),
        ),
        (
            "integrations/sigma/pipelines/beaconwatch-rsigma.yml",
            rsigma_pipeline(),
        ),
    ]
}

/// The pipeline by which rules are evaluated on documents as they are: what the sidecar uses.
#[must_use]
pub fn rsigma_pipeline() -> String {
    pipeline(&RSIGMA)
}

/// Names of all fields of a detection document.
#[must_use]
pub fn detection_fields() -> Vec<&'static str> {
    let mut names: Vec<_> = detection::FIELDS.iter().map(|field| field.name).collect();
    names.sort_unstable();
    names
}

/// Names of all fields of a flow document.
#[must_use]
pub fn flow_fields() -> Vec<&'static str> {
    flow_document::fields().iter().map(|it| it.name).collect()
}

/// Sigma's names of fields in rules of [`CATEGORY_CONNECTION`], and those of a flow document.
#[must_use]
pub fn connection_fields() -> Vec<(&'static str, &'static str)> {
    connection_names(Vocabulary::Ecs)
}

/// What a pipeline is for.
struct Target {
    title: &'static str,
    priority: u32,
    vocabulary: Vocabulary,
    /// Field that tells documents apart, and what comes before its value.
    stream: (&'static str, &'static str),
}

const ECS: Target = Target {
    title: "Beaconwatch: Elastic Common Schema",
    priority: 20,
    vocabulary: Vocabulary::Ecs,
    stream: (detection::EVENT_DATASET, "beaconwatch."),
};
const CIM: Target = Target {
    title: "Beaconwatch: Splunk Common Information Model",
    priority: 20,
    vocabulary: Vocabulary::Cim,
    stream: ("sourcetype", "beaconwatch:"),
};
const RSIGMA: Target = Target {
    title: "Beaconwatch: documents as the sidecar evaluates them",
    priority: 20,
    vocabulary: Vocabulary::Ecs,
    stream: (detection::EVENT_DATASET, "beaconwatch."),
};

fn pipeline(target: &Target) -> String {
    let mut text = format!(
        "# Generated from the field model in schema/ by `./x generate`: do not edit.\n\
         name: \"{}\"\npriority: {}\ntransformations:\n",
        target.title, target.priority
    );
    let connection = [
        ("category", CATEGORY_CONNECTION),
        ("product", PRODUCT_CONNECTION),
    ];
    let detections = [("product", PRODUCT), ("service", SERVICE_DETECTION)];
    let flows = [("product", PRODUCT), ("service", SERVICE_FLOW)];
    initiated(&mut text, &connection);
    let names = connection_names(target.vocabulary);
    rename(&mut text, "connection_fields", &names, &connection);
    let record = flow_name(flow::RECORD_NUMBER, target.vocabulary);
    let only_first = [(record, "0".to_owned())];
    let stream = |name: &str| (target.stream.0, format!("{}{name}", target.stream.1));
    let of_connection = [&[stream(SERVICE_FLOW)], &only_first[..]].concat();
    condition(
        &mut text,
        "connection_documents",
        &of_connection,
        &connection,
    );
    let detection_names = renamed(detection::FIELDS.iter().copied(), target.vocabulary);
    rename(&mut text, "detection_fields", &detection_names, &detections);
    let of_detections = [stream(SERVICE_DETECTION)];
    condition(
        &mut text,
        "detection_documents",
        &of_detections,
        &detections,
    );
    let flow_names = renamed(flow_document::fields().into_iter(), target.vocabulary);
    rename(&mut text, "flow_fields", &flow_names, &flows);
    condition(&mut text, "flow_documents", &[stream(SERVICE_FLOW)], &flows);
    text
}

/// Sigma's names of flow fields, and the target's.
fn connection_names(vocabulary: Vocabulary) -> Vec<(&'static str, &'static str)> {
    let mut names: Vec<_> = flow::FIELDS
        .iter()
        .filter_map(|field| {
            let sigma = field.name_in(Vocabulary::Sigma)?;
            Some((sigma, name_of(field, vocabulary)))
        })
        .collect();
    names.push((INITIATED, flow_name(flow::ROLE, vocabulary)));
    names.sort_unstable();
    names
}

/// A flow field's name for a target: of several vocabularies the first that has one.
fn name_of(field: &Field, vocabulary: Vocabulary) -> &'static str {
    field
        .name_in(vocabulary)
        .or_else(|| field.name_in(Vocabulary::Ecs))
        .unwrap_or(field.name)
}

fn flow_name(name: &'static str, vocabulary: Vocabulary) -> &'static str {
    let known = flow::FIELDS.iter().find(|field| field.name == name);
    known.map_or(name, |field| name_of(field, vocabulary))
}

/// Fields of a document that have another name in the target.
fn renamed(
    fields: impl Iterator<Item = Field>,
    vocabulary: Vocabulary,
) -> Vec<(&'static str, &'static str)> {
    let mut names: Vec<_> = fields
        .filter_map(|field| Some((field.name, field.mapping(vocabulary)?.name)))
        .filter(|(own, other)| own != other)
        .collect();
    names.sort_unstable();
    names
}

fn initiated(text: &mut String, source: &[(&str, &str)]) {
    let mut body = String::from("    mapping:\n");
    for (sigma, role) in ROLES {
        line(&mut body, &format!("      \"{sigma}\": {role}"));
    }
    item(text, "connection_initiated", "map_string", &body, source);
    line(text, "    field_name_conditions:");
    line(text, "      - type: include_fields");
    line(text, &format!("        fields: [{INITIATED}]"));
}

fn rename(text: &mut String, id: &str, names: &[(&str, &str)], source: &[(&str, &str)]) {
    if names.is_empty() {
        return;
    }
    let mut body = String::from("    mapping:\n");
    for (from, to) in names {
        line(&mut body, &format!("      \"{from}\": \"{to}\""));
    }
    item(text, id, "field_name_mapping", &body, source);
}

fn condition(text: &mut String, id: &str, conditions: &[(&str, String)], source: &[(&str, &str)]) {
    let mut body = String::from("    conditions:\n");
    for (field, value) in conditions {
        let quote = if value.parse::<u64>().is_ok() {
            ""
        } else {
            "\""
        };
        line(&mut body, &format!("      {field}: {quote}{value}{quote}"));
    }
    item(text, id, "add_condition", &body, source);
}

fn item(text: &mut String, id: &str, kind: &str, body: &str, source: &[(&str, &str)]) {
    line(text, &format!("  - id: beaconwatch_{id}"));
    line(text, &format!("    type: {kind}"));
    text.push_str(body);
    line(text, "    rule_conditions:");
    line(text, "      - type: logsource");
    for (name, value) in source {
        line(text, &format!("        {name}: {value}"));
    }
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _infallible = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sigma_name_of_a_flow_field_is_renamed_to_a_field_of_the_flow_document() {
        let known = flow_fields();
        let names = connection_names(Vocabulary::Ecs);
        assert!(names.contains(&("Image", "process.executable")));
        assert!(names.contains(&("Initiated", "beaconwatch.flow.role")));
        for (sigma, name) in names {
            assert!(known.contains(&name), "{sigma}: {name}");
        }
    }

    #[test]
    fn the_pipeline_for_splunk_renames_detections_too_and_the_one_for_ecs_does_not() {
        let splunk = pipeline(&CIM);
        assert!(splunk.contains("\"destination.ip\": \"dest\""));
        assert!(splunk.contains("sourcetype: \"beaconwatch:detection\""));
        assert!(!pipeline(&ECS).contains("beaconwatch_detection_fields"));
    }
}
