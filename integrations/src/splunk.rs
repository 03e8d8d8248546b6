//! The Splunk app: configuration, dashboards and saved searches, made from the field model, the panels and the rules.
//!
//! What is not in a model (app.conf, the manifest, icons, specifications of settings) lies beside it by hand in
//! `integrations/splunk/beaconwatch/`.
//!
//! # Contract
//! Searches read three source types: `beaconwatch:detection` and `beaconwatch:sensor`, which are documents as JSON, and
//! `beaconwatch:flow`, whose events are a flow record's attributes as JSON. The index stands in one macro. Every saved search is
//! disabled. No secret and no address but an example's is in any file.
//!
//! Limit: Splunk itself is not run by this project. The files are validated (`AppInspect`, slim, published data models, the
//! dashboards' schema, fields against the model).

mod configuration;
mod inputs;
mod lookups;
mod names;
mod props;
mod saved_searches;
mod search;
mod settings;
mod studio;

use crate::dashboards;

/// Name of the app and of its folder.
pub const APP: &str = "beaconwatch";
const ROOT: &str = "integrations/splunk/beaconwatch";

/// Every generated file of the app: path and content.
pub(crate) fn files() -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = [
        ("props", props::props()),
        ("transforms", configuration::transforms()),
        ("eventtypes", configuration::event_types()),
        ("tags", configuration::tags()),
        ("macros", configuration::macros()),
        ("workflow_actions", configuration::workflow_actions()),
        ("savedsearches", saved_searches::saved_searches()),
    ]
    .into_iter()
    .map(|(name, stanzas)| {
        let path = format!("{ROOT}/default/{name}.conf");
        (path, settings::text(&stanzas))
    })
    .collect();
    for dashboard in &dashboards::ALL {
        let path = format!(
            "{ROOT}/default/data/ui/views/{}.xml",
            studio::view_name(dashboard)
        );
        files.push((path, studio::view(dashboard)));
    }
    files.push((
        format!("{ROOT}/default/data/ui/nav/default.xml"),
        studio::navigation(),
    ));
    for lookup in lookups::ALL {
        let path = format!("{ROOT}/lookups/{}", lookup.file_name());
        files.push((path, lookup.content()));
    }
    files
}
