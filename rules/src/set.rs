//! The rules in force, and holding documents against them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rsigma_eval::{CompiledRule, Engine, EvalError, JsonEvent};
use rsigma_parser::FilterRule;

use crate::correlation::{Correlation, Correlator, Dropped, Source, Trigger};
use crate::load::Loader;
use crate::{Document, DocumentKind, Limits, LoadReport, Match, RuleInfo};

/// Which flow documents any rule is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlowInterest {
    /// None: there is no such rule.
    #[default]
    None,
    /// Those that announce a flow (record 0).
    First,
    /// All of them.
    Every,
}

/// What was read, before it is in force.
#[derive(Default)]
pub(crate) struct Parts {
    detections: Engine,
    flows: Engine,
    interest: FlowInterest,
    infos: HashMap<Arc<str>, Arc<RuleInfo>>,
    correlations: Vec<Correlation>,
}

impl Parts {
    pub(crate) fn add_rule(
        &mut self,
        kind: DocumentKind,
        every_record: bool,
        info: RuleInfo,
        compiled: CompiledRule,
    ) {
        match kind {
            DocumentKind::Detection => self.detections.add_compiled_rule(compiled),
            DocumentKind::Flow => {
                let interest = if every_record {
                    FlowInterest::Every
                } else {
                    FlowInterest::First
                };
                self.interest = self.interest.max(interest);
                self.flows.add_compiled_rule(compiled);
            }
        }
        self.infos.insert(Arc::clone(&info.id), Arc::new(info));
    }

    pub(crate) fn add_correlation(&mut self, correlation: Correlation) {
        self.correlations.push(correlation);
    }

    pub(crate) fn apply_filter(
        &mut self,
        kind: DocumentKind,
        filter: &FilterRule,
    ) -> Result<(), EvalError> {
        match kind {
            DocumentKind::Detection => self.detections.apply_filter(filter),
            DocumentKind::Flow => self.flows.apply_filter(filter),
        }
    }
}

/// What was done, since the start: a reload goes on counting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Detection documents that were held against rules.
    pub detections: u64,
    /// Flow documents that were held against rules.
    pub flows: u64,
    /// Matches by rule, of the rules in force.
    pub matches: BTreeMap<Arc<str>, u64>,
    /// Groups of correlations now.
    pub groups: u64,
    /// Groups that went before their time because there were too many.
    pub evicted_groups: u64,
    /// Documents that went from a group before their time because it had too many.
    pub evicted_events: u64,
    /// Documents that came after the window that they belong to.
    pub late: u64,
    /// Documents that lack a field by which a correlation groups.
    pub ungrouped: u64,
}

/// The rules in force.
pub struct RuleSet {
    detections: Engine,
    flows: Engine,
    interest: FlowInterest,
    infos: HashMap<Arc<str>, Arc<RuleInfo>>,
    /// Rules that are for correlations only.
    silent: HashSet<Arc<str>>,
    correlator: Correlator,
    counters: Counters,
}

impl std::fmt::Debug for RuleSet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RuleSet")
            .field("rules", &self.infos.len())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl RuleSet {
    /// Reads files: names and texts.
    #[must_use]
    pub fn load<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
        limits: &Limits,
    ) -> (Self, LoadReport) {
        let mut loader = Loader::new(limits);
        for (name, text) in files {
            loader.add_file(name, text);
        }
        let (parts, report) = loader.end();
        let correlations = parts.correlations.iter();
        // What one correlation lets through is let through.
        let audible: HashSet<&Arc<str>> = correlations
            .clone()
            .filter(|it| it.compiled.generate)
            .flat_map(|it| &it.rules)
            .collect();
        let silent = correlations
            .flat_map(|it| &it.rules)
            .filter(|rule| !audible.contains(rule))
            .cloned()
            .collect();
        let mut set = Self {
            detections: parts.detections,
            flows: parts.flows,
            interest: parts.interest,
            infos: parts.infos,
            silent,
            correlator: Correlator::new(parts.correlations, limits),
            counters: Counters::default(),
        };
        let infos = set.infos.values().chain(set.correlator.infos());
        set.counters.matches = infos.map(|info| (Arc::clone(&info.id), 0)).collect();
        (set, report)
    }

    /// Takes over the windows of the correlations that have not changed, and the counters.
    pub fn adopt(&mut self, old: Self) {
        self.counters.detections = old.counters.detections;
        self.counters.flows = old.counters.flows;
        for (rule, count) in old.counters.matches {
            if let Some(own) = self.counters.matches.get_mut(&rule) {
                *own = count;
            }
        }
        self.correlator.adopt(old.correlator);
    }

    /// Whether any rule is for detections.
    #[must_use]
    pub fn wants_detections(&self) -> bool {
        self.detections.rule_count() > 0
    }

    /// Which flow documents any rule is for.
    #[must_use]
    pub const fn flow_interest(&self) -> FlowInterest {
        self.interest
    }

    /// Whether a rule of this identity is in force.
    #[must_use]
    pub fn has(&self, rule: &str) -> bool {
        self.counters.matches.contains_key(rule)
    }

    /// Holds a document against the rules of its kind: those that match, then the correlations that it completes.
    /// Rules that are for correlations only are not among them.
    pub fn evaluate(&mut self, document: &Document<'_>) -> Vec<Match> {
        let event = JsonEvent::borrow(document.body);
        let results = match document.kind {
            DocumentKind::Detection => {
                self.counters.detections += 1;
                self.detections.evaluate(&event)
            }
            DocumentKind::Flow => {
                self.counters.flows += 1;
                self.flows.evaluate(&event)
            }
        };
        if results.is_empty() {
            return Vec::new();
        }
        let id: Arc<str> = Arc::from(document.id);
        let (mut matches, mut correlated) = (Vec::new(), Vec::new());
        for result in &results {
            let rule = result.header.rule_id.as_deref().unwrap_or_default();
            let Some(info) = self.infos.get(rule) else {
                continue;
            };
            let info = Arc::clone(info);
            if self.correlator.is_for(&info.id) {
                correlated.extend(self.correlator.take(&Trigger {
                    rule: &info.id,
                    time_ns: document.time_ns,
                    document: &id,
                    source: Source::Document(&event),
                }));
            }
            matches.push(Match {
                rule: info,
                time_ns: document.time_ns,
                documents: vec![Arc::clone(&id)],
                correlation: None,
            });
        }
        matches.extend(correlated);
        for found in &matches {
            if let Some(count) = self.counters.matches.get_mut(&found.rule.id) {
                *count += 1;
            }
        }
        matches.retain(|found| !self.silent.contains(&found.rule.id));
        matches
    }

    /// What was done since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let Dropped {
            groups,
            events,
            late,
            ungrouped,
        } = self.correlator.dropped;
        Counters {
            groups: self.correlator.groups() as u64,
            evicted_groups: groups,
            evicted_events: events,
            late,
            ungrouped,
            ..self.counters.clone()
        }
    }
}
