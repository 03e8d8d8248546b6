//! One finding and its life.
//!
//! ```text
//!            detected                     beats stop, or somebody closes it
//!  (nothing) ────────► open ─────────────────────────────────────────────► closed
//!                       ▲  │ updated, escalated                              │
//!                       │  └─ allowed: closed with the entry that allows it ─┤
//!                       └──────────── beats come back in time ───────────────┘
//! ```
//!
//! When a document is made of it stands with [`super::super::observe`]; here is what the life consists of.

use std::sync::Arc;

use beaconwatch_detector::{Assessment, SeriesKey, Severity, Timestamp};
use serde::{Deserialize, Serialize};

use super::stored::StoredSubject;
use super::{FindingId, MAX_HISTORY, SeriesId};

/// Whether a finding goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Open,
    Closed,
}

impl Status {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// What happened to a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    Detected,
    Updated,
    Escalated,
    Closed,
    Reopened,
    Allowed,
    Acknowledged,
    Unacknowledged,
    Commented,
    Suppressed,
    Unsuppressed,
    SensorSilent,
    SensorRecovered,
    SensorGap,
}

impl Event {
    /// Name in histories and in documents.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Detected => "beacon-detected",
            Self::Updated => "beacon-updated",
            Self::Escalated => "beacon-escalated",
            Self::Closed => "beacon-closed",
            Self::Reopened => "beacon-reopened",
            Self::Allowed => "beacon-allowed",
            Self::Acknowledged => "beacon-acknowledged",
            Self::Unacknowledged => "unacknowledged",
            Self::Commented => "commented",
            Self::Suppressed => "suppressed",
            Self::Unsuppressed => "unsuppressed",
            Self::SensorSilent => "sensor-silent",
            Self::SensorRecovered => "sensor-recovered",
            Self::SensorGap => "sensor-gap",
        }
    }
}

/// One event of a finding's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HistoryEntry {
    pub(crate) at: Timestamp,
    pub(crate) event: Event,
    /// Who; nobody when the sidecar did it by its rules.
    pub(crate) actor: Option<String>,
    pub(crate) text: Option<String>,
}

/// Somebody looks after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Acknowledgement {
    pub(crate) by: String,
    pub(crate) at: Timestamp,
    pub(crate) comment: Option<String>,
}

/// What somebody says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Comment {
    pub(crate) by: String,
    pub(crate) at: Timestamp,
    pub(crate) text: String,
}

/// Which entry of the allow-list allows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Allowed {
    pub(crate) id: String,
    pub(crate) reason: String,
    /// Whether the finding was open before.
    pub(crate) was_open: bool,
}

/// Detections since the last document that got none of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Missed {
    pub(crate) count: u64,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
}

/// What is wrong with a sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum SensorFault {
    /// It sends nothing any more.
    Silent,
    /// Records of it are missing.
    Gap,
}

/// A finding about a sensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SensorFinding {
    pub(crate) fault: SensorFault,
    pub(crate) sensor: Arc<str>,
    pub(crate) host: Option<Arc<str>>,
    pub(crate) host_name: Option<Arc<str>>,
    pub(crate) last_seen: Timestamp,
    pub(crate) received: u64,
    pub(crate) missing: u64,
    pub(crate) gaps: u64,
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "StoredSubject", into = "StoredSubject")]
pub(crate) enum Subject {
    Beacon {
        key: SeriesKey,
        /// The last assessment that was a detection; none when an older version had not kept it.
        assessment: Option<Arc<Assessment>>,
    },
    Sensor(SensorFinding),
}

/// What the last document said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Documented {
    pub(crate) at: Timestamp,
    pub(crate) severity: Severity,
    /// Connections, or missing records of a sensor.
    pub(crate) count: u64,
    pub(crate) last_seen: Timestamp,
}

/// A finding's life so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Finding {
    pub(crate) id: FindingId,
    /// Series or sensor that it is about.
    pub(crate) series: SeriesId,
    pub(crate) subject: Subject,
    pub(crate) status: Status,
    pub(crate) severity: Severity,
    pub(crate) opened: Timestamp,
    /// When something last happened to it.
    pub(crate) updated: Timestamp,
    pub(crate) closed: Option<Timestamp>,
    /// Whether somebody closed it, rather than the rule.
    pub(crate) closed_by_hand: bool,
    /// Number of documents so far.
    pub(crate) revision: u64,
    pub(crate) documented: Documented,
    /// When news of its beats last came, by the sidecar's clock.
    pub(crate) active: Timestamp,
    pub(crate) acknowledged: Option<Acknowledgement>,
    pub(crate) suppressed_until: Option<Timestamp>,
    pub(crate) missed: Option<Missed>,
    pub(crate) allowed: Option<Allowed>,
    pub(crate) reopened: u32,
    pub(crate) escalated: u32,
    pub(crate) comments: Vec<Comment>,
    pub(crate) history: Vec<HistoryEntry>,
    pub(crate) simulated: bool,
}

