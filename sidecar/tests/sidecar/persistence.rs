//! What survives a stop and a crash: everything that was acknowledged, once.

use std::collections::{BTreeMap, BTreeSet};

use beaconwatch_schema::flow;
use beaconwatch_sidecar::destinations::{DestinationKind, ElasticsearchConfig};
use beaconwatch_sidecar::{Config, DestinationConfig, Sidecar, StartError, StopReport};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use proptest::prelude::*;
use serde_json::json;

use crate::bulk_server::{BulkServer, Fault};
use crate::flows::{SECOND, START, beacon, request, with};
use crate::running::{
    Hands, PATIENCE, config, config_without_destinations, crash, documents, json, start, until,
};

fn event_ids(documents: &[serde_json::Value]) -> Vec<String> {
    documents
        .iter()
        .map(|it| it["event"]["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn written(folder: &tempfile::TempDir, count: usize) -> Vec<serde_json::Value> {
    until("the file has its documents", async || {
        Some(documents(folder.path())).filter(|documents| documents.len() >= count)
    })
    .await
}

#[tokio::test]
async fn what_was_acknowledged_before_any_analysis_survives_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let sidecar = start(config(folder.path()), &hands).await;
    for records in beacon("exporter-1", 0, "198.51.100.7", START, 60, 40).chunks(7) {
        sidecar
            .receiver()
            .accept(request(records.to_vec()))
            .await
            .unwrap();
    }
    let crashed = crash(folder.path());
    let again = start(config(crashed.path()), &hands).await;
    assert_eq!(again.status().await.unwrap().detector.observations, 40);
    let found = written(&crashed, 1).await;
    assert_eq!(found[0]["beaconwatch"]["count"], 40);
}

#[tokio::test]
async fn a_beacon_of_a_process_in_a_container_is_a_document_with_its_container_and_its_pod() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let sidecar = start(config(folder.path()), &hands).await;
    let of_pod = |record| {
        let attributes = [
            (flow::CONTAINER_ID, "3f4a5b6c7d8e"),
            (flow::CONTAINER_RUNTIME, "containerd"),
            (flow::K8S_POD_NAME, "web-x2x7k"),
            (flow::K8S_NAMESPACE_NAME, "shop"),
            (flow::PROCESS_HASH, "9f86d081884c7d65"),
        ];
        attributes.into_iter().fold(record, |record, (key, text)| {
            with(record, key, Some(Value::StringValue(text.to_owned())))
        })
    };
    let mut records = beacon("exporter-1", 0, "198.51.100.7", START, 60, 40);
    // The kubelet tells a little later than the first flows come.
    let later = records.split_off(20).into_iter().map(of_pod);
    records.extend(later);
    sidecar.receiver().accept(request(records)).await.unwrap();
    sidecar.analyse().await.unwrap();
    let found = written(&folder, 1).await;
    assert_eq!(
        found[0]["container"],
        json!({"id": "3f4a5b6c7d8e", "runtime": "containerd"})
    );
    let pod = json!({"namespace": "shop", "resource": {"name": "web-x2x7k"}});
    assert_eq!(found[0]["orchestrator"], pod);
    assert_eq!(found[0]["process"]["hash"]["sha256"], "9f86d081884c7d65");
    assert_eq!(found[0]["process"]["pid"], 4711);
}

#[tokio::test]
async fn a_request_that_is_sent_again_after_a_crash_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let sidecar = start(config(folder.path()), &hands).await;
    let saved = request(beacon("exporter-1", 0, "198.51.100.7", START, 60, 20));
    let journaled = request(beacon(
        "exporter-1",
        20,
        "198.51.100.7",
        START + 1200 * SECOND,
        60,
        20,
    ));
    sidecar.receiver().accept(saved.clone()).await.unwrap();
    sidecar.analyse().await.unwrap();
    sidecar.receiver().accept(journaled.clone()).await.unwrap();
    let crashed = crash(folder.path());
    let again = start(config(crashed.path()), &hands).await;
    for request in [saved, journaled] {
        again.receiver().accept(request).await.unwrap();
    }
    again.analyse().await.unwrap();
    let status = again.status().await.unwrap();
    assert_eq!(
        (status.receive.duplicates, status.exporters[0].received),
        (40, 40)
    );
    assert_eq!(status.exporters[0].missing, 0);
    let found = written(&crashed, 2).await;
    assert_eq!(found.last().unwrap()["beaconwatch"]["count"], 40);
}

