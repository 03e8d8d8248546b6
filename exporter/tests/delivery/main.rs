//! Flow records over real sockets to receivers that are not ours, which refuse, cut off and reject: every
//! record arrives exactly once, or is counted at the place that lost it.

mod clock;
mod heartbeat;
mod metrics;
mod outage;
mod sampling;
mod support;
mod tls;
mod transport;

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use beaconwatch_exporter::otlp::LogsTarget;
use beaconwatch_exporter::otlp::client;
use beaconwatch_exporter::otlp::connection::Protocol;
use beaconwatch_exporter::{Config, Counters, Exporter, LossPlace};
use beaconwatch_records::{FLAG_OWN, FlowRecord, LOSS_COUNTERS, Owner};
use beaconwatch_schema::flow as names;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use support::grpc_peer::GrpcPeer;
use support::http_peer::HttpPeer;
use support::{Answer, PlayedSource, attributes, closed_flow, config, records, sequences};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const UNAVAILABLE: u32 = 14;
const RESOURCE_EXHAUSTED: u32 = 8;
const INVALID_ARGUMENT: u32 = 3;

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// Exports `count` whole flows, one request at a time of at most `batch` records, until the source ends.
async fn export(mut config: Config, count: u64, batch: usize) -> Counters {
    config.batch.max_records = batch;
    let flows = (0..count).map(|cookie| closed_flow(cookie, 100 + cookie));
    export_records(config, flows.collect(), [0; LOSS_COUNTERS as usize]).await
}

async fn export_records(
    config: Config,
    flows: Vec<FlowRecord>,
    losses: [u64; LOSS_COUNTERS as usize],
) -> Counters {
    let (send, records) = mpsc::unbounded_channel();
    for flow in flows {
        send.send(vec![flow]).expect("the source");
    }
    drop(send);
    let connection = config.otlp.logs_connection().expect("settings");
    let target = client::connect(&connection).expect("a client");
    Exporter::with_source(config, PlayedSource { records, losses }, target)
        .expect("an exporter")
        .run(CancellationToken::new())
        .await
        .expect("an export")
}

fn assert_each_once(requests: &[ExportLogsServiceRequest], count: i64) {
    let mut arrived: Vec<i64> = requests.iter().flat_map(sequences).collect();
    arrived.sort_unstable();
    assert_eq!(arrived, (0..count).collect::<Vec<i64>>());
}

fn total_lost(counters: &Counters) -> u64 {
    counters.losses.iter().map(|(_, count)| count).sum()
}

#[tokio::test]
async fn grpc_records_arrive_once_although_the_receiver_is_unavailable_at_first() {
    let script = vec![
        Answer::Refuse(UNAVAILABLE, None),
        Answer::Refuse(UNAVAILABLE, Some(Duration::from_millis(1))),
        Answer::Refuse(RESOURCE_EXHAUSTED, Some(Duration::from_millis(1))),
        Answer::Accept,
        Answer::Refuse(UNAVAILABLE, None),
    ];
    let (peer, address) = GrpcPeer::start(script, 0).await;
    let counters = export(config(url(address), Protocol::Grpc), 25, 10).await;
    assert_each_once(&peer.taken(), 25);
    assert_eq!(
        (counters.made, counters.delivered, counters.retries),
        (25, 25, 4)
    );
    assert_eq!(total_lost(&counters), 0);
    let requests = peer.requests.lock().unwrap();
    assert_eq!(
        sequences(&requests[0].0),
        sequences(&requests[3].0),
        "repeated unchanged"
    );
}

#[tokio::test]
async fn grpc_records_arrive_once_although_connections_are_cut_off() {
    let (peer, address) = GrpcPeer::start(Vec::new(), 2).await;
    let counters = export(config(url(address), Protocol::Grpc), 5, 10).await;
    assert_each_once(&peer.taken(), 5);
    assert_eq!(counters.delivered, 5);
    assert!(counters.retries >= 1);
}

#[tokio::test]
async fn http_records_arrive_once_although_connections_are_cut_off() {
    let (peer, address) = HttpPeer::start(Vec::new(), 2).await;
    let counters = export(config(url(address), Protocol::HttpProtobuf), 5, 10).await;
    assert_each_once(&peer.taken(), 5);
    assert_eq!(counters.delivered, 5);
    assert!(counters.retries >= 1);
}

#[tokio::test]
async fn records_wait_for_a_receiver_that_starts_later() {
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let settings = config(url(address), protocol);
        let target = client::connect(&settings.otlp.logs_connection().unwrap()).unwrap();
        let refused = target.export(Bytes::new()).await.unwrap_err();
        assert!(refused.is_retryable(), "{refused}");
        assert!(refused.to_string().contains("refused"), "{refused}");
    }
}

#[tokio::test]
async fn http_records_arrive_once_although_the_receiver_refuses_at_first() {
    let script = vec![
        Answer::Refuse(503, None),
        Answer::Refuse(429, None),
        Answer::Refuse(502, None),
        Answer::Accept,
        Answer::Refuse(504, None),
    ];
    let (peer, address) = HttpPeer::start(script, 0).await;
    let counters = export(config(url(address), Protocol::HttpProtobuf), 25, 10).await;
    assert_each_once(&peer.taken(), 25);
    assert_eq!(
        (counters.made, counters.delivered, counters.retries),
        (25, 25, 4)
    );
    assert_eq!(total_lost(&counters), 0);
}

