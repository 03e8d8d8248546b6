//! The tables, and one function for every transaction.
//!
//! | table | key | value |
//! |---|---|---|
//! | meta | name | schema version, positions |
//! | journal | position | a batch that is not in the saved state yet |
//! | series | series key (postcard) | detector state (postcard) |
//! | exporters | exporter id | its sequence tracker |
//! | findings | series key (postcard) | finding |
//! | documents | document number | document and number of destinations left |
//! | pending | destination, document number | nothing |
//! | dead | destination, document number | dead letter |
//! | totals | destination | counters |
//! | settings | name | what was set while the sidecar ran (JSON) |
//!
//! Every function is one transaction with one `fsync`: all of it is there after a crash, or none.

use std::collections::BTreeMap;
use std::path::Path;

use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    WriteTransaction,
};

use beaconwatch_destinations::Document;

use super::format::{self, DeadLetter, Queued, Totals};
use super::{Changes, Checkpoint, Restored, Settled, Settlement, StoreError};

/// Version of the tables' layout. A store of another version is refused.
const SCHEMA_VERSION: u64 = 1;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const JOURNAL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal");
const SERIES: TableDefinition<'_, &'static [u8], &'static [u8]> = TableDefinition::new("series");
const EXPORTERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("exporters");
const FINDINGS: TableDefinition<'_, &'static [u8], &'static [u8]> =
    TableDefinition::new("findings");
const DOCUMENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("documents");
const PENDING: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("pending");
const DEAD: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("dead");
const TOTALS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("totals");
const SETTINGS: TableDefinition<'_, &str, &str> = TableDefinition::new("settings");

const META_SCHEMA: &str = "schema_version";
/// Journal up to here is in the saved state.
const META_APPLIED: &str = "applied_position";
/// Largest document number ever written: writing a checkpoint twice adds its documents once.
const META_DOCUMENT: &str = "last_document";

/// Documents waiting and dead, per destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Waiting for delivery.
    pub pending: u64,
    /// Dead letters kept.
    pub dead_letters: u64,
}

/// The open database.
pub(super) struct Tables {
    database: Database,
    next_position: u64,
}

