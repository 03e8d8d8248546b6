//! From the layout of schema version 1 to that of version 2, in the transaction that opens the tables: a crash
//! in the middle leaves version 1 as it was.
//!
//! - Findings were kept by series and without what was found; now by identity. They go on as open findings;
//!   what was found comes back with the first analysis, where the series is still kept.
//! - Exporters had no host: their values are extended.
//! - The outbox sees to itself ([`super::outbox`]).
//!
//! Series and journal are read as they are: their values say their own versions.

use beaconwatch_detector::{SeriesKey, Severity, Timestamp};
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use serde::Deserialize;

use super::database::{ALERTS, EXPORTERS};
use super::{FormatError, StoreError, decode, encode, outbox};
use crate::alert::{Documented, Event, Finding, SeriesId, Subject};
use crate::observe::Sensor;

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

/// Converts everything.
pub(super) fn from_version_1(transaction: &WriteTransaction) -> Result<(), StoreError> {
    findings(transaction)?;
    exporters(transaction)?;
    outbox::migrate(transaction)
}

fn findings(transaction: &WriteTransaction) -> Result<(), StoreError> {
    {
        let old = transaction.open_table(OLD_FINDINGS)?;
        let mut alerts = transaction.open_table(ALERTS)?;
        for entry in old.iter()? {
            let (key, value) = entry?;
            let finding = convert(key.value(), &decode("finding", value.value())?)?;
            let value = encode("finding", &finding)?;
            alerts.insert(finding.id.bytes(), value.as_slice())?;
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
        exporters.insert(id.as_str(), value.as_slice())?;
    }
    Ok(())
}
