//! Settings of what is left out of records or replaced by pseudonyms: section `[exporter.privacy]`.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, Secret};

/// A shorter key could be guessed.
const MIN_KEY_BYTES: usize = 16;
const MAX_KEY_BYTES: u64 = 4096;

/// What can be left out or pseudonymised.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PrivateField {
    /// Name of the server, from whatever source: DNS, TLS, QUIC, HTTP.
    ServerName,
    /// User agent of HTTP requests.
    UserAgent,
    /// Name and number of the user, and the systemd units and slices of a user's session.
    User,
    /// Command names of the process and of its parent.
    ProcessName,
    /// Executables of the process and of its parent. The hash of the executable stays.
    ExecutablePath,
    /// Command line.
    CommandLine,
    /// Name of the host.
    HostName,
}

impl PrivateField {
    /// Every field.
    pub const ALL: [Self; 7] = [
        Self::ServerName,
        Self::UserAgent,
        Self::User,
        Self::ProcessName,
        Self::ExecutablePath,
        Self::CommandLine,
        Self::HostName,
    ];

    /// Name in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ServerName => "server_name",
            Self::UserAgent => "user_agent",
            Self::User => "user",
            Self::ProcessName => "process_name",
            Self::ExecutablePath => "executable_path",
            Self::CommandLine => "command_line",
            Self::HostName => "host_name",
        }
    }
}

/// What records do not say plainly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PrivacyConfig {
    /// Fields that are left out.
    pub omit: Vec<PrivateField>,
    /// Fields whose values are replaced by pseudonyms: a keyed hash (HMAC-SHA-256), the same for the same value, from which
    /// nobody without the key learns the value.
    pub pseudonymise: Vec<PrivateField>,
    /// File with the key of the pseudonyms, at least 16 bytes.
    pub key_file: Option<PathBuf>,
    /// Environment variable with the key instead.
    pub key_env: Option<String>,
}

impl PrivacyConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if let Some(both) = self.omit.iter().find(|it| self.pseudonymise.contains(it)) {
            let expected = "fields that are not in privacy.omit";
            return Err(ConfigError::invalid(
                "privacy.pseudonymise",
                both.name(),
                expected,
            ));
        }
        match (&self.key_file, &self.key_env) {
            (Some(_), Some(name)) => {
                let expected = "no variable beside privacy.key_file";
                Err(ConfigError::invalid("privacy.key_env", name, expected))
            }
            (None, None) if !self.pseudonymise.is_empty() => {
                let expected =
                    "a file with a key, or privacy.key_env: privacy.pseudonymise needs one";
                Err(ConfigError::invalid(
                    "privacy.key_file",
                    "not set",
                    expected,
                ))
            }
            _ => Ok(()),
        }
    }

    /// Reads the key, when a field is pseudonymised. White space around it is not part of it.
    pub(crate) fn read_key(&self) -> Result<Option<Secret>, ConfigError> {
        self.read_key_from(|name| std::env::var(name).ok())
    }

    fn read_key_from(
        &self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Secret>, ConfigError> {
        if self.pseudonymise.is_empty() {
            return Ok(None);
        }
        let (setting, place, key) = if let Some(path) = &self.key_file {
            let mut key = String::new();
            File::open(path)
                .and_then(|file| file.take(MAX_KEY_BYTES).read_to_string(&mut key))
                .map_err(|source| ConfigError::file(path, source))?;
            ("privacy.key_file", path.display().to_string(), key)
        } else {
            let name = self.key_env.clone().unwrap_or_default();
            let key = environment(&name).unwrap_or_default();
            ("privacy.key_env", name, key)
        };
        let key = key.trim();
        if key.len() < MIN_KEY_BYTES {
            // The length of a key that is too short is no secret; the key itself is not shown.
            let expected = format!(
                "a key of at least {MIN_KEY_BYTES} bytes there, found {}",
                key.len()
            );
            return Err(ConfigError::invalid(setting, place, &expected));
        }
        Ok(Some(Secret::new(key.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef-s3cret";

    fn settings() -> PrivacyConfig {
        PrivacyConfig {
            pseudonymise: vec![PrivateField::ServerName],
            key_env: Some("THE_KEY".to_owned()),
            ..PrivacyConfig::default()
        }
    }

    #[test]
    fn a_key_comes_from_a_file_or_a_variable_and_is_not_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, format!("  {KEY}\n")).unwrap();
        let of_file = PrivacyConfig {
            key_file: Some(path),
            key_env: None,
            ..settings()
        };
        let key = of_file.read_key_from(|_| None).unwrap().unwrap();
        assert_eq!(key.reveal(), KEY);
        assert!(!format!("{key:?}").contains("s3cret"));
        let variable = |name: &str| (name == "THE_KEY").then(|| KEY.to_owned());
        let key = settings().read_key_from(variable).unwrap().unwrap();
        assert_eq!(key.reveal(), KEY);
    }

    #[test]
    fn a_key_that_is_missing_or_short_is_an_error_that_says_where_and_does_not_show_it() {
        let absent = PrivacyConfig {
            key_env: None,
            ..settings()
        };
        let error = absent.validate().unwrap_err().to_string();
        assert!(
            error.contains("exporter.privacy.key_file is not set"),
            "{error}"
        );
        let error = settings().read_key_from(|_| None).unwrap_err().to_string();
        assert!(error.contains("privacy.key_env is THE_KEY"), "{error}");
        let short = |_: &str| Some("tooshort".to_owned());
        let error = settings().read_key_from(short).unwrap_err().to_string();
        assert!(
            error.contains("at least 16 bytes there, found 8"),
            "{error}"
        );
        assert!(!error.contains("tooshort"));
        let gone = PrivacyConfig {
            key_file: Some("/nonexistent/key".into()),
            key_env: None,
            ..settings()
        };
        let error = gone.read_key_from(|_| None).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/key"), "{error}");
    }

    #[test]
    fn no_key_is_read_when_nothing_is_pseudonymised() {
        let none = PrivacyConfig {
            pseudonymise: Vec::new(),
            omit: vec![PrivateField::User],
            key_file: Some("/nonexistent/key".into()),
            key_env: None,
        };
        none.validate().unwrap();
        assert_eq!(none.read_key().unwrap(), None);
    }

    #[test]
    fn a_field_cannot_be_left_out_and_pseudonymised_and_a_key_has_one_place() {
        let both = PrivacyConfig {
            omit: vec![PrivateField::ServerName],
            ..settings()
        };
        let error = both.validate().unwrap_err().to_string();
        assert!(error.contains("server_name"), "{error}");
        let two = PrivacyConfig {
            key_file: Some("/k".into()),
            ..settings()
        };
        assert!(two.validate().is_err());
    }

    #[test]
    fn names_in_settings_are_the_names_in_messages() {
        for field in PrivateField::ALL {
            let name = serde_json::to_value(field).unwrap();
            assert_eq!(name, field.name());
        }
    }
}
