//! Gathers contributions, keeps them within their bound and says them in a sentence.

use std::sync::Arc;

use super::weights::BOUND;
use crate::Signal;

/// Contributions so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    signals: Vec<Signal>,
}

impl Found {
    /// Adds a contribution of at most `weight`, unless it is nothing.
    pub(super) fn add(
        &mut self,
        name: &str,
        contribution: f64,
        weight: f64,
        raw: f64,
        text: String,
    ) {
        // Accepts by range, so that NaN never gets in.
        let counts = contribution.abs() > 0.0 && contribution.is_finite() && raw.is_finite();
        if !counts {
            return;
        }
        self.signals.push(Signal {
            name: Arc::from(name),
            score: (contribution / weight).clamp(0.0, 1.0),
            weight,
            contribution,
            raw_value: raw,
            threshold: None,
            text,
        });
    }

    /// What was added under a name; 0 when nothing was.
    pub(super) fn contribution(&self, name: &str) -> f64 {
        let named = self.signals.iter().filter(|it| *it.name == *name);
        named.map(|it| it.contribution).sum()
    }

    /// All contributions, with one more that takes back what exceeds the bound. What speaks for a beacon counts by
    /// `weight_of_cadence`, 0..=1, but for what a list vouches for.
    pub(super) fn bounded(mut self, weight_of_cadence: f64) -> Vec<Signal> {
        for signal in &mut self.signals {
            if signal.contribution > 0.0 && &*signal.name != "intelligence" {
                signal.contribution *= weight_of_cadence;
                signal.score *= weight_of_cadence;
            }
        }
        self.signals
            .retain(|signal| signal.contribution.abs() > 0.0);
        let sum: f64 = self.signals.iter().map(|it| it.contribution).sum();
        let excess = sum.clamp(-BOUND, BOUND) - sum;
        let text = format!("context adds or takes at most {BOUND}");
        self.add("context_bound", excess, excess, sum, text);
        self.signals
    }

    /// The contributions as they are.
    pub(super) fn into_signals(self) -> Vec<Signal> {
        self.signals
    }
}

/// The strongest reasons in a sentence, for after that of the times; empty when there are none.
pub(super) fn sentence(signals: &[Signal]) -> String {
    let mut strongest: Vec<&Signal> = signals
        .iter()
        .filter(|it| it.contribution.abs() >= 0.2 && &*it.name != "context_bound")
        .collect();
    strongest.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
    let reasons: Vec<String> = strongest
        .iter()
        .take(3)
        .map(|it| format!("{} ({:+.1})", it.text, it.contribution))
        .collect();
    if reasons.is_empty() {
        return String::new();
    }
    format!(" Context: {}.", reasons.join("; "))
}
