//! What became of a finding: the part of its document that is not about the connections.

use beaconwatch_schema::detection as field;
use serde_json::json;

use super::{Fields, date};
use crate::Timestamp;

/// What made a revision of a finding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Action {
    /// It was found: the first revision.
    #[default]
    Detected,
    /// It goes on.
    Updated,
    /// Its severity rose.
    Escalated,
    /// It ended.
    Closed,
    /// It goes on after it had ended.
    Reopened,
    /// It was ended because the allow-list allows it.
    Allowed,
    /// Somebody looks after it.
    Acknowledged,
}

impl Action {
    /// Value of `event.action`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Detected => "beacon-detected",
            Self::Updated => "beacon-updated",
            Self::Escalated => "beacon-escalated",
            Self::Closed => "beacon-closed",
            Self::Reopened => "beacon-reopened",
            Self::Allowed => "beacon-allowed",
            Self::Acknowledged => "beacon-acknowledged",
        }
    }
}

/// Detections since the document before that got none of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// How many.
    pub count: u64,
    /// When the first one was made.
    pub start: Timestamp,
    /// When the last one was made.
    pub end: Timestamp,
}

/// Who looks after a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged<'a> {
    /// Who.
    pub by: &'a str,
    /// Since when.
    pub at: Timestamp,
}

/// Which entry of the allow-list allows a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed<'a> {
    /// The entry.
    pub id: &'a str,
    /// Its reason.
    pub reason: &'a str,
}

/// What became of a finding. The default is that of a finding that has just been detected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life<'a> {
    /// What made this revision.
    pub action: Action,
    /// When it ended, while it is over.
    pub closed: Option<Timestamp>,
    /// Who looks after it.
    pub acknowledged: Option<Acknowledged<'a>>,
    /// What allows it.
    pub allowed: Option<Allowed<'a>>,
    /// Detections since the document before.
    pub suppression: Option<Suppression>,
    /// How often it went on after it had ended.
    pub reopened: u32,
    /// How often its severity rose.
    pub escalated: u32,
    /// Whether `beaconwatch simulate` made the connections.
    pub simulated: bool,
}

pub(super) fn describe(fields: &mut Fields, life: &Life<'_>) {
    let state = if life.closed.is_some() {
        "closed"
    } else {
        "open"
    };
    fields.put(field::FINDING_STATE, state);
    fields.put_known(field::FINDING_CLOSED, life.closed.map(date));
    fields.put(field::FINDING_REOPENED, life.reopened);
    fields.put(field::FINDING_ESCALATED, life.escalated);
    if let Some(acknowledged) = life.acknowledged {
        fields.put(field::FINDING_ACKNOWLEDGED, date(acknowledged.at));
        fields.put(field::FINDING_ACKNOWLEDGED_BY, acknowledged.by);
    }
    if let Some(allowed) = life.allowed {
        fields.put(field::FINDING_ALLOWED_ID, allowed.id);
        fields.put(field::FINDING_ALLOWED_REASON, allowed.reason);
    }
    if let Some(suppression) = life.suppression {
        fields.put(field::SUPPRESSION_COUNT, suppression.count);
        fields.put(field::SUPPRESSION_START, date(suppression.start));
        fields.put(field::SUPPRESSION_END, date(suppression.end));
    }
    if life.simulated {
        fields.put(field::SIMULATED, true);
        fields.put(field::TAGS, json!(["beaconing", "simulated"]));
    } else {
        fields.put(field::TAGS, json!(["beaconing"]));
    }
}
