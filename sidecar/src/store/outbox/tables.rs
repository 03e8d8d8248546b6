//! The outbox's tables, and what looks at all of them.
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

use super::super::database::{Tables, Values};
use super::super::{StoreError, seal};
use super::{Account, Accounts, Purged};

pub(in super::super) type ByDestination = (&'static str, u64);

pub(in super::super) const DOCUMENTS: Values<u64> = TableDefinition::new("documents");
pub(in super::super) const DELIVERIES: Values<u64> = TableDefinition::new("deliveries");
pub(super) const ALERTS: TableDefinition<'_, ByDestination, ()> =
    TableDefinition::new("alert_deliveries");
pub(super) const PENDING: TableDefinition<'_, ByDestination, ()> = TableDefinition::new("pending");
pub(in super::super) const DEAD: Values<ByDestination> = TableDefinition::new("dead");
pub(in super::super) const TOTALS: Values<&str> = TableDefinition::new("totals");

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

    pub(super) fn account(&self, destination: &str) -> Result<Account, StoreError> {
        match self.totals.get(destination)? {
            Some(account) => Ok(seal::read::<&str, _>(
                "counter set",
                &destination,
                account.value(),
            )?),
            None => Ok(Account::default()),
        }
    }

    pub(super) fn put_account(
        &mut self,
        destination: &str,
        account: &Account,
    ) -> Result<(), StoreError> {
        seal::write(&mut self.totals, destination, "counter set", account)
    }

    pub(super) fn put_document(
        &mut self,
        number: u64,
        document: &Document,
    ) -> Result<(), StoreError> {
        seal::write(&mut self.documents, number, "document", document)
    }

    pub(super) fn document(&self, number: u64) -> Result<Document, StoreError> {
        let document = self.documents.get(number)?;
        let document = document.ok_or(StoreError::DocumentMissing { number })?;
        Ok(seal::read::<u64, _>("document", &number, document.value())?)
    }
}

/// Numbers of a destination's entries, in order.
pub(super) fn numbers<V: redb::Value + 'static>(
    table: &impl ReadableTable<ByDestination, V>,
    destination: &str,
) -> Result<Vec<u64>, StoreError> {
    table
        .range((destination, 0)..=(destination, u64::MAX))?
        .map(|entry| Ok(entry?.0.value().1))
        .collect()
}

impl Tables {
    /// Runs `work` on the outbox in one transaction.
    pub(super) fn in_outbox<T>(
        &mut self,
        work: impl FnOnce(&mut Outbox<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let transaction = self.database.begin_write()?;
        let outcome = work(&mut Outbox::open(&transaction)?)?;
        transaction.commit()?;
        Ok(outcome)
    }

    pub(in super::super) fn accounts(&self) -> Result<Accounts, StoreError> {
        let transaction = self.database.begin_read()?;
        let mut all = Accounts::new();
        for entry in transaction.open_table(TOTALS)?.iter()? {
            let (destination, account) = entry?;
            let destination = destination.value();
            let account = seal::read::<&str, _>("counter set", &destination, account.value())?;
            all.insert(destination.to_owned(), account);
        }
        Ok(all)
    }

    pub(super) fn purge(&mut self, destination: &str) -> Result<Purged, StoreError> {
        self.in_outbox(|outbox| {
            let waiting = numbers(&outbox.pending, destination)?;
            for &number in &waiting {
                outbox.pending.remove((destination, number))?;
                outbox.note(destination, number, None)?;
            }
            let letters = numbers(&outbox.dead, destination)?;
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

    /// Number of documents that wait for a destination.
    pub(in super::super) fn outbox_documents(&self) -> Result<u64, StoreError> {
        let transaction = self.database.begin_read()?;
        Ok(transaction.open_table(DOCUMENTS)?.len()?)
    }
}
