//! All findings: by identity, by series, by deadline.
//!
//! Limit: past `limit` findings the closed one that changed longest ago is forgotten, and when all are open
//! the open one; its series would open a new finding.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use beaconwatch_detector::Timestamp;

use super::life::Rules;
use crate::alert::{Finding, FindingId, SeriesId, Status};

/// A finding that changed, or was forgotten.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) id: FindingId,
    /// None when it was forgotten.
    pub(super) finding: Option<Arc<Finding>>,
    /// Whether something happened to it, rather than its numbers going on.
    pub(super) is_news: bool,
}

/// Order in which findings are forgotten.
type Age = (bool, Timestamp, FindingId);

/// All findings.
#[derive(Debug)]
pub(super) struct Findings {
    rules: Rules,
    by_id: HashMap<FindingId, Arc<Finding>>,
    /// The latest finding of each series or sensor.
    latest: HashMap<SeriesId, FindingId>,
    by_age: BTreeSet<Age>,
    deadlines: BTreeSet<(Timestamp, FindingId)>,
    changed: BTreeMap<FindingId, bool>,
    limit: usize,
    forgotten: u64,
    /// When the sidecar began to listen.
    started: Timestamp,
}

impl Findings {
    /// Knows no finding; at most `limit` at a time.
    #[must_use]
    pub(super) fn new(rules: Rules, limit: usize, started: Timestamp) -> Self {
        Self {
            rules,
            by_id: HashMap::new(),
            latest: HashMap::new(),
            by_age: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            changed: BTreeMap::new(),
            limit: limit.max(1),
            forgotten: 0,
            started,
        }
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Puts other rules in force.
    pub(super) fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
        let deadlines = self.by_id.values().filter_map(|finding| {
            let deadline = self.rules.deadline(finding, self.started)?;
            Some((deadline, finding.id))
        });
        self.deadlines = deadlines.collect();
    }

    pub(super) fn get(&self, id: FindingId) -> Option<&Arc<Finding>> {
        self.by_id.get(&id)
    }

    /// The latest finding of a series or sensor.
    pub(super) fn latest(&self, series: SeriesId) -> Option<&Arc<Finding>> {
        self.by_id.get(self.latest.get(&series)?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Finding>> {
        self.by_id.values()
    }

    /// Puts back a saved finding.
    pub(super) fn restore(&mut self, finding: Finding) {
        self.insert(Arc::new(finding));
    }

    /// Takes the newest state of a finding; `is_news` when something happened to it.
    pub(super) fn put(&mut self, finding: Finding, is_news: bool) {
        *self.changed.entry(finding.id).or_default() |= is_news;
        self.insert(Arc::new(finding));
    }

    fn insert(&mut self, finding: Arc<Finding>) {
        let (id, series) = (finding.id, finding.series);
        self.take_out(id);
        self.by_age.insert(age(&finding));
        if let Some(deadline) = self.rules.deadline(&finding, self.started) {
            self.deadlines.insert((deadline, id));
        }
        let is_latest = self
            .latest(series)
            .is_none_or(|other| other.opened <= finding.opened);
        if is_latest {
            self.latest.insert(series, id);
        }
        self.by_id.insert(id, finding);
        while self.by_id.len() > self.limit {
            let Some((_, _, oldest)) = self.by_age.first().copied() else {
                return;
            };
            self.take_out(oldest);
            self.changed.insert(oldest, true);
            self.forgotten += 1;
        }
    }

    fn take_out(&mut self, id: FindingId) {
        let Some(finding) = self.by_id.remove(&id) else {
            return;
        };
        self.by_age.remove(&age(&finding));
        if let Some(deadline) = self.rules.deadline(&finding, self.started) {
            self.deadlines.remove(&(deadline, id));
        }
        if self.latest.get(&finding.series) == Some(&id) {
            self.latest.remove(&finding.series);
        }
    }

    /// When a finding closes unless there is news of it.
    pub(super) fn deadline(&self, finding: &Finding) -> Option<Timestamp> {
        self.rules.deadline(finding, self.started)
    }

    /// The finding whose deadline has passed for longest.
    pub(super) fn overdue(&self, now: Timestamp) -> Option<Arc<Finding>> {
        let (deadline, id) = self.deadlines.first()?;
        (*deadline < now).then(|| self.by_id.get(id).cloned())?
    }

    /// Findings changed since the last call.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changed)
            .into_iter()
            .map(|(id, is_news)| Change {
                id,
                finding: self.by_id.get(&id).cloned(),
                is_news,
            })
            .collect()
    }

    /// Number of findings.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Number of findings that were forgotten because there were too many.
    #[must_use]
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

fn age(finding: &Finding) -> Age {
    (finding.status == Status::Open, finding.updated, finding.id)
}
