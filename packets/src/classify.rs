//! What the first bytes of one direction are, and when to stop looking.
//!
//! # Contract
//! - TCP is fed by offset in its stream, in any order; UDP datagram by datagram. What a server sends first is
//!   nothing, except in DNS.
//! - After [`Verdict::Found`] or [`Verdict::Nothing`] there is no more to look for: the caller stops feeding. Only DNS goes on
//!   with further messages ([`crate::dns::Stream`], [`crate::dns::parse`]).
//! - QUIC needs whole datagrams, all else is content with any cut.
//!
//! # Limits
//! [`BYTES_MAX`] bytes of a stream, in [`PIECES_MAX`] pieces.

use crate::assembly::Assembly;
pub use crate::assembly::BYTES_MAX;
use crate::{Transport, Verdict, dns, http, quic, tls};

/// Segments or datagrams that are put together.
pub const PIECES_MAX: u8 = 32;
/// Port of DNS.
pub const DNS_PORT: u16 = 53;

/// What is talked, with what was said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TLS over TCP.
    Tls(Box<tls::ClientHello>),
    /// QUIC, of a version.
    Quic(quic::Version, Box<tls::ClientHello>),
    /// HTTP/1.
    Http(Box<http::Request>),
    /// DNS: the first message.
    Dns(Box<dns::Message>),
}

/// What the first bytes of one direction are: of TCP the beginning of the stream, else one datagram. `ports` are those of
/// sender and receiver.
///
/// A hello of QUIC that goes on in other datagrams is [`Verdict::NeedsMore`] for ever: feed a [`Classifier`].
///
/// ```
/// use beaconwatch_packets::classify::{Protocol, classify};
/// use beaconwatch_packets::{Transport, Verdict};
///
/// let ports = (40_000, 80);
/// let verdict = classify(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", Transport::Tcp, ports);
/// assert!(matches!(verdict, Verdict::Found(Protocol::Http(request)) if request.method == "GET"));
/// assert_eq!(classify(b"SSH-2.0-x\r\n", Transport::Tcp, ports), Verdict::Nothing);
/// ```
#[must_use]
pub fn classify(bytes: &[u8], transport: Transport, ports: (u16, u16)) -> Verdict<Protocol> {
    match transport {
        Transport::Tcp => of_stream(bytes, is_dns(ports)),
        Transport::Udp if is_dns(ports) => of_dns_datagram(bytes),
        Transport::Udp => of_datagram(&mut quic::Initials::default(), bytes),
        Transport::Icmp | Transport::Other(_) => Verdict::Nothing,
    }
}

const fn is_dns((sender, receiver): (u16, u16)) -> bool {
    sender == DNS_PORT || receiver == DNS_PORT
}

fn of_stream(bytes: &[u8], is_dns: bool) -> Verdict<Protocol> {
    let Some(&first) = bytes.first() else {
        return Verdict::NeedsMore;
    };
    if is_dns {
        let first = dns::Stream::default().take(bytes).into_iter().next();
        return first.map_or(Verdict::NeedsMore, |it| {
            Verdict::Found(Protocol::Dns(Box::new(it)))
        });
    }
    if first == 0x16 {
        tls::client_hello(bytes).map(|it| Protocol::Tls(Box::new(it)))
    } else {
        http::request(bytes).map(|it| Protocol::Http(Box::new(it)))
    }
}

fn of_dns_datagram(bytes: &[u8]) -> Verdict<Protocol> {
    dns::parse(bytes).map_or(Verdict::Nothing, |it| {
        Verdict::Found(Protocol::Dns(Box::new(it)))
    })
}

fn of_datagram(initials: &mut quic::Initials, bytes: &[u8]) -> Verdict<Protocol> {
    let verdict = initials.take(bytes);
    match (verdict, initials.version()) {
        (Verdict::Found(hello), Some(version)) => {
            Verdict::Found(Protocol::Quic(version, Box::new(hello)))
        }
        (Verdict::NeedsMore, _) => Verdict::NeedsMore,
        _ => Verdict::Nothing,
    }
}

/// Looks at one direction, piece by piece. What is recognised in its first piece is not copied.
#[derive(Debug)]
pub struct Classifier {
    state: State,
    is_dns: bool,
    pieces: u8,
}

#[derive(Debug)]
enum State {
    /// TCP.
    Stream(Assembly),
    /// UDP.
    Datagrams(Box<quic::Initials>),
    /// No more to look for.
    Done,
}

impl Classifier {
    /// Looks at what one end sends; `ports` are those of sender and receiver.
    #[must_use]
    pub fn new(transport: Transport, ports: (u16, u16)) -> Self {
        Self {
            state: match transport {
                Transport::Tcp => State::Stream(Assembly::default()),
                Transport::Udp => State::Datagrams(Box::default()),
                Transport::Icmp | Transport::Other(_) => State::Done,
            },
            is_dns: is_dns(ports),
            pieces: 0,
        }
    }

    /// Takes in the payload of a segment at an offset in its stream, or of a datagram whatever the offset.
    pub fn take(&mut self, offset: usize, payload: &[u8]) -> Verdict<Protocol> {
        let mut verdict = match &mut self.state {
            State::Stream(stream) => {
                let whole = stream.prefix().is_empty() && offset == 0;
                let first = if whole {
                    of_stream(payload.get(..BYTES_MAX).unwrap_or(payload), self.is_dns)
                } else {
                    Verdict::NeedsMore
                };
                if first == Verdict::NeedsMore {
                    stream.insert(offset, payload);
                    of_stream(stream.prefix(), self.is_dns)
                } else {
                    first
                }
            }
            State::Datagrams(_) if self.is_dns => of_dns_datagram(payload),
            State::Datagrams(initials) => of_datagram(initials, payload),
            State::Done => Verdict::Nothing,
        };
        self.pieces = self.pieces.saturating_add(1);
        if verdict == Verdict::NeedsMore && self.is_exhausted() {
            verdict = self.so_far().map_or(Verdict::Nothing, Verdict::Found);
        }
        if verdict != Verdict::NeedsMore {
            self.state = State::Done;
        }
        verdict
    }

    fn is_exhausted(&self) -> bool {
        let is_full = matches!(&self.state, State::Stream(stream) if stream.is_full());
        is_full || self.pieces >= PIECES_MAX
    }

    /// What can be told of a hello or a head that has not come whole: for a caller that gives up.
    #[must_use]
    pub fn so_far(&self) -> Option<Protocol> {
        match &self.state {
            State::Stream(stream) if stream.prefix().first() == Some(&0x16) => {
                let hello = tls::client_hello_so_far(stream.prefix())?;
                Some(Protocol::Tls(Box::new(hello)))
            }
            State::Stream(stream) => {
                let request = http::request_so_far(stream.prefix())?;
                Some(Protocol::Http(Box::new(request)))
            }
            State::Datagrams(initials) => Some(Protocol::Quic(
                initials.version()?,
                Box::new(initials.so_far()?),
            )),
            State::Done => None,
        }
    }
}
