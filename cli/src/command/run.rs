//! `beaconwatch run`: exporter and sidecar in one process, over the same way in that the network uses.
//!
//! Rights: the exporter runs on the main thread, which keeps what a running capture needs; everything else, on threads of the
//! runtime or on those that the sidecar starts from there, has no capability.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use beaconwatch_exporter::capture::capabilities;
use beaconwatch_exporter::{Counters, ExportError, Exporter, LogsTarget, RunError, Telemetry};
use beaconwatch_sidecar::destinations::DestinationKind;
use beaconwatch_sidecar::{Clock, Receiver, Sidecar, StatusSource};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use tokio::task::{JoinError, JoinHandle, LocalSet};
use tokio_util::sync::CancellationToken;

use crate::arguments::RunArguments;
use crate::config::{self, Config, Flags};
use crate::error::Error;
use crate::process;
use crate::progress::{Progress, print_lines};
use crate::reload;

/// A stop takes at most so long, apart from what the exporter needs.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// Captures, scores and delivers until a signal comes.
pub(crate) fn run(file: Option<&Path>, arguments: &RunArguments) -> Result<(), Error> {
    let loaded = config::load(file, Flags::detect(&arguments.detect))?;
    process::warn_all(loaded.all_warnings());
    let keeps = arguments.rights.keep_capabilities;
    let runtime = process::for_capture(keeps)?;
    // Its tasks stay on this thread.
    let main_thread = LocalSet::new();
    let working = capture_and_detect(file, loaded.flags, loaded.config, keeps);
    main_thread.block_on(&runtime, working)
}

async fn capture_and_detect(
    file: Option<&Path>,
    flags: Flags,
    config: Config,
    keep_capabilities: bool,
) -> Result<(), Error> {
    let shutdown = process::shutdown_on_signal()?;
    // The capture goes first: without the rights for it nothing else needs to begin.
    let target = Arc::new(InProcess::default());
    let hashes = config.exporter.process.hash;
    let exporter = Exporter::start(config.exporter, Arc::clone(&target) as Arc<dyn LogsTarget>)?;
    if !keep_capabilities {
        capabilities::keep_for_running_capture(hashes);
    }
    let part = Part(exporter.telemetry());
    let places = Places::of(&config.sidecar);
    let settings = config.sidecar.detector.clone();
    let sidecar = start_sidecar(config.sidecar, part).await?;
    target.connect(sidecar.receiver());
    let reloading = reload::on_hangup(&sidecar, file, flags, shutdown.clone())?;
    let stop_exporter = CancellationToken::new();
    let mut exporting = tokio::task::spawn_local(exporter.run(stop_exporter.clone()));

    let mut progress = Progress::new(sidecar.addresses().api, &settings)?;
    if let Err(error) = print_lines(&places.lines(&sidecar)) {
        tracing::warn!(%error, "standard output cannot be written");
    }
    let end = tokio::select! {
        () = shutdown.cancelled() => End::Asked,
        ended = &mut exporting => End::Exporter(ended),
        part = sidecar.failure() => End::Sidecar(part),
        never = progress.watch() => match never {},
    };
    if let Err(error) = progress.end() {
        tracing::debug!(%error, "standard output");
    }
    reloading.abort();
    match end {
        End::Asked => stop(sidecar, &stop_exporter, exporting).await,
        End::Sidecar(part) => {
            stop(sidecar, &stop_exporter, exporting).await?;
            Err(Error::Ended(part))
        }
        End::Exporter(result) => {
            sidecar.stop(STOP_DEADLINE).await;
            result.map_err(|panic| Error::Task(panic.to_string()))??;
            Err(Error::Ended("capture"))
        }
    }
}

/// Starts the sidecar from a thread of the runtime: threads that it starts itself have what that one has, nothing.
async fn start_sidecar(config: beaconwatch_sidecar::Config, part: Part) -> Result<Sidecar, Error> {
    let starting =
        async move { Sidecar::start_with(config, Clock::system(), vec![Box::new(part)]).await };
    let started = tokio::spawn(starting).await;
    Ok(started.map_err(|panic| Error::Task(panic.to_string()))??)
}

