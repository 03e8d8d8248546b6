//! What can still be read of a damaged store, as a new store.
//!
//! # Contract
//! - The damaged file is never written: it is copied first, and the copy is opened and removed again.
//! - Every table is read from both ends up to where it cannot be read any further. A value that does not fit its
//!   checksum is left behind and counted as damaged, one that does not decode as dropped.
//! - The new file is a whole store: indices that point at documents that are gone are left behind, too, and
//!   the positions are such that nothing is counted twice.
//!
//! # Limits
//! A file that was not closed and is damaged in its roots may not open at all. A store of schema version 2 has no
//! checksums: what decodes of it is taken. Stores of version 1 are not salvaged.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use beaconwatch_detector::{SeriesKey, SeriesState};
use redb::{
    Database, Key, ReadTransaction, ReadableDatabase, TableDefinition, TableHandle as _, Value,
    WriteTransaction,
};
use serde::Serialize;

use super::database::{
    ALERTS, EXPORTERS, JOURNAL, META, META_SCHEMA, Positions, SCHEMA_VERSION, SERIES, Tables,
    Values,
};
use super::ledger::{AUDIT, SETTINGS, STATE};
use super::migration::OLD_SETTINGS;
use super::{StoreError, decode, outbox, seal};
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
    /// Entries that were read and do not fit their checksum: their bytes were altered.
    pub damaged: u64,
    /// Entries that were read and make no sense.
    pub dropped: u64,
    /// Why part of the table could not be read; none when all of it was.
    pub error: Option<String>,
}

impl SalvagedTable {
    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }
}

impl SalvageReport {
    /// Whether everything was read.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.tables
            .iter()
            .all(|table| table.damaged == 0 && table.dropped == 0 && table.error.is_none())
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
    let version = guarded(copy, || version_of(&from)).unwrap_or(SCHEMA_VERSION);
    all_tables(&from, &to, version, copy, &mut report)?;
    let newest = outbox::drop_loose_ends(&to)?;
    {
        let mut meta = to.open_table(META)?;
        let mut positions = Positions::unchecked(&meta)?;
        positions.document = positions.document.max(newest);
        positions.write(&mut meta)?;
        meta.insert(META_SCHEMA, SCHEMA_VERSION)?;
    }
    to.commit()?;
    // Whether it is a store is for the code to say that opens stores.
    let tables = Tables::of(new)?;
    tables.restore(&mut |_restored| Ok(()))?;
    Ok(report)
}

/// The schema version that the store says it has; the current one when it says none.
fn version_of(from: &ReadTransaction) -> Result<u64, StoreError> {
    let said = from.open_table(META)?.get(META_SCHEMA)?;
    Ok(said.map_or(SCHEMA_VERSION, |version| version.value()))
}

fn all_tables(
    from: &ReadTransaction,
    to: &WriteTransaction,
    version: u64,
    path: &Path,
    report: &mut SalvageReport,
) -> Result<(), StoreError> {
    if !(2..=SCHEMA_VERSION).contains(&version) {
        let (found, expected) = (version, SCHEMA_VERSION);
        return Err(StoreError::Schema { found, expected });
    }
    let mut rescue = Rescue {
        from,
        to,
        has_checksums: version > 2,
        path,
        report,
    };
    rescue.positions()?;
    if rescue.has_checksums {
        rescue.values(SETTINGS, |_, value| is_json(value))?;
    } else {
        rescue.old_settings()?;
    }
    rescue.values(JOURNAL, |_, value| decode::<Batch>("batch", value).is_ok())?;
    rescue.values(SERIES, |key, value| {
        decode::<SeriesKey>("series key", key).is_ok()
            && decode::<SeriesState>("series", value).is_ok()
    })?;
    rescue.values(EXPORTERS, |_, value| {
        decode::<Tracker>("exporter", value).is_ok()
    })?;
    rescue.values(ALERTS, |_, value| {
        decode::<Finding>("finding", value).is_ok()
    })?;
    rescue.values(AUDIT, |_, value| {
        decode::<AuditEntry>("audit entry", value).is_ok()
    })?;
    rescue.values(STATE, |_, _| true)?;
    outbox::rescue(&mut rescue)
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}

