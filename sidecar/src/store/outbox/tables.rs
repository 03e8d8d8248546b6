//! Transactions on the outbox's tables.
//!
//! | table | key | value |
//! |---|---|---|
//! | documents | document number | document; there while it waits for a destination |
//! | deliveries | document number | what became of it at each destination |
//! | alert_deliveries | alert id, document number | nothing: finds the deliveries of an alert |
//! | pending | destination, document number | nothing |
//! | dead | destination, document number | dead letter |
//! | totals | destination | counters |

use beaconwatch_destinations::Document;
use redb::{
    ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition,
    WriteTransaction,
};

use super::super::database::Tables;
use super::super::{StoreError, format};
use super::{
    Account, Accounts, DeadLetter, DeadLetterPage, DeliveryRecord, DeliveryState, KEPT_PER_ALERT,
    KEPT_RECORDS, Outgoing, Purged, Selection, Settled, Settlement, Totals, Wanted, alert_of,
};

type Numbered = TableDefinition<'static, u64, &'static [u8]>;
type ByDestination = (&'static str, u64);

pub(super) const DOCUMENTS: Numbered = TableDefinition::new("documents");
pub(super) const DELIVERIES: Numbered = TableDefinition::new("deliveries");
pub(super) const ALERTS: TableDefinition<'_, (&str, u64), ()> =
    TableDefinition::new("alert_deliveries");
pub(super) const PENDING: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("pending");
pub(super) const DEAD: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("dead");
pub(super) const TOTALS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("totals");

/// Makes the tables that are missing.
pub(in super::super) fn open_tables(transaction: &WriteTransaction) -> Result<(), StoreError> {
    Outbox::open(transaction).map(drop)
}

/// The tables, open in one transaction.
pub(super) struct Outbox<'t> {
    pub(super) documents: Table<'t, u64, &'static [u8]>,
    pub(super) deliveries: Table<'t, u64, &'static [u8]>,
    pub(super) alerts: Table<'t, ByDestination, ()>,
    pub(super) pending: Table<'t, ByDestination, ()>,
    pub(super) dead: Table<'t, ByDestination, &'static [u8]>,
    pub(super) totals: Table<'t, &'static str, &'static [u8]>,
}

