//! `[exporter.otlp]`: the keys of the standard `OTEL_EXPORTER_OTLP_*` variables, for all signals and, in
//! `[exporter.otlp.logs]` and `[exporter.otlp.metrics]`, for one.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_with::{DurationSecondsWithFrac, serde_as};

use super::{ConfigError, Headers};
use crate::otlp::connection::{Compression, Connection, Protocol, Tls};
use crate::otlp::endpoint::Endpoint;

/// Where OTLP goes, and how.
#[serde_as]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    /// Base URL; for HTTP `/v1/logs` and `/v1/metrics` are appended. When absent:
    /// `http://localhost:4317` (gRPC) or `http://localhost:4318` (HTTP). A Unix socket is
    /// `unix:///run/otelcol.sock`.
    pub endpoint: Option<String>,
    /// `grpc` or `http/protobuf`.
    pub protocol: Protocol,
    /// Headers of every request.
    pub headers: Headers,
    /// `none`, `gzip` or `zstd`.
    pub compression: Compression,
    /// Longest time for one attempt.
    #[serde_as(as = "DurationSecondsWithFrac<f64>")]
    pub timeout_s: Duration,
    /// PEM file with the certificates that may sign the receiver's; the public web's when absent.
    pub certificate: Option<PathBuf>,
    /// PEM file with the client's certificate chain.
    pub client_certificate: Option<PathBuf>,
    /// PEM file with the client's private key.
    pub client_key: Option<PathBuf>,
    /// What differs for flow records.
    pub logs: SignalOverrides,
    /// What differs for metrics.
    pub metrics: SignalOverrides,
}

/// What differs for one signal.
#[serde_as]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SignalOverrides {
    /// URL, used as it is, or a Unix socket.
    pub endpoint: Option<String>,
    /// `grpc` or `http/protobuf`.
    pub protocol: Option<Protocol>,
    /// Headers instead of the general ones.
    pub headers: Option<Headers>,
    /// `none`, `gzip` or `zstd`.
    pub compression: Option<Compression>,
    /// Longest time for one attempt.
    #[serde_as(as = "Option<DurationSecondsWithFrac<f64>>")]
    pub timeout_s: Option<Duration>,
    /// PEM file with the certificates that may sign the receiver's.
    pub certificate: Option<PathBuf>,
    /// PEM file with the client's certificate chain.
    pub client_certificate: Option<PathBuf>,
    /// PEM file with the client's private key.
    pub client_key: Option<PathBuf>,
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            endpoint: None,
            protocol: Protocol::Grpc,
            headers: Headers::new(),
            compression: Compression::None,
            timeout_s: Duration::from_secs(10),
            certificate: None,
            client_certificate: None,
            client_key: None,
            logs: SignalOverrides::default(),
            metrics: SignalOverrides::default(),
        }
    }
}

impl Otlp {
    /// Whether any layer named a receiver.
    #[must_use]
    pub const fn has_endpoint(&self) -> bool {
        self.endpoint.is_some() || self.logs.endpoint.is_some() || self.metrics.endpoint.is_some()
    }

    /// How flow records are sent.
    pub fn logs_connection(&self) -> Result<Connection, ConfigError> {
        self.connection(&self.logs, "logs", "/v1/logs")
    }

    /// How metrics are sent.
    pub fn metrics_connection(&self) -> Result<Connection, ConfigError> {
        self.connection(&self.metrics, "metrics", "/v1/metrics")
    }

    fn connection(
        &self,
        signal: &SignalOverrides,
        name: &str,
        http_path: &'static str,
    ) -> Result<Connection, ConfigError> {
        let protocol = signal.protocol.unwrap_or(self.protocol);
        let (key, endpoint) = match (&signal.endpoint, &self.endpoint) {
            (Some(exact), _) => (format!("otlp.{name}.endpoint"), exact.clone()),
            (None, base) => {
                let base = base.as_deref().unwrap_or(protocol.default_endpoint());
                (
                    "otlp.endpoint".to_owned(),
                    protocol.signal_url(base, http_path),
                )
            }
        };
        Ok(Connection {
            endpoint: Endpoint::parse(&endpoint, http_path).map_err(|expected| {
                ConfigError::invalid(&key, format_args!("`{endpoint}`"), &expected)
            })?,
            protocol,
            compression: signal.compression.unwrap_or(self.compression),
            timeout: self.timeout(signal)?,
            headers: checked(signal.headers.as_ref().unwrap_or(&self.headers), name)?,
            tls: Tls {
                certificate: either(signal.certificate.as_ref(), self.certificate.as_ref()),
                client_certificate: either(
                    signal.client_certificate.as_ref(),
                    self.client_certificate.as_ref(),
                ),
                client_key: either(signal.client_key.as_ref(), self.client_key.as_ref()),
            },
        })
    }

    fn timeout(&self, signal: &SignalOverrides) -> Result<Duration, ConfigError> {
        let timeout = signal.timeout_s.unwrap_or(self.timeout_s);
        if timeout.is_zero() || timeout > Duration::from_hours(1) {
            let expected = "more than 0 to 3600 seconds";
            return Err(ConfigError::invalid(
                "otlp.timeout_s",
                timeout.as_secs_f64(),
                expected,
            ));
        }
        Ok(timeout)
    }
}

fn either(signal: Option<&PathBuf>, general: Option<&PathBuf>) -> Option<PathBuf> {
    signal.or(general).cloned()
}

/// Header names and values that HTTP allows. A value is never repeated in the error.
fn checked(headers: &Headers, signal: &str) -> Result<Headers, ConfigError> {
    for (name, value) in headers {
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            let key = format!("otlp.headers ({signal})");
            return Err(ConfigError::invalid(
                &key,
                format_args!("`{name}`"),
                "a header name",
            ));
        }
        if http::HeaderValue::from_str(value.reveal()).is_err() {
            let key = format!("otlp.headers.{name} ({signal})");
            return Err(ConfigError::invalid(
                &key,
                "[redacted]",
                "a header value in visible ASCII",
            ));
        }
    }
    Ok(headers.clone())
}
