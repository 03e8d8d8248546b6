//! The configuration: sections `[exporter]`, `[detector]` and `[sidecar]` of one file.
//!
//! Layers, each over the one before: built-in defaults, the file, the standard `OTEL_EXPORTER_OTLP_*`
//! variables (for the exporter), `BEACONWATCH_<SECTION>__<KEY>` (two underscores nest), flags. Unknown keys
//! are refused with the place that they stand in.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use beaconwatch_exporter::config::{OtelEnvironment, beaconwatch_environment};
use figment::Figment;
use figment::error::Kind;
use figment::providers::{Format, Toml};
use figment::value::Value;
use serde::{Deserialize, Serialize};

use crate::arguments::{DetectArguments, DetectorArguments};

/// File that is read when none is named and it exists.
pub(crate) const DEFAULT_FILE: &str = "/etc/beaconwatch/beaconwatch.toml";

/// All sections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
    /// Standard variables that could not be understood.
    pub(crate) warnings: Vec<String>,
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

/// What flags set: dotted keys and their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags(Vec<(&'static str, Value)>);

impl Flags {
    pub(crate) fn set(mut self, key: &'static str, value: Option<impl Into<Value>>) -> Self {
        self.0.extend(value.map(|value| (key, value.into())));
        self
    }

    /// The flags of `run` and `detect`.
    pub(crate) fn detect(arguments: &DetectArguments) -> Self {
        let folder = arguments
            .state_dir
            .as_ref()
            .map(|path| path.display().to_string());
        let text = |address: Option<SocketAddr>| address.map(|it| it.to_string());
        Self::default()
            .detector(&arguments.detector)
            .set("sidecar.data_directory", folder)
            .set("sidecar.api.address", text(arguments.api_address))
            .set("sidecar.receive.grpc_address", text(arguments.grpc_address))
            .set("sidecar.receive.http_address", text(arguments.http_address))
    }

    pub(crate) fn detector(self, arguments: &DetectorArguments) -> Self {
        self.set("detector.seed.alert_threshold", arguments.alert_threshold)
            .set("detector.seed.min_connections", arguments.min_connections)
            .set("detector.seed.min_duration_s", arguments.min_duration_s)
            .set("detector.seed.min_interval_s", arguments.min_interval_s)
            .set("detector.seed.max_interval_s", arguments.max_interval_s)
            .set("detector.seed.cv_threshold", arguments.cv_threshold)
            .set(
                "detector.seed.jitter_threshold_s",
                arguments.jitter_threshold_s,
            )
    }
}

/// Reads all layers and checks every section.
pub(crate) fn load(file: Option<&Path>, flags: Flags) -> Result<Loaded, ConfigError> {
    let otel = OtelEnvironment::from_process();
    let file = readable(file)?;
    let mut figment = Figment::new();
    if let Some(file) = &file {
        figment = figment.merge(Toml::file_exact(file));
    }
    figment = figment.merge(&otel).merge(beaconwatch_environment());
    for (key, value) in flags.0 {
        figment = figment.merge(Flag { key, value });
    }
    let mut config: Config = figment
        .extract()
        .map_err(|error| layer_error(error, &figment))?;
    config.sidecar.detector = config.detector.clone();
    check(&config).map_err(|(key, problem)| ConfigError::Value {
        origin: origin_of(&figment, &key),
        problem,
    })?;
    Ok(Loaded {
        config,
        file,
        warnings: otel.warnings().to_vec(),
    })
}

fn readable(file: Option<&Path>) -> Result<Option<PathBuf>, ConfigError> {
    let Some(file) = file else {
        let default = Path::new(DEFAULT_FILE);
        return Ok(default.exists().then(|| default.to_owned()));
    };
    match std::fs::File::open(file).and_then(|it| it.metadata()) {
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

/// Dotted key of a wrong value, and what is wrong with it.
type Wrong = (String, String);

fn check(config: &Config) -> Result<(), Wrong> {
    use beaconwatch_detector::SettingsError;
    use beaconwatch_exporter::config::ConfigError as ExporterError;
    use beaconwatch_sidecar::ConfigError as SidecarError;

    config.exporter.validate().map_err(|error| match &error {
        ExporterError::Value { key, .. } => (format!("exporter.{key}"), error.to_string()),
        _ => ("exporter".to_owned(), error.to_string()),
    })?;
    config.detector.validate().map_err(|error| match &error {
        SettingsError::OutOfRange { name, .. } => {
            (format!("detector.{name}"), format!("detector.{error}"))
        }
    })?;
    config.sidecar.validate().map_err(|error| {
        if matches!(error, SidecarError::Detector(_)) {
            return (error.field(), error.to_string());
        }
        let key = format!("sidecar.{}", error.field());
        (key, format!("sidecar.{error}"))
    })
}

/// Names the place, the key and what was expected of every error in the chain.
fn layer_error(error: figment::Error, figment: &Figment) -> ConfigError {
    let problems: Vec<String> = error
        .into_iter()
        .map(|one| describe(&one, figment))
        .collect();
    ConfigError::Layer(problems.join("; "))
}

fn describe(error: &figment::Error, figment: &Figment) -> String {
    let mut path = error.path.clone();
    if let Kind::UnknownField(field, _) = &error.kind
        && path.last() != Some(field)
    {
        path.push(field.clone());
    }
    let key = path.join(".");
    let origin = match figment.find_metadata(&key).or(error.metadata.as_ref()) {
        Some(metadata) => origin(metadata),
        None => "configuration".to_owned(),
    };
    let problem = match &error.kind {
        Kind::UnknownField(_, known) => {
            format!("unknown key, expected one of {}", known.join(", "))
        }
        kind => kind.to_string(),
    };
    if key.is_empty() {
        format!("{origin}: {problem}")
    } else {
        format!("{origin}: {key}: {problem}")
    }
}

fn origin_of(figment: &Figment, key: &str) -> String {
    figment
        .find_metadata(key)
        .map_or_else(|| "configuration".to_owned(), origin)
}

fn origin(metadata: &figment::Metadata) -> String {
    match &metadata.source {
        Some(figment::Source::File(file)) => file.display().to_string(),
        _ => metadata.name.to_string(),
    }
}

/// One flag as a layer.
struct Flag {
    key: &'static str,
    value: Value,
}

impl figment::Provider for Flag {
    fn metadata(&self) -> figment::Metadata {
        let flag = self
            .key
            .rsplit('.')
            .next()
            .unwrap_or(self.key)
            .replace('_', "-");
        figment::Metadata::named(format!("flag --{flag}"))
    }

    fn data(
        &self,
    ) -> Result<figment::value::Map<figment::Profile, figment::value::Dict>, figment::Error> {
        let nested = figment::util::nest(self.key, self.value.clone());
        let dict = nested.into_dict().unwrap_or_default();
        Ok(figment::Profile::Default.collect(dict))
    }
}

#[cfg(test)]
mod tests;
