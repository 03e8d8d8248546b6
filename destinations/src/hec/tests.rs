use serde_json::{Value, json};

use super::*;
use crate::peer::{Peer, Request};

fn document(number: u64) -> Document {
    let body = json!({
        "@timestamp": "2025-11-22T08:26:30.123Z",
        "event": {"id": format!("f-{number}")},
        "host": {"name": "web-1"},
    });
    Document {
        event_id: format!("f-{number}"),
        body: body.to_string(),
        stream: Stream::Detection,
    }
}

use crate::Stream;

fn documents(count: u64) -> Vec<Document> {
    (1..=count).map(document).collect()
}

struct Rig {
    destination: SplunkHec,
    peer: Peer,
    _folder: tempfile::TempDir,
}

/// A destination at a peer that answers each request with a status and a JSON body.
fn rig(
    acknowledge: bool,
    mut answer: impl FnMut(&Request, usize) -> (u16, Value) + Send + 'static,
) -> Rig {
    let peer = Peer::start(move |request, number| {
        let (status, body) = answer(request, number);
        (status, "", body.to_string())
    });
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "5ec2e7\n").unwrap();
    let config = SplunkHecConfig {
        url: peer.url(),
        token: Some(SecretSource::File(token)),
        index: Some("security".to_owned()),
        acknowledge,
        timeout_s: 5,
        ..SplunkHecConfig::default()
    };
    config.validate("destinations.splunk").unwrap();
    Rig {
        destination: SplunkHec::new(&config, None).unwrap(),
        peer,
        _folder: folder,
    }
}

/// Event ids of a request's envelopes.
fn ids(request: &Request) -> Vec<String> {
    let lines = request.text();
    let events = lines.lines().map(|line| {
        let envelope: Value = serde_json::from_str(line).unwrap();
        envelope["event"]["event"]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    });
    events.collect()
}

fn success() -> Value {
    json!({"text": "Success", "code": 0})
}

#[tokio::test]
async fn documents_go_in_envelopes_with_token_channel_and_compression() {
    let mut rig = rig(false, |_, _| (200, success()));
    let outcomes = rig.destination.deliver(&documents(2)).await.unwrap();
    assert_eq!(outcomes, [Outcome::Delivered, Outcome::Delivered]);
    let request = &rig.peer.requests()[0];
    assert!(
        request
            .head
            .starts_with("POST /services/collector/event HTTP/1.1")
    );
    assert_eq!(request.header("authorization"), Some("Splunk 5ec2e7"));
    let channel = request.header("x-splunk-request-channel").unwrap();
    assert!(uuid::Uuid::parse_str(channel).is_ok());
    assert_eq!(request.header("content-encoding"), Some("gzip"));
    let first: Value = serde_json::from_str(request.text().lines().next().unwrap()).unwrap();
    assert_eq!(
        first,
        json!({
            "time": 1_763_799_990.123,
            "host": "web-1",
            "source": "beaconwatch",
            "sourcetype": "beaconwatch:detection",
            "index": "security",
            "fields": {"event_id": "f-1"},
            "event": serde_json::from_str::<Value>(&document(1).body).unwrap(),
        })
    );
}

