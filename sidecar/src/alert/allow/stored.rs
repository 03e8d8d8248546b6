//! An entry of the allow-list as the store keeps it.
//!
//! Contract: what older versions wrote is read and means the same. The encoding (postcard) has no names: what entries
//! can say since then stands behind what they said first, and is not there in what older versions wrote.

use beaconwatch_detector::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use super::{AllowConfig as Stated, AllowEntry, AllowOrigin};

/// An entry, as it is written.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredEntry {
    id: String,
    origin: AllowOrigin,
    created: Timestamp,
    config: AllowConfig,
    #[serde(deserialize_with = "or_none")]
    client_fingerprint: Option<String>,
}

/// What an entry could say first. It has the name that it had then: the ids of entries are made of its words.
#[derive(Debug, Serialize, Deserialize)]
struct AllowConfig {
    source: Option<String>,
    destination: Option<String>,
    port: Option<u16>,
    transport: Option<String>,
    domain: Option<String>,
    process: Option<String>,
    reason: String,
    owner: Option<String>,
    expires: Option<String>,
}

#[expect(clippy::unnecessary_wraps, reason = "serde calls it")]
fn or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::deserialize(deserializer).unwrap_or_default())
}

impl From<Stated> for AllowConfig {
    fn from(stated: Stated) -> Self {
        Self {
            source: stated.source,
            destination: stated.destination,
            port: stated.port,
            transport: stated.transport,
            domain: stated.domain,
            process: stated.process,
            reason: stated.reason,
            owner: stated.owner,
            expires: stated.expires,
        }
    }
}

impl From<StoredEntry> for AllowEntry {
    fn from(stored: StoredEntry) -> Self {
        let config = stored.config;
        Self {
            id: stored.id,
            origin: stored.origin,
            created: stored.created,
            config: Stated {
                source: config.source,
                destination: config.destination,
                port: config.port,
                transport: config.transport,
                domain: config.domain,
                process: config.process,
                client_fingerprint: stored.client_fingerprint,
                reason: config.reason,
                owner: config.owner,
                expires: config.expires,
            },
        }
    }
}

impl From<AllowEntry> for StoredEntry {
    fn from(entry: AllowEntry) -> Self {
        Self {
            id: entry.id,
            origin: entry.origin,
            created: entry.created,
            client_fingerprint: entry.config.client_fingerprint.clone(),
            config: entry.config.into(),
        }
    }
}

/// What tells an entry from others: for one that older versions knew, the same words that they had.
pub(super) fn identity(config: &Stated) -> String {
    let words = format!("{:?}", AllowConfig::from(config.clone()));
    match &config.client_fingerprint {
        Some(fingerprint) => format!("{words} client_fingerprint: {fingerprint:?}"),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry of the API, by the program of commit `3d5e03d`.
    const WRITTEN: &str = "1030616333393764616136333865376137018080aceda8b0a3fa3001\
        0a31302e302e302e302f380001bb0300010d2a2e6578616d706c652e6f7267000d75706461746520736572766572\
        010c6e6574776f726b207465616d0114323033302d30312d33315430303a30303a30305a";
    const CREATED: Timestamp = Timestamp::from_unix_nanos(1_763_800_000_000_000_000);

    /// What that entry said.
    fn config() -> Stated {
        Stated {
            source: Some("10.0.0.0/8".to_owned()),
            port: Some(443),
            domain: Some("*.example.org".to_owned()),
            reason: "update server".to_owned(),
            owner: Some("network team".to_owned()),
            expires: Some("2030-01-31T00:00:00Z".to_owned()),
            ..Stated::default()
        }
    }

    #[test]
    fn an_entry_that_an_older_version_wrote_reads_and_has_the_id_that_it_had() {
        let bytes = hex::decode(WRITTEN).unwrap();
        let read: AllowEntry = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(read.id, "0ac397daa638e7a7");
        assert_eq!(read, AllowEntry::new(config(), AllowOrigin::Api, CREATED));
        let configured = AllowEntry::new(config(), AllowOrigin::Config, CREATED);
        assert_eq!(configured.id, "f5df4ec6b9778e85");
    }

    #[test]
    fn an_entry_with_a_fingerprint_reads_as_it_was_and_has_an_id_of_its_own() {
        let with = Stated {
            client_fingerprint: Some("t13d1516h2_*".to_owned()),
            ..config()
        };
        let entry = AllowEntry::new(with, AllowOrigin::Api, CREATED);
        let written: Vec<u8> = postcard::to_allocvec(&entry).unwrap();
        let read: AllowEntry = postcard::from_bytes(&written).unwrap();
        assert_eq!(read, entry);
        assert_ne!(entry.id, "0ac397daa638e7a7");
    }
}
