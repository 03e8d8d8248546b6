//! Flow events and heartbeats become OTLP log records.
//!
//! One resource per host and run; attribute names come from [`beaconwatch_schema::flow`] and
//! [`beaconwatch_schema::heartbeat`]. A flow record says
//! `source` for the end that initiated and `destination` for the end that answered, whichever is local.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use beaconwatch_records::{
    CloseReason, CounterSet, FLAG_START_INFERRED, FLAG_TCP_TOTALS, FlowRecord, Owner, Protocol,
    Role,
};
use beaconwatch_schema::{exporter_record, flow as names, heartbeat};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::flow::{FlowEvent, FlowEventKind, Moment};

#[cfg(test)]
mod tests;

/// An event on its way out.
#[derive(Clone, Debug)]
pub struct NumberedEvent {
    /// Number among all events that this run of the exporter made.
    pub sequence: u64,
    /// When the event was made, nanoseconds since the Unix epoch.
    pub observed_unix_ns: u64,
    /// What it says.
    pub content: Content,
}

/// What an event says.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every event is of a flow: a box would cost each of them an allocation"
)]
pub enum Content {
    /// Something of a flow, with what user space added.
    Flow {
        /// The event.
        event: FlowEvent,
        /// Path of the process's executable.
        executable: Option<Arc<str>>,
        /// Traffic of Beaconwatch itself.
        own: bool,
    },
    /// The exporter lives and had nothing else to say.
    Heartbeat,
}

/// Who exports: goes into every resource and record.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Identity of this run: 32 hexadecimal digits.
    pub exporter_id: String,
    /// Machine id of the host.
    pub host_id: String,
    /// Name of the host.
    pub host_name: String,
    /// Cookie of the exporter's own network namespace; 0 when unknown.
    pub own_namespace: u64,
    /// Both clocks when the run began: process start times are converted by it, so that all records of
    /// one process carry the same.
    pub started: Moment,
}

/// Makes log records and requests.
#[derive(Clone, Debug)]
pub struct LogEncoder {
    identity: Identity,
    resource: Resource,
    scope: InstrumentationScope,
}

impl LogEncoder {
    /// An encoder for one run.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        let resource = Resource {
            attributes: vec![
                text(names::HOST_ID, &identity.host_id),
                text(names::HOST_NAME, &identity.host_name),
                text(names::SERVICE_NAME, "beaconwatch-exporter"),
                text(names::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
                text(names::SERVICE_INSTANCE_ID, &identity.exporter_id),
            ],
            ..Resource::default()
        };
        let scope = InstrumentationScope {
            name: "beaconwatch-exporter".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        Self {
            identity,
            resource,
            scope,
        }
    }

