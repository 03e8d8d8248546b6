//! The decoder against requests that the generated types encode: an oracle of its own reads the fields
//! from the generated types.

use std::sync::Arc;

use beaconwatch_detector::{Owner, Phase, Side, Timestamp, Transport};
use beaconwatch_schema::{Field, exporter_record, flow};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::prelude::*;
use prost::Message;

use super::super::{DecodeError, DecodeLimits, Decoded, Fault, Rejection, decode};

pub(super) const LIMITS: DecodeLimits = DecodeLimits {
    records: 1000,
    attributes: 64,
    string_bytes: 256,
};
pub(super) const NOW: Timestamp = Timestamp::from_unix_nanos(2_000_000_000_000_000_000);
const START: i64 = 1_763_800_000_123_456_789;

pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

pub(super) fn record(event: &str, number_of_record: i64) -> LogRecord {
    LogRecord {
        time_unix_nano: START as u64 + 5,
        event_name: flow::EVENT_NAME.to_owned(),
        attributes: vec![
            text(flow::EXPORTER_ID, "run-1"),
            number(flow::EXPORTER_SEQUENCE, 42),
            text(flow::FLOW_ID, "5b0c3f8d9e6a4b17a2c4d6e8f0123456"),
            text(flow::EVENT, event),
            number(flow::RECORD_NUMBER, number_of_record),
            text(flow::ROLE, "client"),
            number(flow::START_TIME, START),
            number(flow::END_TIME, START + 7),
            attribute(flow::ESTABLISHED, Value::BoolValue(true)),
            number(flow::SOURCE_BYTES, 10),
            number(flow::DESTINATION_BYTES, 20),
            text(flow::NETWORK_NAMESPACE, "host"),
            text(flow::SOURCE_ADDRESS, "192.0.2.10"),
            number(flow::SOURCE_PORT, 49152),
            text(flow::DESTINATION_ADDRESS, "2001:db8::7"),
            number(flow::DESTINATION_PORT, 443),
            text(flow::TRANSPORT, "tcp"),
            text(flow::SERVER_ADDRESS, "updates.example.org"),
            number(flow::PROCESS_PID, 4711),
            text(flow::PROCESS_EXECUTABLE_NAME, "curl"),
            text(flow::PROCESS_CREATION_TIME, "1970-01-01T00:00:01.5Z"),
            text(flow::PROCESS_REAL_USER_NAME, "alice"),
            text(flow::CONTAINER_ID, "8f2a"),
            text(flow::SYSTEMD_UNIT, "web.service"),
            number(flow::PARENT_PID, 4700),
        ],
        ..LogRecord::default()
    }
}

