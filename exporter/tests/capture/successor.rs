//! The built exporter as a process that is stopped, killed and started anew over one directory of pins.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    routing::post,
};
use beaconwatch_exporter::LogsTarget;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    receiver::{Receiver, Record},
    support::run,
};

const DEADLINE: Duration = Duration::from_mins(1);

/// A BPF file system of its own, unmounted with the value.
pub(crate) struct BpfFileSystem {
    folder: tempfile::TempDir,
}

impl BpfFileSystem {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        run(&format!("mount -t bpf bpf {}", folder.path().display()));
        Self { folder }
    }

    /// A directory that is not there yet.
    pub(crate) fn pins(&self) -> PathBuf {
        self.folder.path().join("exporter")
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.pins()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

impl Drop for BpfFileSystem {
    fn drop(&mut self) {
        let path = self.folder.path();
        if let Err(error) = Command::new("umount").arg("-l").arg(path).status() {
            println!("{} stays mounted: {error}", path.display());
        }
    }
}

/// A receiver over HTTP that outlives exporters, and can let requests wait.
pub(crate) struct HttpReceiver {
    kept: Arc<Receiver>,
    all: Mutex<Vec<Record>>,
    answers: watch::Sender<bool>,
    pub(crate) port: u16,
}

#[derive(Clone)]
struct Shared {
    kept: Arc<Receiver>,
    answers: watch::Receiver<bool>,
}

async fn take(State(mut shared): State<Shared>, body: Bytes) {
    shared.answers.wait_for(|answers| *answers).await.unwrap();
    shared.kept.export(body).await.unwrap();
}

impl HttpReceiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let kept = Arc::new(Receiver::default());
        let (answers, waits) = watch::channel(true);
        let shared = Shared {
            kept: Arc::clone(&kept),
            answers: waits,
        };
        let router = Router::new()
            .route("/v1/logs", post(take))
            .layer(DefaultBodyLimit::disable())
            .with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            kept,
            all: Mutex::default(),
            answers,
            port,
        }
    }

    /// Takes no request from here on: they wait, unread and without an answer.
    pub(crate) fn hold(&self) {
        self.answers.send(false).unwrap();
    }

    pub(crate) fn go_on(&self) {
        self.answers.send(true).unwrap();
    }

    /// Everything so far.
    pub(crate) fn records(&self) -> Vec<Record> {
        let mut all = self.all.lock().unwrap();
        all.extend(self.kept.take());
        all.clone()
    }
}

/// Settings of an exporter, as variables.
pub(crate) type Settings = BTreeMap<&'static str, String>;

fn command(settings: &Settings, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_beaconwatch-exporter"));
    command.args(arguments);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("BEACONWATCH_") || text.starts_with("OTEL_") || text == "RUST_LOG" {
            command.env_remove(&name);
        }
    }
    for (key, value) in settings {
        command.env(format!("BEACONWATCH_EXPORTER__{key}"), value);
    }
    command
}

/// Runs a command of the exporter to its end.
pub(crate) fn ask(settings: &Settings, arguments: &[&str]) -> Output {
    command(settings, arguments).output().unwrap()
}

pub(crate) fn settings(pins: &Path, receiver: &HttpReceiver) -> Settings {
    [
        ("CAPTURE__PIN_DIRECTORY", pins.display().to_string()),
        (
            "OTLP__ENDPOINT",
            format!("http://127.0.0.1:{}", receiver.port),
        ),
        ("OTLP__PROTOCOL", "http/protobuf".to_owned()),
        ("OTLP__COMPRESSION", "none".to_owned()),
        ("METRICS__ENABLED", "false".to_owned()),
        ("SNAPSHOT_INTERVAL_S", "0.5".to_owned()),
    ]
    .into()
}

/// A running exporter.
pub(crate) struct Exporter {
    child: Child,
    /// What it said until it ran.
    pub(crate) said: String,
}

impl Exporter {
    /// Starts it; it captures when this returns.
    pub(crate) fn start(settings: &Settings) -> Self {
        let mut child = command(settings, &[])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        for line in lines.by_ref() {
            said += &line.unwrap();
            said += "\n";
            if said.contains(" exporting ") {
                break;
            }
        }
        assert!(
            said.contains(" exporting "),
            "the exporter ended early: {said}"
        );
        std::thread::spawn(move || lines.for_each(|line| println!("{}", line.unwrap_or_default())));
        Self { child, said }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops it in order.
    pub(crate) fn stop(mut self) {
        run(&format!("kill -TERM {}", self.child.id()));
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }

    /// Ends it by SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !condition() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not within {DEADLINE:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What an exporter's metric says, summed over its sets of attributes; waits until the exporter has it.
pub(crate) async fn metric(port: u16, name: &str) -> u64 {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let said = scrape(port).await.unwrap_or_else(|error| error.to_string());
        let values = said.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(name)).then(|| value.parse::<f64>().unwrap())
        });
        let values: Vec<f64> = values.collect();
        if !values.is_empty() {
            let sum: f64 = values.iter().sum();
            return format!("{sum:.0}").parse().unwrap();
        }
        assert!(tokio::time::Instant::now() < deadline, "no {name}: {said}");
        tokio::task::yield_now().await;
    }
}

async fn scrape(port: u16) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = "GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    connection.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    connection.read_to_string(&mut text).await?;
    Ok(text)
}
