//! Where documents go: one trait, one implementation per kind of destination.
//!
//! # Contract
//! A destination makes one attempt with a batch and says of every document what became of it
//! ([`Outcome`]). Retrying, waiting, routing, pacing and remembering are not its business: the sidecar's
//! delivery does that, the same way for all of them.
//!
//! What a destination cannot know it does not claim: a datagram is [`Outcome::Unconfirmed`], and a document
//! that was taken but is not safe yet is [`Outcome::Awaiting`] until [`Destination::confirm`] says more.
//!
//! # Limits
//! Secrets are named in the configuration by file or environment variable and never shown
//! ([`Secret`]). TLS is verified. Answers of servers are read up to a limit.

mod document;
mod elasticsearch;
mod fields;
mod file;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod guard;
mod hec;
mod http_client;
pub mod ocsf;
mod otlp;
#[cfg(test)]
mod peer;
mod preview;
mod route;
mod secret;
mod setting;
pub mod stix;
mod syslog;
mod template;
mod test_document;
mod tls;
mod webhook;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use document::{Document, Stream};
pub use elasticsearch::{Authentication, ElasticsearchConfig};
pub use file::FileConfig;
pub use hec::SplunkHecConfig;
pub use http_client::{Answer, HttpClient, HttpClientSettings, parse_url, secret_header};
pub use otlp::{OtlpBody, OtlpCompression, OtlpConfig, OtlpProtocol};
pub use preview::{PreviewTemplate, preview};
pub use route::{Condition, ConditionValue, MinimumSeverity, Route, RouteConfig};
pub use secret::{Secret, SecretError, SecretSource};
pub use setting::{SettingError, in_range};
pub use syslog::{Facility, SyslogConfig, SyslogFormat, SyslogTransport};
pub use template::{BuiltInTemplate, SampleDocument, sample_document};
pub use test_document::{TestOutcome, TestReport, test_destination};
pub use tls::TlsConfig;
pub use webhook::{TemplateVariable, WebhookConfig};

/// Joins a document that a destination has taken with its later confirmation. Unique among the documents
/// of one destination that wait for theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What became of one document in one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The destination has it.
    Delivered,
    /// The destination had it before: an earlier attempt's answer was lost.
    AlreadyThere,
    /// It was sent to where nothing answers (a datagram): nobody can say whether it arrived.
    Unconfirmed,
    /// The destination has taken it and will say later that it is safe ([`Destination::confirm`]). Until
    /// then the document stays in the outbox.
    Awaiting(Ticket),
    /// Not now; the same document may be taken later.
    Retry {
        /// What the destination said.
        reason: String,
        /// When the destination wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// Never.
    Refused {
        /// What the destination said.
        reason: String,
    },
}

impl Outcome {
    /// [`Self::Retry`] without a time at which to ask again.
    #[must_use]
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry {
            reason: reason.into(),
            retry_after: None,
        }
    }
}

/// What became of a document for which [`Outcome::Awaiting`] was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// It is safe.
    Delivered,
    /// It was not confirmed in time, or was given up: it must be sent again.
    Lost {
        /// Why.
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
    /// A failure without a time at which to ask again.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            retry_after: None,
        }
    }
}

impl From<AttemptError> for Outcome {
    /// For one document of those that the failure is about.
    fn from(error: AttemptError) -> Self {
        Self::Retry {
            reason: error.reason,
            retry_after: error.retry_after,
        }
    }
}

/// A place that documents are delivered to.
#[async_trait]
pub trait Destination: Send + Sync + std::fmt::Debug {
    /// Makes one attempt. Answers for every document, in their order.
    async fn deliver(&mut self, documents: &[Document]) -> Result<Vec<Outcome>, AttemptError>;

    /// What an attempt with these documents would send, without credentials; the reason when nothing can be
    /// made of them.
    fn rendered(&self, documents: &[Document]) -> Result<String, String> {
        let bodies: Vec<&str> = documents.iter().map(|it| it.body.as_str()).collect();
        Ok(bodies.join("\n"))
    }