#[tokio::test]
async fn a_crash_between_checkpoint_and_delivery_loses_no_finding_and_doubles_no_id() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let server = BulkServer::always(Fault::Status(503));
    let search = ElasticsearchConfig {
        url: format!("http://{}", server.listen().await),
        ..ElasticsearchConfig::default()
    };
    let delivering = |folder: &std::path::Path| {
        let search = DestinationConfig::from(DestinationKind::Elasticsearch(search.clone()));
        let destinations = BTreeMap::from([("search".to_owned(), search)]);
        Config {
            destinations,
            ..config(folder)
        }
    };
    let sidecar = start(delivering(folder.path()), &hands).await;
    let accept = request(beacon("exporter-1", 0, "198.51.100.7", START, 60, 40));
    sidecar.receiver().accept(accept).await.unwrap();
    sidecar.analyse().await.unwrap();
    let crashed = crash(folder.path());
    server.heal();
    until("the first process delivers", async || {
        Some(()).filter(|()| server.documents().len() == 1)
    })
    .await;
    // The second process does not know that the first one had delivered in the meantime.
    let again = start(delivering(crashed.path()), &hands).await;
    let settled = until("the second process has settled it", async || {
        let status = again.status().await.unwrap();
        Some(status.destinations[0].clone()).filter(|it| it.pending == 0)
    })
    .await;
    assert_eq!((settled.delivered, settled.already_there), (1, 1));
    assert_eq!(server.documents().len(), 1);
}

#[tokio::test]
async fn a_file_written_before_a_crash_is_not_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let sidecar = start(config(folder.path()), &hands).await;
    let accept = request(beacon("exporter-1", 0, "198.51.100.7", START, 60, 40));
    sidecar.receiver().accept(accept).await.unwrap();
    let before = crash(folder.path());
    sidecar.analyse().await.unwrap();
    let delivered = written(&folder, 1).await;
    // The store as it was before the checkpoint makes a finding of its own; the store after it does not.
    let after = crash(folder.path());
    let again = start(config(after.path()), &hands).await;
    again.analyse().await.unwrap();
    assert_eq!(again.stop(PATIENCE).await, StopReport::default());
    assert_eq!(event_ids(&documents(after.path())), event_ids(&delivered));
    let earlier = start(config(before.path()), &hands).await;
    earlier.stop(PATIENCE).await;
    assert_eq!(event_ids(&documents(before.path())), event_ids(&delivered));
}

#[tokio::test]
async fn a_finding_goes_on_after_a_restart_with_its_id_and_the_next_revision() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let flows = |first: u64, count: u64| {
        let begin = START + i64::try_from(first).unwrap() * 30 * SECOND;
        request(beacon(
            "exporter-1",
            first,
            "198.51.100.7",
            begin,
            30,
            count,
        ))
    };
    let first = start(config(folder.path()), &hands).await;
    first.receiver().accept(flows(0, 40)).await.unwrap();
    assert_eq!(first.stop(PATIENCE).await, StopReport::default());

    let second = start(config(folder.path()), &hands).await;
    let documents_after = async |request| {
        second.receiver().accept(request).await.unwrap();
        second.analyse().await.unwrap().documents
    };
    assert_eq!(
        documents_after(flows(0, 40)).await,
        0,
        "nothing new has happened"
    );
    assert_eq!(
        documents_after(flows(40, 39)).await,
        0,
        "not twice as many yet"
    );
    assert_eq!(documents_after(flows(79, 1)).await, 1, "twice as many");
    hands.forward(3601);
    assert_eq!(
        documents_after(flows(80, 1)).await,
        1,
        "the update interval has passed"
    );
    second.stop(PATIENCE).await;

    let found = documents(folder.path());
    let finding = found[0]["beaconwatch"]["finding"]["id"].as_str().unwrap();
    let expected: Vec<String> = (1..=3)
        .map(|revision| format!("{finding}-{revision}"))
        .collect();
    assert_eq!(event_ids(&found), expected);
}

