//! [`Connection`]: endpoint, protocol, headers and TLS of one signal, resolved and checked.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::endpoint::{Endpoint, socket_of};
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

    /// URL of a signal below the base URL: HTTP has a path for each signal, gRPC and sockets have none.
    #[must_use]
    pub fn signal_url(self, base: &str, http_path: &str) -> String {
        match self {
            Self::Grpc => base.to_owned(),
            Self::HttpProtobuf if socket_of(base).is_some() => base.to_owned(),
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
    /// Zstandard: not in the OTLP specification, but Collectors take it.
    Zstd,
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
    /// Where the receiver listens (HTTP: with the signal's path).
    pub endpoint: Endpoint,
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
