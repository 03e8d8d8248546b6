//! What connections carry, as far as it tells of them: the server's name and the client's fingerprint, and the
//! names that DNS answers gave to addresses.
//!
//! # Limits
//! The first 16 KiB of a connection are looked at ([`crate::classify`]), of at most [`HEADS_MAX`] connections at
//! a time; DNS over TCP is read in at most [`STREAMS_MAX`] directions; between [`RESOLVED_MAX`] and twice as many pairs
//! of client and address resolved are known.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::classify::{Classifier, DNS_PORT, Protocol};
use crate::connection::Connection;
use crate::host::is_host_name;
use crate::tls::ClientHello;
use crate::{End, Packet, Transport, Verdict, dns};

/// Most connections whose beginning is kept.
pub const HEADS_MAX: usize = 4096;
/// Most directions of DNS over TCP that are read at a time.
pub const STREAMS_MAX: usize = 1024;
/// Pairs of client and resolved address in one generation.
pub const RESOLVED_MAX: usize = 1 << 16;

/// What a connection carried, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// `tls`, `quic`, `http` or `dns`.
    pub protocol: &'static str,
    /// The name of the server, or of DNS the name asked for.
    pub server_name: Option<Arc<str>>,
    /// Application protocols that the client offered.
    pub alpn: Vec<String>,
    /// JA4 of the client's hello.
    pub ja4: Option<String>,
    /// JA3 of the client's hello.
    pub ja3: Option<String>,
    /// User agent of the request.
    pub user_agent: Option<String>,
}

impl Carried {
    fn of_hello(protocol: &'static str, hello: ClientHello) -> Self {
        Self {
            protocol,
            ja4: hello.ja4(),
            ja3: hello.ja3(),
            server_name: hello.server_name.map(Into::into),
            alpn: hello.alpn,
            user_agent: None,
        }
    }

    fn named(protocol: &'static str, server_name: Option<Arc<str>>) -> Self {
        Self {
            protocol,
            server_name,
            alpn: Vec::new(),
            ja4: None,
            ja3: None,
            user_agent: None,
        }
    }
}

impl From<Protocol> for Carried {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tls(hello) => Self::of_hello("tls", *hello),
            Protocol::Quic(_, hello) => Self::of_hello("quic", *hello),
            Protocol::Http(request) => Self {
                user_agent: request.user_agent,
                ..Self::named("http", request.host.map(Into::into))
            },
            Protocol::Dns(message) => Self::named("dns", asked(&message)),
        }
    }
}

/// The name that a message asks for, if hosts have such names.
fn asked(message: &dns::Message) -> Option<Arc<str>> {
    is_host_name(message.name.as_bytes())
        .then_some(message.name.as_str())
        .filter(|it| *it != ".")
        .map(Into::into)
}

/// The beginning of a connection, as long as it may tell something.
#[derive(Debug)]
struct Head {
    classifier: Classifier,
    /// Sequence number of the first byte; without one segments count as they come.
    base: Option<u32>,
    /// Bytes that came.
    taken: usize,
}

/// DNS over TCP in one direction.
#[derive(Debug)]
struct DnsStream {
    stream: dns::Stream,
    /// Sequence number of the next segment.
    next: Option<u32>,
}

/// Initiator and other end of a connection, and what carries it.
type Ends = (End, End, Transport);

/// What names are known.
#[derive(Debug, Default)]
pub struct Names {
    heads: HashMap<Ends, Head>,
    /// By sender and receiver.
    streams: HashMap<(End, End), DnsStream>,
    /// Names by client and address, in two generations: when the young one is full it becomes the old one.
    resolved: HashMap<(IpAddr, IpAddr), Arc<str>>,
    resolved_before: HashMap<(IpAddr, IpAddr), Arc<str>>,
}

impl Names {
    /// The name whose DNS answer gave this client this address last.
    #[must_use]
    pub fn resolved(&self, client: IpAddr, server: IpAddr) -> Option<Arc<str>> {
        let pair = (client, server);
        let young = self.resolved.get(&pair);
        young.or_else(|| self.resolved_before.get(&pair)).cloned()
    }

