use std::collections::HashMap;

use beaconwatch_records::Owner;
use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;
const STEP: Moment = Moment {
    boot_ns: 1_000 * SECOND,
    unix_ns: 1_700_000_000 * SECOND,
};

fn settings() -> TableSettings {
    TableSettings {
        max_flows: 1000,
        ..TableSettings::default()
    }
}

fn table() -> FlowTable {
    FlowTable::new(BootId(7), settings())
}

fn record(kind: RecordKind, cookie: u64, seconds: u64, bytes: u64) -> FlowRecord {
    let mut remote_address = [0; 16];
    remote_address[10..].copy_from_slice(&[0xff, 0xff, 198, 51, 100, 7]);
    let time_ns = (900 + seconds) * SECOND;
    FlowRecord {
        cookie,
        netns_cookie: 1,
        start_ns: 900 * SECOND,
        time_ns,
        last_packet_ns: time_ns,
        counters: CounterSet {
            bytes_sent: bytes,
            bytes_received: bytes * 2,
            packets_sent: bytes / 100,
            packets_received: bytes / 50,
        },
        payload_sent: 0,
        payload_received: 0,
        owner: Owner {
            pid: 42,
            ..Owner::default()
        },
        local_address: [0; 16],
        remote_address,
        smoothed_rtt_us: 0,
        retransmits: 0,
        local_port: 40_000,
        remote_port: 443,
        kind: kind as u8,
        role: Role::Client as u8,
        protocol: Protocol::Tcp as u8,
        close_reason: match kind {
            RecordKind::Close => CloseReason::FinLocal as u8,
            _ => CloseReason::None as u8,
        },
        flags: 0,
        established: 1,
        padding: [0; 6],
    }
}

fn udp(kind: RecordKind, seconds: u64, last_packet: u64, bytes: u64) -> FlowRecord {
    FlowRecord {
        protocol: Protocol::Udp as u8,
        last_packet_ns: (900 + last_packet) * SECOND,
        close_reason: if kind == RecordKind::Close {
            CloseReason::SocketClosed as u8
        } else {
            CloseReason::None as u8
        },
        ..record(kind, 5, seconds, bytes)
    }
}

fn apply(table: &mut FlowTable, records: &[FlowRecord]) -> Vec<FlowEvent> {
    let mut events = Vec::new();
    for record in records {
        table.apply(record, STEP, &mut events);
    }
    events
}

fn announce(table: &mut FlowTable) -> Vec<FlowEvent> {
    let mut events = Vec::new();
    table.announce(&mut events);
    events
}

fn snapshot(table: &mut FlowTable, records: &[FlowRecord]) -> Vec<FlowEvent> {
    let mut events = Vec::new();
    table.apply_snapshot(records, STEP, &mut events);
    events
}

fn shape(events: &[FlowEvent]) -> Vec<(FlowEventKind, u32)> {
    events
        .iter()
        .map(|event| (event.kind, event.number))
        .collect()
}

#[test]
fn a_flow_that_ends_before_it_is_announced_is_one_event() {
    let mut table = table();
    let events = apply(
        &mut table,
        &[
            record(RecordKind::Open, 1, 0, 0),
            record(RecordKind::Close, 1, 3, 700),
        ],
    );
    assert_eq!(shape(&events), [(FlowEventKind::End, 0)]);
    assert_eq!(events[0].delta.bytes_sent, 700);
    assert_eq!(events[0].time_unix_ns - events[0].start_unix_ns, 3 * SECOND);
    assert!(announce(&mut table).is_empty());
    assert_eq!(table.counters().active, 0);
}

#[test]
fn a_flow_that_outlives_the_announcement_has_a_start_and_an_end() {
    let mut table = table();
    apply(&mut table, &[record(RecordKind::Open, 1, 0, 60)]);
    let start = announce(&mut table);
    assert_eq!(shape(&start), [(FlowEventKind::Start, 0)]);
    assert_eq!(start[0].time_unix_ns, start[0].start_unix_ns);
    let end = apply(&mut table, &[record(RecordKind::Close, 1, 3, 700)]);
    assert_eq!(shape(&end), [(FlowEventKind::End, 1)]);
    assert_eq!(start[0].delta.bytes_sent + end[0].delta.bytes_sent, 700);
    assert_eq!(start[0].id, end[0].id);
}