pub(super) fn request(records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(Resource {
                attributes: vec![text(flow::HOST_ID, "id-3"), text(flow::HOST_NAME, "web-3")],
                ..Resource::default()
            }),
            scope_logs: vec![ScopeLogs {
                log_records: records,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}

fn decoded(records: Vec<LogRecord>) -> Decoded {
    decode(&request(records).encode_to_vec(), NOW, LIMITS).unwrap()
}

fn with(mut record: LogRecord, key: &str, value: Option<Value>) -> LogRecord {
    record.attributes.retain(|attribute| attribute.key != key);
    record
        .attributes
        .extend(value.map(|value| attribute(key, value)));
    record
}

/// What became of a record with one attribute changed, between two good ones.
fn fate(key: &str, value: Option<Value>) -> Option<Rejection> {
    let bad = with(record(flow::EVENT_END, 0), key, value);
    let decoded = decoded(vec![
        record(flow::EVENT_START, 0),
        bad,
        record(flow::EVENT_END, 1),
    ]);
    let observations = decoded
        .batch
        .records
        .iter()
        .filter(|record| record.observation.is_some());
    let reasons: Vec<_> = decoded.rejections.keys().copied().collect();
    assert_eq!(
        observations.count() + reasons.len(),
        3,
        "a neighbour of {key} was lost"
    );
    reasons.first().copied()
}

#[test]
fn names_and_fingerprints_are_the_best_that_the_record_has() {
    let read = |attributes: &[(&str, &str)]| {
        let mut record = with(record(flow::EVENT_END, 0), flow::SERVER_ADDRESS, None);
        for (key, value) in attributes {
            record = with(record, key, Some(Value::StringValue((*value).to_owned())));
        }
        let decoded = decoded(vec![record]);
        let observation = decoded.batch.records[0].observation.clone().unwrap();
        let text = |value: Option<Arc<str>>| value.map(|value| value.to_string());
        (
            text(observation.server_name),
            text(observation.client_fingerprint),
        )
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(read(&[]), (None, None));
    let asked = (flow::DNS_QUESTION_NAME, "asked.test");
    let ja3 = (flow::TLS_CLIENT_JA3, "d4e5b18d6b55c71272893221c96ba240");
    assert_eq!(read(&[asked, ja3]), (some("asked.test"), some(ja3.1)));
    let server = (flow::SERVER_ADDRESS, "server.test");
    let ja4 = (flow::TLS_CLIENT_JA4, "t13d1516h2_8daaf6152771_e5627efa2ab1");
    let best = (some("server.test"), some(ja4.1));
    assert_eq!(read(&[asked, server, ja3, ja4]), best);
}

#[test]
fn each_event_becomes_its_phase_and_time() {
    let cases = [
        (flow::EVENT_START, 0, Phase::Opened, START),
        (flow::EVENT_UPDATE, 0, Phase::Opened, START),
        (flow::EVENT_END, 0, Phase::Whole, START),
        (flow::EVENT_UPDATE, 1, Phase::Active, START + 5),
        (flow::EVENT_ACTIVITY, 2, Phase::Activity, START + 5),
        (flow::EVENT_END, 3, Phase::Closed, START + 7),
    ];
    for (event, number, phase, time) in cases {
        let decoded = decoded(vec![record(event, number)]);
        let observation = decoded.batch.records[0].observation.as_ref().unwrap();
        assert_eq!(
            (observation.phase, observation.time.unix_nanos()),
            (phase, time),
            "{event} {number}"
        );
        let over = matches!(phase, Phase::Whole | Phase::Closed);
        assert_eq!(
            observation.duration.map(|it| it.as_nanos()),
            over.then_some(7),
            "{event} {number}"
        );
    }
}

#[test]
fn every_field_arrives() {
    let decoded = decoded(vec![record(flow::EVENT_END, 0)]);
    let record = &decoded.batch.records[0];
    assert_eq!(
        (&*decoded.batch.exporters[0], record.sequence),
        ("run-1", 42)
    );
    let observation = record.observation.as_ref().unwrap();
    let key = &observation.key;
    assert_eq!(
        (&*key.host, &*key.namespace, key.transport),
        ("id-3", "host", Transport::Tcp)
    );
    assert_eq!(key.source.to_string(), "192.0.2.10");
    assert_eq!(
        (key.destination.to_string().as_str(), key.destination_port),
        ("2001:db8::7", 443)
    );
    assert_eq!(observation.host_name.as_deref(), Some("web-3"));
    assert_eq!(
        observation.server_name.as_deref(),
        Some("updates.example.org")
    );
    assert_eq!(
        (observation.bytes_out, observation.bytes_in),
        (Some(10), Some(20))
    );
    assert_eq!(
        (observation.side, observation.source_port),
        (Side::Client, 49152)
    );
    assert_eq!(
        observation.connection.unwrap().0,
        0x5b0c_3f8d_9e6a_4b17_a2c4_d6e8_f012_3456
    );
    let process = observation.process.as_ref().unwrap();
    assert_eq!((process.pid, process.name.as_deref()), (4711, Some("curl")));
    assert_eq!(process.started.unwrap().unix_nanos(), 1_500_000_000);
    let expected = Owner {
        user_name: Some("alice".into()),
        container_id: Some("8f2a".into()),
        unit: Some("web.service".into()),
        parent_pid: Some(4700),
        ..Owner::default()
    };
    assert_eq!(observation.owner.as_deref(), Some(&expected));
}

#[test]
fn a_ping_is_a_series_without_ports_whatever_type_and_code_stand_in_their_place() {
    for (kind, source, destination) in [
        (8, "192.0.2.10", "198.51.100.7"),
        (128, "2001:db8::10", "2001:db8::7"),
    ] {
        let mut ping = record(flow::EVENT_END, 0);
        for (key, value) in [
            (flow::TRANSPORT, Value::StringValue("icmp".to_owned())),
            (flow::SOURCE_ADDRESS, Value::StringValue(source.to_owned())),
            (
                flow::DESTINATION_ADDRESS,
                Value::StringValue(destination.to_owned()),
            ),
            (flow::SOURCE_PORT, Value::IntValue(kind)),
            (flow::DESTINATION_PORT, Value::IntValue(0)),
        ] {
            ping = with(ping, key, Some(value));
        }
        let decoded = decoded(vec![ping]);
        let observation = decoded.batch.records[0].observation.as_ref().unwrap();
        assert_eq!(observation.phase, Phase::Whole);
        assert_eq!(observation.key.transport, Transport::Icmp);
        assert_eq!(observation.key.destination.to_string(), destination);
        assert_eq!(
            (observation.source_port, observation.key.destination_port),
            (0, 0)
        );
    }
}

#[test]
fn a_flow_is_not_refused_for_a_command_line_that_is_too_long() {
    let long = Value::StringValue("x".repeat(257));
    assert_eq!(fate(flow::PROCESS_COMMAND_LINE, Some(long.clone())), None);
    let record = with(
        record(flow::EVENT_END, 0),
        flow::PROCESS_COMMAND_LINE,
        Some(long),
    );
    let decoded = decoded(vec![record]);
    let observation = decoded.batch.records[0].observation.as_ref().unwrap();
    let owner = observation.owner.as_ref().unwrap();
    assert_eq!((&owner.command_line, owner.parent_pid), (&None, Some(4700)));
}

#[test]
fn records_of_one_owner_share_one_value() {
    let decoded = decoded(vec![
        record(flow::EVENT_START, 0),
        record(flow::EVENT_END, 1),
    ]);
    let owner = |index: usize| {
        let observation = decoded.batch.records[index].observation.clone().unwrap();
        observation.owner.unwrap()
    };
    assert!(Arc::ptr_eq(&owner(0), &owner(1)));
}

/// Every attribute that a flow record or its resource may have.
fn fields() -> impl Iterator<Item = &'static Field> {
    exporter_record::FIELDS.iter().chain(flow::FIELDS)
}

#[test]
fn a_missing_required_field_is_named() {
    for field in fields() {
        let used = record(flow::EVENT_END, 0)
            .attributes
            .iter()
            .any(|it| it.key == field.name);
        let optional = field.level == beaconwatch_schema::Level::Optional
            || [
                flow::ESTABLISHED,
                flow::SOURCE_BYTES,
                flow::DESTINATION_BYTES,
            ]
            .contains(&field.name);
        if used && !optional {
            let expected = Rejection {
                fault: Fault::Missing,
                field: field.name,
            };
            assert_eq!(fate(field.name, None), Some(expected), "{}", field.name);
        }
    }
}

#[test]
fn a_wrong_type_is_refused_and_named() {
    for key in [
        flow::START_TIME,
        flow::SOURCE_ADDRESS,
        flow::ESTABLISHED,
        flow::EXPORTER_SEQUENCE,
    ] {
        for value in [
            Value::DoubleValue(f64::NAN),
            Value::DoubleValue(1.0),
            Value::BytesValue(vec![1]),
            Value::ArrayValue(ArrayValue::default()),
        ] {
            let expected = Rejection {
                fault: Fault::WrongType,
                field: key,
            };
            assert_eq!(
                fate(key, Some(value.clone())),
                Some(expected),
                "{key} {value:?}"
            );
        }
    }
}

#[test]
fn a_value_that_cannot_be_is_refused_and_named() {
    let text = |text: &str| Value::StringValue(text.to_owned());
    for (key, value) in [
        (flow::SOURCE_PORT, Value::IntValue(65_536)),
        (flow::DESTINATION_PORT, Value::IntValue(-1)),
        (flow::EXPORTER_SEQUENCE, Value::IntValue(-1)),
        (flow::PROCESS_PID, Value::IntValue(1 << 32)),
        (flow::SOURCE_ADDRESS, text("example.org")),
        (flow::TRANSPORT, text("carrier pigeon")),
        (flow::ROLE, text("observer")),
        (flow::EVENT, text("begin")),
        (flow::FLOW_ID, text("+b0c3f8d9e6a4b17a2c4d6e8f0123456")),
        (flow::FLOW_ID, text("5b0c")),
        (flow::PROCESS_CREATION_TIME, text("yesterday")),
    ] {
        let expected = Rejection {
            fault: Fault::BadValue,
            field: key,
        };
        assert_eq!(
            fate(key, Some(value.clone())),
            Some(expected),
            "{key} {value:?}"
        );
    }
}

#[test]
fn a_string_of_the_limit_is_kept_and_a_longer_one_refused() {
    let key = flow::SERVER_ADDRESS;
    assert_eq!(fate(key, Some(Value::StringValue("x".repeat(256)))), None);
    let expected = Rejection {
        fault: Fault::TooLong,
        field: key,
    };
    assert_eq!(
        fate(key, Some(Value::StringValue("x".repeat(257)))),
        Some(expected)
    );
}

#[test]
fn too_many_attributes_refuse_the_record_alone() {
    let mut wide = record(flow::EVENT_END, 0);
    wide.attributes
        .extend((0..100).map(|index| number(&format!("extra.{index}"), index)));
    let decoded = decoded(vec![wide, record(flow::EVENT_END, 0)]);
    let expected = Rejection {
        fault: Fault::TooManyAttributes,
        field: "attributes",
    };
    assert_eq!(
        decoded.rejections.keys().copied().collect::<Vec<_>>(),
        [expected]
    );
    assert_eq!(decoded.batch.records.len(), 1);
}

#[test]
fn a_refused_record_still_has_its_number() {
    let bad = with(record(flow::EVENT_END, 0), flow::TRANSPORT, None);
    let decoded = decoded(vec![bad]);
    assert_eq!(decoded.batch.records[0].sequence, 42);
    assert!(decoded.batch.records[0].observation.is_none());
    assert_eq!(decoded.rejection_message(), "1 x missing network.transport");
}

#[test]
fn log_records_of_others_are_counted_and_ignored() {
    let mut other = record(flow::EVENT_END, 0);
    other.event_name = "com.example.login".to_owned();
    let decoded = decoded(vec![
        other,
        LogRecord::default(),
        record(flow::EVENT_END, 0),
    ]);
    assert_eq!(
        (
            decoded.foreign,
            decoded.batch.records.len(),
            decoded.rejected()
        ),
        (2, 1, 0)
    );
}

#[test]
fn the_event_name_may_be_an_attribute() {
    let mut old = record(flow::EVENT_END, 0);
    old.event_name = String::new();
    old.attributes.push(text("event.name", flow::EVENT_NAME));
    assert_eq!(decoded(vec![old]).batch.records.len(), 1);
}

#[test]
fn more_records_than_the_limit_refuse_the_request() {
    let bytes = request(vec![LogRecord::default(); 1001]).encode_to_vec();
    let refused = decode(&bytes, NOW, LIMITS);
    assert_eq!(refused, Err(DecodeError::TooManyRecords { limit: 1000 }));
}

#[test]
fn the_resource_may_stand_behind_its_records_and_in_pieces() {
    let mut message = request(vec![record(flow::EVENT_END, 0)]);
    let resource = message.resource_logs[0].resource.take().unwrap();
    let mut bytes = message.resource_logs[0].encode_to_vec();
    for attribute in resource.attributes {
        let piece = ResourceLogs {
            resource: Some(Resource {
                attributes: vec![attribute],
                ..Resource::default()
            }),
            ..ResourceLogs::default()
        };
        bytes.extend(piece.encode_to_vec());
    }
    let mut whole = vec![0x0a];
    prost::encoding::encode_varint(bytes.len() as u64, &mut whole);
    whole.extend(bytes);
    let decoded = decode(&whole, NOW, LIMITS).unwrap();
    let observation = decoded.batch.records[0].observation.as_ref().unwrap();
    assert_eq!(
        (&*observation.key.host, observation.host_name.as_deref()),
        ("id-3", Some("web-3"))
    );
}

#[test]
fn a_truncated_request_is_refused_or_costs_one_record() {
    let whole =
        request(vec![record(flow::EVENT_END, 0), record(flow::EVENT_END, 0)]).encode_to_vec();
    for length in 0..whole.len() {
        // Every prefix cuts through the outer message's length, so none but the empty one is a request.
        assert_eq!(
            decode(&whole[..length], NOW, LIMITS).is_ok(),
            length == 0,
            "{length} bytes"
        );
    }
}

#[test]
fn a_broken_record_inside_good_framing_costs_itself() {
    let log_records = vec![record(flow::EVENT_END, 0)];
    let scope = ScopeLogs {
        log_records,
        ..ScopeLogs::default()
    };
    let mut bytes = scope.encode_to_vec();
    bytes.extend([0x12, 0x03, 0x09, 0x01, 0x02]);
    bytes.extend(scope.encode_to_vec());
    let mut resource_logs = request(Vec::new()).resource_logs[0].encode_to_vec();
    resource_logs.push(0x12);
    prost::encoding::encode_varint(bytes.len() as u64, &mut resource_logs);
    resource_logs.extend(bytes);
    let mut whole = vec![0x0a];
    prost::encoding::encode_varint(resource_logs.len() as u64, &mut whole);
    whole.extend(resource_logs);
    let decoded = decode(&whole, NOW, LIMITS).unwrap();
    let expected = Rejection {
        fault: Fault::Malformed,
        field: "log record",
    };
    assert_eq!(
        decoded.rejections.keys().copied().collect::<Vec<_>>(),
        [expected]
    );
    assert_eq!(decoded.batch.records.len(), 2);
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        ".{0,20}".prop_map(Value::StringValue),
        any::<i64>().prop_map(Value::IntValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<f64>().prop_map(Value::DoubleValue),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(Value::BytesValue),
        Just(Value::ArrayValue(ArrayValue {
            values: vec![AnyValue {
                value: Some(Value::IntValue(1))
            }]
        })),
    ]
}

/// A good record with some attributes changed, doubled or gone.
fn any_record() -> impl Strategy<Value = LogRecord> {
    let change = (
        0..fields().count(),
        prop::option::of(any_value()),
        any::<bool>(),
    );
    (prop::collection::vec(change, 0..4), 0_i64..3, 0..3_usize).prop_map(
        |(changes, number, event)| {
            let events = [flow::EVENT_START, flow::EVENT_UPDATE, flow::EVENT_END];
            let mut record = record(events[event], number);
            for (field, value, keep) in changes {
                let key = fields().nth(field).unwrap().name;
                match value {
                    Some(value) if keep => record.attributes.push(attribute(key, value)),
                    value => record = with(record, key, value),
                }
            }
            record
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(decoded) = decode(&bytes, NOW, LIMITS) {
            prop_assert!(decoded.batch.records.len() <= LIMITS.records);
        }
    }

    #[test]
    fn one_changed_byte_makes_no_panic(position: prop::sample::Index, byte: u8) {
        let mut bytes = request(vec![record(flow::EVENT_END, 0); 3]).encode_to_vec();
        let position = position.index(bytes.len());
        bytes[position] = byte;
        if let Ok(decoded) = decode(&bytes, NOW, LIMITS) {
            prop_assert!(decoded.batch.records.len() <= 3);
        }
    }

    #[test]
    fn every_record_is_counted_once_and_good_neighbours_survive(
        records in prop::collection::vec(any_record(), 0..20)
    ) {
        let mut interleaved = Vec::new();
        for bad in &records {
            interleaved.push(bad.clone());
            interleaved.push(record(flow::EVENT_END, 0));
        }
        let decoded = decoded(interleaved);
        let good = decoded.batch.records.iter().filter(|record| record.observation.is_some()).count();
        prop_assert_eq!(good as u64 + decoded.rejected() + decoded.foreign, 2 * records.len() as u64);
        prop_assert!(good >= records.len());
    }

    #[test]
    fn what_is_accepted_says_what_the_record_says(changed in any_record()) {
        let decoded = decoded(vec![changed.clone()]);
        let accepted = decoded.batch.records.first().and_then(|record| record.observation.as_ref());
        if let Some(observation) = accepted {
            let last = |key: &str| changed.attributes.iter().rev().find(|it| it.key == key)
                .and_then(|it| it.value.clone()?.value);
            prop_assert_eq!(last(flow::SOURCE_ADDRESS),
                Some(Value::StringValue(observation.key.source.to_string())));
            prop_assert_eq!(last(flow::DESTINATION_PORT),
                Some(Value::IntValue(i64::from(observation.key.destination_port))));
            let own = last(flow::OWN) == Some(Value::BoolValue(true));
            prop_assert_eq!(observation.own, own);
        }
    }
}
