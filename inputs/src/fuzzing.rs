//! Ways into parsers that have no other one, for the fuzz targets only.

use crate::packets::names::{Found, dns, name_of};

/// The server's name in the first bytes of a connection.
#[must_use]
pub fn name_in_head(bytes: &[u8]) -> Option<String> {
    match name_of(bytes) {
        Found::Name(name) => Some(name),
        Found::NeedsMore | Found::Nothing => None,
    }
}

/// The name that a DNS message asks for.
#[must_use]
pub fn name_in_dns(bytes: &[u8]) -> Option<String> {
    dns::parse(bytes).map(|message| message.name)
}
