//! Correlations: which documents belong together, and when there are enough of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rsigma_eval::{CompiledCorrelation, Event};
use rsigma_parser::CorrelationType;

use crate::fields::{number_of, text_of};
use crate::window::{Hit, HitValue, Inserted, Window};
use crate::{Correlated, Limits, MAX_NAMED_DOCUMENTS, Match, RuleInfo};

/// Correlations of correlations go this deep.
const MAX_DEPTH: usize = 8;
const NANOS_PER_S: i64 = 1_000_000_000;

/// A correlation as it was loaded.
pub(crate) struct Correlation {
    pub(crate) info: Arc<RuleInfo>,
    pub(crate) compiled: CompiledCorrelation,
    /// For each of its rules the identity by which matches of it are known.
    pub(crate) rules: Vec<Arc<str>>,
    /// The same for the same text: a reload keeps the windows of what has not changed.
    pub(crate) fingerprint: String,
}

/// A rule that matched a document, as correlations see it.
pub(crate) struct Trigger<'a, E> {
    /// Identity of the rule.
    pub(crate) rule: &'a Arc<str>,
    pub(crate) time_ns: i64,
    pub(crate) document: &'a Arc<str>,
    pub(crate) source: Source<'a, E>,
}

/// Where a trigger has its fields from.
pub(crate) enum Source<'a, E> {
    Document(&'a E),
    /// A correlation has those that its documents share.
    Group(&'a [(String, String)]),
}

impl<E: Event> Source<'_, E> {
    fn text(&self, field: &str) -> Option<String> {
        match self {
            Self::Document(event) => text_of(*event, field),
            Self::Group(pairs) => {
                let mut pairs = pairs.iter();
                pairs.find(|(name, _)| name == field).map(|it| it.1.clone())
            }
        }
    }

    fn number(&self, field: &str) -> Option<f64> {
        match self {
            Self::Document(event) => number_of(*event, field),
            Self::Group(_) => self.text(field)?.parse().ok(),
        }
    }
}

/// A group: a correlation, and what its documents share.
type GroupKey = (usize, Vec<String>);

#[derive(Default)]
struct Group {
    window: Window,
    /// When it has matched last.
    matched_ns: Option<i64>,
    /// Number of the last hit among all.
    touched: u64,
}

/// What was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) groups: u64,
    pub(crate) events: u64,
    pub(crate) late: u64,
    pub(crate) ungrouped: u64,
}

/// All correlations and their windows.
#[derive(Default)]
pub(crate) struct Correlator {
    correlations: Vec<Correlation>,
    /// Correlations that a rule is for, each with the rule's place among its rules.
    by_rule: HashMap<Arc<str>, Vec<(usize, usize)>>,
    groups: HashMap<GroupKey, Group>,
    /// Groups by the time of their last hit's arrival: the first was idle longest.
    by_touch: BTreeMap<u64, GroupKey>,
    touches: u64,
    max_groups: usize,
    max_events: usize,
    pub(crate) dropped: Dropped,
}

impl Correlator {
    pub(crate) fn new(correlations: Vec<Correlation>, limits: &Limits) -> Self {
        let mut by_rule: HashMap<Arc<str>, Vec<(usize, usize)>> = HashMap::new();
        for (index, correlation) in correlations.iter().enumerate() {
            for (place, rule) in correlation.rules.iter().enumerate() {
                let known = by_rule.entry(Arc::clone(rule)).or_default();
                known.push((index, place));
            }
        }
        Self {
            correlations,
            by_rule,
            max_groups: limits.max_groups.max(1),
            max_events: limits.max_events_per_group.max(1),
            ..Self::default()
        }
    }