#[tokio::test]
async fn a_second_sidecar_on_the_same_store_is_refused_and_the_first_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let sidecar = start(config_without_destinations(folder.path()), &hands).await;
    let refused = Sidecar::start(config_without_destinations(folder.path())).await;
    let error = refused.expect_err("the store is in use");
    assert!(matches!(error, StartError::Store(_)), "{error:?}");
    assert!(error.to_string().contains("beaconwatch.redb"), "{error}");
    let accept = request(beacon("exporter-1", 0, "198.51.100.7", START, 60, 1));
    sidecar.receiver().accept(accept).await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config_without_destinations(folder.path());
    config.receive.http_address = taken.local_addr().unwrap();
    let error = Sidecar::start(config).await.err().unwrap().to_string();
    assert!(
        error.contains(&taken.local_addr().unwrap().to_string()),
        "{error}"
    );
    assert!(error.contains("OTLP over HTTP"), "{error}");
}

/// What may happen to a sidecar.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many new flows come in.
    Accept(u64),
    /// The last request comes once more.
    AcceptAgain,
    Analyse,
    Restart,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u64..30).prop_map(Step::Accept),
        1 => Just(Step::AcceptAgain),
        2 => Just(Step::Analyse),
        1 => Just(Step::Restart),
        2 => Just(Step::Crash),
    ]
}

async fn counted(sidecar: &Sidecar) -> u64 {
    // The list of connections is up to date when the scoring thread has answered.
    sidecar.status().await.unwrap();
    let url = format!("http://{}/api/v1/connections", sidecar.addresses().api);
    let body = json(reqwest::get(url).await.unwrap()).await;
    body["pairs"][0]["connection_count"].as_u64().unwrap_or(0)
}

async fn live_through(steps: &[Step]) {
    let hands = Hands::new();
    let mut folder = tempfile::tempdir().unwrap();
    let mut sidecar = start(config(folder.path()), &hands).await;
    let (mut sent, mut last) = (0, request(Vec::new()));
    for step in steps {
        match *step {
            Step::Accept(count) => {
                let begin = START + i64::try_from(sent).unwrap() * 10 * SECOND;
                last = request(beacon("exporter-1", sent, "198.51.100.7", begin, 10, count));
                sent += count;
                hands.forward(600);
                sidecar.receiver().accept(last.clone()).await.unwrap();
            }
            Step::AcceptAgain => {
                sidecar.receiver().accept(last.clone()).await.unwrap();
            }
            Step::Analyse => {
                sidecar.analyse().await.unwrap();
            }
            Step::Restart => {
                sidecar.stop(PATIENCE).await;
                sidecar = start(config(folder.path()), &hands).await;
            }
            Step::Crash => {
                folder = crash(folder.path());
                sidecar = start(config(folder.path()), &hands).await;
            }
        }
        assert_eq!(counted(&sidecar).await, sent, "after {step:?}");
    }
    let exporters = sidecar.status().await.unwrap().exporters;
    assert!(
        exporters
            .iter()
            .all(|exporter| exporter.missing == 0 && exporter.received == sent)
    );
    assert_eq!(sidecar.stop(PATIENCE).await, StopReport::default());
    let found = documents(folder.path());
    let ids = event_ids(&found);
    assert_eq!(
        ids.iter().collect::<BTreeSet<_>>().len(),
        ids.len(),
        "an id is there twice: {ids:?}"
    );
    let revisions: Vec<_> = found
        .iter()
        .map(|it| it["beaconwatch"]["finding"]["revision"].as_u64().unwrap())
        .collect();
    assert_eq!(
        revisions,
        (1..=found.len() as u64).collect::<Vec<_>>(),
        "a revision is missing"
    );
    assert!(sent < 60 || !found.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn stops_and_crashes_at_random_lose_no_flow_count_none_twice_and_double_no_document(
        steps in prop::collection::vec(step(), 1..16)
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(live_through(&steps));
    }
}
