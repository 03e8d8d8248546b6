use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsPartialSuccess;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message;
use serde_json::json;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::*;
use crate::Stream;

/// A receiver that answers with what it was given, then takes everything; and keeps what it was sent.
#[derive(Clone, Default)]
struct Receiver {
    answers: Arc<Mutex<VecDeque<Result<ExportLogsServiceResponse, Status>>>>,
    requests: Arc<Mutex<Vec<ExportLogsServiceRequest>>>,
    tokens: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        if let Some(token) = request.metadata().get("x-token") {
            self.tokens
                .lock()
                .unwrap()
                .push(token.to_str().unwrap().to_owned());
        }
        self.requests.lock().unwrap().push(request.into_inner());
        let answer = self.answers.lock().unwrap().pop_front();
        answer
            .unwrap_or_else(|| Ok(ExportLogsServiceResponse::default()))
            .map(Response::new)
    }
}

impl Receiver {
    fn answering(
        answers: impl IntoIterator<Item = Result<ExportLogsServiceResponse, Status>>,
    ) -> Self {
        let receiver = Self::default();
        receiver.answers.lock().unwrap().extend(answers);
        receiver
    }

    fn serve(&self) -> SocketAddr {
        let incoming =
            tonic::transport::server::TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = incoming.local_addr().unwrap();
        let service =
            LogsServiceServer::new(self.clone()).accept_compressed(CompressionEncoding::Gzip);
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming),
        );
        address
    }

    fn destination(&self) -> Otlp {
        let config = OtlpConfig {
            endpoint: format!("http://{}", self.serve()),
            ..OtlpConfig::default()
        };
        config.validate("x").unwrap();
        Otlp::new(&config, Some("detector-1")).unwrap()
    }

    /// Event ids of each request.
    fn ids(&self) -> Vec<Vec<String>> {
        let ids = |request: &ExportLogsServiceRequest| {
            let records = &request.resource_logs[0].scope_logs[0].log_records;
            records
                .iter()
                .map(|record| string(&record.attributes, "beaconwatch.event.id"))
                .collect()
        };
        self.requests.lock().unwrap().iter().map(ids).collect()
    }
}

fn find<'a>(attributes: &'a [KeyValue], name: &str) -> &'a Value {
    let found = attributes.iter().find(|attribute| attribute.key == name);
    let value = found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
    value.unwrap_or_else(|| panic!("no {name} in {attributes:?}"))
}

fn string(attributes: &[KeyValue], name: &str) -> String {
    match find(attributes, name) {
        Value::StringValue(text) => text.clone(),
        other => panic!("{name} is {other:?}"),
    }
}

fn document(id: &str) -> Document {
    let body = json!({
        "@timestamp": "2025-11-22T08:26:30.123Z",
        "beaconwatch": {"score": 0.94, "count": 42},
        "destination": {"ip": "192.0.2.1", "port": 443},
        "event": {"action": "beacon-detected", "severity": 99},
        "message": "Beaconing",
        "tags": ["beaconing", "ünd"],
    });
    Document {
        event_id: id.to_owned(),
        body: body.to_string(),
        stream: Stream::Detection,
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "beside statuses in a list of answers"
)]
fn rejecting(count: i64) -> Result<ExportLogsServiceResponse, Status> {
    Ok(ExportLogsServiceResponse {
        partial_success: Some(ExportLogsPartialSuccess {
            rejected_log_records: count,
            error_message: "too old".to_owned(),
        }),
    })
}

