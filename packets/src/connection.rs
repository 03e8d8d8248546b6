//! One connection: its ends, times and bytes, and the rules by which packets begin and end it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::names::Carried;
use crate::table::QUIET;
use crate::{End, Icmp, Packet, Segment, Transport};

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
pub enum Moment {
    /// Its first packet came.
    Opened,
    /// Payload came after silence.
    Active,
    /// It is over.
    Closed,
}

/// How a connection ended, as far as its packets tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Both ends of TCP were done, the initiator first.
    SourceClosed,
    /// Both ends of TCP were done, the other one first.
    DestinationClosed,
    /// A reset broke TCP off.
    Reset,
    /// A reset answered the SYN.
    Refused,
    /// Only one end was heard.
    Unanswered,
    /// It fell silent, or what was captured ended.
    Silent,
}

/// Both ends in order, so that both directions find the same connection.
pub(crate) type Key = (End, End, Transport);

/// One connection, as far as its packets were seen.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own that a packet told"
)]
pub struct Connection<N = ()> {
    /// Who initiated it.
    pub source: End,
    /// Whom it is to.
    pub destination: End,
    /// What carries it.
    pub transport: Transport,
    /// When its first packet came, in nanoseconds since 1970.
    pub first_ns: i64,
    /// When its last packet came.
    pub last_ns: i64,
    /// Payload from the initiator.
    pub bytes_out: u64,
    /// Payload to the initiator.
    pub bytes_in: u64,
    /// Packets from the initiator.
    pub packets_out: u64,
    /// Packets to the initiator.
    pub packets_in: u64,
    /// Bytes of IP packets from the initiator.
    pub network_bytes_out: u64,
    /// Bytes of IP packets to the initiator.
    pub network_bytes_in: u64,
    /// Payload out and in since the last moment that was told.
    pub untold: (u64, u64),
    /// Whether it is TCP and its SYN was not seen.
    pub mid_stream: bool,
    /// Whether a reset ended it.
    pub reset: bool,
    /// What the first packet of ICMP or `ICMPv6` says.
    pub icmp: Option<Icmp>,
    /// The server's name: what the connection carried, else what DNS told before it.
    pub name: Option<Arc<str>>,
    /// What else its first bytes told.
    pub carried: Option<Box<Carried>>,
    /// What the table's user notes of it.
    pub note: N,
    /// Tells it from all others of its table, by the order in which they began, from 0.
    pub number: u64,
    pub(crate) key: Key,
    /// The initiator's first sequence number.
    pub(crate) initial: Option<u32>,
    datagram_idle: Duration,
    last_payload_ns: Option<i64>,
    fin_out: bool,
    fin_in: bool,
    /// Whether the initiator was the first to say that it is done.
    out_was_first: bool,
}

impl<N: Default> Connection<N> {
    pub(crate) fn new(packet: &Packet<'_>, number: u64, datagram_idle: Duration) -> Self {
        let (source, destination) = roles(packet);
        Self {
            source,
            destination,
            transport: packet.transport,
            first_ns: packet.time_ns,
            last_ns: packet.time_ns,
            bytes_out: 0,
            bytes_in: 0,
            packets_out: 0,
            packets_in: 0,
            network_bytes_out: 0,
            network_bytes_in: 0,
            untold: (0, 0),
            mid_stream: packet.tcp.is_some_and(|it| !it.syn),
            reset: false,
            icmp: packet.icmp,
            name: None,
            carried: None,
            note: N::default(),
            number,
            key: key(packet),
            initial: packet.tcp.and_then(initial),
            datagram_idle,
            last_payload_ns: None,
            fin_out: false,
            fin_in: false,
            out_was_first: false,
        }
    }
}

impl<N> Connection<N> {
    /// Whether packets of both ends were seen.
    fn answered(&self) -> bool {
        self.packets_out > 0 && self.packets_in > 0
    }

    /// Whether TCP has ended it.
    pub(crate) fn over(&self) -> bool {
        self.reset || (self.fin_out && self.fin_in)
    }

    fn idle_limit(&self) -> Duration {
        match self.transport {
            Transport::Tcp if self.over() => TCP_LINGER,
            Transport::Tcp if !self.answered() => TCP_UNANSWERED_IDLE,
            Transport::Tcp => TCP_IDLE,
            _ => self.datagram_idle,
        }
    }

    /// When silence ends it.
    pub(crate) fn due_ns(&self) -> i64 {
        later(self.last_ns, self.idle_limit())
    }

