//! `[exporter.queue.disk]`: the queue on disk, which is off unless a directory is named.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::deliver::DiskSettings;

/// Requests that wait on disk when memory has no room for them, and those that are unsent when the exporter stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DiskConfig {
    /// Directory of the queue, for this exporter alone; made when it is not there. Nothing is kept on disk
    /// when absent.
    pub directory: Option<PathBuf>,
    /// Bytes of packed files at most; past that the oldest records go.
    pub max_bytes: u64,
}

impl Default for DiskConfig {
    fn default() -> Self {
        Self {
            directory: None,
            max_bytes: 1 << 30,
        }
    }
}

impl DiskConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        const RANGE: std::ops::RangeInclusive<u64> = 1 << 16..=1 << 50;
        if !RANGE.contains(&self.max_bytes) {
            let expected = format!("{} to {}", RANGE.start(), RANGE.end());
            return Err(ConfigError::invalid(
                "queue.disk.max_bytes",
                self.max_bytes,
                &expected,
            ));
        }
        if let Some(directory) = &self.directory
            && !directory.is_absolute()
        {
            return Err(ConfigError::invalid(
                "queue.disk.directory",
                format_args!("`{}`", directory.display()),
                "an absolute path",
            ));
        }
        Ok(())
    }

    /// The queue on disk; `None` when there is none.
    #[must_use]
    pub fn settings(&self) -> Option<DiskSettings> {
        Some(DiskSettings {
            directory: self.directory.clone()?,
            max_bytes: self.max_bytes,
        })
    }
}
