use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use beaconwatch_records::{CounterSet, FlowRecord};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;
use tokio::sync::Notify;

use super::*;
use crate::flow::{BootId, FlowEvent, FlowEventKind, FlowId, Moment};
use crate::otlp::logs::{Content, Identity};

/// Answers by a script, then takes everything; notes when each attempt came.
#[derive(Default)]
struct Scripted {
    script: Mutex<VecDeque<ExportError>>,
    attempts: Mutex<Vec<(Duration, usize)>>,
    began: Mutex<Option<Instant>>,
    arrived: Notify,
    silent: bool,
}

#[async_trait]
impl LogsTarget for Scripted {
    async fn export(&self, request: Bytes) -> Result<ExportLogsServiceResponse, ExportError> {
        let request = ExportLogsServiceRequest::decode(request).expect("an OTLP request");
        let began = *self.began.lock().unwrap().get_or_insert_with(Instant::now);
        let count = request.resource_logs[0].scope_logs[0].log_records.len();
        self.attempts.lock().unwrap().push((began.elapsed(), count));
        self.arrived.notify_one();
        if self.silent {
            std::future::pending::<()>().await;
        }
        let failure = self.script.lock().unwrap().pop_front();
        failure.map_or_else(|| Ok(ExportLogsServiceResponse::default()), Err)
    }
}

struct Bench {
    queue: Arc<Queue>,
    telemetry: Arc<Telemetry>,
    target: Arc<Scripted>,
    abandon: CancellationToken,
    sending: tokio::task::JoinHandle<()>,
}

fn start(target: Scripted, capacity: usize, max_records: usize) -> Bench {
    let telemetry = Arc::<Telemetry>::default();
    let queue = Arc::new(Queue::new(capacity, usize::MAX, Arc::clone(&telemetry)));
    let target = Arc::new(target);
    let abandon = CancellationToken::new();
    let sender = Sender {
        queue: Arc::clone(&queue),
        disk: None,
        target: Arc::clone(&target) as Arc<dyn LogsTarget>,
        encoder: LogEncoder::new(Identity {
            exporter_id: "e".to_owned(),
            host_id: "h".to_owned(),
            host_name: "n".to_owned(),
            own_namespace: 0,
            started: Moment {
                boot_ns: 0,
                unix_ns: 0,
            },
        }),
        limits: BatchLimits {
            max_records,
            ..BatchLimits::default()
        },
        retry: RetryPolicy {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(8),
        },
        telemetry: Arc::clone(&telemetry),
    };
    let sending = tokio::spawn(sender.run(abandon.clone()));
    Bench {
        queue,
        telemetry,
        target,
        abandon,
        sending,
    }
}

fn event(sequence: u64) -> NumberedEvent {
    let record = FlowRecord {
        cookie: sequence,
        kind: 1,
        role: 1,
        protocol: 6,
        ..FlowRecord::ZERO
    };
    NumberedEvent {
        sequence,
        observed_unix_ns: 0,
        content: Content::Flow {
            interface: None,
            event: FlowEvent {
                id: FlowId::of(BootId(0), &record),
                kind: FlowEventKind::Start,
                number: 0,
                start_unix_ns: 0,
                time_unix_ns: 0,
                delta: CounterSet::default(),
                record,
            },
            owner: Arc::default(),
            handler: None,
            names: None,
            own: false,
        },
    }
}

fn failing(count: usize) -> Scripted {
    let script = vec![ExportError::retryable("busy", None); count];
    Scripted {
        script: Mutex::new(script.into()),
        ..Scripted::default()
    }
}

