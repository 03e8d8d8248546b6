//! Requests that no exporter sends.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;
use tonic::codec::CompressionEncoding;

use beaconwatch_sidecar::Sidecar;

use crate::flows::{START, attribute, beacon, request};
use crate::running::{Hands, bytes, config_without_destinations, grpc, json, post, start};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

async fn sidecar(folder: &tempfile::TempDir) -> Sidecar {
    start(config_without_destinations(folder.path()), &Hands::new()).await
}

/// A sidecar that was told nonsense still takes sense.
async fn still_works(sidecar: &Sidecar) {
    let good = request(beacon("exporter-1", 0, "198.51.100.7", START, 60, 1));
    assert_eq!(
        post(sidecar, PROTOBUF, good.encode_to_vec()).await.status(),
        200
    );
    assert!(grpc(sidecar).await.export(good).await.is_ok());
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

async fn post_gzip(sidecar: &Sidecar, body: Vec<u8>) -> reqwest::Response {
    reqwest::Client::new()
        .post(format!("http://{}/v1/logs", sidecar.addresses().http))
        .header("content-type", PROTOBUF)
        .header("content-encoding", "gzip")
        .body(body)
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn malformed_protobuf_is_refused_for_good_with_a_status() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = sidecar(&folder).await;
    let answer = post(&sidecar, PROTOBUF, vec![0xff; 100]).await;
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.headers()["content-type"], PROTOBUF);
    let status = tonic_types::Status::decode(bytes(answer).await.as_slice()).unwrap();
    assert_eq!(status.code, i32::from(tonic::Code::InvalidArgument));
    assert!(
        status.message.contains("not an OTLP logs export request"),
        "{}",
        status.message
    );
    assert_eq!(sidecar.status().await.unwrap().receive.requests_refused, 1);
    still_works(&sidecar).await;
}

#[tokio::test]
async fn json_that_is_truncated_or_of_wrong_types_is_refused_with_a_status_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = sidecar(&folder).await;
    let whole =
        serde_json::to_string(&request(beacon("e", 0, "198.51.100.7", START, 60, 2))).unwrap();
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let bodies = [
        &whole[..whole.len() / 2],
        "",
        "[]x",
        r#"{"resourceLogs": 7}"#,
        r#"{"resourceLogs":[{"scopeLogs":{}}]}"#,
        &deep,
    ];
    for body in bodies {
        let answer = post(&sidecar, JSON, body.to_owned()).await;
        assert_eq!(answer.status(), 400, "{body:.80}");
        let answer = json(answer).await;
        assert_eq!(answer["code"], 3);
        assert!(
            answer["message"].as_str().unwrap().contains("JSON"),
            "{answer}"
        );
    }
    still_works(&sidecar).await;
}

#[tokio::test]
async fn a_json_body_of_many_small_objects_is_refused_before_it_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = sidecar(&folder).await;
    let records = vec!["{}"; 2_000_000].join(",");
    let body = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#);
    let answer = post(&sidecar, JSON, body).await;
    assert_eq!(answer.status(), 413);
    assert!(
        json(answer).await["message"]
            .as_str()
            .unwrap()
            .contains("objects")
    );
    still_works(&sidecar).await;
}

#[tokio::test]
async fn other_types_and_encodings_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = sidecar(&folder).await;
    assert_eq!(post(&sidecar, "text/plain", "hello").await.status(), 415);
    let answer = reqwest::Client::new()
        .post(format!("http://{}/v1/logs", sidecar.addresses().http))
        .header("content-type", PROTOBUF)
        .header("content-encoding", "br")
        .body(vec![0])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 415);
    still_works(&sidecar).await;
}

