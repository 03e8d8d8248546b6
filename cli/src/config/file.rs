//! The configuration file as a layer of settings.

use std::io::Read;
use std::path::{Path, PathBuf};

use beaconwatch_settings::{FILE_BYTES_MAX, FileSettings, Format};
use figment::value::{Dict, Map};
use figment::{Metadata, Profile};

use super::ConfigError;

/// A file that was read.
#[derive(Debug)]
pub(super) struct FileLayer {
    path: PathBuf,
    settings: FileSettings,
}

impl FileLayer {
    /// Reads a file; its name or else its content says whether it is TOML or YAML.
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = read_text(path)?;
        let settings = FileSettings::parse(&text, Format::of(path, &text)).map_err(|error| {
            let line = error
                .line
                .map(|line| format!(":{line}"))
                .unwrap_or_default();
            ConfigError::Layer(format!("{}{line}: {error}", path.display()))
        })?;
        let path = path.to_owned();
        Ok(Self { path, settings })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is to be said of the file's keys, with their lines.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        let path = self.path.display();
        let warnings = self.settings.warnings().iter();
        warnings.map(move |(line, text)| format!("{path}:{line}: {text}"))
    }

    /// File, line and, where it is another, the name under which a key stands in the file.
    pub(super) fn place(&self, path: &[String]) -> String {
        let line = self.settings.line(path);
        let file = self.path.display();
        match self.settings.written_as(path) {
            Some(written) => format!("{file}:{line}: {written}"),
            None => format!("{file}:{line}"),
        }
    }
}

impl figment::Provider for &FileLayer {
    fn metadata(&self) -> Metadata {
        Metadata::from("configuration file", self.path.as_path())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.settings.values()))
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
