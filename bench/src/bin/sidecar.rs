//! Measures how many flow records a sidecar takes per second, from encoded bytes to scored state.
//!
//! ```text
//! cargo build --release -p beaconwatch-bench --bin sidecar
//! taskset -c 0 target/release/sidecar
//! ```
//!
//! One JSON line per way in. `records_per_s` is over the wall clock, from the first byte sent until an
//! analysis has scored every record and its checkpoint is on disk; `records_per_processor_s` is over the
//! processor time of all threads in between. The client runs in the same process: its cost is part of both.
//! Each record has the 29 attributes of a real one; they
//! belong to 1000 series of 200 connections each.

use std::time::{Duration, Instant};

use beaconwatch_schema::flow;
use beaconwatch_sidecar::{Config, Receiver, Sidecar};
use bytes::{Buf, BufMut};
use futures::{StreamExt, TryStreamExt};
use http::uri::PathAndQuery;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};

const REQUESTS: u64 = 100;
const RECORDS_PER_REQUEST: u64 = 2000;
const SERIES: u64 = 1000;
/// As many as a Collector's exporter sends at a time by default.
const REQUESTS_AT_A_TIME: usize = 10;

type Failure = Box<dyn std::error::Error>;

fn text(key: &str, value: String) -> KeyValue {
    attribute(key, Value::StringValue(value))
}

