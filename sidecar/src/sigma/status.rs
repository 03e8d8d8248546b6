//! The rules in numbers.

use std::cmp::Reverse;

use beaconwatch_rules::{Counters, LoadReport};
use serde::Serialize;
use utoipa::ToSchema;

use super::SigmaRules;

/// Rules and broken rules that are named.
const SHOWN_RULES: usize = 200;
const SHOWN_BROKEN: usize = 20;

/// Sigma rules. Counters count from the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct RulesStatus {
    /// Rules in force.
    pub rules: u64,
    /// Correlations in force.
    pub correlations: u64,
    /// Filters in force.
    pub filters: u64,
    /// Rules for other log sources.
    pub skipped: u64,
    /// Rules that do not count because something is wrong with them.
    pub broken: u64,
    /// What is wrong, of the first of them: file, line, fault.
    pub faults: Vec<String>,
    /// Detection documents that were held against rules.
    pub detections: u64,
    /// Flow documents that were held against rules.
    pub flows: u64,
    /// The rules that have matched, most often first, at most 200.
    pub matches: Vec<RuleStatus>,
    /// Matches of the rules that are not listed.
    pub other_matches: u64,
    /// Matches that got no document because their rule had had enough of them in the hour.
    pub suppressed: u64,
    /// Matches that got no document because the outbox had no room.
    pub dropped: u64,
    /// Groups that correlations keep now.
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

/// A rule that has matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RuleStatus {
    /// Identity.
    pub id: String,
    /// How often.
    pub matches: u64,
}

pub(super) fn of(counters: &Counters, report: &LoadReport, rules: &SigmaRules) -> RulesStatus {
    let fired = counters.matches.iter().filter(|(_, count)| **count > 0);
    let mut matches: Vec<RuleStatus> = fired
        .map(|(id, &matches)| RuleStatus {
            id: id.to_string(),
            matches,
        })
        .collect();
    matches.sort_by_key(|it| (Reverse(it.matches), it.id.clone()));
    let others = matches.split_off(matches.len().min(SHOWN_RULES));
    let faults = report.broken.iter().take(SHOWN_BROKEN);
    RulesStatus {
        rules: report.rules as u64,
        correlations: report.correlations as u64,
        filters: report.filters as u64,
        skipped: report.skipped as u64,
        broken: report.broken_count as u64,
        faults: faults.map(ToString::to_string).collect(),
        detections: counters.detections,
        flows: counters.flows,
        matches,
        other_matches: others.iter().map(|it| it.matches).sum(),
        suppressed: rules.budget.suppressed(),
        dropped: rules.dropped,
        groups: counters.groups,
        evicted_groups: counters.evicted_groups,
        evicted_events: counters.evicted_events,
        late: counters.late,
        ungrouped: counters.ungrouped,
    }
}
