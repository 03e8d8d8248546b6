//! Batches of telemetry: on disk when they are answered, counted once, told to come again when too much waits.

use std::io::Write;

use beaconwatch_sidecar::Sidecar;
use serde_json::{Value, json};

use crate::asking::Asking;
use crate::running::{Hands, PATIENCE, config_without_destinations, crash, start};

/// Beats of one packet each, a minute apart, as the published sensor posts them.
fn batch(id: &str, beats: std::ops::Range<u32>) -> Value {
    let events: Vec<Value> = beats
        .map(|beat| {
            json!({
                "timestamp_ns": 0,
                "timestamp_utc": format!("2025-11-22T08:{:02}:00", beat),
                "src_ip": "192.0.2.10", "dst_ip": "198.51.100.7",
                "src_port": 40_000 + beat, "dst_port": 443,
                "packet_size": 60, "protocol": 6, "protocol_name": "TCP",
                "tcp_flags": 2, "tcp_flags_list": ["SYN"],
                "direction": 1, "direction_name": "egress",
                "node_id": "node-1", "connection_key": "x",
            })
        })
        .collect();
    json!({
        "batch_id": id, "node_id": "node-1", "created_at": "2025-11-22T09:00:00",
        "event_count": events.len(), "tcp_count": events.len(), "udp_count": 0,
        "unique_connections": events.len(), "events": events,
    })
}

async fn connections(asking: &Asking) -> u64 {
    // The status is answered when what came before is applied.
    asking.read("/api/v1/status").await;
    let body = asking.read("/api/v1/connections").await;
    let pairs = body["pairs"].as_array().unwrap().iter();
    pairs
        .map(|pair| pair["connection_count"].as_u64().unwrap())
        .sum()
}

async fn running(folder: &std::path::Path) -> (Sidecar, Asking) {
    let sidecar = start(config_without_destinations(folder), &Hands::new()).await;
    let asking = Asking::of(&sidecar, folder);
    (sidecar, asking)
}

#[tokio::test]
async fn packets_become_connections_and_a_beacon() {
    let folder = tempfile::tempdir().unwrap();
    let (sidecar, asking) = running(folder.path()).await;
    let (status, answer) = asking.post("/api/v1/telemetry", &batch("b-1", 0..30)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["status"], "accepted");
    assert_eq!(
        (&answer["batch_id"], &answer["events_received"]),
        (&json!("b-1"), &json!(30))
    );
    assert_eq!(
        (&answer["repeated"], &answer["events_skipped"]),
        (&json!(false), &json!(0))
    );
    assert_eq!(connections(&asking).await, 30);
    sidecar.analyse().await.unwrap();
    let beacons = asking.read("/api/v1/beacons").await;
    assert_eq!(
        beacons["beacons"][0]["pair_key"],
        "192.0.2.10->198.51.100.7:443/TCP"
    );
    assert_eq!(beacons["beacons"][0]["interval_s"], 60.0);
    let sensors = asking.read("/api/v1/sensors").await;
    assert_eq!(sensors["sensors"][0]["id"], "telemetry:node-1");
    assert_eq!(sensors["sensors"][0]["missing"], 0);
}

#[tokio::test]
async fn a_batch_counts_once_however_often_it_comes_also_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let (sidecar, asking) = running(folder.path()).await;
    let one = batch("b-1", 0..20);
    assert_eq!(asking.post("/api/v1/telemetry", &one).await.0, 200);
    let (status, again) = asking.post("/api/v1/telemetry", &one).await;
    assert_eq!((status, &again["repeated"]), (200, &json!(true)));
    assert_eq!(connections(&asking).await, 20);

    // Before any checkpoint: the journal knows it.
    let crashed = crash(folder.path());
    let (after_crash, asking_after) = running(crashed.path()).await;
    assert_eq!(connections(&asking_after).await, 20);
    assert_eq!(asking_after.post("/api/v1/telemetry", &one).await.0, 200);
    assert_eq!(connections(&asking_after).await, 20);
    after_crash.stop(PATIENCE).await;

    // After a checkpoint: the state knows it.
    sidecar.analyse().await.unwrap();
    let crashed = crash(folder.path());
    let (_after_crash, asking_after) = running(crashed.path()).await;
    assert_eq!(asking_after.post("/api/v1/telemetry", &one).await.0, 200);
    assert_eq!(connections(&asking_after).await, 20);
    let other = batch("b-2", 20..25);
    assert_eq!(asking_after.post("/api/v1/telemetry", &other).await.0, 200);
    assert_eq!(connections(&asking_after).await, 25);
}

