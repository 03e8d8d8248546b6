//! What a correlation keeps of one group, and what it makes of it.
//!
//! Contract: hits are in the order of their times, whatever order they came in. A hit that is older than the
//! window of the newest one is late and dropped. All methods take time in proportion to the number of hits, which is
//! bounded.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use rsigma_eval::CompiledCorrelation;
use rsigma_parser::{ConditionExpr, ConditionOperator, CorrelationType};

/// What a document was for a correlation.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    pub(crate) time_ns: i64,
    /// Place of the rule among those of the correlation.
    pub(crate) rule: usize,
    pub(crate) document: Arc<str>,
    pub(crate) value: HitValue,
}

/// What of a document is counted or computed.
#[derive(Clone, Debug)]
pub(crate) enum HitValue {
    Nothing,
    Text(String),
    Number(f64),
}

/// What became of a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    Kept,
    /// It was kept, and the oldest had to go for it before its time.
    Evicting,
    Late,
}

/// The hits of a group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    hits: VecDeque<Hit>,
}

impl Window {
    /// Takes a hit, and drops those that lie further back than `span_ns` from the newest.
    pub(crate) fn insert(&mut self, hit: Hit, span_ns: i64, limit: usize) -> Inserted {
        let newest = self.hits.back().map_or(hit.time_ns, |last| last.time_ns);
        let newest = newest.max(hit.time_ns);
        let oldest = newest.saturating_sub(span_ns);
        if hit.time_ns < oldest {
            return Inserted::Late;
        }
        while self.hits.front().is_some_and(|it| it.time_ns < oldest) {
            self.hits.pop_front();
        }
        let place = self.hits.partition_point(|it| it.time_ns <= hit.time_ns);
        self.hits.insert(place, hit);
        if self.hits.len() > limit {
            self.hits.pop_front();
            return Inserted::Evicting;
        }
        Inserted::Kept
    }

    pub(crate) fn newest_ns(&self) -> i64 {
        self.hits.back().map_or(i64::MIN, |hit| hit.time_ns)
    }

    pub(crate) fn oldest_ns(&self) -> i64 {
        self.hits.front().map_or(i64::MAX, |hit| hit.time_ns)
    }

    /// Ids of the newest documents, each once.
    pub(crate) fn documents(&self, limit: usize) -> Vec<Arc<str>> {
        let mut ids: Vec<Arc<str>> = Vec::new();
        for hit in self.hits.iter().rev() {
            if ids.len() == limit {
                break;
            }
            if !ids.contains(&hit.document) {
                ids.push(Arc::clone(&hit.document));
            }
        }
        ids
    }

    /// What the correlation counts or computes, when its condition holds.
    pub(crate) fn satisfies(&self, correlation: &CompiledCorrelation) -> Option<f64> {
        use CorrelationType as Type;
        let value = match correlation.correlation_type {
            Type::EventCount => count(self.hits.len()),
            Type::ValueCount => count(self.texts().collect::<BTreeSet<_>>().len()),
            Type::Temporal | Type::TemporalOrdered => return self.temporal(correlation),
            Type::ValueSum => self.numbers().sum(),
            Type::ValueAvg => {
                let numbers: Vec<f64> = self.numbers().collect();
                if numbers.is_empty() {
                    return None;
                }
                numbers.iter().sum::<f64>() / count(numbers.len())
            }
            Type::ValuePercentile => {
                let percentile = correlation.condition.percentile.unwrap_or(50);
                self.percentile(u32::try_from(percentile).unwrap_or(100))?
            }
            Type::ValueMedian => self.percentile(50)?,
        };
        correlation.condition.check(value).then_some(value)
    }

    /// How many of the rules have hits, when those have that must, in the order in which they must.
    fn temporal(&self, correlation: &CompiledCorrelation) -> Option<f64> {
        let rules = &correlation.rule_refs;
        let present: BTreeSet<usize> = self.hits.iter().map(|hit| hit.rule).collect();
        let is_there = |name: &str| {
            let place = rules.iter().position(|it| it == name);
            place.is_some_and(|place| present.contains(&place))
        };
        let value = count(present.len());
        let fits = match &correlation.extended_expr {
            Some(expression) => holds(expression, &is_there),
            None if is_default(correlation) => present.len() == rules.len(),
            None => correlation.condition.check(value),
        };
        let is_ordered = correlation.correlation_type == CorrelationType::TemporalOrdered;
        (fits && (!is_ordered || self.is_ordered(rules.len()))).then_some(value)
    }

    /// Whether there is a hit of each rule that is no earlier than one of the rule before. The earliest possible one
    /// of each leaves most room for the next.
    fn is_ordered(&self, rules: usize) -> bool {
        let mut since = i64::MIN;
        (0..rules).all(|rule| {
            let mut later = self.hits.iter();
            let next = later.find(|hit| hit.rule == rule && hit.time_ns >= since);
            next.inspect(|hit| since = hit.time_ns).is_some()
        })
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.hits.iter().filter_map(|hit| match &hit.value {
            HitValue::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    fn numbers(&self) -> impl Iterator<Item = f64> {
        self.hits.iter().filter_map(|hit| match hit.value {
            HitValue::Number(number) => Some(number),
            _ => None,
        })
    }

    /// Linear between the two nearest ranks, as numpy does it.
    fn percentile(&self, percentile: u32) -> Option<f64> {
        let mut numbers: Vec<f64> = self.numbers().collect();
        numbers.sort_by(f64::total_cmp);
        let last = numbers.len().checked_sub(1)?;
        let hundredths = last as u64 * u64::from(percentile.min(100));
        let low = usize::try_from(hundredths / 100).ok()?;
        // Below 100, so exact.
        let share = f64::from(u8::try_from(hundredths % 100).ok()?) / 100.0;
        let below = *numbers.get(low)?;
        let above = *numbers.get((low + 1).min(last))?;
        Some((above - below).mul_add(share, below))
    }
}

/// Whether a temporal correlation has no condition: then all of its rules must match. `rsigma` parses that to the
/// condition that one does.
fn is_default(correlation: &CompiledCorrelation) -> bool {
    let predicates = correlation.condition.predicates.as_slice();
    matches!(predicates, [(ConditionOperator::Gte, least)] if *least <= 1.0)
}

/// Exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "windows are far smaller than 2^53"
)]
const fn count(number: usize) -> f64 {
    number as f64
}

fn holds(expression: &ConditionExpr, is_there: &impl Fn(&str) -> bool) -> bool {
    match expression {
        ConditionExpr::Identifier(name) => is_there(name),
        ConditionExpr::And(all) => all.iter().all(|it| holds(it, is_there)),
        ConditionExpr::Or(any) => any.iter().any(|it| holds(it, is_there)),
        ConditionExpr::Not(not) => !holds(not, is_there),
        ConditionExpr::Selector { .. } => false,
    }
}
