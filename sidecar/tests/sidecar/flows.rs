//! Flow records as an exporter makes them, from the names of the field model.

use beaconwatch_schema::{flow, heartbeat};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;

pub(crate) const SECOND: i64 = 1_000_000_000;
/// 2025-11-22T08:00:00Z.
pub(crate) const START: i64 = 1_763_798_400 * SECOND;

pub(crate) fn attribute(key: &str, value: Value) -> KeyValue {
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

/// One whole flow of a client at `start`, in one record.
pub(crate) fn whole_flow(
    exporter: &str,
    sequence: u64,
    destination: &str,
    start: i64,
) -> LogRecord {
    let end = start.saturating_add(SECOND / 10);
    let mut record = LogRecord {
        time_unix_nano: u64::try_from(end).unwrap_or(0),
        event_name: flow::EVENT_NAME.to_owned(),
        attributes: vec![
            text(flow::EXPORTER_ID, exporter),
            number(flow::EXPORTER_SEQUENCE, i64::try_from(sequence).unwrap()),
            text(flow::FLOW_ID, &format!("{sequence:032x}")),
            text(flow::EVENT, flow::EVENT_END),
            number(flow::RECORD_NUMBER, 0),
            text(flow::ROLE, flow::ROLE_CLIENT),
            number(flow::START_TIME, start),
            number(flow::END_TIME, end),
            attribute(flow::ESTABLISHED, Value::BoolValue(true)),
            number(flow::SOURCE_BYTES, 500),
            number(flow::SOURCE_BYTES_DELTA, 500),
            number(flow::SOURCE_PACKETS, 5),
            number(flow::SOURCE_PACKETS_DELTA, 5),
            number(flow::DESTINATION_BYTES, 1500),
            number(flow::DESTINATION_BYTES_DELTA, 1500),
            number(flow::DESTINATION_PACKETS, 4),
            number(flow::DESTINATION_PACKETS_DELTA, 4),
        ],
        ..LogRecord::default()
    };
    record.attributes.extend(ends(sequence, destination));
    record.attributes.extend(process());
    record
}

/// What an idle exporter sends.
pub(crate) fn heartbeat(exporter: &str, sequence: u64) -> LogRecord {
    LogRecord {
        time_unix_nano: u64::try_from(START).unwrap(),
        event_name: heartbeat::EVENT_NAME.to_owned(),
        attributes: vec![
            text(flow::EXPORTER_ID, exporter),
            number(flow::EXPORTER_SEQUENCE, i64::try_from(sequence).unwrap()),
        ],
        ..LogRecord::default()
    }
}

fn ends(sequence: u64, destination: &str) -> [KeyValue; 7] {
    [
        text(flow::NETWORK_NAMESPACE, "host"),
        text(flow::SOURCE_ADDRESS, "192.0.2.10"),
        number(
            flow::SOURCE_PORT,
            40_000 + i64::try_from(sequence % 20_000).unwrap(),
        ),
        text(flow::DESTINATION_ADDRESS, destination),
        number(flow::DESTINATION_PORT, 443),
        text(flow::TRANSPORT, "tcp"),
        text(flow::NETWORK_TYPE, "ipv4"),
    ]
}

fn process() -> [KeyValue; 5] {
    [
        number(flow::PROCESS_PID, 4711),
        text(flow::PROCESS_EXECUTABLE_NAME, "implant"),
        text(flow::PROCESS_EXECUTABLE_PATH, "/tmp/implant"),
        text(flow::PROCESS_CREATION_TIME, "2025-11-22T07:59:00.5Z"),
        number(flow::PROCESS_REAL_USER_ID, 1000),
    ]
}

/// Replaces an attribute; without a value takes it away.
pub(crate) fn with(mut record: LogRecord, key: &str, value: Option<Value>) -> LogRecord {
    record.attributes.retain(|attribute| attribute.key != key);
    record
        .attributes
        .extend(value.map(|value| attribute(key, value)));
    record
}

/// A request of one host.
pub(crate) fn request(records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let resource = Resource {
        attributes: vec![
            text(flow::HOST_ID, "8f14e45fceea167a5a36dedd4bea2543"),
            text(flow::HOST_NAME, "web-3"),
            text(flow::SERVICE_NAME, "beaconwatch-exporter"),
        ],
        ..Resource::default()
    };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource),
            scope_logs: vec![ScopeLogs {
                log_records: records,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}

/// A beacon: `count` flows to one place, `period_s` apart.
pub(crate) fn beacon(
    exporter: &str,
    first_sequence: u64,
    destination: &str,
    start: i64,
    period_s: i64,
    count: u64,
) -> Vec<LogRecord> {
    (0..count)
        .map(|index| {
            let time = start + i64::try_from(index).unwrap() * period_s * SECOND;
            whole_flow(exporter, first_sequence + index, destination, time)
        })
        .collect()
}
