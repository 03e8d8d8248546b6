//! Section `alerts`: the life of findings.

use std::time::Duration;

use beaconwatch_destinations::in_range;
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// The life of findings: when they close, open again, and what is kept of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlertsConfig {
    /// A finding closes when its beats were silent for longer than this many seconds and for longer than
    /// `close_after_intervals` of its intervals, 60..=2592000.
    pub close_after_s: u64,
    /// See `close_after_s`, 1..=1000.
    pub close_after_intervals: u32,
    /// Beats that come back within this many seconds after the close open the same finding again; later
    /// ones open a new finding. 0..=31536000.
    pub reopen_within_s: u64,
    /// Whether acknowledging a finding makes a document.
    pub document_acknowledgements: bool,
    /// A sensor that was silent for longer than this many seconds is reported, 0 (never) or 30..=2592000.
    pub sensor_silent_after_s: u64,
    /// Entries that the API may add to the allow-list, 0..=100000.
    pub max_allow_entries: usize,
    /// Entries of the audit that are kept, 100..=1000000; past that the oldest go.
    pub max_audit_entries: u64,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self {
            close_after_s: 3600,
            close_after_intervals: 10,
            reopen_within_s: 7 * 86_400,
            document_acknowledgements: false,
            sensor_silent_after_s: 300,
            max_allow_entries: 10_000,
            max_audit_entries: 10_000,
        }
    }
}

impl AlertsConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        in_range("alerts.close_after_s", self.close_after_s, 60, 2_592_000)?;
        in_range(
            "alerts.close_after_intervals",
            u64::from(self.close_after_intervals),
            1,
            1000,
        )?;
        in_range(
            "alerts.reopen_within_s",
            self.reopen_within_s,
            0,
            31_536_000,
        )?;
        if self.sensor_silent_after_s != 0 {
            in_range(
                "alerts.sensor_silent_after_s",
                self.sensor_silent_after_s,
                30,
                2_592_000,
            )?;
        }
        in_range(
            "alerts.max_allow_entries",
            super::count(self.max_allow_entries),
            0,
            100_000,
        )?;
        Ok(in_range(
            "alerts.max_audit_entries",
            self.max_audit_entries,
            100,
            1_000_000,
        )?)
    }

    /// How long a sensor may be silent; `None` when that is nobody's business.
    pub(crate) fn sensor_silence(&self) -> Option<Duration> {
        (self.sensor_silent_after_s > 0).then(|| Duration::from_secs(self.sensor_silent_after_s))
    }
}
