//! OTLP over gRPC and HTTP.

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use prost::Message;
use tonic::codec::CompressionEncoding;

use crate::flows::{START, beacon, request};
use crate::running::{Hands, config, documents, start, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_beacon_over_grpc_and_http_becomes_a_document_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let sidecar = start(config(folder.path()), &hands).await;
    let addresses = sidecar.addresses();
    let mut records = beacon("exporter-1", 0, "198.51.100.7", START, 60, 40);
    let second_half = request(records.split_off(20));

    let address = format!("http://{}", addresses.grpc);
    let mut client = LogsServiceClient::connect(address)
        .await
        .unwrap()
        .send_compressed(CompressionEncoding::Gzip);
    let answer = client.export(request(records)).await.unwrap().into_inner();
    assert_eq!(answer.partial_success, None);

    let answer = reqwest::Client::new()
        .post(format!("http://{}/v1/logs", addresses.http))
        .header("content-type", "application/x-protobuf")
        .body(second_half.encode_to_vec())
        .send()
        .await
        .unwrap();
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