fn number(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(value.cast_signed()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn record(sequence: u64, first_start: u64) -> LogRecord {
    let series = sequence % SERIES;
    let start = first_start + sequence / SERIES * 60_000_000_000 + series * 1_000_000;
    LogRecord {
        time_unix_nano: start + 100_000_000,
        observed_time_unix_nano: start + 200_000_000,
        event_name: flow::EVENT_NAME.to_owned(),
        attributes: vec![
            text(
                flow::EXPORTER_ID,
                "0f8e4a2f6d3b4c1e9a5d7c0b1a2f3e4d".to_owned(),
            ),
            number(flow::EXPORTER_SEQUENCE, sequence),
            text(
                flow::FLOW_ID,
                format!("{:032x}", u128::from(sequence) << 64 | 0x5b0c),
            ),
            text(flow::EVENT, flow::EVENT_END.to_owned()),
            number(flow::RECORD_NUMBER, 0),
            text(flow::ROLE, flow::ROLE_CLIENT.to_owned()),
            number(flow::START_TIME, start),
            number(flow::END_TIME, start + 100_000_000),
            attribute(flow::ESTABLISHED, Value::BoolValue(true)),
            number(flow::SOURCE_BYTES, 1034),
            number(flow::SOURCE_BYTES_DELTA, 1034),
            number(flow::SOURCE_PACKETS, 7),
            number(flow::SOURCE_PACKETS_DELTA, 7),
            number(flow::DESTINATION_BYTES, 8120),
            number(flow::DESTINATION_BYTES_DELTA, 8120),
            number(flow::DESTINATION_PACKETS, 9),
            number(flow::DESTINATION_PACKETS_DELTA, 9),
            text(flow::NETWORK_NAMESPACE, "host".to_owned()),
            text(flow::SOURCE_ADDRESS, "192.0.2.10".to_owned()),
            number(flow::SOURCE_PORT, 32_768 + sequence % 28_000),
            text(
                flow::DESTINATION_ADDRESS,
                format!("198.51.{}.{}", series / 250, series % 250 + 1),
            ),
            number(flow::DESTINATION_PORT, 443),
            text(flow::TRANSPORT, "tcp".to_owned()),
            text(flow::NETWORK_TYPE, "ipv4".to_owned()),
            number(flow::PROCESS_PID, 4711 + series % 20),
            text(flow::PROCESS_EXECUTABLE_NAME, "curl".to_owned()),
            text(flow::PROCESS_EXECUTABLE_PATH, "/usr/bin/curl".to_owned()),
            text(
                flow::PROCESS_CREATION_TIME,
                "2025-11-22T08:26:30.123456789Z".to_owned(),
            ),
            number(flow::PROCESS_REAL_USER_ID, 1000),
        ],
        ..LogRecord::default()
    }
}

fn requests() -> Vec<ExportLogsServiceRequest> {
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    let first_start =
        u64::try_from(now.unwrap_or_default().as_nanos()).unwrap_or(0) - 24 * 3_600 * 1_000_000_000;
    (0..REQUESTS)
        .map(|request| {
            let first = request * RECORDS_PER_REQUEST;
            let records = first..first + RECORDS_PER_REQUEST;
            ExportLogsServiceRequest {
                resource_logs: vec![ResourceLogs {
                    resource: Some(Resource {
                        attributes: vec![
                            text(flow::HOST_ID, "8f14e45fceea167a5a36dedd4bea2543".to_owned()),
                            text(flow::HOST_NAME, "web-3".to_owned()),
                        ],
                        ..Resource::default()
                    }),
                    scope_logs: vec![ScopeLogs {
                        log_records: records.map(|it| record(it, first_start)).collect(),
                        ..ScopeLogs::default()
                    }],
                    ..ResourceLogs::default()
                }],
            }
        })
        .collect()
}

const EXPORT: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// What requests are sent with.
#[derive(Clone)]
struct Sender {
    receiver: Receiver,
    http: reqwest::Client,
    url: String,
    channel: Channel,
}

/// Sends messages that are encoded already, so that the client's encoding is no part of the figure.
#[derive(Clone, Copy)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Self::Error> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = ();
    type Error = tonic::Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Self::Error> {
        buffer.advance(buffer.remaining());
        Ok(Some(()))
    }
}

/// How requests get to the sidecar.
#[derive(Clone, Copy, Debug)]
enum Way {
    InProcess,
    Http,
    Grpc,
}

/// Sends one request.
async fn send(way: Way, sender: Sender, request: Vec<u8>) -> Result<(), Failure> {
    match way {
        Way::InProcess => {
            sender.receiver.accept_encoded(&request).await?;
        }
        Way::Http => {
            let post = sender.http.post(&sender.url);
            let post = post
                .header("content-type", "application/x-protobuf")
                .body(request);
            post.send().await?.error_for_status()?;
        }
        Way::Grpc => {
            let mut client = Grpc::new(sender.channel);
            client.ready().await?;
            let path = PathAndQuery::from_static(EXPORT);
            client
                .unary(tonic::Request::new(request), path, Encoded)
                .await?;
        }
    }
    Ok(())
}

/// Sends all requests, several at a time, until all are scored; wall clock and processor time.
async fn send_all(
    way: Way,
    sidecar: &Sidecar,
    requests: Vec<Vec<u8>>,
) -> Result<(Duration, Duration), Failure> {
    let grpc = format!("http://{}", sidecar.addresses().grpc);
    let sender = Sender {
        receiver: sidecar.receiver(),
        http: reqwest::Client::new(),
        url: format!("http://{}/v1/logs", sidecar.addresses().http),
        channel: Endpoint::try_from(grpc)?.connect().await?,
    };
    let (begin, processor) = (Instant::now(), processor_time()?);
    futures::stream::iter(requests)
        .map(|request| send(way, sender.clone(), request))
        .buffer_unordered(REQUESTS_AT_A_TIME)
        .try_collect::<Vec<()>>()
        .await?;
    sidecar.analyse().await?;
    Ok((begin.elapsed(), processor_time()?.saturating_sub(processor)))
}

/// Processor time of this process so far, in all of its threads.
fn processor_time() -> Result<Duration, Failure> {
    let mut nanos = 0;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let schedule = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        nanos += schedule
            .split(' ')
            .next()
            .unwrap_or_default()
            .parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

#[expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement prints its figures"
)]
async fn measure(way: Way) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let mut config = Config {
        data_directory: folder.path().to_owned(),
        ..Config::default()
    };
    config.analysis_interval_s = 3600;
    config.receive.grpc_address.set_port(0);
    config.receive.http_address.set_port(0);
    config.api.address.set_port(0);
    let sidecar = Sidecar::start(config).await?;
    let requests: Vec<Vec<u8>> = requests().iter().map(Message::encode_to_vec).collect();
    let bytes: usize = requests.iter().map(Vec::len).sum();
    let (elapsed, processor) = send_all(way, &sidecar, requests).await?;
    let status = sidecar.status().await?;
    let records = REQUESTS * RECORDS_PER_REQUEST;
    if status.detector.observations != records {
        return Err(format!("{} of {records} were scored", status.detector.observations).into());
    }
    let line = serde_json::json!({
        "benchmark": "receive_throughput",
        "way": format!("{way:?}"),
        "records": records,
        "bytes_per_record": bytes as f64 / records as f64,
        "elapsed_s": elapsed.as_secs_f64(),
        "processor_s": processor.as_secs_f64(),
        "records_per_processor_s": (records as f64 / processor.as_secs_f64()).round(),
        "records_per_s": (records as f64 / elapsed.as_secs_f64()).round(),
        "findings": status.findings.known,
        "store_bytes": status.store.file_bytes,
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
    });
    println!("{line}");
    sidecar.stop(Duration::from_secs(30)).await;
    Ok(())
}

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new()?;
    for way in [Way::InProcess, Way::Http, Way::Grpc] {
        runtime.block_on(measure(way))?;
    }
    Ok(())
}
