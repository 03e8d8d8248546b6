//! The configuration file as a layer of settings.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map};
use figment::{Metadata, Profile};

use super::ConfigError;
use super::node::{self, FILE_BYTES_MAX, Node, Unreadable};
use super::seed;

/// A file that was read.
#[derive(Debug)]
pub(super) struct FileLayer {
    path: PathBuf,
    root: Node,
    written_as: BTreeMap<String, String>,
    warnings: Vec<(u64, String)>,
}

/// What a file is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Toml,
    Yaml,
}

impl FileLayer {
    /// Reads a file; its name or else its content says whether it is TOML or YAML.
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = read_text(path)?;
        let at = |line: Option<u64>, problem: String| {
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            ConfigError::Layer(format!("{}{line}: {problem}", path.display()))
        };
        let unreadable = |error: Unreadable| at(error.line, error.problem);
        let (root, written_as, warnings) = match format_of(path, &text) {
            Format::Toml => {
                let root = node::from_toml(&text).map_err(unreadable)?;
                (root, BTreeMap::new(), Vec::new())
            }
            Format::Yaml => {
                let root = node::from_yaml(&text).map_err(unreadable)?;
                let translated = seed::translate(root);
                let it = translated.map_err(|error| at(Some(error.line), error.problem))?;
                (it.root, it.written_as, it.warnings)
            }
        };
        Ok(Self {
            path: path.to_owned(),
            root,
            written_as,
            warnings,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is to be said of the file's keys, with their lines.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        let path = self.path.display();
        let warnings = self.warnings.iter();
        warnings.map(move |(line, text)| format!("{path}:{line}: {text}"))
    }

    /// File, line and, where it is another, the name under which a key stands in the file.
    pub(super) fn place(&self, path: &[String]) -> String {
        let line = self.root.nearest(path).line;
        let file = self.path.display();
        match self.written_as(path) {
            Some(written) => format!("{file}:{line}: {written}"),
            None => format!("{file}:{line}"),
        }
    }

    fn written_as(&self, path: &[String]) -> Option<&str> {
        let mut shorter = (1..=path.len()).rev().filter_map(|depth| path.get(..depth));
        shorter
            .find_map(|path| self.written_as.get(&path.join(".")))
            .map(String::as_str)
    }
}

impl figment::Provider for &FileLayer {
    fn metadata(&self) -> Metadata {
        Metadata::from("configuration file", self.path.as_path())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.root.to_dict()))
    }
}

fn read_text(path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::File {
        file: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let mut limited = file.take(FILE_BYTES_MAX + 1);
    limited.read_to_end(&mut bytes).map_err(failed)?;
    let refused = |problem: String| ConfigError::Layer(format!("{}: {problem}", path.display()));
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(refused(format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        refused(format!("no UTF-8 at byte {good}, expected text"))
    })
}

fn format_of(path: &Path, text: &str) -> Format {
    let extension = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
    match extension.as_ref().and_then(|it| it.to_str()) {
        Some("toml") => Format::Toml,
        Some("yaml" | "yml") => Format::Yaml,
        _ => looks_like(text),
    }
}

/// The first line that says something: a section of TOML, or an assignment, or else YAML.
fn looks_like(text: &str) -> Format {
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    match first {
        Some(line) if line.starts_with("---") || line.starts_with('%') => Format::Yaml,
        Some(line) if line.starts_with('[') || line.contains('=') => Format::Toml,
        Some(line) if line.contains(':') => Format::Yaml,
        _ => Format::Toml,
    }
}