#[tokio::test]
async fn a_document_becomes_a_record_with_its_time_severity_body_and_attributes() {
    let receiver = Receiver::default();
    let mut destination = receiver.destination();
    let outcomes = destination.deliver(&[document("f00d-1")]).await.unwrap();
    assert_eq!(outcomes, [Outcome::Delivered]);
    let request = receiver.requests.lock().unwrap().pop().unwrap();
    let resource = request.resource_logs[0].resource.as_ref().unwrap();
    assert_eq!(string(&resource.attributes, "service.name"), "beaconwatch");
    assert_eq!(
        string(&resource.attributes, "service.instance.id"),
        "detector-1"
    );
    let record = &request.resource_logs[0].scope_logs[0].log_records[0];
    assert_eq!(record.event_name, "beaconwatch.detection");
    assert_eq!(record.time_unix_nano, 1_763_799_990_123_000_000);
    assert_eq!(
        (record.severity_number, record.severity_text.as_str()),
        (19, "critical")
    );
    assert_eq!(
        find(&record.attributes, "beaconwatch.score"),
        &Value::DoubleValue(0.94)
    );
    assert_eq!(
        find(&record.attributes, "destination.port"),
        &Value::IntValue(443)
    );
    let Some(AnyValue {
        value: Some(Value::KvlistValue(body)),
    }) = &record.body
    else {
        panic!("{:?}", record.body);
    };
    assert_eq!(string(&body.values, "message"), "Beaconing");
    let Value::ArrayValue(tags) = find(&body.values, "tags") else {
        panic!("no array")
    };
    assert_eq!(
        tags.values[1].value,
        Some(Value::StringValue("ünd".to_owned()))
    );
}

#[tokio::test]
async fn only_the_rejected_document_of_a_batch_is_refused() {
    // Four: one rejected, not told which. The halves: first whole, second again one. Then each alone.
    let receiver = Receiver::answering([
        rejecting(1),
        rejecting(0),
        rejecting(1),
        rejecting(1),
        rejecting(0),
    ]);
    let documents = ["a", "b", "c", "d"].map(document);
    let outcomes = receiver.destination().deliver(&documents).await.unwrap();
    let refused = Outcome::Refused {
        reason: "rejected: too old".to_owned(),
    };
    assert_eq!(
        outcomes,
        [
            Outcome::Delivered,
            Outcome::Delivered,
            refused,
            Outcome::Delivered
        ]
    );
    let sent: [&[&str]; 5] = [
        &["a", "b", "c", "d"],
        &["a", "b"],
        &["c", "d"],
        &["c"],
        &["d"],
    ];
    assert_eq!(receiver.ids(), sent);
}

#[tokio::test]
async fn a_batch_that_is_rejected_whole_is_refused_without_being_sent_again() {
    let receiver = Receiver::answering([rejecting(2)]);
    let outcomes = receiver
        .destination()
        .deliver(&["a", "b"].map(document))
        .await
        .unwrap();
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, Outcome::Refused { .. })),
        "{outcomes:?}"
    );
    assert_eq!(receiver.ids().len(), 1);
}

#[tokio::test]
async fn codes_are_tried_again_or_not_as_the_specification_says() {
    let later = [
        Code::Cancelled,
        Code::DeadlineExceeded,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unavailable,
        Code::DataLoss,
        Code::Unauthenticated,
        Code::PermissionDenied,
    ];
    for code in later {
        let receiver = Receiver::answering([Err(Status::new(code, "no"))]);
        let error = receiver
            .destination()
            .deliver(&[document("a")])
            .await
            .unwrap_err();
        assert_eq!(error.retry_after, None, "{code:?}");
    }
    for code in [
        Code::InvalidArgument,
        Code::Internal,
        Code::ResourceExhausted,
        Code::FailedPrecondition,
    ] {
        let receiver = Receiver::answering([Err(Status::new(code, "no"))]);
        let outcomes = receiver
            .destination()
            .deliver(&[document("a")])
            .await
            .unwrap();
        assert!(
            matches!(outcomes[0], Outcome::Refused { .. }),
            "{code:?}: {outcomes:?}"
        );
    }
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(7)));
    let busy = Status::with_error_details(Code::ResourceExhausted, "busy", details);
    let receiver = Receiver::answering([Err(busy)]);
    let error = receiver
        .destination()
        .deliver(&[document("a")])
        .await
        .unwrap_err();
    assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_failure_after_a_part_was_taken_concerns_the_rest_only() {
    let receiver =
        Receiver::answering([rejecting(1), rejecting(0), Err(Status::unavailable("gone"))]);
    let outcomes = receiver
        .destination()
        .deliver(&["a", "b"].map(document))
        .await
        .unwrap();
    assert_eq!(outcomes[0], Outcome::Delivered);
    assert!(
        matches!(&outcomes[1], Outcome::Retry { reason, .. } if reason.contains("gone")),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn headers_come_from_secrets_and_a_missing_receiver_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "hunter2").unwrap();
    let receiver = Receiver::default();
    let mut config = OtlpConfig {
        endpoint: format!("http://{}", receiver.serve()),
        headers: BTreeMap::from([("X-Token".to_owned(), SecretSource::File(path))]),
        ..OtlpConfig::default()
    };
    let mut destination = Otlp::new(&config, None).unwrap();
    destination.deliver(&[document("a")]).await.unwrap();
    assert_eq!(*receiver.tokens.lock().unwrap(), ["hunter2"]);
    assert!(!format!("{destination:?}").contains("hunter2"));
    config.endpoint = "http://127.0.0.1:1".to_owned();
    Otlp::new(&config, None)
        .unwrap()
        .deliver(&[document("a")])
        .await
        .unwrap_err();
}

