//! The state of every part, in numbers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use beaconwatch_detector::Timestamp;
use beaconwatch_inputs::tail::TailStatus;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::alert::AlertCounts;
use crate::clock::Clock;
use crate::deliver::{Deliveries, DestinationStatus};
use crate::input::Inputs;
use crate::observe::{ExporterStatus, ObserveStatus, Observer};
use crate::receive::{Fault, Receiver};
use crate::sigma::RulesStatus;
use crate::store::{Size, Store, StoreError};
use crate::time_text::rfc3339;

/// Adds a part of its own to the status, for example the exporter that runs in the same process.
pub trait StatusSource: Send + Sync {
    /// Name of the part.
    fn name(&self) -> &str;

    /// Its state.
    fn status(&self) -> serde_json::Value;
}

/// The sidecar's state. Counters count from the start of the process unless they say otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Status {
    /// Version of the program.
    pub version: &'static str,
    /// When the process started (RFC 3339).
    pub started: String,
    /// Seconds since then.
    pub uptime_s: f64,
    /// What came in.
    pub receive: ReceiveStatus,
    /// What became of it.
    pub detector: DetectorStatus,
    /// Who sent it: at most 1000, the latest first.
    pub exporters: Vec<ExporterStatus>,
    /// Number of exporters known.
    pub exporters_known: u64,
    /// Exporters that were forgotten because there were too many.
    pub exporters_forgotten: u64,
    /// Findings.
    pub findings: FindingStatus,
    /// The same findings as alerts, by state.
    pub alerts: AlertCounts,
    /// The allow-list.
    pub allow: AllowStatus,
    /// Sigma rules.
    pub rules: RulesStatus,
    /// What came in by other ways than flow records.
    pub inputs: InputStatus,
    /// Deliveries by destination.
    pub destinations: Vec<DestinationStatus>,
    /// The store.
    pub store: StoreStatus,
    /// Parts outside of the sidecar, by name.
    pub parts: BTreeMap<String, serde_json::Value>,
}

/// Requests and records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReceiveStatus {
    /// Requests accepted.
    pub requests: u64,
    /// Requests refused for good.
    pub requests_refused: u64,
    /// Of these, requests without a known token.
    pub requests_unauthenticated: u64,
    /// Requests that were told to come again.
    pub requests_put_off: u64,
    /// Flow records accepted (also duplicates and those refused for a field).
    pub records: u64,
    /// Heartbeats of exporters that had nothing else to send.
    pub heartbeats: u64,
    /// Records that wait to be scored.
    pub records_waiting: u64,
    /// Records that came again and were dropped.
    pub duplicates: u64,
    /// Log records of other kinds.
    pub foreign: u64,
    /// Flow records that were refused, by reason.
    pub rejected: Vec<RejectedStatus>,
}

/// Refused records of one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RejectedStatus {
    /// What is wrong.
    pub fault: Fault,
    /// With which field.
    pub field: &'static str,
    /// How often.
    pub count: u64,
}

/// The detector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct DetectorStatus {
    /// Series kept now.
    pub series: u64,
    /// Observations that became part of a series.
    pub observations: u64,
    /// Of these, connection starts older than the newest of their series.
    pub out_of_order: u64,
    /// Series that went because there was no room.
    pub evicted: u64,
    /// Observations that were ignored, by reason.
    pub ignored: BTreeMap<&'static str, u64>,
    /// Analyses made.
    pub analyses: u64,
    /// When the last one was made (RFC 3339).
    pub last_analysis: Option<String>,
    /// Seconds between two.
    pub analysis_interval_s: u64,
}

/// Findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct FindingStatus {
    /// Findings known, over all runs.
    pub known: u64,
    /// Findings that were forgotten because there were too many.
    pub forgotten: u64,
    /// Detections of which no document could be made.
    pub failed_documents: u64,
    /// Series that wait for a document until the outbox has room.
    pub postponed: u64,
}

/// The allow-list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct AllowStatus {
    /// Entries in force.
    pub entries: u64,
}

/// What came in by other ways than flow records, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct InputStatus {
    /// Batches of telemetry.
    pub telemetry_batches: u64,
    /// Of these, batches that came again and told nothing.
    pub telemetry_repeated: u64,
    /// Events of telemetry.
    pub telemetry_events: u64,
    /// Of these, events that could not be used.
    pub telemetry_events_skipped: u64,
    /// Files that are followed, by the name of their input: since it began, or changed at a reload.
    pub followed: BTreeMap<String, TailStatus>,
}

/// The store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct StoreStatus {
    /// Bytes of the file; none when the store does not answer.
    pub file_bytes: Option<u64>,
    /// Batches that are not in the saved state yet.
    pub journal_batches: u64,
    /// Documents on their way.
    pub outbox_documents: u64,
    /// Checkpoints that could not be written (they became part of the next one).
    pub failed_checkpoints: u64,
    /// What is wrong with the store now.
    pub error: Option<String>,
}

