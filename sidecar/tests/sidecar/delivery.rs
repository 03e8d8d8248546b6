//! Deliveries to a data stream, with the faults of real ones.

use std::collections::BTreeMap;
use std::path::Path;

use beaconwatch_sidecar::destinations::{
    Authentication, DestinationKind, ElasticsearchConfig, SecretSource,
};
use beaconwatch_sidecar::{Config, DestinationConfig, DestinationStatus, Sidecar};
use opentelemetry_proto::tonic::logs::v1::LogRecord;

use crate::bulk_server::{BulkServer, Fault};
use crate::flows::{START, beacon, request};
use crate::running::{Hands, PATIENCE, config, start, until};

/// Beacons to so many places: each becomes one document.
pub(crate) fn beacons(places: u64) -> Vec<LogRecord> {
    (0..places)
        .flat_map(|place| {
            let destination = format!("198.51.100.{}", place + 1);
            beacon("exporter-1", place * 40, &destination, START, 60, 40)
        })
        .collect()
}

fn search(url: String) -> ElasticsearchConfig {
    ElasticsearchConfig {
        url,
        timeout_s: 1,
        ..ElasticsearchConfig::default()
    }
}

fn delivering_to(folder: &Path, destination: ElasticsearchConfig) -> Config {
    let destination = DestinationKind::Elasticsearch(destination).into();
    let destinations = BTreeMap::from([("search".to_owned(), destination)]);
    Config {
        destinations,
        ..config(folder)
    }
}

async fn search_status(sidecar: &Sidecar) -> DestinationStatus {
    let status = sidecar.status().await.unwrap();
    status
        .destinations
        .into_iter()
        .find(|it| it.name == "search")
        .unwrap()
}

/// Detects four beacons and waits until all of their documents are settled.
async fn deliver_four(server: &BulkServer) -> (DestinationStatus, Sidecar, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{}", server.listen().await);
    let sidecar = start(delivering_to(folder.path(), search(url)), &Hands::new()).await;
    sidecar
        .receiver()
        .accept(request(beacons(4)))
        .await
        .unwrap();
    assert_eq!(sidecar.analyse().await.unwrap().documents, 4);
    let settled = until("all documents are settled", async || {
        Some(search_status(&sidecar).await).filter(|it| it.pending == 0)
    })
    .await;
    (settled, sidecar, folder)
}

#[tokio::test]
async fn documents_are_created_once_with_their_event_id_and_a_template_before_them() {
    let server = BulkServer::default();
    let (status, ..) = deliver_four(&server).await;
    assert_eq!(
        (status.delivered, status.retries, status.failures),
        (4, 0, 0)
    );
    let documents = server.documents();
    assert_eq!(documents.len(), 4);
    for (id, document) in &documents {
        assert_eq!(document["event"]["id"], id.as_str());
    }
    let template = server.template().unwrap();
    assert_eq!(
        template["index_patterns"][0],
        "logs-beaconwatch.detection-*"
    );
}

#[tokio::test]
async fn storms_of_429_and_503_are_waited_out() {
    let faults = [429, 503, 500, 429, 401, 404].map(Fault::Status);
    let server = BulkServer::with(faults);
    let (status, ..) = deliver_four(&server).await;
    assert_eq!(
        (status.delivered, status.already_there, status.dead),
        (4, 0, 0)
    );
    assert_eq!(status.retries, 24);
    assert_eq!(server.documents().len(), 4);
}

#[tokio::test]
async fn a_lost_answer_makes_the_documents_already_there_the_next_time() {
    let server = BulkServer::with([Fault::AnswerLost]);
    let (status, ..) = deliver_four(&server).await;
    assert_eq!((status.delivered, status.already_there), (4, 4));
    assert_eq!(server.documents().len(), 4);
    assert!(server.offered().values().all(|&times| times == 2));
}

#[tokio::test]
async fn only_the_failed_documents_of_a_batch_are_sent_again() {
    let server = BulkServer::with([Fault::EveryOther(429)]);
    let (status, ..) = deliver_four(&server).await;
    assert_eq!(
        (status.delivered, status.retries, status.already_there),
        (4, 2, 0)
    );
    let mut offered: Vec<u32> = server.offered().into_values().collect();
    offered.sort_unstable();
    assert_eq!(offered, [1, 1, 2, 2]);
}

#[tokio::test]
async fn refused_documents_are_dead_letters_with_the_reason_and_the_rest_is_delivered() {
    let server = BulkServer::with([Fault::EveryOther(400)]);
    let (status, sidecar, _folder) = deliver_four(&server).await;
    assert_eq!(
        (status.delivered, status.dead, status.dead_letters),
        (2, 2, 2)
    );
    let letters = sidecar.dead_letters("search", 10).await.unwrap();
    assert_eq!(letters.len(), 2);
    for (_, letter) in letters {
        assert_eq!(letter.reason, "400: played_exception: not this one");
        assert!(!server.documents().contains_key(&letter.document.event_id));
    }
}