#[tokio::test]
async fn what_a_receiver_refuses_for_good_is_counted_and_the_rest_arrives() {
    let (peer, address) = GrpcPeer::start(
        vec![
            Answer::Refuse(INVALID_ARGUMENT, None),
            // Without RetryInfo, exhaustion is for good.
            Answer::Refuse(RESOURCE_EXHAUSTED, None),
        ],
        0,
    )
    .await;
    let counters = export(config(url(address), Protocol::Grpc), 30, 10).await;
    assert_eq!(counters.lost(LossPlace::Refused), 20);
    assert_eq!((counters.delivered, counters.retries), (10, 0));
    let arrived: Vec<i64> = peer.taken().iter().flat_map(sequences).collect();
    assert_eq!(
        arrived,
        (20..30).collect::<Vec<i64>>(),
        "the gap shows in the sequence"
    );

    let (_, address) = HttpPeer::start(vec![Answer::Refuse(400, None)], 0).await;
    let counters = export(config(url(address), Protocol::HttpProtobuf), 30, 10).await;
    assert_eq!(counters.lost(LossPlace::Refused), 10);
    assert_eq!(counters.delivered, 20);
}

#[tokio::test]
async fn rejected_records_are_counted_and_not_repeated() {
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let script = vec![Answer::Partial(3)];
        let (address, requests): (_, Box<dyn Fn() -> usize>) = if protocol == Protocol::Grpc {
            let (peer, address) = GrpcPeer::start(script, 0).await;
            (
                address,
                Box::new(move || peer.requests.lock().unwrap().len()),
            )
        } else {
            let (peer, address) = HttpPeer::start(script, 0).await;
            (
                address,
                Box::new(move || peer.requests.lock().unwrap().len()),
            )
        };
        let counters = export(config(url(address), protocol), 10, 10).await;
        assert_eq!(counters.lost(LossPlace::Rejected), 3);
        assert_eq!((counters.made, counters.delivered), (10, 7));
        assert_eq!(requests(), 1);
    }
}

async fn error_of(protocol: Protocol, answer: Answer) -> beaconwatch_exporter::ExportError {
    let address = if protocol == Protocol::Grpc {
        GrpcPeer::start(vec![answer], 0).await.1
    } else {
        HttpPeer::start(vec![answer], 0).await.1
    };
    let config = config(url(address), protocol);
    let target: Arc<dyn LogsTarget> =
        client::connect(&config.otlp.logs_connection().expect("settings")).expect("a client");
    let answer = target.export(Bytes::new()).await;
    answer.expect_err("the script refuses")
}

#[tokio::test]
async fn the_wait_that_a_receiver_names_is_read() {
    let wait = Some(Duration::from_millis(2500));
    let error = error_of(Protocol::Grpc, Answer::Refuse(RESOURCE_EXHAUSTED, wait)).await;
    assert!(error.is_retryable());
    assert_eq!(error.retry_after(), wait);
    let wait = Some(Duration::from_secs(7));
    let error = error_of(Protocol::HttpProtobuf, Answer::Refuse(429, wait)).await;
    assert!(error.is_retryable());
    assert_eq!(error.retry_after(), wait);
    assert_eq!(error.to_string(), "HTTP 429 Too Many Requests: not now");
}

