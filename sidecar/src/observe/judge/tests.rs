use std::sync::RwLock;
use std::time::Duration;

use beaconwatch_detector::{Owner, Process, Severity, Transport, View};

use super::super::board::Board;
use super::super::life::Rules;
use super::*;
use crate::alert::{AllowConfig, AllowOrigin};

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
        owner: None,
        client_fingerprint: None,
        method: Arc::from("seed"),
        score: f64::from(place) / 256.0,
        severity,
        detected: true,
        gate: None,
        first_seen: at(0),
        last_seen,
        count,
        interval_s: Some(60.0),
        jitter: None,
        intervals: None,
        evidence: None,
        spectrum: None,
        bytes_out: 0,
        bytes_in: 0,
        recent_source_ports: Vec::new(),
        signals: Vec::new(),
        explanation: String::new(),
        benign: None,
        view: View::default(),
        members: Vec::new(),
        members_total: 0,
        part_of: None,
        other_clients: Vec::new(),
        other_clients_total: 0,
    }
}

/// A beacon of one beat a minute, as it is seen in this minute.
fn beat(minute: i64) -> Assessment {
    let count = 100 + u64::try_from(minute).unwrap();
    assessment(1, Severity::High, count, at(minute))
}

fn rules() -> Rules {
    Rules {
        update_interval: Duration::from_hours(1),
        close_after: Duration::from_mins(30),
        close_after_intervals: 10,
        reopen_within: Duration::from_hours(24),
        document_acknowledgements: false,
        sensor_silence: None,
    }
}

fn judge_of(rules: Rules, limit: usize) -> Judge {
    Judge::new(
        Findings::new(rules, limit, at(0)),
        AllowBook::default(),
        Labels {
            namespace: "default".to_owned(),
            observer_name: None,
        },
        1000,
        Arc::new(RwLock::new(Board::new(10))),
        Arc::new(Router::new(&BTreeMap::new()).unwrap()),
    )
}

fn judge() -> Judge {
    judge_of(rules(), 10)
}

/// One analysis of these assessments; the documents that it makes.
fn analyse(judge: &mut Judge, now: Timestamp, seen: Vec<Assessment>) -> Vec<Value> {
    let mut judgement = judge.begin(now, 0);
    for assessment in seen {
        judgement.take(assessment);
    }
    judgement.close_silent();
    let (_, documents) = judgement.end();
    let bodies = documents
        .into_values()
        .map(|document| document.document.body);
    bodies
        .map(|body| serde_json::from_str(&body).unwrap())
        .collect()
}

fn actions(documents: &[Value]) -> Vec<&str> {
    let actions = documents.iter().map(|it| it["event"]["action"].as_str());
    actions.map(Option::unwrap_or_default).collect()
}

/// What happens in an analysis, by name.
fn happens(judge: &mut Judge, now: Timestamp, seen: Vec<Assessment>) -> Vec<String> {
    let documents = analyse(judge, now, seen);
    actions(&documents).into_iter().map(str::to_owned).collect()
}

fn latest(judge: &Judge) -> Finding {
    let newest = judge.findings.iter().max_by_key(|it| it.opened);
    (**newest.expect("a finding")).clone()
}

#[test]
fn only_a_detection_opens_a_finding() {
    let mut judge = judge();
    let scored = Assessment {
        detected: false,
        ..beat(1)
    };
    assert!(happens(&mut judge, at(1), vec![scored]).is_empty());
    assert_eq!(judge.findings.len(), 0);
    assert_eq!(
        happens(&mut judge, at(1), vec![beat(1)]),
        ["beacon-detected"]
    );
}

#[test]
fn a_higher_severity_makes_a_revision_and_a_lower_one_does_not() {
    let mut judge = judge();
    let mut next = |severity| {
        let seen = assessment(1, severity, 40, at(1));
        happens(&mut judge, at(1), vec![seen])
    };
    assert_eq!(next(Severity::Medium), ["beacon-detected"]);
    assert_eq!(next(Severity::Critical), ["beacon-escalated"]);
    assert!(next(Severity::High).is_empty());
    assert!(next(Severity::Critical).is_empty());
    assert_eq!(latest(&judge).escalated, 1);
}

#[test]
fn a_beacon_that_runs_on_makes_a_document_per_doubling_and_counts_the_others() {
    let rules = Rules {
        update_interval: Duration::from_secs(10_000_000),
        ..rules()
    };
    let mut judge = judge_of(rules, 10);
    let mut documented = Vec::new();
    let mut counted = 0;
    for count in 10..=1_000 {
        let seen = assessment(1, Severity::High, count, at(1));
        for document in analyse(&mut judge, at(1), vec![seen]) {
            documented.push(count);
            let missed = &document["beaconwatch"]["suppression"]["count"];
            counted += missed.as_u64().unwrap_or(0) + 1;
        }
    }
    assert_eq!(documented, [10, 20, 40, 80, 160, 320, 640]);
    assert_eq!(
        counted, 631,
        "every detection up to the last document is counted"
    );
    assert_eq!(latest(&judge).missed.map(|missed| missed.count), Some(360));
}

