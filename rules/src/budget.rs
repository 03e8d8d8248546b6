//! At most so many alerts of a rule in an hour.
//!
//! Contract: hours are those of the matches' own times. What got no alert is counted, and the next alert of the rule
//! says how many there were. Knows as many rules as there are.

use std::collections::BTreeMap;
use std::sync::Arc;

const HOUR_NS: i64 = 3_600_000_000_000;

/// What becomes of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It becomes an alert; so many of the rule got none since the one before.
    Alert {
        /// Matches that got no alert.
        suppressed: u64,
    },
    /// It is counted.
    Suppressed,
}

/// Alerts of each rule in the hour that goes on.
#[derive(Clone, Debug, Default)]
pub struct AlertBudget {
    spent: BTreeMap<Arc<str>, Spent>,
    suppressed: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    hour: i64,
    alerts: u32,
    suppressed: u64,
}

impl AlertBudget {
    /// Decides about a match of a rule.
    pub fn decide(&mut self, rule: &Arc<str>, time_ns: i64, max_per_hour: u32) -> Decision {
        let hour = time_ns.div_euclid(HOUR_NS);
        let spent = self.spent.entry(Arc::clone(rule)).or_insert(Spent {
            hour,
            ..Spent::default()
        });
        // A late match belongs to the hour that goes on.
        if hour > spent.hour {
            (spent.hour, spent.alerts) = (hour, 0);
        }
        if spent.alerts >= max_per_hour {
            spent.suppressed += 1;
            self.suppressed += 1;
            return Decision::Suppressed;
        }
        spent.alerts += 1;
        Decision::Alert {
            suppressed: std::mem::take(&mut spent.suppressed),
        }
    }

    /// Forgets the rules that are not among these.
    pub fn retain(&mut self, is_known: impl Fn(&str) -> bool) {
        self.spent.retain(|rule, _| is_known(rule));
    }

    /// Matches that got no alert, of all rules, since the start.
    #[must_use]
    pub const fn suppressed(&self) -> u64 {
        self.suppressed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_gets_so_many_alerts_an_hour_and_the_next_one_says_how_many_got_none() {
        let (mut budget, rule, other) = (AlertBudget::default(), "a".into(), "b".into());
        let alert = |suppressed| Decision::Alert { suppressed };
        for time in 0..2 {
            assert_eq!(budget.decide(&rule, time, 2), alert(0));
        }
        for time in 0..5 {
            assert_eq!(budget.decide(&rule, time, 2), Decision::Suppressed);
        }
        assert_eq!(budget.decide(&other, 3, 2), alert(0));
        assert_eq!(budget.decide(&rule, HOUR_NS, 2), alert(5));
        // A late one does not open the old hour again.
        assert_eq!(budget.decide(&rule, 5, 2), alert(0));
        assert_eq!(budget.decide(&rule, 6, 2), Decision::Suppressed);
        assert_eq!(budget.suppressed(), 6);
    }
}
