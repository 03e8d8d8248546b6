//! The connections that packets belong to, while they live.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use beaconwatch_detector::{ConnectionId, Timestamp, Transport};
use xxhash_rust::xxh3::Xxh3;

use super::names::Names;
use super::{End, Packet, Segment};
use crate::record::{Dialect, Kind, Record};

/// Silence that ends a connection without a protocol that says so.
pub(crate) const DATAGRAM_IDLE: Duration = Duration::from_mins(1);
/// Silence before payload that makes it activity of its own.
pub(crate) const QUIET: Duration = Duration::from_secs(1);
/// Silence that ends a TCP connection.
const TCP_IDLE: Duration = Duration::from_hours(1);
/// The same where nobody answered.
const TCP_UNANSWERED_IDLE: Duration = Duration::from_mins(5);
/// How long a TCP connection that ended waits for stragglers.
const TCP_LINGER: Duration = Duration::from_mins(1);
/// A SYN without a number so soon after the last packet is the same one sent again.
const SYN_AGAIN: Duration = Duration::from_secs(3);

/// A moment of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Its first packet came.
    Opened,
    /// Payload came after silence.
    Active,
    /// It is over.
    Closed,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Connections that began.
    pub(crate) connections: u64,
    /// TCP connections whose SYN was not seen.
    pub(crate) mid_stream: u64,
    /// Connections that were ended because the table was full.
    pub(crate) evicted: u64,
    /// Resets that belong to no known connection.
    pub(crate) strays: u64,
}

/// Both ends in order, so that both directions find the same connection.
type Key = (End, End, Transport);

/// One connection.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own that a packet told"
)]
pub(crate) struct Connection {
    key: Key,
    source: End,
    destination: End,
    transport: Transport,
    first: Timestamp,
    last: Timestamp,
    last_payload: Option<Timestamp>,
    bytes_out: u64,
    bytes_in: u64,
    /// Bytes since the last moment that was told.
    untold: (u64, u64),
    out_seen: bool,
    in_seen: bool,
    /// The initiator's first sequence number.
    initial: Option<u32>,
    mid_stream: bool,
    reset: bool,
    fin_out: bool,
    fin_in: bool,
    name: Option<Arc<str>>,
    /// Tells it from earlier ones between the same ends.
    number: u64,
}

impl Connection {
    fn new(packet: &Packet<'_>, number: u64) -> Self {
        let (source, destination) = roles(packet);
        Self {
            key: key(packet),
            source,
            destination,
            transport: packet.transport,
            first: packet.time,
            last: packet.time,
            last_payload: None,
            bytes_out: 0,
            bytes_in: 0,
            untold: (0, 0),
            out_seen: false,
            in_seen: false,
            initial: packet.tcp.and_then(initial),
            mid_stream: packet.tcp.is_some_and(|it| !it.syn),
            reset: false,
            fin_out: false,
            fin_in: false,
            name: None,
            number,
        }
    }

    fn over(&self) -> bool {
        self.reset || (self.fin_out && self.fin_in)
    }

    fn idle_limit(&self) -> Duration {
        match self.transport {
            Transport::Tcp if self.over() => TCP_LINGER,
            Transport::Tcp if !(self.out_seen && self.in_seen) => TCP_UNANSWERED_IDLE,
            Transport::Tcp => TCP_IDLE,
            _ => DATAGRAM_IDLE,
        }
    }

    fn due(&self) -> Timestamp {
        later(self.last, self.idle_limit())
    }

    /// Whether the packet begins another connection between the same ends.
    fn is_followed_by(&self, packet: &Packet<'_>) -> bool {
        if packet.time > self.due() {
            return true;
        }
        let Some(segment) = packet.tcp.filter(|it| it.syn && !it.ack) else {
            return false;
        };
        match (self.initial, segment.numbers) {
            (Some(known), Some((number, _))) => known != number,
            // The sensor gives no numbers.
            (None, None) => {
                self.over() || self.in_seen || packet.time.saturating_since(self.last) > SYN_AGAIN
            }
            _ => true,
        }
    }

