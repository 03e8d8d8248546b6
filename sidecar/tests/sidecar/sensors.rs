//! Sensors that fall silent, come back, and lose records.

use beaconwatch_sidecar::Sidecar;
use serde_json::Value;

use crate::flows::{SECOND, START, request, whole_flow};
use crate::running::{Hands, PATIENCE, config, documents, start};

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

async fn state(sidecar: &Sidecar, exporter: &str) -> &'static str {
    let status = sidecar.status().await.unwrap();
    let mut exporters = status.exporters.iter();
    exporters.find(|it| it.id == exporter).unwrap().state
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
    assert_eq!(state(&sidecar, "exporter-1").await, "live");
    hands.forward(SILENCE);
    sidecar.analyse().await.unwrap();
    sidecar.analyse().await.unwrap();
    assert_eq!(state(&sidecar, "exporter-1").await, "silent");
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
    assert_eq!(state(&sidecar, "exporter-1").await, "live");
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
    assert_eq!(state(&again, "exporter-1").await, "live");
    hands.forward(SILENCE);
    again.analyse().await.unwrap();
    assert_eq!(state(&again, "upload").await, "live");
    let found = stopped(again, folder.path()).await;
    assert_eq!(actions(&found), ["sensor-silent"]);
    assert_eq!(found[0].1["beaconwatch"]["sensor"]["id"], "exporter-1");
}

#[tokio::test]
async fn records_that_stay_away_are_reported_and_those_out_of_order_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let sidecar = start(config(folder.path()), &hands).await;
    send(&sidecar, "exporter-1", (0..5).chain(9..12)).await;
    sidecar.analyse().await.unwrap();
    sidecar.analyse().await.unwrap();
    send(&sidecar, "exporter-1", 5..9).await;
    hands.forward(121);
    sidecar.analyse().await.unwrap();
    send(&sidecar, "exporter-1", 20..25).await;
    for _ in 0..2 {
        hands.forward(121);
        sidecar.analyse().await.unwrap();
    }
    assert_eq!(state(&sidecar, "exporter-1").await, "gaps");
    send(&sidecar, "exporter-1", 12..20).await;
    sidecar.analyse().await.unwrap();
    let found = stopped(sidecar, folder.path()).await;
    assert_eq!(actions(&found), ["sensor-gap", "sensor-recovered"]);
    assert_eq!(found[0].1["beaconwatch"]["sensor"]["missing"], 8);
    assert_eq!(found[0].1["message"], "Sensor web-3 lost 8 records");
    assert_eq!(found[1].1["beaconwatch"]["sensor"]["missing"], 0);
}
