//! The audit and small named values (allow-list, simulations, settings that were changed): written with the
//! checkpoint that they belong to.

use std::collections::BTreeMap;

use redb::{
    ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};

use super::database::{Tables, Values};
use super::seal::{put, unseal};
use super::{Restored, Store, StoreError, seal};
use crate::alert::{AuditEntry, AuditPage};

/// Number of the entry, counted from 1 → entry.
pub(super) const AUDIT: Values<u64> = TableDefinition::new("audit");
/// Name → value.
pub(super) const STATE: Values<&str> = TableDefinition::new("state");
/// Name → what was set while the sidecar ran (JSON).
pub(super) const SETTINGS: Values<&str> = TableDefinition::new("settings");

/// New entries of the audit, and what they tell of.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By number; numbers only grow.
    pub(crate) audit: BTreeMap<u64, AuditEntry>,
    /// Entries to keep; none keeps all.
    pub(crate) audit_limit: Option<u64>,
    /// Named values; no value means removed.
    pub(crate) state: BTreeMap<String, Option<Vec<u8>>>,
    /// What was set, by name.
    pub(crate) settings: BTreeMap<&'static str, String>,
}

impl Ledger {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.audit.is_empty() && self.state.is_empty() && self.settings.is_empty()
    }
}

/// Makes the tables.
pub(super) fn prepare(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction.open_table(AUDIT)?;
    transaction.open_table(STATE)?;
    transaction.open_table(SETTINGS)?;
    Ok(())
}

/// Writes a ledger. Doing it twice adds nothing twice.
pub(super) fn write(transaction: &WriteTransaction, ledger: &Ledger) -> Result<(), StoreError> {
    if ledger.is_empty() {
        return Ok(());
    }
    let mut state = transaction.open_table(STATE)?;
    for (name, value) in &ledger.state {
        match value {
            Some(value) => put(&mut state, name, value)?,
            None => drop(state.remove(name.as_str())?),
        }
    }
    let mut settings = transaction.open_table(SETTINGS)?;
    for (name, value) in &ledger.settings {
        put(&mut settings, name, value.as_bytes())?;
    }
    let mut audit = transaction.open_table(AUDIT)?;
    for (number, entry) in &ledger.audit {
        seal::write(&mut audit, *number, "audit entry", entry)?;
    }
    if let Some(limit) = ledger.audit_limit {
        while audit.len()? > limit {
            audit.pop_first()?;
        }
    }
    Ok(())
}

impl Tables {
    /// Hands out every setting and named value, and the number of the last entry of the audit.
    pub(super) fn restore_ledger(
        &self,
        restored: &mut dyn FnMut(Restored<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let transaction = self.database.begin_read()?;
        for entry in transaction.open_table(SETTINGS)?.iter()? {
            let (name, value) = entry?;
            restored(Restored::Setting {
                name: name.value(),
                value: unseal::<&str>("setting", &name.value(), value.value())?,
            })?;
        }
        let audit = transaction.open_table(AUDIT)?;
        restored(Restored::Audit {
            last: audit.last()?.map_or(0, |(number, _)| number.value()),
        })?;
        for entry in transaction.open_table(STATE)?.iter()? {
            let (name, value) = entry?;
            restored(Restored::State {
                name: name.value(),
                value: unseal::<&str>("named value", &name.value(), value.value())?,
            })?;
        }
        Ok(())
    }

    /// Entries of the audit below a number, newest first.
    fn audit(&self, before: Option<u64>, limit: usize) -> Result<AuditPage, StoreError> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(AUDIT)?;
        let mut entries = Vec::new();
        let mut next = None;
        for entry in table.range(..before.unwrap_or(u64::MAX))?.rev() {
            let (number, value) = entry?;
            if entries.len() == limit {
                next = entries.last().map(|(number, _)| *number);
                break;
            }
            let number = number.value();
            let entry = seal::read::<u64, _>("audit entry", &number, value.value())?;
            entries.push((number, entry));
        }
        Ok(AuditPage { entries, next })
    }
}

impl Store {
    /// Entries of the audit below a number, newest first.
    pub(crate) async fn audit(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AuditPage, StoreError> {
        self.run(move |tables| tables.audit(before, limit)).await
    }
}
