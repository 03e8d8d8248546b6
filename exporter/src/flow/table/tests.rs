use beaconwatch_records::Owner;

use super::*;

mod properties;

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
        ..FlowRecord::ZERO
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
fn a_handler_that_comes_with_later_records_is_told_and_the_last_one_stays() {
    let handled = |kind, seconds, handler_pid| FlowRecord {
        handler_pid,
        handler_start_ns: u64::from(handler_pid) * SECOND,
        ..record(kind, 1, seconds, 100)
    };
    let mut table = table();
    let mut events = Vec::new();
    table.apply(&handled(RecordKind::Open, 0, 0), STEP, &mut events);
    table.announce(&mut events);
    table.apply(&handled(RecordKind::Activity, 70, 8), STEP, &mut events);
    // Read before the other, and applied after it.
    table.apply(&handled(RecordKind::Update, 60, 7), STEP, &mut events);
    table.apply(&handled(RecordKind::Close, 80, 9), STEP, &mut events);
    let handlers: Vec<(u32, u64)> = events
        .iter()
        .map(|event| (event.record.handler_pid, event.record.handler_start_ns))
        .collect();
    let last = handlers.last();
    assert_eq!(handlers.first(), Some(&(0, 0)));
    assert_eq!(last, Some(&(9, 9 * SECOND)));
    assert!(!handlers.contains(&(7, 7 * SECOND)));
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
fn a_flow_whose_close_is_all_that_is_told_is_one_event() {
    let mut table = table();
    let events = apply(&mut table, &[record(RecordKind::Close, 1, 3, 700)]);
    assert_eq!(shape(&events), [(FlowEventKind::End, 0)]);
    assert_eq!(events[0].delta.bytes_sent, 700);
    assert_eq!(events[0].time_unix_ns - events[0].start_unix_ns, 3 * SECOND);
    assert!(announce(&mut table).is_empty());
}

#[test]
fn a_flow_that_is_first_seen_alive_starts_when_it_began() {
    let mut table = table();
    let first = record(RecordKind::Update, 1, 4, 600);
    assert!(!table.knows(&first));
    assert!(snapshot(&mut table, &[first]).is_empty());
    assert!(table.knows(&first));
    let start = announce(&mut table);
    assert_eq!(shape(&start), [(FlowEventKind::Start, 0)]);
    assert_eq!(start[0].time_unix_ns, start[0].start_unix_ns);
    assert_eq!(start[0].delta.bytes_sent, 600);
    let end = apply(&mut table, &[record(RecordKind::Close, 1, 9, 700)]);
    assert_eq!(shape(&end), [(FlowEventKind::End, 1)]);
    assert_eq!(end[0].start_unix_ns, start[0].start_unix_ns);
    assert_eq!(end[0].delta.bytes_sent, 100);
}

#[test]
fn a_flow_that_is_first_seen_by_activity_starts_before_it() {
    let mut table = table();
    assert!(apply(&mut table, &[record(RecordKind::Activity, 1, 2, 600)]).is_empty());
    let start = announce(&mut table);
    assert_eq!(shape(&start), [(FlowEventKind::Start, 0)]);
    assert_eq!(start[0].time_unix_ns, start[0].start_unix_ns);
    let events = apply(&mut table, &[record(RecordKind::Close, 1, 3, 700)]);
    let numbers: Vec<u32> = events.iter().map(|event| event.number).collect();
    assert_eq!(numbers, [1, 2]);
    assert!(matches!(
        events[0].kind,
        FlowEventKind::Activity { exchanged } if exchanged.bytes_sent == 100
    ));
    assert_eq!(events[1].kind, FlowEventKind::End);
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
fn a_socket_of_datagrams_closed_after_the_idle_timeout_ended_by_idleness() {
    for protocol in [Protocol::Udp, Protocol::Icmp, Protocol::Icmpv6] {
        let close = FlowRecord {
            protocol: protocol as u8,
            ..udp(RecordKind::Close, 60, 1, 120)
        };
        let end = apply(&mut table(), &[close]);
        assert_eq!(end[0].record.close_reason, CloseReason::Idle as u8);
        assert_eq!(end[0].time_unix_ns - end[0].start_unix_ns, SECOND);
    }
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
fn what_changed_is_reported_when_the_exporter_stops() {
    let mut table = table();
    apply(
        &mut table,
        &[
            record(RecordKind::Open, 1, 0, 60),
            record(RecordKind::Open, 2, 0, 60),
        ],
    );
    announce(&mut table);
    apply(&mut table, &[record(RecordKind::Update, 1, 3, 900)]);
    let mut events = Vec::new();
    table.report_changes(&mut events);
    assert_eq!(shape(&events), [(FlowEventKind::Update, 1)]);
    assert_eq!(
        (events[0].record.cookie, events[0].delta.bytes_sent),
        (1, 840)
    );
}

#[test]
fn flows_that_ended_before_they_were_announced_do_not_pile_up() {
    let mut table = FlowTable::new(
        BootId(7),
        TableSettings {
            max_flows: 4,
            ..settings()
        },
    );
    for cookie in 0..100 {
        apply(
            &mut table,
            &[
                record(RecordKind::Open, cookie, 0, 0),
                record(RecordKind::Close, cookie, 1, 0),
            ],
        );
    }
    assert!(table.unannounced.len() <= 8);
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
            protocol: 99,
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

/// Bytes of the source in each activity.
fn exchanged(events: &[FlowEvent]) -> Vec<(u64, u64)> {
    events
        .iter()
        .filter_map(|event| match event.kind {
            FlowEventKind::Activity { exchanged } => Some((
                (event.time_unix_ns - event.start_unix_ns) / SECOND,
                exchanged.bytes_sent,
            )),
            _ => None,
        })
        .collect()
}

#[test]
fn activity_is_told_with_what_was_exchanged_until_the_next_one_or_the_end() {
    let mut table = table();
    let events = apply(
        &mut table,
        &[
            record(RecordKind::Open, 1, 0, 0),
            record(RecordKind::Activity, 1, 10, 200),
            record(RecordKind::Activity, 1, 20, 700),
            record(RecordKind::Close, 1, 30, 1000),
        ],
    );
    assert_eq!(exchanged(&events), [(10, 500), (20, 300)]);
    let kinds: Vec<FlowEventKind> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds.first(), Some(&FlowEventKind::Start));
    assert_eq!(kinds.last(), Some(&FlowEventKind::End));
    assert_eq!(events.len(), 4);
}

#[test]
fn activity_ends_with_a_reading_of_the_counters_that_is_not_too_soon() {
    let mut table = table();
    let first = apply(
        &mut table,
        &[
            record(RecordKind::Open, 1, 0, 0),
            record(RecordKind::Activity, 1, 10, 200),
        ],
    );
    assert_eq!(exchanged(&first), []);
    let too_soon = snapshot(&mut table, &[record(RecordKind::Update, 1, 10, 300)]);
    assert_eq!(exchanged(&too_soon), []);
    let later = snapshot(&mut table, &[record(RecordKind::Update, 1, 11, 900)]);
    assert_eq!(exchanged(&later), [(10, 700)]);
    let again = snapshot(&mut table, &[record(RecordKind::Update, 1, 12, 1900)]);
    assert_eq!(exchanged(&again), [], "it is told once");
}

#[test]
fn activity_that_is_not_over_is_told_when_the_exporter_stops() {
    let mut table = table();
    apply(
        &mut table,
        &[
            record(RecordKind::Open, 1, 0, 0),
            record(RecordKind::Activity, 1, 10, 200),
            record(RecordKind::Update, 1, 10, 250),
        ],
    );
    let mut events = Vec::new();
    table.report_changes(&mut events);
    assert_eq!(exchanged(&events), [(10, 50)]);
}

#[test]
fn activity_that_comes_late_is_none() {
    let mut table = table();
    let events = apply(
        &mut table,
        &[
            record(RecordKind::Open, 1, 0, 0),
            record(RecordKind::Activity, 1, 20, 700),
            record(RecordKind::Activity, 1, 20, 700),
            record(RecordKind::Activity, 1, 10, 200),
            record(RecordKind::Close, 1, 30, 1000),
            record(RecordKind::Activity, 1, 25, 900),
        ],
    );
    assert_eq!(exchanged(&events), [(20, 300)]);
    assert_eq!(table.counters().late, 1);
}

/// What an earlier run told of the flow of [`record`] with this cookie.
fn told(cookie: u64, bytes: u64, ended: bool) -> (FlowId, Told) {
    let record = record(RecordKind::Update, cookie, 0, bytes);
    let told = Told {
        start_unix_ns: 77,
        next_number: 3,
        reported: record.counters,
        ended,
    };
    (FlowId::of(BootId(7), &record), told)
}

#[test]
fn a_flow_of_an_earlier_run_goes_on_with_its_number_its_start_and_its_deltas() {
    let mut table = table();
    let (id, earlier) = told(1, 500, false);
    table.inherit(id, earlier);
    assert!(apply(&mut table, &[record(RecordKind::Update, 1, 10, 600)]).is_empty());
    assert!(announce(&mut table).is_empty(), "its start was told");
    let update = apply(&mut table, &[record(RecordKind::Update, 1, 70, 700)]);
    assert_eq!(shape(&update), [(FlowEventKind::Update, 3)]);
    assert_eq!((update[0].id, update[0].start_unix_ns), (id, 77));
    assert_eq!(update[0].delta.bytes_sent, 200);
    let end = apply(&mut table, &[record(RecordKind::Close, 1, 80, 750)]);
    assert_eq!(shape(&end), [(FlowEventKind::End, 4)]);
    assert_eq!(end[0].delta.bytes_sent, 50);
}

#[test]
fn a_flow_of_an_earlier_run_that_ended_meanwhile_has_its_end_alone() {
    let mut table = table();
    let (id, earlier) = told(1, 500, false);
    table.inherit(id, earlier);
    let end = apply(&mut table, &[record(RecordKind::Close, 1, 10, 600)]);
    assert_eq!(shape(&end), [(FlowEventKind::End, 3)]);
    assert_eq!(end[0].delta.bytes_sent, 100);
    assert!(table.take_forsaken().is_empty());
}

#[test]
fn a_flow_of_an_earlier_run_that_nobody_knows_any_more_is_forsaken_once() {
    let mut table = table();
    let (id, earlier) = told(1, 500, false);
    table.inherit(id, earlier);
    assert!(snapshot(&mut table, &[]).is_empty());
    assert!(table.take_forsaken().is_empty());
    assert!(snapshot(&mut table, &[]).is_empty());
    assert_eq!(table.take_forsaken(), [id]);
    assert!(table.take_forsaken().is_empty());
    assert_eq!(table.counters().close_lost, 1);
}

#[test]
fn an_end_that_an_earlier_run_told_is_not_told_again_while_the_kernel_holds_the_flow() {
    let mut table = table();
    let (id, earlier) = told(5, 500, true);
    table.inherit(id, earlier);
    let idle = FlowRecord {
        protocol: Protocol::Udp as u8,
        ..record(RecordKind::Update, 5, 40, 500)
    };
    for _ in 0..3 {
        assert!(snapshot(&mut table, &[idle]).is_empty());
        assert!(table.holds(&id));
    }
    assert!(announce(&mut table).is_empty());
    let close = FlowRecord {
        kind: RecordKind::Close as u8,
        ..idle
    };
    assert!(apply(&mut table, &[close]).is_empty());
    for _ in 0..2 {
        assert!(snapshot(&mut table, &[]).is_empty());
    }
    assert!(!table.holds(&id), "the kernel let go");
}

#[test]
fn an_identity_is_read_as_it_was_written() {
    let (id, _) = told(1, 1, false);
    assert_eq!(FlowId::from_bytes(id.to_bytes()), id);
    assert_eq!(hex::encode(id.to_bytes()), id.to_string());
}
