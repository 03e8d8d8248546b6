//! [`Token`]: the secret that a request carries, and where it comes from.
//!
//! In this order: `--token`, `--token-file`, the variable `BEACONWATCH_TOKEN`, and the file that an
//! instance of this machine keeps. That file is sent to loopback only, whatever it is called there.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{ClientError, small_file};
use crate::arguments::InstanceArguments;

/// Name of the file in the state folder.
const FILE_NAME: &str = "api-token";
/// Variable with a token.
const VARIABLE: &str = "BEACONWATCH_TOKEN";
/// Longest token.
const BYTES_MAX: u64 = 4096;

/// A token, or why there is none.
#[derive(Clone)]
pub(super) struct Token {
    secret: Option<String>,
    origin: Origin,
}

#[derive(Clone, Debug)]
enum Origin {
    /// A flag or a variable.
    Given(String),
    /// The instance's own file.
    Local(PathBuf),
    /// The instance's own file, which this user may not read.
    Unreadable(PathBuf),
    /// The instance's own file, which is not there.
    Absent(PathBuf),
    /// Another machine, for which nothing was given.
    Remote,
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Token")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl Token {
    pub(super) fn none() -> Self {
        Self {
            secret: None,
            origin: Origin::Remote,
        }
    }

    /// The token to use; `state_folder` is given for an instance of this machine.
    pub(super) fn choose(
        arguments: &InstanceArguments,
        state_folder: Option<&Path>,
    ) -> Result<Self, ClientError> {
        if let Some(token) = &arguments.token {
            return Self::given("--token", token);
        }
        if let Some(file) = &arguments.token_file {
            let origin = file.display().to_string();
            let text = read(file).map_err(|error| wrong(&origin, error.to_string()))?;
            return Self::given(&origin, &text);
        }
        if let Some(token) = std::env::var_os(VARIABLE).filter(|it| !it.is_empty()) {
            return Self::given(VARIABLE, &token.to_string_lossy());
        }
        match state_folder {
            Some(folder) => Self::local(folder.join(FILE_NAME)),
            None => Ok(Self::none()),
        }
    }

    fn given(origin: &str, text: &str) -> Result<Self, ClientError> {
        Ok(Self {
            secret: Some(checked(origin, text)?),
            origin: Origin::Given(origin.to_owned()),
        })
    }

    fn local(file: PathBuf) -> Result<Self, ClientError> {
        let without = |origin| Self {
            secret: None,
            origin,
        };
        match read(&file) {
            Ok(text) => Ok(Self {
                secret: Some(checked(&file.display().to_string(), &text)?),
                origin: Origin::Local(file),
            }),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                Ok(without(Origin::Unreadable(file)))
            }
            // Reading needs no token on most instances: whoever needs one is told when it is asked for.
            Err(_absent) => Ok(without(Origin::Absent(file))),
        }
    }

    pub(super) fn secret(&self) -> Option<&str> {
        self.secret.as_deref()
    }

    pub(super) fn is_known(&self) -> bool {
        self.secret.is_some()
    }

    /// What can be done when the instance wants another one.
    pub(super) fn advice(&self) -> String {
        match &self.origin {
            Origin::Given(origin) => format!("It does not know the token of {origin}."),
            Origin::Local(file) => format!(
                "It does not know the token in {}: does that folder belong to this instance? \
                 --token-file names another.",
                file.display()
            ),
            Origin::Unreadable(file) => format!(
                "Its token is in {}, which this user may not read: try with sudo, or name a token of \
                 your own with --token-file or BEACONWATCH_TOKEN.",
                file.display()
            ),
            Origin::Absent(file) => format!(
                "An instance keeps a token in `api-token` in its state folder ({} is not there): name \
                 it with --token-file, or set BEACONWATCH_TOKEN.",
                file.display()
            ),
            Origin::Remote => {
                "Name a token of it with --token-file, or set BEACONWATCH_TOKEN: the \
                 instance keeps one in `api-token` in its state folder."
                    .to_owned()
            }
        }
    }
}

fn read(file: &Path) -> std::io::Result<String> {
    let bytes = small_file(file, BYTES_MAX)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The token without white space around it; the text of the error never has it.
fn checked(origin: &str, text: &str) -> Result<String, ClientError> {
    let token = text.trim();
    if token.is_empty() {
        return Err(wrong(origin, "it is empty".to_owned()));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let problem = "it has characters that cannot stand in a header, expected visible ASCII";
        return Err(wrong(origin, problem.to_owned()));
    }
    Ok(token.to_owned())
}

fn wrong(origin: &str, problem: String) -> ClientError {
    ClientError::TokenFile {
        origin: origin.to_owned(),
        problem,
    }
}
