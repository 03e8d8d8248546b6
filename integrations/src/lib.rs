//! What products show of Beaconwatch's documents, made from one model.
//!
//! The panels of the dashboards ([`dashboards`]) and the rules are said once, over the fields of `schema/`; from them come the
//! Elastic package and Kibana's saved objects, those of OpenSearch, and the Splunk app. [`generated_files`] lists what is
//! committed (`./x generate` writes it, `./x lint` fails when it differs).
//!
//! Pure: no I/O.

pub mod dashboards;
mod folders;
pub mod kibana;
pub mod opensearch;
mod package;
pub mod panel;
mod registry;
pub mod rules;
pub mod splunk;
pub mod store;

use serde_json::Value;

/// Every generated file: path from the root of the repository, and content.
#[must_use]
pub fn generated_files() -> Vec<(String, String)> {
    let mut files = package::files();
    files.extend(folders::files());
    files.extend(splunk::files());
    files.push(registry::file());
    files
}

/// Folders in which every file is generated.
pub const GENERATED_FOLDERS: &[&str] = &[
    "integrations/elastic/kibana",
    "integrations/elastic/elasticsearch",
    "integrations/elasticsearch",
    "integrations/opensearch",
    "integrations/splunk/beaconwatch/default/data",
    "integrations/splunk/beaconwatch/lookups",
];

/// A JSON file's text.
fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
