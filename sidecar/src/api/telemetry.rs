//! Batches of packets from other sensors.

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::Serialize;
use serde_json::error::Category;
use utoipa::ToSchema;

use super::Api;
use super::error::{Answer, ApiError, ErrorAnswer};
use super::extract;
use crate::receive::{AcceptError, BodyError, Posted, TelemetryError, gunzip};

/// A batch of packets, as the published analyser's sensors post it. Other fields are passed over.
#[derive(Debug, ToSchema)]
#[expect(
    dead_code,
    reason = "it describes what the decoder in the inputs reads"
)]
pub(super) struct TelemetryBatch {
    /// Identity of the batch, 1 to 256 bytes: the same batch counts once.
    #[schema(min_length = 1)]
    batch_id: String,
    /// Identity of the sensor, 1 to 256 bytes.
    #[schema(min_length = 1)]
    node_id: String,
    /// When it was made.
    created_at: Option<String>,
    /// Packets. One that cannot be used is counted; its neighbours are used.
    events: Vec<TelemetryEvent>,
}

/// A packet.
#[derive(Debug, ToSchema)]
#[expect(
    dead_code,
    reason = "it describes what the decoder in the inputs reads"
)]
struct TelemetryEvent {
    /// When it was seen (RFC 3339); without it `timestamp_ns` says so.
    timestamp_utc: Option<String>,
    /// When it was seen: nanoseconds since 1970.
    timestamp_ns: Option<u64>,
    /// Address that sent it.
    src_ip: String,
    /// Address that it went to.
    dst_ip: String,
    /// Port that sent it.
    src_port: u16,
    /// Port that it went to.
    dst_port: u16,
    /// Number of the protocol: 6 is TCP, 17 is UDP.
    protocol: u8,
    /// Bytes of the packet.
    packet_size: Option<u32>,
    /// Flags of TCP.
    tcp_flags: Option<u8>,
}

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Accepted {
    /// How it went.
    status: AcceptedStatus,
    /// Identity of the batch.
    batch_id: String,
    /// Packets in the batch.
    events_received: u64,
    /// Packets that could not be used.
    events_skipped: u64,
    /// The first of them in words.
    problems: Vec<String>,
    /// Whether the batch had come before: then it told nothing.
    repeated: bool,
    /// Observations that came of it.
    observations: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum AcceptedStatus {
    Accepted,
}

/// Takes a batch of packets. When it is answered with success, what it told is on disk.
#[utoipa::path(
    post, path = "/api/v1/telemetry", tag = "operation", request_body = TelemetryBatch,
    responses(
        (status = 200, description = "It is taken.", body = Accepted),
        (status = 429, description = "Too much waits: send it again later.", body = ErrorAnswer),
    )
)]
pub(super) async fn telemetry(
    State(api): State<Api>,
    request: Request,
) -> Result<Answer<Accepted>, ApiError> {
    let limit = api.receiver.config().max_body_bytes;
    let content_type = extract::header(request.headers(), &CONTENT_TYPE);
    if !extract::is_json(&content_type) {
        return Err(ApiError::ContentType(content_type));
    }
    let encoding = extract::header(request.headers(), &CONTENT_ENCODING).to_ascii_lowercase();
    let _admitted = api.receiver.admit().await?;
    let body = extract::read(request, limit).await?;
    let body = match encoding.as_str() {
        "" | "identity" => body,
        "gzip" => gunzip(&body, limit)?,
        _ => return Err(ApiError::ContentEncoding(encoding)),
    };
    let posted = api.receiver.accept_telemetry(body).await?;
    Ok(Answer(Accepted::of(posted)))
}

impl Accepted {
    fn of(posted: Posted) -> Self {
        Self {
            status: AcceptedStatus::Accepted,
            batch_id: posted.batch_id,
            events_received: posted.events_received,
            events_skipped: posted.events_skipped,
            problems: posted.problems,
            repeated: posted.repeated,
            observations: posted.observations,
        }
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } | BodyError::TooLargeInside { limit } => {
                Self::TooLarge { limit }
            }
            BodyError::Aborted(_) | BodyError::NotGzip(_) => Self::Parameter(error.to_string()),
        }
    }
}

impl From<AcceptError> for ApiError {
    fn from(error: AcceptError) -> Self {
        let reason = error.to_string();
        if let Some(retry_after) = error.retry_after() {
            return Self::Busy {
                reason,
                retry_after,
            };
        }
        match error {
            AcceptError::Telemetry(TelemetryError::Json(error))
                if error.classify() != Category::Data =>
            {
                Self::Parameter(reason)
            }
            _ => Self::Unprocessable(reason),
        }
    }
}
