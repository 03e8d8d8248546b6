//! Section `inputs`: files that are followed.

use std::path::PathBuf;

use beaconwatch_destinations::{SettingError, in_range};
use beaconwatch_inputs::Format;
use beaconwatch_inputs::tail::{Start, TailSettings, check_paths};
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// An input beside OTLP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum InputConfig {
    /// Follows files that grow.
    Tail(TailConfig),
}

/// Follows files that grow, rotate and are compressed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TailConfig {
    /// Files, folders (with all that is in them) and patterns with `*` and `?`; all begin with `/`. 1 to 100.
    pub paths: Vec<PathBuf>,
    /// Format of the files: auto, flows, zeek, eve or csv.
    pub format: Format,
    /// Where to begin at the very first start in files that are there: end or beginning.
    pub start: Start,
    /// Milliseconds between two looks at the files, 10..=3600000.
    pub poll_interval_ms: u64,
    /// Most bytes of a line, 1024..=16777216; longer ones are skipped and counted.
    pub max_line_bytes: usize,
}

impl Default for TailConfig {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            format: Format::Auto,
            start: Start::End,
            poll_interval_ms: 1000,
            max_line_bytes: 1 << 20,
        }
    }
}

impl InputConfig {
    /// Checks every value; `field` is the dotted name of the section.
    pub(super) fn validate(&self, field: &str) -> Result<(), ConfigError> {
        let Self::Tail(tail) = self;
        let paths = format!("{field}.paths");
        in_range(&paths, tail.paths.len() as u64, 1, 100)?;
        check_paths(&tail.paths).map_err(|error| {
            let path = error.path().display().to_string();
            SettingError::value(paths.as_str(), path, error.expected())
        })?;
        if tail.format == Format::Pcap {
            let expected = "a format of lines: auto, flows, zeek, eve or csv";
            return Err(SettingError::value(format!("{field}.format"), "pcap", expected).into());
        }
        let interval = format!("{field}.poll_interval_ms");
        in_range(&interval, tail.poll_interval_ms, 10, 3_600_000)?;
        let line = format!("{field}.max_line_bytes");
        in_range(&line, tail.max_line_bytes as u64, 1024, 1 << 24)?;
        Ok(())
    }
}

impl TailConfig {
    pub(crate) fn settings(&self) -> TailSettings {
        TailSettings {
            paths: self.paths.clone(),
            format: self.format,
            start: self.start,
            line_bytes_max: self.max_line_bytes,
        }
    }
}
