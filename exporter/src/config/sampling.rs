//! `[exporter.sampling]`: which flows are reported when not all are.

use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::deliver::Sampling;

/// Which flows are reported.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingConfig {
    /// The part of all flows that is reported, above 0 to 1: all of a flow's records or none. Below 1 beacons are missed,
    /// and each record states the ratio.
    pub ratio: f64,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self { ratio: 1.0 }
    }
}

impl SamplingConfig {
    pub(super) fn validate(self) -> Result<(), ConfigError> {
        if self.ratio > 0.0 && self.ratio <= 1.0 {
            return Ok(());
        }
        Err(ConfigError::invalid(
            "sampling.ratio",
            self.ratio,
            "more than 0 to 1",
        ))
    }

    /// The sampling; `None` when every flow is reported.
    #[must_use]
    pub fn sampling(self) -> Option<Sampling> {
        Sampling::new(self.ratio)
    }
}
