//! From the state of a series to its assessment, by the method that the settings name.

use std::sync::Arc;

use crate::context::{Benign, Weighed};
use crate::evidence::{Evidence, FEWEST_GAPS, Scales};
use crate::seed::{Gate, Scorer, Spectrum, SpectrumAnalyser};
use crate::series::Series;
use crate::settings::{EvidenceSettings, Profile, SeedSettings, Settings};
use crate::stats::real;
use crate::{Assessment, Context, IntervalStatistics, Severity, Signal, Timestamp};

/// The method and all that it plans once.
#[derive(Debug)]
pub(crate) enum Method {
    Evidence {
        settings: EvidenceSettings,
        name: Arc<str>,
    },
    Seed {
        settings: SeedSettings,
        analyser: SpectrumAnalyser,
        name: Arc<str>,
    },
}

/// Buffers for assessing one series after another.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    times: Vec<Timestamp>,
    scorer: Scorer,
    scales: Scales,
}

/// What holds for all series that are looked at together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look<'a> {
    pub(crate) now: Timestamp,
    pub(crate) context: &'a Context,
    /// Series that can be tested.
    pub(crate) testable: u64,
}

/// What a method finds in the times of a series.
#[derive(Default)]
struct Verdict {
    score: f64,
    detected: bool,
    gate: Option<String>,
    interval_s: Option<f64>,
    jitter: Option<f64>,
    evidence: Option<Evidence>,
    spectrum: Option<Spectrum>,
    signals: Vec<Signal>,
    explanation: String,
    benign: Option<Benign>,
}

impl Method {
    pub(crate) fn new(settings: &Settings) -> Self {
        let name = Arc::from(settings.profile.name());
        match settings.profile {
            Profile::Evidence => Self::Evidence {
                settings: settings.evidence.clone(),
                name,
            },
            Profile::Seed => Self::Seed {
                settings: settings.seed.clone(),
                analyser: SpectrumAnalyser::new(),
                name,
            },
        }
    }

    /// Assesses a series; `None` when it has no connection start and no activity.
    pub(crate) fn assess(
        &self,
        series: &Series,
        look: &Look<'_>,
        workspace: &mut Workspace,
    ) -> Option<Assessment> {
        let last_seen = series.last_seen()?;
        workspace.times.clear();
        workspace.times.extend(series.starts.iter().copied());
        let (name, intervals, verdict) = match self {
            Self::Evidence { settings, name } => {
                let intervals = workspace.scorer.intervals(&workspace.times);
                let evidence = workspace.scales.weigh(series, look.now);
                let weighed = look.context.weigh(series, evidence.as_ref(), look.now);
                let verdict = evidence_verdict(evidence, weighed, settings, look);
                (name, intervals, verdict)
            }
            Self::Seed {
                settings,
                analyser,
                name,
            } => {
                let (intervals, verdict) = seed_verdict(settings, analyser, workspace);
                (name, intervals, verdict)
            }
        };
        Some(Assessment {
            key: series.key.clone(),
            host_name: series.host_name.value.clone(),
            server_name: series.server_name.value.clone(),
            process: series.process.value.clone(),
            method: Arc::clone(name),
            score: verdict.score,
            severity: Severity::of_score(verdict.score),
            detected: verdict.detected,
            gate: verdict.gate,
            first_seen: series.first_seen,
            last_seen,
            count: series.count,
            interval_s: verdict.interval_s,
            jitter: verdict.jitter,
            evidence: verdict.evidence,
            intervals,
            spectrum: verdict.spectrum,
            recent_source_ports: series.recent_ports(),
            bytes_out: series.bytes_out,
            bytes_in: series.bytes_in,
            signals: verdict.signals,
            explanation: verdict.explanation,
            benign: verdict.benign,
        })
    }
}

fn evidence_verdict(
    evidence: Option<Evidence>,
    weighed: Weighed,
    settings: &EvidenceSettings,
    look: &Look<'_>,
) -> Verdict {
    let Some(evidence) = evidence else {
        let reason = format!("too few beats: at least {} are needed", FEWEST_GAPS + 1);
        return Verdict {
            benign: weighed.benign,
            ..gated(reason, None)
        };
    };
    let tests = real(usize::try_from(look.testable.max(1)).unwrap_or(usize::MAX));
    let level = settings.false_alerts_per_day / tests;
    // The level is for the times alone: context cannot make a cadence.
    let keeps_a_cadence = evidence.p_value_any_look <= level;
    let mut signals = evidence.signals();
    signals.extend(weighed.signals);
    let score = logistic(signals.iter().map(|it| it.contribution).sum());
    let detected = score >= settings.alert_threshold && keeps_a_cadence;
    Verdict {
        score,
        detected: detected && weighed.benign.is_none(),
        interval_s: Some(evidence.period_s),
        jitter: Some(evidence.half_width),
        signals,
        explanation: evidence.explanation() + &weighed.sentence,
        evidence: Some(evidence),
        benign: weighed.benign,
        ..Verdict::default()
    }
}

fn logistic(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// Half-width of the intervals relative to the median, as if they were spread evenly around it: then
/// their median absolute deviation is half of the half-width. `None` when the median is 0.
fn relative_jitter(intervals: &IntervalStatistics) -> Option<f64> {
    let ratio = 2.0 * intervals.median_absolute_deviation_s / intervals.median_s;
    ratio.is_finite().then_some(ratio)
}

fn seed_verdict(
    settings: &SeedSettings,
    analyser: &SpectrumAnalyser,
    workspace: &mut Workspace,
) -> (Option<IntervalStatistics>, Verdict) {
    let Workspace { times, scorer, .. } = workspace;
    let Some((intervals, gate)) = scorer.look(times, settings) else {
        let gate = Gate::Connections {
            found: times.len(),
            minimum: settings.min_connections,
        };
        return (None, gated(gate.to_string(), None));
    };
    if let Some(gate) = gate {
        return (Some(intervals), gated(gate.to_string(), Some(&intervals)));
    }
    let Some(score) = scorer.score(times, settings, analyser) else {
        return (Some(intervals), Verdict::default());
    };
    let verdict = Verdict {
        score: score.combined,
        detected: score.combined >= settings.alert_threshold,
        interval_s: Some(intervals.median_s),
        jitter: relative_jitter(&intervals),
        spectrum: score.spectrum,
        signals: score.signals(settings),
        explanation: score.explanation(),
        ..Verdict::default()
    };
    (Some(intervals), verdict)
}

fn gated(reason: String, intervals: Option<&IntervalStatistics>) -> Verdict {
    Verdict {
        explanation: format!("Not scored: {reason}."),
        gate: Some(reason),
        interval_s: intervals.map(|intervals| intervals.median_s),
        jitter: intervals.and_then(relative_jitter),
        ..Verdict::default()
    }
}
