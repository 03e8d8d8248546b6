//! OTLP/HTTP with protobuf bodies.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message;
use reqwest::redirect::Policy;

use super::{ConnectError, USER_AGENT, chain, pack, read_pem};
use crate::otlp::connection::{Compression, Connection};
use crate::otlp::{ExportError, LogsTarget};

/// Longest answer that is read.
pub(in crate::otlp) const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// A receiver of flow records over HTTP.
#[derive(Clone, Debug)]
pub struct HttpTarget {
    client: reqwest::Client,
    url: String,
    compression: Compression,
}

impl HttpTarget {
    /// Makes the client; connects with the first request.
    pub fn new(connection: &Connection) -> Result<Self, ConnectError> {
        Ok(Self {
            client: client(connection)?,
            url: connection.endpoint.url().to_string(),
            compression: connection.compression,
        })
    }
}

#[async_trait]
impl LogsTarget for HttpTarget {
    async fn export(&self, request: Bytes) -> Result<ExportLogsServiceResponse, ExportError> {
        let mut post = self
            .client
            .post(&self.url)
            .header(CONTENT_TYPE, "application/x-protobuf");
        let (body, encoding) = pack(request, self.compression)
            .map_err(|error| ExportError::permanent(format!("cannot compress: {error}")))?;
        if let Some(encoding) = encoding {
            post = post.header(CONTENT_ENCODING, encoding);
        }
        post = post.body(body);
        let mut response = post.send().await.map_err(|error| broken(&error))?;
        let status = response.status();
        if status.is_success() {
            let body = read_answer(&mut response)
                .await
                .map_err(|error| broken(&error))?;
            return Ok(accepted(body));
        }
        let retry_after = retry_after(response.headers(), SystemTime::now());
        // The answer only explains the failure: one that cannot be read changes nothing.
        let body = read_answer(&mut response).await.ok().flatten();
        let message = explain(status, body.as_deref());
        Err(match status.as_u16() {
            429 | 502 | 503 | 504 => ExportError::retryable(message, retry_after),
            _ => ExportError::permanent(message),
        })
    }
}

/// A client with the connection's timeout, headers and TLS. It follows no redirect: that would carry the
/// headers, secrets among them, to a place that nobody configured.
pub(in crate::otlp) fn client(connection: &Connection) -> Result<reqwest::Client, ConnectError> {
    let failed = |error: reqwest::Error| ConnectError::client(connection, &error);
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .timeout(connection.timeout)
        .redirect(Policy::none())
        .default_headers(headers(connection));
    if let Some(path) = connection.endpoint.socket() {
        builder = builder.unix_socket(path);
    }
    let files = &connection.tls;
    if let Some(path) = &files.certificate {
        builder = builder.tls_built_in_root_certs(false);
        for root in reqwest::Certificate::from_pem_bundle(&read_pem(path)?).map_err(failed)? {
            builder = builder.add_root_certificate(root);
        }
    }
    if let (Some(certificate), Some(key)) = (&files.client_certificate, &files.client_key) {
        let mut pem = read_pem(certificate)?;
        pem.push(b'\n');
        pem.extend(read_pem(key)?);
        builder = builder.identity(reqwest::Identity::from_pem(&pem).map_err(failed)?);
    }
    builder.build().map_err(failed)
}

/// The configuration has checked names and values.
fn headers(connection: &Connection) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &connection.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_str(value.reveal())) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers
}

/// The answer's body; `None` when it is longer than [`MAX_ANSWER_BYTES`].
pub(in crate::otlp) async fn read_answer(
    response: &mut reqwest::Response,
) -> Result<Option<Bytes>, reqwest::Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body.freeze()))
}

/// 2xx means taken; an answer that is no OTLP response (some proxies send their own) rejects nothing.
fn accepted(body: Option<Bytes>) -> ExportLogsServiceResponse {
    let decoded = body.and_then(|body| ExportLogsServiceResponse::decode(body).ok());
    decoded.unwrap_or_else(|| {
        tracing::warn!("the receiver took a request, but its answer is no OTLP response");
        ExportLogsServiceResponse::default()
    })
}

/// Failures below HTTP: the connection could not be made, broke, or took too long.
fn broken(error: &reqwest::Error) -> ExportError {
    if error.is_builder() {
        ExportError::permanent(chain(error))
    } else {
        ExportError::retryable(chain(error), None)
    }
}

/// Seconds or an HTTP date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// The status, and what the body says: OTLP receivers answer with a `google.rpc.Status`, others with text.
fn explain(status: StatusCode, body: Option<&[u8]>) -> String {
    const LONGEST: usize = 300;
    let body = body.unwrap_or_default();
    let text = match tonic_types::Status::decode(body) {
        Ok(decoded) if !decoded.message.is_empty() => decoded.message,
        _ => String::from_utf8_lossy(body).into_owned(),
    };
    let text: String = text
        .chars()
        .filter(|letter| !letter.is_control())
        .take(LONGEST)
        .collect();
    if text.is_empty() {
        format!("HTTP {status}")
    } else {
        format!("HTTP {status}: {text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(value: &'static str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        retry_after(&headers, now)
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        assert_eq!(wait("120"), Some(Duration::from_mins(2)));
        assert_eq!(
            wait("Sun, 06 Nov 1994 08:50:37 GMT"),
            Some(Duration::from_mins(1))
        );
        assert_eq!(wait("Sun, 06 Nov 1994 08:40:37 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("-5"), None);
        assert_eq!(wait("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), SystemTime::now()), None);
    }

    #[test]
    fn an_explanation_is_short_and_has_no_control_characters() {
        let long = [b'x'; 10_000];
        assert!(explain(StatusCode::BAD_REQUEST, Some(&long)).len() < 400);
        let text = explain(StatusCode::BAD_REQUEST, Some(b"\x1b[31mno\nway"));
        assert_eq!(text, "HTTP 400 Bad Request: [31mnoway");
        assert_eq!(
            explain(StatusCode::BAD_GATEWAY, None),
            "HTTP 502 Bad Gateway"
        );
    }
}
