//! `[exporter.metrics]`: the exporter's metrics, over OTLP and to be scraped.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_with::{DurationSecondsWithFrac, serde_as};

use super::ConfigError;

/// Metrics of the traffic and of the exporter itself.
#[serde_as]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Whether metrics are sent over OTLP. When absent: if an OTLP endpoint is configured.
    pub enabled: Option<bool>,
    /// Time between two exports.
    #[serde_as(as = "DurationSecondsWithFrac<f64>")]
    pub interval_s: Duration,
    /// Attribute sets that one metric has at most; what comes past that is counted in one set more, with the
    /// attribute `otel.metric.overflow`.
    pub max_attribute_sets: usize,
    /// Metrics to be scraped.
    pub prometheus: PrometheusConfig,
}

/// Metrics to be scraped, as `OpenMetrics` text at `/metrics`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PrometheusConfig {
    /// Where to listen, such as `127.0.0.1:9464`; nowhere when absent. Whoever reaches it may read, without TLS or
    /// a token: it says how much traffic there is, and not whose.
    pub listen: Option<SocketAddr>,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            enabled: None,
            interval_s: Duration::from_mins(1),
            max_attribute_sets: 2000,
            prometheus: PrometheusConfig::default(),
        }
    }
}

impl MetricsConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        const MOST: usize = 1 << 20;
        if (1..=MOST).contains(&self.max_attribute_sets) {
            return Ok(());
        }
        Err(ConfigError::invalid(
            "metrics.max_attribute_sets",
            self.max_attribute_sets,
            &format!("1 to {MOST}"),
        ))
    }
}
