//! Who sends flow records, and whether all of them come.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::error::{Answer, ApiError};
use crate::observe::{ExporterStatus, SensorState};

/// Sensors, the latest first; at most 1000.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Sensors {
    /// Entries in this answer.
    count: usize,
    /// Sensors known.
    total: u64,
    /// The entries.
    sensors: Vec<Sensor>,
}

/// One run of a sensor.
#[derive(Debug, Serialize, ToSchema)]
struct Sensor {
    /// Identity of the sensor's run.
    id: String,
    /// Name of its host.
    host_name: Option<String>,
    /// When its last record came (RFC 3339).
    last_seen: String,
    /// Records received, duplicates not counted.
    received: u64,
    /// Records that came again and were dropped.
    duplicates: u64,
    /// Records that should have come and have not.
    missing: u64,
    /// Missing ranges: first and last number; at most ten of them.
    gaps: Vec<(u64, u64)>,
    /// How it is.
    state: SensorState,
}

/// Sensors, the latest first.
#[utoipa::path(
    get, path = "/api/v1/sensors", tag = "health",
    responses((status = 200, description = "Sensors.", body = Sensors))
)]
pub(super) async fn list(State(api): State<Api>) -> Result<Answer<Sensors>, ApiError> {
    let observed = api.observer.status().await?;
    let sensors: Vec<_> = observed.exporters.into_iter().map(Sensor::from).collect();
    Ok(Answer(Sensors {
        count: sensors.len(),
        total: observed.exporters_known,
        sensors,
    }))
}

impl From<ExporterStatus> for Sensor {
    fn from(status: ExporterStatus) -> Self {
        Self {
            id: status.id,
            host_name: status.host_name,
            last_seen: status.last_seen,
            received: status.received,
            duplicates: status.duplicates,
            missing: status.missing,
            gaps: status.gaps,
            state: status.state,
        }
    }
}
