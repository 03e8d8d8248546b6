//! Measures how many flow records a sidecar takes per second, from encoded bytes to scored state.
//!
//! ```text
//! cargo build --release -p beaconwatch-bench --bin sidecar
//! taskset -c 0 target/release/sidecar
//! ```
//!
//! One JSON line per way in. `records_per_s` is over the wall clock, from the first byte sent until an
//! analysis has scored every record and its checkpoint is on disk; `records_per_processor_s` is over the
//! processor time of all threads of the sidecar in between (the client is a process of its own).
//! Each record has the 30 attributes of a real one; they
//! belong to 1000 series of 200 connections each.

use std::process::Stdio;
use std::time::{Duration, Instant};

use beaconwatch_bench::flows::{self, Load};
use beaconwatch_bench::process::processor_time;
use beaconwatch_sidecar::{Config, Receiver, Sidecar};
use bytes::{Buf, BufMut};
use futures::{StreamExt, TryStreamExt};
use http::uri::PathAndQuery;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};

const REQUESTS: u64 = 100;
const RECORDS_PER_REQUEST: u64 = 2000;
const SERIES: u64 = 1000;
/// As many as a Collector's exporter sends at a time by default.
const REQUESTS_AT_A_TIME: usize = 10;

type Failure = Box<dyn std::error::Error>;

fn requests() -> Vec<ExportLogsServiceRequest> {
    let load = Load {
        series: SERIES,
        first_start: flows::now_nanos() - 24 * 3_600 * 1_000_000_000,
        interval: Duration::from_mins(1),
    };
    (0..REQUESTS)
        .map(|request| {
            let first = request * RECORDS_PER_REQUEST;
            load.request(first..first + RECORDS_PER_REQUEST)
        })
        .collect()
}

const EXPORT: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// What requests are sent with, in the client's process.
#[derive(Clone)]
enum Sender {
    Http {
        client: reqwest::Client,
        url: String,
    },
    Grpc(Channel),
}

impl Sender {
    async fn connect(way: Way, address: &str) -> Result<Self, Failure> {
        Ok(match way {
            Way::Grpc => Self::Grpc(
                Endpoint::try_from(format!("http://{address}"))?
                    .connect()
                    .await?,
            ),
            Way::Http | Way::InProcess => Self::Http {
                client: reqwest::Client::new(),
                url: format!("http://{address}/v1/logs"),
            },
        })
    }
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
async fn send(sender: Sender, request: Vec<u8>) -> Result<(), Failure> {
    match sender {
        Sender::Http { client, url } => {
            let post = client.post(&url);
            let post = post
                .header("content-type", "application/x-protobuf")
                .body(request);
            post.send().await?.error_for_status()?;
        }
        Sender::Grpc(channel) => {
            let mut client = Grpc::new(channel);
            client.ready().await?;
            let path = PathAndQuery::from_static(EXPORT);
            client
                .unary(tonic::Request::new(request), path, Encoded)
                .await?;
        }
    }
    Ok(())
}

/// The client's process: makes all requests, says so, waits for a line, sends them several at a time.
#[expect(clippy::print_stdout, reason = "the parent waits for these lines")]
async fn client(way: Way, address: &str) -> Result<(), Failure> {
    let requests = encoded_requests();
    let sender = Sender::connect(way, address).await?;
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    futures::stream::iter(requests)
        .map(|request| send(sender.clone(), request))
        .buffer_unordered(REQUESTS_AT_A_TIME)
        .try_collect::<Vec<()>>()
        .await?;
    println!("done");
    Ok(())
}

fn encoded_requests() -> Vec<Vec<u8>> {
    requests().iter().map(Message::encode_to_vec).collect()
}

/// Has a client send all requests, until all are scored; wall clock and this process's processor time.
async fn send_all(way: Way, sidecar: &Sidecar) -> Result<(Duration, Duration), Failure> {
    let address = match way {
        Way::InProcess => return accept_all(sidecar).await,
        Way::Http => sidecar.addresses().http,
        Way::Grpc => sidecar.addresses().grpc,
    };
    let mut child = tokio::process::Command::new(std::env::current_exe()?)
        .args(["--client", &format!("{way:?}"), &address.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = child.stdout.take().ok_or("the client has no output")?;
    let mut lines = tokio::io::BufReader::new(output).lines();
    expect(&mut lines, "ready").await?;
    let (begin, processor) = (Instant::now(), processor_time()?);
    let mut input = child.stdin.take().ok_or("the client has no input")?;
    input.write_all(b"go\n").await?;
    expect(&mut lines, "done").await?;
    sidecar.analyse().await?;
    Ok((begin.elapsed(), processor_time()?.saturating_sub(processor)))
}

async fn expect(
    lines: &mut tokio::io::Lines<tokio::io::BufReader<tokio::process::ChildStdout>>,
    expected: &str,
) -> Result<(), Failure> {
    match lines.next_line().await? {
        Some(line) if line == expected => Ok(()),
        other => Err(format!("the client said {other:?}, expected {expected:?}").into()),
    }
}

/// The same without sockets.
async fn accept_all(sidecar: &Sidecar) -> Result<(Duration, Duration), Failure> {
    let requests = encoded_requests();
    let receiver: Receiver = sidecar.receiver();
    let (begin, processor) = (Instant::now(), processor_time()?);
    futures::stream::iter(requests)
        .map(|request| {
            let receiver = receiver.clone();
            async move { receiver.accept_encoded(&request).await }
        })
        .buffer_unordered(REQUESTS_AT_A_TIME)
        .try_collect::<Vec<_>>()
        .await?;
    sidecar.analyse().await?;
    Ok((begin.elapsed(), processor_time()?.saturating_sub(processor)))
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
    let bytes: usize = encoded_requests().iter().map(Vec::len).sum();
    let (elapsed, processor) = send_all(way, &sidecar).await?;
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
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, way, address] = &arguments[..]
        && mode == "--client"
    {
        let way = if way == "Grpc" { Way::Grpc } else { Way::Http };
        return runtime.block_on(client(way, address));
    }
    for way in [Way::InProcess, Way::Http, Way::Grpc] {
        runtime.block_on(measure(way))?;
    }
    Ok(())
}
