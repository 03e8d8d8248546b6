//! Sensors that fall silent, come back, and lose records.

use beaconwatch_sidecar::SensorState::{Gaps, Live, Silent};
use beaconwatch_sidecar::{SensorState, Sidecar};
use serde_json::Value;

use crate::asking::Asking;
use crate::flows::{SECOND, START, heartbeat, request, whole_flow};
use crate::running::{Hands, PATIENCE, config, crash, documents, start};

/// Seconds after which a sensor is silent, by default, and a little more.
const SILENCE: i64 = 301;

/// Records of an exporter with these numbers.
async fn send(sidecar: &Sidecar, exporter: &str, numbers: impl IntoIterator<Item = u64>) {
    let records = numbers.into_iter().map(|number| {
        let time = START + i64::try_from(number * number).unwrap() * SECOND;
        whole_flow(exporter, number, "198.51.100.9", time)
    });
    let accepted = sidecar.receiver().accept(request(records.collect())).await;
    accepted.unwrap();
}

async fn state(sidecar: &Sidecar, exporter: &str) -> SensorState {
    let status = sidecar.status().await.unwrap();
    let mut exporters = status.exporters.iter();
    exporters.find(|it| it.id == exporter).unwrap().state
}

async fn beat(sidecar: &Sidecar, exporter: &str, number: u64) {
    let beat = request(vec![heartbeat(exporter, number)]);
    sidecar.receiver().accept(beat).await.unwrap();
}

/// Documents by what happened, when all of them are delivered.
async fn stopped(sidecar: Sidecar, folder: &std::path::Path) -> Vec<(String, Value)> {
    sidecar.stop(PATIENCE).await;
    let documents = documents(folder).into_iter();
    documents
        .map(|it| (it["event"]["action"].as_str().unwrap().to_owned(), it))
        .collect()
}

fn actions(documents: &[(String, Value)]) -> Vec<&str> {
    documents
        .iter()
        .map(|(action, _)| action.as_str())
        .collect()
}

/// An exporter that has sent for long enough to be missed.
async fn live(sidecar: &Sidecar, hands: &Hands, exporter: &str) {
    send(sidecar, exporter, 0..5).await;
    hands.forward(SILENCE);
    send(sidecar, exporter, 5..10).await;
}

#[tokio::test]
async fn a_sensor_that_falls_silent_and_comes_back_is_reported_once_each() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let sidecar = start(config(folder.path()), &hands).await;
    live(&sidecar, &hands, "exporter-1").await;
    sidecar.analyse().await.unwrap();
    assert_eq!(state(&sidecar, "exporter-1").await, Live);
    hands.forward(SILENCE);
    sidecar.analyse().await.unwrap();
    sidecar.analyse().await.unwrap();
    assert_eq!(state(&sidecar, "exporter-1").await, Silent);
    send(&sidecar, "exporter-1", 10..12).await;
    sidecar.analyse().await.unwrap();
    let found = stopped(sidecar, folder.path()).await;
    assert_eq!(actions(&found), ["sensor-silent", "sensor-recovered"]);
    let silent = &found[0].1;
    assert_eq!(silent["message"], "Sensor web-3 fell silent");
    assert_eq!(silent["event"]["dataset"], "beaconwatch.sensor");
    assert_eq!(silent["beaconwatch"]["sensor"]["id"], "exporter-1");
    assert_eq!(found[1].1["beaconwatch"]["finding"]["state"], "closed");
}

#[tokio::test]
async fn an_exporter_that_was_started_again_is_not_missed() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let sidecar = start(config(folder.path()), &hands).await;
    live(&sidecar, &hands, "exporter-1").await;
    hands.forward(60);
    send(&sidecar, "exporter-2", 0..5).await;
    hands.forward(SILENCE - 60);
    sidecar.analyse().await.unwrap();
    assert_eq!(state(&sidecar, "exporter-1").await, Live);
    assert!(stopped(sidecar, folder.path()).await.is_empty());
}

#[tokio::test]
async fn what_was_sent_once_and_what_was_silent_while_nobody_listened_is_not_missed() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let sidecar = start(config(folder.path()), &hands).await;
    send(&sidecar, "upload", 0..20).await;
    live(&sidecar, &hands, "exporter-1").await;
    sidecar.analyse().await.unwrap();
    sidecar.stop(PATIENCE).await;
    hands.forward(10 * SILENCE);
    let again = start(config(folder.path()), &hands).await;
    again.analyse().await.unwrap();
    assert_eq!(state(&again, "exporter-1").await, Live);
    hands.forward(SILENCE);
    again.analyse().await.unwrap();
    assert_eq!(state(&again, "upload").await, Live);
    let found = stopped(again, folder.path()).await;
    assert_eq!(actions(&found), ["sensor-silent"]);
    assert_eq!(found[0].1["beaconwatch"]["sensor"]["id"], "exporter-1");
}

