//! Section `rules`: Sigma rules that are evaluated here.

use std::path::PathBuf;

use beaconwatch_destinations::in_range;
use beaconwatch_rules::Limits;
use serde::{Deserialize, Serialize};

use super::{ConfigError, count};

/// Sigma rules that are evaluated here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RulesConfig {
    /// Folder with rules, correlations and filters (`*.yml`, `*.yaml`, also in folders below); none when not given.
    pub folder: Option<PathBuf>,
    /// Whether rules are held against flows, too, or only against detections.
    pub flows: bool,
    /// Alerts of one rule in an hour, 1..=100000; what comes past that is counted and stands in the next one.
    pub max_alerts_per_rule_hour: u32,
    /// Rules and correlations, 1..=100000.
    pub max_rules: usize,
    /// Groups of all correlations together, 1..=10000000; past that those that were idle longest go.
    pub max_groups: usize,
    /// Documents that a correlation keeps of a group, 1..=100000; past that the oldest go.
    pub max_events_per_group: usize,
}

impl Default for RulesConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            folder: None,
            flows: true,
            max_alerts_per_rule_hour: 60,
            max_rules: limits.max_rules,
            max_groups: limits.max_groups,
            max_events_per_group: limits.max_events_per_group,
        }
    }
}

impl RulesConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let alerts = u64::from(self.max_alerts_per_rule_hour);
        in_range("rules.max_alerts_per_rule_hour", alerts, 1, 100_000)?;
        in_range("rules.max_rules", count(self.max_rules), 1, 100_000)?;
        in_range("rules.max_groups", count(self.max_groups), 1, 10_000_000)?;
        let events = count(self.max_events_per_group);
        Ok(in_range("rules.max_events_per_group", events, 1, 100_000)?)
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            max_rules: self.max_rules,
            max_groups: self.max_groups,
            max_events_per_group: self.max_events_per_group,
            ..Limits::default()
        }
    }
}
