use std::mem::offset_of;

use proptest::prelude::*;

use super::*;

fn arbitrary_record() -> impl Strategy<Value = FlowRecord> {
    let kinds = (
        1..=4u8,
        1..=3u8,
        prop_oneof![Just(6u8), Just(17u8)],
        0..=7u8,
        0..=7u8,
        0..=1u8,
    );
    (
        any::<[u64; 14]>(),
        any::<[u32; 6]>(),
        any::<[u16; 2]>(),
        any::<[[u8; 16]; 3]>(),
        kinds,
    )
        .prop_map(|(long, word, port, text, kinds)| FlowRecord {
            cookie: long[0],
            netns_cookie: long[1],
            start_ns: long[2],
            time_ns: long[3],
            last_packet_ns: long[4],
            counters: CounterSet {
                bytes_sent: long[5],
                bytes_received: long[6],
                packets_sent: long[7],
                packets_received: long[8],
            },
            payload_sent: long[9],
            payload_received: long[10],
            owner: Owner {
                process_start_ns: long[11],
                cgroup_id: long[12],
                pid: word[0],
                uid: word[1],
                comm: text[0],
            },
            handler_start_ns: long[13],
            local_address: text[1],
            remote_address: text[2],
            smoothed_rtt_us: word[2],
            retransmits: word[3],
            local_port: port[0],
            remote_port: port[1],
            kind: kinds.0,
            role: kinds.1,
            protocol: kinds.2,
            close_reason: kinds.3,
            handler_pid: word[4],
            flags: kinds.4,
            established: kinds.5,
            padding: [0; 2],
            interface: word[5],
            unused: 0,
        })
}

proptest! {
    #[test]
    fn a_record_survives_its_bytes(record in arbitrary_record()) {
        prop_assert_eq!(FlowRecord::from_bytes(&record.to_bytes()), Ok(record));
    }

    #[test]
    fn any_bytes_give_a_record_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        match FlowRecord::from_bytes(&bytes) {
            Ok(record) => prop_assert_eq!(record.to_bytes().to_vec(), bytes),
            Err(RecordError::Length { found }) => prop_assert_eq!(found, bytes.len()),
            Err(RecordError::Field { .. }) => prop_assert_eq!(bytes.len(), FLOW_RECORD_BYTES),
        }
    }

    #[test]
    fn bytes_of_the_right_length_are_judged_by_their_fields(
        bytes in prop::collection::vec(any::<u8>(), FLOW_RECORD_BYTES),
    ) {
        let kind = bytes[offset_of!(FlowRecord, kind)];
        if let Ok(record) = FlowRecord::from_bytes(&bytes) {
            prop_assert_eq!(record.kind, kind);
            prop_assert!((1..=3).contains(&kind));
        }
    }
}

fn valid() -> FlowRecord {
    FlowRecord {
        cookie: 0x0102_0304_0506_0708,
        kind: RecordKind::Open as u8,
        role: Role::Client as u8,
        protocol: Protocol::Udp as u8,
        local_port: 0x1234,
        ..FlowRecord::ZERO
    }
}

#[test]
fn each_field_lies_where_the_compiler_put_it() {
    let mut record = valid();
    record.owner.comm = *b"0123456789abcdef";
    record.remote_address[15] = 7;
    record.established = 1;
    record.counters.packets_received = 99;
    let bytes = record.to_bytes();
    let at = |offset: usize, length: usize| &bytes[offset..offset + length];
    assert_eq!(
        at(offset_of!(FlowRecord, cookie), 8),
        record.cookie.to_ne_bytes()
    );
    assert_eq!(
        at(offset_of!(FlowRecord, local_port), 2),
        record.local_port.to_ne_bytes()
    );
    assert_eq!(at(offset_of!(FlowRecord, remote_address) + 15, 1), [7]);
    assert_eq!(at(offset_of!(FlowRecord, established), 1), [1]);
    let comm = offset_of!(FlowRecord, owner) + offset_of!(Owner, comm);
    assert_eq!(at(comm, 16), b"0123456789abcdef");
    let received = offset_of!(FlowRecord, counters) + offset_of!(CounterSet, packets_received);
    assert_eq!(at(received, 8), 99u64.to_ne_bytes());
}

#[test]
fn a_record_one_byte_short_or_long_is_refused_with_both_lengths() {
    let bytes = valid().to_bytes();
    let short = FlowRecord::from_bytes(&bytes[1..]).unwrap_err();
    assert_eq!(short.to_string(), "flow record of 199 bytes, expected 200");
    let long = [bytes.as_slice(), &[0]].concat();
    assert_eq!(
        FlowRecord::from_bytes(&long),
        Err(RecordError::Length { found: 201 })
    );
    assert_eq!(
        FlowRecord::from_bytes(&[]),
        Err(RecordError::Length { found: 0 })
    );
}

#[test]
fn an_unknown_value_is_refused_by_name() {
    let refused = |change: fn(&mut FlowRecord), name: &str, found: u8| {
        let mut record = valid();
        change(&mut record);
        let error = FlowRecord::from_bytes(&record.to_bytes()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("flow record with unknown {name} {found}")
        );
    };
    refused(|record| record.kind = 0, "kind", 0);
    refused(|record| record.kind = 5, "kind", 5);
    refused(|record| record.role = 4, "role", 4);
    refused(|record| record.protocol = 99, "protocol", 99);
    refused(|record| record.close_reason = 8, "close reason", 8);
    refused(|record| record.flags = 8, "flags", 8);
    refused(|record| record.established = 2, "established", 2);
}
