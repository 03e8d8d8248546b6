//! How requests travel: compressed, with headers, over a Unix socket.

use beaconwatch_exporter::otlp::client;
use beaconwatch_exporter::otlp::connection::{Compression, Protocol};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;

use crate::support::config;
use crate::support::grpc_peer::GrpcPeer;
use crate::support::http_peer::{self, HttpPeer};
use crate::{assert_each_once, export, url};

#[tokio::test]
async fn headers_and_compressed_requests_reach_the_receiver() {
    let secret = r#"{"authorization": "Bearer s3cret", "x-tenant": "blue"}"#;
    for (compression, name, magic) in [
        (Compression::Gzip, "gzip", &[0x1f, 0x8b][..]),
        (Compression::Zstd, "zstd", &[0x28, 0xb5, 0x2f, 0xfd][..]),
    ] {
        let (grpc, grpc_address) = GrpcPeer::start(Vec::new(), 0).await;
        let (http, http_address) = HttpPeer::start(Vec::new(), 0).await;
        for (protocol, address) in [
            (Protocol::Grpc, grpc_address),
            (Protocol::HttpProtobuf, http_address),
        ] {
            let mut config = config(url(address), protocol);
            config.otlp.headers = serde_json::from_str(secret).unwrap();
            config.otlp.compression = compression;
            config.metrics.enabled = Some(protocol == Protocol::HttpProtobuf);
            assert!(!format!("{config:?}").contains("s3cret"));
            assert_eq!(export(config, 100, 100).await.delivered, 100);
        }
        assert_each_once(&grpc.taken(), 100);
        assert_each_once(&http.taken(), 100);
        let requests = grpc.requests.lock().unwrap();
        let (_, metadata, _) = &requests[0];
        assert_eq!(metadata.get("authorization").unwrap(), "Bearer s3cret");
        assert_eq!(metadata.get("grpc-encoding").unwrap(), name);
        let requests = http.requests.lock().unwrap();
        for path in ["/v1/logs", "/v1/metrics"] {
            let (_, headers, body, _) = requests.iter().find(|one| one.0 == path).unwrap();
            assert_eq!(headers["authorization"], "Bearer s3cret");
            assert_eq!(headers["content-type"], "application/x-protobuf");
            assert_eq!(headers["content-encoding"], name);
            assert_eq!(&body[..magic.len()], magic);
        }
        let (_, headers, body, _) = requests.iter().find(|one| one.0 == "/v1/metrics").unwrap();
        let metrics = http_peer::plain(headers, body);
        assert!(ExportMetricsServiceRequest::decode(metrics.as_slice()).is_ok());
    }
}

#[tokio::test]
async fn records_and_metrics_arrive_over_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("grpc.sock");
    let grpc = GrpcPeer::start_at(&socket);
    let endpoint = format!("unix://{}", socket.display());
    let counters = export(config(endpoint, Protocol::Grpc), 25, 10).await;
    assert_eq!(counters.delivered, 25);
    assert_each_once(&grpc.taken(), 25);

    let socket = directory.path().join("http.sock");
    let http = HttpPeer::start_at(&socket);
    let endpoint = format!("unix://{}", socket.display());
    let mut config = config(endpoint, Protocol::HttpProtobuf);
    config.metrics.enabled = Some(true);
    assert_eq!(export(config, 25, 10).await.delivered, 25);
    assert_each_once(&http.taken(), 25);
    let requests = http.requests.lock().unwrap();
    assert!(requests.iter().any(|(path, ..)| path == "/v1/metrics"));
    assert_eq!(requests[0].1["host"], "localhost");
}

#[tokio::test]
async fn a_socket_that_nobody_listens_on_is_tried_again_and_named() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("absent.sock");
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let settings = config(format!("unix://{}", socket.display()), protocol);
        let connection = settings.otlp.logs_connection().unwrap();
        assert_eq!(
            connection.endpoint.to_string(),
            format!("unix://{}", socket.display())
        );
        let target = client::connect(&connection).unwrap();
        let error = target.export(Bytes::new()).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert!(error.to_string().contains("No such file"), "{error}");
    }
}
