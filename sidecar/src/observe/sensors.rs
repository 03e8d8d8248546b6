//! Sensors that fall silent, come back, or lose records.
//!
//! # Rules
//! - A sensor counts as live once it has sent for at least as long as it may be silent: a file that was read
//!   once, or a batch that somebody sent by hand, is no sensor that is missed.
//! - It is silent when nothing of it came for longer than `sensor_silent_after_s`, by the sidecar's clock and
//!   not counted before the sidecar's start.
//! - A restart of an exporter makes a new identity. An exporter that is silent is taken for replaced, and not
//!   missed, when another one on the same host began after its last record. An alarm about it ends with that.
//!   A host that is switched off for good stays an alarm until somebody closes it; then it is quiet until it
//!   sends again.
//! - A file is never silent: it ends when it rotates, and the next one has another identity.
//! - Records are lost when their numbers are missing for [`GAP_LASTS`](super::sequence::GAP_LASTS): what came out of
//!   order, or waited elsewhere while this sidecar was away, is no loss. A growing gap makes documents as a growing beacon does (doubling, or the update interval).
//!   It ends when all has come, or when it did not grow for `close_after_s`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use beaconwatch_detector::{Severity, Timestamp};

use super::SensorState;
use super::judge::Judgement;
use super::sequence::{Sequences, Tracker};
use crate::alert::{
    Event, Finding, FindingId, SensorFault, SensorFinding, SeriesId, Status, Subject,
};
use crate::input::FILE_PREFIX;

/// What is known of all sensors together at one time.
#[derive(Debug)]
pub(super) struct Watch {
    silence: Option<Duration>,
    now: Timestamp,
    started: Timestamp,
    /// When the newest exporter of each host began.
    newest: HashMap<Arc<str>, Timestamp>,
}

impl Watch {
    pub(super) fn new(
        sequences: &Sequences,
        silence: Option<Duration>,
        now: Timestamp,
        started: Timestamp,
    ) -> Self {
        let mut newest: HashMap<Arc<str>, Timestamp> = HashMap::new();
        for (_, tracker) in sequences.iter() {
            let sensor = tracker.sensor();
            if let (Some(host), Some(since)) = (&sensor.host, sensor.since) {
                let latest = newest.entry(Arc::clone(host)).or_insert(since);
                *latest = since.max(*latest);
            }
        }
        Self {
            silence,
            now,
            started,
            newest,
        }
    }

    fn is_silent(&self, id: &str, tracker: &Tracker) -> bool {
        let Some(silence) = self.silence.filter(|_| !id.starts_with(FILE_PREFIX)) else {
            return false;
        };
        let (sensor, last) = (tracker.sensor(), tracker.last_seen());
        let was_live = sensor
            .since
            .is_some_and(|since| last.saturating_since(since) >= silence);
        let is_replaced = sensor
            .host
            .as_ref()
            .and_then(|host| self.newest.get(host))
            .is_some_and(|since| *since > last);
        was_live && !is_replaced && self.now.saturating_since(last.max(self.started)) > silence
    }

    pub(super) fn state(&self, id: &str, tracker: &Tracker) -> SensorState {
        if self.is_silent(id, tracker) {
            SensorState::Silent
        } else if tracker.missing() > 0 {
            SensorState::Gaps
        } else {
            SensorState::Live
        }
    }
}

/// Looks at all sensors: part of an analysis.
pub(super) fn look(sequences: &mut Sequences, watch: &Watch, judgement: &mut Judgement<'_>) {
    sequences.look(watch.now);
    for (id, tracker) in sequences.iter() {
        watch_silence(id, tracker, watch, judgement);
        watch_gaps(id, tracker, judgement);
    }
}

fn series(fault: SensorFault, id: &str) -> SeriesId {
    let name = match fault {
        SensorFault::Silent => "silent",
        SensorFault::Gap => "gap",
    };
    SeriesId::of_sensor(&format!("{name} {id}"))
}

