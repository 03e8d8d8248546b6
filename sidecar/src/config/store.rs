//! Section `store`: where state is kept.

use std::path::PathBuf;

use beaconwatch_destinations::in_range;
use serde::{Deserialize, Serialize};

use super::{ConfigError, count};

/// Storing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// The database file; `beaconwatch.redb` in the data directory when not given.
    pub path: Option<PathBuf>,
    /// Bytes of memory for the database's cache, 1048576..=68719476736.
    pub cache_bytes: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            path: None,
            cache_bytes: 64 << 20,
        }
    }
}

impl StoreConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let cache = count(self.cache_bytes);
        Ok(in_range("store.cache_bytes", cache, 1 << 20, 64 << 30)?)
    }
}
