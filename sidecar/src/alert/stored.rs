//! What a finding is about, as the store keeps it.
//!
//! Contract: an enumeration of versions, as with the states of series: a variant is added when an assessment gets
//! another field, and none is changed, because the encoding (postcard) has no names. What an older version did not
//! keep is not known.

use std::sync::Arc;

use beaconwatch_detector::context::Benign;
use beaconwatch_detector::evidence::Evidence;
use beaconwatch_detector::{
    Assessment, IntervalStatistics, Owner, PartOf, Process, SeriesKey, Severity, Signal, Timestamp,
    View,
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
        assessment: Option<AssessmentV2>,
    },
    BeaconV3 {
        key: SeriesKey,
        assessment: Option<Arc<Assessment>>,
    },
    /// With the owner of the process, which an assessment does not write itself.
    BeaconV4 {
        key: SeriesKey,
        assessment: Option<Arc<Assessment>>,
        owner: Option<Arc<Owner>>,
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

/// An assessment before it told the client's fingerprint.
#[derive(Serialize, Deserialize)]
pub(super) struct AssessmentV2 {
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
    evidence: Option<Evidence>,
    intervals: Option<IntervalStatistics>,
    recent_source_ports: Vec<u16>,
    bytes_out: u64,
    bytes_in: u64,
    signals: Vec<Signal>,
    explanation: String,
    benign: Option<Benign>,
    view: View,
    members: Vec<SeriesKey>,
    members_total: u64,
    part_of: Option<PartOf>,
    other_clients: Vec<SeriesKey>,
    other_clients_total: u64,
}

impl From<AssessmentV1> for AssessmentV2 {
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

impl From<AssessmentV2> for Assessment {
    fn from(old: AssessmentV2) -> Self {
        Self {
            key: old.key,
            host_name: old.host_name,
            server_name: old.server_name,
            process: old.process,
            owner: None,
            client_fingerprint: None,
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
            evidence: old.evidence,
            intervals: old.intervals,
            spectrum: None,
            recent_source_ports: old.recent_source_ports,
            bytes_out: old.bytes_out,
            bytes_in: old.bytes_in,
            signals: old.signals,
            explanation: old.explanation,
            benign: old.benign,
            view: old.view,
            members: old.members,
            members_total: old.members_total,
            part_of: old.part_of,
            other_clients: old.other_clients,
            other_clients_total: old.other_clients_total,
        }
    }
}

impl From<StoredSubject> for Subject {
    fn from(stored: StoredSubject) -> Self {
        match stored {
            StoredSubject::BeaconV1 { key, assessment } => Self::Beacon {
                key,
                assessment: assessment.map(|old| Arc::new(AssessmentV2::from(old).into())),
            },
            StoredSubject::BeaconV2 { key, assessment } => Self::Beacon {
                key,
                assessment: assessment.map(|old| Arc::new(old.into())),
            },
            StoredSubject::BeaconV3 { key, assessment } => Self::Beacon { key, assessment },
            StoredSubject::BeaconV4 {
                key,
                mut assessment,
                owner,
            } => {
                if let Some(assessment) = &mut assessment {
                    Arc::make_mut(assessment).owner = owner;
                }
                Self::Beacon { key, assessment }
            }
            StoredSubject::Sensor(sensor) => Self::Sensor(sensor),
        }
    }
}

impl From<Subject> for StoredSubject {
    fn from(subject: Subject) -> Self {
        match subject {
            Subject::Beacon { key, assessment } => Self::BeaconV4 {
                key,
                owner: assessment.as_ref().and_then(|it| it.owner.clone()),
                assessment,
            },
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

    /// A finding at three series, by the program of commit `3d5e03d`.
    const WRITTEN_V2: &str = include_str!("../../tests/fixtures/finding-v2.hex");

    #[test]
    fn a_finding_of_the_version_before_reads_with_its_evidence_and_its_view() {
        let bytes = hex::decode(WRITTEN_V2.trim_end()).unwrap();
        assert_eq!(bytes[0], 2, "the variant of that version");
        let Subject::Beacon { key, assessment } = postcard::from_bytes(&bytes).unwrap() else {
            panic!("not about a beacon");
        };
        let assessment = assessment.unwrap();
        assert_eq!(key.destination.to_string(), "192.0.2.2");
        assert_eq!((&assessment.key, assessment.count), (&key, 8));
        let evidence = assessment.evidence.unwrap();
        assert_eq!((evidence.beats, evidence.period_s), (24, 20.0));
        assert_eq!(assessment.signals.len(), 6);
        assert_eq!(
            assessment.view.shared.as_deref(),
            Some("updates.example.org")
        );
        assert_eq!((assessment.members.len(), assessment.members_total), (3, 3));
        assert_eq!(assessment.client_fingerprint, None);
    }

    /// A finding about one series, by the program of commit `f2a1401`.
    const WRITTEN_V3: &str = include_str!("../../tests/fixtures/finding-v3.hex");

    #[test]
    fn a_finding_before_owners_reads_with_its_process_and_its_fingerprint() {
        let bytes = hex::decode(WRITTEN_V3.trim_end()).unwrap();
        assert_eq!(bytes[0], 3, "the variant of that version");
        let Subject::Beacon { key, assessment } = postcard::from_bytes(&bytes).unwrap() else {
            panic!("not about a beacon");
        };
        let assessment = assessment.unwrap();
        assert_eq!((&assessment.key, assessment.count), (&key, 40));
        assert_eq!(assessment.evidence.as_ref().unwrap().beats, 40);
        let fingerprint = assessment.client_fingerprint.as_deref();
        assert_eq!(fingerprint, Some("t13d1516h2_8daaf6152771_b186095e22b6"));
        let process = assessment.process.as_ref().unwrap();
        assert_eq!(
            (process.pid, process.executable.as_deref()),
            (4711, Some("/usr/bin/curl"))
        );
        assert_eq!(assessment.bytes_in, 40 * 8_120);
        assert_eq!(assessment.owner, None);
    }

    #[test]
    fn a_finding_reads_with_the_owner_that_it_was_written_with() {
        let bytes = hex::decode(WRITTEN_V3.trim_end()).unwrap();
        let old: Subject = postcard::from_bytes(&bytes).unwrap();
        let Subject::Beacon { key, assessment } = old else {
            panic!("not about a beacon");
        };
        let mut assessment = (*assessment.unwrap()).clone();
        assessment.owner = Some(Arc::new(Owner {
            parent_pid: Some(4700),
            container_id: Some(Arc::from("3f4a5b6c7d8e")),
            pod_name: Some(Arc::from("web-x2x7k")),
            ..Owner::default()
        }));
        let written = Subject::Beacon {
            key,
            assessment: Some(Arc::new(assessment)),
        };
        let bytes: Vec<u8> = postcard::to_allocvec(&written).unwrap();
        let read: Subject = postcard::from_bytes(&bytes).unwrap();
        assert_eq!((bytes[0], read), (4, written));
    }
}
