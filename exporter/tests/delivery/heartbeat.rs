//! What an exporter says when nothing happens on its host. The clock is tokio's own, which stands still
//! while something is to be done and else leaps to the next timer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use beaconwatch_exporter::otlp::connection::Protocol;
use beaconwatch_exporter::otlp::{ExportError, LogsTarget};
use beaconwatch_exporter::{Counters, Exporter, RunError, Telemetry};
use beaconwatch_records::{FlowRecord, LOSS_COUNTERS};
use beaconwatch_schema::{flow, heartbeat};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::{PlayedSource, closed_flow, config, records, sequences};

const INTERVAL: Duration = Duration::from_mins(1);
/// Longest time from something that happened to the request that says so, and a little more.
const FLUSH: Duration = Duration::from_millis(50);

/// Hands on what it takes; refuses for as long as it is told to.
struct Target {
    taken: mpsc::UnboundedSender<ExportLogsServiceRequest>,
    refuses: Arc<AtomicBool>,
}

#[async_trait]
impl LogsTarget for Target {
    async fn export(&self, request: Bytes) -> Result<ExportLogsServiceResponse, ExportError> {
        if self.refuses.load(Ordering::Relaxed) {
            return Err(ExportError::retryable("busy", None));
        }
        let request = ExportLogsServiceRequest::decode(request).expect("an OTLP request");
        self.taken.send(request).expect("the test");
        Ok(ExportLogsServiceResponse::default())
    }
}

/// An exporter of a host where only that happens which is sent to `flows`.
struct Idle {
    flows: mpsc::UnboundedSender<Vec<FlowRecord>>,
    taken: mpsc::UnboundedReceiver<ExportLogsServiceRequest>,
    refuses: Arc<AtomicBool>,
    telemetry: Arc<Telemetry>,
    shutdown: CancellationToken,
    running: JoinHandle<Result<Counters, RunError>>,
}

impl Idle {
    fn start() -> Self {
        let (flows, played) = mpsc::unbounded_channel();
        let (send, taken) = mpsc::unbounded_channel();
        let refuses = Arc::<AtomicBool>::default();
        let target = Target {
            taken: send,
            refuses: Arc::clone(&refuses),
        };
        let source = PlayedSource {
            records: played,
            losses: [0; LOSS_COUNTERS as usize],
        };
        let config = config("http://127.0.0.1:1".to_owned(), Protocol::Grpc);
        let exporter = Exporter::with_source(config, source, Arc::new(target)).expect("settings");
        let shutdown = CancellationToken::new();
        Self {
            flows,
            taken,
            refuses,
            telemetry: exporter.telemetry(),
            running: tokio::spawn(exporter.run(shutdown.clone())),
            shutdown,
        }
    }

    /// Event names and numbers of the next request.
    async fn next(&mut self) -> (Vec<String>, Vec<i64>) {
        let request = self.taken.recv().await.expect("a request");
        let names = records(&request).map(|record| record.event_name.clone());
        (names.collect(), sequences(&request))
    }

    async fn stop(self) -> Counters {
        self.shutdown.cancel();
        self.running.await.expect("no panic").expect("an export")
    }
}

fn heartbeat_of(number: i64) -> (Vec<String>, Vec<i64>) {
    (vec![heartbeat::EVENT_NAME.to_owned()], vec![number])
}

fn assert_about(elapsed: Duration, expected: Duration) {
    let range = expected..expected + FLUSH;
    assert!(range.contains(&elapsed), "{elapsed:?} not in {range:?}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_exporter_sends_a_heartbeat_an_interval() {
    let mut idle = Idle::start();
    let began = Instant::now();
    for number in 0..3 {
        assert_eq!(idle.next().await, heartbeat_of(number));
        let intervals = u32::try_from(number).unwrap() + 1;
        assert_about(began.elapsed(), INTERVAL * intervals);
    }
    let counters = idle.stop().await;
    assert_eq!((counters.made, counters.delivered), (3, 3));
    assert_eq!(counters.flows, 0);
}

#[tokio::test(start_paused = true)]
async fn flow_records_and_heartbeats_share_one_sequence_and_a_record_puts_the_heartbeat_off() {
    let mut idle = Idle::start();
    assert_eq!(idle.next().await, heartbeat_of(0));
    tokio::time::sleep(INTERVAL * 5 / 6).await;
    let happened = Instant::now();
    idle.flows.send(vec![closed_flow(1, 100)]).unwrap();
    assert_eq!(
        idle.next().await,
        (vec![flow::EVENT_NAME.to_owned()], vec![1])
    );
    assert_about(happened.elapsed(), Duration::ZERO);
    assert_eq!(idle.next().await, heartbeat_of(2));
    let late = happened.elapsed();
    assert!(late >= INTERVAL && late < INTERVAL + 2 * FLUSH, "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn heartbeats_do_not_pile_up_while_nobody_takes_them() {
    let mut idle = Idle::start();
    idle.refuses.store(true, Ordering::Relaxed);
    tokio::time::sleep(10 * INTERVAL).await;
    assert_eq!(idle.telemetry.made(), 1);
    assert!(idle.telemetry.retries() > 1);
    idle.refuses.store(false, Ordering::Relaxed);
    assert_eq!(idle.next().await, heartbeat_of(0));
    assert_eq!(idle.next().await, heartbeat_of(1));
}