fn subject(fault: SensorFault, id: &Arc<str>, tracker: &Tracker) -> Subject {
    let sensor = tracker.sensor();
    Subject::Sensor(SensorFinding {
        fault,
        sensor: Arc::clone(id),
        host: sensor.host.clone(),
        host_name: sensor.host_name.clone(),
        last_seen: tracker.last_seen(),
        received: tracker.received(),
        missing: tracker.missing(),
        gaps: tracker.gaps().count() as u64,
    })
}

/// The finding about a fault that begins: a new one, or the last one again.
fn begins(
    latest: Option<&Arc<Finding>>,
    series: SeriesId,
    subject: Subject,
    judgement: &Judgement<'_>,
) -> Finding {
    let now = judgement.now();
    let within = judgement.findings().rules().reopen_within;
    let again = latest.filter(|it| now.saturating_since(it.closed.unwrap_or(now)) <= within);
    let Some(latest) = again else {
        let id = FindingId::new(&series.0.to_be_bytes(), now);
        return Finding::open(id, series, subject, Severity::Medium, now);
    };
    let mut finding = (**latest).clone();
    finding.reopen(now);
    finding.subject = subject;
    finding
}

fn document(judgement: &mut Judgement<'_>, finding: Finding, event: Event) {
    if finding.is_suppressed(judgement.now()) {
        let mut finding = finding;
        finding.miss(judgement.now());
        finding.note(event, judgement.now(), None, None);
        judgement.keep(finding, true);
    } else if judgement.has_room() {
        let id = finding.id;
        if let Err(error) = judgement.document(finding, event, None, None) {
            tracing::error!(%error, finding = %id, "no document was made of a sensor's fault");
        }
    }
}

fn watch_silence(id: &Arc<str>, tracker: &Tracker, watch: &Watch, judgement: &mut Judgement<'_>) {
    let series = series(SensorFault::Silent, id);
    let latest = judgement.findings().latest(series).cloned();
    let is_open = latest.as_ref().is_some_and(|it| it.status == Status::Open);
    let is_silent = watch.is_silent(id, tracker);
    let subject = subject(SensorFault::Silent, id, tracker);
    if is_silent && !is_open {
        // The same silence, which somebody has closed.
        let is_known = latest
            .as_ref()
            .is_some_and(|it| it.last_seen() == tracker.last_seen());
        if !is_known {
            let finding = begins(latest.as_ref(), series, subject, judgement);
            document(judgement, finding, Event::SensorSilent);
        }
    } else if let Some(latest) = latest.filter(|_| is_open && !is_silent) {
        let mut finding = (*latest).clone();
        finding.subject = subject;
        finding.close(judgement.now());
        document(judgement, finding, Event::SensorRecovered);
    }
}

fn watch_gaps(id: &Arc<str>, tracker: &Tracker, judgement: &mut Judgement<'_>) {
    let missing = tracker.lasting(judgement.now());
    let series = series(SensorFault::Gap, id);
    let latest = judgement.findings().latest(series).cloned();
    let known = latest.as_ref().map_or(0, |it| it.count());
    let subject = subject(SensorFault::Gap, id, tracker);
    let open = latest.as_ref().filter(|it| it.status == Status::Open);
    match open {
        None if missing > known => {
            let finding = begins(latest.as_ref(), series, subject, judgement);
            document(judgement, finding, Event::SensorGap);
        }
        None => {}
        Some(open) if missing > known => grows(open, subject, judgement),
        Some(open) => {
            let now = judgement.now();
            let close_after = judgement.findings().rules().close_after;
            let is_quiet = now.saturating_since(open.active) > close_after;
            if tracker.missing() == 0 || is_quiet {
                let mut finding = (**open).clone();
                finding.subject = subject;
                finding.close(now);
                document(judgement, finding, Event::SensorRecovered);
            }
        }
    }
}

fn grows(open: &Finding, subject: Subject, judgement: &mut Judgement<'_>) {
    let now = judgement.now();
    let mut finding = open.clone();
    finding.subject = subject;
    finding.active = now;
    let last = &finding.documented;
    let interval = judgement.findings().rules().update_interval;
    let is_due = finding.count() >= last.count.saturating_mul(2)
        || now.saturating_since(last.at) >= interval;
    if is_due {
        document(judgement, finding, Event::SensorGap);
    } else {
        finding.miss(now);
        judgement.keep(finding, false);
    }
}
