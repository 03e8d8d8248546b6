use std::sync::Arc;

use beaconwatch_detector::Transport;

use super::super::board::Board;
use super::*;

const MINUTE: i64 = 60_000_000_000;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_unix_nanos(minutes * MINUTE)
}

fn assessment(place: u8, severity: Severity, count: u64, last_seen: Timestamp) -> Assessment {
    Assessment {
        key: SeriesKey {
            host: Arc::from("host"),
            namespace: Arc::from(""),
            source: [192, 0, 2, 1].into(),
            destination: [198, 51, 100, place].into(),
            destination_port: 443,
            transport: Transport::Tcp,
        },
        host_name: None,
        server_name: None,
        process: None,
        method: Arc::from("seed"),
        score: f64::from(place) / 256.0,
        severity,
        detected: true,
        gate: None,
        first_seen: at(0),
        last_seen,
        count,
        interval_s: None,
        jitter: None,
        intervals: None,
        bytes_out: 0,
        bytes_in: 0,
        recent_source_ports: Vec::new(),
        signals: Vec::new(),
        explanation: String::new(),
    }
}

fn findings(limit: usize) -> Findings {
    Findings::new(Duration::from_hours(1), limit)
}

/// The revision that an assessment makes, if it makes one.
fn revision(findings: &mut Findings, assessment: &Assessment, now: Timestamp) -> Option<u64> {
    findings
        .judge(assessment, now)
        .unwrap()
        .map(|finding| finding.revision)
}

#[test]
fn only_a_detection_opens_a_finding() {
    let mut findings = findings(10);
    let scored = Assessment {
        detected: false,
        ..assessment(1, Severity::Critical, 40, at(1))
    };
    assert_eq!(revision(&mut findings, &scored, at(1)), None);
    assert_eq!(findings.len(), 0);
    let detected = Assessment {
        detected: true,
        ..scored
    };
    assert_eq!(revision(&mut findings, &detected, at(1)), Some(1));
}

#[test]
fn a_higher_severity_makes_a_revision_and_a_lower_one_does_not() {
    let mut findings = findings(10);
    let mut next = |severity| revision(&mut findings, &assessment(1, severity, 40, at(1)), at(1));
    assert_eq!(next(Severity::Medium), Some(1));
    assert_eq!(next(Severity::Critical), Some(2));
    assert_eq!(next(Severity::High), None);
    assert_eq!(next(Severity::Critical), None);
}

#[test]
fn a_beacon_that_runs_on_makes_a_document_per_doubling() {
    let mut findings = Findings::new(Duration::from_secs(10_000_000), 10);
    let documents = (10..=10_000).filter(|&count| {
        revision(
            &mut findings,
            &assessment(1, Severity::High, count, at(1)),
            at(1),
        )
        .is_some()
    });
    assert_eq!(
        documents.collect::<Vec<u64>>(),
        [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120]
    );
}

#[test]
fn the_update_interval_makes_a_document_only_when_there_were_connections() {
    let mut findings = findings(10);
    let mut next = |last_seen, now| {
        revision(
            &mut findings,
            &assessment(1, Severity::High, 40, at(last_seen)),
            at(now),
        )
    };
    assert_eq!(next(0, 0), Some(1));
    assert_eq!(next(59, 59), None);
    assert_eq!(next(60, 60), Some(2));
    assert_eq!(next(60, 600), None, "nothing has happened since");
    assert_eq!(next(599, 600), Some(3));
}

#[test]
fn the_finding_written_longest_ago_is_forgotten_first() {
    let mut findings = findings(2);
    for (place, now) in [(1, 3), (2, 1), (3, 2)] {
        revision(
            &mut findings,
            &assessment(place, Severity::High, 40, at(now)),
            at(now),
        );
    }
    assert_eq!((findings.len(), findings.forgotten()), (2, 1));
    let forgotten = findings
        .take_changes()
        .into_iter()
        .filter(|(_, finding)| finding.is_none());
    let expected = encode_key(&assessment(2, Severity::High, 40, at(1)).key).unwrap();
    assert_eq!(
        forgotten.map(|(key, _)| key).collect::<Vec<_>>(),
        [expected]
    );
}

#[test]
fn the_same_series_opened_at_another_time_has_another_identity() {
    let key = b"key";
    assert_eq!(finding_id(key, at(1)), finding_id(key, at(1)));
    assert_ne!(finding_id(key, at(1)), finding_id(key, at(2)));
    assert_eq!(finding_id(key, at(1)).len(), 32);
}

#[test]
fn the_board_keeps_the_best_scores_in_order() {
    let mut board = Board::new(2);
    for place in [10, 30, 20] {
        board.put(Arc::new(assessment(place, Severity::Low, 40, at(1))));
    }
    let places = |board: &Board, min_score: f64| {
        let octets = board
            .best(min_score)
            .map(|(_, it)| match it.key.destination {
                std::net::IpAddr::V4(address) => address.octets()[3],
                std::net::IpAddr::V6(_) => 0,
            });
        octets.collect::<Vec<_>>()
    };
    assert_eq!(places(&board, 0.0), [30, 20]);
    assert_eq!(places(&board, 0.1), [30]);
    let gated = Assessment {
        gate: Some("few".to_owned()),
        ..assessment(30, Severity::Low, 40, at(1))
    };
    board.put(Arc::new(gated));
    assert_eq!(
        places(&board, 0.0),
        [20],
        "a series that a gate stops leaves the board"
    );
}
