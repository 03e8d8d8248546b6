//! Why there is no answer.

use std::path::PathBuf;
use std::time::Duration;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody answers.
    #[error(
        "no answer from {url}: {reason}\n\
         Is an instance running? `beaconwatch run` starts one; --host, --port or --url name another."
    )]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why it failed.
        reason: String,
    },
    /// The instance wants a token, or another one.
    #[error("{url} answers 401: {message}\n{advice}")]
    Token {
        /// What was asked.
        url: String,
        /// What it says.
        message: String,
        /// Where a token is to be had.
        advice: String,
    },
    /// The token's role is not enough.
    #[error(
        "{url} answers 403: {message}\n\
         Changes need a token of the role \"operate\", such as the one that an instance keeps in \
         `api-token` in its state folder: --token-file names another."
    )]
    Role {
        /// What was asked.
        url: String,
        /// What it says.
        message: String,
    },
    /// The instance refuses.
    #[error("{url} answers {status}: {message}")]
    Refused {
        /// What was asked.
        url: String,
        /// HTTP status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// The answer cannot be understood.
    #[error("{url} answers with {problem}, expected JSON of the API")]
    Answer {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The address cannot be asked.
    #[error("--url {url}: {problem}, expected something like https://sensor.example:9090")]
    Url {
        /// The address.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The token's file cannot be used.
    #[error("token of {origin}: {problem}")]
    TokenFile {
        /// Where the token comes from.
        origin: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The certificates cannot be used.
    #[error("--ca-file {}: {problem}", file.display())]
    CaFile {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The client could not be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

impl ClientError {
    /// A request that brought no answer.
    pub(super) fn unreachable(url: &str, error: &reqwest::Error) -> Self {
        Self::Unreachable {
            url: url.to_owned(),
            reason: innermost(error),
        }
    }

    /// A request that took too long.
    pub(super) fn slow(url: &str, limit: Duration) -> Self {
        Self::Unreachable {
            url: url.to_owned(),
            reason: format!("nothing within {} s", limit.as_secs()),
        }
    }

    /// The HTTP status, where the instance refused with one.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Token { .. } => Some(401),
            Self::Role { .. } => Some(403),
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// The innermost cause says what happened.
fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".to_owned();
    }
    let mut source: Option<&dyn std::error::Error> = std::error::Error::source(error);
    let mut text = error.to_string();
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    text
}
