//! What the store's tables hold, as bytes.
//!
//! Values are postcard behind one version byte. A value of a newer version is an error that says so; an
//! older one is converted here.

use beaconwatch_destinations::Document;
use beaconwatch_detector::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Version of the values that this code writes.
const VALUE_VERSION: u8 = 1;

/// Why stored bytes could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// There are no bytes.
    #[error("a stored {what} is empty")]
    Empty {
        /// Kind of value.
        what: &'static str,
    },
    /// Another version wrote them.
    #[error("a stored {what} has version {found}, this program reads version {VALUE_VERSION}")]
    Version {
        /// Kind of value.
        what: &'static str,
        /// Version found.
        found: u8,
    },
    /// They do not decode.
    #[error("a stored {what} does not decode: {source}")]
    Decode {
        /// Kind of value.
        what: &'static str,
        /// Why.
        source: postcard::Error,
    },
    /// The value could not be encoded.
    #[error("a {what} could not be encoded: {source}")]
    Encode {
        /// Kind of value.
        what: &'static str,
        /// Why.
        source: postcard::Error,
    },
}

/// Encodes a value behind its version.
pub(crate) fn encode<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, FormatError> {
    postcard::to_extend(value, vec![VALUE_VERSION])
        .map_err(|source| FormatError::Encode { what, source })
}

/// Decodes what [`encode`] wrote.
pub(crate) fn decode<T: DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, FormatError> {
    match bytes.split_first() {
        None => Err(FormatError::Empty { what }),
        Some((&VALUE_VERSION, value)) => {
            postcard::from_bytes(value).map_err(|source| FormatError::Decode { what, source })
        }
        Some((&found, _)) => Err(FormatError::Version { what, found }),
    }
}

/// A document in the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Queued {
    pub(super) document: Document,
    /// Destinations that have not settled it yet; the last one removes it.
    pub(super) remaining: u32,
}

/// A document that a destination refuses for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The document.
    pub document: Document,
    /// What the destination said.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// What became of one destination's deliveries, over all runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Documents that the destination acknowledged.
    pub delivered: u64,
    /// Of those, documents that it already had (an earlier attempt's answer was lost).
    pub already_there: u64,
    /// Attempts that will be made again.
    pub retries: u64,
    /// Documents that went to the dead letters.
    pub dead: u64,
    /// Dead letters that had to go, because there were more than the limit.
    pub dead_dropped: u64,
}
