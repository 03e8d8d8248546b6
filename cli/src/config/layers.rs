//! The layers of a configuration, and which of them a value came from.

use std::path::Path;

use beaconwatch_exporter::config::{OtelEnvironment, beaconwatch_environment};
use figment::error::Kind;
use figment::{Figment, Metadata, Source};

use super::file::FileLayer;
use super::{Config, ConfigError, Flags};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From nowhere: it is the default.
    Default,
    /// File and line, variable, or flag.
    Layer(String),
}

/// All layers, read.
#[derive(Debug)]
pub(crate) struct Layers {
    file: Option<FileLayer>,
    otel: OtelEnvironment,
    figment: Figment,
}

impl Layers {
    pub(super) fn read(file: Option<&Path>, flags: &Flags) -> Result<Self, ConfigError> {
        let file = file.map(FileLayer::read).transpose()?;
        let otel = OtelEnvironment::from_process();
        let mut figment = Figment::new();
        if let Some(file) = &file {
            figment = figment.merge(file);
        }
        figment = figment.merge(&otel).merge(beaconwatch_environment());
        for flag in flags.layers() {
            figment = figment.merge(flag);
        }
        Ok(Self {
            file,
            otel,
            figment,
        })
    }

    /// What the layers say together. Ranges are not checked.
    pub(super) fn config(&self) -> Result<Config, ConfigError> {
        self.figment.extract().map_err(|error| {
            let problems: Vec<String> = error.into_iter().map(|one| self.describe(&one)).collect();
            ConfigError::Layer(problems.join("; "))
        })
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let file = self.file.iter().flat_map(FileLayer::warnings);
        file.chain(self.otel.warnings().iter().cloned()).collect()
    }

    /// Where the value at a path came from.
    pub(crate) fn origin(&self, path: &[String]) -> Origin {
        match self.metadata(path) {
            Some(metadata) => Origin::Layer(self.name(metadata, path)),
            None => Origin::Default,
        }
    }

    /// The place to name in an error about what lies at a path.
    pub(super) fn place(&self, path: &[String]) -> String {
        match self.origin(path) {
            Origin::Layer(name) => name,
            Origin::Default => "configuration".to_owned(),
        }
    }

    /// The layer of a value, or of the nearest thing above it that has one.
    fn metadata(&self, path: &[String]) -> Option<&Metadata> {
        let mut above = (1..=path.len()).rev().filter_map(|depth| path.get(..depth));
        above.find_map(|path| self.figment.find_metadata(&path.join(".")))
    }

    fn name(&self, metadata: &Metadata, path: &[String]) -> String {
        match (&metadata.source, &self.file) {
            (Some(Source::File(source)), Some(file)) if source == file.path() => file.place(path),
            (Some(Source::File(source)), _) => source.display().to_string(),
            _ if metadata.name.contains("BEACONWATCH_") => {
                let name = path.join("__").to_ascii_uppercase();
                format!("environment variable BEACONWATCH_{name}")
            }
            _ => metadata.name.to_string(),
        }
    }

    /// Names the place, the key and what was expected.
    fn describe(&self, error: &figment::Error) -> String {
        let mut path = error.path.clone();
        if let Kind::UnknownField(field, _) = &error.kind
            && path.last() != Some(field)
        {
            path.push(field.clone());
        }
        let metadata = self.metadata(&path).or(error.metadata.as_ref());
        let place = match metadata {
            Some(metadata) => self.name(metadata, &path),
            None => "configuration".to_owned(),
        };
        let problem = match &error.kind {
            Kind::UnknownField(_, known) => {
                format!("unknown key, expected one of {}", known.join(", "))
            }
            Kind::UnknownVariant(found, known) => {
                format!("is {found:?}, expected one of {}", known.join(", "))
            }
            Kind::InvalidType(found, expected) => {
                format!("is {found}, expected {}", in_words(expected))
            }
            kind => kind.to_string(),
        };
        if path.is_empty() {
            return format!("{place}: {problem}");
        }
        format!("{place}: {}: {problem}", path.join("."))
    }
}

/// A type's name as people say it.
fn in_words(expected: &str) -> &str {
    match expected {
        "f64" | "f32" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" | "i64" => "a whole number",
        "a boolean" => "true or false",
        "a string" => "text",
        other => other,
    }
}
