//! The wall clock is set while flows live: by hand, by a virtual machine that wakes up, by NTP after a long time without. The
//! readings are injected, because the wall clock is one for the whole machine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use beaconwatch_exporter::Exporter;
use beaconwatch_exporter::capture::CaptureError;
use beaconwatch_exporter::flow::Moment;
use beaconwatch_exporter::otlp::connection::Protocol;
use beaconwatch_exporter::otlp::{ExportError, LogsTarget};
use beaconwatch_exporter::source::FlowSource;
use beaconwatch_records::{FlowRecord, LOSS_COUNTERS, RecordKind};
use beaconwatch_schema::flow as names;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::{attributes, closed_flow, config, records};

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3600 * SECOND;
const UNIX_BEFORE: u64 = 1_700_000_000 * SECOND;

/// Plays records under clocks that are set.
struct Clocked {
    records: mpsc::UnboundedReceiver<Vec<FlowRecord>>,
    now: Arc<Mutex<Moment>>,
}

#[async_trait]
impl FlowSource for Clocked {
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
        Ok([0; LOSS_COUNTERS as usize])
    }

    fn malformed(&self) -> u64 {
        0
    }

    fn now(&self) -> Result<Moment, CaptureError> {
        Ok(*self.now.lock().expect("the clock"))
    }
}

struct Target(mpsc::UnboundedSender<LogRecord>);

#[async_trait]
impl LogsTarget for Target {
    async fn export(&self, request: Bytes) -> Result<ExportLogsServiceResponse, ExportError> {
        let request = ExportLogsServiceRequest::decode(request).expect("an OTLP request");
        for record in records(&request) {
            self.0.send(record.clone()).expect("the test");
        }
        Ok(ExportLogsServiceResponse::default())
    }
}

/// A connection's record, times in seconds since the boot.
fn record(cookie: u64, kind: RecordKind, start: u64, time: u64) -> FlowRecord {
    FlowRecord {
        start_ns: start * SECOND,
        time_ns: time * SECOND,
        last_packet_ns: time * SECOND,
        kind: kind as u8,
        ..closed_flow(cookie, 100)
    }
}

fn number(attributes: &BTreeMap<String, Value>, name: &str) -> u64 {
    match attributes.get(name) {
        Some(Value::IntValue(number)) => number.unsigned_abs(),
        other => unreachable!("{name}: {other:?}"),
    }
}

/// Start, end and sequence of the next record, and when it was made.
async fn next(taken: &mut mpsc::UnboundedReceiver<LogRecord>) -> (u64, Option<u64>, u64, u64) {
    let record = taken.recv().await.expect("a record");
    let flow = attributes(&record.attributes);
    let end = flow.get(names::END_TIME);
    let end = end.map(|_| number(&flow, names::END_TIME));
    let sequence = number(&flow, names::EXPORTER_SEQUENCE);
    let start = number(&flow, names::START_TIME);
    (start, end, sequence, record.observed_time_unix_nano)
}

async fn a_step_to(unix_after: u64) {
    let (send, played) = mpsc::unbounded_channel();
    let (sink, mut taken) = mpsc::unbounded_channel();
    let now = Arc::new(Mutex::new(Moment {
        boot_ns: 8 * SECOND,
        unix_ns: UNIX_BEFORE,
    }));
    let source = Clocked {
        records: played,
        now: Arc::clone(&now),
    };
    let config = config("http://127.0.0.1:1".to_owned(), Protocol::Grpc);
    let exporter = Exporter::with_source(config, source, Arc::new(Target(sink))).expect("settings");
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(exporter.run(shutdown.clone()));

    send.send(vec![record(1, RecordKind::Open, 7, 7)])
        .expect("the source");
    let begun = UNIX_BEFORE - SECOND;
    assert_eq!(next(&mut taken).await, (begun, None, 0, UNIX_BEFORE));
    // The clock is set between 8 s and 9 s after the boot.
    *now.lock().expect("the clock") = Moment {
        boot_ns: 9 * SECOND,
        unix_ns: unix_after,
    };
    send.send(vec![
        record(1, RecordKind::Close, 7, 9),
        record(2, RecordKind::Close, 8, 9),
    ])
    .expect("the source");
    // What lived over the step keeps its start and its length; what is told later stands on the new scale.
    let lived = (begun, Some(begun + 2 * SECOND), 1, unix_after);
    assert_eq!(next(&mut taken).await, lived);
    let later = (unix_after - SECOND, Some(unix_after), 2, unix_after);
    assert_eq!(next(&mut taken).await, later);
    shutdown.cancel();
    let counters = running.await.expect("no panic").expect("an export");
    assert_eq!((counters.made, counters.delivered), (3, 3));
    assert!(counters.losses.iter().all(|(_, lost)| *lost == 0));
}

#[tokio::test]
async fn a_clock_that_is_set_back_changes_no_start_and_no_length_and_loses_nothing() {
    a_step_to(UNIX_BEFORE + SECOND - HOUR).await;
}

#[tokio::test]
async fn a_clock_that_is_set_forward_changes_no_start_and_no_length_and_loses_nothing() {
    a_step_to(UNIX_BEFORE + SECOND + HOUR).await;
}
