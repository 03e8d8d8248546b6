//! OTLP over HTTP with protobuf bodies.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use prost::Message;
use reqwest::Url;

use super::{Failure, OtlpCompression, OtlpConfig};
use crate::http_client::{Answer, HttpClient, HttpClientSettings, shorten};
use crate::{AttemptError, BuildError};

/// A receiver over HTTP.
#[derive(Debug)]
pub(super) struct HttpTarget {
    client: HttpClient,
    url: Url,
    headers: HeaderMap,
    compression: OtlpCompression,
}

impl HttpTarget {
    pub(super) fn new(config: &OtlpConfig, url: Url) -> Result<Self, BuildError> {
        let timeout = Duration::from_secs(config.timeout_s);
        let mut headers = config.header_map()?;
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-protobuf"),
        );
        if config.compression == OtlpCompression::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(Self {
            client: HttpClient::new(HttpClientSettings::new(timeout, &config.tls))?,
            url,
            headers,
            compression: config.compression,
        })
    }

    pub(super) async fn export(
        &self,
        request: &ExportLogsServiceRequest,
    ) -> Result<ExportLogsServiceResponse, Failure> {
        let encoded = request.encode_to_vec();
        let body = match self.compression {
            OtlpCompression::None => encoded,
            OtlpCompression::Gzip => gzip(&encoded)
                .map_err(|error| Failure::Later(AttemptError::new(error.to_string())))?,
        };
        let sent = self
            .client
            .send(Method::POST, self.url.clone(), self.headers.clone(), body);
        let answer = sent.await.map_err(Failure::Later)?;
        if answer.status.is_success() {
            // The receiver took the request: an answer that cannot be read rejects nothing.
            return Ok(ExportLogsServiceResponse::decode(answer.body.as_slice()).unwrap_or_else(|error| {
                tracing::warn!(%error, "the receiver took a request, but its answer is no OTLP response");
                ExportLogsServiceResponse::default()
            }));
        }
        Err(classify(&answer))
    }
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// What the OTLP specification says of an answer.
fn classify(answer: &Answer) -> Failure {
    let reason = match explanation(answer) {
        Some(said) => format!("{}: {said}", answer.status),
        None => answer.reason(),
    };
    let later = |reason| {
        Failure::Later(AttemptError {
            reason,
            retry_after: answer.retry_after(),
        })
    };
    match answer.status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT
        // About us or the address, not about the documents.
        | StatusCode::UNAUTHORIZED
        | StatusCode::PAYMENT_REQUIRED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED
        | StatusCode::REQUEST_TIMEOUT => later(reason),
        status if status.is_client_error() || status.is_server_error() => Failure::Never(reason),
        _ => later(reason),
    }
}

/// The message of a `google.rpc.Status`, which a failed request's answer is.
fn explanation(answer: &Answer) -> Option<String> {
    let content_type = answer.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    if !content_type.starts_with("application/x-protobuf") {
        return None;
    }
    let status = tonic_types::Status::decode(answer.body.as_slice()).ok()?;
    Some(shorten(&status.message))
}
