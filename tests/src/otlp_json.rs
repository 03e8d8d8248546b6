//! OTLP requests in JSON that no exporter made: flow records as the field reference describes them.

use serde_json::{Value, json};

const SECOND_NS: u64 = 1_000_000_000;

/// One whole connection to port 443.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// Identity of the exporter.
    pub exporter: &'a str,
    /// Number of the record among all of its exporter.
    pub sequence: u64,
    /// Where it comes from.
    pub source: &'a str,
    /// Where it goes to.
    pub destination: &'a str,
    /// Name of its process.
    pub process: &'a str,
    /// When it began.
    pub start_ns: u64,
}

impl Connection<'_> {
    /// Its log record.
    #[must_use]
    pub fn record(&self) -> Value {
        let end_ns = self.start_ns + SECOND_NS / 10;
        let flow = format!("{:016x}{:016x}", self.start_ns, self.sequence);
        let texts = [
            ("beaconwatch.exporter.id", self.exporter),
            ("beaconwatch.flow.id", &flow),
            ("beaconwatch.flow.event", "end"),
            ("beaconwatch.flow.role", "client"),
            ("source.address", self.source),
            ("destination.address", self.destination),
            ("network.transport", "tcp"),
            ("network.type", "ipv4"),
            ("process.executable.name", self.process),
        ];
        let numbers = [
            ("beaconwatch.exporter.sequence", self.sequence),
            ("beaconwatch.flow.record", 0),
            ("beaconwatch.flow.start", self.start_ns),
            ("beaconwatch.flow.end", end_ns),
            ("beaconwatch.flow.source.bytes", 500),
            ("beaconwatch.flow.source.bytes_delta", 500),
            ("beaconwatch.flow.source.packets", 5),
            ("beaconwatch.flow.source.packets_delta", 5),
            ("beaconwatch.flow.destination.bytes", 1500),
            ("beaconwatch.flow.destination.bytes_delta", 1500),
            ("beaconwatch.flow.destination.packets", 4),
            ("beaconwatch.flow.destination.packets_delta", 4),
            ("source.port", 40_000 + self.sequence % 20_000),
            ("destination.port", 443),
            ("process.pid", 4711),
        ];
        let mut attributes =
            vec![json!({"key": "beaconwatch.flow.established", "value": {"boolValue": true}})];
        attributes.extend(texts.map(|(key, value)| text(key, value)));
        attributes.extend(
            numbers.map(
                |(key, number)| json!({"key": key, "value": {"intValue": number.to_string()}}),
            ),
        );
        json!({"timeUnixNano": end_ns.to_string(), "eventName": "beaconwatch.network.flow", "attributes": attributes})
    }
}

/// A request with records of one host.
#[must_use]
pub fn request(host_id: &str, host_name: &str, records: &[Value]) -> Value {
    let resource = [text("host.id", host_id), text("host.name", host_name)];
    json!({"resourceLogs": [{"resource": {"attributes": resource}, "scopeLogs": [{"logRecords": records}]}]})
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}
