//! Sigma rules at the edge: marks detections, and makes documents of what rules find in flows and correlations in both.
//!
//! # Contract
//! - A detection document that rules match says so in `beaconwatch.sigma.*`, and has the tag `sigma` when one of them is above
//!   informational, before it is routed: so destinations can be chosen by it.
//! - A match of a flow rule or of a correlation is a document of its own, but not one of an informational rule: those are for
//!   correlations. Its `event.id` is made from the rule and what was matched.
//! - A rule makes at most so many documents an hour; the rest is counted, and the next one says how many.
//! - Rules that cannot be read cost none of their neighbours. When none of a folder's rules can, or the folder cannot be
//!   read, nothing changes.
//! - Windows of correlations are kept in memory: a restart begins them anew, but for what is still in the journal.

mod attack;
mod document;
mod files;
mod flow;
mod status;

use std::collections::VecDeque;

use beaconwatch_detector::{Observation, Timestamp};
use beaconwatch_rules::{
    AlertBudget, Decision, Document, DocumentKind, LoadReport, Match, RuleLevel, RuleSet,
};
use beaconwatch_schema::detection;
use serde_json::{Value, json};

use crate::config::{Labels, RulesConfig};

pub(crate) use document::RuleDocument;
pub use files::{OpenedRules, RulesError};
pub use status::{RuleStatus, RulesStatus};

/// Matches that wait for the next analysis; past that they are counted as dropped.
const MAX_PENDING: usize = 100_000;
/// Tag of documents that a rule matches.
const TAG: &str = "sigma";

/// A match that becomes a document.
struct Pending {
    found: Match,
    /// The document that completed it.
    body: Value,
    /// Matches of the rule that got no document since the one before.
    suppressed: u64,
}

/// The rules in force, and what is to be told of their matches.
pub(crate) struct SigmaRules {
    set: RuleSet,
    config: RulesConfig,
    report: LoadReport,
    budget: AlertBudget,
    pending: VecDeque<Pending>,
    /// Matches that got no document because there was no room.
    dropped: u64,
}

impl std::fmt::Debug for SigmaRules {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SigmaRules")
            .field("set", &self.set)
            .finish_non_exhaustive()
    }
}

impl SigmaRules {
    pub(crate) fn new(opened: OpenedRules) -> Self {
        Self {
            set: opened.set,
            config: opened.config,
            report: opened.report,
            budget: AlertBudget::default(),
            pending: VecDeque::new(),
            dropped: 0,
        }
    }

    /// Puts other rules in force. Windows of correlations that have not changed, counters and what waits stay.
    pub(crate) fn replace(&mut self, opened: OpenedRules) {
        let old = std::mem::replace(&mut self.set, opened.set);
        self.set.adopt(old);
        (self.config, self.report) = (opened.config, opened.report);
        self.budget.retain(|rule| self.set.has(rule));
    }

    /// Holds an observation of a flow against the rules of flows. Costs nothing when there are none.
    pub(crate) fn observe(&mut self, observation: &Observation) {
        if !self.config.flows || !flow::is_for(observation, self.set.flow_interest()) {
            return;
        }
        let body = flow::body(observation);
        let id = flow::id(observation);
        let matches = self.set.evaluate(&Document {
            kind: DocumentKind::Flow,
            id: &id,
            time_ns: observation.time.unix_nanos(),
            body: &body,
        });
        for found in matches {
            self.tell(found, &body);
        }
    }

    /// Holds a detection document against the rules of detections, and marks it.
    pub(crate) fn mark(&mut self, body: &mut Value, event_id: &str, now: Timestamp) {
        if !self.set.wants_detections() {
            return;
        }
        let matches = self.set.evaluate(&Document {
            kind: DocumentKind::Detection,
            id: event_id,
            time_ns: now.unix_nanos(),
            body,
        });
        let (mut marks, mut told) = (Vec::new(), Vec::new());
        for found in matches {
            if found.correlation.is_some() {
                told.push(found);
            } else {
                marks.push(found);
            }
        }
        put_marks(body, &marks);
        for found in told {
            self.tell(found, body);
        }
    }

    /// Keeps a match until there is a document of it.
    fn tell(&mut self, found: Match, body: &Value) {
        if found.rule.level == RuleLevel::Informational {
            return;
        }
        let most = self.config.max_alerts_per_rule_hour;
        match self.budget.decide(&found.rule.id, found.time_ns, most) {
            Decision::Suppressed => {}
            Decision::Alert { .. } if self.pending.len() >= MAX_PENDING => self.dropped += 1,
            Decision::Alert { suppressed } => self.pending.push_back(Pending {
                found,
                body: body.clone(),
                suppressed,
            }),
        }
    }

    /// The documents of what was found since the last call, as many as there is room for; the rest is counted.
    pub(crate) fn documents(
        &mut self,
        room: u64,
        now: Timestamp,
        labels: &Labels,
    ) -> Vec<RuleDocument> {
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let kept = self.pending.len().min(room);
        self.dropped += (self.pending.len() - kept) as u64;
        let pending = std::mem::take(&mut self.pending);
        let told = pending.into_iter().take(kept);
        told.map(|it| document::of(&it.found, &it.body, it.suppressed, now, labels))
            .collect()
    }

    pub(crate) fn status(&self) -> RulesStatus {
        status::of(&self.set.counters(), &self.report, self)
    }
}

/// Says in a detection document which rules match it.
fn put_marks(body: &mut Value, marks: &[Match]) {
    if marks.is_empty() {
        return;
    }
    let all = |of: fn(&Match) -> Value| Value::Array(marks.iter().map(of).collect());
    document::put(body, detection::SIGMA_ID, all(|it| json!(&*it.rule.id)));
    document::put(
        body,
        detection::SIGMA_LEVEL,
        all(|it| json!(it.rule.level.name())),
    );
    document::put(body, detection::SIGMA_TITLE, all(|it| json!(it.rule.title)));
    let is_alert = |it: &Match| it.rule.level > RuleLevel::Informational;
    if marks.iter().any(is_alert)
        && let Some(Value::Array(tags)) = body.get_mut(detection::TAGS)
    {
        tags.push(json!(TAG));
    }
}
