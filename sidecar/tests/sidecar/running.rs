//! A sidecar in this process, with a clock of its own, and conditions to wait for.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use beaconwatch_detector::Timestamp;
use beaconwatch_sidecar::{Clock, Config, Sidecar};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use tonic::transport::Channel;

use crate::flows::{SECOND, START};

/// Nothing here waits this long unless something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A clock that stands until it is set.
#[derive(Clone)]
pub(crate) struct Hands(Arc<AtomicI64>);

impl Hands {
    /// One hour after [`START`].
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(START + 3600 * SECOND)))
    }

    pub(crate) fn clock(&self) -> Clock {
        let hands = Arc::clone(&self.0);
        Clock::new(move || Timestamp::from_unix_nanos(hands.load(Ordering::Relaxed)))
    }

    pub(crate) fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds * SECOND, Ordering::Relaxed);
    }
}

/// A configuration for tests: free ports, everything in `folder`, analyses only when asked.
pub(crate) fn config(folder: &Path) -> Config {
    let mut config = Config {
        data_directory: folder.to_owned(),
        ..Config::default()
    };
    config.analysis_interval_s = 3600;
    config.receive.grpc_address.set_port(0);
    config.receive.http_address.set_port(0);
    config.api.address.set_port(0);
    config.delivery.initial_backoff_ms = 1;
    config.delivery.max_backoff_s = 1;
    config
}

/// Like [`config`], without any destination.
pub(crate) fn config_without_destinations(folder: &Path) -> Config {
    Config {
        destinations: BTreeMap::new(),
        ..config(folder)
    }
}

pub(crate) async fn start(config: Config, hands: &Hands) -> Sidecar {
    Sidecar::start_with(config, hands.clock(), Vec::new())
        .await
        .expect("the sidecar starts")
}

/// Asks again and again until the answer is yes.
pub(crate) async fn until<F, T>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let asked = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asked)
        .await
        .unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Documents in the file destination of a test configuration. A last line without its end is being written.
pub(crate) fn documents(folder: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join("detections.ndjson")).unwrap_or_default();
    let whole = text
        .rfind('\n')
        .map_or("", |end| text.get(..end).unwrap_or_default());
    whole
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is a document"))
        .collect()
}

pub(crate) async fn grpc(sidecar: &Sidecar) -> LogsServiceClient<Channel> {
    LogsServiceClient::connect(format!("http://{}", sidecar.addresses().grpc))
        .await
        .unwrap()
}

/// Posts a body to the OTLP receiver.
pub(crate) async fn post(
    sidecar: &Sidecar,
    content_type: &str,
    body: impl Into<reqwest::Body>,
) -> reqwest::Response {
    reqwest::Client::new()
        .post(format!("http://{}/v1/logs", sidecar.addresses().http))
        .header("content-type", content_type)
        .body(body)
        .send()
        .await
        .unwrap()
}

/// The body of a response of a server in this process.
pub(crate) async fn bytes(mut response: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        body.extend_from_slice(&chunk);
    }
    body
}

pub(crate) async fn json(response: reqwest::Response) -> serde_json::Value {
    serde_json::from_slice(&bytes(response).await).expect("a JSON body")
}

/// Copies a sidecar's folder while it runs: what a `kill -9` at this instant would leave.
///
/// The copy is no instant, so it is made again until the store has not changed meanwhile; and the store
/// comes first, because a document is in its file before the store says so.
pub(crate) fn crash(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let store = folder.join("beaconwatch.redb");
    let mut bytes = std::fs::read(&store).unwrap();
    loop {
        let again = std::fs::read(&store).unwrap();
        if again == bytes {
            break;
        }
        bytes = again;
    }
    std::fs::write(copy.path().join("beaconwatch.redb"), bytes).unwrap();
    let file = folder.join("detections.ndjson");
    if file.exists() {
        std::fs::copy(file, copy.path().join("detections.ndjson")).unwrap();
    }
    copy
}
