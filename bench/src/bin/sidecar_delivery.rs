//! Measures how many documents a second a sidecar delivers to an Elasticsearch bulk endpoint on this machine.
//!
//! ```text
//! cargo build --release -p beaconwatch-bench --bin sidecar_delivery
//! target/release/sidecar_delivery
//! ```
//!
//! One analysis finds all series at once; `documents_per_s` is from the first byte of the first bulk request to the
//! last answer, as the server saw it, outbox and its checkpoints on disk included. The server is a process of its own
//! that reads each request whole and answers every document with 201; what a real one does with them is not measured.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use beaconwatch_bench::flows::{self, Load};
use beaconwatch_sidecar::destinations::{DestinationKind, ElasticsearchConfig};
use beaconwatch_sidecar::{Config, Sidecar};
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use serde_json::{Value, json};

const SERIES: u64 = 50_000;
const STARTS_PER_SERIES: u64 = 12;
const RECORDS_PER_REQUEST: u64 = 2000;
const MEASURED: &str = "/measured";

type Failure = Box<dyn std::error::Error>;

/// What the server has seen.
#[derive(Debug, Default)]
struct Seen {
    first: Option<Instant>,
    last: Option<Instant>,
    documents: u64,
    requests: u64,
    bytes: u64,
}

impl Seen {
    fn told(&self) -> Value {
        let seconds = match (self.first, self.last) {
            (Some(first), Some(last)) => last.duration_since(first).as_secs_f64(),
            _ => 0.0,
        };
        json!({
            "documents": self.documents,
            "requests": self.requests,
            "bytes": self.bytes,
            "seconds": seconds,
        })
    }
}

/// The server's process: says its port and serves until it is killed.
#[expect(clippy::print_stdout, reason = "the parent waits for this line")]
fn serve() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    let seen = Arc::new(Mutex::new(Seen::default()));
    for stream in listener.incoming() {
        let stream = stream?;
        let seen = Arc::clone(&seen);
        std::thread::spawn(move || {
            // A client that goes away ends its connection and nothing else.
            while matches!(answer(&stream, &seen), Ok(true)) {}
        });
    }
    Ok(())
}

/// Answers one request; false when there is none.
fn answer(stream: &TcpStream, seen: &Mutex<Seen>) -> Result<bool, Failure> {
    let mut reader = BufReader::with_capacity(1 << 16, stream);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(false);
    }
    let begin = Instant::now();
    let request = line.clone();
    let mut length = 0;
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let is_bulk = request.contains("/_bulk");
    let answer = if request.contains(MEASURED) {
        seen.told().to_string()
    } else if is_bulk {
        let lines = body.split(|&byte| byte == b'\n').count();
        let documents = lines / 2;
        seen.first.get_or_insert(begin);
        seen.documents += u64::try_from(documents)?;
        seen.bytes += u64::try_from(length)?;
        seen.requests += 1;
        let items = vec![r#"{"create":{"status":201}}"#; documents];
        format!("{{\"items\":[{}]}}", items.join(","))
    } else {
        "{}".to_owned()
    };
    let text = if request.starts_with("HEAD") {
        ""
    } else {
        &answer
    };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
    (&mut &*stream).write_all([head.as_bytes(), text.as_bytes()].concat().as_slice())?;
    if is_bulk {
        seen.last = Some(Instant::now());
    }
    Ok(true)
}

/// Kills the server when the measurement is over.
struct Server {
    process: Child,
    url: String,
}

impl Server {
    fn start() -> Result<Self, Failure> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("--server")
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("the server has no output")?;
        let mut port = String::new();
        BufReader::new(output).read_line(&mut port)?;
        let url = format!("http://127.0.0.1:{}", port.trim());
        Ok(Self { process, url })
    }

    async fn seen(&self) -> Result<Value, Failure> {
        let answer = reqwest::get(format!("{}{MEASURED}", self.url)).await?;
        let mut body = Vec::new();
        let mut pieces = answer.bytes_stream();
        while let Some(piece) = pieces.next().await {
            body.extend_from_slice(&piece?);
        }
        Ok(serde_json::from_slice(&body)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

fn config(folder: &Path, url: &str) -> Config {
    let search = ElasticsearchConfig {
        url: url.to_owned(),
        ..ElasticsearchConfig::default()
    };
    let mut config = Config {
        data_directory: folder.to_owned(),
        analysis_interval_s: 3600,
        destinations: BTreeMap::from([(
            "search".to_owned(),
            DestinationKind::Elasticsearch(search).into(),
        )]),
        ..Config::default()
    };
    config.receive.grpc_address.set_port(0);
    config.receive.http_address.set_port(0);
    config.api.address.set_port(0);
    config
}

async fn accept_all(sidecar: &Sidecar) -> Result<(), Failure> {
    let load = Load {
        series: SERIES,
        first_start: flows::now_nanos() - 3_600 * 1_000_000_000,
        interval: Duration::from_mins(2),
    };
    let step = usize::try_from(RECORDS_PER_REQUEST)?;
    futures::stream::iter((0..SERIES * STARTS_PER_SERIES).step_by(step))
        .map(|first| {
            let receiver = sidecar.receiver();
            let request = load.request(first..first + RECORDS_PER_REQUEST);
            async move { receiver.accept_encoded(&request.encode_to_vec()).await }
        })
        .buffer_unordered(8)
        .try_collect::<Vec<_>>()
        .await?;
    Ok(())
}

async fn measure() -> Result<Value, Failure> {
    let server = Server::start()?;
    let folder = tempfile::tempdir()?;
    let sidecar = Sidecar::start(config(folder.path(), &server.url)).await?;
    accept_all(&sidecar).await?;
    sidecar.analyse().await?;
    let begin = Instant::now();
    let seen = loop {
        let seen = server.seen().await?;
        if seen["documents"] == SERIES {
            break seen;
        }
        if begin.elapsed() > Duration::from_mins(5) {
            return Err(format!("after 5 minutes: {seen}").into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    sidecar.stop(Duration::from_mins(2)).await;
    let number = |name: &str| seen[name].as_f64().unwrap_or_default();
    Ok(json!({
        "measurement": "delivery_to_a_bulk_endpoint",
        "documents": seen["documents"],
        "documents_per_s": number("documents") / number("seconds"),
        "bytes_per_document": number("bytes") / number("documents"),
        "documents_per_request": number("documents") / number("requests"),
    }))
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the result")]
async fn main() -> Result<(), Failure> {
    if std::env::args().nth(1).as_deref() == Some("--server") {
        return serve();
    }
    println!("{}", measure().await?);
    Ok(())
}
