//! Findings as people meet them: what an alert is, what can be asked, and what can be done with it.
//!
//! # Contract
//! - [`Finding`] is the whole life of one finding: what was found, its state, who did what with it. The
//!   scoring thread alone changes it (`observe`); every change is saved with its audit entry in one
//!   transaction.
//! - [`AlertBook`] is what everybody else reads: it is updated when an analysis or an action ends, and
//!   reading it never waits for the scoring thread.
//!
//! # Limits
//! Findings by `max_findings`; of one finding [`MAX_COMMENTS`] comments and [`MAX_HISTORY`] events of its
//! history (the first stays, the oldest others go).

mod actor;
mod allow;
mod audit;
mod book;
mod finding;
mod id;
mod owner_view;
mod query;
mod row;
mod stored;
mod view;

pub(crate) use actor::{Action, Actor};
pub use allow::AllowConfig;
pub(crate) use allow::{AllowBook, AllowEntry, AllowOrigin, AllowView, Allowances};
pub(crate) use audit::{AuditEntry, AuditPage};
pub(crate) use book::AlertBook;
pub use book::AlertCounts;
pub(crate) use finding::{
    Acknowledgement, Allowed, Comment, Documented, Event, Finding, Missed, SensorFault,
    SensorFinding, Status, Subject,
};
pub(crate) use id::FindingId;
pub(crate) use owner_view::OwnerView;
#[cfg(test)]
pub(crate) use query::StateFilter;
pub(crate) use query::{AlertQuery, Sort};
pub(crate) use view::{
    AcknowledgedView, Alert, BenignView, EvidenceView, HistoryView, PartOfView, ProcessView,
    ViewView, history,
};

pub(crate) use crate::observe::SeriesId;
use std::fmt;

use crate::store::StoreError;

/// Most comments of one finding.
pub(crate) const MAX_COMMENTS: usize = 100;
/// Most events that a finding's history keeps.
pub(crate) const MAX_HISTORY: usize = 100;
/// Most characters of a comment.
pub(crate) const MAX_TEXT: usize = 4000;
/// Longest suppression: one year.
pub(crate) const MAX_SUPPRESSION_S: u64 = 366 * 86_400;

/// Why something could not be done with an alert or the allow-list.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AlertError {
    /// There is no such thing.
    #[error("{what} {id:?} is not known")]
    Unknown {
        /// Kind of thing.
        what: &'static str,
        /// What was asked for.
        id: String,
    },
    /// A value that cannot be.
    #[error("{field} is {value}, expected {expected}")]
    Invalid {
        /// Name of the value.
        field: &'static str,
        /// What it was.
        value: String,
        /// What it should have been.
        expected: &'static str,
    },
    /// What is asked contradicts the state.
    #[error("{0}")]
    Conflict(String),
    /// The store or the scoring thread could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AlertError {
    pub(crate) fn unknown(what: &'static str, id: impl fmt::Display) -> Self {
        let id = id.to_string().chars().take(100).collect();
        Self::Unknown { what, id }
    }

    pub(crate) fn invalid(
        field: &'static str,
        value: impl fmt::Display,
        expected: &'static str,
    ) -> Self {
        let value = value.to_string().chars().take(100).collect();
        Self::Invalid {
            field,
            value,
            expected,
        }
    }
}