#[test]
fn the_update_interval_makes_a_document_only_when_there_were_connections() {
    let rules = Rules {
        close_after: Duration::from_hours(1000),
        ..rules()
    };
    let mut judge = judge_of(rules, 10);
    let mut next = |last_seen, now| {
        let seen = assessment(1, Severity::High, 40, at(last_seen));
        happens(&mut judge, at(now), vec![seen])
    };
    assert_eq!(next(0, 0), ["beacon-detected"]);
    assert!(next(59, 59).is_empty());
    assert_eq!(next(60, 60), ["beacon-updated"]);
    assert!(next(60, 600).is_empty(), "nothing has happened since");
    assert_eq!(next(599, 600), ["beacon-updated"]);
}

#[test]
fn a_finding_closes_when_its_beats_stop_and_not_before() {
    let mut judge = judge();
    happens(&mut judge, at(1), vec![beat(1)]);
    happens(&mut judge, at(20), vec![beat(20)]);
    assert!(happens(&mut judge, at(50), Vec::new()).is_empty());
    let documents = analyse(&mut judge, at(51), Vec::new());
    assert_eq!(actions(&documents), ["beacon-closed"]);
    assert_eq!(documents[0]["beaconwatch"]["finding"]["state"], "closed");
    assert_eq!(documents[0]["beaconwatch"]["count"], 120);
    assert!(happens(&mut judge, at(99), Vec::new()).is_empty());
}

#[test]
fn a_slow_beacon_has_as_many_intervals_as_a_fast_one_before_it_closes() {
    let mut judge = judge();
    let slow = Assessment {
        interval_s: Some(3600.0),
        ..beat(1)
    };
    happens(&mut judge, at(1), vec![slow]);
    assert!(happens(&mut judge, at(600), Vec::new()).is_empty());
    assert_eq!(happens(&mut judge, at(602), Vec::new()), ["beacon-closed"]);
}

#[test]
fn beats_that_come_back_in_time_go_on_with_the_finding_and_later_ones_open_another() {
    let mut judge = judge();
    let first = analyse(&mut judge, at(1), vec![beat(1)]);
    happens(&mut judge, at(40), Vec::new());
    let again = analyse(&mut judge, at(100), vec![beat(100)]);
    assert_eq!(actions(&again), ["beacon-reopened"]);
    let id = |document: &Value| document["beaconwatch"]["finding"]["id"].clone();
    assert_eq!(id(&again[0]), id(&first[0]));
    assert_eq!(again[0]["beaconwatch"]["finding"]["revision"], 3);
    assert_eq!(again[0]["beaconwatch"]["finding"]["reopened"], 1);
    assert!(happens(&mut judge, at(101), vec![beat(101)]).is_empty());
    happens(&mut judge, at(140), Vec::new());
    let late = analyse(&mut judge, at(3000), vec![beat(3000)]);
    assert_eq!(actions(&late), ["beacon-detected"]);
    assert_ne!(id(&late[0]), id(&first[0]));
}

#[test]
fn looking_again_at_a_closed_finding_without_new_beats_does_not_open_it() {
    let mut judge = judge();
    happens(&mut judge, at(1), vec![beat(1)]);
    happens(&mut judge, at(40), Vec::new());
    assert!(happens(&mut judge, at(41), vec![beat(1)]).is_empty());
}

#[test]
fn while_it_is_suppressed_only_an_escalation_makes_a_document() {
    let mut judge = judge();
    happens(&mut judge, at(1), vec![beat(1)]);
    let mut finding = latest(&judge);
    finding.suppressed_until = Some(at(300));
    judge.findings.put(finding, true);
    for minute in 2..=100 {
        assert!(happens(&mut judge, at(minute), vec![beat(minute)]).is_empty());
    }
    let grave = Assessment {
        severity: Severity::Critical,
        ..beat(101)
    };
    let documents = analyse(&mut judge, at(101), vec![grave.clone()]);
    assert_eq!(actions(&documents), ["beacon-escalated"]);
    assert_eq!(documents[0]["beaconwatch"]["suppression"]["count"], 99);
    assert!(happens(&mut judge, at(140), Vec::new()).is_empty());
    assert_eq!(
        latest(&judge).status,
        Status::Closed,
        "it closes, without a document"
    );
}

#[test]
fn what_somebody_closed_stays_closed_until_there_is_enough_news() {
    let mut judge = judge();
    happens(&mut judge, at(1), vec![beat(1)]);
    let mut finding = latest(&judge);
    finding.close(at(2));
    finding.closed_by_hand = true;
    finding.documented(at(2));
    judge.findings.put(finding, true);
    assert!(happens(&mut judge, at(3), vec![beat(3)]).is_empty());
    assert!(happens(&mut judge, at(61), vec![beat(61)]).is_empty());
    assert_eq!(
        happens(&mut judge, at(62), vec![beat(62)]),
        ["beacon-reopened"]
    );
}

