//! The tables, and one function for every transaction.
//!
//! | table | key | value |
//! |---|---|---|
//! | meta | name | schema version, positions and their checksum |
//! | journal | position | a batch that is not in the saved state yet |
//! | series | series key (postcard) | detector state (postcard) |
//! | exporters | exporter id | its sequence tracker |
//! | alerts | finding id | finding |
//! | audit | number | who changed what |
//! | state | name | small values: allow-list, simulations |
//! | settings | name | what was set while the sidecar ran (JSON) |
//!
//! The outbox has tables of its own ([`super::outbox`]). Behind each value stands a checksum ([`super::seal`]).
//!
//! Every function is one transaction with one `fsync`: all of it is there after a crash, or none.

use std::path::Path;

use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition,
    WriteTransaction,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::seal::{put, unseal};
use super::{Changes, Checkpoint, FormatError, Restored, StoreError, ledger, migration, outbox};

/// Version of the tables' layout. A store of an older version is converted when it is opened, one of a newer
/// version is refused.
pub(super) const SCHEMA_VERSION: u64 = 3;

/// A table whose values have a checksum.
pub(super) type Values<K> = TableDefinition<'static, K, &'static [u8]>;

pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
pub(super) const JOURNAL: Values<u64> = TableDefinition::new("journal");
pub(super) const SERIES: Values<&[u8]> = TableDefinition::new("series");
pub(super) const EXPORTERS: Values<&str> = TableDefinition::new("exporters");
pub(super) const ALERTS: Values<&[u8; 16]> = TableDefinition::new("alerts");

pub(super) const META_SCHEMA: &str = "schema_version";
/// Journal up to here is in the saved state.
const META_APPLIED: &str = "applied_position";
/// Largest document number ever written: writing a checkpoint twice adds its documents once.
const META_DOCUMENT: &str = "last_document";
/// Checksum of these two.
const META_CHECKSUM: &str = "positions_checksum";

/// The open database.
pub(super) struct Tables {
    pub(super) database: Database,
    next_position: u64,
}

impl Tables {
    /// Opens or creates the database file and checks every page of it that is in use.
    pub(super) fn open(path: &Path, cache_bytes: usize) -> Result<Self, StoreError> {
        restrict(path)?;
        Self::of(builder(cache_bytes).create(path)?)
    }

    /// The tables of a database that is open.
    pub(super) fn of(database: Database) -> Result<Self, StoreError> {
        let mut tables = Self {
            database,
            next_position: 1,
        };
        tables.prepare()?;
        Ok(tables)
    }

