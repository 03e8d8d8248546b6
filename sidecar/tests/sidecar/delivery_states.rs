//! What becomes of documents between outbox and destination: confirmation, routes, dead letters.

use std::collections::BTreeMap;
use std::path::Path;

use beaconwatch_sidecar::destinations::{
    Condition, ConditionValue, DestinationKind, RouteConfig, SecretSource, SplunkHecConfig,
};
use beaconwatch_sidecar::{Config, DestinationConfig, DestinationStatus, Sidecar};
use serde_json::{Value, json};

use crate::delivery::beacons;
use crate::flows::request;
use crate::hec_server::{Fault, HecServer};
use crate::running::{Hands, PATIENCE, config, crash, start, until};

async fn splunk(folder: &Path, server: &HecServer, acknowledge: bool) -> DestinationConfig {
    let token = folder.join("token");
    std::fs::write(&token, "t0ken").unwrap();
    DestinationKind::SplunkHec(SplunkHecConfig {
        url: format!("http://{}", server.listen().await),
        token: Some(SecretSource::File(token)),
        acknowledge,
        gzip: false,
        timeout_s: 5,
        ..SplunkHecConfig::default()
    })
    .into()
}

fn delivering_to(folder: &Path, destination: DestinationConfig) -> Config {
    Config {
        destinations: BTreeMap::from([("splunk".to_owned(), destination)]),
        ..config(folder)
    }
}

async fn status(sidecar: &Sidecar, name: &str) -> DestinationStatus {
    let status = sidecar.status().await.unwrap();
    let mut all = status.destinations.into_iter();
    all.find(|it| it.name == name).unwrap()
}

async fn wait_for(
    sidecar: &Sidecar,
    what: &str,
    wanted: impl Fn(&DestinationStatus) -> bool,
) -> DestinationStatus {
    until(what, async || {
        Some(status(sidecar, "splunk").await).filter(&wanted)
    })
    .await
}

async fn detect(sidecar: &Sidecar, places: u64) {
    let accepted = sidecar.receiver().accept(request(beacons(places))).await;
    accepted.unwrap();
    assert_eq!(sidecar.analyse().await.unwrap().documents, places);
}

/// Asks the API as an operator.
async fn operate(sidecar: &Sidecar, folder: &Path, path: &str, body: &Value) -> Value {
    let token = std::fs::read_to_string(folder.join("api-token")).unwrap();
    let answer = reqwest::Client::new()
        .post(format!("http://{}{path}", sidecar.addresses().api))
        .bearer_auth(token.trim())
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    crate::running::json(answer).await
}

#[tokio::test]
async fn a_document_that_is_awaited_is_not_sent_again_and_delivered_when_it_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let server = HecServer::default();
    let destination = splunk(folder.path(), &server, true).await;
    let sidecar = start(delivering_to(folder.path(), destination), &Hands::new()).await;
    detect(&sidecar, 3).await;
    let waiting = wait_for(&sidecar, "all are awaited", |it| it.awaiting == 3).await;
    assert_eq!((waiting.pending, waiting.delivered), (3, 0));
    let asked = server.inner().asked;
    until("it was asked again", async || {
        Some(()).filter(|()| server.inner().asked > asked + 2)
    })
    .await;
    server.inner().acknowledges = true;
    let done = wait_for(&sidecar, "all are delivered", |it| it.delivered == 3).await;
    assert_eq!((done.pending, done.awaiting, done.retries), (0, 0, 0));
    let inner = server.inner();
    assert_eq!(inner.taken.len(), 3);
    assert!(inner.taken.values().all(|&times| times == 1));
}

#[tokio::test]
async fn what_was_awaited_at_a_crash_is_sent_again_with_the_same_id() {
    let folder = tempfile::tempdir().unwrap();
    let server = HecServer::default();
    let destination = splunk(folder.path(), &server, true).await;
    let sidecar = start(
        delivering_to(folder.path(), destination.clone()),
        &Hands::new(),
    )
    .await;
    detect(&sidecar, 2).await;
    wait_for(&sidecar, "all are awaited", |it| it.awaiting == 2).await;
    let copy = crash(folder.path());
    drop(sidecar);
    server.inner().acknowledges = true;
    let sidecar = start(delivering_to(copy.path(), destination), &Hands::new()).await;
    wait_for(&sidecar, "all are delivered", |it| it.delivered == 2).await;
    let inner = server.inner();
    assert_eq!(inner.taken.len(), 2, "no id but those of before");
    assert!(inner.taken.values().all(|&times| times == 2));
}

