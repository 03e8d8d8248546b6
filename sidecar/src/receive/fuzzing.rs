//! Bodies of requests, for the fuzz targets.

use super::{body, json};

/// A request in JSON as the same in Protocol Buffers encoding; none where it is refused.
#[must_use]
pub fn otlp_json(text: &[u8], body_limit: usize) -> Option<Vec<u8>> {
    json::to_protobuf(text, body_limit).ok()
}

/// The bytes of a compressed body; none where it is refused.
#[must_use]
pub fn gunzip(compressed: &[u8], limit: usize) -> Option<Vec<u8>> {
    body::gunzip(compressed, limit).ok().map(Into::into)
}
