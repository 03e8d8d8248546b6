//! Flow events and heartbeats become OTLP log records.
//!
//! One resource per host and run; attribute names come from [`beaconwatch_schema::flow`] and
//! [`beaconwatch_schema::heartbeat`]. A flow record says
//! `source` for the end that initiated and `destination` for the end that answered, whichever is local.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use beaconwatch_packets::End;
use beaconwatch_packets::community::community_id;
use beaconwatch_records::{
    CloseReason, CounterSet, FLAG_START_INFERRED, FLAG_TCP_TOTALS, FlowRecord, Protocol, Role,
};
use beaconwatch_schema::{exporter_record, flow as names, heartbeat};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::SeverityNumber;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::request::RequestWriter;
use super::wire::{self, Attributes};
use crate::enrich::{Attribution, Handler};
use crate::flow::{FlowEvent, FlowEventKind, Moment};
use crate::names::FlowNames;

mod carried;
mod owner;

#[cfg(test)]
mod tests;

/// Numbers of the fields of `LogRecord` that are written here.
mod field {
    pub(super) const TIME: u8 = 1;
    pub(super) const SEVERITY_NUMBER: u8 = 2;
    pub(super) const SEVERITY_TEXT: u8 = 3;
    pub(super) const OBSERVED_TIME: u8 = 11;
    pub(super) const EVENT_NAME: u8 = 12;
}

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
        /// Who owns the local socket.
        owner: Arc<Attribution>,
        /// Who uses it, when the record names another process.
        handler: Option<Arc<Handler>>,
        /// Server, TLS, HTTP and DNS.
        names: Option<Arc<FlowNames>>,
        /// Traffic of Beaconwatch itself.
        own: bool,
        /// The interface on which a flow in transit is counted.
        interface: Option<Arc<str>>,
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
    /// Name of the host; empty when the settings leave it out.
    pub host_name: String,
    /// Cookie of the exporter's own network namespace; 0 when unknown.
    pub own_namespace: u64,
    /// Both clocks when the run began: process start times are converted by it, so that all records of
    /// one process carry the same.
    pub started: Moment,
}

impl Identity {
    /// Attributes of every resource.
    pub(super) fn resource(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let attributes = [
            (names::HOST_ID, self.host_id.as_str()),
            (names::HOST_NAME, &self.host_name),
            (names::SERVICE_NAME, "beaconwatch-exporter"),
            (names::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
            (names::SERVICE_INSTANCE_ID, &self.exporter_id),
        ];
        let known = |(_, value): &(_, &str)| !value.is_empty();
        attributes.into_iter().filter(known)
    }
}

/// Makes log records and requests of one run.
#[derive(Clone, Debug)]
pub struct LogEncoder {
    identity: Identity,
    sampling_ratio: Option<f64>,
    /// `ResourceLogs.resource`, as a field.
    resource: Vec<u8>,
    /// `ScopeLogs.scope`, as a field.
    scope: Vec<u8>,
}

impl LogEncoder {
    /// An encoder for one run.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        let attributes = identity.resource();
        let attributes = attributes.map(|(key, value)| resource_attribute(key, value));
        let resource = Resource {
            attributes: attributes.collect(),
            ..Resource::default()
        };
        let scope = InstrumentationScope {
            name: "beaconwatch-exporter".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        Self {
            identity,
            sampling_ratio: None,
            resource: first_field(&resource),
            scope: first_field(&scope),
        }
    }

    /// States in each flow record which part of all flows is reported, when it is not all of them.
    #[must_use]
    pub const fn with_sampling(mut self, ratio: Option<f64>) -> Self {
        self.sampling_ratio = ratio;
        self
    }

    /// Begins a request of at most `max_bytes`, with room for about `expected_records`.
    #[must_use]
    pub fn request(&self, expected_records: usize, max_bytes: usize) -> RequestWriter<'_> {
        RequestWriter::new(self, expected_records, max_bytes)
    }

    /// `ResourceLogs.resource`, as a field.
    pub(super) fn resource(&self) -> &[u8] {
        &self.resource
    }

