//! Settings of captured interfaces: section `[exporter.interfaces]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_with::{DurationSecondsWithFrac, serde_as};

use super::ConfigError;
use crate::capture::interfaces::{InterfaceSettings, is_pattern};

/// Interfaces whose forwarded traffic is captured: flows that no socket of this host has.
#[serde_as]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InterfacesConfig {
    /// Patterns of interface names (`eth*`, `en[ps]*`, `br-?`). Interfaces that come later count too; loopback
    /// never does. None: no interface is captured.
    pub include: Vec<String>,
    /// Patterns of names that are not captured although they are included.
    pub exclude: Vec<String>,
    /// A forwarded TCP connection without a packet for this long has ended.
    #[serde_as(as = "DurationSecondsWithFrac<f64>")]
    pub idle_timeout_s: Duration,
    /// Forwarded flows in the kernel at one time at most.
    pub max_flows: u32,
}

impl Default for InterfacesConfig {
    fn default() -> Self {
        let settings = InterfaceSettings::default();
        Self {
            include: settings.include,
            exclude: settings.exclude,
            idle_timeout_s: settings.idle_timeout,
            max_flows: settings.max_flows,
        }
    }
}

impl InterfacesConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        for (key, patterns) in [
            ("interfaces.include", &self.include),
            ("interfaces.exclude", &self.exclude),
        ] {
            if let Some(wrong) = patterns.iter().find(|pattern| !is_pattern(pattern)) {
                let expected = "patterns of interface names, such as eth*";
                return Err(ConfigError::invalid(key, wrong, expected));
            }
        }
        let idle = self.idle_timeout_s;
        if !(Duration::from_secs(1)..=Duration::from_hours(240)).contains(&idle) {
            return Err(ConfigError::invalid(
                "interfaces.idle_timeout_s",
                idle.as_secs_f64(),
                "1 to 864000 seconds",
            ));
        }
        if !(1..=1 << 24).contains(&self.max_flows) {
            let expected = format!("1 to {}", 1 << 24);
            return Err(ConfigError::invalid(
                "interfaces.max_flows",
                self.max_flows,
                &expected,
            ));
        }
        Ok(())
    }

    pub(super) fn settings(&self) -> InterfaceSettings {
        InterfaceSettings {
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            idle_timeout: self.idle_timeout_s,
            max_flows: self.max_flows,
        }
    }
}
