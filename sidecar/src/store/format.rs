//! What the store's tables hold, as bytes.
//!
//! Values are postcard behind one version byte. A value of a newer version is an error that says so; an
//! older one is converted here.

use serde::Serialize;
use serde::de::DeserializeOwned;

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
    /// Something else than this program has altered them.
    #[error("a stored {what} ({key}) is damaged: it does not fit its checksum")]
    Damaged {
        /// Kind of value.
        what: &'static str,
        /// The beginning of its key.
        key: String,
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
    /// An identity that is none.
    #[error("a stored {what} has the identity {found:?}, expected 32 hexadecimal digits")]
    Identity {
        /// Kind of value.
        what: &'static str,
        /// What it was.
        found: String,
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