    /// `ScopeLogs.scope`, as a field.
    pub(super) fn scope(&self) -> &[u8] {
        &self.scope
    }

    /// Writes the fields of one event's `LogRecord`.
    pub(super) fn write(
        &self,
        numbered: &NumberedEvent,
        bytes: &mut Vec<u8>,
        printed: &mut String,
    ) {
        let (event_name, time_unix_ns) = match &numbered.content {
            Content::Flow { event, .. } => (names::EVENT_NAME, event.time_unix_ns),
            Content::Heartbeat => (heartbeat::EVENT_NAME, numbered.observed_unix_ns),
        };
        wire::put_fixed64(bytes, field::TIME, time_unix_ns);
        wire::put_integer(bytes, field::SEVERITY_NUMBER, SeverityNumber::Info as u64);
        wire::put_bytes(bytes, field::SEVERITY_TEXT, b"INFO");
        let mut attributes = Attributes::new(bytes, printed);
        self.push_identity(&mut attributes, numbered.sequence);
        if let Content::Flow {
            event,
            owner,
            handler,
            names,
            own,
            interface,
        } = &numbered.content
        {
            push_state(&mut attributes, event, *own);
            if let Some(ratio) = self.sampling_ratio {
                attributes.double(names::SAMPLING_RATIO, ratio);
            }
            push_traffic(&mut attributes, event);
            self.push_endpoints(&mut attributes, &event.record);
            if let Some(interface) = interface {
                attributes.text(names::INTERFACE_NAME, interface);
            }
            if let Some(names) = names {
                carried::push(&mut attributes, names);
            }
            owner::push(
                &mut attributes,
                &event.record.owner,
                owner,
                &self.identity.started,
            );
            owner::push_handler(
                &mut attributes,
                &event.record,
                handler.as_deref(),
                &self.identity.started,
            );
        }
        wire::put_fixed64(bytes, field::OBSERVED_TIME, numbered.observed_unix_ns);
        wire::put_bytes(bytes, field::EVENT_NAME, event_name.as_bytes());
    }

    /// What every record has.
    fn push_identity(&self, attributes: &mut Attributes<'_>, sequence: u64) {
        attributes.text(exporter_record::EXPORTER_ID, &self.identity.exporter_id);
        attributes.unsigned(exporter_record::EXPORTER_SEQUENCE, sequence);
    }

    fn push_endpoints(&self, attributes: &mut Attributes<'_>, record: &FlowRecord) {
        let local = (address(record.local_address), record.local_port);
        let remote = (address(record.remote_address), record.remote_port);
        let (source, destination) = if is_client(record) {
            (local, remote)
        } else {
            (remote, local)
        };
        attributes.display(names::SOURCE_ADDRESS, source.0);
        attributes.unsigned(names::SOURCE_PORT, u64::from(source.1));
        attributes.display(names::DESTINATION_ADDRESS, destination.0);
        attributes.unsigned(names::DESTINATION_PORT, u64::from(destination.1));
        attributes.text(names::TRANSPORT, transport(record));
        attributes.text(names::NETWORK_TYPE, network_type(record));
        let end = |(address, port)| End { address, port };
        let community = community_id(0, record.protocol, end(source), end(destination));
        attributes.text(names::COMMUNITY_ID, community.as_str());
        if record.netns_cookie != 0 {
            if record.netns_cookie == self.identity.own_namespace {
                attributes.text(names::NETWORK_NAMESPACE, "host");
            } else {
                attributes.display(names::NETWORK_NAMESPACE, record.netns_cookie);
            }
        }
    }
}

