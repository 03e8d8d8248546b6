//! Bodies of HTTP requests, packed as the settings say. gRPC packs its messages itself.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::HeaderValue;

use crate::otlp::connection::Compression;

/// The body and its `Content-Encoding`, if it has one.
pub(in crate::otlp) fn pack(
    body: Bytes,
    compression: Compression,
) -> io::Result<(Bytes, Option<HeaderValue>)> {
    Ok(match compression {
        Compression::None => (body, None),
        Compression::Gzip => (gzip(&body)?, Some(HeaderValue::from_static("gzip"))),
        Compression::Zstd => (zstd(&body)?, Some(HeaderValue::from_static("zstd"))),
    })
}

fn gzip(body: &[u8]) -> io::Result<Bytes> {
    let packed = Vec::with_capacity(body.len() / 4);
    let mut encoder = GzEncoder::new(packed, flate2::Compression::fast());
    encoder.write_all(body)?;
    Ok(encoder.finish()?.into())
}

/// At the format's usual level: it packs tighter than fast gzip, and sooner.
fn zstd(body: &[u8]) -> io::Result<Bytes> {
    zstd::bulk::compress(body, zstd::DEFAULT_COMPRESSION_LEVEL).map(Bytes::from)
}
