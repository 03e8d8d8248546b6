//! Checks of values, once all layers are read.

use super::Config;

/// Dotted key of a wrong value, and what is wrong with it.
pub(super) type Wrong = (String, String);

/// Checks every section.
pub(super) fn check(config: &Config) -> Result<(), Wrong> {
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

/// The parts of a dotted key; `allow[2]` is the third one of `allow`.
pub(super) fn path_of(key: &str) -> Vec<String> {
    let parts = key.split(['.', '[', ']']);
    parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}
