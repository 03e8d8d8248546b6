//! A finding's revision as a document.

use std::sync::Arc;

use beaconwatch_detector::{Timestamp, ecs};
use serde_json::Value;

use crate::alert::{Alert, Event, Finding, Missed, SensorFinding, Status, Subject};
use crate::config::Labels;
use crate::store::FormatError;

/// Why no document was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Document(#[from] ecs::DocumentError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// The document of a finding as it stands, for who asks; `None` as for [`body`].
pub(crate) fn as_it_stands(
    finding: &Finding,
    labels: &Labels,
) -> Result<Option<Value>, DocumentError> {
    let makes_documents = |event: &Event| {
        !matches!(
            event,
            Event::Unacknowledged | Event::Commented | Event::Suppressed | Event::Unsuppressed
        )
    };
    let events = finding.history.iter().rev().map(|entry| entry.event);
    let event = events
        .into_iter()
        .find(makes_documents)
        .unwrap_or(Event::Updated);
    body(finding, event, finding.missed, finding.updated, labels)
}

/// The body of the document of a finding's current revision; `None` for a finding that an older version has
/// left without its numbers.
pub(super) fn body(
    finding: &Finding,
    event: Event,
    missed: Option<Missed>,
    now: Timestamp,
    labels: &Labels,
) -> Result<Option<Value>, DocumentError> {
    let id = finding.id.to_string();
    let body = match &finding.subject {
        Subject::Beacon {
            assessment: None, ..
        } => return Ok(None),
        Subject::Beacon {
            assessment: Some(assessment),
            ..
        } => {
            let revision = ecs::Finding {
                id: &id,
                revision: finding.revision,
                opened: finding.opened,
                assessment: &Arc::clone(assessment),
                life: life(finding, event, missed),
            };
            ecs::document_with(&revision, now, &labels.borrow())?
        }
        Subject::Sensor(sensor) => {
            let view = Alert::of(finding);
            let sensor = of_sensor(finding, sensor, event, &id, &view);
            ecs::sensor_document(&sensor, now, &labels.borrow())?
        }
    };
    Ok(Some(body))
}

fn life(finding: &Finding, event: Event, missed: Option<Missed>) -> ecs::Life<'_> {
    let is_closed = finding.status == Status::Closed;
    ecs::Life {
        action: match event {
            Event::Detected => ecs::Action::Detected,
            Event::Escalated => ecs::Action::Escalated,
            Event::Closed => ecs::Action::Closed,
            Event::Reopened => ecs::Action::Reopened,
            Event::Allowed => ecs::Action::Allowed,
            Event::Acknowledged => ecs::Action::Acknowledged,
            _ => ecs::Action::Updated,
        },
        closed: finding.closed.filter(|_| is_closed),
        acknowledged: finding.acknowledged.as_ref().map(|it| ecs::Acknowledged {
            by: &it.by,
            at: it.at,
        }),
        allowed: finding.allowed.as_ref().map(|it| ecs::Allowed {
            id: &it.id,
            reason: &it.reason,
        }),
        suppression: missed.map(|missed| ecs::Suppression {
            count: missed.count,
            start: missed.start,
            end: missed.end,
        }),
        reopened: finding.reopened,
        escalated: finding.escalated,
        simulated: finding.simulated,
    }
}

fn of_sensor<'a>(
    finding: &'a Finding,
    sensor: &'a SensorFinding,
    event: Event,
    id: &'a str,
    view: &'a Alert,
) -> ecs::Sensor<'a> {
    ecs::Sensor {
        finding: id,
        revision: finding.revision,
        opened: finding.opened,
        closed: finding.closed.filter(|_| finding.status == Status::Closed),
        action: match event {
            Event::SensorSilent => ecs::SensorAction::Silent,
            Event::SensorGap => ecs::SensorAction::Gap,
            _ => ecs::SensorAction::Recovered,
        },
        severity: finding.severity,
        message: &view.title,
        reason: &view.description,
        id: &sensor.sensor,
        host: sensor.host.as_deref(),
        host_name: sensor.host_name.as_deref(),
        last_seen: sensor.last_seen,
        received: sensor.received,
        missing: sensor.missing,
        gaps: sensor.gaps,
    }
}
