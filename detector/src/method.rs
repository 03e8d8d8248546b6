//! From the state of a series to its assessment, by the method that the settings name.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::context::{Benign, Weighed};
use crate::evidence::{Evidence, FEWEST_GAPS, Scales};
use crate::seed::{Gate, Scorer, Spectrum, SpectrumAnalyser};
use crate::series::Series;
use crate::settings::{EvidenceSettings, Profile, SeedSettings, Settings};
use crate::stats::{logistic, real};
use crate::table::Slot;
use crate::views::{Clients, Found, PartOf, Source, VIEW_SHARE, View};
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
    /// Series that can be tested, and sources, whose views can be.
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

    /// The evidence of a series by itself; `None` with another method or too few beats.
    pub(crate) fn weigh(
        &self,
        series: &Series,
        look: &Look<'_>,
        workspace: &mut Workspace,
    ) -> Option<Evidence> {
        match self {
            Self::Evidence { .. } => workspace.scales.weigh(series, look.now),
            Self::Seed { .. } => None,
        }
    }

    /// The views of one source that explain its series, given in the order of their keys, better than they do
    /// alone; none with another method than `evidence`.
    pub(crate) fn views(
        &self,
        series: &[(Slot, &Series)],
        look: &Look<'_>,
        workspace: &mut Workspace,
    ) -> Vec<Found> {
        let Self::Evidence { settings, .. } = self else {
            return Vec::new();
        };
        let detects = |evidence: &Evidence, view: bool| {
            is_detection(evidence, evidence.score(), settings, look, view)
        };
        let mut source = Source {
            series,
            now: look.now,
            scales: &mut workspace.scales,
            own: BTreeMap::new(),
            detects: &detects,
        };
        source.find()
    }

    /// Makes the assessment of a member say what its view says: all of it at the anchor, the score at the others.
    pub(crate) fn put_in_view(&self, assessment: &mut Assessment, found: &Found, look: &Look<'_>) {
        let (Self::Evidence { settings, .. }, Some((_, anchor))) = (self, found.members.first())
        else {
            return;
        };
        let evidence = found.evidence;
        let signals = evidence.signals().into_iter();
        assessment.signals = signals
            .chain(found.context.signals.iter().cloned())
            .collect();
        assessment.benign.clone_from(&found.context.benign);
        rescore(assessment, &evidence, settings, look, true);
        assessment.gate = None;
        assessment.other_clients = Vec::new();
        assessment.other_clients_total = 0;
        if assessment.key == *anchor {
            assessment.interval_s = Some(evidence.period_s);
            assessment.jitter = Some(evidence.half_width);
            assessment.explanation = found.explanation() + &found.context.sentence;
            assessment.evidence = Some(evidence);
            assessment.view = found.view.clone();
            assessment.members = found.named_members();
            assessment.members_total = found.members.len() as u64;
        } else {
            assessment.detected = false;
            assessment.explanation = found.explanation_of_member();
            assessment.part_of = Some(PartOf {
                anchor: anchor.clone(),
                view: found.view.clone(),
            });
        }
    }

    /// Adds what the other clients of its server say to an assessment.
    pub(crate) fn add_clients(
        &self,
        assessment: &mut Assessment,
        clients: Clients,
        look: &Look<'_>,
    ) {
        let (Self::Evidence { settings, .. }, Some(evidence)) = (self, assessment.evidence) else {
            return;
        };
        assessment.signals.push(clients.signal());
        rescore(assessment, &evidence, settings, look, false);
        assessment.other_clients_total = clients.total;
        assessment.other_clients = clients.named;
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
            process: series.process().cloned(),
            owner: series.owner().cloned(),
            client_fingerprint: series.last_fingerprint().cloned(),
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
            view: View::default(),
            members: Vec::new(),
            members_total: 0,
            part_of: None,
            other_clients: Vec::new(),
            other_clients_total: 0,
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
    let mut signals = evidence.signals();
    signals.extend(weighed.signals);
    let score = score_of(&signals);
    let detected = is_detection(&evidence, score, settings, look, false);
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

/// The score of signals that add up to its log-odds.
fn score_of(signals: &[Signal]) -> f64 {
    logistic(signals.iter().map(|it| it.contribution).sum())
}

/// Makes score, severity and detection what the signals of an assessment and this evidence say.
fn rescore(
    assessment: &mut Assessment,
    evidence: &Evidence,
    settings: &EvidenceSettings,
    look: &Look<'_>,
    is_view: bool,
) {
    assessment.score = score_of(&assessment.signals);
    assessment.severity = Severity::of_score(assessment.score);
    assessment.detected = assessment.benign.is_none()
        && is_detection(evidence, assessment.score, settings, look, is_view);
}

/// Whether evidence is a detection. The level is for the times alone: context cannot make a cadence. A series by itself has what the views leave of the permitted false alerts;
/// a view has paid for its share.
fn is_detection(
    evidence: &Evidence,
    score: f64,
    settings: &EvidenceSettings,
    look: &Look<'_>,
    is_view: bool,
) -> bool {
    let tests = real(usize::try_from(look.testable.max(1)).unwrap_or(usize::MAX));
    let share = if is_view { 1.0 } else { 1.0 - VIEW_SHARE };
    let level = share * settings.false_alerts_per_day / tests;
    score >= settings.alert_threshold && evidence.p_value_any_look <= level
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
