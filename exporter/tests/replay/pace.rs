//! How fast a capture is replayed, on Tokio's own clock.

use std::time::Duration;

use beaconwatch_exporter::Config;
use beaconwatch_exporter::replay::{Replay, Speed};
use beaconwatch_exporter::source::FlowSource;
use beaconwatch_records::{FlowRecord, RecordKind};
use tokio::time::{Instant, timeout};

use crate::support::{BEGIN_NS, SECOND_NS, datagram, export, file, pcap, settings};

/// Three flows, of which the second begins after two seconds and the third after nine.
fn capture() -> Vec<u8> {
    let packets = [(0, 41001), (2, 41002), (9, 41003)];
    let packets = packets.map(|(at_s, port)| (at_s * SECOND_NS, datagram(true, port, b"x")));
    pcap(&packets)
}

/// When each flow was opened, in seconds after the start.
async fn opened_s(speed: Speed) -> Vec<(u16, f64)> {
    let (_folder, path) = file(&capture());
    let mut replay = Replay::open(&settings(&[path], speed), &Config::default()).unwrap();
    let began = Instant::now();
    let mut opened = Vec::new();
    loop {
        let mut records: Vec<FlowRecord> = Vec::new();
        if replay.read(&mut records).await.unwrap() == 0 {
            return opened;
        }
        let opens = records
            .iter()
            .filter(|it| it.kind == RecordKind::Open as u8);
        let at_s = began.elapsed().as_secs_f64();
        opened.extend(opens.map(|it| (it.local_port, at_s)));
    }
}

fn assert_opened(opened: &[(u16, f64)], expected: &[(u16, f64)]) {
    assert_eq!(opened.len(), expected.len());
    for (found, expected) in opened.iter().zip(expected) {
        assert_eq!(found.0, expected.0);
        assert!((found.1 - expected.1).abs() < 0.01, "{opened:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn packets_come_in_time_or_so_many_times_as_fast() {
    let in_time = opened_s(Speed::Times(1.0)).await;
    assert_opened(&in_time, &[(41001, 0.0), (41002, 2.0), (41003, 9.0)]);
    let slowly = opened_s(Speed::Times(0.5)).await;
    assert_opened(&slowly, &[(41001, 0.0), (41002, 4.0), (41003, 18.0)]);
    let fast = opened_s(Speed::Times(10.0)).await;
    assert_opened(&fast, &[(41001, 0.0), (41002, 0.2), (41003, 0.9)]);
}

#[tokio::test(start_paused = true)]
async fn at_full_speed_nothing_is_waited_for() {
    let at_once = opened_s(Speed::Max).await;
    assert_opened(&at_once, &[(41001, 0.0), (41002, 0.0), (41003, 0.0)]);
}

#[tokio::test(start_paused = true)]
async fn the_clock_is_the_captures_and_goes_on_between_packets() {
    let (_folder, path) = file(&capture());
    let settings = settings(&[path], Speed::Times(2.0));
    let mut replay = Replay::open(&settings, &Config::default()).unwrap();
    assert_eq!(replay.now().unwrap().unix_ns, BEGIN_NS);
    let mut records = Vec::new();
    let reading = async { while replay.read(&mut records).await.unwrap() > 0 {} };
    let cut_short = timeout(Duration::from_secs(3), reading).await;
    assert!(cut_short.is_err());
    let now = replay.now().unwrap();
    let passed_ns = now.unix_ns - BEGIN_NS;
    assert!(
        passed_ns.abs_diff(6 * SECOND_NS) < SECOND_NS / 50,
        "{now:?}"
    );
    assert_eq!(now.boot_ns, now.unix_ns);
    // What was being waited for still comes.
    records.clear();
    assert!(replay.read(&mut records).await.unwrap() > 0);
    assert_eq!(records.last().unwrap().local_port, 41003);
}

#[tokio::test(start_paused = true)]
async fn a_whole_replay_in_time_takes_as_long_as_the_capture() {
    let (_folder, path) = file(&capture());
    let began = Instant::now();
    let (exported, records) = export(settings(&[path], Speed::Times(3.0))).await;
    assert_eq!(exported.unwrap().flows, 3);
    assert!(records.len() >= 3);
    let took_s = began.elapsed().as_secs_f64();
    assert!((3.0..4.5).contains(&took_s), "{took_s}");
}
