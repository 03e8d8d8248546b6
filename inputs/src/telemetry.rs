//! Batches of packets that another sensor posts as JSON: packets in, observations out.
//!
//! # Format
//! `{batch_id, node_id, created_at, event_count, events: [...], data_plane_stats?}`. An event is one packet:
//! `timestamp_utc` (RFC 3339; without an offset UTC) or else `timestamp_ns` (since 1970), `src_ip`, `dst_ip`,
//! `src_port`, `dst_port`, `protocol` (number or name), `packet_size`, `tcp_flags` (number). Other fields are
//! passed over.
//!
//! # Contract
//! - [`decode`] is pure. An event that cannot be used is counted by field and kept in the first
//!   [`Batch::problems`]; its neighbours are used. What is no such object at all, or has more events than the
//!   limit, is refused whole.
//! - [`Connections`] joins the packets of each node to connections by the rules that captures are read by, over the ends of
//!   batches. A connection is observed when it opens, at most once a second while it is active after silence, and when it ends. Bytes are
//!   the packets' sizes with their headers, because batches tell no other.
//! - A batch whose id was seen among the last [`BATCH_IDS_MAX`] of its node gives nothing: a sender that got
//!   no answer may send it again.
//! - The state is held in memory: after a restart a connection that lives on counts as a new one.

use std::collections::{HashMap, HashSet, VecDeque};

use beaconwatch_detector::{Observation, Phase, Timestamp, Transport};
use beaconwatch_packets::table::{Connection, Moment, Table};
use beaconwatch_packets::{End, Packet, Segment};
use serde::Deserializer;
use serde::de::{Deserialize, Error as _, IgnoredAny, MapAccess, Visitor};
use std::fmt;

use crate::connections::{record as record_of, transport_of_packet};
use crate::json::Rows;
use crate::observation::Observations;
use crate::record::{Dialect, Record, packet_of_telemetry};

/// Batch ids of one node that are remembered.
pub const BATCH_IDS_MAX: usize = 1024;
/// Problems that a batch keeps word for word.
const PROBLEMS_MAX: usize = 10;
/// Longest identity of a batch or a node.
const ID_BYTES_MAX: usize = 256;

/// Why a batch was refused whole.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not such an object.
    #[error("not a telemetry batch: {0}")]
    Json(#[from] serde_json::Error),
    /// An identity is missing, empty or too long.
    #[error("{field} must be text of 1 to 256 bytes")]
    Identity {
        /// Which one.
        field: &'static str,
    },
}

/// What the sender says of its own losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub struct DataPlaneStats {
    /// Events that its kernel part dropped.
    pub events_dropped_ebpf: u64,
    /// Events that had no room in its buffers.
    pub events_dropped_overflow: u64,
}

/// One packet of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    pub(crate) time: Timestamp,
    pub(crate) sender: End,
    pub(crate) receiver: End,
    pub(crate) transport: Transport,
    pub(crate) tcp: Option<Segment>,
    pub(crate) bytes: u64,
}

/// A batch as it was sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Its identity.
    pub batch_id: String,
    /// The sensor.
    pub node_id: String,
    /// When it was made, as the sender wrote it.
    pub created_at: Option<String>,
    /// Events in the batch, usable or not.
    pub events_received: u64,
    /// Events that say what is needed.
    pub events: Vec<Event>,
    /// Events that could not be used.
    pub events_skipped: u64,
    /// The first of them in words.
    pub problems: Vec<String>,
    /// The sender's own losses, when it tells them.
    pub data_plane_stats: Option<DataPlaneStats>,
}

/// Reads a batch of at most `events_max` events.
pub fn decode(body: &[u8], events_max: usize) -> Result<Batch, DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let batch = deserializer.deserialize_map(BatchVisitor { events_max })?;
    deserializer.end()?;
    for (field, id) in [("batch_id", &batch.batch_id), ("node_id", &batch.node_id)] {
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            return Err(DecodeError::Identity { field });
        }
    }
    Ok(batch)
}

struct BatchVisitor {
    events_max: usize,
}

impl<'de> Visitor<'de> for BatchVisitor {
    type Value = Batch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with batch_id, node_id and events")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Batch, A::Error> {
        let mut batch = Batch::default();
        let mut has_events = false;
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            match key.as_ref() {
                "batch_id" => batch.batch_id = map.next_value::<Id>()?.0,
                "node_id" => batch.node_id = map.next_value::<Id>()?.0,
                "created_at" => batch.created_at = map.next_value::<Option<Id>>()?.map(|it| it.0),
                "data_plane_stats" => batch.data_plane_stats = map.next_value()?,
                "events" => {
                    has_events = true;
                    map.next_value_seed(Rows {
                        dialect: Dialect::Telemetry,
                        take: |row| take_event(&mut batch, self.events_max, &row),
                    })?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if has_events {
            Ok(batch)
        } else {
            Err(A::Error::missing_field("events"))
        }
    }
}

fn take_event(
    batch: &mut Batch,
    events_max: usize,
    row: &crate::row::Row<'_>,
) -> Result<(), String> {
    if batch.events_received >= events_max as u64 {
        return Err(format!(
            "more than {events_max} events: send smaller batches"
        ));
    }
    let number = batch.events_received;
    batch.events_received += 1;
    match packet_of_telemetry(row) {
        Ok(event) => batch.events.push(event),
        Err(problem) => {
            batch.events_skipped += 1;
            if batch.problems.len() < PROBLEMS_MAX {
                let field = problem.field.unwrap_or_default();
                let (expected, got) = (problem.expected, problem.got);
                batch.problems.push(format!(
                    "events[{number}].{field}: expected {expected}, got {got}"
                ));
            }
        }
    }
    Ok(())
}

/// An identity: text, or a number that is written out.
struct Id(String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;
        impl Visitor<'_> for IdVisitor {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a whole number")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Id, E> {
                Ok(Id(text.to_owned()))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Id, E> {
                Ok(Id(number.to_string()))
            }
        }
        deserializer.deserialize_any(IdVisitor)
    }
}

