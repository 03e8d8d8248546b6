//! Whether the sidecar lives, works and is well.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::error::{Answer, ApiError, ErrorAnswer};
use crate::status::Status;
use crate::time_text::rfc3339;

/// Failed attempts in a row after which a destination counts as a problem.
const FAILURES: u32 = 3;

/// Says that the process lives.
#[utoipa::path(
    get, path = "/healthz", tag = "health", security(()),
    responses((status = 200, description = "The process lives.", body = str, content_type = "text/plain"))
)]
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// Says whether the store and the scoring thread answer.
#[utoipa::path(
    get, path = "/readyz", tag = "health", security(()),
    responses(
        (status = 200, description = "It can work.", body = str, content_type = "text/plain"),
        (status = 503, description = "It cannot work now.", body = ErrorAnswer),
    )
)]
pub(super) async fn ready(State(api): State<Api>) -> Result<&'static str, ApiError> {
    api.status.store_size().await?;
    api.observer.status().await?;
    Ok("ready\n")
}

/// How the sidecar is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// Degraded when there is any problem.
    status: HealthStatus,
    /// Now (RFC 3339).
    timestamp: String,
    /// Version of the program.
    version: &'static str,
    /// Seconds since the start.
    #[schema(minimum = 0)]
    uptime_seconds: f64,
    /// What is wrong, one sentence each.
    problems: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum HealthStatus {
    Healthy,
    Degraded,
}

/// How the sidecar is, and what is wrong.
#[utoipa::path(
    get, path = "/api/v1/health", tag = "health",
    responses((status = 200, description = "How it is.", body = Health))
)]
pub(super) async fn health(State(api): State<Api>) -> Result<Answer<Health>, ApiError> {
    let status = api.status.status().await?;
    let problems = problems(&status);
    Ok(Answer(Health {
        status: if problems.is_empty() {
            HealthStatus::Healthy
        } else {
            HealthStatus::Degraded
        },
        timestamp: rfc3339(api.clock.now()),
        version: status.version,
        uptime_seconds: status.uptime_s,
        problems,
    }))
}

fn problems(status: &Status) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(error) = &status.store.error {
        problems.push(format!("the store does not work: {error}"));
    }
    if status.findings.postponed > 0 {
        problems.push(format!(
            "{} findings wait for a document because a destination is too far behind",
            status.findings.postponed
        ));
    }
    for destination in &status.destinations {
        if destination.failures >= FAILURES {
            problems.push(format!(
                "destination {} failed {} times in a row: {}",
                destination.name,
                destination.failures,
                destination
                    .last_error
                    .as_deref()
                    .unwrap_or("no reason given"),
            ));
        }
        if destination.dead_letters > 0 {
            problems.push(format!(
                "destination {} has {} dead letters",
                destination.name, destination.dead_letters
            ));
        }
    }
    problems
}
