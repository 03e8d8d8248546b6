//! Stores that earlier versions of the program have written (`tests/fixtures/README.md`).

use std::io::Read as _;

use beaconwatch_sidecar::destinations::{DestinationKind, ElasticsearchConfig};
use beaconwatch_sidecar::{Config, Sidecar};

use crate::asking::Asking;
use crate::bulk_server::BulkServer;
use crate::flows::{SECOND, START, beacon, request};
use crate::running::{Hands, PATIENCE, config, documents, start, until};

const VERSION_1: &[u8] = include_bytes!("../fixtures/store-version-1.redb.gz");
const VERSION_2: &[u8] = include_bytes!("../fixtures/store-version-2.redb.gz");

fn unpack(store: &[u8], folder: &std::path::Path) {
    let mut packed = flate2::read::GzDecoder::new(store).take(16 << 20);
    let mut store = Vec::new();
    packed.read_to_end(&mut store).unwrap();
    std::fs::write(folder.join("beaconwatch.redb"), store).unwrap();
}

/// Both stores were written by a sidecar that had seen the same.
async fn expect_what_was_stored(sidecar: &Sidecar) {
    let status = sidecar.status().await.unwrap();
    assert_eq!((status.findings.known, status.detector.series), (2, 2));
    let received = |id: &str| {
        let exporter = status.exporters.iter().find(|it| it.id == id).unwrap();
        (exporter.received, exporter.missing)
    };
    assert_eq!(received("exporter-1"), (50, 0), "the journal was scored");
    assert_eq!(received("exporter-2"), (60, 0));
}

#[tokio::test]
async fn a_store_of_the_first_version_goes_on_with_its_findings_documents_and_exporters() {
    let folder = tempfile::tempdir().unwrap();
    unpack(VERSION_1, folder.path());
    let server = BulkServer::default();
    let search = DestinationKind::Elasticsearch(ElasticsearchConfig {
        url: format!("http://{}", server.listen().await),
        ..ElasticsearchConfig::default()
    });
    let mut config: Config = config(folder.path());
    config
        .destinations
        .insert("search".to_owned(), search.into());
    let hands = Hands::new();
    let sidecar = start(config, &hands).await;
    until("what waited for the search engine arrives", async || {
        Some(()).filter(|()| server.documents().len() == 2)
    })
    .await;
    expect_what_was_stored(&sidecar).await;
    let old: Vec<String> = server.documents().into_keys().collect();
    let begin = START + 3000 * SECOND;
    hands.forward(1800);
    let more = request(beacon("exporter-1", 50, "198.51.100.7", begin, 60, 30));
    sidecar.receiver().accept(more).await.unwrap();
    assert_eq!(sidecar.analyse().await.unwrap().documents, 1);
    sidecar.stop(PATIENCE).await;
    let found = documents(folder.path());
    assert_eq!(
        found.len(),
        1,
        "what was delivered before is not written again"
    );
    assert_eq!(found[0]["event"]["action"], "beacon-updated");
    assert_eq!(found[0]["beaconwatch"]["finding"]["revision"], 2);
    assert_eq!(found[0]["beaconwatch"]["count"], 80);
    let finding = found[0]["beaconwatch"]["finding"]["id"].as_str().unwrap();
    assert!(old.contains(&format!("{finding}-1")), "{finding}: {old:?}");
}

/// What the store of the second version held, as the API shows it.
async fn holds_what_version_2_held(folder: &std::path::Path) {
    let server = BulkServer::default();
    let search = DestinationKind::Elasticsearch(ElasticsearchConfig {
        url: format!("http://{}", server.listen().await),
        ..ElasticsearchConfig::default()
    });
    let mut config: Config = config(folder);
    config
        .destinations
        .insert("search".to_owned(), search.into());
    let hands = Hands::new();
    // 2026-11-25T16:20:00Z, some seconds after the last request.
    hands.forward(368 * 86_400 + 26_400);
    let sidecar = start(config, &hands).await;
    let overrides = &sidecar.configuration().overrides;
    let threshold = &overrides["detector"]["seed"]["alert_threshold"];
    assert_eq!(*threshold, 0.65);
    until("what waited for the search engine arrives", async || {
        let documents = server.documents();
        let mut first = documents.iter().filter(|(id, _)| id.ends_with("-1"));
        first
            .find(|(_, body)| body["destination"]["ip"] == "198.51.100.7")
            .map(drop)
    })
    .await;
    expect_what_was_stored(&sidecar).await;
    let letters = sidecar.dead_letters("search", 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].1.reason, "400: t: no");
    let asking = Asking::of(&sidecar, folder);
    let allowed = asking.read("/api/v1/allow").await;
    assert_eq!(allowed["entries"][0]["destination"], "203.0.113.0/24");
    let audit = asking.read("/api/v1/audit").await;
    let actions = audit["entries"].as_array().unwrap().iter();
    let actions: Vec<&str> = actions.map(|it| it["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["allow.add", "config.change", "alert.comment"]);
    let alerts = asking.read("/api/v1/alerts").await.to_string();
    assert!(alerts.contains("198.51.100.7") && alerts.contains("198.51.100.8"));
    sidecar.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_store_of_the_second_version_gets_checksums_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    unpack(VERSION_2, folder.path());
    holds_what_version_2_held(folder.path()).await;
}

#[tokio::test]
async fn a_store_of_the_second_version_is_salvaged_into_one_of_this_version() {
    let folder = tempfile::tempdir().unwrap();
    unpack(VERSION_2, folder.path());
    let old = folder.path().join("old.redb");
    let new = folder.path().join("beaconwatch.redb");
    std::fs::rename(&new, &old).unwrap();
    let report = beaconwatch_sidecar::salvage(&old, &new).unwrap();
    assert!(report.is_whole(), "{report:?}");
    holds_what_version_2_held(folder.path()).await;
}

#[test]
fn a_store_of_the_first_version_is_not_salvaged_and_the_error_says_why() {
    let folder = tempfile::tempdir().unwrap();
    unpack(VERSION_1, folder.path());
    let out = folder.path().join("new.redb");
    let refused = beaconwatch_sidecar::salvage(&folder.path().join("beaconwatch.redb"), &out);
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("schema version 1"), "{error}");
    assert!(!out.exists());
}