/// How much [`Connections`] may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sensors; past that the one that was silent for longest is forgotten and its connections end.
    pub nodes_max: usize,
    /// Living connections of one sensor; past that the one looked at longest ago ends.
    pub connections_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            nodes_max: 256,
            connections_max: 65_536,
        }
    }
}

/// What a batch told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taken {
    /// Whether the batch had come before: then it tells nothing.
    pub repeated: bool,
    /// The observations, in order of the packets.
    pub observations: Vec<Observation>,
}

/// The living connections of all sensors: kept by the caller from batch to batch.
#[derive(Debug, Default)]
pub struct Connections {
    limits: Limits,
    nodes: HashMap<String, Node>,
    observations: Observations,
    /// Counts batches, to tell who was silent for longest.
    clock: u64,
    evicted: u64,
}

#[derive(Debug)]
struct Node {
    table: Table,
    seen: HashSet<String>,
    seen_in_order: VecDeque<String>,
    last: u64,
}

impl Node {
    /// False when the id was there already.
    fn remember(&mut self, batch_id: &str) -> bool {
        if !self.seen.insert(batch_id.to_owned()) {
            return false;
        }
        self.seen_in_order.push_back(batch_id.to_owned());
        if self.seen_in_order.len() > BATCH_IDS_MAX
            && let Some(oldest) = self.seen_in_order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}

impl Connections {
    /// No connection yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Connections that ended early because there was no room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        let tables = self.nodes.values().map(|it| it.table.counters().evicted);
        self.evicted + tables.sum::<u64>()
    }

    /// Takes a batch in.
    pub fn take(&mut self, batch: &Batch) -> Taken {
        let mut taken = Taken::default();
        self.clock += 1;
        let known = self.nodes.contains_key(&batch.node_id);
        if !known && self.nodes.len() >= self.limits.nodes_max.max(1) {
            self.forget_oldest(&mut taken.observations);
        }
        let limit = self.limits.connections_max;
        let node = self
            .nodes
            .entry(batch.node_id.clone())
            .or_insert_with(|| Node {
                table: Table::new(limit),
                seen: HashSet::new(),
                seen_in_order: VecDeque::new(),
                last: 0,
            });
        node.last = self.clock;
        if !node.remember(&batch.batch_id) {
            taken.repeated = true;
            return taken;
        }
        let observations = &mut self.observations;
        let out = &mut taken.observations;
        for event in &batch.events {
            let packet = Packet {
                time_ns: event.time.unix_nanos(),
                sender: event.sender,
                receiver: event.receiver,
                transport: transport_of_packet(event.transport),
                tcp: event.tcp,
                icmp: None,
                network_bytes: event.bytes,
                payload_bytes: event.bytes,
                payload: &[],
            };
            node.table.take(&packet, &mut |moment, connection| {
                out.push(observe(observations, &batch.node_id, moment, connection));
            });
        }
        taken
    }

    /// Ends the connections that were silent for too long at `now`.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Observation> {
        let mut out = Vec::new();
        let observations = &mut self.observations;
        for (node_id, node) in &mut self.nodes {
            node.table
                .expire(now.unix_nanos(), &mut |moment, connection| {
                    out.push(observe(observations, node_id, moment, connection));
                });
        }
        out
    }

    fn forget_oldest(&mut self, out: &mut Vec<Observation>) {
        let oldest = self.nodes.iter().min_by_key(|(_, node)| node.last);
        let Some(node_id) = oldest.map(|(id, _)| id.clone()) else {
            return;
        };
        if let Some(mut node) = self.nodes.remove(&node_id) {
            self.evicted += node.table.counters().evicted;
            let observations = &mut self.observations;
            node.table.finish(&mut |moment, connection| {
                out.push(observe(observations, &node_id, moment, connection));
            });
        }
    }
}

fn observe(
    observations: &mut Observations,
    node_id: &str,
    moment: Moment,
    connection: &Connection,
) -> Observation {
    let record = record_of(connection, moment);
    let mut record = Record {
        sensor: Some(node_id.to_owned()),
        ..record
    };
    let phase = match moment {
        Moment::Opened => Phase::Opened,
        Moment::Active => {
            (record.bytes_out, record.bytes_in) =
                (Some(connection.bytes_out), Some(connection.bytes_in));
            Phase::Activity
        }
        Moment::Closed => {
            record.time = Timestamp::from_unix_nanos(connection.last_ns);
            Phase::Closed
        }
    };
    observations.make(&record, phase)
}
