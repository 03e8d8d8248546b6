//! Measures how long the API takes to answer with 100,000 findings, while analyses go on.
//!
//! ```text
//! cargo build --release -p beaconwatch-bench --bin sidecar_api
//! target/release/sidecar_api
//! ```
//!
//! Four clients ask one request after the other; one JSON line per kind of request.

use std::path::Path;
use std::time::{Duration, Instant};

use beaconwatch_bench::flows::{self, Load};
use beaconwatch_sidecar::{Config, DestinationConfig, Receiver, Sidecar};
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use serde_json::{Value, json};

const FINDINGS: u64 = 100_000;
const BEATS: u64 = 12;
const RECORDS_PER_REQUEST: u64 = 2000;
const CLIENTS: usize = 4;
const ANSWERS_PER_CLIENT: usize = 250;
const RETRY: Duration = Duration::from_millis(50);

const REQUESTS: &[&str] = &[
    "/api/v1/alerts?limit=100",
    "/api/v1/alerts?limit=100&state=open&severity=high&sort=score",
    "/api/v1/alerts?limit=100&source=192.0.2.0/28&sort=opened",
    "/api/v1/alerts?limit=100&q=198.51.7.",
    "/api/v1/alerts?limit=100&q=nowhere",
    "/api/v1/beacons?limit=100&min_score=0.7",
    "/api/v1/connections?limit=100",
    "/api/v1/status",
    "/metrics",
];

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn config(folder: &Path) -> Config {
    let mut config = Config {
        data_directory: folder.to_owned(),
        analysis_interval_s: 1,
        max_findings: 200_000,
        destinations: std::collections::BTreeMap::<String, DestinationConfig>::new(),
        ..Config::default()
    };
    config.api.max_series = 200_000;
    config.receive.grpc_address.set_port(0);
    config.receive.http_address.set_port(0);
    config.api.address.set_port(0);
    config
}

/// Sends a request again for as long as the receiver puts it off.
async fn accept(receiver: &Receiver, request: &[u8]) -> Result<(), Failure> {
    loop {
        match receiver.accept_encoded(request).await {
            Err(error) if error.is_retryable() => tokio::time::sleep(RETRY).await,
            outcome => return Ok(outcome.map(drop)?),
        }
    }
}

async fn fill(sidecar: &Sidecar) -> Result<(), Failure> {
    let interval = Duration::from_mins(5);
    let ago = interval.as_secs() * (BEATS + 1) * 1_000_000_000;
    let load = Load {
        series: FINDINGS,
        first_start: flows::now_nanos() - ago,
        interval,
    };
    let receiver = sidecar.receiver();
    let step = usize::try_from(RECORDS_PER_REQUEST)?;
    futures::stream::iter((0..FINDINGS * BEATS).step_by(step))
        .map(|first| {
            let receiver = receiver.clone();
            let request = load.request(first..first + RECORDS_PER_REQUEST);
            async move { accept(&receiver, &request.encode_to_vec()).await }
        })
        .buffer_unordered(4)
        .try_collect::<Vec<_>>()
        .await?;
    sidecar.analyse().await?;
    let known = sidecar.status().await?.findings.known;
    if known < FINDINGS {
        return Err(format!("{known} findings, expected {FINDINGS}").into());
    }
    Ok(())
}

/// Times of one client's answers.
async fn ask(client: reqwest::Client, url: String) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::with_capacity(ANSWERS_PER_CLIENT);
    for _ in 0..ANSWERS_PER_CLIENT {
        let begin = Instant::now();
        let mut answer = client.get(&url).send().await?.error_for_status()?;
        while answer.chunk().await?.is_some() {}
        times.push(begin.elapsed());
    }
    Ok(times)
}

async fn measure(sidecar: &Sidecar, request: &str) -> Result<Value, Failure> {
    let url = format!("http://{}{request}", sidecar.addresses().api);
    let client = reqwest::Client::new();
    let clients = (0..CLIENTS).map(|_| tokio::spawn(ask(client.clone(), url.clone())));
    let mut times = Vec::new();
    for client in futures::future::try_join_all(clients).await? {
        times.extend(client?);
    }
    times.sort_unstable();
    let at = |share: usize| {
        times
            .get(times.len() * share / 100)
            .map(Duration::as_secs_f64)
    };
    Ok(json!({
        "measurement": "api",
        "request": request,
        "findings": FINDINGS,
        "clients": CLIENTS,
        "median_s": at(50),
        "p99_s": at(99),
        "answers": times.len(),
    }))
}

#[expect(clippy::print_stdout, reason = "a measurement prints its figures")]
async fn run() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let sidecar = Sidecar::start(config(folder.path())).await?;
    fill(&sidecar).await?;
    for request in REQUESTS {
        println!("{}", measure(&sidecar, request).await?);
    }
    sidecar.stop(Duration::from_mins(1)).await;
    Ok(())
}

fn main() -> Result<(), Failure> {
    tokio::runtime::Runtime::new()?.block_on(run())
}