impl<'t> Outbox<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            documents: transaction.open_table(DOCUMENTS)?,
            deliveries: transaction.open_table(DELIVERIES)?,
            alerts: transaction.open_table(ALERTS)?,
            pending: transaction.open_table(PENDING)?,
            dead: transaction.open_table(DEAD)?,
            totals: transaction.open_table(TOTALS)?,
        })
    }

    fn account(&self, destination: &str) -> Result<Account, StoreError> {
        match self.totals.get(destination)? {
            Some(account) => Ok(format::decode("counter set", account.value())?),
            None => Ok(Account::default()),
        }
    }

    pub(super) fn put_account(
        &mut self,
        destination: &str,
        account: &Account,
    ) -> Result<(), StoreError> {
        let encoded = format::encode("counter set", account)?;
        self.totals.insert(destination, encoded.as_slice())?;
        Ok(())
    }

    fn record(&self, number: u64) -> Result<Option<DeliveryRecord>, StoreError> {
        match self.deliveries.get(number)? {
            Some(record) => Ok(Some(format::decode("delivery record", record.value())?)),
            None => Ok(None),
        }
    }

    pub(super) fn put_record(
        &mut self,
        number: u64,
        record: &DeliveryRecord,
    ) -> Result<(), StoreError> {
        let encoded = format::encode("delivery record", record)?;
        self.deliveries.insert(number, encoded.as_slice())?;
        self.alerts
            .insert((alert_of(&record.event_id), number), ())?;
        Ok(())
    }

    fn remove_record(&mut self, number: u64) -> Result<(), StoreError> {
        if let Some(record) = self.record(number)? {
            self.alerts.remove((alert_of(&record.event_id), number))?;
            self.deliveries.remove(number)?;
        }
        Ok(())
    }

    pub(super) fn put_document(
        &mut self,
        number: u64,
        document: &Document,
    ) -> Result<(), StoreError> {
        let encoded = format::encode("document", document)?;
        self.documents.insert(number, encoded.as_slice())?;
        Ok(())
    }

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

    /// Forgets the deliveries of an alert's older documents, unless they wait.
    fn forget_old_of(&mut self, alert: &str) -> Result<(), StoreError> {
        let mut numbers = Vec::new();
        for entry in self.alerts.range((alert, 0)..=(alert, u64::MAX))? {
            numbers.push(entry?.0.value().1);
        }
        let excess = numbers.len().saturating_sub(KEPT_PER_ALERT);
        for number in numbers.into_iter().take(excess) {
            if self.documents.get(number)?.is_none() {
                self.remove_record(number)?;
            }
        }
        Ok(())
    }

    /// Forgets the oldest settled deliveries when there are too many. Every document has a record, so those
    /// without a document are the settled ones.
    fn forget_oldest(&mut self, keep: u64) -> Result<(), StoreError> {
        let settled = self.deliveries.len()?.saturating_sub(self.documents.len()?);
        let excess = usize::try_from(settled.saturating_sub(keep)).unwrap_or(usize::MAX);
        if excess == 0 {
            return Ok(());
        }
        let mut oldest = Vec::new();
        for entry in self.deliveries.iter()? {
            let number = entry?.0.value();
            if self.documents.get(number)?.is_none() {
                oldest.push(number);
                if oldest.len() == excess {
                    break;
                }
            }
        }
        for number in oldest {
            self.remove_record(number)?;
        }
        Ok(())
    }

    /// Notes what became of a document at a destination; the last one that it waits for removes it.
    fn note(
        &mut self,
        destination: &str,
        number: u64,
        state: Option<DeliveryState>,
    ) -> Result<(), StoreError> {
        let mut record = self
            .record(number)?
            .ok_or(StoreError::DocumentMissing { number })?;
        record.deliveries.retain(|(name, _)| name != destination);
        if let Some(state) = state {
            record.deliveries.push((destination.to_owned(), state));
        }
        let waits = |(_, state): &(String, DeliveryState)| *state == DeliveryState::Pending;
        if !record.deliveries.iter().any(waits) {
            self.documents.remove(number)?;
        }
        self.put_record(number, &record)
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

    pub(super) fn put_letter(
        &mut self,
        destination: &str,
        number: u64,
        letter: &DeadLetter,
    ) -> Result<(), StoreError> {
        let encoded = format::encode("dead letter", letter)?;
        self.dead
            .insert((destination, number), encoded.as_slice())?;
        Ok(())
    }

    fn document(&self, number: u64) -> Result<Document, StoreError> {
        let document = self.documents.get(number)?;
        let document = document.ok_or(StoreError::DocumentMissing { number })?;
        Ok(format::decode("document", document.value())?)
    }

    /// Keeps at most `limit` dead letters of a destination: the oldest go.
    fn trim_dead(
        &mut self,
        destination: &str,
        limit: u64,
        account: &mut Account,
    ) -> Result<(), StoreError> {
        let excess = account.backlog.dead_letters.saturating_sub(limit);
        let excess = usize::try_from(excess).unwrap_or(usize::MAX);
        for number in self.letters(destination)?.into_iter().take(excess) {
            self.dead.remove((destination, number))?;
            account.backlog.dead_letters -= 1;
            account.totals.dead_dropped += 1;
        }
        Ok(())
    }

    /// Numbers of all dead letters of a destination, oldest first.
    fn letters(&self, destination: &str) -> Result<Vec<u64>, StoreError> {
        numbers(&self.dead, destination)
    }

    /// Numbers of the selected dead letters that there are, oldest first.
    fn selected(&self, selection: &Selection) -> Result<Vec<u64>, StoreError> {
        let destination = selection.destination.as_str();
        let Some(wanted) = &selection.numbers else {
            return self.letters(destination);
        };
        let mut found = Vec::new();
        for &number in wanted {
            if self.dead.get((destination, number))?.is_some() {
                found.push(number);
            }
        }
        Ok(found)
    }

    /// Takes a dead letter out.
    fn take_letter(&mut self, destination: &str, number: u64) -> Result<DeadLetter, StoreError> {
        let letter = self.dead.remove((destination, number))?;
        let letter = letter.ok_or(StoreError::DocumentMissing { number })?;
        Ok(format::decode("dead letter", letter.value())?)
    }

    /// Lets a document wait again for a destination that had refused it.
    fn wait_again(
        &mut self,
        destination: &str,
        number: u64,
        document: &Document,
    ) -> Result<(), StoreError> {
        if self.record(number)?.is_none() {
            let record = DeliveryRecord {
                event_id: document.event_id.clone(),
                deliveries: Vec::new(),
            };
            self.put_record(number, &record)?;
        }
        self.put_document(number, document)?;
        self.pending.insert((destination, number), ())?;
        self.note(destination, number, Some(DeliveryState::Pending))
    }
}

