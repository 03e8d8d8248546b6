//! The records of an answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{ANSWERS_MAX, name};
use crate::cursor::Cursor;

const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;
const TYPE_SVCB: u16 = 64;
const TYPE_HTTPS: u16 = 65;
/// Keys of a service's parameters.
const ALPN: u16 = 1;
const PORT: u16 = 3;
const IPV4_HINT: u16 = 4;
const ENCRYPTED_CLIENT_HELLO: u16 = 5;
const IPV6_HINT: u16 = 6;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose record it is.
    pub name: String,
    /// Seconds for which it holds.
    pub ttl_s: u32,
    /// What it says.
    pub data: Data,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// A or AAAA.
    Address(IpAddr),
    /// CNAME: the name that stands for this one.
    Alias(String),
    /// SVCB or HTTPS.
    Service(Service),
    /// Another type, by its number, or one whose data are broken.
    Other(u16),
}

/// Where a service is (RFC 9460).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// 0 for an alias; else less is better.
    pub priority: u16,
    /// The host; `.` for the record's own name, or of an alias for none.
    pub target: String,
    /// Application protocols.
    pub alpn: Vec<String>,
    /// The port, when it is another than usual.
    pub port: Option<u16>,
    /// Addresses of the host, until it has been asked for.
    pub hints: Vec<IpAddr>,
    /// Whether clients may encrypt their hello (ECH).
    pub encrypted_hello: bool,
}

/// The records of the answer, up to the first that breaks off.
pub(super) fn read_all(message: &[u8], start: usize, count: usize) -> Vec<Record> {
    let mut at = start;
    let mut records = Vec::new();
    for _ in 0..count.min(ANSWERS_MAX) {
        let Some((record, next)) = read(message, at) else {
            break;
        };
        records.push(record);
        at = next;
    }
    records
}

/// One record, and where the next one begins.
fn read(message: &[u8], at: usize) -> Option<(Record, usize)> {
    let (owner, after) = name::read(message, at)?;
    let mut cursor = Cursor::new(message.get(after..)?);
    let kind = cursor.short()?;
    let _class = cursor.short()?;
    let ttl_s = cursor.long()?;
    let data = cursor.counted_short()?;
    let next = message.len() - cursor.rest.len();
    let record = Record {
        name: owner,
        // The highest bit stands for nothing (RFC 2181, section 8).
        ttl_s: if ttl_s >> 31 == 0 { ttl_s } else { 0 },
        data: of(message, kind, data, next - data.len()).unwrap_or(Data::Other(kind)),
    };
    Some((record, next))
}

/// `None` when the data are not what the type says, or nothing is known of it.
fn of(message: &[u8], kind: u16, data: &[u8], at: usize) -> Option<Data> {
    Some(match kind {
        TYPE_A => Data::Address(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into()),
        TYPE_AAAA => Data::Address(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into()),
        TYPE_CNAME => {
            let (target, after) = name::read(message, at)?;
            (after <= at + data.len()).then_some(Data::Alias(target))?
        }
        TYPE_SVCB | TYPE_HTTPS => Data::Service(service(data)?),
        _ => return None,
    })
}

fn service(data: &[u8]) -> Option<Service> {
    let mut cursor = Cursor::new(data);
    let priority = cursor.short()?;
    // The target is never compressed, so it may be read by itself.
    let (target, after) = name::read(cursor.rest, 0)?;
    cursor.take(after)?;
    let mut service = Service {
        priority,
        target,
        ..Service::default()
    };
    while !cursor.rest.is_empty() {
        let key = cursor.short()?;
        let value = cursor.counted_short()?;
        parameter(&mut service, key, value)?;
    }
    Some(service)
}

fn parameter(service: &mut Service, key: u16, value: &[u8]) -> Option<()> {
    let mut cursor = Cursor::new(value);
    match key {
        ALPN => {
            while !cursor.rest.is_empty() {
                let protocol = String::from_utf8_lossy(cursor.counted()?).into_owned();
                service.alpn.push(protocol);
            }
        }
        PORT => service.port = Some(cursor.short()?),
        IPV4_HINT => {
            let (hints, _rest) = value.as_chunks::<4>();
            service
                .hints
                .extend(hints.iter().map(|it| IpAddr::from(*it)));
        }
        IPV6_HINT => {
            let (hints, _rest) = value.as_chunks::<16>();
            service
                .hints
                .extend(hints.iter().map(|it| IpAddr::from(*it)));
        }
        ENCRYPTED_CLIENT_HELLO => service.encrypted_hello = true,
        _ => {}
    }
    Some(())
}
