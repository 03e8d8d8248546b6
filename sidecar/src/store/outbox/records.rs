//! What became of documents: one record for each, found by its number and by its alert.

use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::super::database::Tables;
use super::super::{StoreError, seal};
use super::tables::{ALERTS, DELIVERIES, Outbox, numbers};
use super::{DeliveryRecord, DeliveryState, KEPT_PER_ALERT, alert_of};

impl Outbox<'_> {
    pub(super) fn record(&self, number: u64) -> Result<Option<DeliveryRecord>, StoreError> {
        match self.deliveries.get(number)? {
            Some(record) => Ok(Some(seal::read::<u64, _>(
                "delivery record",
                &number,
                record.value(),
            )?)),
            None => Ok(None),
        }
    }

    pub(super) fn put_record(
        &mut self,
        number: u64,
        record: &DeliveryRecord,
    ) -> Result<(), StoreError> {
        seal::write(&mut self.deliveries, number, "delivery record", record)?;
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

    /// Forgets the deliveries of an alert's older documents, unless they wait.
    pub(super) fn forget_old_of(&mut self, alert: &str) -> Result<(), StoreError> {
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
    pub(super) fn forget_oldest(&mut self, keep: u64) -> Result<(), StoreError> {
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
    pub(super) fn note(
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
}

impl Tables {
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
                let record = seal::read::<u64, _>("delivery record", &number, record.value())?;
                found.push((number, record));
            }
        }
        Ok(found)
    }
}
