//! The `ClientHello` in a client's first QUIC datagrams (RFC 9000, RFC 9001, RFC 9369).
//!
//! Initial packets are encrypted with keys that follow from what is on the wire, so anyone can read
//! them. Clients split the hello over several packets and shuffle its parts; a Retry or another version
//! changes the keys.
//!
//! # Contract
//! - What is fed are the UDP payloads that the client sent, whole: a cut one cannot be authenticated and
//!   tells nothing. What does not authenticate is not QUIC.
//! - Versions 1 and 2 are read.
//!
//! # Limits
//! [`DATAGRAMS_MAX`] datagrams are looked at, 8 packets in each, 16 KiB of hello.

mod keys;

use crate::Verdict;
use crate::assembly::Assembly;
use crate::cursor::Cursor;
use crate::tls::{self, Carrier, ClientHello};
use keys::{Header, Keys};

/// Datagrams in which a hello is looked for.
pub const DATAGRAMS_MAX: u8 = 32;
/// Packets of one datagram.
const PACKETS_MAX: usize = 8;
const CONNECTION_ID_BYTES_MAX: usize = 20;

/// A version of QUIC whose first packets can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// RFC 9000.
    V1,
    /// RFC 9369.
    V2,
}

impl Version {
    const fn of(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::V1),
            0x6b33_43cf => Some(Self::V2),
            _ => None,
        }
    }

    /// What packets of this version have in their header.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::V1 => 1,
            Self::V2 => 0x6b33_43cf,
        }
    }

    /// Whether bits 4 and 5 of the first byte say that a packet is an Initial one.
    const fn is_initial(self, first: u8) -> bool {
        let kind = (first >> 4) & 3;
        match self {
            Self::V1 => kind == 0,
            Self::V2 => kind == 1,
        }
    }

    const fn is_retry(self, first: u8) -> bool {
        let kind = (first >> 4) & 3;
        match self {
            Self::V1 => kind == 3,
            Self::V2 => kind == 0,
        }
    }
}

/// The first datagrams of one client, as they come.
#[derive(Debug, Default)]
pub struct Initials {
    /// The identity that the client gave the server first, and its keys.
    original: Option<(Vec<u8>, Keys)>,
    version: Option<Version>,
    hello: Assembly,
    datagrams: u8,
}

impl Initials {
    /// Takes a datagram in.
    ///
    /// After [`Verdict::Found`] or [`Verdict::Nothing`] there is no more to look for.
    pub fn take(&mut self, datagram: &[u8]) -> Verdict<ClientHello> {
        self.datagrams = self.datagrams.saturating_add(1);
        let mut rest = datagram;
        let mut is_quic = false;
        for _ in 0..PACKETS_MAX {
            let Some(packet) = Packet::of(rest) else {
                break;
            };
            rest = rest.get(packet.bytes.len()..).unwrap_or_default();
            is_quic |= !packet.is_initial || self.initial(&packet);
        }
        if !is_quic && self.version.is_none() {
            return Verdict::Nothing;
        }
        match tls::client_hello_message(self.hello.prefix(), Carrier::Quic) {
            Verdict::NeedsMore if self.datagrams >= DATAGRAMS_MAX || self.hello.is_full() => {
                Verdict::Nothing
            }
            verdict => verdict,
        }
    }

    /// The version of the first packet that could be read.
    #[must_use]
    pub const fn version(&self) -> Option<Version> {
        self.version
    }

    /// What stands in the beginning of a hello that has not come whole, without fingerprints.
    #[must_use]
    pub fn so_far(&self) -> Option<ClientHello> {
        tls::message_so_far(self.hello.prefix(), Carrier::Quic)
    }

    /// Whether the packet could be read.
    fn initial(&mut self, packet: &Packet<'_>) -> bool {
        let Some(payload) = self.open(packet) else {
            return false;
        };
        self.version.get_or_insert(packet.version);
        // A frame that cannot be read ends the packet.
        let _rest_is_unknown = frames(&payload, |offset, data| self.hello.insert(offset, data));
        true
    }