/// A way from one database into another.
pub(super) struct Rescue<'a> {
    from: &'a ReadTransaction,
    to: &'a WriteTransaction,
    has_checksums: bool,
    path: &'a Path,
    report: &'a mut SalvageReport,
}

/// What becomes of an entry.
enum Verdict {
    /// It is in the new store; whether it had been there before.
    Kept {
        before: bool,
    },
    Damaged,
    Senseless,
}

impl Rescue<'_> {
    /// Takes over the entries of a table that fit their checksum and make sense.
    pub(super) fn values<K: Key + 'static>(
        &mut self,
        definition: Values<K>,
        makes_sense: impl Fn(&K::SelfType<'_>, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let mut new = self.to.open_table(definition)?;
        let has_checksums = self.has_checksums;
        self.entries(definition, |key: K::SelfType<'_>, stored: &[u8]| {
            let value = if has_checksums {
                let Ok(value) = seal::unseal::<K>("value", &key, stored) else {
                    return Ok(Verdict::Damaged);
                };
                value
            } else {
                stored
            };
            if !makes_sense(&key, value) {
                return Ok(Verdict::Senseless);
            }
            let sealed = seal::seal(K::as_bytes(&key).as_ref(), value);
            let before = new.insert(key, sealed.as_slice())?.is_some();
            Ok(Verdict::Kept { before })
        });
        Ok(())
    }

    /// Takes over the keys of an index.
    pub(super) fn keys<K: Key + 'static>(
        &mut self,
        definition: TableDefinition<'_, K, ()>,
    ) -> Result<(), StoreError> {
        let mut new = self.to.open_table(definition)?;
        self.entries(definition, |key: K::SelfType<'_>, ()| {
            let before = new.insert(key, ())?.is_some();
            Ok(Verdict::Kept { before })
        });
        Ok(())
    }

    /// What schema version 2 kept as text.
    fn old_settings(&mut self) -> Result<(), StoreError> {
        let mut new = self.to.open_table(SETTINGS)?;
        self.entries(OLD_SETTINGS, |name: &str, value: &str| {
            if !is_json(value.as_bytes()) {
                return Ok(Verdict::Senseless);
            }
            seal::put(&mut new, name, value.as_bytes())?;
            Ok(Verdict::Kept { before: false })
        });
        Ok(())
    }

    /// Takes over the positions. When they are damaged, those of the journal and of the outbox take their place.
    fn positions(&mut self) -> Result<(), StoreError> {
        let mut found = SalvagedTable::named(META.name());
        let mut new = self.to.open_table(META)?;
        let read = guarded(self.path, || {
            let meta = self.from.open_table(META)?;
            if self.has_checksums {
                Positions::read(&meta)
            } else {
                Positions::unchecked(&meta)
            }
        });
        match read {
            Ok(positions) => {
                positions.write(&mut new)?;
                found.kept = 1;
            }
            Err(StoreError::Format(_)) => found.damaged = 1,
            Err(error) => found.error = Some(error.to_string()),
        }
        self.report.tables.push(found);
        Ok(())
    }

    /// Reads a table from both ends and counts what becomes of its entries.
    fn entries<K: Key + 'static, V: Value + 'static>(
        &mut self,
        definition: TableDefinition<'_, K, V>,
        mut take: impl FnMut(K::SelfType<'_>, V::SelfType<'_>) -> Result<Verdict, StoreError>,
    ) {
        let mut found = SalvagedTable::named(definition.name());
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
                    match take(key.value(), value.value())? {
                        Verdict::Kept { before } => found.kept += u64::from(!before),
                        Verdict::Damaged => found.damaged += 1,
                        Verdict::Senseless => found.dropped += 1,
                    }
                }
            });
            match read {
                Ok(()) => break,
                Err(error) => found.error = Some(error.to_string()),
            }
        }
        self.report.tables.push(found);
    }
}
