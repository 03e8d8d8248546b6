//! Server names from what connections carry.
//!
//! # Limits
//! The first [`HEAD_BYTES_MAX`] bytes of a connection are looked at, of at most [`HEADS_MAX`] connections at
//! a time; between [`RESOLVED_MAX`] and twice as many pairs of client and address resolved are known.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::{End, Packet, Transport, dns, http, tls};

/// Longest beginning of a connection that is kept to find a name in it.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Most connections whose beginning is kept.
const HEADS_MAX: usize = 4096;
/// Most segments that are put together.
const SEGMENTS_MAX: u8 = 32;
/// Pairs of client and resolved address in one generation.
const RESOLVED_MAX: usize = 1 << 16;
const DNS_PORT: u16 = 53;

/// What came of looking for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is there.
    Name(String),
    /// It may come with more bytes.
    NeedsMore,
    /// There is none.
    Nothing,
}

/// The beginning of a connection, as long as it may hold a name.
#[derive(Debug)]
struct Head {
    bytes: Vec<u8>,
    /// Sequence number of the next segment.
    next: Option<u32>,
    segments: u8,
}

/// What names are known.
#[derive(Debug, Default)]
pub struct Names {
    heads: HashMap<(End, End), Head>,
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

    /// The name of the server that a packet tells; `first` when the initiator sent no payload before.
    pub fn of_packet(
        &mut self,
        packet: &Packet<'_>,
        (source, destination): (End, End),
        first: bool,
    ) -> Option<Arc<str>> {
        if packet.payload.is_empty() {
            return None;
        }
        let outward = packet.sender == source;
        match packet.transport {
            Transport::Udp if destination.port == DNS_PORT => {
                let message = dns::parse(packet.payload)?;
                if !outward {
                    self.learn(source.address, &message);
                }
                (outward && first).then(|| message.name.as_str().into())
            }
            Transport::Tcp if outward => self.of_segment(packet, (source, destination), first),
            _ => None,
        }
    }

    fn learn(&mut self, client: IpAddr, message: &dns::Message) {
        if message.addresses.is_empty() {
            return;
        }
        let name: Arc<str> = message.name.as_str().into();
        for address in &message.addresses {
            if self.resolved.len() >= RESOLVED_MAX {
                self.resolved_before = std::mem::take(&mut self.resolved);
            }
            let pair = (client, address.to_canonical());
            self.resolved.insert(pair, Arc::clone(&name));
        }
    }

    fn of_segment(
        &mut self,
        packet: &Packet<'_>,
        ends: (End, End),
        first: bool,
    ) -> Option<Arc<str>> {
        let number = packet.tcp.and_then(|it| it.numbers).map(|it| it.0);
        let after = |number: u32| {
            let length = u32::try_from(packet.payload.len()).unwrap_or(u32::MAX);
            number.wrapping_add(length)
        };
        let found = if let Some(head) = self.heads.get_mut(&ends) {
            // A segment out of order or sent again adds nothing.
            if head.next != number {
                return None;
            }
            let room = HEAD_BYTES_MAX.saturating_sub(head.bytes.len());
            let part = packet.payload.get(..room).unwrap_or(packet.payload);
            head.bytes.extend_from_slice(part);
            head.next = number.map(after);
            head.segments += 1;
            name_of(&head.bytes)
        } else if first {
            name_of(packet.payload)
        } else {
            return None;
        };
        self.settle(packet, ends, found, number.map(after))
    }

    fn settle(
        &mut self,
        packet: &Packet<'_>,
        ends: (End, End),
        found: Found,
        next: Option<u32>,
    ) -> Option<Arc<str>> {
        let full = self.heads.len() >= HEADS_MAX;
        if let Found::NeedsMore = found {
            match self.heads.get(&ends) {
                Some(head)
                    if head.bytes.len() >= HEAD_BYTES_MAX || head.segments >= SEGMENTS_MAX =>
                {
                    self.forget(ends);
                }
                None if !full && packet.payload.len() < HEAD_BYTES_MAX => {
                    let bytes = packet.payload.to_vec();
                    let segments = 1;
                    let head = Head {
                        bytes,
                        next,
                        segments,
                    };
                    self.heads.insert(ends, head);
                }
                _ => {}
            }
            return None;
        }
        self.forget(ends);
        match found {
            Found::Name(name) => Some(name.into()),
            _ => None,
        }
    }

    /// Drops what is kept of a connection.
    pub fn forget(&mut self, ends: (End, End)) {
        self.heads.remove(&ends);
    }

    /// Drops everything.
    pub fn forget_all(&mut self) {
        *self = Self::default();
    }
}

/// The name in the first bytes of a connection's initiator.
#[must_use]
pub fn name_of(bytes: &[u8]) -> Found {
    if bytes.first() == Some(&0x16) {
        tls::server_name(bytes)
    } else {
        http::host(bytes)
    }
}
