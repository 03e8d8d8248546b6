//! One alert as the index keeps it: what is filtered and sorted by, next to the finding itself.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use beaconwatch_detector::{Severity, Timestamp};

use super::query::{Place, Sort};
use super::{Finding, Status, Subject};

/// Lower-case text of an alert, in one piece: the process, the server's name, then the rest.
#[derive(Debug)]
pub(super) struct Text {
    all: Box<str>,
    process_end: usize,
    server_end: usize,
}

impl Text {
    fn of(finding: &Finding) -> Self {
        let mut all = String::new();
        if let Some(process) = finding.assessment().and_then(|it| it.process.as_deref()) {
            for part in [&process.name, &process.executable].into_iter().flatten() {
                all.push_str(&part.to_lowercase());
                all.push('\n');
            }
        }
        let process_end = all.len();
        if let Some(name) = finding.assessment().and_then(|it| it.server_name.as_ref()) {
            all.push_str(&name.to_lowercase());
            all.push('\n');
        }
        let server_end = all.len();
        let mut rest = format!("{}\n{}\n", finding.id, finding.series);
        // Writing to a string cannot fail.
        let _infallible = match &finding.subject {
            Subject::Beacon { key, assessment } => write!(
                rest,
                "{}\n{}:{}\n{}\n{}",
                key.source,
                key.destination,
                key.destination_port,
                key.host,
                assessment
                    .as_ref()
                    .and_then(|it| it.host_name.as_deref())
                    .unwrap_or_default(),
            ),
            Subject::Sensor(sensor) => write!(
                rest,
                "{}\n{}\n{}",
                sensor.sensor,
                sensor.host.as_deref().unwrap_or_default(),
                sensor.host_name.as_deref().unwrap_or_default(),
            ),
        };
        if let Some(owner) = finding.assessment().and_then(|it| it.owner.as_deref()) {
            let places = [&owner.container_id, &owner.pod_name, &owner.unit];
            for place in places.into_iter().flatten() {
                rest.push('\n');
                rest.push_str(place);
            }
        }
        all.push_str(&rest.to_lowercase());
        Self {
            all: all.into_boxed_str(),
            process_end,
            server_end,
        }
    }

    pub(super) fn all(&self) -> &str {
        &self.all
    }

    pub(super) fn process(&self) -> &str {
        self.all.get(..self.process_end).unwrap_or_default()
    }

    pub(super) fn server_name(&self) -> &str {
        self.all
            .get(self.process_end..self.server_end)
            .unwrap_or_default()
    }
}

/// One alert.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is filtered by alone")]
pub(super) struct Row {
    pub(super) opened: Timestamp,
    pub(super) updated: Timestamp,
    /// The past when it is not suppressed.
    pub(super) suppressed_until: Timestamp,
    score_bits: u64,
    pub(super) source: Option<IpAddr>,
    pub(super) destination: Option<IpAddr>,
    pub(super) severity: Severity,
    pub(super) open: bool,
    pub(super) acknowledged: bool,
    pub(super) allowed: bool,
    pub(super) simulated: bool,
    pub(super) text: Text,
    pub(super) finding: Arc<Finding>,
}

impl Row {
    pub(super) fn new(finding: Arc<Finding>) -> Self {
        let (source, destination) = match &finding.subject {
            Subject::Beacon { key, .. } => (
                Some(key.source.to_canonical()),
                Some(key.destination.to_canonical()),
            ),
            Subject::Sensor(_) => (None, None),
        };
        Self {
            opened: finding.opened,
            updated: finding.updated,
            suppressed_until: finding
                .suppressed_until
                .unwrap_or(Timestamp::from_unix_nanos(i64::MIN)),
            // Scores lie in 0..=1, where the bits of doubles order as the doubles do.
            score_bits: finding.score().clamp(0.0, 1.0).to_bits(),
            source,
            destination,
            severity: finding.severity,
            open: finding.status == Status::Open,
            acknowledged: finding.acknowledged.is_some(),
            allowed: finding.allowed.is_some(),
            simulated: finding.simulated,
            text: Text::of(&finding),
            finding,
        }
    }

    pub(super) fn place(&self, sort: Sort) -> Place {
        let updated = order(self.updated);
        let (major, minor) = match sort {
            Sort::Updated => (updated, 0),
            Sort::Opened => (order(self.opened), 0),
            Sort::Score => (self.score_bits, updated),
            Sort::Severity => (self.severity as u64, updated),
        };
        Place {
            major,
            minor,
            id: self.finding.id,
        }
    }
}

/// Instants as numbers in the same order.
fn order(time: Timestamp) -> u64 {
    time.unix_nanos().cast_unsigned() ^ (1 << 63)
}
