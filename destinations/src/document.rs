//! What is delivered.

use beaconwatch_schema::template;
use serde::{Deserialize, Serialize};

/// Which stream of documents a document belongs to: data streams and source types are named after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Findings: `logs-beaconwatch.detection-<namespace>`, `beaconwatch:detection`.
    #[default]
    Detection,
    /// Sensors that fell silent or lost records: `logs-beaconwatch.sensor-<namespace>`,
    /// `beaconwatch:sensor`.
    Sensor,
    /// What Sigma rules found in flows and correlations in documents: `logs-beaconwatch.rule-<namespace>`,
    /// `beaconwatch:rule`.
    Rule,
}

impl Stream {
    /// Name of the data set, for example `beaconwatch.detection`.
    #[must_use]
    pub const fn dataset(self) -> &'static str {
        match self {
            Self::Detection => beaconwatch_schema::detection::DATASET,
            Self::Sensor => "beaconwatch.sensor",
            Self::Rule => beaconwatch_schema::rule_match::DATASET,
        }
    }

    /// Name and body of the index template of the data streams.
    #[must_use]
    pub fn index_template(self) -> (&'static str, serde_json::Value) {
        match self {
            Self::Detection => (template::NAME, template::index_template()),
            Self::Sensor => (template::SENSOR_NAME, template::sensor_index_template()),
            Self::Rule => (template::RULE_NAME, template::rule_index_template()),
        }
    }

    /// Name of the data stream in Elasticsearch and OpenSearch.
    #[must_use]
    pub fn data_stream(self, namespace: &str) -> String {
        match self {
            Self::Detection => template::data_stream(namespace),
            Self::Sensor => template::sensor_data_stream(namespace),
            Self::Rule => template::rule_data_stream(namespace),
        }
    }
}

/// A document on its way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Identity of the document: finding and revision. The same in every attempt to deliver it.
    pub event_id: String,
    /// The document, one JSON object without line breaks, in the Elastic Common Schema.
    pub body: String,
    /// Which stream it belongs to.
    pub stream: Stream,
}
