//! Searches of the Splunk app over flows: no pipeline makes documents of records there, so only what a record has can be named.

use std::collections::BTreeSet;

use beaconwatch_integrations::{dashboards, generated_files, panel::DataSet, rules};
use beaconwatch_schema::{FieldType, Vocabulary, detection, exporter_record, flow};
use serde_json::Value;

fn attributes() -> BTreeSet<&'static str> {
    let fields = exporter_record::FIELDS.iter().chain(flow::FIELDS);
    fields.map(|field| field.name).collect()
}

/// What stands between double quotes and looks like a field.
fn named(search: &str) -> impl Iterator<Item = &str> {
    let quoted = search.split('"').skip(1).step_by(2);
    quoted.filter(|text| text.contains('.') && !text.contains(['=', ' ', '%', '\'']))
}

#[test]
fn a_search_over_flows_names_attributes_of_records_only() {
    let attributes = attributes();
    let mut seen = 0;
    for (path, content) in generated_files() {
        if !path.contains("/views/") {
            continue;
        }
        let definition = content.split("CDATA[").nth(1).unwrap();
        let definition: Value =
            serde_json::from_str(definition.split("]]").next().unwrap()).unwrap();
        for (name, source) in definition["dataSources"].as_object().unwrap() {
            let query = source["options"]["query"].as_str().unwrap();
            // Quotes within texts.
            let query = query.replace("\\\"", "");
            if !query.starts_with("`beaconwatch_flows`") {
                continue;
            }
            for field in named(&query) {
                let made = query.contains(&format!(" AS \"{field}\""));
                assert!(made || attributes.contains(field), "{path} {name}: {field}");
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn a_list_over_several_data_sets_names_a_field_that_is_called_the_same_in_all_of_them() {
    let attributes = attributes();
    for dashboard in dashboards::ALL {
        let over_flows = dashboard
            .panels
            .iter()
            .any(|panel| panel.data == DataSet::Flow);
        for control in dashboard.controls {
            let known = detection::FIELDS
                .iter()
                .find(|field| field.name == control.field);
            let typed = control.field == detection::FINDING_ID
                || known.is_some_and(|field| field.field_type == FieldType::Ip);
            let of_flows = flow::FIELDS
                .iter()
                .any(|field| field.name_in(Vocabulary::Ecs) == Some(control.field));
            assert!(
                typed || !over_flows || !of_flows || attributes.contains(control.field),
                "{}: {}",
                dashboard.id,
                control.field
            );
        }
    }
}

#[test]
fn every_rule_is_a_saved_search_that_is_disabled() {
    let files = generated_files();
    let (_, text) = files
        .iter()
        .find(|(path, _)| path.ends_with("beaconwatch/default/savedsearches.conf"))
        .unwrap();
    for rule in rules::ALL {
        let stanza = format!("[Beaconwatch - {} - Rule]", rule.name);
        let settings = text
            .split(&stanza)
            .nth(1)
            .unwrap()
            .split("\n[")
            .next()
            .unwrap();
        assert!(settings.contains("\ndisabled = 1\n"), "{stanza}");
    }
}