#[tokio::test]
async fn documents_about_sensors_have_a_source_type_of_their_own() {
    let rig = rig(false, |_, _| (200, success()));
    let sensor = Document {
        stream: Stream::Sensor,
        ..document(1)
    };
    let rendered = rig.destination.rendered(&[sensor]).unwrap();
    assert!(rendered.contains(r#""sourcetype":"beaconwatch:sensor""#));
    assert!(!rendered.contains("5ec2e7"), "the token is not shown");
}

#[tokio::test]
async fn an_invalid_document_is_refused_alone_and_the_others_are_sent_again() {
    let mut rig = rig(false, |request, _| {
        let bad = ids(request).iter().position(|id| id == "f-3");
        match bad {
            Some(number) => (
                400,
                json!({"text": "Invalid data format", "code": 6, "invalid-event-number": number}),
            ),
            None => (200, success()),
        }
    });
    let outcomes = rig.destination.deliver(&documents(5)).await.unwrap();
    for (number, outcome) in (1..).zip(&outcomes) {
        match outcome {
            Outcome::Refused { reason } => {
                assert_eq!(number, 3);
                assert!(reason.contains("Invalid data format (code 6)"), "{reason}");
            }
            other => assert_eq!(*other, Outcome::Delivered, "document {number}"),
        }
    }
    assert_eq!(rig.peer.requests().len(), 3);
}

#[tokio::test]
async fn codes_that_say_busy_or_wrong_token_put_everything_off() {
    for (status, code) in [
        (503, 9),
        (500, 8),
        (503, 18),
        (503, 20),
        (503, 23),
        (429, 26),
        (429, 27),
        (403, 4),
        (401, 2),
        (400, 10),
    ] {
        let answer = json!({"text": "Not now", "code": code});
        let mut rig = rig(false, move |_, _| (status, answer.clone()));
        let error = rig.destination.deliver(&documents(2)).await.unwrap_err();
        assert!(error.reason.contains(&format!("code {code}")), "{error}");
    }
}

#[tokio::test]
async fn an_index_that_is_not_allowed_refuses_all_of_a_batch() {
    let mut rig = rig(false, |_, _| {
        (
            400,
            json!({"text": "Incorrect index", "code": 7, "invalid-event-number": 0}),
        )
    });
    let outcomes = rig.destination.deliver(&documents(3)).await.unwrap();
    assert!(
        outcomes
            .iter()
            .all(|it| matches!(it, Outcome::Refused { .. }))
    );
    assert_eq!(rig.peer.requests().len(), 1);
}

#[tokio::test]
async fn what_is_too_large_is_split_until_the_one_document_is_alone() {
    let mut rig = rig(false, |request, _| match ids(request).as_slice() {
        ids if ids.iter().any(|id| id == "f-2") => (413, json!("too large")),
        _ => (200, success()),
    });
    let outcomes = rig.destination.deliver(&documents(4)).await.unwrap();
    assert!(matches!(outcomes[1], Outcome::Refused { .. }));
    let delivered = outcomes.iter().filter(|it| **it == Outcome::Delivered);
    assert_eq!(delivered.count(), 3);
}

#[tokio::test]
async fn a_server_that_turns_busy_in_the_middle_keeps_what_it_took() {
    let mut rig = rig(false, |request, number| match number {
        0 => (413, json!("too large")),
        1 => {
            assert_eq!(ids(request), ["f-1"]);
            (200, success())
        }
        _ => (503, json!({"text": "Server is busy", "code": 9})),
    });
    let outcomes = rig.destination.deliver(&documents(2)).await.unwrap();
    assert_eq!(outcomes[0], Outcome::Delivered);
    assert!(matches!(&outcomes[1], Outcome::Retry { reason, .. } if reason.contains("busy")));
}

#[tokio::test]
async fn a_page_instead_of_an_answer_counts_as_unknown() {
    for (status, body) in [(200, json!("<html>")), (200, json!({})), (302, json!(""))] {
        let mut rig = rig(false, move |_, _| (status, body.clone()));
        assert!(rig.destination.deliver(&documents(1)).await.is_err());
    }
}

#[tokio::test]
async fn queues_that_run_full_are_no_reason_to_send_again() {
    let mut rig = rig(false, |_, _| {
        (200, json!({"text": "Queue is full soon", "code": 24}))
    });
    let outcomes = rig.destination.deliver(&documents(1)).await.unwrap();
    assert_eq!(outcomes, [Outcome::Delivered]);
}

#[tokio::test]
async fn with_acknowledgement_a_document_is_delivered_when_the_indexers_say_so() {
    let mut rig = rig(true, |request, number| {
        if request.head.starts_with("POST /services/collector/ack ") {
            let asked: Value = serde_json::from_str(&request.text()).unwrap();
            assert_eq!(asked, json!({"acks": [7]}));
            return (200, json!({"acks": {"7": number > 1}}));
        }
        (200, json!({"text": "Success", "code": 0, "ackId": 7}))
    });
    let outcomes = rig.destination.deliver(&documents(2)).await.unwrap();
    let tickets: Vec<Ticket> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Awaiting(ticket) => *ticket,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_ne!(tickets[0], tickets[1]);
    assert_eq!(rig.destination.confirm().await.unwrap(), []);
    let confirmed = rig.destination.confirm().await.unwrap();
    assert_eq!(
        confirmed,
        tickets
            .iter()
            .map(|it| (*it, Confirmation::Delivered))
            .collect::<Vec<_>>()
    );
    assert_eq!(
        rig.destination.confirm().await.unwrap(),
        [],
        "nothing is left to ask"
    );
    let channels: Vec<_> = rig.peer.requests();
    let channels: std::collections::BTreeSet<_> = channels
        .iter()
        .map(|it| it.header("x-splunk-request-channel").unwrap())
        .collect();
    assert_eq!(channels.len(), 1);
}

#[tokio::test]
async fn a_token_without_acknowledgement_leaves_documents_unconfirmed() {
    let mut rig = rig(true, |_, _| (200, success()));
    let outcomes = rig.destination.deliver(&documents(1)).await.unwrap();
    assert_eq!(outcomes, [Outcome::Unconfirmed]);
}

#[test]
fn what_is_not_acknowledged_in_time_or_forgotten_by_the_server_is_lost() {
    let start = Instant::now();
    let mut waiting = Acknowledgements::new(Duration::from_mins(1));
    let first: Vec<Ticket> = waiting.expect(0, 2, start).collect();
    let second: Vec<Ticket> = waiting
        .expect(1, 1, start + Duration::from_secs(30))
        .collect();
    // The server was started again and counts from 0.
    let third: Vec<Ticket> = waiting
        .expect(0, 1, start + Duration::from_secs(40))
        .collect();
    let lost = |found: Vec<(Ticket, Confirmation)>| -> Vec<Ticket> {
        assert!(
            found
                .iter()
                .all(|(_, it)| matches!(it, Confirmation::Lost { .. }))
        );
        found.into_iter().map(|(ticket, _)| ticket).collect()
    };
    assert_eq!(
        lost(waiting.expired(start + Duration::from_secs(59))),
        first
    );
    assert_eq!(
        lost(waiting.expired(start + Duration::from_secs(90))),
        second
    );
    assert_eq!(
        lost(waiting.expired(start + Duration::from_secs(100))),
        third
    );
    assert_eq!(waiting.question(), None);
}

#[test]
fn many_numbers_are_asked_for_in_turn() {
    let mut waiting = Acknowledgements::new(Duration::from_mins(1));
    for id in 0..2500 {
        drop(waiting.expect(id, 1, Instant::now()));
    }
    let mut asked = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let question: Value = serde_json::from_str(&waiting.question().unwrap()).unwrap();
        let ids = question["acks"].as_array().unwrap();
        assert!(ids.len() <= 1000);
        asked.extend(ids.iter().map(|id| id.as_u64().unwrap()));
    }
    assert_eq!(asked.len(), 2500);
}

#[test]
fn settings_that_cannot_be_are_named() {
    let error =
        |config: SplunkHecConfig| config.validate("destinations.s").unwrap_err().to_string();
    let complete = SplunkHecConfig {
        token: Some(SecretSource::Env("TOKEN".to_owned())),
        ..SplunkHecConfig::default()
    };
    assert!(complete.validate("destinations.s").is_ok());
    let none = error(SplunkHecConfig::default());
    assert!(none.contains("destinations.s.token"), "{none}");
    let url = error(SplunkHecConfig {
        url: "splunk:8088".to_owned(),
        ..complete.clone()
    });
    assert!(url.contains("destinations.s.url"), "{url}");
    let time = error(SplunkHecConfig {
        acknowledge_timeout_s: 4,
        ..complete
    });
    assert!(time.contains("acknowledge_timeout_s is 4"), "{time}");
}
