//! The configuration: sections `[exporter]`, `[detector]` and `[sidecar]` of one file.
//!
//! Layers, each over the one before: built-in defaults, the file (TOML, or YAML, also that of the seed:
//! `beaconwatch_settings`), the standard `OTEL_EXPORTER_OTLP_*` variables (for the exporter),
//! `BEACONWATCH_<SECTION>__<KEY>` (two underscores nest), flags. Unknown keys are refused with the place that
//! they stand in: file and line, or variable, or flag.

mod check;
mod file;
mod flags;
mod layers;
mod schema;
mod tree;
mod unread;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use flags::Flags;
pub(crate) use layers::{Layers, Origin};
pub(crate) use schema::schema;
pub(crate) use tree::{Setting, settings};

/// File that is read when none is named and it exists.
pub(crate) const DEFAULT_FILE: &str = "/etc/beaconwatch/beaconwatch.toml";

/// All sections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Configuration of Beaconwatch")]
pub(crate) struct Config {
    /// Capture and export.
    pub(crate) exporter: beaconwatch_exporter::Config,
    /// Scoring.
    pub(crate) detector: beaconwatch_detector::Settings,
    /// Receiving, storing and delivering.
    pub(crate) sidecar: beaconwatch_sidecar::Config,
}

/// A configuration and where it came from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
    /// Standard variables that could not be understood, and keys of the seed that have no effect.
    pub(crate) warnings: Vec<String>,
    /// Settings that the method in force does not read.
    pub(crate) unread: Vec<String>,
    /// Where each value came from.
    pub(crate) layers: Layers,
    /// What the command line has set.
    pub(crate) flags: Flags,
}

impl Loaded {
    /// Everything that has no effect.
    pub(crate) fn all_warnings(&self) -> impl Iterator<Item = &String> {
        self.warnings.iter().chain(&self.unread)
    }
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    File {
        file: PathBuf,
        source: std::io::Error,
    },
    /// A layer cannot be understood.
    #[error("{0}")]
    Layer(String),
    /// A value cannot be used.
    #[error("{origin}: {problem}")]
    Value { origin: String, problem: String },
}

/// Reads all layers and checks every section.
pub(crate) fn load(file: Option<&Path>, flags: Flags) -> Result<Loaded, ConfigError> {
    let file = readable(file)?;
    let layers = Layers::read(file.as_deref(), &flags)?;
    let mut config = layers.config()?;
    config.sidecar.detector = config.detector.clone();
    check::check(&config).map_err(|(key, problem)| ConfigError::Value {
        origin: layers.place(&check::path_of(&key)),
        problem,
    })?;
    let unread = unread::warnings(&config.detector, &layers);
    Ok(Loaded {
        config,
        file,
        warnings: layers.warnings(),
        unread,
        layers,
        flags,
    })
}

fn readable(file: Option<&Path>) -> Result<Option<PathBuf>, ConfigError> {
    let Some(file) = file else {
        let default = Path::new(DEFAULT_FILE);
        return Ok(default.exists().then(|| default.to_owned()));
    };
    match std::fs::metadata(file) {
        Ok(data) if data.is_dir() => {
            let source = std::io::Error::from(std::io::ErrorKind::IsADirectory);
            Err(ConfigError::File {
                file: file.to_owned(),
                source,
            })
        }
        Ok(_) => Ok(Some(file.to_owned())),
        Err(source) => Err(ConfigError::File {
            file: file.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests;
