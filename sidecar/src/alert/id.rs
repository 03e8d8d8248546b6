//! Identities: 16 bytes, written as 32 hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use beaconwatch_detector::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::AlertError;

/// Identity of a finding through all of its revisions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct FindingId([u8; 16]);

impl fmt::Display for FindingId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for FindingId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for FindingId {
    type Err = AlertError;

    fn from_str(text: &str) -> Result<Self, AlertError> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_not_hexadecimal| AlertError::unknown("alert", text))?;
        Ok(Self(bytes))
    }
}

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
    pub(crate) const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    #[cfg(test)]
    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Digest of what the finding is about and when it opened: the same input gives the same identity, and
    /// a later finding of the same series gets another.
    pub(crate) fn new(about: &[u8], opened: Timestamp) -> Self {
        Self(digest(&[about, &opened.unix_nanos().to_le_bytes()]))
    }
}
