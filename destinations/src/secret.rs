//! Secrets: named in the configuration, read from a file or the environment, never shown.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Most bytes of a secret's file.
const MAX_BYTES: u64 = 64 << 10;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// In this file; white space around it does not count.
    File(PathBuf),
    /// In this environment variable.
    Env(String),
}

/// A secret could not be read. Says where it should have been, not what it is.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read a secret from {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is too large or no text.
    #[error("{path} holds no secret: expected at most 65536 bytes of UTF-8")]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The variable is not set or no text.
    #[error("environment variable {name} is not set, expected a secret in it")]
    Env {
        /// The variable.
        name: String,
    },
    /// There is nothing in it.
    #[error("{origin} is empty, expected a secret in it")]
    Empty {
        /// File or variable.
        origin: String,
    },
}

/// A secret that does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Reads a secret.
    pub fn read(source: &SecretSource) -> Result<Self, SecretError> {
        let (text, origin) = match source {
            SecretSource::File(path) => (read_file(path)?, path.display().to_string()),
            SecretSource::Env(name) => {
                let text = std::env::var(name);
                (
                    text.map_err(|_unset| SecretError::Env { name: name.clone() })?,
                    name.clone(),
                )
            }
        };
        match text.trim() {
            "" => Err(SecretError::Empty { origin }),
            secret => Ok(Self(secret.to_owned())),
        }
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

fn read_file(path: &PathBuf) -> Result<String, SecretError> {
    use std::io::Read;
    let failed = |source| SecretError::File {
        path: path.clone(),
        source,
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(SecretError::NotText { path: path.clone() });
    }
    String::from_utf8(bytes).map_err(|_not_utf8| SecretError::NotText { path: path.clone() })
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_from_a_file_is_trimmed_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "hunter2\n").unwrap();
        let secret = Secret::read(&SecretSource::File(path)).unwrap();
        assert_eq!(secret.reveal(), "hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }

    #[test]
    fn a_missing_or_empty_secret_is_an_error_that_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let error = Secret::read(&SecretSource::File(path.clone())).unwrap_err();
        assert!(error.to_string().contains("key"), "{error}");
        std::fs::write(&path, " \n").unwrap();
        let error = Secret::read(&SecretSource::File(path)).unwrap_err();
        assert!(error.to_string().contains("is empty"), "{error}");
        let error = Secret::read(&SecretSource::Env("BEACONWATCH_NO_SUCH".to_owned()));
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("BEACONWATCH_NO_SUCH")
        );
    }
}
