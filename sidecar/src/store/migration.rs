//! From the layouts of schema versions 1 and 2 to that of version 3, in the transaction that opens the tables: a
//! crash in the middle leaves the old version as it was.
//!
//! From version 1:
//! - Findings were kept by series and without what was found; now by identity. They go on as open findings;
//!   what was found comes back with the first analysis, where the series is still kept.
//! - Exporters had no host: their values are extended.
//! - The outbox sees to itself ([`super::outbox`]).
//!
//! From version 2: the values get their checksums. Series and journal stay as they are otherwise: their values
//! say their own versions.

use beaconwatch_detector::{SeriesKey, Severity, Timestamp};
use redb::{Key, ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};
use serde::Deserialize;

use super::database::{ALERTS, EXPORTERS, JOURNAL, SERIES, Values};
use super::ledger::{AUDIT, SETTINGS, STATE};
use super::{FormatError, StoreError, decode, encode, outbox, seal};
use crate::alert::{Documented, Event, Finding, SeriesId, Subject};
use crate::observe::Sensor;

/// What was set in versions before 3.
pub(super) const OLD_SETTINGS: TableDefinition<'_, &str, &str> = TableDefinition::new("settings");
const OLD_FINDINGS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("findings");

/// A finding as version 1 had it.
#[derive(Deserialize)]
struct OldFinding {
    id: String,
    opened: Timestamp,
    revision: u64,
    written: Timestamp,
    severity: Severity,
    count: u64,
    last_seen: Timestamp,
}

/// Converts everything that `old` reads of a store of this version.
pub(super) fn migrate(
    version: u64,
    old: &ReadTransaction,
    new: &WriteTransaction,
) -> Result<(), StoreError> {
    if version == 1 {
        findings(new)?;
        exporters(new)?;
        outbox::migrate(new)?;
    } else {
        add_checksums(old, new, EXPORTERS)?;
        add_checksums(old, new, ALERTS)?;
        add_checksums(old, new, AUDIT)?;
        add_checksums(old, new, STATE)?;
        outbox::add_checksums(old, new)?;
    }
    add_checksums(old, new, SERIES)?;
    add_checksums(old, new, JOURNAL)?;
    settings(old, new)
}

/// Puts its checksum behind every value of a table.
pub(super) fn add_checksums<K: Key + 'static>(
    old: &ReadTransaction,
    new: &WriteTransaction,
    definition: Values<K>,
) -> Result<(), StoreError> {
    let old = match old.open_table(definition) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        old => old?,
    };
    let mut new = new.open_table(definition)?;
    for entry in old.iter()? {
        let (key, value) = entry?;
        seal::put(&mut new, key.value(), value.value())?;
    }
    Ok(())
}

/// Values were text.
fn settings(old: &ReadTransaction, new: &WriteTransaction) -> Result<(), StoreError> {
    let old = match old.open_table(OLD_SETTINGS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        old => old?,
    };
    new.delete_table(OLD_SETTINGS)?;
    let mut new = new.open_table(SETTINGS)?;
    for entry in old.iter()? {
        let (name, value) = entry?;
        seal::put(&mut new, name.value(), value.value().as_bytes())?;
    }
    Ok(())
}

fn findings(transaction: &WriteTransaction) -> Result<(), StoreError> {
    {
        let old = transaction.open_table(OLD_FINDINGS)?;
        let mut alerts = transaction.open_table(ALERTS)?;
        for entry in old.iter()? {
            let (key, value) = entry?;
            let finding = convert(key.value(), &decode("finding", value.value())?)?;
            seal::write(&mut alerts, finding.id.bytes(), "finding", &finding)?;
        }
    }
    transaction.delete_table(OLD_FINDINGS)?;
    Ok(())
}

fn convert(key: &[u8], old: &OldFinding) -> Result<Finding, StoreError> {
    let series = SeriesId::of_encoded(key);
    let key: SeriesKey = decode("series key", key)?;
    let subject = Subject::Beacon {
        key,
        assessment: None,
    };
    let id = old.id.parse().map_err(|_not_an_id| FormatError::Identity {
        what: "finding",
        found: old.id.chars().take(100).collect(),
    })?;
    let mut finding = Finding::open(id, series, subject, old.severity, old.opened);
    finding.note(Event::Detected, old.opened, None, None);
    if old.revision > 1 {
        finding.note(Event::Updated, old.written, None, None);
    }
    finding.revision = old.revision;
    finding.active = old.written;
    finding.documented = Documented {
        at: old.written,
        severity: old.severity,
        count: old.count,
        last_seen: old.last_seen,
    };
    Ok(finding)
}

fn exporters(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut exporters = transaction.open_table(EXPORTERS)?;
    let mut old = Vec::new();
    for entry in exporters.iter()? {
        let (id, value) = entry?;
        old.push((id.value().to_owned(), value.value().to_vec()));
    }
    // The new fields stand behind the old ones; postcard writes structures without anything around them.
    let sensor = encode("sensor", &Sensor::default())?;
    let appended = sensor.get(1..).unwrap_or_default();
    for (id, mut value) in old {
        value.extend_from_slice(appended);
        seal::put(&mut exporters, &id, &value)?;
    }
    Ok(())
}
