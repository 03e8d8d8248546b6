//! What can still be read of a damaged store, as a new store.
//!
//! # Contract
//! - The damaged file is never written: it is copied first, and the copy is opened and removed again.
//! - Every table is read from both ends up to where it cannot be read any further. A value that does not
//!   decode is left behind and counted.
//! - The new file is a whole store: indices that point at documents that are gone are left behind, too, and
//!   the positions are such that nothing is counted twice.
//!
//! # Limits
//! The database engine checks no checksums on this way in: a value whose bytes were altered and that still
//! decodes is taken. A file that was not closed and is damaged in its roots may not open at all. Stores of
//! an older schema are not salvaged: the engine must be able to convert them.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use beaconwatch_detector::{SeriesKey, SeriesState};
use redb::{
    Database, Key, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, Value,
    WriteTransaction,
};
use serde::Serialize;

use super::database::{
    ALERTS, EXPORTERS, JOURNAL, META, META_DOCUMENT, META_SCHEMA, SCHEMA_VERSION, SERIES, SETTINGS,
    Tables,
};
use super::ledger::{AUDIT, STATE};
use super::{StoreError, decode, outbox};
use crate::alert::{AuditEntry, Finding};
use crate::observe::Tracker;
use crate::receive::Batch;

/// What a salvage has read and left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SalvageReport {
    /// By table.
    pub tables: Vec<SalvagedTable>,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SalvagedTable {
    /// Its name.
    pub name: String,
    /// Entries in the new store.
    pub kept: u64,
    /// Entries that were read and make no sense.
    pub dropped: u64,
    /// Why part of the table could not be read; none when all of it was.
    pub error: Option<String>,
}

impl SalvageReport {
    /// Whether everything was read.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.tables
            .iter()
            .all(|table| table.dropped == 0 && table.error.is_none())
    }
}

/// Reads what can be read of the store at `path` into a new store at `out`, which must not exist.
pub fn salvage(path: &Path, out: &Path) -> Result<SalvageReport, StoreError> {
    let named = |source: StoreError| StoreError::Open {
        path: path.to_owned(),
        source: Box::new(source),
    };
    // Made first, so that it is surely new and nobody else's.
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(out)
        .map_err(|source| StoreError::Open {
            path: out.to_owned(),
            source: Box::new(source.into()),
        })?;
    let copy = Copy(beside(out));
    let done = fs::copy(path, &copy.0)
        .map_err(StoreError::from)
        .and_then(|_bytes| guarded(path, || into_new(&copy.0, out)));
    done.map_err(|error| {
        if let Err(error) = fs::remove_file(out) {
            tracing::warn!(%error, path = %out.display(), "the unfinished file stays");
        }
        named(error)
    })
}

/// The copy that is opened; removed at the end.
struct Copy(PathBuf);

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(%error, path = %self.0.display(), "no copy to remove");
        }
    }
}

fn beside(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".damaged-copy");
    name.into()
}

/// The engine may panic on a damaged file: that becomes an error.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_panic| {
        Err(StoreError::Engine {
            path: path.to_owned(),
            message: "it is too damaged to be read".to_owned(),
        })
    })
}

fn into_new(copy: &Path, out: &Path) -> Result<SalvageReport, StoreError> {
    let damaged = Database::open(copy)?;
    let from = damaged.begin_read()?;
    let new = Database::create(out)?;
    let to = new.begin_write()?;
    let mut report = SalvageReport::default();
    all_tables(&from, &to, copy, &mut report)?;
    let newest = outbox::drop_loose_ends(&to)?;
    {
        let mut meta = to.open_table(META)?;
        let last = meta.get(META_DOCUMENT)?.map_or(0, |last| last.value());
        meta.insert(META_DOCUMENT, last.max(newest))?;
        meta.insert(META_SCHEMA, SCHEMA_VERSION)?;
    }
    to.commit()?;
    // Whether it is a store is for the code to say that opens stores.
    let tables = Tables::of(new)?;
    tables.restore(&mut |_restored| Ok(()))?;
    Ok(report)
}

fn all_tables(
    from: &ReadTransaction,
    to: &WriteTransaction,
    path: &Path,
    report: &mut SalvageReport,
) -> Result<(), StoreError> {
    let mut rescue = Rescue {
        from,
        to,
        path,
        report,
    };
    rescue.table(META, |_, _| true)?;
    rescue.table(SETTINGS, |_, value| {
        serde_json::from_str::<serde_json::Value>(value).is_ok()
    })?;
    rescue.table(JOURNAL, |_, value| decode::<Batch>("batch", value).is_ok())?;
    rescue.table(SERIES, |key, value| {
        decode::<SeriesKey>("series key", key).is_ok()
            && decode::<SeriesState>("series", value).is_ok()
    })?;
    rescue.table(EXPORTERS, |_, value| {
        decode::<Tracker>("exporter", value).is_ok()
    })?;
    rescue.table(ALERTS, |_, value| {
        decode::<Finding>("finding", value).is_ok()
    })?;
    rescue.table(AUDIT, |_, value| {
        decode::<AuditEntry>("audit entry", value).is_ok()
    })?;
    rescue.table(STATE, |_, _| true)?;
    outbox::rescue(&mut rescue)
}

/// A way from one database into another.
pub(super) struct Rescue<'a> {
    from: &'a ReadTransaction,
    to: &'a WriteTransaction,
    path: &'a Path,
    report: &'a mut SalvageReport,
}

impl Rescue<'_> {
    /// Takes over the entries of a table that make sense.
    pub(super) fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        definition: TableDefinition<'_, K, V>,
        makes_sense: impl Fn(K::SelfType<'_>, V::SelfType<'_>) -> bool,
    ) -> Result<(), StoreError> {
        use redb::TableHandle as _;
        let mut found = SalvagedTable {
            name: definition.name().to_owned(),
            ..SalvagedTable::default()
        };
        let mut new = self.to.open_table(definition)?;
        for backwards in [false, true] {
            let read = guarded(self.path, || {
                let old = match self.from.open_table(definition) {
                    Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
                    old => old?,
                };
                let mut entries = old.range::<K::SelfType<'_>>(..)?;
                loop {
                    let next = if backwards {
                        entries.next_back()
                    } else {
                        entries.next()
                    };
                    let Some(entry) = next else { return Ok(()) };
                    let (key, value) = entry?;
                    if makes_sense(key.value(), value.value()) {
                        let before = new.insert(key.value(), value.value())?;
                        found.kept += u64::from(before.is_none());
                    } else {
                        found.dropped += 1;
                    }
                }
            });
            match read {
                Ok(()) => break,
                Err(error) => found.error = Some(error.to_string()),
            }
        }
        self.report.tables.push(found);
        Ok(())
    }
}
