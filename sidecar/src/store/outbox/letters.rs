//! Dead letters: kept up to a limit, read, sent again and dropped.

use beaconwatch_destinations::Document;
use redb::{ReadableDatabase, ReadableTable};

use super::super::database::Tables;
use super::super::{StoreError, seal};
use super::tables::{ByDestination, DEAD, Outbox, numbers};
use super::{Account, DeadLetter, DeadLetterPage, DeliveryRecord, DeliveryState, Selection};

impl Outbox<'_> {
    pub(super) fn put_letter(
        &mut self,
        destination: &str,
        number: u64,
        letter: &DeadLetter,
    ) -> Result<(), StoreError> {
        seal::write(&mut self.dead, (destination, number), "dead letter", letter)
    }

    /// Keeps at most `limit` dead letters of a destination: the oldest go.
    pub(super) fn trim_dead(
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
        let key = (destination, number);
        let letter = self.dead.remove(key)?;
        let letter = letter.ok_or(StoreError::DocumentMissing { number })?;
        Ok(seal::read::<ByDestination, _>(
            "dead letter",
            &key,
            letter.value(),
        )?)
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

impl Tables {
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
            let key = key.value();
            let letter = seal::read::<ByDestination, _>("dead letter", &key, letter.value())?;
            found.push((key.1, letter));
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
}
