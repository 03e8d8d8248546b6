//! [`Look`]: which payloads are worth a look, by the rules of the kernel part (`exporter-ebpf/src/payload.rs`).

use beaconwatch_packets::{Packet, Transport, classify::DNS_PORT};

const MOST_DNS_BYTES: u64 = 32_768;
const MOST_HELLO_BYTES: u64 = 16_384;
/// Datagrams of a flow that may be QUIC Initial packets.
const MOST_DATAGRAMS: u8 = 4;

/// Bytes of a record header and the header of a handshake message in it (RFC 8446).
const TLS_HEADERS: u64 = 9;
const TLS_HANDSHAKE: u8 = 22;
const TLS_MAJOR: u8 = 3;
const CLIENT_HELLO: u8 = 1;
/// More records than one, or more headers, may lie in between.
const TLS_SLACK: u64 = 64;

/// Long header with the fixed bit (RFC 9000).
const QUIC_LONG: u8 = 0xc0;
const QUIC_VERSIONS: [u32; 2] = [1, 0x6b33_43cf];

const METHODS: [&[u8; 4]; 9] = [
    b"GET ", b"POST", b"HEAD", b"PUT ", b"DELE", b"OPTI", b"CONN", b"PATC", b"TRAC",
];

/// What a flow is looked at for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Look {
    /// Its first payload is to come.
    #[default]
    Beginning,
    /// A `ClientHello` or request, of which so many bytes may be missing.
    Hello(u64),
    /// DNS over TCP, of which so many bytes may still be looked at.
    Dns(u64),
    /// QUIC, of which so many datagrams may be.
    Datagrams(u8),
    /// Classified, or nothing to look for.
    Nothing,
}

impl Look {
    /// Whether a packet's payload is to be handed out; `port` is that of the end that answers.
    pub(super) fn wants(&mut self, packet: &Packet<'_>, outward: bool, port: u16) -> bool {
        if packet.payload.is_empty() {
            return false;
        }
        match packet.transport {
            Transport::Tcp => self.wants_segment(packet, outward, port),
            Transport::Udp if port == DNS_PORT => true,
            Transport::Udp => outward && self.wants_datagram(packet.payload),
            Transport::Icmp | Transport::Other(_) => false,
        }
    }

    fn wants_segment(&mut self, packet: &Packet<'_>, outward: bool, port: u16) -> bool {
        if *self == Self::Beginning && port == DNS_PORT {
            *self = Self::Dns(MOST_DNS_BYTES);
        }
        let length = packet.payload_bytes;
        match *self {
            Self::Dns(left) => {
                *self = spent(left, length).map_or(Self::Nothing, Self::Dns);
                true
            }
            Self::Beginning if outward => {
                let missing = missing(packet.payload, length);
                let left = missing.and_then(|left| spent(left, length));
                *self = left.map_or(Self::Nothing, Self::Hello);
                missing.is_some()
            }
            Self::Hello(left) if outward => {
                *self = spent(left, length).map_or(Self::Nothing, Self::Hello);
                true
            }
            // Who answers first speaks none of the protocols that name a server.
            Self::Beginning => {
                *self = Self::Nothing;
                false
            }
            Self::Hello(_) | Self::Datagrams(_) | Self::Nothing => false,
        }
    }

    fn wants_datagram(&mut self, payload: &[u8]) -> bool {
        let left = match *self {
            Self::Beginning => MOST_DATAGRAMS,
            Self::Datagrams(left) => left,
            _ => return false,
        };
        let initial = is_quic_initial(payload);
        *self = match left.checked_sub(1) {
            Some(left @ 1..) if initial => Self::Datagrams(left),
            _ => Self::Nothing,
        };
        initial
    }
}

/// What is left of a budget; `None` when it is used up.
const fn spent(left: u64, length: u64) -> Option<u64> {
    if left <= length {
        None
    } else {
        Some(left - length)
    }
}

/// Bytes to look at from here on, when the first payload of a connection is worth it.
fn missing(payload: &[u8], length: u64) -> Option<u64> {
    let Some(&[kind, major, _, _, _, message, high, middle, low]) = payload.first_chunk() else {
        return (payload.first() == Some(&TLS_HANDSHAKE)).then_some(MOST_HELLO_BYTES);
    };
    if kind == TLS_HANDSHAKE && major == TLS_MAJOR && message == CLIENT_HELLO {
        let whole = TLS_HEADERS + u64::from(u32::from_be_bytes([0, high, middle, low]));
        return Some(if whole <= length {
            0
        } else {
            (whole + TLS_SLACK).min(MOST_HELLO_BYTES)
        });
    }
    let is_request = METHODS.iter().any(|it| payload.starts_with(*it));
    is_request.then_some(0)
}

fn is_quic_initial(payload: &[u8]) -> bool {
    let Some(&[first, a, b, c, d]) = payload.first_chunk() else {
        return false;
    };
    first & QUIC_LONG == QUIC_LONG && QUIC_VERSIONS.contains(&u32::from_be_bytes([a, b, c, d]))
}
