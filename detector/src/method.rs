//! From the state of a series to its assessment, by the method that the settings name.

use std::sync::Arc;

use crate::seed::{Gate, METHOD, Scorer, Spectrum, SpectrumAnalyser};
use crate::series::Series;
use crate::settings::{Profile, SeedSettings, Settings};
use crate::{Assessment, Context, IntervalStatistics, Severity, Signal, Timestamp};

/// The method and all that it plans once.
#[derive(Debug)]
pub(crate) enum Method {
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
}

/// What a method finds in the times of a series.
#[derive(Default)]
struct Verdict {
    score: f64,
    detected: bool,
    gate: Option<String>,
    intervals: Option<IntervalStatistics>,
    spectrum: Option<Spectrum>,
    signals: Vec<Signal>,
    explanation: String,
}

impl Method {
    pub(crate) fn new(settings: &Settings) -> Self {
        match settings.profile {
            Profile::Seed => Self::Seed {
                settings: settings.seed.clone(),
                analyser: SpectrumAnalyser::new(),
                name: Arc::from(METHOD),
            },
        }
    }

    /// Assesses a series; `None` when it has no connection start.
    ///
    /// The seed score is blind to the time of day and to everything beside the series.
    pub(crate) fn assess(
        &self,
        series: &Series,
        _now: Timestamp,
        _context: &Context,
        workspace: &mut Workspace,
    ) -> Option<Assessment> {
        let last_seen = series.last_seen()?;
        workspace.times.clear();
        workspace.times.extend(series.starts.iter().copied());
        let Self::Seed {
            settings,
            analyser,
            name,
        } = self;
        let verdict = seed_verdict(settings, analyser, workspace);
        let median_s = verdict.intervals.map(|intervals| intervals.median_s);
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
            interval_s: median_s,
            jitter: verdict.intervals.as_ref().and_then(relative_jitter),
            intervals: verdict.intervals,
            spectrum: verdict.spectrum,
            recent_source_ports: series.recent_ports(),
            bytes_out: series.bytes_out,
            bytes_in: series.bytes_in,
            signals: verdict.signals,
            explanation: verdict.explanation,
        })
    }
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
) -> Verdict {
    let Workspace { times, scorer } = workspace;
    let Some((intervals, gate)) = scorer.look(times, settings) else {
        let gate = Gate::Connections {
            found: times.len(),
            minimum: settings.min_connections,
        };
        return gated(&gate, None);
    };
    if let Some(gate) = gate {
        return gated(&gate, Some(intervals));
    }
    let Some(score) = scorer.score(times, settings, analyser) else {
        return Verdict::default();
    };
    Verdict {
        score: score.combined,
        detected: score.combined >= settings.alert_threshold,
        gate: None,
        intervals: Some(intervals),
        spectrum: score.spectrum,
        signals: score.signals(settings),
        explanation: score.explanation(),
    }
}

fn gated(gate: &Gate, intervals: Option<IntervalStatistics>) -> Verdict {
    let reason = gate.to_string();
    Verdict {
        explanation: format!("Not scored: {reason}."),
        gate: Some(reason),
        intervals,
        ..Verdict::default()
    }
}
