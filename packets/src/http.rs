//! The `Host` header of a plain HTTP/1 request (RFC 9112).

use crate::host::{host_name, is_host_name};
use crate::names::Found;

/// Methods of requests that name a host.
const METHODS: [&[u8]; 9] = [
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
];

/// The host that the request names.
#[must_use]
pub fn host(bytes: &[u8]) -> Found {
    if !METHODS.iter().any(|method| begins(bytes, method)) {
        return Found::Nothing;
    }
    let mut lines = bytes.split(|&byte| byte == b'\n').peekable();
    lines.next();
    while let Some(line) = lines.next() {
        if lines.peek().is_none() {
            // This line may go on in the next segment.
            return Found::NeedsMore;
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Found::Nothing;
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"host") {
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            if !is_host_name(value) {
                return Found::Nothing;
            }
            let name = host_name(&String::from_utf8_lossy(value));
            return if name.is_empty() {
                Found::Nothing
            } else {
                Found::Name(name)
            };
        }
    }
    Found::NeedsMore
}

/// Whether the bytes begin so, as far as they are there.
fn begins(bytes: &[u8], with: &[u8]) -> bool {
    let length = with.len().min(bytes.len());
    length > 0 && bytes.get(..length) == with.get(..length)
}
