//! Hosts in the order in which to look at them: what was scored on each, summed up.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use serde::Serialize;

use crate::Assessment;

/// What was scored on one host.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HostSummary {
    /// The host: a source address or a name, as the caller counts.
    pub host: Arc<str>,
    /// Events (connections) of all that was scored.
    pub event_count: u64,
    /// Series or events that were scored.
    pub scored: u64,
    /// Of these, how many are findings.
    pub findings: u64,
    /// Mean risk of what was scored, 0..=1.
    pub mean_risk: f64,
    /// Largest risk, 0..=1.
    pub max_risk: f64,
    /// Why the largest is what it is.
    pub reason: String,
}

/// Something that was scored on a host.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored<'a> {
    /// The host.
    pub host: &'a str,
    /// Events behind it: the connections of a series, or 1.
    pub events: u64,
    /// Its risk in 0..=1; what is no number counts as 0.
    pub risk: f64,
    /// Whether it is a finding.
    pub finding: bool,
}

/// Sums up by host. Constant time on average a call, one entry a host.
///
/// # Example
/// ```
/// use beaconwatch_detector::{HostSummaries, Scored};
///
/// let mut hosts = HostSummaries::default();
/// for (host, risk) in [("a", 0.2), ("b", 0.9), ("b", 0.3)] {
///     let scored = Scored { host, events: 10, risk, finding: risk > 0.5 };
///     hosts.add(&scored, || format!("risk {risk}"));
/// }
/// let ranked = hosts.ranked();
/// assert_eq!((&*ranked[0].host, ranked[0].max_risk, ranked[0].mean_risk), ("b", 0.9, 0.6));
/// assert_eq!((ranked[0].event_count, ranked[0].findings), (20, 1));
/// assert_eq!(ranked[0].reason, "risk 0.9");
/// ```
#[derive(Clone, Debug, Default)]
pub struct HostSummaries {
    /// With the sum of risks where the mean will stand.
    hosts: BTreeMap<Arc<str>, HostSummary>,
}

impl HostSummaries {
    /// Adds what was scored; `reason` is asked only when it is the riskiest of its host so far.
    pub fn add(&mut self, scored: &Scored<'_>, reason: impl FnOnce() -> String) {
        let risk = if scored.risk.is_nan() {
            0.0
        } else {
            scored.risk.clamp(0.0, 1.0)
        };
        let host: Arc<str> = Arc::from(scored.host);
        let summary = match self.hosts.entry(Arc::clone(&host)) {
            Entry::Vacant(entry) => entry.insert(HostSummary {
                host,
                event_count: 0,
                scored: 0,
                findings: 0,
                mean_risk: 0.0,
                max_risk: risk,
                reason: reason(),
            }),
            Entry::Occupied(entry) => {
                let summary = entry.into_mut();
                if risk > summary.max_risk {
                    (summary.max_risk, summary.reason) = (risk, reason());
                }
                summary
            }
        };
        summary.event_count = summary.event_count.saturating_add(scored.events);
        summary.scored += 1;
        summary.findings += u64::from(scored.finding);
        summary.mean_risk += risk;
    }

    /// Adds a series to the host of its source address; `why` is the reason for its risk, its place is put in front.
    pub fn add_series(&mut self, assessment: &Assessment, risk: f64, why: impl FnOnce() -> String) {
        let key = &assessment.key;
        let scored = Scored {
            host: &key.source.to_string(),
            events: assessment.count,
            risk,
            finding: assessment.detected,
        };
        self.add(&scored, || {
            let (port, transport) = (key.destination_port, key.transport.name());
            let to = format!("{} {port}/{transport}", key.destination);
            match &assessment.server_name {
                Some(name) => format!("{name} ({to}): {}", why()),
                None => format!("{to}: {}", why()),
            }
        });
    }

    /// The hosts: largest risk first, then largest mean, then by name.
    #[must_use]
    pub fn ranked(self) -> Vec<HostSummary> {
        let mut hosts: Vec<HostSummary> = self.hosts.into_values().collect();
        for host in &mut hosts {
            let scored = usize::try_from(host.scored).unwrap_or(usize::MAX);
            host.mean_risk /= crate::stats::real(scored.max(1));
        }
        hosts.sort_by(|one, other| {
            let by_risk = other.max_risk.total_cmp(&one.max_risk);
            by_risk
                .then(other.mean_risk.total_cmp(&one.mean_risk))
                .then_with(|| one.host.cmp(&other.host))
        });
        hosts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(of: &[(&str, f64)]) -> Vec<(String, f64, f64)> {
        let mut hosts = HostSummaries::default();
        for (host, risk) in of {
            let scored = Scored {
                host,
                events: 1,
                risk: *risk,
                finding: false,
            };
            hosts.add(&scored, String::new);
        }
        let ranked = hosts.ranked().into_iter();
        ranked
            .map(|it| (it.host.to_string(), it.max_risk, it.mean_risk))
            .collect()
    }

    #[test]
    fn hosts_rank_by_largest_then_mean_risk_then_name() {
        let names: Vec<String> = ranked(&[
            ("d", 0.5),
            ("c", 0.5),
            ("a", 0.5),
            ("a", 0.25),
            ("b", 0.75),
            ("b", 0.0),
        ])
        .into_iter()
        .map(|(name, ..)| name)
        .collect();
        assert_eq!(names, ["b", "c", "d", "a"]);
    }

    #[test]
    fn what_is_no_number_or_out_of_range_is_brought_into_it() {
        let found = ranked(&[("a", f64::NAN), ("b", f64::INFINITY), ("c", -3.0)]);
        let expected = [("b", 1.0, 1.0), ("a", 0.0, 0.0), ("c", 0.0, 0.0)];
        assert_eq!(
            found,
            expected.map(|(it, max, mean)| (it.to_owned(), max, mean))
        );
    }
}