    /// One request that carries the records.
    #[must_use]
    pub fn request(&self, log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
        let scope_logs = ScopeLogs {
            scope: Some(self.scope.clone()),
            log_records,
            schema_url: String::new(),
        };
        ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: Some(self.resource.clone()),
                scope_logs: vec![scope_logs],
                schema_url: String::new(),
            }],
        }
    }

    /// The log record of one event.
    #[must_use]
    pub fn record(&self, numbered: &NumberedEvent) -> LogRecord {
        let mut attributes = Vec::with_capacity(40);
        self.push_identity(&mut attributes, numbered.sequence);
        let (event_name, time_unix_nano) = match &numbered.content {
            Content::Flow {
                event,
                executable,
                own,
            } => {
                push_state(&mut attributes, event, *own);
                push_traffic(&mut attributes, event);
                self.push_endpoints(&mut attributes, &event.record);
                self.push_process(&mut attributes, &event.record.owner, executable.as_deref());
                (names::EVENT_NAME, event.time_unix_ns)
            }
            Content::Heartbeat => (heartbeat::EVENT_NAME, numbered.observed_unix_ns),
        };
        LogRecord {
            time_unix_nano,
            observed_time_unix_nano: numbered.observed_unix_ns,
            severity_number: SeverityNumber::Info as i32,
            severity_text: "INFO".to_owned(),
            event_name: event_name.to_owned(),
            attributes,
            ..LogRecord::default()
        }
    }

    /// What every record has.
    fn push_identity(&self, attributes: &mut Vec<KeyValue>, sequence: u64) {
        attributes.push(text(
            exporter_record::EXPORTER_ID,
            &self.identity.exporter_id,
        ));
        attributes.push(unsigned(exporter_record::EXPORTER_SEQUENCE, sequence));
    }

    fn push_endpoints(&self, attributes: &mut Vec<KeyValue>, record: &FlowRecord) {
        let local = (address(record.local_address), record.local_port);
        let remote = (address(record.remote_address), record.remote_port);
        let (source, destination) = if is_client(record) {
            (local, remote)
        } else {
            (remote, local)
        };
        attributes.push(string(names::SOURCE_ADDRESS, source.0.to_string()));
        attributes.push(unsigned(names::SOURCE_PORT, u64::from(source.1)));
        attributes.push(string(
            names::DESTINATION_ADDRESS,
            destination.0.to_string(),
        ));
        attributes.push(unsigned(names::DESTINATION_PORT, u64::from(destination.1)));
        attributes.push(text(names::TRANSPORT, transport(record)));
        attributes.push(text(names::NETWORK_TYPE, network_type(record)));
        if record.netns_cookie != 0 {
            let namespace = if record.netns_cookie == self.identity.own_namespace {
                "host".to_owned()
            } else {
                record.netns_cookie.to_string()
            };
            attributes.push(string(names::NETWORK_NAMESPACE, namespace));
        }
    }

    fn push_process(
        &self,
        attributes: &mut Vec<KeyValue>,
        owner: &Owner,
        executable: Option<&str>,
    ) {
        if owner.cgroup_id != 0 {
            attributes.push(unsigned(names::CGROUP_ID, owner.cgroup_id));
        }
        if owner.pid == 0 {
            return;
        }
        attributes.push(unsigned(names::PROCESS_PID, u64::from(owner.pid)));
        attributes.push(unsigned(names::PROCESS_REAL_USER_ID, u64::from(owner.uid)));
        let name = owner
            .comm
            .split(|&byte| byte == 0)
            .next()
            .unwrap_or_default();
        if !name.is_empty() {
            let name = String::from_utf8_lossy(name).into_owned();
            attributes.push(string(names::PROCESS_EXECUTABLE_NAME, name));
        }
        if let Some(path) = executable {
            attributes.push(text(names::PROCESS_EXECUTABLE_PATH, path));
        }
        if owner.process_start_ns != 0
            && let Some(time) = rfc3339(self.identity.started.unix_of(owner.process_start_ns))
        {
            attributes.push(string(names::PROCESS_CREATION_TIME, time));
        }
    }
}

fn push_state(attributes: &mut Vec<KeyValue>, event: &FlowEvent, own: bool) {
    let record = &event.record;
    attributes.push(string(names::FLOW_ID, event.id.to_string()));
    attributes.push(text(names::EVENT, event_name(event.kind)));
    attributes.push(unsigned(names::RECORD_NUMBER, u64::from(event.number)));
    let role = if is_client(record) {
        names::ROLE_CLIENT
    } else {
        names::ROLE_SERVER
    };
    attributes.push(text(names::ROLE, role));
    if own {
        attributes.push(boolean(names::OWN, true));
    }
    attributes.push(unsigned(names::START_TIME, event.start_unix_ns));
    if record.flags & FLAG_START_INFERRED != 0 {
        attributes.push(boolean(names::START_INFERRED, true));
    }
    attributes.push(boolean(names::ESTABLISHED, record.established != 0));
    if event.kind == FlowEventKind::End {
        attributes.push(unsigned(names::END_TIME, event.time_unix_ns));
        if let Some(reason) = close_reason(record.close_reason) {
            attributes.push(text(names::CLOSE_REASON, reason));
        }
    }
}

/// Counters of one direction.
struct Direction {
    bytes: u64,
    packets: u64,
}

fn directions(counters: CounterSet, client: bool) -> (Direction, Direction) {
    let sent = Direction {
        bytes: counters.bytes_sent,
        packets: counters.packets_sent,
    };
    let received = Direction {
        bytes: counters.bytes_received,
        packets: counters.packets_received,
    };
    if client {
        (sent, received)
    } else {
        (received, sent)
    }
}

