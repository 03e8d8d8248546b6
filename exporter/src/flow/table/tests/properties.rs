use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

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
        Just(RecordKind::Activity),
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
