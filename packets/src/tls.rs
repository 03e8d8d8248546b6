//! The `ClientHello` of TLS (RFC 8446, RFC 6066, RFC 7301), over several records when need be.
//!
//! # Contract
//! - The bytes are the beginning of what the client sent, in order: the caller puts segments together
//!   ([`crate::assembly`]). A hello that goes on past them is [`Verdict::NeedsMore`].
//! - A hello whose length is there but whose extensions break off inside gives what stands before, without
//!   fingerprints ([`ClientHello::whole`]).
//!
//! # Limits
//! A message longer than 64 KiB is none.

mod fingerprint;

use crate::Verdict;
use crate::cursor::Cursor;
use crate::host::is_host_name;

/// Type of a handshake record, and of a `ClientHello` in it.
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// Longest fragment of a record: 2^14, and room for what ciphers add.
const RECORD_BYTES_MAX: usize = (1 << 14) + 256;
const MESSAGE_BYTES_MAX: usize = 1 << 16;
const HOST_NAME: u8 = 0;

const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
const APPLICATION_PROTOCOLS: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// What carries a hello.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// TLS over TCP.
    #[default]
    Tcp,
    /// QUIC.
    Quic,
}

/// What a client says first. Lists are as they were sent, with their GREASE (RFC 8701).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// What carried it.
    pub carrier: Carrier,
    /// The name that the client asks for, in lower case; `None` also when it is no host's name.
    pub server_name: Option<String>,
    /// Application protocols (ALPN); bytes that are not UTF-8 are replaced.
    pub alpn: Vec<String>,
    /// The version in its old place.
    pub version: u16,
    /// The versions that the client supports, when it says so by extension.
    pub versions: Vec<u16>,
    /// Cipher suites.
    pub ciphers: Vec<u16>,
    /// Types of all extensions.
    pub extensions: Vec<u16>,
    /// Groups for key exchange.
    pub groups: Vec<u16>,
    /// Formats of points on curves.
    pub point_formats: Vec<u8>,
    /// Signature algorithms.
    pub signature_algorithms: Vec<u16>,
    /// Whether all of it was there and well formed.
    pub whole: bool,
    /// What JA4 says of the first application protocol.
    first_protocol: Option<[char; 2]>,
}

/// The hello in the first bytes that a client sent over TCP.
///
/// ```
/// use beaconwatch_packets::{Verdict, tls};
///
/// // A record that says it is a handshake, and breaks off.
/// assert_eq!(tls::client_hello(b"\x16\x03\x01\x02\0\x01\0"), Verdict::NeedsMore);
/// assert_eq!(tls::client_hello(b"SSH-2.0-x"), Verdict::Nothing);
/// ```
#[must_use]
pub fn client_hello(bytes: &[u8]) -> Verdict<ClientHello> {
    match handshake(bytes) {
        Some(message) => client_hello_message(&message, Carrier::Tcp),
        None => Verdict::Nothing,
    }
}

/// The hello in a handshake message, without record headers: what QUIC carries in CRYPTO frames.
#[must_use]
pub fn client_hello_message(message: &[u8], carrier: Carrier) -> Verdict<ClientHello> {
    let Some(length) = message_length(message) else {
        return match message {
            [] | [CLIENT_HELLO] | [CLIENT_HELLO, _] | [CLIENT_HELLO, _, _] => Verdict::NeedsMore,
            _ => Verdict::Nothing,
        };
    };
    let Some(body) = message.get(4..4 + length) else {
        return Verdict::NeedsMore;
    };
    match read(body, carrier) {
        Some(hello) => Verdict::Found(hello),
        None => Verdict::Nothing,
    }
}

/// What stands in the beginning of a hello that breaks off, without fingerprints; `None` when there is no hello.
#[must_use]
pub fn client_hello_so_far(bytes: &[u8]) -> Option<ClientHello> {
    message_so_far(&handshake(bytes)?, Carrier::Tcp)
}