/// Puts the status together.
#[derive(Clone)]
pub(crate) struct StatusReporter {
    pub(crate) receiver: Receiver,
    pub(crate) observer: Observer,
    pub(crate) store: Store,
    pub(crate) deliveries: Deliveries,
    pub(crate) inputs: Inputs,
    pub(crate) parts: Arc<[Box<dyn StatusSource>]>,
    pub(crate) clock: Clock,
    pub(crate) started: Timestamp,
    pub(crate) analysis_interval: watch::Receiver<Duration>,
}

impl std::fmt::Debug for StatusReporter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StatusReporter")
            .field("started", &self.started)
            .finish_non_exhaustive()
    }
}

impl StatusReporter {
    /// The state of every part. Fails only when the scoring thread has ended.
    pub(crate) async fn status(&self) -> Result<Status, StoreError> {
        let observed = self.observer.status().await?;
        Ok(Status {
            version: env!("CARGO_PKG_VERSION"),
            started: rfc3339(self.started),
            uptime_s: self
                .clock
                .now()
                .saturating_since(self.started)
                .as_secs_f64(),
            receive: self.receive(observed.duplicates),
            detector: self.detector(&observed),
            findings: FindingStatus {
                known: observed.findings,
                forgotten: observed.findings_forgotten,
                failed_documents: observed.failed_documents,
                postponed: observed.postponed,
            },
            alerts: self.observer.alerts().counts(),
            allow: AllowStatus {
                entries: self.observer.allow_list().current().entries.len() as u64,
            },
            rules: observed.rules,
            inputs: self.inputs(),
            destinations: self.destinations().await,
            store: self.store(observed.failed_checkpoints).await,
            exporters: observed.exporters,
            exporters_known: observed.exporters_known,
            exporters_forgotten: observed.exporters_forgotten,
            parts: self
                .parts
                .iter()
                .map(|part| (part.name().to_owned(), part.status()))
                .collect(),
        })
    }

    pub(crate) async fn store_size(&self) -> Result<Size, StoreError> {
        self.store.size().await
    }

    fn receive(&self, duplicates: u64) -> ReceiveStatus {
        let counters = self.receiver.counters();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let rejected = counters
            .rejections()
            .into_iter()
            .map(|(reason, count)| RejectedStatus {
                fault: reason.fault,
                field: reason.field,
                count,
            });
        ReceiveStatus {
            requests: count(&counters.requests),
            requests_refused: count(&counters.requests_refused),
            requests_unauthenticated: count(&counters.requests_unauthenticated),
            requests_put_off: count(&counters.requests_put_off),
            records: count(&counters.records),
            heartbeats: count(&counters.heartbeats),
            records_waiting: self.receiver.waiting() as u64,
            duplicates,
            foreign: count(&counters.foreign),
            rejected: rejected.collect(),
        }
    }

    fn inputs(&self) -> InputStatus {
        let counters = self.receiver.telemetry_counters();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        InputStatus {
            telemetry_batches: count(&counters.batches),
            telemetry_repeated: count(&counters.repeated),
            telemetry_events: count(&counters.events),
            telemetry_events_skipped: count(&counters.events_skipped),
            followed: self.inputs.statuses(),
        }
    }

    fn detector(&self, observed: &ObserveStatus) -> DetectorStatus {
        let counters = &observed.counters;
        DetectorStatus {
            series: counters.series,
            observations: counters.observations,
            out_of_order: counters.out_of_order,
            evicted: counters.evicted,
            ignored: BTreeMap::from([
                ("own", counters.ignored_own),
                ("server_side", counters.ignored_server_side),
                ("future", counters.ignored_future),
                ("late", counters.ignored_late),
                ("key_too_long", counters.ignored_key_too_long),
            ]),
            analyses: observed.analyses,
            last_analysis: observed.last_analysis.map(rfc3339),
            analysis_interval_s: self.analysis_interval.borrow().as_secs(),
        }
    }

    /// Configured destinations, then those that are in the store only.
    async fn destinations(&self) -> Vec<DestinationStatus> {
        self.deliveries.statuses().await.unwrap_or_default()
    }

    async fn store(&self, failed_checkpoints: u64) -> StoreStatus {
        match self.store.size().await {
            Ok(size) => StoreStatus {
                file_bytes: Some(size.file_bytes),
                journal_batches: size.journal_batches,
                outbox_documents: size.outbox_documents,
                failed_checkpoints,
                error: None,
            },
            Err(error) => StoreStatus {
                failed_checkpoints,
                error: Some(error.to_string()),
                ..StoreStatus::default()
            },
        }
    }
}
