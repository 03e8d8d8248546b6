//! What a finding is about, as the store keeps it.
//!
//! Contract: an enumeration of versions, as with the states of series: a variant is added when an assessment gets
//! another field, and none is changed, because the encoding (postcard) has no names. What an older version did not
//! keep is not known.

use std::sync::Arc;

use beaconwatch_detector::{
    Assessment, IntervalStatistics, Process, SeriesKey, Severity, Signal, Timestamp, View,
};
use serde::{Deserialize, Serialize};

use super::{SensorFinding, Subject};

#[derive(Serialize, Deserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "lives for as long as it takes to read or write it"
)]
pub(super) enum StoredSubject {
    BeaconV1 {
        key: SeriesKey,
        assessment: Option<AssessmentV1>,
    },
    Sensor(SensorFinding),
    BeaconV2 {
        key: SeriesKey,
        assessment: Option<Arc<Assessment>>,
    },
}

/// An assessment before it carried its evidence.
#[derive(Serialize, Deserialize)]
pub(super) struct AssessmentV1 {
    key: SeriesKey,
    host_name: Option<Arc<str>>,
    server_name: Option<Arc<str>>,
    process: Option<Arc<Process>>,
    method: Arc<str>,
    score: f64,
    severity: Severity,
    detected: bool,
    gate: Option<String>,
    first_seen: Timestamp,
    last_seen: Timestamp,
    count: u64,
    interval_s: Option<f64>,
    jitter: Option<f64>,
    intervals: Option<IntervalStatistics>,
    recent_source_ports: Vec<u16>,
    bytes_out: u64,
    bytes_in: u64,
    signals: Vec<Signal>,
    explanation: String,
}

impl From<AssessmentV1> for Assessment {
    fn from(old: AssessmentV1) -> Self {
        Self {
            key: old.key,
            host_name: old.host_name,
            server_name: old.server_name,
            process: old.process,
            method: old.method,
            score: old.score,
            severity: old.severity,
            detected: old.detected,
            gate: old.gate,
            first_seen: old.first_seen,
            last_seen: old.last_seen,
            count: old.count,
            interval_s: old.interval_s,
            jitter: old.jitter,
            evidence: None,
            intervals: old.intervals,
            spectrum: None,
            recent_source_ports: old.recent_source_ports,
            bytes_out: old.bytes_out,
            bytes_in: old.bytes_in,
            signals: old.signals,
            explanation: old.explanation,
            benign: None,
            view: View::default(),
            members: Vec::new(),
            members_total: 0,
            part_of: None,
            other_clients: Vec::new(),
            other_clients_total: 0,
        }
    }
}

impl From<StoredSubject> for Subject {
    fn from(stored: StoredSubject) -> Self {
        match stored {
            StoredSubject::BeaconV1 { key, assessment } => Self::Beacon {
                key,
                assessment: assessment.map(|old| Arc::new(old.into())),
            },
            StoredSubject::BeaconV2 { key, assessment } => Self::Beacon { key, assessment },
            StoredSubject::Sensor(sensor) => Self::Sensor(sensor),
        }
    }
}

impl From<Subject> for StoredSubject {
    fn from(subject: Subject) -> Self {
        match subject {
            Subject::Beacon { key, assessment } => Self::BeaconV2 { key, assessment },
            Subject::Sensor(sensor) => Self::Sensor(sensor),
        }
    }
}

#[cfg(test)]
mod tests {
    use beaconwatch_detector::Transport;

    use super::*;

    fn old() -> StoredSubject {
        let key = SeriesKey {
            host: Arc::from("h"),
            namespace: Arc::from(""),
            source: "192.0.2.1".parse().unwrap(),
            destination: "192.0.2.2".parse().unwrap(),
            destination_port: 443,
            transport: Transport::Tcp,
        };
        let assessment = AssessmentV1 {
            key: key.clone(),
            host_name: None,
            server_name: Some(Arc::from("a.example")),
            process: None,
            method: Arc::from("seed"),
            score: 0.75,
            severity: Severity::Medium,
            detected: true,
            gate: None,
            first_seen: Timestamp::from_unix_nanos(1),
            last_seen: Timestamp::from_unix_nanos(2),
            count: 12,
            interval_s: Some(60.0),
            jitter: None,
            intervals: None,
            recent_source_ports: vec![7],
            bytes_out: 3,
            bytes_in: 4,
            signals: Vec::new(),
            explanation: "why".to_owned(),
        };
        StoredSubject::BeaconV1 {
            key,
            assessment: Some(assessment),
        }
    }

    #[test]
    fn a_finding_that_an_older_version_wrote_reads_with_all_that_it_had() {
        let bytes: Vec<u8> = postcard::to_allocvec(&old()).unwrap();
        assert_eq!(bytes[0], 0, "the first variant of that version");
        let Subject::Beacon { key, assessment } = postcard::from_bytes(&bytes).unwrap() else {
            panic!("not about a beacon");
        };
        let assessment = assessment.unwrap();
        assert_eq!(assessment.key, key);
        assert_eq!((assessment.count, assessment.score), (12, 0.75));
        assert_eq!(assessment.server_name.as_deref(), Some("a.example"));
        assert_eq!(assessment.evidence, None);
    }
}