#[tokio::test]
async fn codes_are_repeated_exactly_as_the_specification_says() {
    // gRPC: CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS.
    for code in 1..=16 {
        let error = error_of(Protocol::Grpc, Answer::Refuse(code, None)).await;
        assert_eq!(
            error.is_retryable(),
            [1, 4, 10, 11, 14, 15].contains(&code),
            "code {code}"
        );
    }
    for status in [
        300, 302, 307, 400, 401, 403, 404, 408, 413, 429, 500, 501, 502, 503, 504, 505,
    ] {
        let error = error_of(Protocol::HttpProtobuf, Answer::Refuse(status, None)).await;
        assert_eq!(
            error.is_retryable(),
            [429, 502, 503, 504].contains(&status),
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_is_tried_again_after_the_timeout() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let mut config = config(url(address), protocol);
        config.otlp.timeout_s = Duration::from_millis(100);
        let target = client::connect(&config.otlp.logs_connection().unwrap()).unwrap();
        let error = target.export(Bytes::new()).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
    }
}

#[tokio::test]
async fn requests_keep_their_limit_in_bytes() {
    let (peer, address) = GrpcPeer::start(Vec::new(), 0).await;
    let mut config = config(url(address), Protocol::Grpc);
    config.batch.max_bytes = 10_000;
    let counters = export(config, 60, 1000).await;
    assert_eq!(counters.delivered, 60);
    let taken = peer.taken();
    assert_each_once(&taken, 60);
    assert!(taken.len() > 6, "{} requests", taken.len());
    for request in &taken {
        let length = prost::Message::encoded_len(request);
        assert!(length <= 10_000, "{length}");
    }
}

#[tokio::test]
async fn a_flow_keeps_its_meaning_on_the_way() {
    let (peer, address) = GrpcPeer::start(Vec::new(), 0).await;
    let mut config = config(url(address), Protocol::Grpc);
    config.host_id = Some("8f14e45f".to_owned());
    export(config, 1, 10).await;
    let request = &peer.taken()[0];
    let resource = attributes(
        &request.resource_logs[0]
            .resource
            .as_ref()
            .unwrap()
            .attributes,
    );
    assert_eq!(
        resource[names::HOST_ID],
        Value::StringValue("8f14e45f".to_owned())
    );
    let record = records(request).next().unwrap();
    assert_eq!(record.event_name, names::EVENT_NAME);
    // The boot clock stands at 8 s; the flow lasted from 5 s to 7 s.
    assert_eq!(record.time_unix_nano, 1_699_999_999_000_000_000);
    let flow = attributes(&record.attributes);
    let text = |value: &str| Value::StringValue(value.to_owned());
    assert_eq!(flow[names::EVENT], text("end"));
    assert_eq!(flow[names::RECORD_NUMBER], Value::IntValue(0));
    assert_eq!(
        flow[names::START_TIME],
        Value::IntValue(1_699_999_997_000_000_000)
    );
    assert_eq!(
        flow[names::END_TIME],
        Value::IntValue(1_699_999_999_000_000_000)
    );
    assert_eq!(flow[names::SOURCE_ADDRESS], text("192.0.2.10"));
    assert_eq!(flow[names::DESTINATION_ADDRESS], text("198.51.100.7"));
    assert_eq!(flow[names::DESTINATION_PORT], Value::IntValue(443));
    assert_eq!(flow[names::SOURCE_BYTES], Value::IntValue(100));
    assert_eq!(flow[names::DESTINATION_BYTES], Value::IntValue(200));
    assert_eq!(flow[names::CLOSE_REASON], text("fin_local"));
    assert_eq!(
        flow[names::EXPORTER_ID],
        resource[names::SERVICE_INSTANCE_ID]
    );
    assert!(!flow.contains_key(names::OWN));
}

#[tokio::test]
async fn what_cannot_be_sent_before_the_deadline_is_counted() {
    let (_, address) = GrpcPeer::start(vec![Answer::Refuse(UNAVAILABLE, None); 100_000], 0).await;
    let mut config = config(url(address), Protocol::Grpc);
    config.drain_timeout_s = Duration::from_millis(200);
    let counters = export(config, 30, 10).await;
    assert_eq!((counters.made, counters.delivered), (30, 0));
    assert_eq!(
        counters.lost(LossPlace::Unsent) + counters.lost(LossPlace::Unconfirmed),
        30,
        "{counters:?}"
    );
    assert_eq!((counters.queued, counters.in_flight), (0, 0));
}

#[tokio::test]
async fn what_the_kernel_part_lost_is_counted_by_place() {
    let (_, address) = GrpcPeer::start(Vec::new(), 0).await;
    let config = config(url(address), Protocol::Grpc);
    let bad = FlowRecord {
        role: 9,
        ..closed_flow(1, 1)
    };
    let counters = export_records(config, vec![bad], [1, 2, 3, 4, 5, 6, 7, 8, 9]).await;
    let lost = [
        LossPlace::KernelRing,
        LossPlace::KernelStorage,
        LossPlace::KernelPeers,
        LossPlace::KernelUnattributed,
        LossPlace::KernelCloseUnseen,
        LossPlace::KernelSlice,
        LossPlace::KernelProcess,
        LossPlace::KernelTransit,
        LossPlace::KernelTransitUnread,
        LossPlace::InvalidRecord,
    ];
    let lost = lost.map(|place| counters.lost(place));
    assert_eq!(lost, [1, 2, 3, 4, 5, 6, 7, 8, 9, 1]);
}

#[tokio::test]
async fn own_traffic_is_marked_by_the_kernels_flag_or_by_the_executable() {
    let (peer, address) = GrpcPeer::start(Vec::new(), 0).await;
    let config = config(url(address), Protocol::Grpc);
    let by_flag = FlowRecord {
        flags: FLAG_OWN,
        ..closed_flow(0, 1)
    };
    let user = std::fs::metadata("/proc/self").unwrap().uid();
    let this = Owner {
        pid: std::process::id(),
        uid: user,
        ..Owner::default()
    };
    let by_executable = FlowRecord {
        owner: this,
        ..closed_flow(1, 1)
    };
    let other_user = Owner {
        uid: u32::MAX - 1,
        ..this
    };
    let foreign = FlowRecord {
        owner: other_user,
        ..closed_flow(2, 1)
    };
    let flows = vec![by_flag, by_executable, foreign, closed_flow(3, 1)];
    export_records(config, flows, [0; LOSS_COUNTERS as usize]).await;
    let taken = peer.taken();
    let marks: Vec<bool> = taken
        .iter()
        .flat_map(records)
        .map(|record| attributes(&record.attributes).contains_key(names::OWN))
        .collect();
    assert_eq!(marks, [true, true, false, false]);
}