/// Why an instance stops.
enum End {
    Asked,
    /// The exporter ended by itself.
    Exporter(Result<Result<Counters, RunError>, JoinError>),
    /// A part of the sidecar ended by itself.
    Sidecar(&'static str),
}

/// Stops in order: what was captured is handed over, scored, stored and, if time allows, delivered.
async fn stop(
    sidecar: Sidecar,
    stop_exporter: &CancellationToken,
    exporting: JoinHandle<Result<Counters, RunError>>,
) -> Result<(), Error> {
    stop_exporter.cancel();
    let exported = exporting
        .await
        .map_err(|panic| Error::Task(panic.to_string()))?;
    let report = sidecar.stop(STOP_DEADLINE).await;
    process::report_stop(&report);
    let counters = exported?;
    tracing::info!(
        flows = counters.flows,
        records = counters.delivered,
        "stopped"
    );
    Ok(())
}

/// Hands requests to the receiver in this process. Before there is one, a request waits.
#[derive(Default)]
struct InProcess {
    receiver: OnceLock<Receiver>,
}

impl InProcess {
    fn connect(&self, receiver: Receiver) {
        // Called once: a second receiver would be ignored.
        self.receiver.get_or_init(|| receiver);
    }
}

#[async_trait]
impl LogsTarget for InProcess {
    async fn export(&self, request: Bytes) -> Result<ExportLogsServiceResponse, ExportError> {
        let Some(receiver) = self.receiver.get() else {
            return Err(ExportError::retryable(
                "the receiver is not ready yet",
                None,
            ));
        };
        receiver.accept_encoded(&request).await.map_err(|error| {
            if error.is_retryable() {
                ExportError::retryable(error.to_string(), error.retry_after())
            } else {
                ExportError::permanent(error.to_string())
            }
        })
    }
}

/// The exporter's counters as a part of the status.
struct Part(Arc<Telemetry>);

impl StatusSource for Part {
    fn name(&self) -> &'static str {
        "exporter"
    }

    fn status(&self) -> serde_json::Value {
        let it = self.0.counters();
        let losses: serde_json::Map<String, serde_json::Value> = it
            .losses
            .iter()
            .filter(|(_, lost)| *lost > 0)
            .map(|(place, lost)| (place.name().to_owned(), (*lost).into()))
            .collect();
        serde_json::json!({
            "flows": it.flows,
            "flows_active": it.flows_active,
            "records_made": it.made,
            "records_delivered": it.delivered,
            "records_queued": it.queued,
            "requests": it.requests,
            "retries": it.retries,
            "late": it.late,
            "losses": losses,
            "last_error": it.last_error,
        })
    }
}

/// Where things are, for the user.
struct Places {
    state: String,
    findings: Vec<String>,
}

impl Places {
    fn of(config: &beaconwatch_sidecar::Config) -> Self {
        let findings =
            config
                .destinations
                .iter()
                .map(|(name, destination)| match &destination.kind {
                    DestinationKind::File(file) => {
                        let default = config.data_directory.join("detections.ndjson");
                        file.path.as_ref().unwrap_or(&default).display().to_string()
                    }
                    other => format!("destination {name} ({})", other.name()),
                });
        Self {
            state: config.data_directory.display().to_string(),
            findings: findings.collect(),
        }
    }

    fn lines(&self, sidecar: &Sidecar) -> Vec<String> {
        let api = sidecar.addresses().api;
        let instance = if api.port() == 9090 && api.ip().is_loopback() {
            String::new()
        } else {
            format!(" --url http://{api}")
        };
        vec![
            "Capturing every TCP, UDP and ping flow of this host.".to_owned(),
            format!("  state      {}", self.state),
            format!("  findings   {}", self.findings.join(", ")),
            format!("  status     http://{api}/api/v1/status"),
            "Next, in another terminal:".to_owned(),
            format!("  beaconwatch status{instance}        what it does"),
            format!("  beaconwatch beacons{instance}       what it found"),
            format!("  beaconwatch connections{instance}   what it has seen"),
            "Ctrl-C stops it; state is kept.".to_owned(),
        ]
    }
}
