//! Where documents go: one trait, one implementation per kind of destination.
//!
//! A destination makes one attempt with a batch and says of every document what became of it. Retrying,
//! waiting and remembering are the business of [`crate::deliver`].

mod elasticsearch;
mod file;
mod secret;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use elasticsearch::{Authentication, ElasticsearchConfig};
pub use file::FileConfig;
pub use secret::{Secret, SecretError, SecretSource};

use crate::config::ConfigError;
use crate::store::Document;

/// What became of one document in one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The destination has it.
    Delivered,
    /// The destination had it before: an earlier attempt's answer was lost.
    AlreadyThere,
    /// Not now; the same document may be taken later.
    Retry {
        /// What the destination said.
        reason: String,
    },
    /// Never.
    Refused {
        /// What the destination said.
        reason: String,
    },
}

/// Why an attempt failed as a whole: all of its documents will be tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct AttemptError {
    /// What went wrong.
    pub reason: String,
    /// When the destination wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl AttemptError {
    fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            retry_after: None,
        }
    }
}

/// A place that documents are delivered to.
#[async_trait]
pub trait Destination: Send + Sync + std::fmt::Debug {
    /// Makes one attempt. Answers for every document, in their order.
    async fn deliver(&mut self, documents: &[Document]) -> Result<Vec<Outcome>, AttemptError>;
}

/// Configuration of a destination, told apart by `type`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DestinationConfig {
    /// A file of JSON lines.
    File(FileConfig),
    /// A data stream of Elasticsearch or OpenSearch.
    #[serde(alias = "opensearch")]
    Elasticsearch(ElasticsearchConfig),
}

impl Default for DestinationConfig {
    fn default() -> Self {
        Self::File(FileConfig::default())
    }
}

/// Why a destination could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A secret could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A file could not be used.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The client could not be made.
    #[error("{0}")]
    Client(String),
}

impl DestinationConfig {
    /// Checks the values; `field` is the dotted name of this section.
    pub(crate) fn validate(&self, field: &str) -> Result<(), ConfigError> {
        match self {
            Self::File(_) => Ok(()),
            Self::Elasticsearch(config) => config.validate(field),
        }
    }

    /// Name of the kind, as in the configuration.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Elasticsearch(_) => "elasticsearch",
        }
    }

    /// Reads secrets and makes the destination. Opens files, connects to nothing.
    pub(crate) fn build(
        &self,
        data_directory: &Path,
        namespace: &str,
    ) -> Result<Box<dyn Destination>, BuildError> {
        Ok(match self {
            Self::File(config) => Box::new(file::File::new(config, data_directory)?),
            Self::Elasticsearch(config) => {
                Box::new(elasticsearch::Elasticsearch::new(config, namespace)?)
            }
        })
    }
}