#[tokio::test]
async fn a_body_of_100_mb_is_refused_with_and_without_a_declared_length() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = sidecar(&folder).await;
    // The server answers and closes before it has read all: the client may see either first.
    let url = format!("http://{}/v1/logs", sidecar.addresses().http);
    let declared = reqwest::Client::new()
        .post(&url)
        .header("content-type", PROTOBUF)
        .body(vec![0_u8; 100 << 20])
        .send()
        .await;
    assert!(declared.map_or(true, |answer| answer.status() == 413));
    let pieces =
        futures::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(vec![0_u8; 1 << 20])));
    let streamed = reqwest::Client::new()
        .post(&url)
        .header("content-type", PROTOBUF)
        .body(reqwest::Body::wrap_stream(pieces))
        .send()
        .await;
    assert!(streamed.map_or(true, |answer| answer.status() == 413));
    assert_eq!(sidecar.status().await.unwrap().receive.requests_refused, 2);
    still_works(&sidecar).await;
}

#[tokio::test]
async fn a_compression_bomb_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = sidecar(&folder).await;
    let bomb = gzip(&vec![0; 200 << 20]);
    assert!(bomb.len() < 1 << 20);
    let answer = post_gzip(&sidecar, bomb).await;
    assert_eq!(answer.status(), 413);
    assert_eq!(
        post_gzip(&sidecar, b"no gzip at all".to_vec())
            .await
            .status(),
        400
    );
    let cut = gzip(&request(beacon("e", 0, "198.51.100.7", START, 60, 9)).encode_to_vec());
    assert_eq!(
        post_gzip(&sidecar, cut[..cut.len() / 2].to_vec())
            .await
            .status(),
        400
    );
    still_works(&sidecar).await;
}

#[tokio::test]
async fn a_compression_bomb_over_grpc_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = sidecar(&folder).await;
    let body = AnyValue {
        value: Some(Value::StringValue("\0".repeat(100 << 20))),
    };
    let bomb = request(vec![LogRecord {
        body: Some(body),
        ..LogRecord::default()
    }]);
    let mut client = grpc(&sidecar)
        .await
        .send_compressed(CompressionEncoding::Gzip)
        .max_encoding_message_size(usize::MAX);
    let refused = client.export(bomb).await.unwrap_err();
    assert_eq!(
        refused.code(),
        tonic::Code::ResourceExhausted,
        "{refused:?}"
    );
    still_works(&sidecar).await;
}

#[tokio::test]
async fn too_many_records_are_refused_for_good_over_both_protocols() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config_without_destinations(folder.path());
    config.receive.max_records = 10;
    let sidecar = start(config, &Hands::new()).await;
    let many = request(beacon("e", 0, "198.51.100.7", START, 60, 11));
    assert_eq!(
        post(&sidecar, PROTOBUF, many.encode_to_vec())
            .await
            .status(),
        413
    );
    let refused = grpc(&sidecar).await.export(many).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    still_works(&sidecar).await;
}

#[tokio::test]
async fn a_record_with_a_huge_number_of_attributes_is_refused_alone() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = sidecar(&folder).await;
    let mut records = beacon("exporter-1", 0, "198.51.100.7", START, 60, 3);
    let extra = (0..100_000).map(|index| attribute(&format!("x{index}"), Value::IntValue(index)));
    records[1].attributes.extend(extra);
    let body: ExportLogsServiceRequest = request(records);
    let answer = grpc(&sidecar)
        .await
        .export(body)
        .await
        .unwrap()
        .into_inner();
    let partial = answer.partial_success.unwrap();
    assert_eq!(partial.rejected_log_records, 1);
    assert!(
        partial.error_message.contains("too many attributes"),
        "{}",
        partial.error_message
    );
    sidecar.analyse().await.unwrap();
    assert_eq!(sidecar.status().await.unwrap().detector.observations, 2);
}

#[tokio::test]
async fn an_unknown_path_or_method_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = sidecar(&folder).await;
    let client = reqwest::Client::new();
    let base = format!("http://{}", sidecar.addresses().http);
    assert_eq!(
        client
            .get(format!("{base}/v1/logs"))
            .send()
            .await
            .unwrap()
            .status(),
        405
    );
    assert_eq!(
        client
            .post(format!("{base}/v1/traces"))
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
}
