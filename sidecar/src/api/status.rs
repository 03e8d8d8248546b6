//! The state of every part, in numbers.

use axum::extract::State;

use super::Api;
use super::error::{Answer, ApiError};
use crate::status::Status;

/// The state of every part.
#[utoipa::path(
    get, path = "/api/v1/status", tag = "health",
    responses((status = 200, description = "The state of every part.", body = Status))
)]
pub(super) async fn status(State(api): State<Api>) -> Result<Answer<Status>, ApiError> {
    Ok(Answer(api.status.status().await?))
}
