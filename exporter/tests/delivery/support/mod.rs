//! Records made up for tests, a source that plays them, and peers that receive OTLP.

pub(crate) mod grpc_peer;
pub(crate) mod http_peer;
pub(crate) mod running;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use beaconwatch_exporter::capture::CaptureError;
use beaconwatch_exporter::config::Config;
use beaconwatch_exporter::flow::Moment;
use beaconwatch_exporter::otlp::connection::Protocol;
use beaconwatch_exporter::source::FlowSource;
use beaconwatch_records::{
    CloseReason, CounterSet, FlowRecord, LOSS_COUNTERS, Owner, RecordKind, Role,
};
use beaconwatch_schema::flow as names;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use tokio::sync::mpsc;

/// What a peer answers to one request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Accept,
    /// Rejects so many records.
    Partial(i64),
    /// gRPC code or HTTP status, with the wait that the receiver asks for.
    Refuse(u32, Option<Duration>),
}

/// A whole connection that sent `bytes`.
pub(crate) fn closed_flow(cookie: u64, bytes: u64) -> FlowRecord {
    let mut local_address = [0; 16];
    local_address[10..].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 10]);
    let mut remote_address = [0; 16];
    remote_address[10..].copy_from_slice(&[0xff, 0xff, 198, 51, 100, 7]);
    FlowRecord {
        cookie,
        netns_cookie: 4123,
        start_ns: 5_000_000_000,
        time_ns: 7_000_000_000,
        last_packet_ns: 6_900_000_000,
        counters: CounterSet {
            bytes_sent: bytes,
            bytes_received: 2 * bytes,
            packets_sent: 3,
            packets_received: 4,
        },
        payload_sent: 0,
        payload_received: 0,
        owner: Owner::default(),
        local_address,
        remote_address,
        smoothed_rtt_us: 0,
        retransmits: 0,
        local_port: 40_000,
        remote_port: 443,
        kind: RecordKind::Close as u8,
        role: Role::Client as u8,
        protocol: 6,
        close_reason: CloseReason::FinLocal as u8,
        flags: 0,
        established: 1,
        ..FlowRecord::ZERO
    }
}

/// Plays what is sent to it; the clocks stand still.
pub(crate) struct PlayedSource {
    pub(crate) records: mpsc::UnboundedReceiver<Vec<FlowRecord>>,
    /// What the kernel part says that it lost.
    pub(crate) losses: [u64; LOSS_COUNTERS as usize],
}

#[async_trait]
impl FlowSource for PlayedSource {
    async fn read(&mut self, records: &mut Vec<FlowRecord>) -> Result<usize, CaptureError> {
        let Some(batch) = self.records.recv().await else {
            return Ok(0);
        };
        records.extend_from_slice(&batch);
        Ok(batch.len())
    }

    fn live_flows(&mut self, _records: &mut Vec<FlowRecord>) -> Result<usize, CaptureError> {
        Ok(0)
    }

    fn losses(&self) -> Result<[u64; LOSS_COUNTERS as usize], CaptureError> {
        Ok(self.losses)
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

/// Settings for a peer, with short waits.
pub(crate) fn config(endpoint: String, protocol: Protocol) -> Config {
    let mut config = Config {
        flush_interval_s: Duration::from_millis(20),
        drain_timeout_s: Duration::from_secs(30),
        ..Config::default()
    };
    config.retry.initial_s = Duration::from_millis(10);
    config.retry.max_s = Duration::from_millis(50);
    config.metrics.enabled = Some(false);
    config.otlp.endpoint = Some(endpoint);
    config.otlp.protocol = protocol;
    config
}

/// Every record of a request.
pub(crate) fn records(request: &ExportLogsServiceRequest) -> impl Iterator<Item = &LogRecord> {
    request
        .resource_logs
        .iter()
        .flat_map(|resource| &resource.scope_logs)
        .flat_map(|scope| &scope.log_records)
}

/// Attributes by name.
pub(crate) fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, Value> {
    attributes
        .iter()
        .filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?.value?)))
        .collect()
}

/// Sequence numbers in a request.
pub(crate) fn sequences(request: &ExportLogsServiceRequest) -> Vec<i64> {
    records(request)
        .filter_map(
            |record| match attributes(&record.attributes).get(names::EXPORTER_SEQUENCE) {
                Some(Value::IntValue(sequence)) => Some(*sequence),
                _ => None,
            },
        )
        .collect()
}
