//! Files that are made from the field model.
//!
//! Contract: pure; the same model gives the same bytes. `./x generate` writes the files and `./x lint` fails
//! when one of them differs.

mod metrics;
pub mod sigma;

use std::fmt::Write as _;

use crate::{
    ECS_VERSION, Field, Level, Mapping, Origin, Vocabulary, detection, exporter_record, flow,
    flow_document, heartbeat, rule_match, sensor, template,
};

/// Every generated file: path from the root of the repository, and content.
#[must_use]
pub fn generated_files() -> Vec<(&'static str, String)> {
    let mut files = vec![
        ("docs/fields.md", field_reference()),
        ("docs/metrics.md", metrics::reference()),
        (
            "integrations/elasticsearch/sidecar-template/detection.json",
            format!("{:#}\n", template::index_template()),
        ),
        (
            "integrations/elasticsearch/sidecar-template/sensor.json",
            format!("{:#}\n", template::sensor_index_template()),
        ),
        (
            "integrations/elasticsearch/sidecar-template/rule.json",
            format!("{:#}\n", template::rule_index_template()),
        ),
    ];
    files.extend(sigma::files());
    files
}

/// Reference of all fields in Markdown.
fn field_reference() -> String {
    let mut text = format!(
        "<!-- Generated from the field model in schema/ by `./x generate`: do not edit. -->\n\
         # Fields\n\n\
         Types are those of Elasticsearch and OpenSearch mappings; `[]` marks arrays. Units are UCUM symbols. \
         Required fields are always there, the others when their value is known.\n\n\
         ## Detection document\n\n\
         One JSON document for each revision of a finding, after the Elastic Common Schema {ECS_VERSION}, \
         in the data stream `{}`.\n\n",
        template::data_stream("<namespace>"),
    );
    table(&mut text, detection::FIELDS);
    // Writing to a string cannot fail.
    let _infallible = write!(
        text,
        "\n## Sensor document\n\n\
         One JSON document for each revision of a finding about a sensor (it fell silent, it lost records, it \
         came back), in the data stream `{}`.\n\n",
        template::sensor_data_stream("<namespace>"),
    );
    table(&mut text, sensor::FIELDS);
    // Writing to a string cannot fail.
    let _infallible = write!(
        text,
        "\n## Rule match document\n\n\
         One JSON document for each match of a Sigma rule in flows and for each correlation, in the data stream `{}`. A rule \
         that matches a detection document makes none: it marks that one.\n\n",
        template::rule_data_stream("<namespace>"),
    );
    table(&mut text, rule_match::FIELDS);
    // Writing to a string cannot fail.
    let _infallible = write!(
        text,
        "\n## Flow record\n\n\
         One OTLP log record (event name `{}`) for each event of a flow; names are those of the \
         OpenTelemetry semantic conventions where they have one.\n\n",
        flow::EVENT_NAME,
    );
    table(&mut text, flow::FIELDS);
    let _infallible = write!(
        text,
        "\nLabels of the pod have attributes of their own, `{}<key>`: those that `exporter.kubernetes.labels` lists. Stores \
         keep them in the document and do not index them.\n",
        flow::K8S_POD_LABEL_PREFIX,
    );
    text.push_str(
        "\n## Flow document\n\n\
         A flow record in a store: its attributes have their ECS names, as the table above says, and these fields are \
         beside them.\n\n",
    );
    table(&mut text, flow_document::ENVELOPE);
    let _infallible = write!(
        text,
        "\n## Heartbeat\n\n\
         One OTLP log record (event name `{}`) of an exporter that had no flow records to send for \
         `exporter.heartbeat_interval_s`.\n\n\
         ## Every record of an exporter\n\n\
         Attributes of flow records and heartbeats alike; those of the resource say so.\n\n",
        heartbeat::EVENT_NAME,
    );
    table(&mut text, exporter_record::FIELDS);
    text
}

fn table(text: &mut String, fields: &[Field]) {
    text.push_str("| field | type | unit | required | from | what it says | example | in other vocabularies |\n");
    text.push_str("|---|---|---|---|---|---|---|---|\n");
    for field in fields {
        let _infallible = writeln!(
            text,
            "| `{}` | {}{} | {} | {} | {} | {} | {} | {} |",
            field.name,
            field.field_type.name(),
            if field.array { "[]" } else { "" },
            field.unit,
            if field.level == Level::Required {
                "yes"
            } else {
                ""
            },
            origin_name(field.origin),
            cell(field.description),
            if field.example.is_empty() {
                String::new()
            } else {
                format!("`{}`", cell(field.example))
            },
            mappings(field.mappings),
        );
    }
}

fn mappings(mappings: &[Mapping]) -> String {
    let names: Vec<String> = mappings
        .iter()
        .map(|mapping| format!("{} `{}`", vocabulary_name(mapping.vocabulary), mapping.name))
        .collect();
    names.join(", ")
}

/// Text that does not end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

const fn origin_name(origin: Origin) -> &'static str {
    match origin {
        Origin::Ecs => "ECS",
        Origin::OpenTelemetry => "OpenTelemetry",
        Origin::Beaconwatch => "Beaconwatch",
    }
}

const fn vocabulary_name(vocabulary: Vocabulary) -> &'static str {
    match vocabulary {
        Vocabulary::Ecs => "ECS",
        Vocabulary::Cim => "CIM",
        Vocabulary::Ocsf => "OCSF",
        Vocabulary::OpenTelemetry => "OpenTelemetry",
        Vocabulary::Sigma => "Sigma",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_reference_has_a_row_for_every_field() {
        let text = field_reference();
        for field in detection::FIELDS
            .iter()
            .chain(flow::FIELDS)
            .chain(exporter_record::FIELDS)
            .chain(sensor::FIELDS)
            .chain(rule_match::FIELDS)
        {
            assert!(
                text.contains(&format!("\n| `{}` | ", field.name)),
                "{}",
                field.name
            );
        }
        let columns = |line: &str| line.replace("\\|", "").matches('|').count();
        assert!(
            text.lines()
                .filter(|line| line.starts_with('|'))
                .all(|line| columns(line) == 9)
        );
    }

    #[test]
    fn no_field_is_listed_twice_in_a_table() {
        for fields in [
            detection::FIELDS,
            flow::FIELDS,
            exporter_record::FIELDS,
            sensor::FIELDS,
            rule_match::FIELDS,
        ] {
            let names: BTreeSet<_> = fields.iter().map(|field| field.name).collect();
            assert_eq!(names.len(), fields.len());
        }
    }

    #[test]
    fn fields_of_this_project_are_under_its_name_and_others_are_not() {
        for field in detection::FIELDS
            .iter()
            .chain(flow::FIELDS)
            .chain(exporter_record::FIELDS)
            .chain(sensor::FIELDS)
            .chain(rule_match::FIELDS)
        {
            let own = field.name.starts_with("beaconwatch.");
            assert_eq!(own, field.origin == Origin::Beaconwatch, "{}", field.name);
        }
    }
}
