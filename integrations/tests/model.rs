//! Panels, rules and stores' objects fit the field model.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use beaconwatch_integrations::panel::{Column, DataSet, Drawing, Group, Measure, Panel};
use beaconwatch_integrations::rules::{self, Question};
use beaconwatch_integrations::store::{self, Product, TRANSFORMS};
use beaconwatch_integrations::{dashboards, generated_files};
use beaconwatch_schema::{Field, FieldType};

fn field(data: DataSet, name: &str) -> Field {
    let found = data.fields().into_iter().find(|field| field.name == name);
    assert!(found.is_some(), "{} has no field {name}", data.name());
    found.unwrap()
}

fn panels() -> impl Iterator<Item = &'static Panel> {
    dashboards::ALL
        .into_iter()
        .flat_map(|dashboard| dashboard.panels)
}

fn columns(panel: &Panel) -> Vec<Column> {
    match panel.drawing {
        Drawing::Number(column)
        | Drawing::Shares { column, .. }
        | Drawing::Histogram { column, .. } => vec![column],
        Drawing::OverTime { columns, .. } | Drawing::Table { columns, .. } => columns.to_vec(),
        Drawing::Documents { .. } => Vec::new(),
    }
}

fn groups(panel: &Panel) -> Vec<Group> {
    match panel.drawing {
        Drawing::OverTime { group, .. } => group.into_iter().collect(),
        Drawing::Shares { group, .. } => vec![group],
        Drawing::Table { groups, .. } => groups.to_vec(),
        Drawing::Number(_) | Drawing::Histogram { .. } | Drawing::Documents { .. } => Vec::new(),
    }
}

#[test]
fn every_measure_is_over_a_field_that_has_such_a_number() {
    let numeric = [FieldType::Long, FieldType::Float, FieldType::Double];
    for panel in panels() {
        for column in columns(panel) {
            let Some(name) = column.measure.field() else {
                continue;
            };
            let kind = field(panel.data, name).field_type;
            let fine = match column.measure {
                Measure::Maximum(_) | Measure::Minimum(_) => {
                    numeric.contains(&kind) || kind == FieldType::Date
                }
                Measure::Average(_) | Measure::Sum(_) | Measure::Percentile95(_) => {
                    numeric.contains(&kind)
                }
                Measure::Unique(_) | Measure::Last(_) | Measure::Count => {
                    kind != FieldType::MatchOnlyText
                }
            };
            assert!(fine, "{}: {:?} of {kind:?}", panel.title, column.measure);
        }
    }
}

#[test]
fn groups_are_of_exact_values_and_ordered_by_a_number() {
    let exact = [
        FieldType::Keyword,
        FieldType::Ip,
        FieldType::Long,
        FieldType::Boolean,
    ];
    for panel in panels() {
        for group in groups(panel) {
            let kind = field(panel.data, group.field).field_type;
            assert!(exact.contains(&kind), "{}: groups of {kind:?}", panel.title);
            let first = columns(panel).remove(0).measure;
            // Neither product orders groups by the newest value of a field.
            assert!(!matches!(first, Measure::Last(_)), "{}", panel.title);
        }
        for condition in panel.filter {
            field(panel.data, condition.field());
        }
        if let Drawing::Documents { fields } = panel.drawing {
            for name in fields {
                field(panel.data, name);
            }
        }
    }
}

#[test]
fn a_control_chooses_among_exact_values() {
    for dashboard in dashboards::ALL {
        for control in dashboard.controls {
            let data = dashboard
                .panels
                .first()
                .map_or(DataSet::Detection, |panel| panel.data);
            assert_ne!(
                field(data, control.field).field_type,
                FieldType::MatchOnlyText,
                "{}",
                control.title
            );
        }
    }
}

#[test]
fn ids_of_panels_and_rules_are_used_once() {
    for dashboard in dashboards::ALL {
        let ids: BTreeSet<&str> = dashboard.panels.iter().map(|panel| panel.id).collect();
        assert_eq!(ids.len(), dashboard.panels.len(), "{}", dashboard.title);
    }
    let ids: BTreeSet<&str> = rules::ALL.iter().map(|rule| rule.id).collect();
    assert_eq!(ids.len(), rules::ALL.len());
}

#[test]
fn a_rule_asks_only_for_fields_of_its_documents() {
    for rule in rules::ALL {
        let of_detections = |conditions: &[beaconwatch_integrations::panel::Condition]| {
            for condition in conditions {
                field(DataSet::Detection, condition.field());
            }
        };
        match rule.question {
            Question::Every(conditions) => of_detections(conditions),
            Question::New {
                conditions, fields, ..
            } => {
                of_detections(conditions);
                for name in fields {
                    field(DataSet::Detection, name);
                }
            }
            Question::Several {
                conditions,
                field: name,
                of,
                ..
            } => {
                of_detections(conditions);
                field(DataSet::Detection, name);
                field(DataSet::Detection, of);
            }
            Question::Sequence { by, steps, .. } => {
                for (data, conditions) in steps {
                    for condition in *conditions {
                        field(*data, condition.field());
                    }
                    for name in by {
                        field(*data, name);
                    }
                }
            }
        }
    }
}

#[test]
fn transforms_sum_up_fields_that_detections_have() {
    for transform in TRANSFORMS {
        for name in transform.groups {
            field(DataSet::Detection, name);
        }
        for (_name, _type, measure) in transform.measures {
            field(DataSet::Detection, measure.field().unwrap_or_default());
        }
        let body = transform.body();
        let summed = body["pivot"]["aggregations"]
            .as_object()
            .map(serde_json::Map::len);
        assert_eq!(summed, Some(transform.measures.len()), "{}", transform.id);
    }
}

#[test]
fn what_only_one_store_has_is_left_out_for_the_other() {
    for data in DataSet::ALL {
        let elasticsearch = store::settings_component(data, Product::Elasticsearch);
        let opensearch = store::settings_component(data, Product::OpenSearch);
        assert!(elasticsearch["template"]["lifecycle"].is_object());
        assert!(opensearch["template"]["lifecycle"].is_null());
        assert_eq!(
            elasticsearch["template"]["settings"],
            opensearch["template"]["settings"]
        );
    }
}

#[test]
fn no_two_generated_files_have_one_path() {
    let files = generated_files();
    let paths: BTreeSet<&str> = files.iter().map(|(path, _content)| path.as_str()).collect();
    assert_eq!(paths.len(), files.len());
    assert!(paths.iter().all(|path| path.starts_with("integrations/")));
}
