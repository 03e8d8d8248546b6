//! Identities: 16 bytes, written as 32 hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use beaconwatch_detector::{SeriesKey, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::AlertError;
use crate::store::{FormatError, encode_key};

/// Declares a kind of identity.
macro_rules! identity {
    ($(#[$text:meta])* $name:ident, $what:literal) => {
        $(#[$text])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub(crate) struct $name([u8; 16]);

        impl $name {
            pub(crate) const fn bytes(&self) -> &[u8; 16] {
                &self.0
            }

            pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl FromStr for $name {
            type Err = AlertError;

            fn from_str(text: &str) -> Result<Self, AlertError> {
                let mut bytes = [0; 16];
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|_not_hexadecimal| AlertError::unknown($what, text))?;
                Ok(Self(bytes))
            }
        }
    };
}

identity!(
    /// Identity of a finding through all of its revisions.
    FindingId,
    "alert"
);
identity!(
    /// Identity of a series, the same in every run: a digest of its key.
    SeriesId,
    "series"
);

/// First 16 bytes of SHA-256.
fn digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
    }
    let mut bytes = [0; 16];
    bytes
        .iter_mut()
        .zip(digest.finalize())
        .for_each(|(to, from)| *to = from);
    bytes
}

impl FindingId {
    /// Digest of what the finding is about and when it opened: the same input gives the same identity, and
    /// a later finding of the same series gets another.
    pub(crate) fn new(about: &[u8], opened: Timestamp) -> Self {
        Self(digest(&[about, &opened.unix_nanos().to_le_bytes()]))
    }
}

impl SeriesId {
    /// Identity of a series.
    pub(crate) fn of(key: &SeriesKey) -> Result<Self, FormatError> {
        Ok(Self::of_encoded(&encode_key(key)?))
    }

    /// Identity of a series by its key as the store has it.
    pub(crate) fn of_encoded(key: &[u8]) -> Self {
        Self(digest(&[b"series", key]))
    }

    /// Identity of a sensor where a series would have one.
    pub(crate) fn of_sensor(exporter: &str) -> Self {
        Self(digest(&[b"sensor", exporter.as_bytes()]))
    }
}
