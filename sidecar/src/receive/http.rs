//! OTLP over HTTP: `POST /v1/logs`, Protocol Buffers or JSON, plain or gzip.
//!
//! Answers as the specification asks: the response has the request's encoding; every error carries a
//! `google.rpc.Status`; 400 and 401 are final, 503 comes with `Retry-After`.
//! See <https://opentelemetry.io/docs/specs/otlp/#otlphttp>.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message;
use tokio::sync::Semaphore;
use tonic::Code;

use super::access::Unauthenticated;
use super::body::{self, BodyError};
use super::json::{self, JsonError};
use super::{AcceptError, DecodeError, Receiver, Senders};

/// JSON bodies that are read at a time: they take many times their size in memory.
const JSON_REQUESTS: usize = 2;

#[derive(Clone, Debug)]
struct Logs {
    receiver: Receiver,
    senders: Senders,
    json_requests: Arc<Semaphore>,
}

/// The routes of the HTTP receiver.
pub(crate) fn http_router(receiver: Receiver, senders: Senders) -> Router {
    let json_requests = Arc::new(Semaphore::new(JSON_REQUESTS));
    Router::new()
        .route("/v1/logs", post(export))
        .with_state(Logs {
            receiver,
            senders,
            json_requests,
        })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        match content_type
            .split(';')
            .next()?
            .trim()
            .to_ascii_lowercase()
            .as_str()
        {
            "application/x-protobuf" => Some(Self::Protobuf),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    const fn content_type(self) -> HeaderValue {
        match self {
            Self::Protobuf => HeaderValue::from_static("application/x-protobuf"),
            Self::Json => HeaderValue::from_static("application/json"),
        }
    }
}

/// Why a request is answered with an error.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error(transparent)]
    Unauthenticated(#[from] Unauthenticated),
    #[error("content type is {0:?}, expected application/x-protobuf or application/json")]
    ContentType(String),
    #[error("content encoding is {0:?}, expected gzip or identity")]
    ContentEncoding(String),
    #[error("the body did not come within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error(transparent)]
    Accept(#[from] AcceptError),
}

impl ExportError {
    fn status(&self) -> (StatusCode, Code) {
        match self {
            Self::Unauthenticated(_) => (StatusCode::UNAUTHORIZED, Code::Unauthenticated),
            Self::ContentType(_) | Self::ContentEncoding(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument)
            }
            Self::Timeout(_) => (StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded),
            Self::Body(BodyError::TooLarge { .. } | BodyError::TooLargeInside { .. })
            | Self::Json(JsonError::TooManyObjects { .. })
            | Self::Accept(AcceptError::Decode(DecodeError::TooManyRecords { .. })) => {
                (StatusCode::PAYLOAD_TOO_LARGE, Code::InvalidArgument)
            }
            Self::Body(_)
            | Self::Json(_)
            | Self::Accept(AcceptError::Decode(_) | AcceptError::Telemetry(_)) => {
                (StatusCode::BAD_REQUEST, Code::InvalidArgument)
            }
            Self::Accept(_) => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Accept(error) => error.retry_after(),
            _ => None,
        }
    }
}

async fn export(State(logs): State<Logs>, request: Request) -> Response {
    let encoding = Encoding::of(request.headers());
    match accept(&logs, encoding, request).await {
        Ok((encoding, response)) => success(encoding, &response),
        Err(error) => {
            match error {
                // The receiver counts what it refuses itself.
                ExportError::Accept(_) => {}
                ExportError::Unauthenticated(_) => logs.receiver.count_unauthenticated(),
                _ => logs.receiver.count_refused(),
            }
            failure(encoding.unwrap_or(Encoding::Json), &error)
        }
    }
}

async fn accept(
    logs: &Logs,
    encoding: Option<Encoding>,
    request: Request,
) -> Result<(Encoding, ExportLogsServiceResponse), ExportError> {
    logs.senders.admit(request.headers())?;
    let encoding = encoding
        .ok_or_else(|| ExportError::ContentType(header(request.headers(), &CONTENT_TYPE)))?;
    let _admitted = logs.receiver.admit().await?;
    let _json = match encoding {
        Encoding::Json => logs.json_requests.acquire().await.ok(),
        Encoding::Protobuf => None,
    };
    let plain = plain_body(&logs.receiver, request).await?;
    let response = match encoding {
        Encoding::Protobuf => logs.receiver.accept_encoded(&plain).await?,
        Encoding::Json => {
            let request = json::to_protobuf(&plain, logs.receiver.config().max_body_bytes)?;
            drop(plain);
            logs.receiver.accept_encoded(&request).await?
        }
    };
    Ok((encoding, response))
}

async fn plain_body(receiver: &Receiver, request: Request) -> Result<Bytes, ExportError> {
    let limit = receiver.config().max_body_bytes;
    let declared = request.headers().get(CONTENT_LENGTH);
    let declared = declared.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(BodyError::TooLarge { limit }.into());
    }
    let content_encoding = header(request.headers(), &CONTENT_ENCODING).to_ascii_lowercase();
    let gzip = match content_encoding.as_str() {
        "" | "identity" => false,
        "gzip" => true,
        _ => return Err(ExportError::ContentEncoding(content_encoding)),
    };
    let timeout = Duration::from_secs(receiver.config().request_timeout_s);
    let body = tokio::time::timeout(timeout, body::read(request.into_body(), limit))
        .await
        .map_err(|_elapsed| ExportError::Timeout(timeout))??;
    Ok(if gzip {
        body::gunzip(&body, limit)?
    } else {
        body
    })
}

/// A header's value as text, at most 100 characters of it; empty when it is not there.
fn header(headers: &HeaderMap, name: &HeaderName) -> String {
    let value = headers
        .get(name)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    String::from_utf8_lossy(value).chars().take(100).collect()
}

fn success(encoding: Encoding, response: &ExportLogsServiceResponse) -> Response {
    let body = match encoding {
        Encoding::Protobuf => response.encode_to_vec(),
        Encoding::Json => json_success(response).to_string().into_bytes(),
    };
    respond(StatusCode::OK, encoding, body)
}

/// JSON of the response: 64-bit integers are strings in OTLP's JSON.
fn json_success(response: &ExportLogsServiceResponse) -> serde_json::Value {
    match &response.partial_success {
        None => serde_json::json!({}),
        Some(partial) => serde_json::json!({ "partialSuccess": {
            "rejectedLogRecords": partial.rejected_log_records.to_string(),
            "errorMessage": partial.error_message,
        }}),
    }
}

fn failure(encoding: Encoding, error: &ExportError) -> Response {
    let (status, code) = error.status();
    let message = error.to_string();
    let body = match encoding {
        Encoding::Protobuf => {
            let status = tonic_types::Status {
                code: code.into(),
                message,
                details: Vec::new(),
            };
            status.encode_to_vec()
        }
        Encoding::Json => serde_json::json!({ "code": i32::from(code), "message": message })
            .to_string()
            .into(),
    };
    let mut response = respond(status, encoding, body);
    if matches!(error, ExportError::Unauthenticated(_)) {
        let challenge = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    if let Some(after) = error.retry_after() {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    response
}

fn respond(status: StatusCode, encoding: Encoding, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, encoding.content_type());
    response
}