#[tokio::test(start_paused = true)]
async fn waits_between_attempts_grow_and_are_jittered() {
    let bench = start(failing(5), 100, 10);
    bench.queue.push((0..3).map(event));
    bench.queue.close();
    bench.sending.await.unwrap();
    let attempts = bench.target.attempts.lock().unwrap();
    let waits: Vec<f64> = attempts
        .windows(2)
        .map(|pair| pair[1].0.as_secs_f64() - pair[0].0.as_secs_f64())
        .collect();
    for (wait, bound) in waits.iter().zip([1.0, 2.0, 4.0, 8.0, 8.0]) {
        // The timer has a granularity of a millisecond.
        assert!((bound / 2.0..=bound + 0.002).contains(wait), "{waits:?}");
    }
    assert_eq!(waits.len(), 5);
    assert_eq!(bench.telemetry.delivered(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_wait_that_the_receiver_names_is_kept() {
    let error = ExportError::retryable("busy", Some(Duration::from_secs(90)));
    let target = Scripted {
        script: Mutex::new([error].into()),
        ..Scripted::default()
    };
    let bench = start(target, 100, 10);
    bench.queue.push((0..3).map(event));
    bench.queue.close();
    bench.sending.await.unwrap();
    let attempts = bench.target.attempts.lock().unwrap();
    assert!(attempts[1].0 >= Duration::from_secs(90));
    assert!(attempts[1].0 < Duration::from_secs(91));
}

#[tokio::test(start_paused = true)]
async fn an_overflow_drops_the_oldest_and_the_stuck_request_gives_way() {
    let bench = start(failing(1), 5, 3);
    bench.queue.push((0..3).map(event));
    bench.target.arrived.notified().await;
    // The request of 0..3 waits for its second attempt; the queue takes 5 of the next 7.
    tokio::task::yield_now().await;
    bench.queue.push((3..10).map(event));
    bench.queue.close();
    bench.sending.await.unwrap();
    let counters = bench.telemetry.counters();
    assert_eq!(counters.lost(LossPlace::Queue), 2 + 3);
    assert_eq!(counters.delivered, 5);
    let counts: Vec<usize> = bench
        .target
        .attempts
        .lock()
        .unwrap()
        .iter()
        .map(|(_, count)| *count)
        .collect();
    assert_eq!(counts, [3, 3, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_overflow_of_the_past_does_not_drop_a_request_of_today() {
    let bench = start(failing(0), 5, 5);
    bench.queue.push((0..9).map(event));
    while bench.telemetry.delivered() < 5 {
        tokio::task::yield_now().await;
    }
    let error = ExportError::retryable("busy", None);
    bench.target.script.lock().unwrap().push_back(error);
    bench.queue.push((9..11).map(event));
    bench.queue.close();
    bench.sending.await.unwrap();
    assert_eq!(bench.telemetry.delivered(), 7);
    assert_eq!(bench.telemetry.lost(LossPlace::Queue), 4);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_cut_off_is_unconfirmed_and_the_rest_is_unsent() {
    let bench = start(
        Scripted {
            silent: true,
            ..Scripted::default()
        },
        100,
        10,
    );
    bench.queue.push((0..25).map(event));
    bench.target.arrived.notified().await;
    bench.abandon.cancel();
    bench.sending.await.unwrap();
    assert_eq!(bench.telemetry.lost(LossPlace::Unconfirmed), 10);
    assert_eq!(bench.telemetry.lost(LossPlace::Unsent), 15);
    let counters = bench.telemetry.counters();
    assert_eq!((counters.queued, counters.in_flight), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_when_the_exporter_stops_is_unsent() {
    let bench = start(failing(1), 100, 10);
    bench.queue.push((0..4).map(event));
    bench.target.arrived.notified().await;
    tokio::task::yield_now().await;
    bench.abandon.cancel();
    bench.sending.await.unwrap();
    assert_eq!(bench.telemetry.lost(LossPlace::Unsent), 4);
    assert_eq!(bench.telemetry.lost(LossPlace::Unconfirmed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_good_does_not_hold_up_the_next_request() {
    let target = Scripted {
        script: Mutex::new([ExportError::permanent("no")].into()),
        ..Scripted::default()
    };
    let bench = start(target, 100, 10);
    bench.queue.push((0..15).map(event));
    bench.queue.close();
    bench.sending.await.unwrap();
    assert_eq!(bench.telemetry.lost(LossPlace::Refused), 10);
    assert_eq!(bench.telemetry.delivered(), 5);
    assert!(bench.target.attempts.lock().unwrap()[1].0 < Duration::from_millis(10));
}
