//! Who changed what.

use beaconwatch_detector::Timestamp;
use serde::{Deserialize, Serialize};

use super::Actor;

/// Most characters of a detail that are kept.
const MAX_DETAIL: usize = 1000;

/// One change, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditEntry {
    pub(crate) at: Timestamp,
    pub(crate) actor: Actor,
    /// Dotted name of what was done, for example `alert.close`.
    pub(crate) action: String,
    /// With what: an alert, an entry of the allow-list, a setting.
    pub(crate) target: String,
    pub(crate) detail: String,
}

impl AuditEntry {
    #[expect(clippy::needless_pass_by_value, reason = "callers give what they have")]
    pub(crate) fn new(
        at: Timestamp,
        actor: &Actor,
        action: &str,
        target: impl ToString,
        detail: &str,
    ) -> Self {
        Self {
            at,
            actor: actor.clone(),
            action: action.to_owned(),
            target: target.to_string(),
            detail: detail.chars().take(MAX_DETAIL).collect(),
        }
    }
}

/// Entries of the audit, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AuditPage {
    /// Entries with their numbers, which only grow.
    pub(crate) entries: Vec<(u64, AuditEntry)>,
    /// Number to go on before, when there is more.
    pub(crate) next: Option<u64>,
}
