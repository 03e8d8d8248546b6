//! A store that the first version of the program has written (`tests/fixtures/README.md`).

use std::io::Read as _;

use beaconwatch_sidecar::Config;
use beaconwatch_sidecar::destinations::{DestinationKind, ElasticsearchConfig};

use crate::bulk_server::BulkServer;
use crate::flows::{SECOND, START, beacon, request};
use crate::running::{Hands, PATIENCE, config, documents, start, until};

const STORE: &[u8] = include_bytes!("../fixtures/store-version-1.redb.gz");

fn unpack(folder: &std::path::Path) {
    let mut store = Vec::new();
    let mut packed = flate2::read::GzDecoder::new(STORE).take(16 << 20);
    packed.read_to_end(&mut store).unwrap();
    std::fs::write(folder.join("beaconwatch.redb"), store).unwrap();
}

#[tokio::test]
async fn a_store_of_the_first_version_goes_on_with_its_findings_documents_and_exporters() {
    let folder = tempfile::tempdir().unwrap();
    unpack(folder.path());
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
    let status = sidecar.status().await.unwrap();
    assert_eq!((status.findings.known, status.detector.series), (2, 2));
    let received = |id: &str| {
        let exporter = status.exporters.iter().find(|it| it.id == id).unwrap();
        (exporter.received, exporter.missing)
    };
    assert_eq!(received("exporter-1"), (50, 0), "the journal was scored");
    assert_eq!(received("exporter-2"), (60, 0));
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