    pub(crate) fn groups(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn infos(&self) -> impl Iterator<Item = &Arc<RuleInfo>> {
        self.correlations.iter().map(|it| &it.info)
    }

    pub(crate) fn is_for(&self, rule: &str) -> bool {
        self.by_rule.contains_key(rule)
    }

    /// Takes over the windows of the correlations that are the same, and what was dropped.
    pub(crate) fn adopt(&mut self, old: Self) {
        let of_old: HashMap<usize, usize> = old
            .correlations
            .iter()
            .enumerate()
            .filter_map(|(index, it)| {
                let mut own = self.correlations.iter();
                let place = own.position(|own| own.fingerprint == it.fingerprint)?;
                Some((index, place))
            })
            .collect();
        let mut groups = old.groups;
        for (_, key) in old.by_touch {
            let Some(group) = groups.remove(&key) else {
                continue;
            };
            if let Some(&index) = of_old.get(&key.0) {
                self.put((index, key.1), group);
            }
        }
        self.dropped = old.dropped;
        self.make_room(i64::MAX);
    }

    fn put(&mut self, key: GroupKey, mut group: Group) {
        self.touches += 1;
        self.by_touch.remove(&group.touched);
        group.touched = self.touches;
        self.by_touch.insert(self.touches, key.clone());
        self.groups.insert(key, group);
    }

    /// Takes a match of a rule; the correlations that it completes, and those that these complete.
    pub(crate) fn take<E: Event>(&mut self, trigger: &Trigger<'_, E>) -> Vec<Match> {
        let mut all = self.complete(trigger);
        let mut begin = 0;
        for _ in 0..MAX_DEPTH {
            let end = all.len();
            let fired: Vec<Match> = all.get(begin..end).unwrap_or_default().to_vec();
            begin = end;
            for found in &fired {
                let id: Arc<str> = match found.documents.first() {
                    Some(newest) => Arc::clone(newest),
                    None => continue,
                };
                let group = found.correlation.as_ref();
                let group = group.map(|it| it.group.as_slice()).unwrap_or_default();
                let next = Trigger::<E> {
                    rule: &found.rule.id,
                    time_ns: found.time_ns,
                    document: &id,
                    source: Source::Group(group),
                };
                all.extend(self.complete(&next));
            }
            if all.len() == begin {
                break;
            }
        }
        all
    }

    fn complete<E: Event>(&mut self, trigger: &Trigger<'_, E>) -> Vec<Match> {
        let Some(places) = self.by_rule.get(trigger.rule).cloned() else {
            return Vec::new();
        };
        let found = places.into_iter();
        let found: Vec<_> = found
            .filter_map(|(correlation, place)| self.update(correlation, place, trigger))
            .collect();
        self.make_room(trigger.time_ns);
        found
    }

    fn update<E: Event>(
        &mut self,
        index: usize,
        place: usize,
        trigger: &Trigger<'_, E>,
    ) -> Option<Match> {
        let correlation = self.correlations.get(index)?;
        let compiled = &correlation.compiled;
        let reference = compiled.rule_refs.get(place).map_or("", String::as_str);
        let Some(values) = group_of(compiled, reference, trigger) else {
            self.dropped.ungrouped += 1;
            return None;
        };
        let value = value_of(compiled, trigger)?;
        let span_ns = nanoseconds(compiled.timespan_secs);
        let key = (index, values);
        let mut group = self.groups.remove(&key).unwrap_or_default();
        let hit = Hit {
            time_ns: trigger.time_ns,
            rule: place,
            document: Arc::clone(trigger.document),
            value,
        };
        match group.window.insert(hit, span_ns, self.max_events) {
            Inserted::Kept => {}
            Inserted::Evicting => self.dropped.events += 1,
            Inserted::Late => {
                self.dropped.late += 1;
                self.groups.insert(key, group);
                return None;
            }
        }
        let found = matched(correlation, &mut group, &key.1, trigger.time_ns);
        self.put(key, group);
        found
    }

    /// The groups that were idle longest go while there are too many. Those whose window was over are no loss.
    fn make_room(&mut self, now_ns: i64) {
        while self.groups.len() > self.max_groups
            && let Some((_, key)) = self.by_touch.pop_first()
        {
            let group = self.groups.remove(&key).unwrap_or_default();
            let correlation = self.correlations.get(key.0);
            let span_s = correlation.map_or(0, |it| it.compiled.timespan_secs);
            let oldest = now_ns.saturating_sub(nanoseconds(span_s));
            self.dropped.groups += u64::from(group.window.newest_ns() >= oldest);
        }
    }
}

/// What the correlation says of a group that a hit has come to.
fn matched(
    correlation: &Correlation,
    group: &mut Group,
    values: &[String],
    time_ns: i64,
) -> Option<Match> {
    let compiled = &correlation.compiled;
    let value = group.window.satisfies(compiled)?;
    let silent = compiled.suppress_secs.unwrap_or(compiled.timespan_secs);
    let is_silent = group.matched_ns.is_some_and(|last| {
        let since = time_ns.saturating_sub(last);
        since < nanoseconds(silent)
    });
    if is_silent {
        return None;
    }
    group.matched_ns = Some(time_ns);
    let names = compiled
        .group_by
        .iter()
        .map(|field| field.name().to_owned());
    Some(Match {
        rule: Arc::clone(&correlation.info),
        time_ns,
        documents: group.window.documents(MAX_NAMED_DOCUMENTS),
        correlation: Some(Correlated {
            kind: kind_name(compiled.correlation_type),
            value,
            timespan_s: compiled.timespan_secs,
            group: names.zip(values.iter().cloned()).collect(),
            first_ns: group.window.oldest_ns(),
            last_ns: group.window.newest_ns(),
        }),
    })
}

fn group_of<E: Event>(
    compiled: &CompiledCorrelation,
    reference: &str,
    trigger: &Trigger<'_, E>,
) -> Option<Vec<String>> {
    let fields = compiled.group_by.iter();
    fields
        .map(|field| {
            let name = field.resolve(&[reference]);
            // A correlation knows what it was grouped by under the alias.
            let alias = || trigger.source.text(field.name());
            trigger.source.text(name).or_else(alias)
        })
        .collect()
}

/// What counts of a document; `None` when it has none of what is counted.
fn value_of<E: Event>(
    compiled: &CompiledCorrelation,
    trigger: &Trigger<'_, E>,
) -> Option<HitValue> {
    use CorrelationType as Type;
    let fields = compiled.condition.field.as_deref().unwrap_or_default();
    match compiled.correlation_type {
        Type::EventCount | Type::Temporal | Type::TemporalOrdered => Some(HitValue::Nothing),
        Type::ValueCount => {
            let texts = fields.iter().map(|field| trigger.source.text(field));
            let texts: Option<Vec<String>> = texts.collect();
            Some(HitValue::Text(texts?.join("\u{1f}")))
        }
        Type::ValueSum | Type::ValueAvg | Type::ValuePercentile | Type::ValueMedian => {
            let number = trigger.source.number(fields.first()?)?;
            Some(HitValue::Number(number))
        }
    }
}

fn nanoseconds(seconds: u64) -> i64 {
    i64::try_from(seconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(NANOS_PER_S)
}

const fn kind_name(kind: CorrelationType) -> &'static str {
    match kind {
        CorrelationType::EventCount => "event_count",
        CorrelationType::ValueCount => "value_count",
        CorrelationType::Temporal => "temporal",
        CorrelationType::TemporalOrdered => "temporal_ordered",
        CorrelationType::ValueSum => "value_sum",
        CorrelationType::ValueAvg => "value_avg",
        CorrelationType::ValuePercentile => "value_percentile",
        CorrelationType::ValueMedian => "value_median",
    }
}