fn push_traffic(attributes: &mut Vec<KeyValue>, event: &FlowEvent) {
    let record = &event.record;
    let client = is_client(record);
    let (source, destination) = directions(record.counters, client);
    let (source_delta, destination_delta) = directions(event.delta, client);
    attributes.push(unsigned(names::SOURCE_BYTES, source.bytes));
    attributes.push(unsigned(names::SOURCE_BYTES_DELTA, source_delta.bytes));
    attributes.push(unsigned(names::SOURCE_PACKETS, source.packets));
    attributes.push(unsigned(names::SOURCE_PACKETS_DELTA, source_delta.packets));
    attributes.push(unsigned(names::DESTINATION_BYTES, destination.bytes));
    attributes.push(unsigned(
        names::DESTINATION_BYTES_DELTA,
        destination_delta.bytes,
    ));
    attributes.push(unsigned(names::DESTINATION_PACKETS, destination.packets));
    attributes.push(unsigned(
        names::DESTINATION_PACKETS_DELTA,
        destination_delta.packets,
    ));
    if record.flags & FLAG_TCP_TOTALS != 0 {
        let (source, destination) = if client {
            (record.payload_sent, record.payload_received)
        } else {
            (record.payload_received, record.payload_sent)
        };
        attributes.push(unsigned(names::SOURCE_PAYLOAD_BYTES, source));
        attributes.push(unsigned(names::DESTINATION_PAYLOAD_BYTES, destination));
        attributes.push(unsigned(names::RETRANSMITS, u64::from(record.retransmits)));
    }
    if record.smoothed_rtt_us != 0 {
        attributes.push(unsigned(
            names::SMOOTHED_RTT,
            u64::from(record.smoothed_rtt_us),
        ));
    }
}

/// Whether the local end initiated.
#[must_use]
pub fn is_client(record: &FlowRecord) -> bool {
    record.role == Role::Client as u8
}

/// `tcp` or `udp`.
#[must_use]
pub fn transport(record: &FlowRecord) -> &'static str {
    if record.protocol == Protocol::Tcp as u8 {
        "tcp"
    } else {
        "udp"
    }
}

/// `ipv4` or `ipv6`.
#[must_use]
pub fn network_type(record: &FlowRecord) -> &'static str {
    match address(record.remote_address) {
        IpAddr::V4(_) => "ipv4",
        IpAddr::V6(_) => "ipv6",
    }
}

/// The address that 16 bytes stand for: IPv4 when they are IPv4-mapped.
fn address(bytes: [u8; 16]) -> IpAddr {
    let address = Ipv6Addr::from(bytes);
    address
        .to_ipv4_mapped()
        .map_or(IpAddr::V6(address), IpAddr::V4)
}

const fn event_name(kind: FlowEventKind) -> &'static str {
    match kind {
        FlowEventKind::Start => names::EVENT_START,
        FlowEventKind::Update => names::EVENT_UPDATE,
        FlowEventKind::End => names::EVENT_END,
    }
}

fn close_reason(value: u8) -> Option<&'static str> {
    [
        (CloseReason::FinLocal, "fin_local"),
        (CloseReason::FinRemote, "fin_remote"),
        (CloseReason::Reset, "reset"),
        (CloseReason::Refused, "refused"),
        (CloseReason::NoReply, "no_reply"),
        (CloseReason::Idle, "idle"),
        (CloseReason::SocketClosed, "socket_closed"),
    ]
    .into_iter()
    .find_map(|(reason, name)| (reason as u8 == value).then_some(name))
}

/// RFC 3339 in UTC; `None` beyond year 9999.
fn rfc3339(unix_ns: u64) -> Option<String> {
    jiff::Timestamp::from_nanosecond(i128::from(unix_ns))
        .ok()
        .map(|time| time.to_string())
}

fn attribute(key: &'static str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(key: &'static str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn string(key: &'static str, value: String) -> KeyValue {
    attribute(key, Value::StringValue(value))
}

/// OTLP has signed integers only; what does not fit is written as the largest.
fn unsigned(key: &'static str, value: u64) -> KeyValue {
    attribute(
        key,
        Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)),
    )
}

fn boolean(key: &'static str, value: bool) -> KeyValue {
    attribute(key, Value::BoolValue(value))
}
