//! OTLP over gRPC.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use reqwest::Url;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use super::{CONNECT_TIMEOUT, Failure, OtlpCompression, OtlpConfig};
use crate::http_client::{describe, shorten};
use crate::{AttemptError, BuildError};

/// Largest answer that is read, before and after decompression.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// A receiver over gRPC.
#[derive(Debug)]
pub(super) struct GrpcTarget {
    client: LogsServiceClient<Channel>,
    metadata: MetadataMap,
    timeout: Duration,
}

impl GrpcTarget {
    /// Connects with the first request. Must be called inside a Tokio runtime.
    pub(super) fn new(config: &OtlpConfig, url: &Url) -> Result<Self, BuildError> {
        // The Collector compresses its answer to a compressed request, asked or not.
        let mut client = LogsServiceClient::new(channel(config, url)?)
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MAX_ANSWER_BYTES);
        if config.compression == OtlpCompression::Gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        Ok(Self {
            client,
            metadata: MetadataMap::from_headers(config.header_map()?),
            timeout: Duration::from_secs(config.timeout_s),
        })
    }

    pub(super) async fn export(
        &self,
        request: ExportLogsServiceRequest,
    ) -> Result<ExportLogsServiceResponse, Failure> {
        let mut message = Request::new(request);
        *message.metadata_mut() = self.metadata.clone();
        message.set_timeout(self.timeout);
        let mut client = self.client.clone();
        match tokio::time::timeout(self.timeout, client.export(message)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(classify(&status)),
            Err(_elapsed) => Err(Failure::Later(AttemptError::new(format!(
                "no answer within {} s",
                self.timeout.as_secs()
            )))),
        }
    }
}

/// Any connection that HTTP/2 is spoken on.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A channel that connects when it is first used.
fn channel(config: &OtlpConfig, url: &Url) -> Result<Channel, BuildError> {
    let failed = |error: &dyn std::error::Error| BuildError::Client(describe(error));
    let origin: Uri = url.as_str().parse().map_err(|error| failed(&error))?;
    // TLS is made by our own connector: for tonic the scheme is plain.
    let mut plain = url.clone();
    let port = url.port_or_known_default().unwrap_or(4317);
    if plain.set_scheme("http").is_err() || plain.set_port(Some(port)).is_err() {
        return Err(BuildError::Client(format!("{url} cannot be connected to")));
    }
    let endpoint = Endpoint::from_shared(plain.to_string())
        .map_err(|error| failed(&error))?
        .origin(origin)
        .user_agent(concat!("beaconwatch/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| failed(&error))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_while_idle(false);
    let host = url.host_str().unwrap_or_default();
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let tls = match url.scheme() {
        "https" => {
            let mut tls = config.tls.client_config()?;
            tls.alpn_protocols = vec![b"h2".to_vec()];
            let name = ServerName::try_from(host.clone()).map_err(|error| failed(&error))?;
            Some((TlsConnector::from(Arc::new(tls)), name))
        }
        _ => None,
    };
    Ok(
        endpoint.connect_with_connector_lazy(tower::service_fn(move |_uri: Uri| {
            connect(host.clone(), port, tls.clone())
        })),
    )
}

async fn connect(
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
) -> io::Result<TokioIo<Box<dyn Io>>> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let stream: Box<dyn Io> = match tls {
        Some((connector, name)) => Box::new(connector.connect(name, stream).await?),
        None => Box::new(stream),
    };
    Ok(TokioIo::new(stream))
}

/// What the OTLP specification says of a status.
fn classify(status: &Status) -> Failure {
    let cause = status
        .source()
        .map(|cause| format!(": {}", describe(cause)));
    let said = shorten(status.message());
    let reason = format!("{:?}: {said}{}", status.code(), cause.unwrap_or_default());
    let retry_info = status.get_details_retry_info();
    let retry_after = retry_info.map(|info| info.retry_delay.unwrap_or_default());
    let broken = status.source().is_some();
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss
        // About us or the address, not about the documents.
        | Code::Unauthenticated
        | Code::PermissionDenied
        | Code::Unimplemented
        | Code::NotFound => Failure::Later(AttemptError { reason, retry_after }),
        // A receiver that can recover from exhaustion says when.
        Code::ResourceExhausted if retry_after.is_some() => {
            Failure::Later(AttemptError { reason, retry_after })
        }
        // A status with a cause was made here and not by the receiver: the connection broke.
        Code::Unknown | Code::Internal if broken => {
            Failure::Later(AttemptError { reason, retry_after })
        }
        _ => Failure::Never(reason),
    }
}