    /// Takes a packet in; tells whether it is activity after silence.
    fn take(&mut self, packet: &Packet<'_>) -> bool {
        let outward = packet.sender == self.source;
        self.last = self.last.max(packet.time);
        let bytes = packet.payload_bytes;
        if outward {
            self.out_seen = true;
            self.bytes_out = self.bytes_out.saturating_add(bytes);
            self.untold.0 = self.untold.0.saturating_add(bytes);
        } else {
            self.in_seen = true;
            self.bytes_in = self.bytes_in.saturating_add(bytes);
            self.untold.1 = self.untold.1.saturating_add(bytes);
        }
        if let Some(segment) = packet.tcp {
            self.reset |= segment.reset;
            self.fin_out |= segment.fin && outward;
            self.fin_in |= segment.fin && !outward;
        }
        if bytes == 0 {
            return false;
        }
        let before = self.last_payload.replace(packet.time);
        before.is_some_and(|before| packet.time.saturating_since(before) > QUIET)
    }

    fn established(&self) -> Option<bool> {
        let both = self.out_seen && self.in_seen;
        match self.transport {
            // A reset in answer to the SYN is no connection.
            Transport::Tcp if self.reset && self.bytes_out + self.bytes_in == 0 => {
                (!self.mid_stream).then_some(self.fin_out || self.fin_in)
            }
            Transport::Tcp if self.mid_stream => both.then_some(true),
            _ => Some(both),
        }
    }

    fn id(&self) -> ConnectionId {
        let mut hash = Xxh3::new();
        for end in [self.source, self.destination] {
            match end.address {
                IpAddr::V4(address) => hash.update(&address.octets()),
                IpAddr::V6(address) => hash.update(&address.octets()),
            }
            hash.update(&end.port.to_be_bytes());
        }
        hash.update(&[protocol(self.transport)]);
        hash.update(&self.first.unix_nanos().to_be_bytes());
        ConnectionId(hash.digest128())
    }

    /// What a moment of it is to the one normaliser.
    pub(crate) fn record(&self, moment: Moment) -> Record {
        let over = moment == Moment::Closed;
        let (time, bytes) = match moment {
            Moment::Opened => (self.first, None),
            Moment::Active => (self.last, Some(self.untold)),
            Moment::Closed => (self.first, Some((self.bytes_out, self.bytes_in))),
        };
        Record {
            id: Some(self.id()),
            source_port: self.source.port,
            server_name: self.name.as_deref().map(str::to_owned),
            duration: over.then(|| self.last.saturating_since(self.first)),
            bytes_out: bytes.map(|it| it.0),
            bytes_in: bytes.map(|it| it.1),
            established: if over { self.established() } else { None },
            ..Record::new(
                match moment {
                    Moment::Active => Kind::Activity,
                    Moment::Opened | Moment::Closed => Kind::Connection,
                },
                Dialect::Packets,
                time,
                self.source.address,
                (self.destination.address, self.destination.port),
                self.transport,
            )
        }
    }

    /// Totals of both directions, and when the last packet came.
    pub(crate) fn totals(&self) -> (Timestamp, u64, u64) {
        (self.last, self.bytes_out, self.bytes_in)
    }
}

fn initial(segment: Segment) -> Option<u32> {
    let (number, acknowledged) = segment.numbers?;
    match (segment.syn, segment.ack) {
        (true, false) => Some(number),
        (true, true) => Some(acknowledged.wrapping_sub(1)),
        _ => None,
    }
}

fn key(packet: &Packet<'_>) -> Key {
    let (sender, receiver) = (packet.sender, packet.receiver);
    (sender.min(receiver), sender.max(receiver), packet.transport)
}

/// Who initiated, and who answered: the rule is in the module's documentation.
fn roles(packet: &Packet<'_>) -> (End, End) {
    let (sender, receiver) = (packet.sender, packet.receiver);
    let as_sent = match packet.tcp {
        _ if is_group(receiver.address) => true,
        _ if is_group(sender.address) => false,
        Some(segment) if segment.syn => !segment.ack,
        Some(_) => sender.port >= receiver.port,
        None => !(sender.port < 1024 && receiver.port >= 1024),
    };
    if as_sent {
        (sender, receiver)
    } else {
        (receiver, sender)
    }
}

fn is_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}

const fn protocol(transport: Transport) -> u8 {
    match transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
        Transport::Icmp => 1,
        Transport::Other(number) => number,
    }
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    let nanos = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
    Timestamp::from_unix_nanos(time.unix_nanos().saturating_add(nanos))
}

/// All living connections, at most `limit` of them.
#[derive(Debug)]
pub(crate) struct Table {
    connections: HashMap<Key, Connection>,
    /// When each connection is to be looked at again: one or two entries for each connection, and some of
    /// connections that ended, told by their number.
    due: BinaryHeap<Reverse<(Timestamp, u64, Key)>>,
    names: Names,
    limit: usize,
    counters: Counters,
}

