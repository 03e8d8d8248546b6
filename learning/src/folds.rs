//! Which examples are held out together.
//!
//! Examples of one host are alike. Were some of a host trained on and others predicted, the figures would praise
//! what was learnt by heart. So hosts are held out whole; where too few of them have both kinds, pairs are; else
//! single examples.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::Example;

/// What is never in both sides of a fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    /// A host with all its series or events.
    Host,
    /// A pair of a host and what it talks to.
    Pair,
    /// Nothing but the single example.
    Example,
}

impl Grouping {
    /// Lower-case name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Pair => "pair",
            Self::Example => "example",
        }
    }
}

/// The fold of each example.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Folds {
    pub(crate) grouping: Grouping,
    pub(crate) count: usize,
    pub(crate) of: Vec<usize>,
}

/// Splits into at most `wanted` folds with about as many positive and negative ones each; `None` when not even
/// two can be made that leave both kinds to train on.
pub(crate) fn split(examples: &[Example], wanted: usize) -> Option<Folds> {
    [Grouping::Host, Grouping::Pair, Grouping::Example]
        .into_iter()
        .find_map(|grouping| split_by(examples, grouping, wanted))
}

#[derive(Default)]
struct Group {
    members: Vec<usize>,
    positives: usize,
}

impl Group {
    fn negatives(&self) -> usize {
        self.members.len() - self.positives
    }
}

fn split_by(examples: &[Example], grouping: Grouping, wanted: usize) -> Option<Folds> {
    let groups = groups(examples, grouping);
    let with_positives = groups.iter().filter(|it| it.positives > 0).count();
    let with_negatives = groups.iter().filter(|it| it.negatives() > 0).count();
    let count = wanted.min(with_positives).min(with_negatives);
    if count < 2 {
        return None;
    }
    let of = assign(groups, count, examples.len());
    let folds = Folds {
        grouping,
        count,
        of,
    };
    folds.leaves_both_kinds(examples).then_some(folds)
}

/// Groups, the largest first; names decide among equals, so that the order of examples does not matter much.
fn groups(examples: &[Example], grouping: Grouping) -> Vec<Group> {
    let mut groups: BTreeMap<Arc<str>, Group> = BTreeMap::new();
    for (at, example) in examples.iter().enumerate() {
        let name = match grouping {
            Grouping::Host => Arc::clone(&example.host),
            Grouping::Pair => Arc::clone(&example.pair),
            Grouping::Example => format!("{at:012}").into(),
        };
        let group = groups.entry(name).or_default();
        group.members.push(at);
        group.positives += usize::from(example.label);
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    // Stable: names order what is equal.
    groups.sort_by_key(|it| std::cmp::Reverse((it.positives, it.members.len())));
    groups
}

/// Each group goes where the fewest of its rarer kind are: positives when it has some, else negatives.
fn assign(groups: Vec<Group>, count: usize, examples: usize) -> Vec<usize> {
    let mut of = vec![0; examples];
    let mut sizes = vec![(0_usize, 0_usize); count];
    for group in groups {
        let best = sizes
            .iter()
            .enumerate()
            .min_by_key(|(at, (positives, negatives))| match group.positives {
                0 => (*negatives, *positives, *at),
                _ => (*positives, *negatives, *at),
            })
            .map_or(0, |(at, _)| at);
        if let Some((positives, negatives)) = sizes.get_mut(best) {
            *positives += group.positives;
            *negatives += group.negatives();
        }
        for member in group.members {
            if let Some(fold) = of.get_mut(member) {
                *fold = best;
            }
        }
    }
    of
}

impl Folds {
    fn leaves_both_kinds(&self, examples: &[Example]) -> bool {
        (0..self.count).all(|fold| {
            [true, false].into_iter().all(|kind| {
                let mut rest = examples.iter().zip(&self.of);
                rest.any(|(it, of)| *of != fold && it.label == kind)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(of: &[(&str, &str, bool)]) -> Vec<Example> {
        of.iter()
            .map(|(host, pair, label)| Example {
                features: Vec::new(),
                label: *label,
                host: Arc::from(*host),
                pair: Arc::from(*pair),
            })
            .collect()
    }

    #[test]
    fn a_host_is_never_in_two_folds() {
        let names: Vec<String> = (0..12).map(|n| format!("h{n}")).collect();
        let of: Vec<(&str, &str, bool)> = (0..120)
            .map(|n| {
                let host = names[n % 12].as_str();
                (host, "p", n % 12 < 4)
            })
            .collect();
        let folds = split(&examples(&of), 4).unwrap();
        assert_eq!((folds.grouping, folds.count), (Grouping::Host, 4));
        for host in 0..12 {
            let used: std::collections::BTreeSet<usize> =
                folds.of.iter().skip(host).step_by(12).copied().collect();
            assert_eq!(used.len(), 1, "host {host}");
        }
        let positives: Vec<usize> = (0..4)
            .map(|fold| {
                let within = folds.of.iter().zip(&of);
                within
                    .filter(|(it, (_, _, label))| **it == fold && *label)
                    .count()
            })
            .collect();
        assert_eq!(positives, [10; 4]);
    }

    #[test]
    fn one_host_falls_back_to_pairs_and_one_pair_to_examples() {
        let by_pair = [
            ("h", "a", true),
            ("h", "b", true),
            ("h", "c", false),
            ("h", "d", false),
        ];
        assert_eq!(
            split(&examples(&by_pair), 5).unwrap().grouping,
            Grouping::Pair
        );
        let by_example = [
            ("h", "a", true),
            ("h", "a", true),
            ("h", "a", false),
            ("h", "a", false),
        ];
        assert_eq!(
            split(&examples(&by_example), 5).unwrap().grouping,
            Grouping::Example
        );
        let too_few = [("h", "a", true), ("h", "b", false), ("h", "c", false)];
        assert_eq!(split(&examples(&too_few), 5), None);
        assert_eq!(split(&[], 5), None);
    }
}
