//! Secrets: named in the configuration, read from a file or the environment, never shown.

use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Most bytes of a secret's file.
const MAX_BYTES: u64 = 64 << 10;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// In this file; white space around it does not count.
    File(PathBuf),
    /// In this environment variable.
    Env(String),
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor)
    }
}

/// Reads a source. Who writes the secret itself in its place is told so without it: the error is printed and
/// logged.
struct SourceVisitor;

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = SecretSource;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("{ file = \"...\" } or { env = \"VARIABLE\" }")
    }

    fn visit_str<E: de::Error>(self, _secret: &str) -> Result<SecretSource, E> {
        Err(E::custom(
            "a secret stands in the configuration itself, expected where it is: { file = \"...\" } or { env = \"VARIABLE\" }",
        ))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<SecretSource, A::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Source {
            File(PathBuf),
            Env(String),
        }
        Ok(
            match Source::deserialize(MapAccessDeserializer::new(fields))? {
                Source::File(path) => SecretSource::File(path),
                Source::Env(name) => SecretSource::Env(name),
            },
        )
    }
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
    fn a_secret_in_the_place_of_its_source_is_refused_and_not_shown() {
        let read = |text: &str| serde_json::from_str::<SecretSource>(text);
        assert_eq!(
            read(r#"{"file": "/run/key"}"#).unwrap(),
            SecretSource::File("/run/key".into())
        );
        assert_eq!(
            read(r#"{"env": "KEY"}"#).unwrap(),
            SecretSource::Env("KEY".to_owned())
        );
        for wrong in [
            r#""hunter2""#,
            r#"{"value": "hunter2"}"#,
            r#"{"file": "/run/key", "env": "hunter2"}"#,
            r#"["hunter2"]"#,
            "{}",
        ] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{wrong}: {error}");
        }
        let error = read(r#""hunter2""#).unwrap_err().to_string();
        assert!(error.contains("expected where it is"), "{error}");
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