#[tokio::test]
async fn a_lost_acknowledgement_sends_the_document_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = HecServer::default();
    // The second request gets the number of the first: the server forgot it.
    let begin = [Fault::NumberAgain, Fault::NumberAgain];
    server.inner().faults.extend(begin);
    let mut destination = splunk(folder.path(), &server, true).await;
    destination.route.max_batch_documents = Some(1);
    let sidecar = start(delivering_to(folder.path(), destination), &Hands::new()).await;
    detect(&sidecar, 2).await;
    wait_for(&sidecar, "the first one is sent again", |it| {
        it.retries == 1 && it.awaiting == 2
    })
    .await;
    server.inner().acknowledges = true;
    let done = wait_for(&sidecar, "all are delivered", |it| it.pending == 0).await;
    assert_eq!(done.delivered, 2);
    let mut times: Vec<u32> = server.inner().taken.values().copied().collect();
    times.sort_unstable();
    assert_eq!(times, [1, 2]);
}

#[tokio::test]
async fn a_stop_gives_the_indexers_their_chance() {
    let folder = tempfile::tempdir().unwrap();
    let server = HecServer::default();
    let destination = splunk(folder.path(), &server, true).await;
    let sidecar = start(delivering_to(folder.path(), destination), &Hands::new()).await;
    detect(&sidecar, 2).await;
    wait_for(&sidecar, "all are awaited", |it| it.awaiting == 2).await;
    let stop = tokio::spawn(sidecar.stop(PATIENCE));
    let asked = server.inner().asked;
    until("it is asked during the stop", async || {
        Some(()).filter(|()| server.inner().asked > asked + 2)
    })
    .await;
    server.inner().acknowledges = true;
    let left = stop.await.unwrap();
    assert_eq!(left, beaconwatch_sidecar::StopReport::default());
    assert!(server.inner().taken.values().all(|&times| times == 1));
}

#[tokio::test]
async fn a_stop_ends_in_time_and_leaves_what_was_not_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let server = HecServer::default();
    let destination = splunk(folder.path(), &server, true).await;
    let sidecar = start(delivering_to(folder.path(), destination), &Hands::new()).await;
    detect(&sidecar, 2).await;
    wait_for(&sidecar, "all are awaited", |it| it.awaiting == 2).await;
    let left = sidecar.stop(std::time::Duration::from_millis(300)).await;
    assert_eq!(left.pending, [("splunk".to_owned(), 2)]);
}

#[tokio::test]
async fn datagrams_are_counted_as_unconfirmed_and_not_as_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let sink = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let syslog = beaconwatch_sidecar::destinations::SyslogConfig {
        transport: beaconwatch_sidecar::destinations::SyslogTransport::Udp,
        address: sink.local_addr().unwrap().to_string(),
        ..beaconwatch_sidecar::destinations::SyslogConfig::default()
    };
    let destination = DestinationKind::Syslog(syslog).into();
    let sidecar = start(delivering_to(folder.path(), destination), &Hands::new()).await;
    detect(&sidecar, 2).await;
    let done = wait_for(&sidecar, "all are sent", |it| it.pending == 0).await;
    assert_eq!((done.unconfirmed, done.delivered), (2, 0));
}

#[tokio::test]
async fn a_document_goes_only_where_its_route_leads() {
    let folder = tempfile::tempdir().unwrap();
    let server = HecServer::default();
    let mut destination = splunk(folder.path(), &server, false).await;
    destination.route.only = vec![Condition {
        field: "destination.ip".to_owned(),
        any_of: vec![ConditionValue::Text("198.51.100.0/31".to_owned())],
    }];
    let mut config = delivering_to(folder.path(), destination);
    config
        .destinations
        .insert("file".to_owned(), DestinationConfig::default());
    let sidecar = start(config, &Hands::new()).await;
    detect(&sidecar, 3).await;
    let done = wait_for(&sidecar, "the one is delivered", |it| it.delivered == 1).await;
    assert_eq!((done.pending, done.filtered), (0, 2));
    until("the file has all", async || {
        Some(()).filter(|()| crate::running::documents(folder.path()).len() == 3)
    })
    .await;
    assert_eq!(server.inner().taken.len(), 1);
}

/// The sizes of the batches in which five documents arrive.
async fn batches_of_five(route: RouteConfig) -> Vec<usize> {
    let folder = tempfile::tempdir().unwrap();
    let server = HecServer::default();
    let mut destination = splunk(folder.path(), &server, false).await;
    destination.route = route;
    let sidecar = start(delivering_to(folder.path(), destination), &Hands::new()).await;
    detect(&sidecar, 5).await;
    wait_for(&sidecar, "all are delivered", |it| it.delivered == 5).await;
    server.inner().batches.clone()
}

