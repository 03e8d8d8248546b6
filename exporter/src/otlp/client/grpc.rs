//! OTLP/gRPC.
//!
//! Requests come encoded, and the generated client takes none of these. So the call is made here, with a
//! codec that hands bytes through.

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, Bytes};
use http::uri::PathAndQuery;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message;
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use super::{ConnectError, USER_AGENT, chain, read_pem};
use crate::otlp::connection::{Compression, Connection};
use crate::otlp::{ExportError, LogsTarget};

/// A receiver of flow records over gRPC.
#[derive(Clone, Debug)]
pub struct GrpcTarget {
    client: Grpc<Channel>,
    metadata: MetadataMap,
    timeout: Duration,
}

impl GrpcTarget {
    /// Makes the client; connects with the first request. Must be called inside a Tokio runtime.
    pub fn new(connection: &Connection) -> Result<Self, ConnectError> {
        let mut client = Grpc::new(channel(connection)?)
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd);
        client = match connection.compression {
            Compression::None => client,
            Compression::Gzip => client.send_compressed(CompressionEncoding::Gzip),
            Compression::Zstd => client.send_compressed(CompressionEncoding::Zstd),
        };
        Ok(Self {
            client,
            metadata: metadata(connection),
            timeout: connection.timeout,
        })
    }
}

#[async_trait]
impl LogsTarget for GrpcTarget {
    async fn export(&self, request: Bytes) -> Result<ExportLogsServiceResponse, ExportError> {
        let mut message = Request::new(request);
        *message.metadata_mut() = self.metadata.clone();
        message.set_timeout(self.timeout);
        match tokio::time::timeout(self.timeout, call(self.client.clone(), message)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(ExportError::retryable(
                format!("no answer within {} s", self.timeout.as_secs_f64()),
                None,
            )),
        }
    }
}

async fn call(
    mut client: Grpc<Channel>,
    message: Request<Bytes>,
) -> Result<ExportLogsServiceResponse, ExportError> {
    const PATH: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    client
        .ready()
        .await
        .map_err(|error| ExportError::retryable(chain(&error), None))?;
    client
        .unary(message, PathAndQuery::from_static(PATH), EncodedCodec)
        .await
        .map(tonic::Response::into_inner)
        .map_err(|status| classify(&status))
}

/// Requests are encoded already; responses are decoded.
#[derive(Clone, Copy, Debug)]
struct EncodedCodec;

impl Codec for EncodedCodec {
    type Encode = Bytes;
    type Decode = ExportLogsServiceResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for EncodedCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for EncodedCodec {
    type Item = ExportLogsServiceResponse;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let decoded = ExportLogsServiceResponse::decode(buffer);
        // The receiver took the request: an answer that cannot be read rejects nothing.
        Ok(Some(decoded.unwrap_or_else(|error| {
            tracing::warn!(%error, "the receiver took a request, but its answer is no OTLP response");
            ExportLogsServiceResponse::default()
        })))
    }
}

/// A channel that connects when it is first used.
pub(in crate::otlp) fn channel(connection: &Connection) -> Result<Channel, ConnectError> {
    let failed = |error: tonic::transport::Error| ConnectError::client(connection, &error);
    let url = connection.endpoint.url().clone();
    let mut endpoint = match connection.endpoint.socket() {
        None => Endpoint::from(url),
        Some(path) => Endpoint::from_shared(format!("unix:{path}"))
            .map_err(failed)?
            .origin(url),
    };
    endpoint = endpoint
        .user_agent(USER_AGENT)
        .map_err(failed)?
        .connect_timeout(connection.timeout)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_while_idle(false);
    if connection.endpoint.is_tls() {
        endpoint = endpoint.tls_config(tls(connection)?).map_err(failed)?;
    }
    Ok(endpoint.connect_lazy())
}

fn tls(connection: &Connection) -> Result<ClientTlsConfig, ConnectError> {
    let files = &connection.tls;
    let mut tls = ClientTlsConfig::new();
    tls = match &files.certificate {
        Some(path) => tls.ca_certificate(Certificate::from_pem(read_pem(path)?)),
        None => tls.with_enabled_roots(),
    };
    if let (Some(certificate), Some(key)) = (&files.client_certificate, &files.client_key) {
        tls = tls.identity(Identity::from_pem(read_pem(certificate)?, read_pem(key)?));
    }
    Ok(tls)
}

/// Headers as gRPC metadata; the configuration has checked them.
pub(in crate::otlp) fn metadata(connection: &Connection) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    for (name, value) in &connection.headers {
        let key = name.to_ascii_lowercase().parse::<AsciiMetadataKey>();
        if let (Ok(key), Ok(mut value)) = (key, value.reveal().parse::<AsciiMetadataValue>()) {
            value.set_sensitive(true);
            metadata.insert(key, value);
        } else {
            tracing::warn!(name, "header cannot be gRPC metadata and is not sent");
        }
    }
    metadata
}

/// What the OTLP specification says of a status.
fn classify(status: &Status) -> ExportError {
    let message = format!("{:?}: {}", status.code(), explain(status));
    let retry_after = status
        .get_details_retry_info()
        .map(|info| info.retry_delay.unwrap_or_default());
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => ExportError::retryable(message, retry_after),
        // A receiver that can recover from exhaustion says when.
        Code::ResourceExhausted if retry_after.is_some() => {
            ExportError::retryable(message, retry_after)
        }
        // A status with a cause was made here and not by the receiver: the connection broke.
        Code::Unknown | Code::Internal if status.source().is_some() => {
            ExportError::retryable(message, None)
        }
        _ => ExportError::permanent(message),
    }
}

fn explain(status: &Status) -> String {
    match status.source() {
        Some(cause) => format!("{}: {}", status.message(), chain(cause)),
        None => status.message().to_owned(),
    }
}
