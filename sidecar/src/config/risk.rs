//! Section `risk`: the model that gives scored series their risk, and reading it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use beaconwatch_destinations::SettingError;
use beaconwatch_learning::{FeatureSet, MODEL_BYTES_MAX, Model, ModelError};
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Names the model that ships.
const BUILTIN: &str = "builtin";
/// Names no model.
const NONE: &str = "none";

/// The risk that a learnt model gives scored series, beside their score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RiskConfig {
    /// Model file that `beaconwatch train` wrote from series; `builtin` is the one that ships, `none` gives no risk.
    pub model: String,
}

impl Default for RiskConfig {
    fn default() -> Self {
        Self {
            model: BUILTIN.to_owned(),
        }
    }
}

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RiskError {
    /// The file cannot be read.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Reading was interrupted.
    #[error("reading was interrupted: {0}")]
    Interrupted(String),
    /// It is no model.
    #[error("{}: {source}", .path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// The field, and what is wrong with it.
        source: ModelError,
    },
    /// It takes no series.
    #[error("{}: field feature_set: {found}, expected {}", .path.display(), FeatureSet::Series.name())]
    FeatureSet {
        /// The file.
        path: PathBuf,
        /// What it takes.
        found: &'static str,
    },
}

impl RiskConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if self.model.is_empty() {
            let expected = "builtin, none or the path of a model file";
            return Err(SettingError::value("risk.model", String::new(), expected).into());
        }
        Ok(())
    }

    /// Reads the model; none when the section says so. Blocks.
    pub fn open(&self) -> Result<Option<Model>, RiskError> {
        let path = PathBuf::from(&self.model);
        let model = match self.model.as_str() {
            NONE => return Ok(None),
            BUILTIN => Model::builtin(),
            _ => Model::read(&read(&path)?),
        };
        let model = match model {
            Ok(model) => model,
            Err(source) => return Err(RiskError::Model { path, source }),
        };
        match model.feature_set() {
            FeatureSet::Series => Ok(Some(model)),
            other @ FeatureSet::BeaconHunter => Err(RiskError::FeatureSet {
                path,
                found: other.name(),
            }),
        }
    }
}

/// What a file holds, or a byte more than a model may have, for its reader to refuse.
fn read(path: &Path) -> Result<Vec<u8>, RiskError> {
    let mut bytes = Vec::new();
    let file = File::open(path);
    let read = file.and_then(|file| {
        let mut part = file.take(MODEL_BYTES_MAX as u64 + 1);
        part.read_to_end(&mut bytes)
    });
    read.map_err(|source| RiskError::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(bytes)
}