    fn prepare(&mut self) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        {
            let mut meta = transaction.open_table(META)?;
            let version = meta.get(META_SCHEMA)?.map(|version| version.value());
            match version {
                None => {
                    meta.insert(META_SCHEMA, SCHEMA_VERSION)?;
                    Positions::default().write(&mut meta)?;
                }
                Some(SCHEMA_VERSION) => {}
                Some(version @ 1..SCHEMA_VERSION) => {
                    migration::migrate(version, &self.database.begin_read()?, &transaction)?;
                    meta.insert(META_SCHEMA, SCHEMA_VERSION)?;
                    Positions::unchecked(&meta)?.write(&mut meta)?;
                }
                Some(found) => {
                    return Err(StoreError::Schema {
                        found,
                        expected: SCHEMA_VERSION,
                    });
                }
            }
            let Positions { applied, .. } = Positions::read(&meta)?;
            let journal = transaction.open_table(JOURNAL)?;
            let last = journal.last()?.map_or(0, |(position, _)| position.value());
            self.next_position = applied.max(last).saturating_add(1);
            transaction.open_table(SERIES)?;
            transaction.open_table(EXPORTERS)?;
            transaction.open_table(ALERTS)?;
            ledger::prepare(&transaction)?;
            outbox::open_tables(&transaction)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Hands every saved value to `restored`: series, exporters and findings first, then the journal in
    /// order.
    pub(super) fn restore(
        &self,
        restored: &mut dyn FnMut(Restored<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let transaction = self.database.begin_read()?;
        let meta = transaction.open_table(META)?;
        let Positions { applied, document } = Positions::read(&meta)?;
        let series = transaction.open_table(SERIES)?;
        restored(Restored::Counters {
            applied,
            last_document: document,
            series: series.len()?,
        })?;
        for entry in series.iter()? {
            let (key, state) = entry?;
            restored(Restored::Series {
                key: key.value(),
                state: unseal::<&[u8]>("series", &key.value(), state.value())?,
            })?;
        }
        for entry in transaction.open_table(EXPORTERS)?.iter()? {
            let (id, tracker) = entry?;
            restored(Restored::Exporter {
                id: id.value(),
                tracker: unseal::<&str>("exporter", &id.value(), tracker.value())?,
            })?;
        }
        for entry in transaction.open_table(ALERTS)?.iter()? {
            let (id, finding) = entry?;
            restored(Restored::Finding {
                finding: unseal::<&[u8; 16]>("finding", &id.value(), finding.value())?,
            })?;
        }
        self.restore_ledger(restored)?;
        for entry in transaction.open_table(JOURNAL)?.iter()? {
            let (position, batch) = entry?;
            restored(Restored::Batch {
                position: position.value(),
                batch: unseal::<u64>("batch", &position.value(), batch.value())?,
            })?;
        }
        Ok(())
    }

    /// Appends batches to the journal; the first one's position.
    pub(super) fn append(&mut self, batches: &[&[u8]]) -> Result<u64, StoreError> {
        let first = self.next_position;
        let mut position = first;
        let transaction = self.database.begin_write()?;
        {
            let mut journal = transaction.open_table(JOURNAL)?;
            for batch in batches {
                put(&mut journal, position, batch)?;
                position += 1;
            }
        }
        transaction.commit()?;
        self.next_position = position;
        Ok(first)
    }

    /// Writes changed state and new documents, and takes what they cover out of the journal.
    pub(super) fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        write_changes(&transaction, SERIES, &checkpoint.series)?;
        ledger::write(&transaction, &checkpoint.ledger)?;
        {
            let mut alerts = transaction.open_table(ALERTS)?;
            for (id, finding) in &checkpoint.findings {
                match finding {
                    Some(finding) => put(&mut alerts, id.bytes(), finding)?,
                    None => drop(alerts.remove(id.bytes())?),
                }
            }
        }
        {
            let mut exporters = transaction.open_table(EXPORTERS)?;
            for (id, tracker) in &checkpoint.exporters {
                match tracker {
                    Some(tracker) => put(&mut exporters, id, tracker)?,
                    None => drop(exporters.remove(id.as_str())?),
                }
            }
        }
        {
            let mut journal = transaction.open_table(JOURNAL)?;
            journal.retain_in(..=checkpoint.through, |_, _| false)?;
            let mut meta = transaction.open_table(META)?;
            let last = Positions::read(&meta)?.document;
            let documents = checkpoint.documents.iter();
            let positions = Positions {
                applied: checkpoint.through,
                document: outbox::queue_documents(&transaction, documents, last)?,
            };
            positions.write(&mut meta)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Number of batches in the journal.
    pub(super) fn journal_batches(&self) -> Result<u64, StoreError> {
        let transaction = self.database.begin_read()?;
        Ok(transaction.open_table(JOURNAL)?.len()?)
    }
}

/// How far journal and documents have come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Positions {
    applied: u64,
    pub(super) document: u64,
}

impl Positions {
    /// Reads them and checks their checksum.
    pub(super) fn read(meta: &impl ReadableTable<&'static str, u64>) -> Result<Self, StoreError> {
        let found = Self::unchecked(meta)?;
        let checksum = meta.get(META_CHECKSUM)?.map(|sum| sum.value());
        if checksum != Some(found.checksum()) {
            return Err(FormatError::Damaged {
                what: "position",
                key: META_CHECKSUM.to_owned(),
            }
            .into());
        }
        Ok(found)
    }

    /// Reads them as they are; 0 where there is none.
    pub(super) fn unchecked(
        meta: &impl ReadableTable<&'static str, u64>,
    ) -> Result<Self, StoreError> {
        let read = |name: &'static str| -> Result<u64, StoreError> {
            Ok(meta.get(name)?.map_or(0, |value| value.value()))
        };
        Ok(Self {
            applied: read(META_APPLIED)?,
            document: read(META_DOCUMENT)?,
        })
    }

    pub(super) fn write(self, meta: &mut Table<'_, &'static str, u64>) -> Result<(), StoreError> {
        meta.insert(META_APPLIED, self.applied)?;
        meta.insert(META_DOCUMENT, self.document)?;
        meta.insert(META_CHECKSUM, self.checksum())?;
        Ok(())
    }

    fn checksum(self) -> u64 {
        xxh3_64_with_seed(&self.applied.to_le_bytes(), self.document)
    }
}

/// How a database is opened.
pub(super) fn builder(cache_bytes: usize) -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes);
    // Without the check, a file that something else has altered can panic later.
    builder.set_check_integrity_on_open(true);
    builder
}

/// The file holds what hosts talked to: only its owner may read it.
fn restrict(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    Ok(())
}

fn write_changes(
    transaction: &WriteTransaction,
    definition: Values<&'static [u8]>,
    changes: &Changes,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(definition)?;
    for (key, value) in changes {
        match value {
            Some(value) => put(&mut table, key, value)?,
            None => drop(table.remove(key.as_slice())?),
        }
    }
    Ok(())
}
