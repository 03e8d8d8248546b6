//! The outbox: documents on their way, what became of them, and dead letters.
//!
//! # Contract
//! - A document is kept as long as one destination has not settled it. It waits for exactly the
//!   destinations that it was routed to when it was made.
//! - Settling, replaying, dropping and purging are one transaction each. Settling what is settled changes
//!   nothing, so an answer that was lost may be taken for a failure.
//! - A replayed dead letter waits again under its old number: with the same id, and before all that is newer.
//!
//! # Limits
//! What became of a document at each destination is remembered for the newest [`KEPT_PER_ALERT`] documents
//! of an alert and for [`KEPT_RECORDS`] settled documents in all; for those that wait, always. Dead letters
//! per destination are limited by their setting.

mod letters;
mod migration;
mod records;
mod salvage;
mod tables;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use beaconwatch_destinations::Document;
use beaconwatch_detector::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};

pub(super) use migration::{add_checksums, migrate};
pub(super) use salvage::{drop_loose_ends, rescue};
pub(super) use tables::open_tables;
#[cfg(test)]
pub(super) use tables::{DEAD, DELIVERIES, DOCUMENTS, TOTALS};
pub(super) use waiting::queue_documents;

/// Newest documents of an alert whose deliveries are remembered.
const KEPT_PER_ALERT: usize = 32;
/// Settled documents whose deliveries are remembered.
const KEPT_RECORDS: u64 = 200_000;

/// A new document and where it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) document: Document,
    /// Names of the destinations that it waits for; without any it is not kept.
    pub(crate) destinations: Vec<Arc<str>>,
}

/// What became of one document at one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    Delivered { already_there: bool },
    Unconfirmed,
    Dead { reason: String, at: Timestamp },
}

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settlement {
    pub(crate) destination: String,
    pub(crate) settled: Vec<(u64, Settled)>,
    /// Documents that will be tried again.
    pub(crate) retries: u64,
    /// Dead letters to keep.
    pub(crate) dead_limit: u64,
}

/// Which waiting documents a worker wants next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) destination: String,
    pub(crate) max_documents: usize,
    /// A larger document comes alone.
    pub(crate) max_bytes: usize,
    /// Numbers of documents that are under way or held back.
    pub(crate) skip: BTreeSet<u64>,
}

/// A document that a destination refuses for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The document.
    pub document: Document,
    /// What the destination said.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// What became of one destination's deliveries, over all runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Documents that the destination acknowledged.
    pub delivered: u64,
    /// Of those, documents that it already had (an earlier attempt's answer was lost).
    pub already_there: u64,
    /// Documents that were sent to where nothing answers.
    pub unconfirmed: u64,
    /// Attempts that will be made again.
    pub retries: u64,
    /// Documents that went to the dead letters.
    pub dead: u64,
    /// Dead letters that had to go, because there were more than the limit.
    pub dead_dropped: u64,
    /// Dead letters that an operator had sent again.
    pub replayed: u64,
    /// Dead letters that an operator dropped.
    pub dropped: u64,
}

/// Documents waiting and dead, per destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// Waiting for delivery.
    pub pending: u64,
    /// Dead letters kept.
    pub dead_letters: u64,
}

/// What the store knows of a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) totals: Totals,
    pub(crate) backlog: Backlog,
}

/// What the store knows of every destination.
pub(crate) type Accounts = BTreeMap<String, Account>;

/// What became of a document at one destination so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DeliveryState {
    Pending,
    Delivered,
    Unconfirmed,
    Dead { reason: String },
}

/// What became of one document at each of its destinations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeliveryRecord {
    pub(crate) event_id: String,
    pub(crate) deliveries: Vec<(String, DeliveryState)>,
}

/// Dead letters of a destination, or some of them by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) destination: String,
    /// All of them when not given.
    pub(crate) numbers: Option<BTreeSet<u64>>,
}

/// One page of dead letters, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeadLetterPage {
    pub(crate) destination: String,
    /// Only letters with a larger number.
    pub(crate) after: u64,
    pub(crate) limit: usize,
}

/// What a purge removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Purged {
    /// Documents that waited.
    pub pending: u64,
    /// Dead letters.
    pub dead_letters: u64,
}

/// Identity of the finding (or sensor's alert) that a document is a revision of.
fn alert_of(event_id: &str) -> &str {
    event_id
        .rsplit_once('-')
        .map_or(event_id, |(alert, _)| alert)
}

impl Store {
    /// The oldest documents that wait for a destination, as far as they are wanted.
    pub(crate) async fn pending(&self, wanted: Wanted) -> Result<Vec<(u64, Document)>, StoreError> {
        self.run(move |tables| tables.pending(&wanted)).await
    }

    /// Records what became of an attempt; the destination's counters afterwards.
    pub(crate) async fn settle(&self, settlement: Settlement) -> Result<Totals, StoreError> {
        self.run(move |tables| tables.settle(&settlement)).await
    }

    /// Counters of all destinations in the store.
    pub(crate) async fn accounts(&self) -> Result<Accounts, StoreError> {
        self.run(|tables| tables.accounts()).await
    }

    /// The largest number of documents that wait for one of `destinations`. Blocks: call it from a thread
    /// of your own.
    pub(crate) fn largest_backlog(&self, destinations: &[Arc<str>]) -> Result<u64, StoreError> {
        let accounts = self.run_blocking(|tables| tables.accounts())?;
        let waiting = destinations
            .iter()
            .filter_map(|name| accounts.get(&**name))
            .map(|account| account.backlog.pending);
        Ok(waiting.max().unwrap_or_default())
    }

    /// Dead letters of a destination with their numbers, oldest first.
    pub(crate) async fn dead_letters(
        &self,
        page: DeadLetterPage,
    ) -> Result<Vec<(u64, DeadLetter)>, StoreError> {
        self.run(move |tables| tables.dead_letters(&page)).await
    }

    /// Lets dead letters wait again; how many.
    pub(crate) async fn replay(&self, selection: Selection) -> Result<u64, StoreError> {
        let replayed = self.run(move |tables| tables.replay(&selection)).await?;
        self.wake();
        Ok(replayed)
    }

    /// Removes dead letters; how many.
    pub(crate) async fn drop_letters(&self, selection: Selection) -> Result<u64, StoreError> {
        self.run(move |tables| tables.drop_letters(&selection))
            .await
    }

    /// Removes everything of a destination: what waits, dead letters and counters.
    pub(crate) async fn purge(&self, destination: String) -> Result<Purged, StoreError> {
        self.run(move |tables| tables.purge(&destination)).await
    }

    /// What became of the newest documents of an alert, oldest first, by number.
    pub(crate) async fn deliveries_of(
        &self,
        alert: String,
    ) -> Result<Vec<(u64, DeliveryRecord)>, StoreError> {
        self.run(move |tables| tables.deliveries_of(&alert)).await
    }
}
