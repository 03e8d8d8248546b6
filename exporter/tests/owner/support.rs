//! A source that plays records, a target that keeps what it gets, and owners of real processes.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use beaconwatch_exporter::capture::CaptureError;
use beaconwatch_exporter::flow::Moment;
use beaconwatch_exporter::source::FlowSource;
use beaconwatch_exporter::{Config, ExportError, Exporter, LogsTarget};
use beaconwatch_records::{FlowRecord, LOSS_COUNTERS, Owner, RecordKind, Role};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The owner that the kernel would record for a process, in a cgroup.
pub(crate) fn owner_of(pid: u32, cgroup_id: u64) -> Owner {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (before, after) = stat.rsplit_once(')').unwrap();
    let name = before.split_once('(').unwrap().1;
    let ticks: u64 = after.split_whitespace().nth(19).unwrap().parse().unwrap();
    let mut comm = [0; 16];
    comm[..name.len()].copy_from_slice(name.as_bytes());
    Owner {
        process_start_ns: ticks * 10_000_000,
        cgroup_id,
        pid,
        uid: std::fs::metadata(format!("/proc/{pid}")).unwrap().uid(),
        comm,
    }
}

/// A record of one flow.
pub(crate) fn record(cookie: u64, kind: RecordKind, owner: Owner) -> FlowRecord {
    let mut address = [0; 16];
    address[10..].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 10]);
    FlowRecord {
        cookie,
        start_ns: 5_000_000_000,
        time_ns: 6_000_000_000,
        owner,
        local_address: address,
        remote_address: address,
        local_port: 40_000,
        remote_port: 443,
        kind: kind as u8,
        role: Role::Client as u8,
        protocol: 6,
        ..FlowRecord::ZERO
    }
}

struct Played(mpsc::UnboundedReceiver<Vec<FlowRecord>>);

#[async_trait]
impl FlowSource for Played {
    async fn read(&mut self, records: &mut Vec<FlowRecord>) -> Result<usize, CaptureError> {
        let Some(batch) = self.0.recv().await else {
            return Ok(0);
        };
        records.extend_from_slice(&batch);
        Ok(batch.len())
    }

    fn live_flows(&mut self, _records: &mut Vec<FlowRecord>) -> Result<usize, CaptureError> {
        Ok(0)
    }

    fn losses(&self) -> Result<[u64; LOSS_COUNTERS as usize], CaptureError> {
        Ok([0; LOSS_COUNTERS as usize])
    }

    fn malformed(&self) -> u64 {
        0
    }

    fn now(&self) -> Result<Moment, CaptureError> {
        Ok(Moment {
            boot_ns: 8_000_000_000,
            unix_ns: 1_700_000_000_000_000_000,
        })
    }
}

#[derive(Default)]
struct Kept(Mutex<Vec<Bytes>>);

#[async_trait]
impl LogsTarget for Kept {
    async fn export(&self, request: Bytes) -> Result<ExportLogsServiceResponse, ExportError> {
        self.0.lock().unwrap().push(request);
        Ok(ExportLogsServiceResponse::default())
    }
}

/// An exporter that runs.
pub(crate) struct Running {
    records: mpsc::UnboundedSender<Vec<FlowRecord>>,
    kept: Arc<Kept>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(config: Config) -> Self {
        let config = Config {
            flush_interval_s: Duration::from_millis(10),
            ..config
        };
        let (records, played) = mpsc::unbounded_channel();
        let kept = Arc::<Kept>::default();
        let target = Arc::clone(&kept) as Arc<dyn LogsTarget>;
        let exporter = Exporter::with_source(config, Played(played), target).unwrap();
        let task = tokio::spawn(async move {
            exporter.run(CancellationToken::new()).await.unwrap();
        });
        Self {
            records,
            kept,
            task,
        }
    }

    pub(crate) fn send(&self, records: Vec<FlowRecord>) {
        self.records.send(records).unwrap();
    }

    /// Waits until so many records came.
    pub(crate) async fn came(&self, count: usize) -> Vec<BTreeMap<String, Value>> {
        let wait = async {
            loop {
                let records = read(&self.kept.0.lock().unwrap());
                if records.len() >= count {
                    return records;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
        waited.expect("records do not come")
    }

    /// Ends the exporter; everything that it sent.
    pub(crate) async fn stop(self) -> Vec<Bytes> {
        drop(self.records);
        self.task.await.unwrap();
        std::mem::take(&mut *self.kept.0.lock().unwrap())
    }
}

/// Attributes of every record.
pub(crate) fn read(requests: &[Bytes]) -> Vec<BTreeMap<String, Value>> {
    requests
        .iter()
        .map(|bytes| ExportLogsServiceRequest::decode(bytes.clone()).unwrap())
        .flat_map(|request| request.resource_logs)
        .flat_map(|of_resource| of_resource.scope_logs)
        .flat_map(|of_scope| of_scope.log_records)
        .map(|record| {
            let attributes = record.attributes.into_iter();
            attributes
                .map(|it| (it.key, it.value.unwrap().value.unwrap()))
                .collect()
        })
        .collect()
}

pub(crate) fn text<'a>(record: &'a BTreeMap<String, Value>, name: &str) -> Option<&'a str> {
    match record.get(name)? {
        Value::StringValue(text) => Some(text),
        other => panic!("{name} is {other:?}"),
    }
}

/// A source without records.
pub(crate) fn silent() -> impl FlowSource {
    Played(mpsc::unbounded_channel().1)
}