impl Table {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            connections: HashMap::new(),
            due: BinaryHeap::new(),
            names: Names::default(),
            limit: limit.max(1),
            counters: Counters::default(),
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes a packet in and tells `tell` what became of connections.
    pub(crate) fn take(&mut self, packet: &Packet<'_>, tell: &mut dyn FnMut(Moment, &Connection)) {
        self.expire(packet.time, tell);
        let key = key(packet);
        let followed = self
            .connections
            .get(&key)
            .is_some_and(|it| it.is_followed_by(packet));
        if followed {
            self.close(&key, tell);
        }
        if !self.connections.contains_key(&key) && !self.open(key, packet, tell) {
            return;
        }
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        let ends = (connection.source, connection.destination);
        let first = connection.bytes_out == 0;
        let before = connection.over();
        let active = connection.take(packet);
        if connection.over() && !before {
            // Its end comes sooner than was noted.
            let entry = (connection.due(), connection.number, key);
            self.due.push(Reverse(entry));
        }
        if let Some(name) = self.names.of_packet(packet, ends, first) {
            connection.name = Some(name);
        }
        if active {
            tell(Moment::Active, connection);
            connection.untold = (0, 0);
        }
    }

    /// False when the packet begins nothing.
    fn open(
        &mut self,
        key: Key,
        packet: &Packet<'_>,
        tell: &mut dyn FnMut(Moment, &Connection),
    ) -> bool {
        if packet.tcp.is_some_and(|it| it.reset && !it.syn) {
            self.counters.strays += 1;
            return false;
        }
        while self.connections.len() >= self.limit {
            if !self.evict(tell) {
                break;
            }
        }
        let number = self.counters.connections;
        let mut connection = Connection::new(packet, number);
        connection.name = self
            .names
            .resolved(connection.source.address, connection.destination.address);
        self.counters.connections += 1;
        self.counters.mid_stream += u64::from(connection.mid_stream);
        self.note_due(&connection);
        tell(Moment::Opened, &connection);
        self.connections.insert(key, connection);
        true
    }

    fn note_due(&mut self, connection: &Connection) {
        if self.due.len() > 4 * self.limit {
            let connections = self.connections.values();
            self.due = connections
                .map(|it| Reverse((it.due(), it.number, it.key)))
                .collect();
        }
        let entry = (connection.due(), connection.number, connection.key);
        self.due.push(Reverse(entry));
    }

    /// Ends the connection that has waited for longest since it was looked at.
    fn evict(&mut self, tell: &mut dyn FnMut(Moment, &Connection)) -> bool {
        let Some(Reverse((_, number, key))) = self.due.pop() else {
            return false;
        };
        let current = self.connections.get(&key).map(|it| it.number);
        if current == Some(number) {
            self.counters.evicted += 1;
            self.close(&key, tell);
        }
        true
    }

    fn close(&mut self, key: &Key, tell: &mut dyn FnMut(Moment, &Connection)) {
        if let Some(connection) = self.connections.remove(key) {
            self.names
                .forget((connection.source, connection.destination));
            tell(Moment::Closed, &connection);
        }
    }

    /// Ends the connections that were silent for too long at `now`, which may go back: one wrong clock
    /// reading costs what was open then and no more.
    pub(crate) fn expire(&mut self, now: Timestamp, tell: &mut dyn FnMut(Moment, &Connection)) {
        while let Some(&Reverse((due, number, key))) = self.due.peek() {
            if due >= now {
                return;
            }
            self.due.pop();
            let known = self
                .connections
                .get(&key)
                .filter(|it| it.number == number)
                .map(Connection::due);
            match known {
                Some(later) if later >= now => self.due.push(Reverse((later, number, key))),
                Some(_) => self.close(&key, tell),
                None => {}
            }
        }
    }

    /// Ends all connections.
    pub(crate) fn finish(&mut self, tell: &mut dyn FnMut(Moment, &Connection)) {
        let mut connections: Vec<Connection> = self.connections.drain().map(|(_, it)| it).collect();
        connections.sort_by_key(|it| (it.first, it.key));
        for connection in &connections {
            tell(Moment::Closed, connection);
        }
        self.due.clear();
        self.names.forget_all();
    }
}