impl Finding {
    /// A finding that opens now. Its first document is still to be made.
    pub(crate) fn open(
        id: FindingId,
        series: SeriesId,
        subject: Subject,
        severity: Severity,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            series,
            subject,
            status: Status::Open,
            severity,
            opened: now,
            updated: now,
            closed: None,
            closed_by_hand: false,
            revision: 0,
            documented: Documented {
                at: now,
                severity,
                count: 0,
                last_seen: Timestamp::from_unix_nanos(i64::MIN),
            },
            active: now,
            acknowledged: None,
            suppressed_until: None,
            missed: None,
            allowed: None,
            reopened: 0,
            escalated: 0,
            comments: Vec::new(),
            history: Vec::new(),
            simulated: false,
        }
    }

    /// Identity of the document of the current revision.
    pub(crate) fn event_id(&self) -> String {
        format!("{}-{}", self.id, self.revision)
    }

    /// The last assessment of a beacon.
    pub(crate) fn assessment(&self) -> Option<&Arc<Assessment>> {
        match &self.subject {
            Subject::Beacon { assessment, .. } => assessment.as_ref(),
            Subject::Sensor(_) => None,
        }
    }

    /// Last connection or record.
    pub(crate) fn last_seen(&self) -> Timestamp {
        match &self.subject {
            Subject::Beacon { assessment, .. } => assessment
                .as_ref()
                .map_or(self.documented.last_seen, |it| it.last_seen),
            Subject::Sensor(sensor) => sensor.last_seen,
        }
    }

    /// What a document counts: connections, or missing records.
    pub(crate) fn count(&self) -> u64 {
        match &self.subject {
            Subject::Beacon { assessment, .. } => assessment
                .as_ref()
                .map_or(self.documented.count, |it| it.count),
            Subject::Sensor(sensor) => sensor.missing,
        }
    }

    /// Score of a beacon; a sensor has none.
    pub(crate) fn score(&self) -> f64 {
        self.assessment().map_or(0.0, |it| it.score)
    }

    /// Whether documents (but escalations) are held back at this time.
    pub(crate) fn is_suppressed(&self, now: Timestamp) -> bool {
        self.suppressed_until.is_some_and(|until| until > now)
    }

    /// Adds to the history; the first event stays, of the others the oldest goes when there is no room.
    pub(crate) fn note(
        &mut self,
        event: Event,
        now: Timestamp,
        actor: Option<&str>,
        text: Option<&str>,
    ) {
        self.updated = self.updated.max(now);
        if self.history.len() >= MAX_HISTORY {
            self.history.remove(1);
        }
        self.history.push(HistoryEntry {
            at: now,
            event,
            actor: actor.map(str::to_owned),
            text: text.filter(|text| !text.is_empty()).map(str::to_owned),
        });
    }

    /// Counts a detection that gets no document of its own.
    pub(crate) fn miss(&mut self, now: Timestamp) {
        let missed = self.missed.get_or_insert(Missed {
            count: 0,
            start: now,
            end: now,
        });
        missed.count = missed.count.saturating_add(1);
        missed.end = missed.end.max(now);
    }

    /// Takes note of a new document: the next revision.
    pub(crate) fn documented(&mut self, now: Timestamp) {
        self.revision += 1;
        self.documented = Documented {
            at: now,
            severity: self.severity,
            count: self.count(),
            last_seen: self.last_seen(),
        };
        self.missed = None;
    }

    /// Ends it.
    pub(crate) fn close(&mut self, now: Timestamp) {
        self.status = Status::Closed;
        self.closed = Some(now);
    }

    /// Lets it go on.
    pub(crate) fn reopen(&mut self, now: Timestamp) {
        self.status = Status::Open;
        self.closed = None;
        self.closed_by_hand = false;
        self.active = self.active.max(now);
        self.reopened = self.reopened.saturating_add(1);
    }
}
