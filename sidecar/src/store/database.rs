//! The tables, and one function for every transaction.
//!
//! | table | key | value |
//! |---|---|---|
//! | meta | name | schema version, positions |
//! | journal | position | a batch that is not in the saved state yet |
//! | series | series key (postcard) | detector state (postcard) |
//! | exporters | exporter id | its sequence tracker |
//! | alerts | finding id | finding |
//! | audit | number | who changed what |
//! | state | name | small values: allow-list, simulations |
//! | settings | name | what was set while the sidecar ran (JSON) |
//!
//! The outbox has tables of its own ([`super::outbox`]).
//!
//! Every function is one transaction with one `fsync`: all of it is there after a crash, or none.

use std::path::Path;

use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    WriteTransaction,
};

use super::{Changes, Checkpoint, Restored, StoreError, ledger, migration, outbox};

/// Version of the tables' layout. A store of an older version is converted when it is opened, one of a newer
/// version is refused.
pub(super) const SCHEMA_VERSION: u64 = 2;

pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
pub(super) const JOURNAL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal");
pub(super) const SERIES: TableDefinition<'_, &'static [u8], &'static [u8]> =
    TableDefinition::new("series");
pub(super) const EXPORTERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("exporters");
pub(super) const ALERTS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("alerts");
pub(super) const SETTINGS: TableDefinition<'_, &str, &str> = TableDefinition::new("settings");

pub(super) const META_SCHEMA: &str = "schema_version";
/// Journal up to here is in the saved state.
const META_APPLIED: &str = "applied_position";
/// Largest document number ever written: writing a checkpoint twice adds its documents once.
pub(super) const META_DOCUMENT: &str = "last_document";

/// The open database.
pub(super) struct Tables {
    pub(super) database: Database,
    next_position: u64,
}

impl Tables {
    /// Opens or creates the database file and checks every page of it.
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
                }
                Some(SCHEMA_VERSION) => {}
                Some(1) => {
                    migration::from_version_1(&transaction)?;
                    meta.insert(META_SCHEMA, SCHEMA_VERSION)?;
                }
                Some(found) => {
                    return Err(StoreError::Schema {
                        found,
                        expected: SCHEMA_VERSION,
                    });
                }
            }
            let applied = read(&meta, META_APPLIED)?;
            let journal = transaction.open_table(JOURNAL)?;
            let last = journal.last()?.map_or(0, |(position, _)| position.value());
            self.next_position = applied.max(last).saturating_add(1);
            transaction.open_table(SERIES)?;
            transaction.open_table(EXPORTERS)?;
            transaction.open_table(ALERTS)?;
            transaction.open_table(SETTINGS)?;
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
        let series = transaction.open_table(SERIES)?;
        restored(Restored::Counters {
            applied: read(&meta, META_APPLIED)?,
            last_document: read(&meta, META_DOCUMENT)?,
            series: series.len()?,
        })?;
        for entry in transaction.open_table(SETTINGS)?.iter()? {
            let (name, value) = entry?;
            restored(Restored::Setting {
                name: name.value(),
                value: value.value(),
            })?;
        }
        for entry in series.iter()? {
            let (key, state) = entry?;
            restored(Restored::Series {
                key: key.value(),
                state: state.value(),
            })?;
        }
        for entry in transaction.open_table(EXPORTERS)?.iter()? {
            let (id, tracker) = entry?;
            restored(Restored::Exporter {
                id: id.value(),
                tracker: tracker.value(),
            })?;
        }
        for entry in transaction.open_table(ALERTS)?.iter()? {
            let (_, finding) = entry?;
            restored(Restored::Finding {
                finding: finding.value(),
            })?;
        }
        self.restore_ledger(restored)?;
        for entry in transaction.open_table(JOURNAL)?.iter()? {
            let (position, batch) = entry?;
            restored(Restored::Batch {
                position: position.value(),
                batch: batch.value(),
            })?;
        }
        Ok(())
    }

    /// Writes a setting of the running sidecar.
    pub(super) fn save_setting(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(SETTINGS)?.insert(name, value)?;
        transaction.commit()?;
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
                journal.insert(position, *batch)?;
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
                    Some(finding) => alerts.insert(id.bytes(), finding.as_slice())?,
                    None => alerts.remove(id.bytes())?,
                };
            }
        }
        {
            let mut exporters = transaction.open_table(EXPORTERS)?;
            for (id, tracker) in &checkpoint.exporters {
                match tracker {
                    Some(tracker) => exporters.insert(id.as_str(), tracker.as_slice())?,
                    None => exporters.remove(id.as_str())?,
                };
            }
        }
        let last = {
            let meta = transaction.open_table(META)?;
            read(&meta, META_DOCUMENT)?
        };
        let last = outbox::queue_documents(&transaction, checkpoint.documents.iter(), last)?;
        {
            let mut journal = transaction.open_table(JOURNAL)?;
            journal.retain_in(..=checkpoint.through, |_, _| false)?;
            let mut meta = transaction.open_table(META)?;
            meta.insert(META_APPLIED, checkpoint.through)?;
            meta.insert(META_DOCUMENT, last)?;
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

fn read(meta: &impl ReadableTable<&'static str, u64>, name: &str) -> Result<u64, StoreError> {
    Ok(meta.get(name)?.map_or(0, |value| value.value()))
}

fn write_changes(
    transaction: &WriteTransaction,
    definition: TableDefinition<'_, &'static [u8], &'static [u8]>,
    changes: &Changes,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(definition)?;
    for (key, value) in changes {
        match value {
            Some(value) => table.insert(key.as_slice(), value.as_slice())?,
            None => table.remove(key.as_slice())?,
        };
    }
    Ok(())
}
