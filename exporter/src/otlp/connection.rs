//! [`Connection`]: endpoint, protocol, headers and TLS of one signal, resolved and checked.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use serde::{Deserialize, Serialize};

use crate::config::Headers;

/// OTLP transport.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema, clap::ValueEnum,
)]
pub enum Protocol {
    /// gRPC.
    #[serde(rename = "grpc")]
    #[value(name = "grpc")]
    Grpc,
    /// HTTP with protobuf bodies.
    #[serde(rename = "http/protobuf")]
    #[value(name = "http/protobuf")]
    HttpProtobuf,
}

impl Protocol {
    /// Endpoint when none is configured.
    #[must_use]
    pub const fn default_endpoint(self) -> &'static str {
        match self {
            Self::Grpc => "http://localhost:4317",
            Self::HttpProtobuf => "http://localhost:4318",
        }
    }

    /// URL of a signal below the base URL: HTTP has a path for each signal, gRPC has none.
    #[must_use]
    pub fn signal_url(self, base: &str, http_path: &str) -> String {
        match self {
            Self::Grpc => base.to_owned(),
            Self::HttpProtobuf => format!("{}{http_path}", base.trim_end_matches('/')),
        }
    }
}

/// Compression of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// None.
    None,
    /// gzip.
    Gzip,
}

/// PEM files for TLS; used when the endpoint's scheme is `https`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates that may sign the receiver's.
    pub certificate: Option<PathBuf>,
    /// Certificate chain of the client.
    pub client_certificate: Option<PathBuf>,
    /// Private key of the client.
    pub client_key: Option<PathBuf>,
}

/// How one signal is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// URL of the receiver (HTTP: with the signal's path).
    pub endpoint: Uri,
    /// Transport.
    pub protocol: Protocol,
    /// Compression of requests.
    pub compression: Compression,
    /// Longest time for one attempt.
    pub timeout: Duration,
    /// Headers of every request.
    pub headers: Headers,
    /// TLS files.
    pub tls: Tls,
}

impl Connection {
    /// Reads an endpoint; the error says what was expected.
    pub fn parse_endpoint(text: &str) -> Result<Uri, String> {
        const EXPECTED: &str = "a URL such as http://collector:4317 or https://collector:4318";
        let uri: Uri = text
            .parse()
            .map_err(|error| format!("{EXPECTED} ({error})"))?;
        let scheme_known = matches!(uri.scheme_str(), Some("http" | "https"));
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        if scheme_known && has_host {
            Ok(uri)
        } else {
            Err(EXPECTED.to_owned())
        }
    }

    /// Whether the endpoint is reached over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.endpoint.scheme_str() == Some("https")
    }
}