    /// Asks what became of documents for which [`Outcome::Awaiting`] was said; those of which nothing new is
    /// known are left out. Called regularly while there are any.
    async fn confirm(&mut self) -> Result<Vec<(Ticket, Confirmation)>, AttemptError> {
        Ok(Vec::new())
    }
}

/// Configuration of a destination: what kind it is, and which documents it gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DestinationConfig {
    /// The settings of its kind.
    #[serde(flatten)]
    pub kind: DestinationKind,
    /// Which documents it gets, how many at a time and how fast.
    #[serde(default)]
    pub route: RouteConfig,
}

impl From<DestinationKind> for DestinationConfig {
    fn from(kind: DestinationKind) -> Self {
        Self {
            kind,
            route: RouteConfig::default(),
        }
    }
}

/// Configuration of a kind of destination, told apart by `type`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DestinationKind {
    /// A file of JSON lines.
    File(FileConfig),
    /// A data stream of Elasticsearch or OpenSearch.
    #[serde(alias = "opensearch")]
    Elasticsearch(ElasticsearchConfig),
    /// Syslog, over the network or on this machine.
    Syslog(SyslogConfig),
    /// OTLP logs, over gRPC or HTTP.
    Otlp(OtlpConfig),
    /// Splunk, by its HTTP event collector.
    SplunkHec(SplunkHecConfig),
    /// A webhook.
    Webhook(WebhookConfig),
}

impl Default for DestinationKind {
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
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The client could not be made.
    #[error("{0}")]
    Client(String),
}

/// What a destination is made in.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Folder for files whose place is not configured.
    pub data_directory: &'a Path,
    /// Namespace of the data streams.
    pub namespace: &'a str,
    /// Name of this detector in what it sends, where it has one.
    pub observer_name: Option<&'a str>,
}

impl DestinationConfig {
    /// Checks the values; `field` is the dotted name of this section.
    pub fn validate(&self, field: &str) -> Result<(), SettingError> {
        self.route.validate(&format!("{field}.route"))?;
        self.kind.validate(field)
    }
}

impl DestinationKind {
    /// Checks the values; `field` is the dotted name of this section.
    pub fn validate(&self, field: &str) -> Result<(), SettingError> {
        match self {
            Self::File(_) => Ok(()),
            Self::Elasticsearch(config) => config.validate(field),
            Self::Syslog(config) => config.validate(field),
            Self::Otlp(config) => config.validate(field),
            Self::SplunkHec(config) => config.validate(field),
            Self::Webhook(config) => config.validate(field),
        }
    }

    /// Reads and tries what `validate` cannot see: a webhook's template. Connects to nothing.
    pub fn check_files(&self) -> Result<(), BuildError> {
        match self {
            Self::Webhook(config) => config.check_template(),
            _ => Ok(()),
        }
    }

    /// Name of the kind, as in the configuration.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Elasticsearch(_) => "elasticsearch",
            Self::Syslog(_) => "syslog",
            Self::Otlp(_) => "otlp",
            Self::SplunkHec(_) => "splunk_hec",
            Self::Webhook(_) => "webhook",
        }
    }

    /// Reads secrets and makes the destination. Opens files, connects to nothing.
    pub fn build(
        &self,
        surroundings: &Surroundings<'_>,
    ) -> Result<Box<dyn Destination>, BuildError> {
        Ok(match self {
            Self::File(config) => Box::new(file::File::new(config, surroundings.data_directory)?),
            Self::Elasticsearch(config) => Box::new(elasticsearch::Elasticsearch::new(
                config,
                surroundings.namespace,
            )?),
            Self::Syslog(config) => {
                Box::new(syslog::Syslog::new(config, surroundings.observer_name)?)
            }
            Self::Otlp(config) => Box::new(otlp::Otlp::new(config, surroundings.observer_name)?),
            Self::SplunkHec(config) => {
                Box::new(hec::SplunkHec::new(config, surroundings.observer_name)?)
            }
            Self::Webhook(config) => Box::new(webhook::Webhook::new(config)?),
        })
    }
}
