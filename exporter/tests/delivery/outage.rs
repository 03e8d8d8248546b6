//! A receiver that is away for longer than memory lasts, and an exporter that is stopped or killed meanwhile: what
//! was kept on disk arrives in the order, and under the identity, in which it was made.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use beaconwatch_exporter::otlp::connection::Protocol;
use beaconwatch_exporter::{Config, Counters, LossPlace};
use beaconwatch_schema::flow as names;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

use crate::support::grpc_peer::GrpcPeer;
use crate::support::http_peer::HttpPeer;
use crate::support::running::Running;
use crate::support::{Answer, attributes, closed_flow, config, records};
use crate::{UNAVAILABLE, url};

const NOBODY: &str = "http://127.0.0.1:1";
const DIRECTORY: &str = "BEACONWATCH_TEST_DISK_QUEUE";

fn settings(endpoint: String, directory: &Path) -> Config {
    let mut config = config(endpoint, Protocol::Grpc);
    config.queue.disk.directory = Some(directory.to_owned());
    config.queue.max_records = 40;
    config.batch.max_records = 10;
    config.drain_timeout_s = Duration::from_millis(100);
    config
}

fn accounted(counters: &Counters) -> u64 {
    let after_numbering = [
        LossPlace::Queue,
        LossPlace::Disk,
        LossPlace::DiskDamaged,
        LossPlace::Rejected,
        LossPlace::Refused,
        LossPlace::Unconfirmed,
        LossPlace::Unsent,
    ];
    let lost: u64 = after_numbering
        .iter()
        .map(|place| counters.lost(*place))
        .sum();
    counters.delivered + lost + counters.stored + counters.queued + counters.in_flight
}

/// What arrived of each exporter, in the order in which the first record of each came.
fn by_exporter(requests: &[ExportLogsServiceRequest]) -> Vec<Vec<i64>> {
    let mut order: Vec<String> = Vec::new();
    let mut arrived: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for request in requests {
        let resource = request.resource_logs[0]
            .resource
            .as_ref()
            .expect("it works");
        let instance = attributes(&resource.attributes)[names::SERVICE_INSTANCE_ID].clone();
        for record in records(request) {
            let attributes = attributes(&record.attributes);
            let Value::StringValue(exporter) = attributes[names::EXPORTER_ID].clone() else {
                unreachable!("no text");
            };
            let Value::IntValue(sequence) = attributes[names::EXPORTER_SEQUENCE] else {
                unreachable!("no number");
            };
            assert_eq!(instance, Value::StringValue(exporter.clone()));
            if !order.contains(&exporter) {
                order.push(exporter.clone());
            }
            arrived.entry(exporter).or_default().push(sequence);
        }
    }
    order
        .iter()
        .map(|exporter| arrived[exporter].clone())
        .collect()
}

fn numbers(range: std::ops::Range<u64>) -> Vec<i64> {
    range
        .map(|number| number.try_into().expect("small"))
        .collect()
}

#[tokio::test]
async fn an_outage_that_memory_has_no_room_for_loses_nothing_and_keeps_the_order() {
    let directory = tempfile::tempdir().unwrap();
    // Two refused attempts a request would be over before memory is full: so many are refused.
    let (peer, address) = GrpcPeer::start(vec![Answer::Refuse(UNAVAILABLE, None); 12], 0).await;
    let mut running = Running::start(settings(url(address), directory.path()));
    running.make(300).await;
    running.until(|now| now.delivered == 300).await;
    let counters = running.stop().await;
    assert_eq!(by_exporter(&peer.taken()), [numbers(0..300)]);
    assert_eq!((accounted(&counters), counters.delivered), (300, 300));
    assert_eq!((counters.stored, counters.disk_bytes), (0, 0));
    assert!(counters.retries >= 12);
}

#[tokio::test]
async fn records_of_runs_without_a_receiver_arrive_once_and_in_sequence_after_restarts() {
    let directory = tempfile::tempdir().unwrap();
    for made in [300, 25] {
        let mut running = Running::start(settings(NOBODY.to_owned(), directory.path()));
        running.make(made).await;
        let counters = running.stop().await;
        let before = counters.restored;
        assert_eq!((counters.made, counters.delivered), (made, 0));
        assert_eq!(counters.stored, made + before);
        assert_eq!(accounted(&counters), made + before);
    }
    // Another transport: what waits is the same bytes.
    let (peer, address) = HttpPeer::start(vec![Answer::Refuse(503, None); 3], 0).await;
    let mut settings = settings(url(address), directory.path());
    settings.otlp.protocol = Protocol::HttpProtobuf;
    let mut running = Running::start(settings);
    running.make(5).await;
    running.until(|now| now.delivered == 330).await;
    let counters = running.stop().await;
    assert_eq!((counters.restored, counters.made), (325, 5));
    assert_eq!((counters.stored, accounted(&counters)), (0, 330));
    assert_eq!(
        by_exporter(&peer.taken()),
        [numbers(0..300), numbers(0..25), numbers(0..5)]
    );
}

