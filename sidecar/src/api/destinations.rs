//! Destinations: how their deliveries go, a test of one, and what is left of one that is gone.

use axum::extract::State;
use beaconwatch_destinations::TestOutcome;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::access::Caller;
use super::error::{Answer, ApiError, ErrorAnswer};
use super::extract::{Id, OptionalBody, Parameters};
use crate::deliver::{DestinationStatus, OperationError};
use crate::store::Purged;

/// Destinations.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Destinations {
    /// Entries in this answer.
    count: usize,
    /// The entries: configured ones, then those that are in the store only.
    destinations: Vec<DestinationAnswer>,
}

/// One destination.
#[derive(Debug, Serialize, ToSchema)]
struct DestinationAnswer {
    /// Kind of destination; empty when it is not configured any more.
    r#type: String,
    #[serde(flatten)]
    status: DestinationStatus,
}

/// All destinations.
#[utoipa::path(
    get, path = "/api/v1/destinations", tag = "deliveries",
    responses((status = 200, description = "Destinations.", body = Destinations))
)]
pub(super) async fn list(State(api): State<Api>) -> Result<Answer<Destinations>, ApiError> {
    let statuses = api.deliveries.statuses().await?;
    let answer = |status: DestinationStatus| DestinationAnswer {
        r#type: status.kind.clone(),
        status,
    };
    let destinations: Vec<_> = statuses.into_iter().map(answer).collect();
    Ok(Answer(Destinations {
        count: destinations.len(),
        destinations,
    }))
}

/// How to test.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TestQuery {
    /// Show what would be sent and send nothing.
    dry_run: bool,
}

/// There is nothing to say.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Test {}

/// What a test came to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tested {
    /// What became of the document.
    outcome: OutcomeAnswer,
    /// Why, when there is more to say.
    reason: Option<String>,
    /// What was sent, or would have been, without credentials.
    document: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum OutcomeAnswer {
    Delivered,
    Unconfirmed,
    Refused,
    Retry,
    DryRun,
}

/// Sends a document that is marked as a test, once, with the real client.
#[utoipa::path(
    post, path = "/api/v1/destinations/{name}/test", tag = "deliveries", params(
        ("name" = String, Path, description = "Name of a configured destination."), TestQuery),
    request_body = Option<Test>,
    responses(
        (status = 200, description = "What it came to.", body = Tested),
        (status = 404, description = "No destination has that name.", body = ErrorAnswer),
    )
)]
pub(super) async fn test(
    State(api): State<Api>,
    caller: Caller,
    Id(name): Id,
    Parameters(query): Parameters<TestQuery>,
    OptionalBody(Test {}): OptionalBody<Test>,
) -> Result<Answer<Tested>, ApiError> {
    if !query.dry_run {
        api.audit(&caller, "destination.test", &name, "").await?;
    }
    let report = api.deliveries.test(&name, query.dry_run).await?;
    let outcome = match report.outcome {
        TestOutcome::Delivered => OutcomeAnswer::Delivered,
        TestOutcome::Unconfirmed => OutcomeAnswer::Unconfirmed,
        TestOutcome::Refused => OutcomeAnswer::Refused,
        TestOutcome::Retry => OutcomeAnswer::Retry,
        TestOutcome::DryRun => OutcomeAnswer::DryRun,
    };
    Ok(Answer(Tested {
        outcome,
        reason: report.reason,
        document: report.document,
    }))
}

/// Removes what the store has of a destination that is no longer configured.
#[utoipa::path(
    delete, path = "/api/v1/destinations/{name}", tag = "deliveries",
    params(("name" = String, Path, description = "Name of a destination that is not configured.")),
    responses(
        (status = 200, description = "What was removed.", body = Purged),
        (status = 404, description = "No destination has that name.", body = ErrorAnswer),
        (status = 409, description = "It is configured.", body = ErrorAnswer),
    )
)]
pub(super) async fn purge(
    State(api): State<Api>,
    caller: Caller,
    Id(name): Id,
) -> Result<Answer<Purged>, ApiError> {
    let purged = api.deliveries.purge(&name).await?;
    let detail = format!(
        "{} documents and {} dead letters",
        purged.pending, purged.dead_letters
    );
    api.audit(&caller, "destination.purge", &name, &detail)
        .await?;
    Ok(Answer(purged))
}

impl From<OperationError> for ApiError {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::Store(error) => Self::Store(error),
            OperationError::Unknown(_) | OperationError::NotConfigured(_) => {
                Self::NotFound(error.to_string())
            }
            OperationError::Configured(_) => Self::Conflict(error.to_string()),
            OperationError::Build(_) => Self::Unprocessable(error.to_string()),
        }
    }
}
