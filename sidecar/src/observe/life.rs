//! When a detection becomes a finding, a finding a new document, and when it ends: rules without state.
//!
//! A finding opens when its series is first `detected`. It gets a new revision, and with it a document,
//! while it is detected and
//! 1. its severity is higher than in the last document (escalated), or
//! 2. it has at least twice the connections of the last document, or
//! 3. the last document is older than `update_interval`, and there were connections since.
//!
//! So a beacon that runs on makes a number of documents that grows with the logarithm of its beats plus
//! one per interval, whatever the analysis interval. Nothing is dropped: a document holds the totals and
//! counts the detections since the one before.
//!
//! It closes when no new beat came for longer than both `close_after` and `close_after_intervals` of its
//! intervals, counted by the sidecar's clock from when the last news came (or from the start of the
//! sidecar: while it was down nobody listened). A beat after that opens it again when it comes within
//! `reopen_within` of the close, else it opens a new finding. A finding that somebody closed while its beats
//! went on stays closed until it would be due for a document by the rules above.
//!
//! While it is suppressed only escalations make documents, in whatever state it is.

use std::sync::Arc;
use std::time::Duration;

use beaconwatch_detector::{Assessment, Timestamp};

use crate::alert::{Event, Finding, FindingId, SeriesId, Status, Subject};

/// The times of a finding's life.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rules {
    pub(crate) update_interval: Duration,
    pub(crate) close_after: Duration,
    pub(crate) close_after_intervals: u32,
    pub(crate) reopen_within: Duration,
    pub(crate) document_acknowledgements: bool,
    pub(crate) sensor_silence: Option<Duration>,
}

/// What an assessment does to a finding.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Nothing,
    /// It is kept, without a document.
    Quiet(Box<Finding>),
    /// It needs a document.
    Loud(Box<Finding>, Event),
}

impl Rules {
    /// What a detection does to the latest finding of its series; `key` is the series' key as the store
    /// has it.
    pub(super) fn detect(
        &self,
        latest: Option<&Finding>,
        assessment: &Arc<Assessment>,
        key: &[u8],
        now: Timestamp,
    ) -> Verdict {
        let Some(latest) = latest else {
            return open(assessment, key, now);
        };
        let is_news =
            assessment.last_seen > latest.last_seen() || assessment.count > latest.count();
        let is_open = latest.status == Status::Open;
        let escalates = is_open && assessment.severity > latest.documented.severity;
        // The first analysis after a start looks at every series.
        if !is_news && !escalates {
            // Names of a pod or a hash may come after the connection.
            return match latest.assessment() {
                Some(known) if known.owner.is_some() || assessment.owner.is_none() => {
                    Verdict::Nothing
                }
                _ => Verdict::Quiet(Box::new(refreshed(latest, assessment))),
            };
        }
        let mut finding = Box::new(refreshed(latest, assessment));
        finding.active = now;
        match finding.status {
            Status::Open => self.goes_on(finding, now),
            Status::Closed => self.comes_back(finding, assessment, key, now),
        }
    }

    fn goes_on(&self, mut finding: Box<Finding>, now: Timestamp) -> Verdict {
        if finding.severity > finding.documented.severity {
            finding.escalated = finding.escalated.saturating_add(1);
            return Verdict::Loud(finding, Event::Escalated);
        }
        if self.is_due(&finding, now) && !finding.is_suppressed(now) {
            return Verdict::Loud(finding, Event::Updated);
        }
        finding.miss(now);
        Verdict::Quiet(finding)
    }

    fn comes_back(
        &self,
        mut finding: Box<Finding>,
        assessment: &Arc<Assessment>,
        key: &[u8],
        now: Timestamp,
    ) -> Verdict {
        let escalates = finding.severity > finding.documented.severity;
        if finding.closed_by_hand && !escalates && !self.is_due(&finding, now) {
            finding.miss(now);
            return Verdict::Quiet(finding);
        }
        let since = now.saturating_since(finding.closed.unwrap_or(finding.updated));
        if since > self.reopen_within {
            return open(assessment, key, now);
        }
        finding.reopen(now);
        if escalates {
            finding.escalated = finding.escalated.saturating_add(1);
        } else if finding.is_suppressed(now) {
            finding.miss(now);
            finding.note(Event::Reopened, now, None, None);
            return Verdict::Quiet(finding);
        }
        Verdict::Loud(finding, Event::Reopened)
    }

    /// Whether there is enough news for a document.
    fn is_due(&self, finding: &Finding, now: Timestamp) -> bool {
        let last = &finding.documented;
        finding.count() >= last.count.saturating_mul(2)
            || (finding.last_seen() > last.last_seen
                && now.saturating_since(last.at) >= self.update_interval)
    }

    /// When an open beacon closes unless there is news of it; `started` is when the sidecar began to listen.
    pub(super) fn deadline(&self, finding: &Finding, started: Timestamp) -> Option<Timestamp> {
        if finding.status == Status::Closed || matches!(finding.subject, Subject::Sensor(_)) {
            return None;
        }
        let interval_s = finding.assessment().and_then(|it| it.interval_s);
        let beats = interval_s.unwrap_or(0.0) * f64::from(self.close_after_intervals);
        let beats = Duration::try_from_secs_f64(beats).unwrap_or_default();
        let silence = i64::try_from(self.close_after.max(beats).as_nanos()).unwrap_or(i64::MAX);
        let from = finding.active.max(started).unix_nanos();
        Some(Timestamp::from_unix_nanos(from.saturating_add(silence)))
    }
}

/// The same finding with its newest assessment. A series that was restored has no owner until its next connection: while
/// the process is the same, its owner is the one that was known.
fn refreshed(finding: &Finding, assessment: &Arc<Assessment>) -> Finding {
    let mut assessment = Arc::clone(assessment);
    if let Some(known) = finding.assessment()
        && assessment.owner.is_none()
        && known.owner.is_some()
        && known.process == assessment.process
    {
        Arc::make_mut(&mut assessment)
            .owner
            .clone_from(&known.owner);
    }
    let mut finding = finding.clone();
    finding.severity = assessment.severity;
    finding.subject = Subject::Beacon {
        key: assessment.key.clone(),
        assessment: Some(assessment),
    };
    finding
}

fn open(assessment: &Arc<Assessment>, key: &[u8], now: Timestamp) -> Verdict {
    let subject = Subject::Beacon {
        key: assessment.key.clone(),
        assessment: Some(Arc::clone(assessment)),
    };
    let (id, series) = (FindingId::new(key, now), SeriesId::of_encoded(key));
    let finding = Finding::open(id, series, subject, assessment.severity, now);
    Verdict::Loud(Box::new(finding), Event::Detected)
}
