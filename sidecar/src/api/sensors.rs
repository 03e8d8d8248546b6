//! Who sends flow records, and whether all of them come.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::error::{Answer, ApiError};
use crate::alert::{SensorFault, Status, Subject};
use crate::observe::{ExporterStatus, SeriesId};

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
    /// Name of its host, when an alert of it knows that.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SensorState {
    /// It sends and nothing is missing.
    Live,
    /// It has sent nothing for longer than `alerts.sensor_silent_after_s`.
    Silent,
    /// Records of it are missing.
    Gaps,
}

/// Sensors, the latest first.
#[utoipa::path(
    get, path = "/api/v1/sensors", tag = "health",
    responses((status = 200, description = "Sensors.", body = Sensors))
)]
pub(super) async fn list(State(api): State<Api>) -> Result<Answer<Sensors>, ApiError> {
    let observed = api.observer.status().await?;
    let sensors = observed.exporters.into_iter();
    let sensors: Vec<_> = sensors.map(|status| Sensor::of(&api, status)).collect();
    Ok(Answer(Sensors {
        count: sensors.len(),
        total: observed.exporters_known,
        sensors,
    }))
}

impl Sensor {
    fn of(api: &Api, status: ExporterStatus) -> Self {
        let finding = api
            .observer
            .alerts()
            .of_series(SeriesId::of_sensor(&status.id));
        let known = finding.as_ref().and_then(|finding| match &finding.subject {
            Subject::Sensor(sensor) => Some((finding.status, sensor)),
            Subject::Beacon { .. } => None,
        });
        let silent = known.is_some_and(|(state, sensor)| {
            state == Status::Open && sensor.fault == SensorFault::Silent
        });
        let host_name = known.and_then(|(_, sensor)| sensor.host_name.as_deref());
        Self {
            host_name: host_name.map(str::to_owned),
            last_seen: status.last_seen,
            received: status.received,
            duplicates: status.duplicates,
            missing: status.missing,
            state: match (silent, status.missing) {
                (true, _) => SensorState::Silent,
                (false, 0) => SensorState::Live,
                (false, _) => SensorState::Gaps,
            },
            gaps: status.gaps,
            id: status.id,
        }
    }
}
