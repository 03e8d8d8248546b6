//! DNS messages: the question and what the answer says of it (RFC 1035, RFC 3596, RFC 9460).
//!
//! # Contract
//! - A message has exactly one question; what has not is none. A message that breaks off gives what
//!   stands before.
//! - Names are in lower case, without the dot of the root, and the root is `.`; a byte that no host's name has
//!   stands as `\DDD`, as in zone files.
//!
//! # Limits
//! [`ANSWERS_MAX`] records are read, names may jump [`JUMPS_MAX`] times and are at most 255 bytes on the wire, a
//! chain of aliases is followed for [`ALIASES_MAX`] links, a message over TCP is read for 16 KiB.

mod answer;
mod name;
mod stream;

use std::borrow::Cow;
use std::net::IpAddr;

pub use answer::{Data, Record, Service};
pub use stream::Stream;

use crate::cursor::Cursor;

const HEADER_BYTES: usize = 12;
/// Records of an answer that are read.
pub const ANSWERS_MAX: usize = 64;
/// Jumps inside of one name: more is a loop.
pub const JUMPS_MAX: usize = 16;
/// Aliases that lead to an address.
pub const ALIASES_MAX: usize = 16;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Ties the answer to the question.
    pub id: u16,
    /// Whether it is an answer.
    pub response: bool,
    /// Whether it was cut to fit a datagram.
    pub truncated: bool,
    /// The code of the answer: 0 for no error, 3 for no such name.
    pub code: u8,
    /// The name asked for.
    pub name: String,
    /// The type asked for, see [`type_name`].
    pub kind: u16,
    /// Records of the answer, without those of other sections.
    pub answers: Vec<Record>,
}

/// Reads a message; `None` when it is none.
///
/// ```
/// use beaconwatch_packets::dns;
///
/// let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07Example\x04test\0\0\x1c\0\x01";
/// let message = dns::parse(question).unwrap();
/// assert_eq!((message.name.as_str(), message.kind), ("example.test", 28));
/// assert_eq!(dns::type_name(message.kind), "AAAA");
/// ```
#[must_use]
pub fn parse(message: &[u8]) -> Option<Message> {
    let mut header = Cursor::new(message);
    let id = header.short()?;
    let [flags, more_flags] = header.short()?.to_be_bytes();
    let questions = header.short()?;
    let answers = header.short()?;
    if questions != 1 {
        return None;
    }
    let (name, after) = name::read(message, HEADER_BYTES)?;
    let mut rest = Cursor::new(message.get(after..)?);
    let (kind, _class) = (rest.short()?, rest.short()?);
    Some(Message {
        id,
        response: flags & 0x80 != 0,
        truncated: flags & 0x02 != 0,
        code: more_flags & 0x0f,
        name,
        kind,
        answers: answer::read_all(message, after + 4, answers.into()),
    })
}

impl Message {
    /// The addresses that the answer gives for the name asked for, each with the seconds for which it holds: records and
    /// hints (RFC 9460) at the name itself or at the end of aliases.
    #[must_use]
    pub fn addresses(&self) -> Vec<(IpAddr, u32)> {
        let mut found = Vec::new();
        let mut followed = vec![(self.name.as_str(), u32::MAX)];
        let mut next = 0;
        while let Some(&(name, holds_s)) = followed.get(next) {
            next += 1;
            for record in self.answers.iter().filter(|it| it.name == name) {
                let holds_s = holds_s.min(record.ttl_s);
                let alias = match &record.data {
                    Data::Address(address) => {
                        found.push((*address, holds_s));
                        None
                    }
                    Data::Service(service) => {
                        found.extend(service.hints.iter().map(|it| (*it, holds_s)));
                        Some(service.target.as_str()).filter(|target| *target != ".")
                    }
                    Data::Alias(target) => Some(target.as_str()),
                    Data::Other(_) => None,
                };
                let is_new = |alias: &str| followed.iter().all(|it| it.0 != alias);
                if let Some(alias) = alias.filter(|it| is_new(it))
                    && followed.len() <= ALIASES_MAX
                {
                    followed.push((alias, holds_s));
                }
            }
        }
        found
    }
}

/// The name of a record type, such as `A` or `HTTPS`; `TYPE` and the number where it has none here.
#[must_use]
pub fn type_name(kind: u16) -> Cow<'static, str> {
    Cow::Borrowed(match kind {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        10 => "NULL",
        12 => "PTR",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        35 => "NAPTR",
        39 => "DNAME",
        43 => "DS",
        46 => "RRSIG",
        48 => "DNSKEY",
        52 => "TLSA",
        64 => "SVCB",
        65 => "HTTPS",
        255 => "ANY",
        257 => "CAA",
        other => return Cow::Owned(format!("TYPE{other}")),
    })
}

#[cfg(test)]
mod tests;