#[tokio::test]
async fn past_the_bound_the_oldest_records_go_and_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let mut bounded = settings(NOBODY.to_owned(), directory.path());
    bounded.queue.disk.max_bytes = 1 << 16;
    let mut running = Running::start(bounded);
    running.make(1_200).await;
    let counters = running.stop().await;
    assert!(counters.disk_bytes <= 1 << 16, "{counters:?}");
    assert!(counters.lost(LossPlace::Disk) > 0 && counters.stored > 0);
    assert_eq!(accounted(&counters), 1_200);

    let (peer, address) = GrpcPeer::start(Vec::new(), 0).await;
    let running = Running::start(settings(url(address), directory.path()));
    let stored = counters.stored;
    running.until(|now| now.delivered == stored).await;
    running.stop().await;
    // The request that was being sent stays: it may have arrived.
    let sent = numbers(0..10);
    let newest = numbers(1_200 - (stored - 10)..1_200);
    assert_eq!(by_exporter(&peer.taken()), [[sent, newest].concat()]);
}

#[tokio::test]
async fn what_a_receiver_refuses_for_good_does_not_stay_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = Running::start(settings(NOBODY.to_owned(), directory.path()));
    running.make(30).await;
    assert_eq!(running.stop().await.stored, 30);
    let (peer, address) =
        GrpcPeer::start(vec![Answer::Refuse(3, None), Answer::Partial(2)], 0).await;
    let running = Running::start(settings(url(address), directory.path()));
    running.until(|now| now.stored == 0).await;
    let counters = running.stop().await;
    let refused = counters.lost(LossPlace::Refused);
    assert!((1..=10).contains(&refused), "{counters:?}");
    assert_eq!(counters.lost(LossPlace::Rejected), 2);
    assert_eq!(accounted(&counters), 30);
    assert_eq!(by_exporter(&peer.taken()), [numbers(refused..30)]);
}

#[tokio::test]
async fn a_directory_that_another_exporter_has_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(settings(NOBODY.to_owned(), directory.path()));
    running
        .until(|_| directory.path().join("lock").exists())
        .await;
    let second = Running::start(settings(NOBODY.to_owned(), directory.path()));
    let error = second.exported.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("in use by another exporter"), "{error}");
    running.stop().await;
}

#[tokio::test]
async fn a_disk_that_refuses_leaves_what_memory_holds_and_counts_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(settings(NOBODY.to_owned(), directory.path()));
    running
        .until(|_| directory.path().join("lock").exists())
        .await;
    std::fs::remove_dir_all(directory.path()).unwrap();
    for cookie in 0..200 {
        running.flows.send(vec![closed_flow(cookie, 100)]).unwrap();
    }
    running.until(|now| now.made == 200).await;
    let counters = running.stop().await;
    assert_eq!((counters.stored, accounted(&counters)), (0, 200));
    assert!(counters.lost(LossPlace::Queue) >= 150, "{counters:?}");
}

fn whole_files(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).expect("the directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "otlp")
        })
        .count()
}

#[tokio::test]
async fn what_a_kill_does_not_take_arrives_and_what_it_takes_is_a_gap_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "outage::an_exporter_that_runs_until_it_is_killed",
        ])
        .env(DIRECTORY, directory.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while whole_files(directory.path()) < 25 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(
            child.try_wait().unwrap().is_none(),
            "it runs until it is killed"
        );
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let (peer, address) = GrpcPeer::start(Vec::new(), 0).await;
    let running = Running::start(settings(url(address), directory.path()));
    running
        .until(|now| now.restored > 0 && now.stored == 0)
        .await;
    let counters = running.stop().await;
    assert_eq!(counters.delivered, counters.restored);
    // A kill takes no power: at most the file that was being written is cut off.
    assert!(counters.lost(LossPlace::DiskDamaged) <= 10, "{counters:?}");
    let arrived = by_exporter(&peer.taken());
    assert_eq!(arrived, [numbers(0..counters.restored)]);
    assert_eq!(whole_files(directory.path()), 0);
}

#[tokio::test]
#[ignore = "another test runs it as a process of its own, and kills it"]
async fn an_exporter_that_runs_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let mut running = Running::start(settings(NOBODY.to_owned(), Path::new(&directory)));
    running.make(1_000_000).await;
}