#[test]
fn what_the_allow_list_allows_closes_and_makes_no_more_documents() {
    let mut judge = judge();
    happens(
        &mut judge,
        at(1),
        vec![beat(1), assessment(2, Severity::High, 40, at(1))],
    );
    let config = AllowConfig {
        destination: Some("198.51.100.1".to_owned()),
        reason: "time server".to_owned(),
        ..AllowConfig::default()
    };
    let entry = AllowEntry::new(config, AllowOrigin::Config, at(1));
    judge.allow.replace(Allowances::new(vec![entry]).unwrap());
    let seen = vec![beat(2), assessment(2, Severity::High, 80, at(2))];
    let documents = analyse(&mut judge, at(2), seen);
    assert_eq!(actions(&documents), ["beacon-allowed", "beacon-updated"]);
    let allowed = &documents[0]["beaconwatch"]["finding"]["allowed"];
    assert_eq!(allowed["reason"], "time server");
    assert!(happens(&mut judge, at(3), vec![beat(3)]).is_empty());
    judge.allow.replace(Allowances::default());
    assert_eq!(
        happens(
            &mut judge,
            at(4),
            vec![assessment(1, Severity::High, 300, at(4))]
        ),
        ["beacon-reopened"]
    );
}

#[test]
fn an_outbox_without_room_loses_neither_a_detection_nor_a_close() {
    let mut judge = judge();
    let mut full = judge.begin(at(1), 1000);
    full.take(beat(1));
    let (report, documents) = full.end();
    assert_eq!((report.detected, documents.len()), (1, 0));
    let mut judgement = judge.begin(at(2), 0);
    let waiting = judgement.postponed_before();
    assert!(waiting.contains(&beat(1).key));
    judgement.take(beat(1));
    let (_, documents) = judgement.end();
    assert_eq!(documents.len(), 1);
    let mut full = judge.begin(at(60), 1000);
    full.close_silent();
    drop(full.end());
    assert_eq!(happens(&mut judge, at(61), Vec::new()), ["beacon-closed"]);
}

#[test]
fn of_too_many_findings_the_closed_one_that_changed_longest_ago_is_forgotten_first() {
    let mut judge = judge_of(rules(), 2);
    for (place, minute) in [(1, 1), (2, 2)] {
        let seen = assessment(place, Severity::High, 40, at(minute));
        happens(&mut judge, at(minute), vec![seen]);
    }
    let mut second = latest(&judge);
    second.close(at(2));
    judge.findings.put(second.clone(), true);
    happens(
        &mut judge,
        at(3),
        vec![assessment(3, Severity::High, 40, at(3))],
    );
    assert_eq!((judge.findings.len(), judge.findings.forgotten()), (2, 1));
    let changes = judge.findings.take_changes();
    let forgotten = changes.iter().filter(|change| change.finding.is_none());
    let forgotten: Vec<_> = forgotten.map(|change| change.id).collect();
    assert_eq!(forgotten, [second.id]);
}

#[test]
fn the_board_keeps_the_best_scores_in_order() {
    let mut board = Board::new(2);
    for place in [10, 30, 20] {
        board.put(Arc::new(assessment(place, Severity::Low, 40, at(1))), at(2));
    }
    let places = |board: &Board, min_score: f64| {
        let octets = board
            .best(min_score)
            .map(|(_, it)| match it.assessment.key.destination {
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
    board.put(Arc::new(gated), at(2));
    assert_eq!(
        places(&board, 0.0),
        [20],
        "a series that a gate stops leaves the board"
    );
}

/// A beat of this process, which runs in this pod.
fn beat_of(minute: i64, pid: u32, pod: Option<&str>) -> Assessment {
    let owner = |pod: &str| {
        Arc::new(Owner {
            pod_name: Some(Arc::from(pod)),
            ..Owner::default()
        })
    };
    Assessment {
        process: Some(Arc::new(Process {
            pid,
            ..Process::default()
        })),
        owner: pod.map(owner),
        ..beat(minute)
    }
}

fn pod_of(judge: &Judge) -> Option<String> {
    let finding = judge.findings.iter().next().unwrap();
    let owner = finding.assessment().unwrap().owner.as_deref();
    owner.and_then(|it| it.pod_name.as_deref().map(str::to_owned))
}

#[test]
fn a_finding_learns_of_an_owner_without_another_beat_and_keeps_it_for_the_same_process() {
    let mut judge = judge();
    let documents = analyse(&mut judge, at(1), vec![beat_of(1, 7, None)]);
    assert_eq!(documents[0].get("orchestrator"), None);
    assert!(analyse(&mut judge, at(2), vec![beat_of(1, 7, Some("web"))]).is_empty());
    assert_eq!(pod_of(&judge).as_deref(), Some("web"));
    // As after a restart: the series does not know it, and beats on.
    let documents = analyse(&mut judge, at(90), vec![beat_of(90, 7, None)]);
    assert_eq!(actions(&documents), ["beacon-updated"]);
    assert_eq!(documents[0]["orchestrator"]["resource"]["name"], "web");
    analyse(&mut judge, at(91), vec![beat_of(91, 8, None)]);
    assert_eq!(pod_of(&judge), None, "another process's");
}
