//! Flow records as the exporter sends them: 30 attributes each, over any number of series.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use beaconwatch_schema::flow;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;

/// Connections of a number of series that take turns.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Number of series; the record of number n belongs to series n modulo this.
    pub series: u64,
    /// When the first connection of the first series begins (nanoseconds since 1970).
    pub first_start: u64,
    /// Time between two connections of a series.
    pub interval: Duration,
}

impl Load {
    /// A request with the records of these sequence numbers.
    #[must_use]
    pub fn request(&self, sequences: Range<u64>) -> ExportLogsServiceRequest {
        let interval = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX);
        let records = sequences.map(|sequence| {
            let series = sequence % self.series;
            let shift = interval / self.series * series;
            let start = self.first_start + sequence / self.series * interval + shift;
            record(sequence, series, start)
        });
        ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: Some(Resource {
                    attributes: vec![
                        text(flow::HOST_ID, "8f14e45fceea167a5a36dedd4bea2543".to_owned()),
                        text(flow::HOST_NAME, "web-3".to_owned()),
                    ],
                    ..Resource::default()
                }),
                scope_logs: vec![ScopeLogs {
                    log_records: records.collect(),
                    ..ScopeLogs::default()
                }],
                ..ResourceLogs::default()
            }],
        }
    }
}

/// Nanoseconds since 1970.
#[must_use]
pub fn now_nanos() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

/// One source for every 62,500 series, which have a destination each.
fn source(series: u64) -> String {
    format!("192.0.2.{}", series / 62_500 % 250 + 1)
}

fn text(key: &str, value: String) -> KeyValue {
    attribute(key, Value::StringValue(value))
}

fn number(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(value.cast_signed()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn record(sequence: u64, series: u64, start: u64) -> LogRecord {
    LogRecord {
        time_unix_nano: start + 100_000_000,
        observed_time_unix_nano: start + 200_000_000,
        event_name: flow::EVENT_NAME.to_owned(),
        attributes: vec![
            text(
                flow::EXPORTER_ID,
                "0f8e4a2f6d3b4c1e9a5d7c0b1a2f3e4d".to_owned(),
            ),
            number(flow::EXPORTER_SEQUENCE, sequence),
            text(
                flow::FLOW_ID,
                format!("{:032x}", u128::from(sequence) << 64 | 0x5b0c),
            ),
            text(flow::EVENT, flow::EVENT_END.to_owned()),
            number(flow::RECORD_NUMBER, 0),
            text(flow::ROLE, flow::ROLE_CLIENT.to_owned()),
            number(flow::START_TIME, start),
            number(flow::END_TIME, start + 100_000_000),
            attribute(flow::ESTABLISHED, Value::BoolValue(true)),
            number(flow::SOURCE_BYTES, 1034),
            number(flow::SOURCE_BYTES_DELTA, 1034),
            number(flow::SOURCE_PACKETS, 7),
            number(flow::SOURCE_PACKETS_DELTA, 7),
            number(flow::DESTINATION_BYTES, 8120),
            number(flow::DESTINATION_BYTES_DELTA, 8120),
            number(flow::DESTINATION_PACKETS, 9),
            number(flow::DESTINATION_PACKETS_DELTA, 9),
            text(flow::NETWORK_NAMESPACE, "host".to_owned()),
            text(flow::SOURCE_ADDRESS, source(series)),
            number(flow::SOURCE_PORT, 32_768 + sequence % 28_000),
            text(
                flow::DESTINATION_ADDRESS,
                format!("198.51.{}.{}", series / 250 % 250, series % 250 + 1),
            ),
            number(flow::DESTINATION_PORT, 443),
            text(flow::TRANSPORT, "tcp".to_owned()),
            text(flow::NETWORK_TYPE, "ipv4".to_owned()),
            text(
                flow::COMMUNITY_ID,
                "1:LQU9qZlK+B5F3KDmev6m5PMibrg=".to_owned(),
            ),
            number(flow::PROCESS_PID, 4711 + series % 20),
            text(flow::PROCESS_EXECUTABLE_NAME, "curl".to_owned()),
            text(flow::PROCESS_EXECUTABLE_PATH, "/usr/bin/curl".to_owned()),
            text(
                flow::PROCESS_CREATION_TIME,
                "2025-11-22T08:26:30.123456789Z".to_owned(),
            ),
            number(flow::PROCESS_REAL_USER_ID, 1000),
        ],
        ..LogRecord::default()
    }
}