#[tokio::test]
async fn a_route_limits_the_documents_of_an_attempt() {
    let batches = batches_of_five(RouteConfig {
        max_batch_documents: Some(2),
        ..RouteConfig::default()
    })
    .await;
    assert_eq!(batches, [2, 2, 1]);
}

#[tokio::test]
async fn a_route_limits_the_documents_of_a_second() {
    let batches = batches_of_five(RouteConfig {
        max_documents_per_s: Some(2),
        ..RouteConfig::default()
    })
    .await;
    // The share of one second at once, then no more than there was time for.
    assert!(batches.len() >= 3, "{batches:?}");
    assert!(
        batches.iter().all(|&documents| documents <= 2),
        "{batches:?}"
    );
}

#[tokio::test]
async fn storms_of_busy_codes_are_waited_out() {
    let folder = tempfile::tempdir().unwrap();
    let server = HecServer::default();
    let storm = [(503, 9), (500, 8), (429, 26), (403, 4), (503, 23)];
    let storm = storm.map(|(status, code)| Fault::Busy(status, code));
    server.inner().faults.extend(storm);
    let destination = splunk(folder.path(), &server, false).await;
    let sidecar = start(delivering_to(folder.path(), destination), &Hands::new()).await;
    detect(&sidecar, 4).await;
    let done = wait_for(&sidecar, "all are delivered", |it| it.pending == 0).await;
    assert_eq!((done.delivered, done.retries, done.dead), (4, 20, 0));
    assert!(server.inner().taken.values().all(|&times| times == 1));
}

#[tokio::test]
async fn a_dead_letter_is_told_and_sent_again_under_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let server = HecServer::default();
    let destination = splunk(folder.path(), &server, false).await;
    // First the documents are delivered, so that their ids are known.
    let mut sidecar = start(
        delivering_to(folder.path(), destination.clone()),
        &Hands::new(),
    )
    .await;
    detect(&sidecar, 3).await;
    wait_for(&sidecar, "all are delivered", |it| it.delivered == 3).await;
    let bad = server.inner().taken.keys().next().unwrap().clone();
    let left = sidecar.stop(PATIENCE).await;
    assert!(left.pending.is_empty());
    // The same detections in another folder have the same ids.
    let second = tempfile::tempdir().unwrap();
    server.inner().invalid.insert(bad.clone());
    server.inner().taken.clear();
    sidecar = start(delivering_to(second.path(), destination), &Hands::new()).await;
    detect(&sidecar, 3).await;
    let done = wait_for(&sidecar, "all are settled", |it| it.pending == 0).await;
    assert_eq!((done.delivered, done.dead, done.dead_letters), (2, 1, 1));
    let letters = sidecar.dead_letters("splunk", 10).await.unwrap();
    assert_eq!(letters[0].1.document.event_id, bad);
    assert!(
        letters[0].1.reason.contains("code 6"),
        "{}",
        letters[0].1.reason
    );
    server.inner().invalid.clear();
    let choice = json!({"destination": "splunk", "numbers": [letters[0].0]});
    let path = "/api/v1/dead-letters/replay";
    assert_eq!(
        operate(&sidecar, second.path(), path, &choice).await["count"],
        1
    );
    let done = wait_for(&sidecar, "it is delivered", |it| it.delivered == 3).await;
    assert_eq!((done.dead, done.dead_letters, done.replayed), (1, 0, 1));
    assert_eq!(server.inner().taken[&bad], 1);
}

#[tokio::test]
async fn a_test_document_goes_the_whole_way_and_is_in_no_outbox() {
    let folder = tempfile::tempdir().unwrap();
    let server = HecServer::default();
    let destination = splunk(folder.path(), &server, false).await;
    let sidecar = start(delivering_to(folder.path(), destination), &Hands::new()).await;
    let path = "/api/v1/destinations/splunk/test?dry_run=true";
    let dry = operate(&sidecar, folder.path(), path, &json!({})).await;
    assert!(dry.to_string().contains("destination-test"), "{dry}");
    assert!(!dry.to_string().contains("t0ken"), "{dry}");
    assert!(server.inner().taken.is_empty());
    let path = "/api/v1/destinations/splunk/test";
    let report = operate(&sidecar, folder.path(), path, &json!({})).await;
    assert_eq!(report["outcome"], "delivered", "{report}");
    let taken = server.inner().taken.keys().next().unwrap().clone();
    assert!(taken.starts_with("test-"));
    assert_eq!(status(&sidecar, "splunk").await.delivered, 0);
}
