use beaconwatch_detector::{Phase, Side, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::telemetry::{Connections, Limits, decode};

const SYN: u64 = 2;
const ACK: u64 = 16;
const FIN: u64 = 1;

fn event(at_s: f64, from: (&str, u16), to: (&str, u16), flags: u64) -> Value {
    json!({
        "timestamp_ns": (1_700_000_000.0 + at_s) * 1e9, "src_ip": from.0, "dst_ip": to.0,
        "src_port": from.1, "dst_port": to.1, "packet_size": 60, "protocol": 6, "protocol_name": "TCP",
        "tcp_flags": flags, "tcp_flags_list": [], "direction": 1, "direction_name": "egress",
        "node_id": "node-1", "connection_key": "k"
    })
}

fn batch(id: &str, events: &[Value]) -> Vec<u8> {
    let batch = json!({
        "batch_id": id, "node_id": "node-1", "created_at": "2023-11-14T22:13:20Z",
        "event_count": events.len(), "tcp_count": events.len(), "udp_count": 0,
        "unique_connections": 1, "events": events,
        "data_plane_stats": {"events_dropped_ebpf": 3, "events_dropped_overflow": 1}
    });
    serde_json::to_vec(&batch).unwrap()
}

const CLIENT: (&str, u16) = ("10.0.0.1", 40_000);
const SERVER: (&str, u16) = ("192.0.2.1", 443);

/// A whole connection of five packets.
fn connection(at_s: f64) -> Vec<Value> {
    vec![
        event(at_s, CLIENT, SERVER, SYN),
        event(at_s + 0.1, SERVER, CLIENT, SYN | ACK),
        event(at_s + 0.2, CLIENT, SERVER, ACK),
        event(at_s + 0.3, CLIENT, SERVER, FIN | ACK),
        event(at_s + 0.4, SERVER, CLIENT, FIN | ACK),
    ]
}

#[test]
fn packets_of_one_connection_over_two_batches_are_one_connection() {
    let events = connection(0.0);
    let mut connections = Connections::new(Limits::default());
    let first = connections.take(&decode(&batch("1", &events[..2]), 100).unwrap());
    let second = connections.take(&decode(&batch("2", &events[2..]), 100).unwrap());
    assert_eq!(phases(&first.observations), [Phase::Opened]);
    assert_eq!(second.observations, []);
    let last = connections.expire(Timestamp::from_unix_seconds(1_700_000_100.0).unwrap());
    let [closed] = last.as_slice() else {
        panic!("{last:?}")
    };
    let opened = &first.observations[0];
    assert_eq!(
        (closed.phase, closed.connection),
        (Phase::Closed, opened.connection)
    );
    assert_eq!((closed.bytes_out, closed.bytes_in), (Some(180), Some(120)));
    assert_eq!(closed.duration, Some(Duration::from_millis(400)));
    assert_eq!(closed.established, Some(true));
    assert_eq!(opened.key.source, "10.0.0.1".parse::<IpAddr>().unwrap());
    assert_eq!(
        (opened.source_port, opened.key.destination_port),
        (40_000, 443)
    );
    assert_eq!((&*opened.key.host, opened.side), ("node-1", Side::Between));
}

#[test]
fn a_port_used_again_for_the_next_connection_counts_again() {
    let events: Vec<Value> = (0..5)
        .flat_map(|n| connection(60.0 * f64::from(n)))
        .collect();
    let batch = decode(&batch("1", &events), 100).unwrap();
    let taken = Connections::new(Limits::default()).take(&batch);
    let opened = taken
        .observations
        .iter()
        .filter(|it| it.phase == Phase::Opened);
    let times: Vec<f64> = opened.map(|it| it.time.unix_seconds() - 1.7e9).collect();
    assert_eq!(times, [0.0, 60.0, 120.0, 180.0, 240.0]);
}

#[test]
fn a_batch_sent_again_tells_nothing_again() {
    let batch = decode(&batch("1", &connection(0.0)), 100).unwrap();
    let mut connections = Connections::new(Limits::default());
    assert!(!connections.take(&batch).repeated);
    let again = connections.take(&batch);
    assert!(again.repeated && again.observations.is_empty());
}

#[test]
fn a_bad_event_is_counted_by_field_and_costs_no_neighbour() {
    let mut events = connection(0.0);
    events[1]["src_ip"] = json!("10.0.0.256");
    events[2]["dst_port"] = json!(70_000);
    events[3].as_object_mut().unwrap().remove("timestamp_ns");
    let batch = decode(&batch("1", &events), 100).unwrap();
    assert_eq!((batch.events_received, batch.events_skipped), (5, 3));
    assert_eq!(batch.events.len(), 2);
    assert_eq!(
        batch.problems[0],
        "events[1].src_ip: expected an IPv4 or IPv6 address, got \"10.0.0.256\""
    );
    assert!(
        batch.problems[2].contains("events[3].timestamp"),
        "{:?}",
        batch.problems
    );
    let stats = batch.data_plane_stats.unwrap();
    assert_eq!(
        (stats.events_dropped_ebpf, stats.events_dropped_overflow),
        (3, 1)
    );
}

#[test]
fn what_is_no_batch_or_too_large_is_refused_with_a_reason() {
    for (body, expected) in [
        (&b"{"[..], "not a telemetry batch"),
        (b"[]", "batch_id"),
        (
            br#"{"batch_id":"1","node_id":"n"}"#,
            "missing field `events`",
        ),
        (br#"{"batch_id":"","node_id":"n","events":[]}"#, "batch_id"),
        (br#"{"batch_id":"1","events":[]}"#, "node_id"),
        (
            br#"{"batch_id":"1","node_id":"n","events":[7]}"#,
            "invalid type",
        ),
        (
            br#"{"batch_id":"1","node_id":"n","events":[]} x"#,
            "trailing",
        ),
    ] {
        let error = decode(body, 100).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = decode(&batch("1", &connection(0.0)), 4).unwrap_err();
    assert!(error.to_string().contains("more than 4 events"), "{error}");
}

#[test]
fn times_as_text_and_to_the_nanosecond_are_understood() {
    let mut events = connection(0.0);
    events[0]["timestamp_utc"] = json!("2023-11-14T22:13:20.5Z");
    events[1]["timestamp_ns"] = json!(1_700_000_000_123_456_789_u64);
    events[2]["timestamp_utc"] = json!("2023-11-14 22:13:21");
    let batch = decode(&batch("1", &events[..3]), 100).unwrap();
    let times: Vec<i64> = batch.events.iter().map(|it| it.time.unix_nanos()).collect();
    assert_eq!(
        times,
        [
            1_700_000_000_500_000_000,
            1_700_000_000_123_456_789,
            1_700_000_001_000_000_000
        ]
    );
}

#[test]
fn connections_and_nodes_stay_within_their_limits() {
    let limits = Limits {
        nodes_max: 2,
        connections_max: 3,
    };
    let mut connections = Connections::new(limits);
    for node in 0..5 {
        let events: Vec<Value> = (0..10)
            .map(|port| event(f64::from(port), ("10.0.0.1", 1000 + port), SERVER, SYN))
            .collect();
        let mut batch = decode(&batch("1", &events), 100).unwrap();
        batch.node_id = format!("node-{node}");
        let taken = connections.take(&batch);
        let count = |phase| {
            taken
                .observations
                .iter()
                .filter(|it| it.phase == phase)
                .count()
        };
        assert_eq!(count(Phase::Opened), 10);
        assert!(count(Phase::Closed) >= 7);
    }
    assert_eq!(connections.evicted(), 35);
}
