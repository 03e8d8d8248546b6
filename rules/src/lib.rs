//! Sigma rules and correlations, evaluated on detection and flow documents.
//!
//! # Contract
//! Pure: texts of rule files and documents in, matches out. No I/O and no clock: the time of a correlation is that of
//! the documents, so that a replay finds what the first run found.
//!
//! | module | what it does |
//! |---|---|
//! | [`load`](RuleSet::load) | reads files; a broken rule costs none of its neighbours |
//! | [`RuleSet::evaluate`] | holds one document against the rules of its kind, and their matches against the correlations |
//! | [`AlertBudget`] | at most so many alerts of a rule in an hour |
//!
//! Rules are parsed and matched by `rsigma`; fields are renamed by the pipeline of [`beaconwatch_schema::sigma`]. Which
//! rules are for which documents says their log source, see there; rules of other log sources are skipped and
//! counted, so that a folder may hold more than what is ours.
//!
//! # Correlations
//! The state of a correlation is kept here and not by `rsigma`: its windows are in the order of arrival, and what it drops
//! is not counted. Here a window holds the documents in the order of their times, a group by a field that a document
//! does not have does not exist, and everything is bounded by [`Limits`] and counted ([`Counters`]). A
//! correlation that has matched for a group is silent for that group for its time span (or for the custom attribute
//! `rsigma.suppress`). Windows slide; the other windows of `rsigma` are refused.
//!
//! ```
//! use beaconwatch_rules::{Document, DocumentKind, Limits, RuleSet};
//!
//! let rule = "
//! title: Connection To A Port Of Tor
//! id: 3c7a6b1e-59a4-4b0e-9a53-0d2f5f0d8a01
//! logsource: {category: network_connection, product: linux}
//! detection: {selection: {DestinationPort: 9001}, condition: selection}
//! level: medium
//! ";
//! let (mut rules, report) = RuleSet::load([("tor.yml", rule)], &Limits::default());
//! assert!(report.broken.is_empty());
//! let body = serde_json::json!({
//!     "event.dataset": "beaconwatch.flow", "beaconwatch.flow.record": 0, "destination.port": 9001,
//! });
//! let document = Document { kind: DocumentKind::Flow, id: "f1", time_ns: 0, body: &body };
//! let matches = rules.evaluate(&document);
//! assert_eq!(matches[0].rule.title, "Connection To A Port Of Tor");
//! ```

mod budget;
mod correlation;
mod fields;
mod load;
mod set;
mod window;

use std::sync::Arc;

use serde_json::Value;

pub use budget::{AlertBudget, Decision};
pub use load::{BrokenRule, LoadReport};
pub use set::{Counters, FlowInterest, RuleSet};

/// What kind a document is of: it is held against the rules of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentKind {
    /// A detection document.
    Detection,
    /// A flow record as a document.
    Flow,
}

/// A document.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// Its kind.
    pub kind: DocumentKind,
    /// What names it in matches: `event.id` of a detection, the flow's id of a flow.
    pub id: &'a str,
    /// Its `@timestamp`, nanoseconds since the Unix epoch.
    pub time_ns: i64,
    /// Its fields: objects in objects, or dotted names in one object.
    pub body: &'a Value,
}

/// What bounds the rules and their state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rules and correlations; those past that are broken.
    pub max_rules: usize,
    /// Groups of all correlations together; past that those that were idle longest go.
    pub max_groups: usize,
    /// Documents that a group keeps; past that the oldest go.
    pub max_events_per_group: usize,
    /// Longest time span of a correlation, in seconds; one with a longer one is broken.
    pub max_timespan_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_rules: 10_000,
            max_groups: 50_000,
            max_events_per_group: 1000,
            max_timespan_s: 7 * 86_400,
        }
    }
}

/// Level of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleLevel {
    /// Worth knowing, no alert.
    Informational,
    /// Notable in numbers.
    Low,
    /// To be looked at.
    Medium,
    /// To be looked at soon.
    High,
    /// To be looked at now.
    Critical,
}

impl RuleLevel {
    /// Name, as in rules.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What a rule says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// Identity: its `id`, else its `name`, else its title.
    pub id: Arc<str>,
    /// Title.
    pub title: String,
    /// Description.
    pub description: Option<String>,
    /// Level; medium when it has none.
    pub level: RuleLevel,
    /// Tags.
    pub tags: Vec<String>,
}

/// A rule that matched.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// The rule.
    pub rule: Arc<RuleInfo>,
    /// Time of the document that completed the match.
    pub time_ns: i64,
    /// Ids of what was matched, newest first, at most [`MAX_NAMED_DOCUMENTS`].
    pub documents: Vec<Arc<str>>,
    /// What a correlation has found; `None` for a rule.
    pub correlation: Option<Correlated>,
}

/// Documents that a match names.
pub const MAX_NAMED_DOCUMENTS: usize = 16;

/// What a correlation has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Correlated {
    /// Its type, for example `value_count`.
    pub kind: &'static str,
    /// What it counted or computed.
    pub value: f64,
    /// Its time span in seconds.
    pub timespan_s: u64,
    /// What the documents share: names and values of fields.
    pub group: Vec<(String, String)>,
    /// Time of the oldest document.
    pub first_ns: i64,
    /// Time of the newest document.
    pub last_ns: i64,
}
