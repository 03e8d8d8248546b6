//! The server name of a TLS `ClientHello` (RFC 8446, RFC 6066), over several records when need be.

use crate::cursor::Cursor;
use crate::host::is_host_name;
use crate::names::Found;

/// Type of a handshake record, and of a `ClientHello` in it.
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// Longest fragment of a record: 2^14, and room for what ciphers add.
const RECORD_BYTES_MAX: usize = (1 << 14) + 256;
const SERVER_NAME_EXTENSION: u16 = 0;
const HOST_NAME: u8 = 0;

/// The name that the client asks for.
#[must_use]
pub fn server_name(bytes: &[u8]) -> Found {
    let Some(handshake) = handshake(bytes) else {
        return Found::Nothing;
    };
    let (kind, length) = match handshake.as_slice() {
        [kind, high, middle, low, ..] => {
            let length = u32::from_be_bytes([0, *high, *middle, *low]);
            (*kind, usize::try_from(length).unwrap_or(usize::MAX))
        }
        _ => return Found::NeedsMore,
    };
    if kind != CLIENT_HELLO || length > 1 << 16 {
        return Found::Nothing;
    }
    let Some(hello) = handshake.get(4..4 + length) else {
        return Found::NeedsMore;
    };
    match name_in_hello(hello).filter(|name| is_host_name(name)) {
        Some(name) => Found::Name(String::from_utf8_lossy(name).to_ascii_lowercase()),
        None => Found::Nothing,
    }
}

/// What the records carry, as far as they are there; `None` when they are no handshake.
fn handshake(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut cursor = Cursor::new(bytes);
    let mut carried = Vec::new();
    while !cursor.rest.is_empty() {
        let (Some(kind), Some(version)) = (cursor.byte(), cursor.short()) else {
            break;
        };
        if kind != HANDSHAKE || version >> 8 != 3 {
            // After the handshake's first records anything may follow.
            return (!carried.is_empty()).then_some(carried);
        }
        let Some(length) = cursor.short().map(usize::from) else {
            break;
        };
        if length == 0 || length > RECORD_BYTES_MAX {
            return None;
        }
        let there = length.min(cursor.rest.len());
        carried.extend_from_slice(cursor.take(there)?);
    }
    Some(carried)
}

fn name_in_hello(hello: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(hello);
    cursor.take(2 + 32)?;
    let session = cursor.byte()?;
    cursor.take(session.into())?;
    let ciphers = cursor.short()?;
    cursor.take(ciphers.into())?;
    let compressions = cursor.byte()?;
    cursor.take(compressions.into())?;
    let length = cursor.short()?;
    let mut extensions = Cursor::new(cursor.take(length.into())?);
    while !extensions.rest.is_empty() {
        let kind = extensions.short()?;
        let length = extensions.short()?;
        let body = extensions.take(length.into())?;
        if kind == SERVER_NAME_EXTENSION {
            let mut list = Cursor::new(body);
            list.short()?;
            if list.byte()? != HOST_NAME {
                return None;
            }
            let length = list.short()?;
            return list.take(length.into());
        }
    }
    None
}
