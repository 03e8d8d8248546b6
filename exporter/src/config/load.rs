//! Reading the layers.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};

use super::{Config, ConfigError, OtelEnvironment};
use crate::otlp::connection::Protocol;

/// The whole file: other programs' sections are theirs to check.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    exporter: Config,
    #[serde(default, skip_serializing)]
    #[expect(dead_code, reason = "named so that the section is allowed")]
    detector: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing)]
    #[expect(dead_code, reason = "named so that the section is allowed")]
    sidecar: Option<serde::de::IgnoredAny>,
}

/// What flags of a command line set: the last layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Base URL of the OTLP receiver, for logs and metrics.
    pub endpoint: Option<String>,
    /// OTLP protocol, for logs and metrics.
    pub protocol: Option<Protocol>,
}

impl Overrides {
    /// A flag beats what any layer says of one signal, too.
    pub fn apply(self, config: &mut Config) {
        let otlp = &mut config.otlp;
        if let Some(endpoint) = self.endpoint {
            otlp.endpoint = Some(endpoint);
            otlp.logs.endpoint = None;
            otlp.metrics.endpoint = None;
        }
        if let Some(protocol) = self.protocol {
            otlp.protocol = protocol;
            otlp.logs.protocol = None;
            otlp.metrics.protocol = None;
        }
    }
}

/// Settings from the environment: `BEACONWATCH_<SECTION>__<KEY>`. Variables without a double underscore
/// (such as `BEACONWATCH_CONFIG`) are no settings.
#[must_use]
pub fn beaconwatch_environment() -> Env {
    Env::prefixed("BEACONWATCH_")
        .filter(|key| key.as_str().contains("__"))
        .split("__")
}

/// Reads every layer and checks the result. Without `file`, [`DEFAULT_FILE`] is read if it exists.
pub fn load(
    file: Option<&Path>,
    otel: &OtelEnvironment,
    overrides: Overrides,
) -> Result<Config, ConfigError> {
    let mut figment = Figment::from(Serialized::defaults(File {
        exporter: Config::default(),
        detector: None,
        sidecar: None,
    }));
    if let Some(path) = readable(file)? {
        figment = figment.merge(Toml::file_exact(path));
    }
    figment = figment.merge(otel).merge(beaconwatch_environment());
    let read: File = figment
        .extract()
        .map_err(|error| ConfigError::layer(error, &figment))?;
    let mut config = read.exporter;
    overrides.apply(&mut config);
    config.validate()?;
    Ok(config)
}

/// File that is read when none is named.
pub const DEFAULT_FILE: &str = "/etc/beaconwatch/beaconwatch.toml";

fn readable(file: Option<&Path>) -> Result<Option<PathBuf>, ConfigError> {
    let Some(path) = file else {
        let default = Path::new(DEFAULT_FILE);
        return Ok(default.exists().then(|| default.to_owned()));
    };
    match std::fs::File::open(path) {
        Ok(_) => Ok(Some(path.to_owned())),
        Err(error) => Err(ConfigError::file(path, error)),
    }
}
