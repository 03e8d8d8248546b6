//! Targets over the network.
//!
//! - [`grpc`]: over gRPC
//! - [`http`]: over HTTP, with protobuf bodies
//! - `body`: what these bodies are packed by
//!
//! Which failures may be repeated follows the OTLP specification; a connection that cannot be made or
//! breaks, and an attempt that takes too long, may be repeated too.

mod body;
pub mod grpc;
pub mod http;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::LogsTarget;
use super::connection::{Connection, Protocol};
pub(super) use body::pack;

/// Why a client cannot be made. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A PEM file cannot be read.
    #[error("cannot read the TLS file {}: {source}", path.display())]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The TLS files or the endpoint do not make a client.
    #[error("cannot make an OTLP client for {endpoint}: {reason}")]
    Client {
        /// The endpoint.
        endpoint: String,
        /// Why.
        reason: String,
    },
}

impl ConnectError {
    fn client(connection: &Connection, error: &dyn std::error::Error) -> Self {
        Self::Client {
            endpoint: connection.endpoint.to_string(),
            reason: chain(error),
        }
    }
}

/// A target for flow records. Connects when the first request is sent, so that the receiver may start later.
pub fn connect(connection: &Connection) -> Result<Arc<dyn LogsTarget>, ConnectError> {
    Ok(match connection.protocol {
        Protocol::Grpc => Arc::new(grpc::GrpcTarget::new(connection)?),
        Protocol::HttpProtobuf => Arc::new(http::HttpTarget::new(connection)?),
    })
}

const USER_AGENT: &str = concat!("beaconwatch-exporter/", env!("CARGO_PKG_VERSION"));

fn read_pem(path: &Path) -> Result<Vec<u8>, ConnectError> {
    std::fs::read(path).map_err(|source| ConnectError::TlsFile {
        path: path.to_owned(),
        source,
    })
}

/// An error with its causes: the outermost alone often says only "transport error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