#[tokio::test]
async fn records_that_stay_away_are_reported_and_those_out_of_order_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let mut config = config(folder.path());
    // Its connections are even enough to be a beacon; here the records count.
    config.detector.evidence.alert_threshold = 1.0;
    let sidecar = start(config, &hands).await;
    send(&sidecar, "exporter-1", (0..5).chain(9..12)).await;
    sidecar.analyse().await.unwrap();
    sidecar.analyse().await.unwrap();
    send(&sidecar, "exporter-1", 5..9).await;
    hands.forward(121);
    sidecar.analyse().await.unwrap();
    send(&sidecar, "exporter-1", 20..25).await;
    hands.forward(119);
    sidecar.analyse().await.unwrap();
    assert!(documents(folder.path()).is_empty(), "it may still come");
    hands.forward(1);
    sidecar.analyse().await.unwrap();
    assert_eq!(state(&sidecar, "exporter-1").await, Gaps);
    send(&sidecar, "exporter-1", 12..20).await;
    sidecar.analyse().await.unwrap();
    let found = stopped(sidecar, folder.path()).await;
    assert_eq!(actions(&found), ["sensor-gap", "sensor-recovered"]);
    assert_eq!(found[0].1["beaconwatch"]["sensor"]["missing"], 8);
    assert_eq!(found[0].1["message"], "Sensor web-3 lost 8 records");
    assert_eq!(found[1].1["beaconwatch"]["sensor"]["missing"], 0);
}

#[tokio::test]
async fn an_idle_exporter_is_live_while_its_heartbeats_come_and_silent_when_they_end() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let sidecar = start(config(folder.path()), &hands).await;
    for number in 0..20 {
        beat(&sidecar, "exporter-1", number).await;
        hands.forward(60);
        sidecar.analyse().await.unwrap();
        assert_eq!(state(&sidecar, "exporter-1").await, Live);
    }
    let status = sidecar.status().await.unwrap();
    assert_eq!((status.receive.heartbeats, status.receive.records), (20, 0));
    assert_eq!(status.receive.foreign, 0);
    assert_eq!(
        (status.exporters[0].received, status.detector.series),
        (20, 0)
    );
    assert_eq!(status.exporters[0].host_name.as_deref(), Some("web-3"));
    hands.forward(SILENCE);
    sidecar.analyse().await.unwrap();
    assert_eq!(state(&sidecar, "exporter-1").await, Silent);
    let found = stopped(sidecar, folder.path()).await;
    assert_eq!(actions(&found), ["sensor-silent"]);
    assert_eq!(found[0].1["message"], "Sensor web-3 fell silent");
}

#[tokio::test]
async fn an_idle_exporter_that_was_started_again_is_not_missed() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let sidecar = start(config(folder.path()), &hands).await;
    for number in 0..10 {
        beat(&sidecar, "exporter-1", number).await;
        hands.forward(60);
    }
    beat(&sidecar, "exporter-2", 0).await;
    hands.forward(SILENCE);
    sidecar.analyse().await.unwrap();
    assert_eq!(state(&sidecar, "exporter-1").await, Live);
    assert!(stopped(sidecar, folder.path()).await.is_empty());
}

#[tokio::test]
async fn records_lost_before_an_idle_time_show_with_the_next_heartbeat_over_a_restart_too() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let sidecar = start(config(folder.path()), &hands).await;
    send(&sidecar, "exporter-1", 0..5).await;
    // 5 to 7 were lost on the way.
    beat(&sidecar, "exporter-1", 8).await;
    let status = sidecar.status().await.unwrap();
    assert_eq!(status.exporters[0].missing, 3);
    assert_eq!(status.exporters[0].gaps, [(5, 7)]);
    // What is only in the journal counts after a crash as well.
    let crashed = crash(folder.path());
    drop(sidecar);
    let again = start(config(crashed.path()), &hands).await;
    again.analyse().await.unwrap();
    hands.forward(120);
    again.analyse().await.unwrap();
    assert_eq!(state(&again, "exporter-1").await, Gaps);
    let found = stopped(again, crashed.path()).await;
    assert_eq!(actions(&found), ["sensor-gap"]);
    assert_eq!(found[0].1["message"], "Sensor web-3 lost 3 records");
}

#[tokio::test]
async fn the_list_of_sensors_says_which_of_them_are_silent() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let sidecar = start(config(folder.path()), &hands).await;
    live(&sidecar, &hands, "exporter-1").await;
    hands.forward(SILENCE);
    sidecar.analyse().await.unwrap();
    let asking = Asking::of(&sidecar, folder.path());
    let sensors = asking.read("/api/v1/sensors").await;
    assert_eq!(sensors["sensors"][0]["state"], "silent");
    assert_eq!(sensors["sensors"][0]["host_name"], "web-3");
}
