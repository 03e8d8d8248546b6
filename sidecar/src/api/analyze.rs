//! Analyses without waiting for the interval.

use std::time::Instant;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::error::{Answer, ApiError};
use super::extract::OptionalBody;

/// There is nothing to say.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Analyze {}

/// What an analysis did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Analyzed {
    /// How it went.
    status: Completed,
    /// Series that were scored.
    assessed: u64,
    /// Of these, series that count as detections.
    detected: u64,
    /// Documents made.
    documents: u64,
    /// How long it took.
    duration_ms: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Completed {
    Completed,
}

/// Analyses what has come in, without waiting for the interval.
#[utoipa::path(
    post, path = "/api/v1/analyze", tag = "findings", request_body = Option<Analyze>,
    responses((status = 200, description = "What it did.", body = Analyzed))
)]
pub(super) async fn analyze(
    State(api): State<Api>,
    OptionalBody(Analyze {}): OptionalBody<Analyze>,
) -> Result<Answer<Analyzed>, ApiError> {
    let begun = Instant::now();
    let report = api.observer.analyse().await?;
    Ok(Answer(Analyzed {
        status: Completed::Completed,
        assessed: report.assessed,
        detected: report.detected,
        documents: report.documents,
        duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    }))
}