    /// What a packet of a connection tells; `first` when the initiator sent no payload before.
    pub fn of_packet<N>(
        &mut self,
        packet: &Packet<'_>,
        connection: &Connection<N>,
        first: bool,
    ) -> Option<Carried> {
        if packet.payload.is_empty() {
            return None;
        }
        let (source, destination) = (connection.source, connection.destination);
        let outward = packet.sender == source;
        match packet.transport {
            Transport::Udp if destination.port == DNS_PORT => {
                let message = dns::parse(packet.payload)?;
                if !outward {
                    self.learn(source.address, &message);
                }
                (outward && first).then(|| Carried::named("dns", asked(&message)))
            }
            Transport::Tcp if destination.port == DNS_PORT => {
                let messages = self.of_dns_stream(packet, first || !outward);
                if !outward {
                    for message in &messages {
                        self.learn(source.address, message);
                    }
                }
                let asks = outward && connection.carried.is_none();
                let first = messages.first().filter(|_| asks);
                first.map(|it| Carried::named("dns", asked(it)))
            }
            Transport::Tcp | Transport::Udp if outward => {
                self.of_payload(packet, connection, first)
            }
            _ => None,
        }
    }

    fn learn(&mut self, client: IpAddr, message: &dns::Message) {
        let Some(name) = asked(message).filter(|_| message.response) else {
            return;
        };
        for (address, _holds_s) in message.addresses() {
            if self.resolved.len() >= RESOLVED_MAX {
                self.resolved_before = std::mem::take(&mut self.resolved);
            }
            let pair = (client, address.to_canonical());
            self.resolved.insert(pair, Arc::clone(&name));
        }
    }

    /// Segments out of order end what is read of the direction.
    fn of_dns_stream(&mut self, packet: &Packet<'_>, may_begin: bool) -> Vec<dns::Message> {
        let key = (packet.sender, packet.receiver);
        let number = packet.tcp.and_then(|it| it.numbers).map(|it| it.0);
        if may_begin && !self.streams.contains_key(&key) && self.streams.len() < STREAMS_MAX {
            let stream = DnsStream {
                stream: dns::Stream::default(),
                next: number,
            };
            self.streams.insert(key, stream);
        }
        let Some(known) = self.streams.get_mut(&key) else {
            return Vec::new();
        };
        if known.next != number {
            return Vec::new();
        }
        let length = u32::try_from(packet.payload.len()).unwrap_or(u32::MAX);
        known.next = number.map(|it| it.wrapping_add(length));
        known.stream.take(packet.payload)
    }

    fn of_payload<N>(
        &mut self,
        packet: &Packet<'_>,
        connection: &Connection<N>,
        first: bool,
    ) -> Option<Carried> {
        let ends = ends(connection);
        let is_known = self.heads.contains_key(&ends);
        if !is_known && !first {
            return None;
        }
        let mut head = match self.heads.remove(&ends) {
            Some(head) => head,
            None => Head::of(packet, connection),
        };
        match head.take(packet) {
            Verdict::Found(protocol) => Some(protocol.into()),
            Verdict::NeedsMore => {
                if is_known || self.heads.len() < HEADS_MAX {
                    self.heads.insert(ends, head);
                }
                None
            }
            Verdict::Nothing => None,
        }
    }

    /// Drops what is kept of a connection that is over, and gives what can be told of a beginning that never came whole.
    pub fn forget<N>(&mut self, connection: &Connection<N>) -> Option<Carried> {
        let (source, destination) = (connection.source, connection.destination);
        if connection.transport == Transport::Tcp && destination.port == DNS_PORT {
            self.streams.remove(&(source, destination));
            self.streams.remove(&(destination, source));
        }
        let head = self.heads.remove(&ends(connection))?;
        head.classifier.so_far().map(Carried::from)
    }
}

fn ends<N>(connection: &Connection<N>) -> Ends {
    (
        connection.source,
        connection.destination,
        connection.transport,
    )
}

impl Head {
    /// The first payload of a connection's initiator. It may come before what stands in front of it.
    fn of<N>(packet: &Packet<'_>, connection: &Connection<N>) -> Self {
        let ports = (packet.sender.port, packet.receiver.port);
        let number = packet.tcp.and_then(|it| it.numbers).map(|it| it.0);
        let after_syn = connection.initial.map(|it| it.wrapping_add(1));
        Self {
            classifier: Classifier::new(packet.transport, ports),
            base: number.and(after_syn.or(number)),
            taken: 0,
        }
    }

    fn take(&mut self, packet: &Packet<'_>) -> Verdict<Protocol> {
        let number = packet.tcp.and_then(|it| it.numbers).map(|it| it.0);
        let is_syn = packet.tcp.is_some_and(|it| it.syn);
        let offset = match (self.base, number) {
            (Some(base), Some(number)) => {
                let number = number.wrapping_add(u32::from(is_syn));
                usize::try_from(number.wrapping_sub(base)).unwrap_or(usize::MAX)
            }
            _ => self.taken,
        };
        self.taken = self.taken.saturating_add(packet.payload.len());
        self.classifier.take(offset, packet.payload)
    }
}
