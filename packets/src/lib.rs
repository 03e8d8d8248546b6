//! What a wire carries, as user space reads it: pure, without I/O of its own, without a clock.
//!
//! | Module | What it reads |
//! |---|---|
//! | [`capture`] | pcap and pcapng: frames with their times |
//! | [`link`] | a frame: link layers, tags and tunnels, IPv4 and IPv6, down to a [`Packet`] |
//! | [`table`] | packets: the connections that they belong to |
//! | [`names`] | connections: the server's name, and what else their first bytes tell |
//! | [`classify`] | the first bytes of one direction: TLS, QUIC, HTTP or DNS, and when to stop looking |
//! | [`tls`], [`quic`], [`http`], [`dns`] | what a client says first; JA3 and JA4; what DNS answers |
//! | [`community`] | the flow's name that other tools know |
//!
//! # Rules
//! - **TCP**: a SYN begins a connection; another initial sequence number on the same addresses and ports
//!   begins the next one. A connection whose SYN was not seen is *mid-stream*: it begins with its first
//!   packet and is counted apart. It ends with a reset, with both FINs, or after an hour of silence (five
//!   minutes where nobody answered).
//! - **UDP, ICMP and others**: packets between the same ends are one connection until
//!   [`table::DATAGRAM_IDLE`] passes without one.
//! - **Who initiated**: whoever sent the SYN. Without a SYN in TCP the end with the higher port. In other
//!   protocols whoever sent the first packet, unless its port is below 1024 and the other's is not: then
//!   that was an answer. A group or broadcast address never initiates.
//! - **Bytes** are the payload above TCP, UDP or ICMP, each way, as the headers state them: a packet cut by
//!   the capture counts whole, a retransmitted segment counts again.
//! - **Activity**: payload after [`table::QUIET`] without any, inside a connection.
//! - **Names**: the `ClientHello` of TLS and QUIC, the HTTP `Host` header, or the question of a DNS query; else
//!   the name whose DNS answer gave this client the server's address.

pub mod assembly;
pub mod capture;
pub mod classify;
pub mod community;
mod connection;
mod cursor;
pub mod dns;
mod fragments;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod host;
pub mod http;
pub mod link;
pub mod names;
pub mod quic;
pub mod table;
pub mod tls;

use std::net::IpAddr;

pub use fragments::Fragments;

/// What came of looking for something in the beginning of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<T> {
    /// It is there.
    Found(T),
    /// It may come with more bytes.
    NeedsMore,
    /// It is not there.
    Nothing,
}

impl<T> Verdict<T> {
    /// The same verdict of what is found, made another thing.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Verdict<U> {
        match self {
            Self::Found(found) => Verdict::Found(make(found)),
            Self::NeedsMore => Verdict::NeedsMore,
            Self::Nothing => Verdict::Nothing,
        }
    }
}

/// What carries a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP or `ICMPv6`.
    Icmp,
    /// Anything else, by its IANA protocol number.
    Other(u8),
}

impl Transport {
    /// The IANA protocol number between such addresses.
    #[must_use]
    pub const fn number(self, address: IpAddr) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Icmp if address.is_ipv6() => 58,
            Self::Icmp => 1,
            Self::Other(number) => number,
        }
    }
}

/// One packet, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Nanoseconds since 1970.
    pub time_ns: i64,
    /// Who sent it.
    pub sender: End,
    /// Whom it is for.
    pub receiver: End,
    /// What carries the payload.
    pub transport: Transport,
    /// What the TCP header says.
    pub tcp: Option<Segment>,
    /// What the header of ICMP or `ICMPv6` says.
    pub icmp: Option<Icmp>,
    /// Bytes of the innermost IP packet, as its header states them; of a fragment those of the fragment.
    pub network_bytes: u64,
    /// Bytes above the transport header, as the headers state them.
    pub payload_bytes: u64,
    /// What of them was captured.
    pub payload: &'a [u8],
}

/// What a header of ICMP or `ICMPv6` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// Type of the message.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// Of an echo, when it was captured.
    pub echo: Option<Echo>,
}

/// An echo request, or the reply to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Whether it asks.
    pub is_request: bool,
    /// What tells the requests of one program from those of another.
    pub identifier: u16,
}

/// Address and port; an IPv4 address inside of an IPv6 one stands as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct End {
    /// The address.
    pub address: IpAddr,
    /// The port; zero where the transport has none.
    pub port: u16,
}

/// What a TCP header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are TCP's own flags")]
pub struct Segment {
    /// It asks for a connection.
    pub syn: bool,
    /// It acknowledges.
    pub ack: bool,
    /// Its sender is done.
    pub fin: bool,
    /// The connection is refused or broken off.
    pub reset: bool,
    /// Sequence and acknowledged number, when known.
    pub numbers: Option<(u32, u32)>,
}

#[cfg(test)]
mod tests;
