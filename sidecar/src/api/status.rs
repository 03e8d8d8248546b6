//! The state of every part, in numbers.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::error::{Answer, ApiError};
use crate::status::Status;

/// The state of every part, and the same numbers under the names that the published analyser's clients read.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WholeStatus {
    #[serde(flatten)]
    status: Status,
    #[serde(flatten)]
    seed: SeedStatus,
}

/// What the published analyser's clients read.
#[derive(Debug, Serialize, ToSchema)]
struct SeedStatus {
    /// How it is: it answers, so it runs.
    status: Running,
    /// `uptime_s`.
    uptime_seconds: f64,
    /// `started`.
    start_time: String,
    /// Requests and batches accepted.
    requests_received: u64,
    /// `inputs.telemetry_batches`.
    batches_processed: u64,
    /// Flow records and events of telemetry accepted.
    events_received: u64,
    /// What is kept.
    storage: SeedStorage,
    /// What was analysed.
    analyzer: SeedAnalyzer,
    /// What was told.
    alerter: SeedAlerter,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Running {
    Running,
}

#[derive(Debug, Serialize, ToSchema)]
struct SeedStorage {
    /// `detector.series`.
    pair_count: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct SeedAnalyzer {
    /// `detector.analyses`.
    total_runs: u64,
    /// `alerts.open`.
    current_known_beacons: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct SeedAlerter {
    /// Documents that destinations took, over all runs.
    alerts_sent: u64,
}

/// The state of every part.
#[utoipa::path(
    get, path = "/api/v1/status", tag = "health",
    responses((status = 200, description = "The state of every part.", body = WholeStatus))
)]
pub(super) async fn status(State(api): State<Api>) -> Result<Answer<WholeStatus>, ApiError> {
    let status = api.status.status().await?;
    Ok(Answer(WholeStatus {
        seed: SeedStatus::of(&status),
        status,
    }))
}

impl SeedStatus {
    fn of(status: &Status) -> Self {
        let inputs = &status.inputs;
        let delivered = status.destinations.iter().map(|it| it.delivered);
        Self {
            status: Running::Running,
            uptime_seconds: status.uptime_s,
            start_time: status.started.clone(),
            requests_received: status.receive.requests + inputs.telemetry_batches,
            batches_processed: inputs.telemetry_batches,
            events_received: status.receive.records + inputs.telemetry_events,
            storage: SeedStorage {
                pair_count: status.detector.series,
            },
            analyzer: SeedAnalyzer {
                total_runs: status.detector.analyses,
                current_known_beacons: status.alerts.open,
            },
            alerter: SeedAlerter {
                alerts_sent: delivered.sum(),
            },
        }
    }
}
