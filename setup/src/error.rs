//! What can go wrong, and what to do about it.

use std::fmt;

use beaconwatch_destinations::BuildError;

use crate::journal::JournalError;

/// Why a setup did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The address of a server cannot be used.
    #[error("{url:?} is no address of a server: expected {expected}")]
    Address {
        /// What was given.
        url: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A secret or a certificate cannot be used.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// No answer.
    #[error("{url} does not answer: {reason}")]
    Unreachable {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
    /// The server does not know who we are.
    #[error("{url} refuses the credentials: {reason}")]
    Credentials {
        /// The address.
        url: String,
        /// What it said.
        reason: String,
    },
    /// Something else answers.
    #[error("{url} is no {expected}: {found}")]
    OtherServer {
        /// The address.
        url: String,
        /// What was expected.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// The server is too old.
    #[error("{product} at {url} is {found}, expected {needed} or newer")]
    TooOld {
        /// The address.
        url: String,
        /// What it is.
        product: &'static str,
        /// Its version.
        found: String,
        /// The oldest that will do.
        needed: &'static str,
    },
    /// The preflight found what stands in the way; nothing was changed.
    #[error("nothing was changed, because of {}:{}", counted(.0.len()), Listed(.0))]
    Problems(Vec<Problem>),
    /// The server refused a change; what was done before it stands in the journal.
    #[error("{object} was refused: {reason}")]
    Refused {
        /// Kind and name of the object.
        object: String,
        /// What the server said.
        reason: String,
    },
    /// A question was not answered.
    #[error("cannot read {object}: {reason}")]
    Unreadable {
        /// What was asked for.
        object: String,
        /// What the server said.
        reason: String,
    },
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Something that stands in the way of a setup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub advice: String,
}

impl Problem {
    /// What is wrong and what to do.
    pub(crate) fn new(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            advice: advice.into(),
        }
    }
}

fn counted(problems: usize) -> String {
    match problems {
        1 => "a problem".to_owned(),
        more => format!("{more} problems"),
    }
}

/// Problems, a line each with the advice below.
struct Listed<'a>(&'a [Problem]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.0 {
            write!(formatter, "\n- {}\n  {}", problem.what, problem.advice)?;
        }
        Ok(())
    }
}

impl SetupError {
    /// What the user can do.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { reason, .. } if reason.contains("certificate") => Some(
                "The server's certificate is not trusted: give the authority that signed it with --ca-file (PEM).",
            ),
            Self::Unreachable { .. } => Some(
                "Is the address right, with http or https and the port (stores listen on 9200, Kibana and Dashboards on \
                 5601, Splunk's HEC on 8088)? Proxies of the environment are not used.",
            ),
            Self::Credentials { .. } => Some(
                "Give an API key in its encoded form with --api-key-file, or --user and --password-file. A key may have \
                 expired or been revoked.",
            ),
            Self::TooOld { .. } => Some(
                "Update the server. Without setup the sidecar still makes the index template that it needs.",
            ),
            Self::Refused { reason, .. } | Self::Unreadable { reason, .. }
                if reason.starts_with("403") =>
            {
                Some(
                    "The credentials lack a right for this: docs/elastic.md and docs/opensearch.md list what a setup needs; \
                     --without leaves parts out (pipelines, lifecycle, transforms, dashboards, rules). What was done before, if \
                     anything, stands in the journal: run it again, or with --remove to undo it.",
                )
            }
            Self::Refused { .. } => Some(
                "What was done before stands in the journal: run the same command again when the cause is gone, or with \
                 --remove to undo it.",
            ),
            Self::Journal(error) => Some(error.advice()),
            _ => None,
        }
    }
}
