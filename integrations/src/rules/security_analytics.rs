//! The detector of OpenSearch's security analytics: our Sigma rules for detections, over their data streams.
//!
//! The rules themselves are uploaded as they are (`integrations/sigma/rules/`, one `POST` each), and the server gives each an id
//! of its own: a custom rule is named here by the id in its file, which an installation replaces by the server's.
//!
//! Limit: the plugin is in no package registry, so nothing here was sent to one.

use serde_json::{Value, json};

use crate::panel::DataSet;

/// Texts of the Sigma rules for detection documents.
const RULES: &[&str] = &[
    include_str!("../../sigma/rules/beaconwatch_detection_address_without_name.yml"),
    include_str!("../../sigma/rules/beaconwatch_detection_beacon_detected.yml"),
    include_str!("../../sigma/rules/beaconwatch_detection_critical_beacon.yml"),
    include_str!("../../sigma/rules/beaconwatch_detection_dns.yml"),
    include_str!("../../sigma/rules/beaconwatch_detection_interpreter.yml"),
    include_str!("../../sigma/rules/beaconwatch_detection_long_connection.yml"),
    include_str!("../../sigma/rules/beaconwatch_detection_other_clients.yml"),
    include_str!("../../sigma/rules/beaconwatch_detection_process_in_temporary_folder.yml"),
    include_str!("../../sigma/rules/beaconwatch_detection_rotation.yml"),
    include_str!("../../sigma/rules/beaconwatch_detection_slow.yml"),
];
/// Minutes between two runs.
const INTERVAL_MINUTES: u32 = 5;

/// The definition, switched off.
#[must_use]
pub fn detector() -> Value {
    let ids = RULES
        .iter()
        .filter_map(|text| text.lines().find_map(|line| line.strip_prefix("id: ")));
    let custom: Vec<Value> = ids.map(|id| json!({ "id": id.trim() })).collect();
    json!({
        "detector_type": "network",
        "enabled": false,
        "inputs": [{ "detector_input": {
            "custom_rules": custom,
            "description": "Detections of Beaconwatch by its Sigma rules",
            "indices": [format!("{}-*", DataSet::Detection.template())],
            "pre_packaged_rules": [],
        } }],
        "name": "beaconwatch",
        "schedule": { "period": { "interval": INTERVAL_MINUTES, "unit": "MINUTES" } },
        "triggers": [{
            "actions": [],
            "id": "beaconwatch-high",
            "ids": [],
            "name": "Rules of level high or critical",
            "sev_levels": ["high", "critical"],
            "severity": "2",
            "tags": [],
            "types": ["network"],
        }],
        "type": "detector",
    })
}