#[tokio::test]
async fn a_bad_event_is_skipped_alone_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let (_sidecar, asking) = running(folder.path()).await;
    let mut mixed = batch("b-1", 0..3);
    mixed["events"][1]["dst_ip"] = json!("nowhere");
    let (status, answer) = asking.post("/api/v1/telemetry", &mixed).await;
    assert_eq!(
        (status, &answer["events_skipped"]),
        (200, &json!(1)),
        "{answer}"
    );
    assert!(
        answer["problems"][0]
            .as_str()
            .unwrap()
            .contains("events[1]"),
        "{answer}"
    );
    assert_eq!(connections(&asking).await, 2);
    let inputs = &asking.read("/api/v1/status").await["inputs"];
    assert_eq!(inputs["telemetry_events"], 3);
    assert_eq!(inputs["telemetry_events_skipped"], 1);
}

#[tokio::test]
async fn what_is_no_batch_is_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config_without_destinations(folder.path());
    config.receive.max_records = 5;
    config.receive.max_body_bytes = 10_000;
    let sidecar = start(config, &Hands::new()).await;
    let asking = Asking::of(&sidecar, folder.path());
    let mut nameless = batch("", 0..1);
    for (body, expected) in [
        (nameless.clone(), 422),
        (json!({"batch_id": "b", "node_id": "n"}), 422),
        (json!([]), 422),
        (json!(7), 422),
        (batch("b-1", 0..6), 422),
        (batch("b-1", 0..55), 413),
    ] {
        let (status, answer) = asking.post("/api/v1/telemetry", &body).await;
        assert_eq!(status, expected, "{answer}");
    }
    nameless["batch_id"] = json!("b-1");
    let request = asking.request(reqwest::Method::POST, "/api/v1/telemetry");
    let answer = request.body(nameless.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 415, "without a content type");
    let request = asking.request(reqwest::Method::POST, "/api/v1/telemetry");
    let request = request.header("content-type", "application/json");
    let answer = request.body("{\"batch_id\":").send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(connections(&asking).await, 0);
}

#[tokio::test]
async fn a_compressed_batch_is_taken_and_a_bomb_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config_without_destinations(folder.path());
    config.receive.max_body_bytes = 100_000;
    let sidecar = start(config, &Hands::new()).await;
    let asking = Asking::of(&sidecar, folder.path());
    let post = async |plain: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(plain).unwrap();
        let request = asking.request(reqwest::Method::POST, "/api/v1/telemetry");
        let request = request
            .header("content-type", "application/json")
            .header("content-encoding", "gzip");
        let request = request.body(packed.finish().unwrap());
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(post(batch("b-1", 0..10).to_string().as_bytes()).await, 200);
    assert_eq!(post(&vec![b' '; 50_000_000]).await, 413);
    assert_eq!(connections(&asking).await, 10);
}

#[tokio::test]
async fn while_too_much_waits_a_batch_is_told_to_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config_without_destinations(folder.path());
    config.receive.max_requests = 1;
    config.receive.max_wait_ms = 0;
    let sidecar = start(config, &Hands::new()).await;
    let asking = Asking::of(&sidecar, folder.path());
    // A body that does not come holds the only place.
    let (sender, body) = tokio::io::duplex(64);
    let stuck = asking
        .request(reqwest::Method::POST, "/api/v1/telemetry")
        .header("content-type", "application/json")
        .body(reqwest::Body::wrap_stream(
            tokio_util::io::ReaderStream::new(body),
        ));
    let stuck = tokio::spawn(stuck.send());
    let refused = crate::running::until("the place is taken", || async {
        let one = batch("b-1", 0..1);
        let request = asking.request(reqwest::Method::POST, "/api/v1/telemetry");
        let request = request.header("content-type", "application/json");
        let answer = request.body(one.to_string()).send().await.unwrap();
        (answer.status() == 429).then_some(answer)
    });
    assert_eq!(refused.await.headers()["retry-after"], "2");
    drop(sender);
    assert!([400, 422].contains(&stuck.await.unwrap().unwrap().status().as_u16()));
    assert_eq!(
        asking
            .post("/api/v1/telemetry", &batch("b-1", 0..1))
            .await
            .0,
        200
    );
}
