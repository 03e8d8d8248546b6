//! What is saved of the scoring thread's state, and what others are told of it.
//!
//! Contract: a checkpoint that the store could not take is kept and becomes part of the next one.

use std::sync::PoisonError;

use super::super::sightings::PREVALENCE;
use super::super::{Record, SeriesId};
use super::{Engine, POSTED};
use crate::alert::AuditEntry;
use crate::store::{Checkpoint, FormatError, Store, StoreError, encode, encode_key};

impl Engine {
    /// Adds all changes to the unsaved checkpoint and writes it.
    pub(super) fn save(&mut self, store: &Store) -> Result<(), StoreError> {
        self.publish_series();
        self.collect_findings()?;
        self.collect_changes()?;
        self.unsaved.through = self.applied;
        self.write(store)
    }

    /// Writes findings, documents, audit and named values. The series stay as they were saved, and so does
    /// the journal, so that a crash scores the same input again. After a checkpoint that was not written
    /// everything is.
    pub(in super::super) fn save_changes(&mut self, store: &Store) -> Result<(), StoreError> {
        if !self.is_saved {
            return self.save(store);
        }
        self.collect_findings()?;
        self.unsaved.through = self.saved_through;
        self.write(store)
    }

    fn write(&mut self, store: &Store) -> Result<(), StoreError> {
        let mut next = Checkpoint::default();
        next.ledger.audit_limit = self.unsaved.ledger.audit_limit;
        let checkpoint = std::mem::replace(&mut self.unsaved, next);
        let through = checkpoint.through;
        match store.checkpoint(checkpoint) {
            Ok(()) => {
                (self.is_saved, self.saved_through) = (true, through);
                Ok(())
            }
            Err((error, checkpoint)) => {
                self.unsaved = *checkpoint;
                self.is_saved = false;
                self.status.failed_checkpoints += 1;
                tracing::error!(%error, "a checkpoint was not written: it becomes part of the next one");
                Err(error)
            }
        }
    }

    /// Adds an entry to the audit of the next checkpoint.
    pub(in super::super) fn audit_change(&mut self, entry: AuditEntry) {
        self.last_audit += 1;
        self.unsaved.ledger.audit.insert(self.last_audit, entry);
    }

    /// Writes a change that is about to be made elsewhere. When it cannot be written it is not made: then
    /// nothing of it may be part of a later checkpoint.
    pub(super) fn record(&mut self, store: &Store, record: Record) -> Result<(), StoreError> {
        self.audit_change(record.entry);
        self.unsaved.ledger.settings.extend(record.setting);
        let written = self.save_changes(store);
        if written.is_err() {
            // The number stays used: an error does not prove that nothing was written.
            self.unsaved.ledger.audit.remove(&self.last_audit);
            self.unsaved.ledger.settings.clear();
        }
        written
    }

    /// Tells those who read of restored findings and series.
    pub(super) fn publish(&mut self) {
        for finding in self.judge.findings.iter() {
            self.books.alerts.put(finding, false);
        }
        self.publish_series();
    }

    /// Tells those who read of changed series.
    pub(super) fn publish_series(&mut self) {
        let (changed, gone) = self.detector.take_summaries();
        if changed.is_empty() && gone.is_empty() {
            return;
        }
        let changed = changed.into_iter().map(|it| (SeriesId::of(&it.key), it));
        let gone: Vec<SeriesId> = gone.iter().map(SeriesId::of).collect();
        self.books.connections.update(changed.collect(), &gone);
    }

    /// Takes changed findings into the checkpoint, and tells those who read.
    fn collect_findings(&mut self) -> Result<(), FormatError> {
        for change in self.judge.findings.take_changes() {
            let value = if let Some(finding) = &change.finding {
                self.books.alerts.put(finding, change.is_news);
                Some(encode("finding", &**finding)?)
            } else {
                self.books.alerts.remove(change.id);
                None
            };
            self.unsaved.findings.insert(change.id, value);
        }
        Ok(())
    }

    fn collect_changes(&mut self) -> Result<(), FormatError> {
        for change in self.detector.take_changes() {
            if change.state.is_none() {
                let mut board = self.board.write().unwrap_or_else(PoisonError::into_inner);
                board.remove(&change.key);
            }
            let state = change
                .state
                .map(|state| encode("series", &state))
                .transpose()?;
            self.unsaved.series.insert(encode_key(&change.key)?, state);
        }
        for (id, tracker) in self.sequences.take_changes() {
            let tracker = tracker
                .map(|tracker| encode("exporter", tracker))
                .transpose()?;
            self.unsaved.exporters.insert(id.to_string(), tracker);
        }
        let now = self.clock.now();
        if let Some(sketch) = self.sightings.take_change(now, self.is_stopping)? {
            let ledger = &mut self.unsaved.ledger;
            ledger.state.insert(PREVALENCE.to_owned(), Some(sketch));
        }
        for (node, ids) in self.posted.take_changes() {
            let ids = ids
                .map(|ids| encode("batches of telemetry", ids))
                .transpose()?;
            let ledger = &mut self.unsaved.ledger;
            ledger.state.insert(format!("{POSTED}{node}"), ids);
        }
        Ok(())
    }
}
