//! Reads request bodies within limits, as they come and decompressed.

use std::io::Read;

use axum::body::Body;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt, LengthLimitError, Limited};

/// Why a body was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body has more than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body has more than {limit} bytes when decompressed")]
    TooLargeInside { limit: usize },
    #[error("the body ended early: {0}")]
    Aborted(String),
    #[error("the body is not gzip: {0}")]
    NotGzip(std::io::Error),
}

/// Reads the whole body; stops at the limit.
pub(crate) async fn read(body: Body, limit: usize) -> Result<Bytes, BodyError> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge { limit }),
        Err(error) => Err(BodyError::Aborted(error.to_string())),
    }
}

/// Decompresses; stops at the limit, so that a small body cannot become a large one.
pub(crate) fn gunzip(compressed: &[u8], limit: usize) -> Result<Bytes, BodyError> {
    let mut plain = Vec::with_capacity(compressed.len().saturating_mul(4).min(limit));
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(compressed)
        .take(bound)
        .read_to_end(&mut plain)
        .map_err(BodyError::NotGzip)?;
    if plain.len() > limit {
        return Err(BodyError::TooLargeInside { limit });
    }
    Ok(plain.into())
}