#[test]
fn a_close_without_its_open_is_a_whole_flow() {
    let events = apply(&mut table(), &[record(RecordKind::Close, 1, 3, 700)]);
    assert_eq!(shape(&events), [(FlowEventKind::End, 0)]);
}

#[test]
fn an_open_that_comes_after_its_close_changes_nothing() {
    let mut table = table();
    let events = apply(
        &mut table,
        &[
            record(RecordKind::Close, 1, 3, 700),
            record(RecordKind::Open, 1, 0, 0),
        ],
    );
    assert_eq!(shape(&events), [(FlowEventKind::End, 0)]);
    assert!(announce(&mut table).is_empty());
    assert_eq!(table.counters().late, 1);
}

#[test]
fn a_repeated_close_changes_nothing() {
    let mut table = table();
    let close = record(RecordKind::Close, 1, 3, 700);
    assert_eq!(apply(&mut table, &[close, close, close]).len(), 1);
}

#[test]
fn a_living_flow_is_reported_once_per_interval_and_only_when_it_changed() {
    let mut table = table();
    apply(&mut table, &[record(RecordKind::Open, 1, 0, 60)]);
    announce(&mut table);
    assert!(snapshot(&mut table, &[record(RecordKind::Update, 1, 59, 900)]).is_empty());
    let update = snapshot(&mut table, &[record(RecordKind::Update, 1, 60, 1000)]);
    assert_eq!(shape(&update), [(FlowEventKind::Update, 1)]);
    assert_eq!(update[0].delta.bytes_sent, 940);
    assert!(snapshot(&mut table, &[record(RecordKind::Update, 1, 119, 2000)]).is_empty());
    assert!(snapshot(&mut table, &[record(RecordKind::Update, 1, 300, 1000)]).len() == 1);
    assert!(snapshot(&mut table, &[record(RecordKind::Update, 1, 500, 2000)]).is_empty());
}

#[test]
fn an_idle_udp_flow_ends_at_its_last_packet_and_its_late_close_is_no_second_end() {
    let mut table = table();
    apply(&mut table, &[udp(RecordKind::Open, 0, 0, 60)]);
    announce(&mut table);
    assert!(snapshot(&mut table, &[udp(RecordKind::Update, 12, 2, 120)]).is_empty());
    let end = snapshot(&mut table, &[udp(RecordKind::Update, 13, 2, 120)]);
    assert_eq!(shape(&end), [(FlowEventKind::End, 1)]);
    assert_eq!(end[0].time_unix_ns - end[0].start_unix_ns, 2 * SECOND);
    assert_eq!(end[0].record.close_reason, CloseReason::Idle as u8);
    assert!(snapshot(&mut table, &[udp(RecordKind::Update, 500, 2, 120)]).is_empty());
    assert!(apply(&mut table, &[udp(RecordKind::Close, 900, 2, 120)]).is_empty());
    assert_eq!(table.counters().active, 0);
}

#[test]
fn a_udp_socket_closed_after_the_idle_timeout_ended_by_idleness() {
    let end = apply(&mut table(), &[udp(RecordKind::Close, 60, 1, 120)]);
    assert_eq!(end[0].record.close_reason, CloseReason::Idle as u8);
    assert_eq!(end[0].time_unix_ns - end[0].start_unix_ns, SECOND);
}

#[test]
fn a_udp_socket_closed_within_the_idle_timeout_ended_by_its_close() {
    let end = apply(&mut table(), &[udp(RecordKind::Close, 9, 1, 120)]);
    assert_eq!(end[0].record.close_reason, CloseReason::SocketClosed as u8);
    assert_eq!(end[0].time_unix_ns - end[0].start_unix_ns, 9 * SECOND);
}

#[test]
fn a_flow_that_two_snapshots_miss_has_ended_without_a_reason() {
    let mut table = table();
    apply(&mut table, &[record(RecordKind::Open, 1, 4, 60)]);
    announce(&mut table);
    assert!(snapshot(&mut table, &[]).is_empty());
    let end = snapshot(&mut table, &[]);
    assert_eq!(shape(&end), [(FlowEventKind::End, 1)]);
    assert_eq!(end[0].record.close_reason, CloseReason::None as u8);
    assert_eq!(table.counters().close_lost, 1);
    assert!(apply(&mut table, &[record(RecordKind::Close, 1, 9, 99)]).is_empty());
}