/// Serves one HTTP request with this answer; gives its head and its body.
fn http_server(answer: Vec<u8>) -> (String, std::thread::JoinHandle<(String, Vec<u8>)>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        let mut byte = [0; 1];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).unwrap();
        stream.write_all(&answer).unwrap();
        (head, body)
    });
    (url, served)
}

fn over_http(endpoint: String) -> Otlp {
    let config = OtlpConfig {
        protocol: OtlpProtocol::HttpProtobuf,
        endpoint,
        body: OtlpBody::Message,
        ..OtlpConfig::default()
    };
    config.validate("x").unwrap();
    Otlp::new(&config, None).unwrap()
}

#[tokio::test]
async fn over_http_a_request_is_compressed_protobuf_for_the_path_of_logs() {
    let (url, served) = http_server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec());
    let outcomes = over_http(url).deliver(&[document("a")]).await.unwrap();
    assert_eq!(outcomes, [Outcome::Delivered]);
    let (head, body) = served.join().unwrap();
    assert!(head.starts_with("POST /v1/logs HTTP/1.1"), "{head}");
    assert!(
        head.contains("content-type: application/x-protobuf"),
        "{head}"
    );
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body.as_slice())
        .read_to_end(&mut plain)
        .unwrap();
    let request = ExportLogsServiceRequest::decode(plain.as_slice()).unwrap();
    let record = &request.resource_logs[0].scope_logs[0].log_records[0];
    let body = record.body.as_ref().and_then(|body| body.value.as_ref());
    assert_eq!(body, Some(&Value::StringValue("Beaconing".to_owned())));
}

#[tokio::test]
async fn over_http_the_status_decides_and_retry_after_is_handed_on() {
    for status in [
        "429 x", "502 x", "503 x", "504 x", "401 x", "404 x", "302 x",
    ] {
        let answer = format!("HTTP/1.1 {status}\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n");
        let (url, _) = http_server(answer.into_bytes());
        let error = over_http(url).deliver(&[document("a")]).await.unwrap_err();
        assert_eq!(error.retry_after, Some(Duration::from_secs(3)), "{status}");
    }
    let said = tonic_types::Status {
        message: "no such field".to_owned(),
        ..Default::default()
    }
    .encode_to_vec();
    for status in ["400 x", "413 x", "500 x"] {
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            said.len()
        );
        let (url, _) = http_server([head.as_bytes(), &said].concat());
        let outcomes = over_http(url).deliver(&[document("a")]).await.unwrap();
        assert!(
            matches!(&outcomes[0], Outcome::Refused { reason } if reason.contains("no such field")),
            "{outcomes:?}"
        );
    }
}

#[test]
fn settings_that_cannot_be_are_named() {
    let mut config = OtlpConfig {
        endpoint: "http://host/v1/logs".to_owned(),
        ..OtlpConfig::default()
    };
    assert_eq!(config.validate("x").unwrap_err().field(), "x.endpoint");
    config.protocol = OtlpProtocol::HttpProtobuf;
    config.validate("x").unwrap();
    config
        .headers
        .insert("not a name".to_owned(), SecretSource::Env("X".to_owned()));
    assert_eq!(config.validate("x").unwrap_err().field(), "x.headers");
}
