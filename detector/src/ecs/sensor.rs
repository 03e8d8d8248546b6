//! Documents about sensors that fell silent, lost records or came back.

use beaconwatch_schema::{ECS_VERSION, sensor as field};
use serde_json::{Value, json};

use super::{DocumentError, Fields, Labels, PRODUCT, PROJECT, check, date, severity_number};
use crate::{Severity, Timestamp};

/// What made a revision of a finding about a sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SensorAction {
    /// It sends nothing any more.
    Silent,
    /// Records of it are missing.
    Gap,
    /// The fault is over.
    Recovered,
}

impl SensorAction {
    /// Value of `event.action`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "sensor-silent",
            Self::Gap => "sensor-gap",
            Self::Recovered => "sensor-recovered",
        }
    }
}

/// One revision of a finding about a sensor.
#[derive(Clone, Copy, Debug)]
pub struct Sensor<'a> {
    /// Identity of the finding.
    pub finding: &'a str,
    /// Number of this revision, from 1.
    pub revision: u64,
    /// When the first revision was made.
    pub opened: Timestamp,
    /// When it ended, while it is over.
    pub closed: Option<Timestamp>,
    /// What made this revision.
    pub action: SensorAction,
    /// Severity of the fault.
    pub severity: Severity,
    /// What happened, in a few words.
    pub message: &'a str,
    /// What happened, in a sentence.
    pub reason: &'a str,
    /// Identity of the sensor's run.
    pub id: &'a str,
    /// Machine id of its host.
    pub host: Option<&'a str>,
    /// Name of its host.
    pub host_name: Option<&'a str>,
    /// When its last record came.
    pub last_seen: Timestamp,
    /// Records that came.
    pub received: u64,
    /// Records that did not.
    pub missing: u64,
    /// Separate missing ranges.
    pub gaps: u64,
}

/// The document of a finding about a sensor; uses the names of [`beaconwatch_schema::sensor`] and no others.
pub fn sensor_document(
    sensor: &Sensor<'_>,
    now: Timestamp,
    labels: &Labels<'_>,
) -> Result<Value, DocumentError> {
    check(sensor.finding, sensor.revision, labels)?;
    let mut fields = Fields::default();
    describe_event(&mut fields, sensor, now);
    describe_origin(&mut fields, labels);
    let state = if sensor.closed.is_some() {
        "closed"
    } else {
        "open"
    };
    fields.put(field::FINDING_ID, sensor.finding);
    fields.put(field::FINDING_OPENED, date(sensor.opened));
    fields.put_known(field::FINDING_CLOSED, sensor.closed.map(date));
    fields.put(field::FINDING_REVISION, sensor.revision);
    fields.put(field::FINDING_STATE, state);
    fields.put(field::SENSOR_ID, sensor.id);
    fields.put(field::LAST_SEEN, date(sensor.last_seen));
    fields.put(field::RECEIVED, sensor.received);
    fields.put(field::MISSING, sensor.missing);
    fields.put(field::GAPS, sensor.gaps);
    fields.put_known(field::HOST_ID, sensor.host);
    fields.put_known(field::HOST_NAME, sensor.host_name);
    fields.into_document()
}

fn describe_event(fields: &mut Fields, sensor: &Sensor<'_>, now: Timestamp) {
    let kind = if sensor.closed.is_some() {
        "event"
    } else {
        "alert"
    };
    fields.put(field::TIMESTAMP, date(now));
    fields.put(field::EVENT_ACTION, sensor.action.name());
    fields.put(field::EVENT_CATEGORY, json!(["host"]));
    fields.put(field::EVENT_CREATED, date(now));
    fields.put(field::EVENT_DATASET, field::DATASET);
    fields.put(
        field::EVENT_ID,
        format!("{}-{}", sensor.finding, sensor.revision),
    );
    fields.put(field::EVENT_KIND, kind);
    fields.put(field::EVENT_MODULE, PROJECT);
    fields.put(field::EVENT_PROVIDER, PROJECT);
    fields.put(field::EVENT_REASON, sensor.reason);
    fields.put(field::EVENT_SEVERITY, severity_number(sensor.severity));
    fields.put(field::EVENT_TYPE, json!(["info"]));
    fields.put(field::MESSAGE, sensor.message);
    fields.put(field::TAGS, json!(["sensor"]));
}

fn describe_origin(fields: &mut Fields, labels: &Labels<'_>) {
    fields.put(field::DATA_STREAM_DATASET, field::DATASET);
    fields.put(field::DATA_STREAM_NAMESPACE, labels.namespace);
    fields.put(field::DATA_STREAM_TYPE, field::STREAM_TYPE);
    fields.put(field::ECS_VERSION, ECS_VERSION);
    fields.put_known(field::OBSERVER_NAME, labels.observer_name);
    fields.put(field::OBSERVER_PRODUCT, PRODUCT);
    fields.put(field::OBSERVER_TYPE, "ids");
    fields.put(field::OBSERVER_VENDOR, PRODUCT);
    fields.put(field::OBSERVER_VERSION, env!("CARGO_PKG_VERSION"));
}