pub(crate) fn message_so_far(message: &[u8], carrier: Carrier) -> Option<ClientHello> {
    let length = message_length(message)?;
    let body = message.get(4..)?;
    let hello = read(body.get(..length).unwrap_or(body), carrier)?;
    let whole = hello.whole && body.len() >= length;
    Some(ClientHello { whole, ..hello })
}

/// The length of the body that a hello's header states.
fn message_length(message: &[u8]) -> Option<usize> {
    let [CLIENT_HELLO, high, middle, low, ..] = *message else {
        return None;
    };
    let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()?;
    (length <= MESSAGE_BYTES_MAX).then_some(length)
}

/// What the records carry, as far as they are there; `None` when they are no handshake.
fn handshake(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut cursor = Cursor::new(bytes);
    let mut carried = Vec::new();
    while !cursor.rest.is_empty() {
        let kind = cursor.byte()?;
        if kind != HANDSHAKE {
            // After the handshake's first records anything may follow.
            return (!carried.is_empty()).then_some(carried);
        }
        let Some(major) = cursor.byte() else {
            break;
        };
        if major != 3 {
            return (!carried.is_empty()).then_some(carried);
        }
        let (Some(_minor), Some(length)) = (cursor.byte(), cursor.short()) else {
            break;
        };
        let length = usize::from(length);
        if length == 0 || length > RECORD_BYTES_MAX {
            return None;
        }
        let there = length.min(cursor.rest.len());
        carried.extend_from_slice(cursor.take(there)?);
    }
    Some(carried)
}

/// Reads as much of a hello as is there; `None` when it breaks off before its extensions.
fn read(body: &[u8], carrier: Carrier) -> Option<ClientHello> {
    let mut cursor = Cursor::new(body);
    let version = cursor.short()?;
    let _random = cursor.take(32)?;
    let _session = cursor.counted()?;
    let ciphers = shorts(cursor.counted_short()?);
    let _compressions = cursor.counted()?;
    let mut hello = ClientHello {
        carrier,
        version,
        ciphers,
        ..ClientHello::default()
    };
    hello.whole = cursor.rest.is_empty() || extensions(&mut hello, cursor).is_some();
    Some(hello)
}

/// `None` when they break off.
fn extensions(hello: &mut ClientHello, mut cursor: Cursor<'_>) -> Option<()> {
    let length = usize::from(cursor.short()?);
    let mut extensions = Cursor::new(cursor.rest.get(..length).unwrap_or(cursor.rest));
    while !extensions.rest.is_empty() {
        let kind = extensions.short()?;
        let body = extensions.counted_short()?;
        hello.extensions.push(kind);
        extension(hello, kind, body)?;
    }
    (cursor.rest.len() >= length).then_some(())
}

fn extension(hello: &mut ClientHello, kind: u16, body: &[u8]) -> Option<()> {
    let mut cursor = Cursor::new(body);
    match kind {
        SERVER_NAME => {
            let mut list = Cursor::new(cursor.counted_short()?);
            if list.byte()? == HOST_NAME {
                let name = list.counted_short()?;
                hello.server_name =
                    is_host_name(name).then(|| String::from_utf8_lossy(name).to_ascii_lowercase());
            }
        }
        SUPPORTED_GROUPS => hello.groups = shorts(cursor.counted_short()?),
        POINT_FORMATS => hello.point_formats = cursor.counted()?.to_vec(),
        SIGNATURE_ALGORITHMS => hello.signature_algorithms = shorts(cursor.counted_short()?),
        APPLICATION_PROTOCOLS => {
            let mut list = Cursor::new(cursor.counted_short()?);
            while !list.rest.is_empty() {
                let protocol = list.counted()?;
                if hello.alpn.is_empty() {
                    hello.first_protocol = fingerprint::first_and_last(protocol);
                }
                hello
                    .alpn
                    .push(String::from_utf8_lossy(protocol).into_owned());
            }
        }
        SUPPORTED_VERSIONS => hello.versions = shorts(cursor.counted()?),
        _ => {}
    }
    Some(())
}

fn shorts(list: &[u8]) -> Vec<u16> {
    let (pairs, _odd) = list.as_chunks::<2>();
    pairs.iter().map(|it| u16::from_be_bytes(*it)).collect()
}