    /// Whether the packet begins another connection between the same ends.
    pub(crate) fn is_followed_by(&self, packet: &Packet<'_>) -> bool {
        if packet.time_ns > self.due_ns() {
            return true;
        }
        let Some(segment) = packet.tcp.filter(|it| it.syn && !it.ack) else {
            return false;
        };
        match (self.initial, segment.numbers) {
            (Some(known), Some((number, _))) => known != number,
            // The sensor gives no numbers.
            (None, None) => {
                self.over()
                    || self.packets_in > 0
                    || since(packet.time_ns, self.last_ns) > SYN_AGAIN
            }
            _ => true,
        }
    }

    /// Takes a packet in; tells whether it is activity after silence.
    pub(crate) fn take(&mut self, packet: &Packet<'_>) -> bool {
        let outward = packet.sender == self.source;
        self.last_ns = self.last_ns.max(packet.time_ns);
        let bytes = packet.payload_bytes;
        if outward {
            self.packets_out += 1;
            self.network_bytes_out = self.network_bytes_out.saturating_add(packet.network_bytes);
            self.bytes_out = self.bytes_out.saturating_add(bytes);
            self.untold.0 = self.untold.0.saturating_add(bytes);
        } else {
            self.packets_in += 1;
            self.network_bytes_in = self.network_bytes_in.saturating_add(packet.network_bytes);
            self.bytes_in = self.bytes_in.saturating_add(bytes);
            self.untold.1 = self.untold.1.saturating_add(bytes);
        }
        if let Some(segment) = packet.tcp {
            self.reset |= segment.reset;
            self.out_was_first |= segment.fin && outward && !self.fin_in;
            self.fin_out |= segment.fin && outward;
            self.fin_in |= segment.fin && !outward;
        }
        if bytes == 0 {
            return false;
        }
        let before = self.last_payload_ns.replace(packet.time_ns);
        before.is_some_and(|before| since(packet.time_ns, before) > QUIET)
    }

    /// Takes over what its first bytes told.
    pub(crate) fn describe(&mut self, carried: Carried) {
        if let Some(name) = &carried.server_name {
            self.name = Some(Arc::clone(name));
        }
        self.carried = Some(Box::new(carried));
    }

    /// Whether both ends talked, as far as it can be told: `None` where only the end of a connection was
    /// seen.
    #[must_use]
    pub fn established(&self) -> Option<bool> {
        let both = self.answered();
        match self.transport {
            // A reset in answer to the SYN is no connection.
            Transport::Tcp if self.reset && self.bytes_out + self.bytes_in == 0 => {
                (!self.mid_stream).then_some(self.fin_out || self.fin_in)
            }
            Transport::Tcp if self.mid_stream => both.then_some(true),
            _ => Some(both),
        }
    }

    /// How it ended; of a living connection how it would have.
    #[must_use]
    pub fn ending(&self) -> Ending {
        let payload = self.bytes_out.saturating_add(self.bytes_in);
        match (self.fin_out, self.fin_in) {
            (true, true) if self.out_was_first => Ending::SourceClosed,
            (true, true) => Ending::DestinationClosed,
            (false, false) if self.reset && payload == 0 && !self.mid_stream => Ending::Refused,
            _ if self.reset => Ending::Reset,
            _ if !self.answered() => Ending::Unanswered,
            _ => Ending::Silent,
        }
    }

    /// From the first to the last packet.
    #[must_use]
    pub fn duration(&self) -> Duration {
        since(self.last_ns, self.first_ns)
    }
}

/// Zero when `time_ns` is before `earlier_ns`.
fn since(time_ns: i64, earlier_ns: i64) -> Duration {
    let nanos = i128::from(time_ns) - i128::from(earlier_ns);
    u64::try_from(nanos).map_or(Duration::ZERO, Duration::from_nanos)
}

fn later(time_ns: i64, by: Duration) -> i64 {
    time_ns.saturating_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX))
}

fn initial(segment: Segment) -> Option<u32> {
    let (number, acknowledged) = segment.numbers?;
    match (segment.syn, segment.ack) {
        (true, false) => Some(number),
        (true, true) => Some(acknowledged.wrapping_sub(1)),
        _ => None,
    }
}

pub(crate) fn key(packet: &Packet<'_>) -> Key {
    let (sender, receiver) = (packet.sender, packet.receiver);
    (sender.min(receiver), sender.max(receiver), packet.transport)
}

/// Who initiated, and who answered: the rule is in the crate's documentation.
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