impl Tables {
    /// Opens or creates the database file and checks every page of it.
    pub(super) fn open(path: &Path, cache_bytes: usize) -> Result<Self, StoreError> {
        restrict(path)?;
        let mut builder = Database::builder();
        builder.set_cache_size(cache_bytes);
        // Without the check, a file that something else has altered can panic later.
        builder.set_check_integrity_on_open(true);
        let database = builder.create(path)?;
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
            transaction.open_table(FINDINGS)?;
            transaction.open_table(DOCUMENTS)?;
            transaction.open_table(PENDING)?;
            transaction.open_table(DEAD)?;
            transaction.open_table(TOTALS)?;
            transaction.open_table(SETTINGS)?;
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
        restored(Restored::Counters {
            applied: read(&meta, META_APPLIED)?,
            last_document: read(&meta, META_DOCUMENT)?,
        })?;
        for entry in transaction.open_table(SETTINGS)?.iter()? {
            let (name, value) = entry?;
            restored(Restored::Setting {
                name: name.value(),
                value: value.value(),
            })?;
        }
        for entry in transaction.open_table(SERIES)?.iter()? {
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
        for entry in transaction.open_table(FINDINGS)?.iter()? {
            let (key, finding) = entry?;
            restored(Restored::Finding {
                key: key.value(),
                finding: finding.value(),
            })?;
        }
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
    pub(super) fn checkpoint(
        &mut self,
        checkpoint: &Checkpoint,
        destinations: &[String],
    ) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        write_changes(&transaction, SERIES, &checkpoint.series)?;
        write_changes(&transaction, FINDINGS, &checkpoint.findings)?;
        {
            let mut exporters = transaction.open_table(EXPORTERS)?;
            for (id, tracker) in &checkpoint.exporters {
                match tracker {
                    Some(tracker) => exporters.insert(id.as_str(), tracker.as_slice())?,
                    None => exporters.remove(id.as_str())?,
                };
            }
        }
        queue_documents(&transaction, checkpoint, destinations)?;
        {
            let mut journal = transaction.open_table(JOURNAL)?;
            journal.retain_in(..=checkpoint.through, |_, _| false)?;
            let mut meta = transaction.open_table(META)?;
            meta.insert(META_APPLIED, checkpoint.through)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// The oldest documents that wait for `destination`, with their numbers.
    pub(super) fn pending(
        &self,
        destination: &str,
        limit: usize,
    ) -> Result<Vec<(u64, Document)>, StoreError> {
        let transaction = self.database.begin_read()?;
        let pending = transaction.open_table(PENDING)?;
        let documents = transaction.open_table(DOCUMENTS)?;
        let mut found = Vec::new();
        for entry in pending
            .range((destination, 0)..=(destination, u64::MAX))?
            .take(limit)
        {
            let number = entry?.0.value().1;
            let queued = documents
                .get(number)?
                .ok_or(StoreError::DocumentMissing { number })?;
            let queued: Queued = format::decode("document", queued.value())?;
            found.push((number, queued.document));
        }
        Ok(found)
    }

    /// Records what became of deliveries; the destination's counters afterwards.
    pub(super) fn settle(&mut self, settlement: &Settlement) -> Result<Totals, StoreError> {
        let destination = settlement.destination.as_str();
        let transaction = self.database.begin_write()?;
        let totals = {
            let mut totals_table = transaction.open_table(TOTALS)?;
            let mut totals = match totals_table.get(destination)? {
                Some(totals) => format::decode("counter set", totals.value())?,
                None => Totals::default(),
            };
            totals.retries += settlement.retries;
            for (number, settled) in &settlement.settled {
                settle_one(&transaction, destination, *number, settled, &mut totals)?;
            }
            if settlement
                .settled
                .iter()
                .any(|(_, settled)| matches!(settled, Settled::Dead { .. }))
            {
                trim_dead(
                    &transaction,
                    destination,
                    settlement.dead_limit,
                    &mut totals,
                )?;
            }
            totals_table.insert(
                destination,
                format::encode("counter set", &totals)?.as_slice(),
            )?;
            totals
        };
        transaction.commit()?;
        Ok(totals)
    }

    /// Counters of every destination that the store knows of.
    pub(super) fn totals(&self) -> Result<BTreeMap<String, (Totals, Backlog)>, StoreError> {
        let transaction = self.database.begin_read()?;
        let mut all: BTreeMap<String, (Totals, Backlog)> = BTreeMap::new();
        for entry in transaction.open_table(TOTALS)?.iter()? {
            let (destination, totals) = entry?;
            all.entry(destination.value().to_owned()).or_default().0 =
                format::decode("counter set", totals.value())?;
        }
        for entry in transaction.open_table(PENDING)?.iter()? {
            let destination = entry?.0.value().0.to_owned();
            all.entry(destination).or_default().1.pending += 1;
        }
        for entry in transaction.open_table(DEAD)?.iter()? {
            let destination = entry?.0.value().0.to_owned();
            all.entry(destination).or_default().1.dead_letters += 1;
        }
        Ok(all)
    }

    /// The largest number of documents that wait for one of `destinations`.
    pub(super) fn largest_backlog(&self, destinations: &[String]) -> Result<u64, StoreError> {
        let transaction = self.database.begin_read()?;
        let pending = transaction.open_table(PENDING)?;
        let mut largest = 0;
        for destination in destinations {
            let name = destination.as_str();
            largest = largest.max(pending.range((name, 0)..=(name, u64::MAX))?.count() as u64);
        }
        Ok(largest)
    }

    /// The oldest dead letters of `destination`, with their numbers.
    pub(super) fn dead_letters(
        &self,
        destination: &str,
        limit: usize,
    ) -> Result<Vec<(u64, DeadLetter)>, StoreError> {
        let transaction = self.database.begin_read()?;
        let dead = transaction.open_table(DEAD)?;
        let mut found = Vec::new();
        for entry in dead
            .range((destination, 0)..=(destination, u64::MAX))?
            .take(limit)
        {
            let (key, letter) = entry?;
            found.push((
                key.value().1,
                format::decode("dead letter", letter.value())?,
            ));
        }
        Ok(found)
    }

    /// Number of batches in the journal and of documents in the outbox.
    pub(super) fn lengths(&self) -> Result<(u64, u64), StoreError> {
        let transaction = self.database.begin_read()?;
        Ok((
            transaction.open_table(JOURNAL)?.len()?,
            transaction.open_table(DOCUMENTS)?.len()?,
        ))
    }
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

fn queue_documents(
    transaction: &WriteTransaction,
    checkpoint: &Checkpoint,
    destinations: &[String],
) -> Result<(), StoreError> {
    let mut meta = transaction.open_table(META)?;
    let mut last = read(&meta, META_DOCUMENT)?;
    let mut documents = transaction.open_table(DOCUMENTS)?;
    let mut pending = transaction.open_table(PENDING)?;
    let remaining = u32::try_from(destinations.len()).unwrap_or(u32::MAX);
    for (number, document) in &checkpoint.documents {
        if *number <= last {
            continue;
        }
        last = *number;
        if remaining == 0 {
            continue;
        }
        let queued = Queued {
            document: document.clone(),
            remaining,
        };
        documents.insert(number, format::encode("document", &queued)?.as_slice())?;
        for destination in destinations {
            pending.insert((destination.as_str(), *number), ())?;
        }
    }
    meta.insert(META_DOCUMENT, last)?;
    Ok(())
}

fn settle_one(
    transaction: &WriteTransaction,
    destination: &str,
    number: u64,
    settled: &Settled,
    totals: &mut Totals,
) -> Result<(), StoreError> {
    let mut pending = transaction.open_table(PENDING)?;
    if pending.remove((destination, number))?.is_none() {
        return Ok(());
    }
    let mut documents = transaction.open_table(DOCUMENTS)?;
    let queued = match documents.get(number)? {
        Some(queued) => format::decode::<Queued>("document", queued.value())?,
        None => return Err(StoreError::DocumentMissing { number }),
    };
    match settled {
        Settled::Delivered { already_there } => {
            totals.delivered += 1;
            totals.already_there += u64::from(*already_there);
        }
        Settled::Dead { reason, at } => {
            totals.dead += 1;
            let (document, reason, at) = (queued.document.clone(), reason.clone(), *at);
            let letter = DeadLetter {
                document,
                reason,
                at,
            };
            let letter = format::encode("dead letter", &letter)?;
            let mut dead = transaction.open_table(DEAD)?;
            dead.insert((destination, number), letter.as_slice())?;
        }
    }
    release(&mut documents, number, queued)
}

/// One destination less holds the document; the last one removes it.
fn release(
    documents: &mut redb::Table<'_, u64, &'static [u8]>,
    number: u64,
    queued: Queued,
) -> Result<(), StoreError> {
    if queued.remaining <= 1 {
        documents.remove(number)?;
    } else {
        let remaining = queued.remaining - 1;
        let queued = Queued {
            remaining,
            ..queued
        };
        documents.insert(number, format::encode("document", &queued)?.as_slice())?;
    }
    Ok(())
}

/// Keeps at most `limit` dead letters of a destination: the oldest go.
fn trim_dead(
    transaction: &WriteTransaction,
    destination: &str,
    limit: u64,
    totals: &mut Totals,
) -> Result<(), StoreError> {
    let mut dead = transaction.open_table(DEAD)?;
    let numbers: Vec<u64> = dead
        .range((destination, 0)..=(destination, u64::MAX))?
        .map(|entry| Ok(entry?.0.value().1))
        .collect::<Result<_, StoreError>>()?;
    let excess = numbers
        .len()
        .saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
    for number in numbers.into_iter().take(excess) {
        dead.remove((destination, number))?;
        totals.dead_dropped += 1;
    }
    Ok(())
}
