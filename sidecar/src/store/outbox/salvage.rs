//! The outbox of a damaged store: what is read of it, and its indices made anew.

use std::collections::{BTreeMap, BTreeSet};

use beaconwatch_destinations::Document;
use redb::{ReadableTable, WriteTransaction};

use super::super::salvage::Rescue;
use super::super::{StoreError, decode, seal};
use super::tables::{ALERTS, DEAD, DELIVERIES, DOCUMENTS, Outbox, PENDING, TOTALS};
use super::{Account, Backlog, DeadLetter, DeliveryRecord, DeliveryState};

/// Takes over all tables of the outbox.
pub(in super::super) fn rescue(rescue: &mut Rescue<'_>) -> Result<(), StoreError> {
    rescue.values(DOCUMENTS, |_, value| {
        decode::<Document>("document", value).is_ok()
    })?;
    rescue.values(DELIVERIES, |_, value| {
        decode::<DeliveryRecord>("delivery record", value).is_ok()
    })?;
    rescue.values(DEAD, |_, value| {
        decode::<DeadLetter>("dead letter", value).is_ok()
    })?;
    rescue.values(TOTALS, |_, value| {
        decode::<Account>("counter set", value).is_ok()
    })?;
    // Both are made anew from the records.
    rescue.keys(ALERTS)?;
    rescue.keys(PENDING)
}

/// Makes the indices anew, and leaves behind what waits without its other half; the largest document number.
pub(in super::super) fn drop_loose_ends(transaction: &WriteTransaction) -> Result<u64, StoreError> {
    let mut outbox = Outbox::open(transaction)?;
    outbox.alerts.retain(|_, ()| false)?;
    outbox.pending.retain(|_, ()| false)?;
    let mut documents = BTreeSet::new();
    for entry in outbox.documents.iter()? {
        documents.insert(entry?.0.value());
    }
    let mut records: BTreeMap<u64, DeliveryRecord> = BTreeMap::new();
    for entry in outbox.deliveries.iter()? {
        let (number, record) = entry?;
        let number = number.value();
        let record = seal::read::<u64, _>("delivery record", &number, record.value())?;
        records.insert(number, record);
    }
    let newest = documents.last().max(records.keys().next_back()).copied();
    let mut backlogs: BTreeMap<String, Backlog> = BTreeMap::new();
    for (number, record) in &records {
        let waits = |(_, state): &&(String, DeliveryState)| matches!(state, DeliveryState::Pending);
        let waiting: Vec<&String> = record
            .deliveries
            .iter()
            .filter(waits)
            .map(|(destination, _)| destination)
            .collect();
        if !waiting.is_empty() && !documents.remove(number) {
            outbox.deliveries.remove(number)?;
            continue;
        }
        for destination in waiting {
            outbox.pending.insert((destination.as_str(), *number), ())?;
            backlogs.entry(destination.clone()).or_default().pending += 1;
        }
        outbox.put_record(*number, record)?;
    }
    // Nobody knows where these were to go.
    for number in documents {
        outbox.documents.remove(number)?;
    }
    for entry in outbox.dead.iter()? {
        let destination = entry?.0.value().0.to_owned();
        backlogs.entry(destination).or_default().dead_letters += 1;
    }
    recount(&mut outbox, backlogs)?;
    Ok(newest.unwrap_or(0))
}

fn recount(
    outbox: &mut Outbox<'_>,
    mut backlogs: BTreeMap<String, Backlog>,
) -> Result<(), StoreError> {
    let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
    for entry in outbox.totals.iter()? {
        let (destination, account) = entry?;
        let destination = destination.value();
        let mut account: Account =
            seal::read::<&str, _>("counter set", &destination, account.value())?;
        account.backlog = backlogs.remove(destination).unwrap_or_default();
        accounts.insert(destination.to_owned(), account);
    }
    for (destination, backlog) in backlogs {
        accounts.entry(destination).or_default().backlog = backlog;
    }
    for (destination, account) in &accounts {
        outbox.put_account(destination, account)?;
    }
    Ok(())
}
