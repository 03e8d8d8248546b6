//! Waiting documents that are not to be sent now: those that the destination has taken and not confirmed,
//! and those that are held back after a failure of their own.
//!
//! # Limits
//! At most [`MAX_AWAITED`] and [`MAX_HELD`]. All of it is forgotten when the worker ends: the documents are
//! in the outbox and are sent again, with the same id.

use std::collections::{BTreeMap, BTreeSet};

use beaconwatch_destinations::Ticket;
use tokio::time::Instant;

/// Documents that may wait for a confirmation at a time.
const MAX_AWAITED: usize = 10_000;
/// Documents that may be held back at a time.
const MAX_HELD: usize = 10_000;

/// A document that failed alone.
#[derive(Clone, Copy, Debug)]
struct Held {
    failures: u32,
    until: Instant,
}

/// The documents that are not to be sent now.
#[derive(Debug, Default)]
pub(super) struct Flight {
    awaited: BTreeMap<Ticket, u64>,
    held: BTreeMap<u64, Held>,
}

impl Flight {
    /// How many documents more may wait for a confirmation.
    pub(super) fn room(&self) -> usize {
        MAX_AWAITED.saturating_sub(self.awaited.len())
    }

    /// Numbers of the documents that are not to be sent now.
    pub(super) fn skip(&self, now: Instant) -> BTreeSet<u64> {
        let held = self.held.iter().filter(|(_, held)| held.until > now);
        let held = held.map(|(&number, _)| number);
        held.chain(self.awaited.values().copied()).collect()
    }

    /// Numbers of the documents that wait for a confirmation.
    pub(super) fn awaited(&self) -> BTreeSet<u64> {
        self.awaited.values().copied().collect()
    }

    pub(super) fn is_awaiting(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// When the next held document is due; none when none is held.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.held.values().map(|held| held.until).min()
    }

    /// The destination has taken a document.
    pub(super) fn taken(&mut self, ticket: Ticket, number: u64) {
        self.held.remove(&number);
        self.awaited.insert(ticket, number);
    }

    /// A document's confirmation has come; its number, when it was awaited.
    pub(super) fn confirmed(&mut self, ticket: Ticket) -> Option<u64> {
        self.awaited.remove(&ticket)
    }

    /// Failures of a document so far.
    pub(super) fn failures(&self, number: u64) -> u32 {
        self.held.get(&number).map_or(0, |held| held.failures)
    }

    /// Holds a document back after another failure; not when too many are.
    pub(super) fn hold(&mut self, number: u64, until: Instant) {
        let failures = self.failures(number).saturating_add(1);
        if self.held.len() < MAX_HELD || self.held.contains_key(&number) {
            self.held.insert(number, Held { failures, until });
        }
    }

    /// Nothing waits that is not held: what is due and was not there has been removed by an operator.
    pub(super) fn forget_due(&mut self, now: Instant) {
        self.held.retain(|_, held| held.until > now);
    }

    /// A document is settled.
    pub(super) fn settled(&mut self, number: u64) {
        self.held.remove(&number);
    }
}
