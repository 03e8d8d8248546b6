//! The connections that packets belong to, while they live.
//!
//! # Limits
//! A table holds as many connections as it is told; past that the one looked at longest ago ends.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use crate::Packet;
pub use crate::connection::{Connection, Ending, Moment};
use crate::connection::{Key, key};
use crate::names::Names;

/// Silence that ends a connection without a protocol that says so.
pub const DATAGRAM_IDLE: Duration = Duration::from_mins(1);
/// Silence before payload that makes it activity of its own.
pub const QUIET: Duration = Duration::from_secs(1);

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections that began.
    pub connections: u64,
    /// TCP connections whose SYN was not seen.
    pub mid_stream: u64,
    /// Connections that were ended because the table was full.
    pub evicted: u64,
    /// Resets that belong to no known connection.
    pub strays: u64,
}

/// All living connections, at most `limit` of them; with each a note of the caller's.
#[derive(Debug)]
pub struct Table<N = ()> {
    connections: HashMap<Key, Connection<N>>,
    /// When each connection is to be looked at again: one or two entries for each connection, and some of
    /// connections that ended, told by their number.
    due: BinaryHeap<Reverse<(i64, u64, Key)>>,
    /// `None` when nobody asks for them.
    names: Option<Names>,
    datagram_idle: Duration,
    limit: usize,
    counters: Counters,
}

impl Table {
    /// An empty table for at most `limit` connections.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self::with(limit, DATAGRAM_IDLE, Some(Names::default()))
    }
}

impl<N: Default> Table<N> {
    /// An empty table for a caller that keeps notes and reads names itself: silence of `datagram_idle` ends what is
    /// not TCP.
    #[must_use]
    pub fn with_notes(limit: usize, datagram_idle: Duration) -> Self {
        Self::with(limit, datagram_idle, None)
    }

    fn with(limit: usize, datagram_idle: Duration, names: Option<Names>) -> Self {
        Self {
            connections: HashMap::new(),
            due: BinaryHeap::new(),
            names,
            datagram_idle,
            limit: limit.max(1),
            counters: Counters::default(),
        }
    }

    /// The living connections, in no order.
    pub fn connections(&self) -> impl Iterator<Item = &Connection<N>> {
        self.connections.values()
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether a packet belongs to a living connection: it begins none.
    #[must_use]
    pub fn knows(&self, packet: &Packet<'_>) -> bool {
        let known = self.connections.get(&key(packet));
        known.is_some_and(|it| !it.is_followed_by(packet))
    }

    /// Takes a packet in and tells `tell` what became of connections.
    pub fn take(&mut self, packet: &Packet<'_>, tell: &mut dyn FnMut(Moment, &Connection<N>)) {
        self.take_noting(packet, tell, |_| {});
    }

    /// The same, and shows `note` the packet's connection before the packet is counted.
    pub fn take_noting(
        &mut self,
        packet: &Packet<'_>,
        tell: &mut dyn FnMut(Moment, &Connection<N>),
        note: impl FnOnce(&mut Connection<N>),
    ) {
        self.expire(packet.time_ns, tell);
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
        note(connection);
        let first = connection.bytes_out == 0;
        let before = connection.over();
        let active = connection.take(packet);
        if connection.over() && !before {
            // Its end comes sooner than was noted.
            let entry = (connection.due_ns(), connection.number, key);
            self.due.push(Reverse(entry));
        }
        if let Some(names) = &mut self.names
            && let Some(carried) = names.of_packet(packet, connection, first)
        {
            connection.describe(carried);
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
        tell: &mut dyn FnMut(Moment, &Connection<N>),
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
        let mut connection = Connection::new(packet, number, self.datagram_idle);
        connection.name = self.names.as_ref().and_then(|names| {
            names.resolved(connection.source.address, connection.destination.address)
        });
        self.counters.connections += 1;
        self.counters.mid_stream += u64::from(connection.mid_stream);
        self.note_due(&connection);
        tell(Moment::Opened, &connection);
        self.connections.insert(key, connection);
        true
    }

    fn note_due(&mut self, connection: &Connection<N>) {
        if self.due.len() > 4 * self.limit {
            let connections = self.connections.values();
            self.due = connections
                .map(|it| Reverse((it.due_ns(), it.number, it.key)))
                .collect();
        }
        let entry = (connection.due_ns(), connection.number, connection.key);
        self.due.push(Reverse(entry));
    }

    /// Ends the connection that has waited for longest since it was looked at.
    fn evict(&mut self, tell: &mut dyn FnMut(Moment, &Connection<N>)) -> bool {
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

    fn close(&mut self, key: &Key, tell: &mut dyn FnMut(Moment, &Connection<N>)) {
        if let Some(mut connection) = self.connections.remove(key) {
            self.tell_rest(&mut connection);
            tell(Moment::Closed, &connection);
        }
    }

    /// Ends the connections that were silent for too long at `now_ns`, which may go back: one wrong clock
    /// reading costs what was open then and no more.
    pub fn expire(&mut self, now_ns: i64, tell: &mut dyn FnMut(Moment, &Connection<N>)) {
        while let Some(&Reverse((due, number, key))) = self.due.peek() {
            if due >= now_ns {
                return;
            }
            self.due.pop();
            let known = self
                .connections
                .get(&key)
                .filter(|it| it.number == number)
                .map(Connection::due_ns);
            match known {
                Some(later) if later >= now_ns => self.due.push(Reverse((later, number, key))),
                Some(_) => self.close(&key, tell),
                None => {}
            }
        }
    }

    /// Ends the connections that TCP has ended, although stragglers may come: for the end of a capture.
    pub fn settle(&mut self, tell: &mut dyn FnMut(Moment, &Connection<N>)) {
        let over = self.connections.values().filter(|it| it.over());
        let mut over: Vec<(u64, Key)> = over.map(|it| (it.number, it.key)).collect();
        over.sort_unstable();
        for (_, key) in over {
            self.close(&key, tell);
        }
    }

    /// Takes over what names tell of a connection whose beginning never came whole.
    fn tell_rest(&mut self, connection: &mut Connection<N>) {
        if let Some(names) = &mut self.names
            && let Some(carried) = names.forget(connection)
        {
            connection.describe(carried);
        }
    }

    /// Ends all connections.
    pub fn finish(&mut self, tell: &mut dyn FnMut(Moment, &Connection<N>)) {
        let mut connections: Vec<Connection<N>> =
            self.connections.drain().map(|(_, it)| it).collect();
        connections.sort_by_key(|it| (it.first_ns, it.key));
        for connection in &mut connections {
            self.tell_rest(connection);
            tell(Moment::Closed, connection);
        }
        self.due.clear();
        if let Some(names) = &mut self.names {
            *names = Names::default();
        }
    }
}
