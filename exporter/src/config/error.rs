//! [`ConfigError`]: which setting is wrong, where it came from, what was expected.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use figment::error::Kind;

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was asked for cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A layer does not fit the settings.
    #[error("{0}")]
    Layer(String),
    /// A value is outside its range.
    #[error("exporter.{key} is {value}, expected {expected}")]
    Value {
        /// Key inside the section `[exporter]`.
        key: String,
        /// What was given.
        value: String,
        /// What would be right.
        expected: String,
    },
}

impl ConfigError {
    pub(crate) fn invalid(key: &str, value: impl Display, expected: &str) -> Self {
        Self::Value {
            key: key.to_owned(),
            value: value.to_string(),
            expected: expected.to_owned(),
        }
    }

    pub(super) fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }

    /// Names source, key and expectation of every error in the chain.
    pub(super) fn layer(error: figment::Error, figment: &figment::Figment) -> Self {
        let lines: Vec<String> = error
            .into_iter()
            .map(|one| describe(&one, figment))
            .collect();
        Self::Layer(lines.join("; "))
    }
}

fn describe(error: &figment::Error, figment: &figment::Figment) -> String {
    let mut path = error.path.clone();
    if let Kind::UnknownField(field, _) = &error.kind
        && path.last() != Some(field)
    {
        path.push(field.clone());
    }
    let key = path.join(".");
    let metadata = figment.find_metadata(&key).or(error.metadata.as_ref());
    let source = metadata.map_or_else(
        || "settings".to_owned(),
        |metadata| match &metadata.source {
            Some(figment::Source::File(file)) => file.display().to_string(),
            _ => metadata.name.to_string(),
        },
    );
    let problem = match &error.kind {
        Kind::UnknownField(_, known) => {
            format!("unknown key, expected one of {}", known.join(", "))
        }
        kind => kind.to_string(),
    };
    if key.is_empty() {
        format!("{source}: {problem}")
    } else {
        format!("{source}: {key}: {problem}")
    }
}
