//! From the layout of schema version 2, which had no checksums, and of version 1: there documents held the number of destinations left, what became of
//! them was not remembered, and waiting documents were counted by looking at all of them.

use std::collections::BTreeMap;

use beaconwatch_destinations::{Document, Stream};
use beaconwatch_detector::Timestamp;
use redb::{ReadTransaction, ReadableTable, WriteTransaction};
use serde::Deserialize;

use super::super::{StoreError, decode, migration};
use super::tables::{DEAD, DELIVERIES, DOCUMENTS, Outbox, TOTALS};
use super::{Account, Backlog, DeadLetter, DeliveryRecord, DeliveryState, Totals};

#[derive(Deserialize)]
struct OldDocument {
    event_id: String,
    body: String,
}

impl From<OldDocument> for Document {
    fn from(old: OldDocument) -> Self {
        Self {
            event_id: old.event_id,
            body: old.body,
            stream: Stream::Detection,
        }
    }
}

#[derive(Deserialize)]
struct OldQueued {
    document: OldDocument,
    #[expect(dead_code, reason = "the deliveries say it now")]
    remaining: u32,
}

#[derive(Deserialize)]
struct OldDeadLetter {
    document: OldDocument,
    reason: String,
    at: Timestamp,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct OldTotals {
    delivered: u64,
    already_there: u64,
    retries: u64,
    dead: u64,
    dead_dropped: u64,
}

impl From<OldTotals> for Totals {
    fn from(old: OldTotals) -> Self {
        Self {
            delivered: old.delivered,
            already_there: old.already_there,
            retries: old.retries,
            dead: old.dead,
            dead_dropped: old.dead_dropped,
            ..Self::default()
        }
    }
}

/// Puts the checksums behind the values of schema version 2.
pub(in super::super) fn add_checksums(
    old: &ReadTransaction,
    new: &WriteTransaction,
) -> Result<(), StoreError> {
    migration::add_checksums(old, new, DOCUMENTS)?;
    migration::add_checksums(old, new, DELIVERIES)?;
    migration::add_checksums(old, new, DEAD)?;
    migration::add_checksums(old, new, TOTALS)
}

/// Rewrites the outbox of schema version 1, as part of the transaction that raises the version.
pub(in super::super) fn migrate(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut outbox = Outbox::open(transaction)?;
    let mut backlogs: BTreeMap<String, Backlog> = BTreeMap::new();
    let mut waiting: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for entry in outbox.pending.iter()? {
        let key = entry?.0;
        let (destination, number) = key.value();
        backlogs.entry(destination.to_owned()).or_default().pending += 1;
        let destinations = waiting.entry(number).or_default();
        destinations.push(destination.to_owned());
    }
    migrate_documents(&mut outbox, &mut waiting)?;
    migrate_letters(&mut outbox, &mut backlogs)?;
    migrate_totals(&mut outbox, backlogs)
}

fn migrate_documents(
    outbox: &mut Outbox<'_>,
    waiting: &mut BTreeMap<u64, Vec<String>>,
) -> Result<(), StoreError> {
    let mut numbers = Vec::new();
    for entry in outbox.documents.iter()? {
        numbers.push(entry?.0.value());
    }
    for number in numbers {
        let Some(queued) = outbox.documents.remove(number)? else {
            continue;
        };
        let old: OldQueued = decode("document", queued.value())?;
        drop(queued);
        let document: Document = old.document.into();
        let destinations = waiting.remove(&number).unwrap_or_default();
        if destinations.is_empty() {
            continue;
        }
        let pending = |name| (name, DeliveryState::Pending);
        let record = DeliveryRecord {
            event_id: document.event_id.clone(),
            deliveries: destinations.into_iter().map(pending).collect(),
        };
        outbox.put_document(number, &document)?;
        outbox.put_record(number, &record)?;
    }
    match waiting.pop_first() {
        Some((number, _)) => Err(StoreError::DocumentMissing { number }),
        None => Ok(()),
    }
}

fn migrate_letters(
    outbox: &mut Outbox<'_>,
    backlogs: &mut BTreeMap<String, Backlog>,
) -> Result<(), StoreError> {
    let mut keys = Vec::new();
    for entry in outbox.dead.iter()? {
        let key = entry?.0;
        let (destination, number) = key.value();
        keys.push((destination.to_owned(), number));
    }
    for (destination, number) in keys {
        let Some(letter) = outbox.dead.remove((destination.as_str(), number))? else {
            continue;
        };
        let old: OldDeadLetter = decode("dead letter", letter.value())?;
        drop(letter);
        let letter = DeadLetter {
            document: old.document.into(),
            reason: old.reason,
            at: old.at,
        };
        outbox.put_letter(&destination, number, &letter)?;
        backlogs.entry(destination).or_default().dead_letters += 1;
    }
    Ok(())
}

fn migrate_totals(
    outbox: &mut Outbox<'_>,
    backlogs: BTreeMap<String, Backlog>,
) -> Result<(), StoreError> {
    let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
    for entry in outbox.totals.iter()? {
        let (destination, totals) = entry?;
        let old: OldTotals = decode("counter set", totals.value())?;
        let account = accounts.entry(destination.value().to_owned()).or_default();
        account.totals = old.into();
    }
    for (destination, backlog) in backlogs {
        accounts.entry(destination).or_default().backlog = backlog;
    }
    for (destination, account) in &accounts {
        outbox.put_account(destination, account)?;
    }
    Ok(())
}