    fn open(&mut self, packet: &Packet<'_>) -> Option<Vec<u8>> {
        let header = Header {
            bytes: packet.bytes,
            number_at: packet.number_at,
        };
        if let Some((original, keys)) = &self.original {
            let opened = if keys.version() == packet.version {
                keys.open(&header)
            } else {
                // The server may have chosen another version: the identity stays.
                Keys::of_client(packet.version, original)?.open(&header)
            };
            if opened.is_some() || *original == packet.destination {
                return opened;
            }
        }
        // The first packet, or the first after a Retry.
        let keys = Keys::of_client(packet.version, packet.destination)?;
        let opened = keys.open(&header)?;
        self.original = Some((packet.destination.to_vec(), keys));
        Some(opened)
    }
}

/// A packet with a long header, of a version that is read.
struct Packet<'a> {
    version: Version,
    is_initial: bool,
    destination: &'a [u8],
    /// All of it, and of what follows it nothing.
    bytes: &'a [u8],
    /// Where its number is.
    number_at: usize,
}

impl<'a> Packet<'a> {
    fn of(datagram: &'a [u8]) -> Option<Self> {
        const LONG_HEADER: u8 = 0x80;
        const FIXED: u8 = 0x40;
        let mut cursor = Cursor::new(datagram);
        let first = cursor.byte()?;
        if first & (LONG_HEADER | FIXED) != LONG_HEADER | FIXED {
            return None;
        }
        let version = Version::of(cursor.long()?)?;
        let destination = cursor.counted()?;
        let source = cursor.counted()?;
        let is_initial = version.is_initial(first);
        if destination.len().max(source.len()) > CONNECTION_ID_BYTES_MAX || version.is_retry(first)
        {
            return None;
        }
        if is_initial {
            let token = variable(&mut cursor)?;
            cursor.take(usize::try_from(token).ok()?)?;
        }
        let length = usize::try_from(variable(&mut cursor)?).ok()?;
        let number_at = datagram.len() - cursor.rest.len();
        Some(Self {
            version,
            is_initial,
            destination,
            bytes: datagram.get(..number_at.checked_add(length)?)?,
            number_at,
        })
    }
}

/// An integer of variable length (RFC 9000, section 16).
fn variable(cursor: &mut Cursor<'_>) -> Option<u64> {
    let first = cursor.byte()?;
    let more = (1_usize << (first >> 6)) - 1;
    let rest = cursor.take(more)?;
    let value = u64::from(first & 0x3f);
    Some(
        rest.iter()
            .fold(value, |value, byte| (value << 8) | u64::from(*byte)),
    )
}

/// Gives each CRYPTO frame to `take`: offset and data. `None` when another frame than Initial packets may have
/// stands there, or one breaks off.
fn frames(payload: &[u8], mut take: impl FnMut(usize, &[u8])) -> Option<()> {
    const PADDING: u64 = 0;
    const PING: u64 = 1;
    const ACK: u64 = 2;
    const ACK_WITH_CONGESTION: u64 = 3;
    const CRYPTO: u64 = 6;
    let mut cursor = Cursor::new(payload);
    while !cursor.rest.is_empty() {
        match variable(&mut cursor)? {
            PADDING | PING => {}
            kind @ (ACK | ACK_WITH_CONGESTION) => {
                let _largest = variable(&mut cursor)?;
                let _delay = variable(&mut cursor)?;
                let ranges = variable(&mut cursor)?;
                let _first = variable(&mut cursor)?;
                for _ in 0..ranges {
                    let _gap = variable(&mut cursor)?;
                    let _length = variable(&mut cursor)?;
                }
                for _ in 0..if kind == ACK { 0 } else { 3 } {
                    let _count = variable(&mut cursor)?;
                }
            }
            CRYPTO => {
                let offset = variable(&mut cursor)?;
                let length = variable(&mut cursor)?;
                let data = cursor.take(usize::try_from(length).ok()?)?;
                take(usize::try_from(offset).ok()?, data);
            }
            _ => return None,
        }
    }
    Some(())
}

#[cfg(feature = "fuzzing")]
pub(crate) fn hello_in_frames(payload: &[u8]) -> Verdict<ClientHello> {
    let mut hello = Assembly::default();
    let _rest_is_unknown = frames(payload, |offset, data| hello.insert(offset, data));
    tls::client_hello_message(hello.prefix(), Carrier::Quic)
}

#[cfg(test)]
mod tests;
