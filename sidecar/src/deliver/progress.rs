//! What a destination's deliveries have come to, shared with those who ask.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::{Account, Totals};

/// A destination, as the status shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct DestinationStatus {
    /// Name in the configuration.
    pub name: String,
    /// Kind of destination; empty when it is in the store and no longer in the configuration.
    pub kind: String,
    /// Documents that wait.
    pub pending: u64,
    /// Documents that were acknowledged, over all runs.
    pub delivered: u64,
    /// Of those, documents that were there before (an answer was lost).
    pub already_there: u64,
    /// Documents that were sent to where nothing answers, over all runs.
    pub unconfirmed: u64,
    /// Documents that the destination has taken and not confirmed yet; they wait, too.
    pub awaiting: u64,
    /// Documents that had to be tried again, each time counted.
    pub retries: u64,
    /// Documents that were refused for good, over all runs.
    pub dead: u64,
    /// Dead letters that are kept.
    pub dead_letters: u64,
    /// Dead letters that went because there were too many.
    pub dead_dropped: u64,
    /// Dead letters that an operator had sent again, over all runs.
    pub replayed: u64,
    /// Dead letters that an operator dropped, over all runs.
    pub dropped: u64,
    /// Documents that its route left out, since the start.
    pub filtered: u64,
    /// Least severity that its route lets through; none when it is not configured.
    pub minimum_severity: Option<&'static str>,
    /// Whether it is in the configuration; else it is in the store only.
    pub configured: bool,
    /// Failed attempts in a row; 0 when the last one succeeded.
    pub failures: u32,
    /// What the last failure was; none when the last attempt succeeded.
    pub last_error: Option<String>,
}

impl DestinationStatus {
    /// A destination that is in the store only.
    pub(crate) fn stored(name: &str, account: Account) -> Self {
        let mut status = Self {
            name: name.to_owned(),
            ..Self::default()
        };
        status.set_totals(account.totals);
        status.pending = account.backlog.pending;
        status.dead_letters = account.backlog.dead_letters;
        status
    }

    fn set_totals(&mut self, totals: Totals) {
        self.delivered = totals.delivered;
        self.already_there = totals.already_there;
        self.retries = totals.retries;
        self.dead = totals.dead;
        self.dead_dropped = totals.dead_dropped;
        self.unconfirmed = totals.unconfirmed;
        self.replayed = totals.replayed;
        self.dropped = totals.dropped;
    }
}

/// Failures and last error of one destination's worker.
#[derive(Debug)]
pub(crate) struct Progress {
    name: String,
    kind: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    last_error: Option<String>,
    /// Retries that the store has not counted yet.
    unsaved_retries: u64,
    /// Numbers of documents that the destination has taken and not confirmed yet.
    awaited: BTreeSet<u64>,
}

impl Progress {
    pub(crate) fn new(name: String, kind: &'static str) -> Self {
        Self {
            name,
            kind,
            state: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The last attempt succeeded for every document.
    pub(super) fn succeeded(&self) {
        self.with(|state| {
            state.failures = 0;
            state.last_error = None;
        });
    }

    /// The last attempt failed for `documents`; the number of failures in a row.
    pub(super) fn failed(&self, reason: String, documents: u64) -> u32 {
        self.with(|state| {
            state.failures = state.failures.saturating_add(1);
            state.last_error = Some(reason);
            state.unsaved_retries = state.unsaved_retries.saturating_add(documents);
            state.failures
        })
    }

    /// These documents wait for a confirmation now.
    pub(super) fn set_awaited(&self, numbers: BTreeSet<u64>) {
        self.with(|state| state.awaited = numbers);
    }

    /// Whether the destination has taken a document and not confirmed it yet.
    pub(super) fn is_awaited(&self, number: u64) -> bool {
        self.with(|state| state.awaited.contains(&number))
    }

    /// Some documents failed while the destination works; why the last one did.
    pub(super) fn failed_partly(&self, reason: String, documents: u64) {
        self.with(|state| {
            state.failures = 0;
            state.last_error = Some(reason);
            state.unsaved_retries = state.unsaved_retries.saturating_add(documents);
        });
    }

    /// Takes the retries that the store shall count.
    pub(super) fn take_retries(&self) -> u64 {
        self.with(|state| std::mem::take(&mut state.unsaved_retries))
    }

    pub(super) fn give_back_retries(&self, retries: u64) {
        self.with(|state| state.unsaved_retries = state.unsaved_retries.saturating_add(retries));
    }

    /// The destination's status, with what the store knows of it.
    pub(crate) fn status(&self, account: Account) -> DestinationStatus {
        let mut status = DestinationStatus::stored(&self.name, account);
        status.configured = true;
        self.kind.clone_into(&mut status.kind);
        self.with(|state| {
            status.failures = state.failures;
            status.last_error.clone_from(&state.last_error);
            status.retries += state.unsaved_retries;
            status.awaiting = state.awaited.len() as u64;
        });
        status
    }
}
