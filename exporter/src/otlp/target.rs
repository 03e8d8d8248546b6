//! [`LogsTarget`]: where requests go. An error carries the decision whether to try again.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;

/// A receiver of OTLP logs: over the network, or in the same process.
#[async_trait]
pub trait LogsTarget: Send + Sync {
    /// Hands over one encoded `ExportLogsServiceRequest`. `Ok` means that the receiver took it; the response
    /// may reject single records.
    async fn export(&self, request: Bytes) -> Result<ExportLogsServiceResponse, ExportError>;
}

/// Why a request was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExportError {
    message: String,
    retry: Retry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    Never,
    Later(Option<Duration>),
}

impl ExportError {
    /// The same request may succeed later; not before `after` when the receiver named a time.
    pub fn retryable(message: impl Into<String>, after: Option<Duration>) -> Self {
        Self {
            message: message.into(),
            retry: Retry::Later(after),
        }
    }

    /// The same request will never succeed.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            retry: Retry::Never,
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self.retry, Retry::Later(_))
    }

    /// How long the receiver asked to wait.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.retry {
            Retry::Later(after) => after,
            Retry::Never => None,
        }
    }
}
