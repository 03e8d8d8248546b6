//! Configuration files as settings that know their lines.
//!
//! # Contract
//! - TOML and YAML are read into the same tree, so an error can name its line whatever the format.
//! - YAML may use the keys of the seed: each sets its counterpart, or is answered with a warning that names what
//!   replaces it (`seed`). An unknown key beside them is refused with its line.
//! - What the settings are, their types and their ranges, is not known here.
//!
//! # Limits
//! A file has at most [`FILE_BYTES_MAX`] bytes; see `node` for the bounds of YAML.

mod node;
mod seed;

use std::collections::BTreeMap;
use std::path::Path;

use figment::value::Dict;

use node::Node;

/// Largest file that is read.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

/// What a file is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// TOML.
    Toml,
    /// YAML, with keys of ours or of the seed.
    Yaml,
}

impl Format {
    /// Told by the name of the file, or else by its content.
    #[must_use]
    pub fn of(path: &Path, text: &str) -> Self {
        let extension = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
        match extension.as_ref().and_then(|it| it.to_str()) {
            Some("toml") => Self::Toml,
            Some("yaml" | "yml") => Self::Yaml,
            _ => Self::looks_like(text),
        }
    }

    /// The first line that says something: a section of TOML, or an assignment, or else YAML.
    fn looks_like(text: &str) -> Self {
        let mut lines = text.lines().map(str::trim);
        let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
        match first {
            Some(line) if line.starts_with("---") || line.starts_with('%') => Self::Yaml,
            Some(line) if line.starts_with('[') || line.contains('=') => Self::Toml,
            Some(line) if line.contains(':') => Self::Yaml,
            _ => Self::Toml,
        }
    }
}

/// Why a text holds no settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct Unreadable {
    /// The line, where it is known.
    pub line: Option<u64>,
    /// What is wrong with it.
    pub problem: String,
}

/// The settings of a file.
#[derive(Debug)]
pub struct FileSettings {
    root: Node,
    /// Our keys that came from keys of the seed.
    written_as: BTreeMap<String, String>,
    /// Lines and what is to be said of them.
    warnings: Vec<(u64, String)>,
}

impl FileSettings {
    /// Reads a text.
    pub fn parse(text: &str, format: Format) -> Result<Self, Unreadable> {
        match format {
            Format::Toml => Ok(Self {
                root: node::from_toml(text)?,
                written_as: BTreeMap::new(),
                warnings: Vec::new(),
            }),
            Format::Yaml => seed::translate(node::from_yaml(text)?),
        }
    }

    /// The values. Keys without a value are left out.
    #[must_use]
    pub fn values(&self) -> Dict {
        self.root.to_dict()
    }

    /// What is to be said of keys, with their lines.
    #[must_use]
    pub fn warnings(&self) -> &[(u64, String)] {
        &self.warnings
    }

    /// The line of what stands at a path, or of the last part of it that is there.
    #[must_use]
    pub fn line(&self, path: &[String]) -> u64 {
        self.root.nearest(path).line
    }

    /// The seed's key that a setting came from; none when it is written under its own name.
    #[must_use]
    pub fn written_as(&self, path: &[String]) -> Option<&str> {
        let mut shorter = (1..=path.len()).rev().filter_map(|depth| path.get(..depth));
        shorter
            .find_map(|path| self.written_as.get(&path.join(".")))
            .map(String::as_str)
    }
}
