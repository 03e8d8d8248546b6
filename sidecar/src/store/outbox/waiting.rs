//! Documents that wait for a destination: put there by a checkpoint, taken out by what became of an attempt.

use beaconwatch_destinations::Document;
use redb::{ReadableDatabase, WriteTransaction};

use super::super::database::Tables;
use super::super::{StoreError, seal};
use super::tables::{DOCUMENTS, Outbox, PENDING};
use super::{
    Account, DeadLetter, DeliveryRecord, DeliveryState, KEPT_RECORDS, Outgoing, Settled,
    Settlement, Totals, Wanted, alert_of,
};

/// Puts new documents into the outbox of a checkpoint's transaction. Those with a number up to `last` are
/// there already; the largest number afterwards.
pub(in super::super) fn queue_documents<'a>(
    transaction: &WriteTransaction,
    documents: impl Iterator<Item = (&'a u64, &'a Outgoing)>,
    mut last: u64,
) -> Result<u64, StoreError> {
    let mut outbox = Outbox::open(transaction)?;
    let mut new = std::collections::BTreeMap::<&str, u64>::new();
    for (&number, outgoing) in documents {
        if number <= last {
            continue;
        }
        last = number;
        if outgoing.destinations.is_empty() {
            continue;
        }
        outbox.queue(number, outgoing)?;
        for destination in &outgoing.destinations {
            *new.entry(destination).or_default() += 1;
        }
    }
    for (destination, documents) in new {
        let mut account = outbox.account(destination)?;
        account.backlog.pending += documents;
        outbox.put_account(destination, &account)?;
    }
    outbox.forget_oldest(KEPT_RECORDS)?;
    Ok(last)
}

impl Outbox<'_> {
    fn queue(&mut self, number: u64, outgoing: &Outgoing) -> Result<(), StoreError> {
        self.put_document(number, &outgoing.document)?;
        let destinations = outgoing.destinations.iter();
        let record = DeliveryRecord {
            event_id: outgoing.document.event_id.clone(),
            deliveries: destinations
                .map(|name| (name.to_string(), DeliveryState::Pending))
                .collect(),
        };
        self.put_record(number, &record)?;
        for destination in &outgoing.destinations {
            self.pending.insert((&**destination, number), ())?;
        }
        self.forget_old_of(alert_of(&record.event_id))
    }

    fn settle_one(
        &mut self,
        destination: &str,
        number: u64,
        settled: &Settled,
        account: &mut Account,
    ) -> Result<(), StoreError> {
        if self.pending.remove((destination, number))?.is_none() {
            return Ok(());
        }
        account.backlog.pending = account.backlog.pending.saturating_sub(1);
        let state = match settled {
            Settled::Delivered { already_there } => {
                account.totals.delivered += 1;
                account.totals.already_there += u64::from(*already_there);
                DeliveryState::Delivered
            }
            Settled::Unconfirmed => {
                account.totals.unconfirmed += 1;
                DeliveryState::Unconfirmed
            }
            Settled::Dead { reason, at } => {
                let letter = DeadLetter {
                    document: self.document(number)?,
                    reason: reason.clone(),
                    at: *at,
                };
                self.put_letter(destination, number, &letter)?;
                account.totals.dead += 1;
                account.backlog.dead_letters += 1;
                DeliveryState::Dead {
                    reason: reason.clone(),
                }
            }
        };
        self.note(destination, number, Some(state))
    }
}

impl Tables {
    pub(in super::super) fn pending(
        &self,
        wanted: &Wanted,
    ) -> Result<Vec<(u64, Document)>, StoreError> {
        let destination = wanted.destination.as_str();
        let transaction = self.database.begin_read()?;
        let pending = transaction.open_table(PENDING)?;
        let documents = transaction.open_table(DOCUMENTS)?;
        let mut found = Vec::new();
        let mut bytes = 0;
        for entry in pending.range((destination, 0)..=(destination, u64::MAX))? {
            let number = entry?.0.value().1;
            if found.len() == wanted.max_documents {
                break;
            }
            if wanted.skip.contains(&number) {
                continue;
            }
            let document = documents.get(number)?;
            let document = document.ok_or(StoreError::DocumentMissing { number })?;
            let document: Document = seal::read::<u64, _>("document", &number, document.value())?;
            bytes += document.body.len();
            if bytes > wanted.max_bytes && !found.is_empty() {
                break;
            }
            found.push((number, document));
        }
        Ok(found)
    }

    pub(in super::super) fn settle(
        &mut self,
        settlement: &Settlement,
    ) -> Result<Totals, StoreError> {
        let destination = settlement.destination.as_str();
        self.in_outbox(|outbox| {
            let mut account = outbox.account(destination)?;
            account.totals.retries += settlement.retries;
            for (number, settled) in &settlement.settled {
                outbox.settle_one(destination, *number, settled, &mut account)?;
            }
            if account.backlog.dead_letters > settlement.dead_limit {
                outbox.trim_dead(destination, settlement.dead_limit, &mut account)?;
            }
            outbox.put_account(destination, &account)?;
            Ok(account.totals)
        })
    }
}
