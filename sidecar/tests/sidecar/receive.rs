//! OTLP over gRPC and HTTP.

use beaconwatch_schema::flow;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use tonic::codec::CompressionEncoding;

use crate::flows::{SECOND, START, beacon, request, whole_flow, with};
use crate::running::{
    Hands, config, config_without_destinations, documents, grpc, json, post, start, until,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_beacon_over_grpc_and_http_becomes_a_document_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let sidecar = start(config(folder.path()), &hands).await;
    let mut records = beacon("exporter-1", 0, "198.51.100.7", START, 60, 40);
    let second_half = request(records.split_off(20));

    let mut client = grpc(&sidecar)
        .await
        .send_compressed(CompressionEncoding::Gzip);
    let answer = client.export(request(records)).await.unwrap().into_inner();
    assert_eq!(answer.partial_success, None);

    let answer = post(
        &sidecar,
        "application/x-protobuf",
        second_half.encode_to_vec(),
    )
    .await;
    assert_eq!(answer.status(), 200);

    let report = sidecar.analyse().await.unwrap();
    assert_eq!(
        (report.assessed, report.detected, report.documents),
        (1, 1, 1)
    );
    let found = until("one document", async || {
        Some(documents(folder.path())).filter(|documents| documents.len() == 1)
    })
    .await;
    assert_eq!(found[0]["destination"]["ip"], "198.51.100.7");
    assert_eq!(found[0]["beaconwatch"]["finding"]["revision"], 1);
    let left = sidecar.stop(crate::running::PATIENCE).await;
    assert_eq!(left, beaconwatch_sidecar::StopReport::default());
}

#[tokio::test]
async fn json_is_accepted_and_answered_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config_without_destinations(folder.path()), &Hands::new()).await;
    let good = beacon("exporter-1", 0, "198.51.100.7", START, 60, 2);
    let bad = with(
        whole_flow("exporter-1", 2, "198.51.100.7", START),
        flow::TRANSPORT,
        None,
    );
    let body = serde_json::to_vec(&request([good, vec![bad]].concat())).unwrap();
    let answer = post(&sidecar, "application/json", body).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    let answer = json(answer).await;
    assert_eq!(answer["partialSuccess"]["rejectedLogRecords"], "1");
    let message = answer["partialSuccess"]["errorMessage"].as_str().unwrap();
    assert!(
        message.contains("1 x missing network.transport"),
        "{message}"
    );
    assert_eq!(sidecar.status().await.unwrap().receive.records, 3);
}

#[tokio::test]
async fn a_partly_bad_request_over_grpc_names_the_field_and_keeps_the_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config_without_destinations(folder.path()), &Hands::new()).await;
    let mut records = beacon("exporter-1", 0, "198.51.100.7", START, 60, 3);
    records[1] = with(
        records[1].clone(),
        flow::START_TIME,
        Some(Value::DoubleValue(f64::NAN)),
    );
    let mut client = grpc(&sidecar).await;
    let answer = client.export(request(records)).await.unwrap().into_inner();
    let partial = answer.partial_success.unwrap();
    assert_eq!(partial.rejected_log_records, 1);
    assert!(
        partial
            .error_message
            .contains("1 x wrong type beaconwatch.flow.start")
    );
    sidecar.analyse().await.unwrap();
    let status = sidecar.status().await.unwrap();
    assert_eq!(status.detector.observations, 2);
    assert_eq!(status.receive.rejected[0].field, flow::START_TIME);
    // The refused record came: it is no gap.
    assert_eq!(
        (status.exporters[0].missing, status.exporters[0].received),
        (0, 3)
    );
}

#[tokio::test]
async fn a_retried_request_counts_once_and_gaps_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config_without_destinations(folder.path()), &Hands::new()).await;
    let first = request(beacon("exporter-1", 0, "198.51.100.7", START, 60, 5));
    let later = request(beacon(
        "exporter-1",
        8,
        "198.51.100.7",
        START + 600 * SECOND,
        60,
        2,
    ));
    for request in [&first, &first, &later, &later, &first] {
        sidecar.receiver().accept(request.clone()).await.unwrap();
    }
    sidecar.analyse().await.unwrap();
    let status = sidecar.status().await.unwrap();
    assert_eq!(status.detector.observations, 7);
    assert_eq!(status.receive.duplicates, 12);
    let exporter = &status.exporters[0];
    assert_eq!(
        (exporter.received, exporter.duplicates, exporter.missing),
        (7, 12, 3)
    );
    assert_eq!(exporter.gaps, [(5, 7)]);
}

#[tokio::test]
async fn times_of_1970_and_2262_are_ignored_and_counted_and_cost_no_neighbour() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config_without_destinations(folder.path()), &Hands::new()).await;
    let times = [0, START, i64::MAX, START + 60 * SECOND, i64::MIN];
    let records = times
        .iter()
        .enumerate()
        .map(|(index, &time)| whole_flow("exporter-1", index as u64, "198.51.100.7", time));
    sidecar
        .receiver()
        .accept(request(records.collect()))
        .await
        .unwrap();
    sidecar.analyse().await.unwrap();
    let detector = sidecar.status().await.unwrap().detector;
    assert_eq!(detector.observations, 2);
    assert_eq!(
        (detector.ignored["late"], detector.ignored["future"]),
        (2, 1)
    );
}

#[tokio::test]
async fn own_traffic_and_the_server_s_side_are_not_scored() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config_without_destinations(folder.path()), &Hands::new()).await;
    let own = with(
        whole_flow("exporter-1", 0, "198.51.100.7", START),
        flow::OWN,
        Some(Value::BoolValue(true)),
    );
    let server = with(
        whole_flow("exporter-1", 1, "198.51.100.7", START),
        flow::ROLE,
        Some(Value::StringValue(flow::ROLE_SERVER.to_owned())),
    );
    sidecar
        .receiver()
        .accept(request(vec![own, server]))
        .await
        .unwrap();
    let report = sidecar.analyse().await.unwrap();
    let detector = sidecar.status().await.unwrap().detector;
    assert_eq!((report.assessed, detector.series), (0, 0));
    assert_eq!(
        (detector.ignored["own"], detector.ignored["server_side"]),
        (1, 1)
    );
}