#[test]
fn both_ends_on_one_host_are_two_flows() {
    let mut table = table();
    let client = record(RecordKind::Open, 1, 0, 0);
    let server = FlowRecord {
        cookie: 2,
        role: Role::Server as u8,
        remote_port: client.local_port,
        local_port: client.remote_port,
        ..client
    };
    apply(&mut table, &[client, server]);
    let events = announce(&mut table);
    assert_eq!(
        shape(&events),
        [(FlowEventKind::Start, 0), (FlowEventKind::Start, 0)]
    );
    assert_ne!(events[0].id, events[1].id);
}

#[test]
fn a_full_table_evicts_the_oldest_news_and_still_ends_what_it_evicted() {
    let mut table = FlowTable::new(
        BootId(7),
        TableSettings {
            max_flows: 32,
            ..settings()
        },
    );
    let mut opens: Vec<FlowRecord> = (0..33)
        .map(|cookie| record(RecordKind::Open, cookie, cookie, 10))
        .collect();
    // The first is the oldest flow, but it has the newest news.
    opens.insert(1, record(RecordKind::Update, 0, 50, 20));
    let evicted = apply(&mut table, &opens);
    assert_eq!(shape(&evicted), [(FlowEventKind::Start, 0); 2]);
    assert_eq!(
        evicted.iter().map(|event| event.record.cookie).min(),
        Some(1)
    );
    assert_eq!(table.counters().evicted, 2);
    assert_eq!(table.counters().active, 31);
    let end = apply(&mut table, &[record(RecordKind::Close, 1, 70, 90)]);
    assert_eq!(shape(&end), [(FlowEventKind::End, 1)]);
    assert_eq!(end[0].delta.bytes_sent, 80);
    assert_eq!(end[0].start_unix_ns, evicted[0].start_unix_ns);
}

#[test]
fn a_step_of_the_wall_clock_changes_neither_start_nor_duration() {
    let mut table = table();
    apply(&mut table, &[record(RecordKind::Open, 1, 0, 0)]);
    let start = announce(&mut table);
    let stepped = Moment {
        boot_ns: STEP.boot_ns,
        unix_ns: STEP.unix_ns - 3600 * SECOND,
    };
    let mut events = Vec::new();
    table.apply(&record(RecordKind::Close, 1, 8, 700), stepped, &mut events);
    assert_eq!(events[0].start_unix_ns, start[0].start_unix_ns);
    assert_eq!(events[0].time_unix_ns - events[0].start_unix_ns, 8 * SECOND);
}

#[test]
fn records_with_unknown_enumerations_are_counted_and_skipped() {
    let mut table = table();
    let good = record(RecordKind::Open, 1, 0, 0);
    let bad = [
        FlowRecord { kind: 0, ..good },
        FlowRecord { role: 9, ..good },
        FlowRecord {
            protocol: 1,
            ..good
        },
    ];
    assert!(apply(&mut table, &bad).is_empty());
    assert_eq!(table.counters().invalid, 3);
    assert_eq!(table.counters().flows, 0);
}

#[test]
fn a_boot_id_is_read_with_and_without_hyphens() {
    let with = BootId::parse("00000000-0000-0000-0000-0000000000ff\n");
    assert_eq!(with, Some(BootId(255)));
    assert_eq!(with, BootId::parse("000000000000000000000000000000ff"));
    assert_eq!(BootId::parse("ff"), None);
    assert_eq!(
        BootId::parse("+0000000-0000-0000-0000-0000000000ff"),
        Some(BootId(255))
    );
}

/// One step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Record {
        flow: u64,
        kind: RecordKind,
        seconds: u64,
        bytes: u64,
    },
    Announce,
    Snapshot {
        flows: Vec<u64>,
        seconds: u64,
        bytes: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        Just(RecordKind::Open),
        Just(RecordKind::Update),
        Just(RecordKind::Close)
    ];
    prop_oneof![
        8 => (0u64..12, kind, 0u64..200, 0u64..5000).prop_map(
            |(flow, kind, seconds, bytes)| Step::Record { flow, kind, seconds, bytes }
        ),
        2 => Just(Step::Announce),
        2 => (proptest::collection::vec(0u64..12, 0..8), 0u64..200, 0u64..5000)
            .prop_map(|(flows, seconds, bytes)| Step::Snapshot { flows, seconds, bytes }),
    ]
}

