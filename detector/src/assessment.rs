//! What the detector says of one series.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::context::Benign;
use crate::evidence::Evidence;
use crate::seed::Spectrum;
use crate::stats::logistic;
use crate::{Owner, PartOf, Process, SeriesKey, Timestamp, View};

/// How grave a detection is: thresholds of the published seed scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Score below 0.7.
    Low,
    /// Score of at least 0.7.
    Medium,
    /// Score of at least 0.8.
    High,
    /// Score of at least 0.9.
    Critical,
}

impl Severity {
    /// Severity of a score.
    #[must_use]
    pub fn of_score(score: f64) -> Self {
        match score {
            score if score >= 0.9 => Self::Critical,
            score if score >= 0.8 => Self::High,
            score if score >= 0.7 => Self::Medium,
            _ => Self::Low,
        }
    }

    /// Lower-case name: `low`, `medium`, `high` or `critical`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// One reason for a score, in numbers and words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Name of the signal, for example `coefficient_of_variation`.
    pub name: Arc<str>,
    /// Value of the signal in 0..=1.
    pub score: f64,
    /// Weight of the signal in the score.
    pub weight: f64,
    /// What the signal adds: to the score with the method `seed`, to its log-odds with `evidence`. The
    /// contributions of all signals add up to it.
    pub contribution: f64,
    /// The measured quantity behind the signal.
    pub raw_value: f64,
    /// What the measured quantity was compared with; `None` when it was not.
    pub threshold: Option<f64>,
    /// The reason in words.
    pub text: String,
}

/// Intervals between connection starts, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntervalStatistics {
    /// Number of intervals.
    pub count: u64,
    /// Mean.
    pub mean_s: f64,
    /// Population standard deviation.
    pub standard_deviation_s: f64,
    /// Standard deviation over mean.
    pub coefficient_of_variation: f64,
    /// Median.
    pub median_s: f64,
    /// Median absolute deviation from the median.
    pub median_absolute_deviation_s: f64,
    /// Smallest.
    pub minimum_s: f64,
    /// Largest.
    pub maximum_s: f64,
    /// Largest deviation from the median.
    pub maximum_deviation_s: f64,
}

/// A scored and explained series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// The series.
    pub key: SeriesKey,
    /// Name of the host that observed, for people.
    pub host_name: Option<Arc<str>>,
    /// Last known name of the server.
    pub server_name: Option<Arc<str>>,
    /// Last known process at the source.
    pub process: Option<Arc<Process>>,
    /// Who runs that process, as the record says that named it. It came after the other fields and is not part of the
    /// written form, which has no names: who writes assessments keeps it beside them.
    #[serde(skip)]
    pub owner: Option<Arc<Owner>>,
    /// Last known fingerprint of the client's TLS: JA4, or JA3 where that is all there is.
    pub client_fingerprint: Option<Arc<str>>,
    /// Name of the method that scored, for example `seed`.
    pub method: Arc<str>,
    /// Score in 0..=1.
    pub score: f64,
    /// Severity of the score.
    pub severity: Severity,
    /// Whether the series counts as a detection under the settings.
    pub detected: bool,
    /// Why the series could not be a detection whatever its score (a gate of the method); `None` when
    /// nothing stood in the way.
    pub gate: Option<String>,
    /// First connection start.
    pub first_seen: Timestamp,
    /// Last connection start, or activity in a connection.
    pub last_seen: Timestamp,
    /// Number of connections since `first_seen`.
    pub count: u64,
    /// Dominant interval in seconds; `None` when there are too few connections to say.
    pub interval_s: Option<f64>,
    /// Relative jitter (0.2 means ±20 % of the interval); `None` when unknown.
    pub jitter: Option<f64>,
    /// What the times say; `None` with another method or too few beats.
    pub evidence: Option<Evidence>,
    /// Intervals in numbers; `None` when there are none.
    pub intervals: Option<IntervalStatistics>,
    /// Strongest peak of the spectrum; `None` when there is none. It is for who looks at the series now and is
    /// not written: an assessment that was read again has none.
    #[serde(skip)]
    pub spectrum: Option<Spectrum>,
    /// Source ports of the newest connections, newest first, where they are known: with them a finding is
    /// joined to single connections in other logs.
    pub recent_source_ports: Vec<u16>,
    /// Bytes from source to destination over all connections that have ended, when known.
    pub bytes_out: u64,
    /// Bytes from destination to source over all connections that have ended, when known.
    pub bytes_in: u64,
    /// Signals whose contributions add up to the score or, with the method `evidence`, to its log-odds.
    pub signals: Vec<Signal>,
    /// The reasons in one or two sentences.
    pub explanation: String,
    /// Why the series is listed as benign: it is then no detection, whatever its score. `None` when nothing marks it,
    /// and with the method `seed`.
    pub benign: Option<Benign>,
    /// The view at which this was found: a pair, or what its members share, when this is the anchor of a view.
    /// The evidence is that of the view then.
    pub view: View,
    /// Members of the view, this one first: at most 64. Empty for a pair.
    pub members: Vec<SeriesKey>,
    /// Number of members of the view.
    pub members_total: u64,
    /// The view that explains this series better than it does itself, when it is not its anchor: the score is
    /// that of the view, the evidence its own, and it is no detection.
    pub part_of: Option<PartOf>,
    /// Other clients that beat to the same server with about the same period: at most 16, by key.
    pub other_clients: Vec<SeriesKey>,
    /// Number of such clients, among 64.
    pub other_clients_total: u64,
}

/// Signals of the method `evidence` that come from the times.
const TIMING_SIGNALS: [&str; 4] = ["base_rate", "cadence", "persistence", "steadiness"];

impl Assessment {
    /// The score that the times alone give, without any context: what a benign series would score if it were not
    /// known to be benign. The score itself with another method than `evidence`.
    #[must_use]
    pub fn timing_score(&self) -> f64 {
        if *self.method != *crate::evidence::METHOD || self.signals.is_empty() {
            return self.score;
        }
        let timing = |signal: &&Signal| TIMING_SIGNALS.contains(&&*signal.name);
        let timing = self.signals.iter().filter(timing);
        logistic(timing.map(|signal| signal.contribution).sum())
    }
}