#[tokio::test]
async fn silence_ends_at_the_timeout_and_the_documents_are_sent_again() {
    let server = BulkServer::with([Fault::Silence]);
    let (status, ..) = deliver_four(&server).await;
    assert_eq!((status.delivered, status.retries), (4, 4));
}

#[tokio::test]
async fn answers_that_make_no_sense_count_as_unknown_and_not_as_delivered() {
    let server = BulkServer::with([
        Fault::Text("<html>welcome</html>"),
        Fault::Text(r#"{"items":[]}"#),
        Fault::Text(r#"{"items":[{"create":{"status":201}}]}"#),
    ]);
    let (status, ..) = deliver_four(&server).await;
    assert_eq!(
        (status.delivered, status.already_there, status.retries),
        (4, 4, 12)
    );
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_split() {
    let server = BulkServer::always(Fault::OneAtATime);
    let (status, ..) = deliver_four(&server).await;
    assert_eq!((status.delivered, status.dead, status.retries), (4, 0, 0));
}

#[tokio::test]
async fn a_server_that_is_away_keeps_nothing_else_waiting() {
    let folder = tempfile::tempdir().unwrap();
    // Bound and not listening: connections are refused, and nobody else can get the port.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let mut config = delivering_to(folder.path(), search(url));
    config
        .destinations
        .insert("file".to_owned(), DestinationConfig::default());
    let sidecar = start(config, &Hands::new()).await;
    sidecar
        .receiver()
        .accept(request(beacons(3)))
        .await
        .unwrap();
    sidecar.analyse().await.unwrap();
    until("the file has all documents", async || {
        Some(()).filter(|()| crate::running::documents(folder.path()).len() == 3)
    })
    .await;
    let away = until("the failure is told", async || {
        Some(search_status(&sidecar).await).filter(|it| it.failures > 0)
    })
    .await;
    assert_eq!((away.pending, away.delivered), (3, 0));
    assert!(away.last_error.is_some());
    let left = sidecar.stop(std::time::Duration::from_millis(200)).await;
    assert_eq!(left.pending, [("search".to_owned(), 3)]);
}

#[tokio::test]
async fn a_full_outbox_postpones_documents_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let server = BulkServer::always(Fault::Status(503));
    let url = format!("http://{}", server.listen().await);
    let mut config = delivering_to(folder.path(), search(url));
    config.delivery.max_pending_documents = 3;
    let sidecar = start(config, &Hands::new()).await;
    sidecar
        .receiver()
        .accept(request(beacons(5)))
        .await
        .unwrap();
    assert_eq!(sidecar.analyse().await.unwrap().documents, 3);
    assert_eq!(sidecar.status().await.unwrap().findings.postponed, 2);
    server.heal();
    until("there is room", async || {
        Some(()).filter(|()| server.documents().len() == 3)
    })
    .await;
    until("the rest is made", async || {
        sidecar.analyse().await.unwrap();
        Some(()).filter(|()| server.documents().len() == 5)
    })
    .await;
    assert_eq!(sidecar.status().await.unwrap().findings.postponed, 0);
}

#[tokio::test]
async fn the_secret_comes_from_its_file_and_shows_up_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("api.key");
    std::fs::write(&key, "c2VjcmV0\n").unwrap();
    let server = BulkServer::default();
    let authentication = Some(Authentication::ApiKey(SecretSource::File(key)));
    let url = format!("http://{}", server.listen().await);
    let config = delivering_to(
        folder.path(),
        ElasticsearchConfig {
            authentication,
            ..search(url)
        },
    );
    assert!(!format!("{config:?}").contains("c2VjcmV0"));
    let sidecar = start(config, &Hands::new()).await;
    sidecar
        .receiver()
        .accept(request(beacons(1)))
        .await
        .unwrap();
    sidecar.analyse().await.unwrap();
    until("the document is there", async || {
        Some(()).filter(|()| server.documents().len() == 1)
    })
    .await;
    assert_eq!(server.authorization().as_deref(), Some("ApiKey c2VjcmV0"));
    let status = serde_json::to_string(&sidecar.status().await.unwrap()).unwrap();
    assert!(!status.contains("c2VjcmV0"));
}

#[tokio::test]
async fn a_stop_delivers_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let server = BulkServer::with([Fault::Status(503), Fault::Status(503)]);
    let url = format!("http://{}", server.listen().await);
    let sidecar = start(delivering_to(folder.path(), search(url)), &Hands::new()).await;
    sidecar
        .receiver()
        .accept(request(beacons(4)))
        .await
        .unwrap();
    let left = sidecar.stop(PATIENCE).await;
    assert_eq!(left, beaconwatch_sidecar::StopReport::default());
    assert_eq!(server.documents().len(), 4);
}