/// Numbers of a destination's entries, in order.
fn numbers<V: redb::Value + 'static>(
    table: &impl ReadableTable<ByDestination, V>,
    destination: &str,
) -> Result<Vec<u64>, StoreError> {
    table
        .range((destination, 0)..=(destination, u64::MAX))?
        .map(|entry| Ok(entry?.0.value().1))
        .collect()
}

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

impl Tables {
    /// Runs `work` on the outbox in one transaction.
    fn in_outbox<T>(
        &mut self,
        work: impl FnOnce(&mut Outbox<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let transaction = self.database.begin_write()?;
        let outcome = work(&mut Outbox::open(&transaction)?)?;
        transaction.commit()?;
        Ok(outcome)
    }

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
            let document: Document = format::decode("document", document.value())?;
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

    pub(in super::super) fn accounts(&self) -> Result<Accounts, StoreError> {
        let transaction = self.database.begin_read()?;
        let mut all = Accounts::new();
        for entry in transaction.open_table(TOTALS)?.iter()? {
            let (destination, account) = entry?;
            let account = format::decode("counter set", account.value())?;
            all.insert(destination.value().to_owned(), account);
        }
        Ok(all)
    }

    pub(super) fn dead_letters(
        &self,
        page: &DeadLetterPage,
    ) -> Result<Vec<(u64, DeadLetter)>, StoreError> {
        let destination = page.destination.as_str();
        let Some(first) = page.after.checked_add(1) else {
            return Ok(Vec::new());
        };
        let transaction = self.database.begin_read()?;
        let dead = transaction.open_table(DEAD)?;
        let range = dead.range((destination, first)..=(destination, u64::MAX))?;
        let mut found = Vec::new();
        for entry in range.take(page.limit) {
            let (key, letter) = entry?;
            let letter = format::decode("dead letter", letter.value())?;
            found.push((key.value().1, letter));
        }
        Ok(found)
    }

    pub(super) fn replay(&mut self, selection: &Selection) -> Result<u64, StoreError> {
        let destination = selection.destination.as_str();
        self.in_outbox(|outbox| {
            let numbers = outbox.selected(selection)?;
            let count = numbers.len() as u64;
            for number in numbers {
                let letter = outbox.take_letter(destination, number)?;
                outbox.wait_again(destination, number, &letter.document)?;
            }
            let mut account = outbox.account(destination)?;
            account.backlog.dead_letters = account.backlog.dead_letters.saturating_sub(count);
            account.backlog.pending += count;
            account.totals.replayed += count;
            outbox.put_account(destination, &account)?;
            Ok(count)
        })
    }

    pub(super) fn drop_letters(&mut self, selection: &Selection) -> Result<u64, StoreError> {
        let destination = selection.destination.as_str();
        self.in_outbox(|outbox| {
            let numbers = outbox.selected(selection)?;
            let count = numbers.len() as u64;
            for number in numbers {
                outbox.dead.remove((destination, number))?;
            }
            let mut account = outbox.account(destination)?;
            account.backlog.dead_letters = account.backlog.dead_letters.saturating_sub(count);
            account.totals.dropped += count;
            outbox.put_account(destination, &account)?;
            Ok(count)
        })
    }

    pub(super) fn purge(&mut self, destination: &str) -> Result<Purged, StoreError> {
        self.in_outbox(|outbox| {
            let waiting = numbers(&outbox.pending, destination)?;
            for &number in &waiting {
                outbox.pending.remove((destination, number))?;
                outbox.note(destination, number, None)?;
            }
            let letters = outbox.letters(destination)?;
            for &number in &letters {
                outbox.dead.remove((destination, number))?;
            }
            outbox.totals.remove(destination)?;
            Ok(Purged {
                pending: waiting.len() as u64,
                dead_letters: letters.len() as u64,
            })
        })
    }

    pub(super) fn deliveries_of(
        &self,
        alert: &str,
    ) -> Result<Vec<(u64, DeliveryRecord)>, StoreError> {
        let transaction = self.database.begin_read()?;
        let alerts = transaction.open_table(ALERTS)?;
        let deliveries = transaction.open_table(DELIVERIES)?;
        let mut found = Vec::new();
        for number in numbers(&alerts, alert)? {
            if let Some(record) = deliveries.get(number)? {
                let record = format::decode("delivery record", record.value())?;
                found.push((number, record));
            }
        }
        Ok(found)
    }

    /// Number of documents that wait for a destination.
    pub(in super::super) fn outbox_documents(&self) -> Result<u64, StoreError> {
        let transaction = self.database.begin_read()?;
        Ok(transaction.open_table(DOCUMENTS)?.len()?)
    }
}
