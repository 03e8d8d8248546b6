//! OTLP/gRPC.

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use tonic::codec::CompressionEncoding;
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
    client: LogsServiceClient<Channel>,
    metadata: MetadataMap,
    timeout: Duration,
}

impl GrpcTarget {
    /// Makes the client; connects with the first request. Must be called inside a Tokio runtime.
    pub fn new(connection: &Connection) -> Result<Self, ConnectError> {
        let mut client = LogsServiceClient::new(channel(connection)?)
            .accept_compressed(CompressionEncoding::Gzip);
        if connection.compression == Compression::Gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        Ok(Self {
            client,
            metadata: metadata(connection),
            timeout: connection.timeout,
        })
    }
}

#[async_trait]
impl LogsTarget for GrpcTarget {
    async fn export(
        &self,
        request: &ExportLogsServiceRequest,
    ) -> Result<ExportLogsServiceResponse, ExportError> {
        let mut message = Request::new(request.clone());
        *message.metadata_mut() = self.metadata.clone();
        message.set_timeout(self.timeout);
        let mut client = self.client.clone();
        match tokio::time::timeout(self.timeout, client.export(message)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(classify(&status)),
            Err(_elapsed) => Err(ExportError::retryable(
                format!("no answer within {} s", self.timeout.as_secs_f64()),
                None,
            )),
        }
    }
}

/// A channel that connects when it is first used.
pub(in crate::otlp) fn channel(connection: &Connection) -> Result<Channel, ConnectError> {
    let mut endpoint = Endpoint::from(connection.endpoint.clone())
        .user_agent(USER_AGENT)
        .map_err(|error| ConnectError::client(connection, &error))?
        .connect_timeout(connection.timeout)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_while_idle(false);
    if connection.is_tls() {
        endpoint = endpoint
            .tls_config(tls(connection)?)
            .map_err(|error| ConnectError::client(connection, &error))?;
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
