//! A checksum behind every stored value, over its key and the value.
//!
//! Contract: every value in the tables is written by [`put`] and read through [`unseal`], or by [`write`] and [`read`] (the counters in `meta`
//! have one checksum for all of them). Bytes that something else than this program has altered, or that stand
//! under another key, are an error there and are never decoded. XXH3 finds accidents: whoever means harm can
//! compute it, too.

use redb::{Key, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::{FormatError, StoreError, decode, encode};

/// Most bytes of a key that an error shows.
const SHOWN_KEY_BYTES: usize = 32;

/// Encodes a value and writes it with its checksum.
pub(super) fn write<K: Key + 'static, T: Serialize>(
    table: &mut Table<'_, K, &'static [u8]>,
    key: K::SelfType<'_>,
    what: &'static str,
    value: &T,
) -> Result<(), StoreError> {
    put(table, key, &encode(what, value)?)
}

/// Checks and decodes what [`write`] has written.
pub(super) fn read<K: Key, T: DeserializeOwned>(
    what: &'static str,
    key: &K::SelfType<'_>,
    stored: &[u8],
) -> Result<T, FormatError> {
    decode(what, unseal::<K>(what, key, stored)?)
}

/// Writes bytes with their checksum.
pub(super) fn put<K: Key + 'static>(
    table: &mut Table<'_, K, &'static [u8]>,
    key: K::SelfType<'_>,
    value: &[u8],
) -> Result<(), StoreError> {
    let sealed = seal(K::as_bytes(&key).as_ref(), value);
    table.insert(key, sealed.as_slice())?;
    Ok(())
}

/// The value of which these are the stored bytes.
pub(super) fn unseal<'v, K: Key>(
    what: &'static str,
    key: &K::SelfType<'_>,
    stored: &'v [u8],
) -> Result<&'v [u8], FormatError> {
    let key = K::as_bytes(key);
    let key = key.as_ref();
    match stored.split_last_chunk() {
        Some((value, found)) if *found == checksum(key, value) => Ok(value),
        _ => Err(FormatError::Damaged {
            what,
            key: key
                .get(..SHOWN_KEY_BYTES)
                .unwrap_or(key)
                .escape_ascii()
                .to_string(),
        }),
    }
}

/// A value and its checksum.
pub(super) fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    [value, &checksum(key, value)].concat()
}

fn checksum(key: &[u8], value: &[u8]) -> [u8; 8] {
    xxh3_64_with_seed(value, xxh3_64(key)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_back_and_no_other_byte_or_key_does() {
        let sealed = seal(&7_u64.to_le_bytes(), b"value");
        assert_eq!(unseal::<u64>("thing", &7, &sealed).unwrap(), b"value");
        assert!(unseal::<u64>("thing", &8, &sealed).is_err());
        for place in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[place] ^= 1;
            let error = unseal::<u64>("thing", &7, &altered).unwrap_err();
            assert!(error.to_string().contains("thing"), "{error}");
        }
        for length in 0..sealed.len() {
            assert!(unseal::<u64>("thing", &7, &sealed[..length]).is_err());
        }
    }

    #[test]
    fn an_empty_value_has_a_checksum_too() {
        let sealed = seal(b"key", b"");
        assert_eq!(
            unseal::<&[u8]>("thing", &b"key".as_slice(), &sealed).unwrap(),
            b""
        );
        assert!(unseal::<&[u8]>("thing", &b"key".as_slice(), b"").is_err());
    }
}
