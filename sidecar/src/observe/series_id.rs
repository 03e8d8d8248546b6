//! A short name for a series.

use std::fmt;
use std::str::FromStr;

use beaconwatch_detector::SeriesKey;
use sha2::{Digest, Sha256};

use crate::store::encode_key;

/// First 16 bytes of SHA-256 over the encoded key of a series: 32 hexadecimal digits as text. A cryptographic
/// hash, because keys come from outside: nobody can make two series that go by the same name.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub(crate) struct SeriesId(pub(crate) u128);

impl SeriesId {
    /// The name of a series.
    pub(crate) fn of(key: &SeriesKey) -> Self {
        // A key is text and numbers: encoding it does not fail.
        Self::of_encoded(&encode_key(key).unwrap_or_default())
    }

    /// The name of a series by its key as the store has it.
    pub(crate) fn of_encoded(key: &[u8]) -> Self {
        Self::first_bytes(Sha256::digest(key).into())
    }

    /// The name of a sensor where a series would have one.
    pub(crate) fn of_sensor(sensor: &str) -> Self {
        let digest = Sha256::new().chain_update(b"sensor").chain_update(sensor);
        Self::first_bytes(digest.finalize().into())
    }

    fn first_bytes(digest: [u8; 32]) -> Self {
        let (first, _) = digest.split_first_chunk().unwrap_or((&[0; 16], &[]));
        Self(u128::from_be_bytes(*first))
    }
}

impl fmt::Display for SeriesId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

/// A text that names no series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 32 lower-case hexadecimal digits")]
pub(crate) struct SeriesIdError;

impl FromStr for SeriesId {
    type Err = SeriesIdError;

    fn from_str(text: &str) -> Result<Self, SeriesIdError> {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(digit) {
            return Err(SeriesIdError);
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_not_a_number| SeriesIdError)
    }
}

#[cfg(test)]
mod tests {
    use beaconwatch_detector::Transport;

    use super::*;

    #[test]
    fn every_part_of_the_key_tells_series_apart_and_the_name_reads_back() {
        let key = SeriesKey {
            host: "h".into(),
            namespace: "n".into(),
            source: [192, 0, 2, 1].into(),
            destination: [192, 0, 2, 2].into(),
            destination_port: 443,
            transport: Transport::Tcp,
        };
        let id = SeriesId::of(&key);
        assert_eq!(id.to_string().parse(), Ok(id));
        let other = |change: fn(&mut SeriesKey)| {
            let mut key = key.clone();
            change(&mut key);
            SeriesId::of(&key)
        };
        for changed in [
            other(|key| key.host = "hn".into()),
            other(|key| key.namespace = "".into()),
            other(|key| key.source = [192, 0, 2, 3].into()),
            other(|key| key.destination = [192, 0, 2, 3].into()),
            other(|key| key.destination_port = 444),
            other(|key| key.transport = Transport::Udp),
        ] {
            assert_ne!(changed, id);
        }
    }

    #[test]
    fn other_texts_name_no_series() {
        for text in ["", "0", &"0".repeat(33), &"A".repeat(32), &"+".repeat(32)] {
            assert_eq!(text.parse::<SeriesId>(), Err(SeriesIdError), "{text}");
        }
    }
}
