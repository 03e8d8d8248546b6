//! Event types, tags, macros, lookups' definitions and workflow actions.

use super::lookups;
use super::names::{self, in_command};
use super::settings::Stanza;
use crate::panel::DataSet;

use beaconwatch_schema::{detection, flow};

/// Source type of a file of documents of all kinds, before their own is set.
pub(super) const DOCUMENTS: &str = "beaconwatch:document";
/// Transforms that set it by the document's data set.
pub(super) const SOURCE_TYPES: [(&str, DataSet); 3] = [
    ("beaconwatch_detection_sourcetype", DataSet::Detection),
    ("beaconwatch_sensor_sourcetype", DataSet::Sensor),
    ("beaconwatch_rule_sourcetype", DataSet::Rule),
];
/// Computed: id of the finding, for addresses.
pub(super) const FINDING: &str = "beaconwatch_finding";
/// Index that the macro names until it is changed.
const INDEX: &str = "beaconwatch";

/// Tags by event type: those of Intrusion Detection and Alerts, and of Network Traffic.
const EVENT_TYPES: [(&str, DataSet, &[&str]); 4] = [
    (
        "beaconwatch_detection",
        DataSet::Detection,
        &["ids", "attack", "alert"],
    ),
    (
        "beaconwatch_flow",
        DataSet::Flow,
        &["network", "communicate"],
    ),
    ("beaconwatch_sensor", DataSet::Sensor, &["alert"]),
    (
        "beaconwatch_rule",
        DataSet::Rule,
        &["ids", "attack", "alert"],
    ),
];

pub(super) fn transforms() -> Vec<Stanza> {
    let mut all: Vec<Stanza> = SOURCE_TYPES
        .iter()
        .map(|(name, data)| {
            let dataset = data.name().replace('.', "\\.");
            Stanza::new(*name)
                .with("REGEX", format!("\"dataset\"\\s*:\\s*\"{dataset}\""))
                .with("DEST_KEY", "MetaData:Sourcetype")
                .with(
                    "FORMAT",
                    format!("sourcetype::{}", names::source_type(*data)),
                )
        })
        .collect();
    all.extend(lookups::ALL.iter().map(lookups::Lookup::definition));
    all
}

pub(super) fn event_types() -> Vec<Stanza> {
    EVENT_TYPES
        .iter()
        .map(|(name, data, _)| {
            // A test document is no alert, and a heartbeat is no flow.
            let kind = match data {
                DataSet::Flow => format!(" {}=*", in_command(flow::FLOW_ID)),
                DataSet::Detection => format!(" {}=\"alert\"", in_command(detection::EVENT_KIND)),
                DataSet::Sensor | DataSet::Rule => String::new(),
            };
            let search = format!("sourcetype=\"{}\"{kind}", names::source_type(*data));
            Stanza::new(*name).with("search", search)
        })
        .collect()
}

pub(super) fn tags() -> Vec<Stanza> {
    EVENT_TYPES
        .iter()
        .map(|(name, _, tags)| {
            Stanza::new(format!("eventtype={name}"))
                .with_all(tags.iter().map(|tag| (*tag, "enabled")))
        })
        .collect()
}

pub(super) fn macros() -> Vec<Stanza> {
    let events = |name: &str, data: DataSet, more: &str| {
        let definition = format!(
            "`beaconwatch_index` sourcetype=\"{}\"{more}",
            names::source_type(data)
        );
        Stanza::new(name)
            .with("definition", definition)
            .with("iseval", "0")
    };
    let flows = format!(" {}=*", in_command(flow::FLOW_ID));
    vec![
        Stanza::new("beaconwatch_index")
            .with("definition", format!("index=\"{INDEX}\""))
            .with("iseval", "0"),
        events("beaconwatch_detections", DataSet::Detection, ""),
        events("beaconwatch_sensors", DataSet::Sensor, ""),
        events("beaconwatch_rules", DataSet::Rule, ""),
        events("beaconwatch_flows", DataSet::Flow, &flows),
        Stanza::new("beaconwatch_not_allowed")
            .with("definition", lookups::not_allowed())
            .with("iseval", "0"),
    ]
}

pub(super) fn workflow_actions() -> Vec<Stanza> {
    let action = |name: &str, label: &str, place: &str, fields: &str, types: &str| {
        Stanza::new(name)
            .with("type", "link")
            .with("label", label)
            .with("display_location", "both")
            .with("fields", fields)
            .with("eventtypes", types)
            .with("link.method", "get")
            .with("link.target", "blank")
            // `!` keeps the colon before the port from being escaped. AppInspect wants the scheme to be seen, and it to be https.
            .with("link.uri", format!("https://$!beaconwatch_page$/{place}"))
    };
    vec![
        action(
            "beaconwatch_open_finding",
            "Open the finding in Beaconwatch",
            &format!("#/findings/${FINDING}$"),
            FINDING,
            "beaconwatch_detection",
        ),
        action(
            "beaconwatch_allow",
            "Allow $src$ to $dest$:$dest_port$ in Beaconwatch",
            "#/allow?source=$src$&destination=$dest$&port=$dest_port$&transport=$transport$",
            "src, dest, dest_port",
            "beaconwatch_detection",
        ),
    ]
}
