//! The question of a DNS message and the addresses in its answer (RFC 1035, RFC 3596).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::host::is_host_name;

const HEADER_BYTES: usize = 12;
/// Records of an answer that are read.
const ANSWERS_MAX: usize = 64;
/// Jumps inside of one name: more is a loop.
const JUMPS_MAX: usize = 16;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The name asked for, in lower case.
    pub name: String,
    /// Addresses in the answer, whatever aliases lie between.
    pub addresses: Vec<IpAddr>,
}

/// Reads a message with exactly one question; `None` when it is none.
#[must_use]
pub fn parse(message: &[u8]) -> Option<Message> {
    let questions = short(message, 4)?;
    let answers = usize::from(short(message, 6)?);
    if questions != 1 {
        return None;
    }
    let (name, after) = name(message, HEADER_BYTES)?;
    if !is_host_name(name.as_bytes()) {
        return None;
    }
    let mut at = after.checked_add(4)?;
    message.get(..at)?;
    let mut addresses = Vec::new();
    for _ in 0..answers.min(ANSWERS_MAX) {
        let Some((address, next)) = answer(message, at) else {
            break;
        };
        addresses.extend(address);
        at = next;
    }
    Some(Message { name, addresses })
}

/// One record: its address, if it has one, and where the next record begins.
fn answer(message: &[u8], at: usize) -> Option<(Option<IpAddr>, usize)> {
    let (_, after) = name(message, at)?;
    let kind = short(message, after)?;
    let length = usize::from(short(message, after + 8)?);
    let data = message.get(after + 10..after + 10 + length)?;
    let address = match (kind, data.len()) {
        (TYPE_A, 4) => <[u8; 4]>::try_from(data)
            .ok()
            .map(|it| Ipv4Addr::from(it).into()),
        (TYPE_AAAA, 16) => <[u8; 16]>::try_from(data)
            .ok()
            .map(|it| Ipv6Addr::from(it).into()),
        _ => None,
    };
    Some((address, after + 10 + length))
}

fn short(message: &[u8], at: usize) -> Option<u16> {
    let bytes = message.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

/// A name, and where what follows it begins.
fn name(message: &[u8], start: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut at = start;
    let mut after = None;
    let mut jumps = 0;
    loop {
        let length = usize::from(*message.get(at)?);
        match length {
            0 => return Some((name, after.unwrap_or(at + 1))),
            1..=63 => {
                let label = message.get(at + 1..at + 1 + length)?;
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
                if name.len() > 255 * 3 {
                    return None;
                }
                at += 1 + length;
            }
            192.. => {
                jumps += 1;
                if jumps > JUMPS_MAX {
                    return None;
                }
                after.get_or_insert(at + 2);
                at = usize::from(short(message, at)? & 0x3fff);
            }
            _ => return None,
        }
    }
}