fn random_record(flow: u64, kind: RecordKind, seconds: u64, bytes: u64) -> FlowRecord {
    // Even flows are UDP: their last packet lies up to 15 s back.
    if flow.is_multiple_of(2) {
        let last = seconds.saturating_sub(bytes % 16);
        FlowRecord {
            cookie: flow,
            ..udp(kind, seconds, last, bytes)
        }
    } else {
        record(kind, flow, seconds, bytes)
    }
}

fn play(steps: &[Step], max_flows: usize) -> (Vec<FlowEvent>, TableCounters) {
    let mut table = FlowTable::new(
        BootId(7),
        TableSettings {
            max_flows,
            ..settings()
        },
    );
    let mut events = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        // The wall clock wanders: the start of a flow must not.
        let now = Moment {
            unix_ns: STEP.unix_ns + index as u64 * 1_000_003,
            ..STEP
        };
        match step {
            Step::Record {
                flow,
                kind,
                seconds,
                bytes,
            } => {
                table.apply(
                    &random_record(*flow, *kind, *seconds, *bytes),
                    now,
                    &mut events,
                );
            }
            Step::Announce => table.announce(&mut events),
            Step::Snapshot {
                flows,
                seconds,
                bytes,
            } => {
                let records: Vec<FlowRecord> = flows
                    .iter()
                    .map(|&flow| random_record(flow, RecordKind::Update, *seconds, *bytes))
                    .collect();
                table.apply_snapshot(&records, now, &mut events);
            }
        }
    }
    (events, table.counters())
}

fn check_history(events: &[FlowEvent]) -> Result<(), TestCaseError> {
    let mut flows: HashMap<FlowId, (u32, CounterSet, u64, bool)> = HashMap::new();
    for event in events {
        let (number, sum, start, ended) =
            flows
                .entry(event.id)
                .or_insert((0, CounterSet::default(), event.start_unix_ns, false));
        prop_assert!(!*ended, "nothing follows an end");
        prop_assert_eq!(event.number, *number, "numbers count from 0 without gaps");
        prop_assert_eq!(event.start_unix_ns, *start, "the start never changes");
        prop_assert!(event.time_unix_ns >= event.start_unix_ns);
        sum.bytes_sent += event.delta.bytes_sent;
        sum.bytes_received += event.delta.bytes_received;
        sum.packets_sent += event.delta.packets_sent;
        sum.packets_received += event.delta.packets_received;
        prop_assert_eq!(*sum, event.record.counters, "deltas add up to totals");
        *ended = event.kind == FlowEventKind::End;
        *number += 1;
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_history_keeps_the_contract(steps in proptest::collection::vec(step(), 0..120)) {
        let (events, counters) = play(&steps, 1000);
        check_history(&events)?;
        prop_assert_eq!(counters.forgotten, 0);
        prop_assert_eq!(counters.evicted, 0);
    }

    #[test]
    fn a_small_table_keeps_the_contract_while_it_evicts(
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        // Twelve flows, room for six in the table and six in memory of departed ones.
        let (events, counters) = play(&steps, 6);
        if counters.forgotten == 0 {
            check_history(&events)?;
        }
        prop_assert!(counters.active <= 6);
    }

    #[test]
    fn any_bytes_in_a_record_are_survived(
        cookie: u64, times in proptest::array::uniform3(any::<u64>()),
        counters in proptest::array::uniform4(any::<u64>()), octets: [u8; 6],
    ) {
        let wild = FlowRecord {
            cookie,
            start_ns: times[0],
            time_ns: times[1],
            last_packet_ns: times[2],
            counters: CounterSet {
                bytes_sent: counters[0],
                bytes_received: counters[1],
                packets_sent: counters[2],
                packets_received: counters[3],
            },
            kind: octets[0] % 4,
            role: octets[1] % 3,
            protocol: if octets[2] & 1 == 0 { 6 } else { 17 },
            close_reason: octets[3],
            flags: octets[4],
            established: octets[5],
            ..record(RecordKind::Open, 1, 0, 0)
        };
        let mut table = table();
        let mut events = Vec::new();
        table.apply(&wild, STEP, &mut events);
        table.announce(&mut events);
        table.apply_snapshot(&[wild], STEP, &mut events);
        prop_assert!(events.len() <= 3);
    }
}