fn push_state(attributes: &mut Attributes<'_>, event: &FlowEvent, own: bool) {
    let record = &event.record;
    attributes.display(names::FLOW_ID, event.id);
    attributes.text(names::EVENT, event_name(event.kind));
    attributes.unsigned(names::RECORD_NUMBER, u64::from(event.number));
    attributes.text(names::ROLE, role(record));
    if own {
        attributes.boolean(names::OWN, true);
    }
    attributes.unsigned(names::START_TIME, event.start_unix_ns);
    if record.flags & FLAG_START_INFERRED != 0 {
        attributes.boolean(names::START_INFERRED, true);
    }
    attributes.boolean(names::ESTABLISHED, record.established != 0);
    if event.kind == FlowEventKind::End {
        attributes.unsigned(names::END_TIME, event.time_unix_ns);
        if let Some(reason) = close_reason(record.close_reason) {
            attributes.text(names::CLOSE_REASON, reason);
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

fn push_traffic(attributes: &mut Attributes<'_>, event: &FlowEvent) {
    let record = &event.record;
    let client = is_client(record);
    let (source, destination) = directions(record.counters, client);
    let (source_delta, destination_delta) = directions(event.delta, client);
    attributes.unsigned(names::SOURCE_BYTES, source.bytes);
    attributes.unsigned(names::SOURCE_BYTES_DELTA, source_delta.bytes);
    attributes.unsigned(names::SOURCE_PACKETS, source.packets);
    attributes.unsigned(names::SOURCE_PACKETS_DELTA, source_delta.packets);
    attributes.unsigned(names::DESTINATION_BYTES, destination.bytes);
    attributes.unsigned(names::DESTINATION_BYTES_DELTA, destination_delta.bytes);
    attributes.unsigned(names::DESTINATION_PACKETS, destination.packets);
    attributes.unsigned(names::DESTINATION_PACKETS_DELTA, destination_delta.packets);
    if let FlowEventKind::Activity { exchanged } = event.kind {
        let (source, destination) = directions(exchanged, client);
        attributes.unsigned(names::ACTIVITY_SOURCE_BYTES, source.bytes);
        attributes.unsigned(names::ACTIVITY_DESTINATION_BYTES, destination.bytes);
    }
    if record.flags & FLAG_TCP_TOTALS != 0 {
        let (source, destination) = if client {
            (record.payload_sent, record.payload_received)
        } else {
            (record.payload_received, record.payload_sent)
        };
        attributes.unsigned(names::SOURCE_PAYLOAD_BYTES, source);
        attributes.unsigned(names::DESTINATION_PAYLOAD_BYTES, destination);
        attributes.unsigned(names::RETRANSMITS, u64::from(record.retransmits));
    }
    if record.smoothed_rtt_us != 0 {
        attributes.unsigned(names::SMOOTHED_RTT, u64::from(record.smoothed_rtt_us));
    }
}

/// Whether the local end initiated; of a flow in transit, the end that did is called local.
#[must_use]
pub fn is_client(record: &FlowRecord) -> bool {
    record.role != Role::Server as u8
}

/// Value of [`names::ROLE`].
#[must_use]
pub fn role(record: &FlowRecord) -> &'static str {
    if record.role == Role::Transit as u8 {
        names::ROLE_TRANSIT
    } else if is_client(record) {
        names::ROLE_CLIENT
    } else {
        names::ROLE_SERVER
    }
}

/// `tcp`, `udp` or `icmp`, which is `ICMPv6` between addresses of IPv6.
#[must_use]
pub fn transport(record: &FlowRecord) -> &'static str {
    if record.protocol == Protocol::Tcp as u8 {
        "tcp"
    } else if record.protocol == Protocol::Udp as u8 {
        "udp"
    } else {
        "icmp"
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
        FlowEventKind::Activity { .. } => names::EVENT_ACTIVITY,
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

/// An instant that displays itself by RFC 3339, in UTC; `None` beyond year 9999.
fn rfc3339(unix_ns: u64) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_nanosecond(i128::from(unix_ns)).ok()
}

/// An attribute of the resource.
fn resource_attribute(key: &'static str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

/// Field 1, as both the resource and the scope are of what they stand in.
fn first_field(message: &impl Message) -> Vec<u8> {
    let mut field = Vec::new();
    wire::put_bytes(&mut field, 1, &message.encode_to_vec());
    field
}
