//! The seed score: how regular a series' connection starts are, from three published signals.
//!
//! With the intervals d between n connection starts in ascending order, their median m (seconds), mean μ
//! and population standard deviation σ:
//!
//! | signal | weight | value |
//! |---|---|---|
//! | `coefficient_of_variation` | 0.4 | 1 / (1 + exp((10 / T) (σ/μ − T))), T = `cv_threshold`; 0 when μ = 0 |
//! | `periodicity` | 0.4 | max(near, spectral) · clip((n − 4) / 16, 0, 1) |
//! | `jitter` | 0.2 | with J = max\|d − m\| and H = max(`jitter_threshold_s`, 0.05 m): 1 − 0.5 J/H when J ≤ H, else 0.5 exp(−(J − H)/H); 0 when m = 0 |
//!
//! *near* is the share of the intervals within max(0.15 m, 5 s) of m, and 0 when m = 0. *spectral* is the
//! score of the strongest peak in the spectrum of connection starts over time: [`Spectrum`] has its
//! formula. The score is the sum of weight times value, and 0 for a series that a gate stops ([`Gate`]).
//!
//! Source of the signals, weights and thresholds: the published beacon analyser that this project
//! started from. Its spectrum was taken over the sequence of intervals, which has no time axis; here it is
//! taken over time.
//!
//! Limits: one missed beat or one stray connection moves the coefficient of variation and the jitter, a
//! series of uneven mixture scores by its mixture, and an event counts wherever it stands in the day. That
//! is how the seed is meant: its value is that existing thresholds keep their meaning.

mod explain;
mod spectrum;

use crate::settings::SeedSettings;
use crate::stats::{Intervals, nanos_between, real, seconds};
use crate::{IntervalStatistics, Signal, Timestamp};

pub(crate) use spectrum::SpectrumAnalyser;
pub use spectrum::{PowerSpectrum, Spectrum, power_spectrum};

/// Name of the method in [`crate::Assessment::method`].
pub const METHOD: &str = "seed";

const CV_WEIGHT: f64 = 0.4;
const PERIODICITY_WEIGHT: f64 = 0.4;
const JITTER_WEIGHT: f64 = 0.2;
/// Intervals this near to the median count as on the beat, relative to the median.
const NEAR_SHARE: f64 = 0.15;
/// Intervals this near to the median count as on the beat, whatever the median is.
const NEAR_FLOOR_S: f64 = 5.0;
/// The tolerated deviation from the median grows with it by this share.
const JITTER_SHARE: f64 = 0.05;

/// Why a series cannot be a detection of the seed score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gate {
    /// Too few connections.
    Connections {
        /// Connections kept.
        found: usize,
        /// Fewest that are scored.
        minimum: usize,
    },
    /// Too short a time between the first and the last connection.
    Duration {
        /// That time in seconds.
        found_s: f64,
        /// Shortest that is scored.
        minimum_s: f64,
    },
    /// The median interval is too short or too long.
    Interval {
        /// Median interval in seconds.
        found_s: f64,
        /// Shortest that is scored.
        minimum_s: f64,
        /// Longest that is scored.
        maximum_s: f64,
    },
}

/// The seed score of one series and everything that it is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedScore {
    /// Number of connection starts.
    pub starts: usize,
    /// The intervals in numbers.
    pub intervals: IntervalStatistics,
    /// Value of the signal `coefficient_of_variation`, 0..=1.
    pub cv_score: f64,
    /// Share of the intervals that are near the median, 0..=1.
    pub near_median: f64,
    /// Strongest peak of the spectrum; `None` when the series is too short to have one.
    pub spectrum: Option<Spectrum>,
    /// Value of the signal `periodicity`, 0..=1.
    pub periodicity_score: f64,
    /// Deviation from the median that is tolerated, in seconds.
    pub jitter_threshold_s: f64,
    /// Value of the signal `jitter`, 0..=1.
    pub jitter_score: f64,
    /// Weighted sum of the three signals, 0..=1, whatever the gates say.
    pub combined: f64,
    /// What keeps the series from being a detection.
    pub gate: Option<Gate>,
}

/// Scores times in any order; `None` when there are fewer than two.
///
/// Plans its transforms anew: a [`crate::Detector`] keeps them.
#[must_use]
pub fn score(times: &[Timestamp], settings: &SeedSettings) -> Option<SeedScore> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    Scorer::default().score(&sorted, settings, &SpectrumAnalyser::new())
}

/// Buffers for scoring one series after another.
#[derive(Debug, Default)]
pub(crate) struct Scorer {
    intervals: Intervals,
    spectrum: spectrum::Buffers,
}

impl Scorer {
    /// Intervals of times in ascending order; `None` when there are fewer than two.
    pub(crate) fn intervals(&mut self, times: &[Timestamp]) -> Option<IntervalStatistics> {
        self.intervals.load(times);
        self.intervals.statistics()
    }

    /// Intervals and gate of times in ascending order; `None` when there are fewer than two.
    pub(crate) fn look(
        &mut self,
        times: &[Timestamp],
        settings: &SeedSettings,
    ) -> Option<(IntervalStatistics, Option<Gate>)> {
        self.intervals.load(times);
        let statistics = self.intervals.statistics()?;
        Some((statistics, gate(times, &statistics, settings)))
    }

    /// Scores times in ascending order; `None` when there are fewer than two.
    pub(crate) fn score(
        &mut self,
        times: &[Timestamp],
        settings: &SeedSettings,
        analyser: &SpectrumAnalyser,
    ) -> Option<SeedScore> {
        let (intervals, gate) = self.look(times, settings)?;
        let median_s = intervals.median_s;
        let cv_score = cv_score(&intervals, settings.cv_threshold);
        let near_median = if median_s > 0.0 {
            self.intervals
                .share_within(median_s, (NEAR_SHARE * median_s).max(NEAR_FLOOR_S))
        } else {
            0.0
        };
        let spectrum =
            analyser.strongest_peak(times, self.intervals.median_nanos(), &mut self.spectrum);
        let spectral = spectrum.map_or(0.0, |peak| peak.score);
        let periodicity_score = near_median.max(spectral) * enough(times.len());
        let jitter_threshold_s = settings.jitter_threshold_s.max(JITTER_SHARE * median_s);
        let jitter_score = jitter_score(&intervals, jitter_threshold_s);
        let combined = CV_WEIGHT * cv_score
            + PERIODICITY_WEIGHT * periodicity_score
            + JITTER_WEIGHT * jitter_score;
        Some(SeedScore {
            starts: times.len(),
            intervals,
            cv_score,
            near_median,
            spectrum,
            periodicity_score,
            jitter_threshold_s,
            jitter_score,
            combined: combined.clamp(0.0, 1.0),
            gate,
        })
    }
}

impl SeedScore {
    /// The three signals with their reasons; their contributions add up to [`Self::combined`].
    #[must_use]
    pub fn signals(&self, settings: &SeedSettings) -> Vec<Signal> {
        explain::signals(self, settings)
    }

    /// The reasons in one or two sentences.
    #[must_use]
    pub fn explanation(&self) -> String {
        explain::explanation(self)
    }
}

fn cv_score(intervals: &IntervalStatistics, threshold: f64) -> f64 {
    if intervals.mean_s <= 0.0 {
        return 0.0;
    }
    // An exponent beyond the range of f64 gives infinity, and its reciprocal the right limit 0.
    1.0 / (1.0 + ((10.0 / threshold) * (intervals.coefficient_of_variation - threshold)).exp())
}

fn jitter_score(intervals: &IntervalStatistics, threshold_s: f64) -> f64 {
    if intervals.median_s <= 0.0 {
        return 0.0;
    }
    let deviation_s = intervals.maximum_deviation_s;
    if deviation_s <= threshold_s {
        1.0 - 0.5 * deviation_s / threshold_s
    } else {
        0.5 * (-(deviation_s - threshold_s) / threshold_s).exp()
    }
}

/// Full weight of the periodicity from 20 connections, none up to 4.
fn enough(starts: usize) -> f64 {
    ((real(starts) - 4.0) / 16.0).clamp(0.0, 1.0)
}

fn gate(
    times: &[Timestamp],
    intervals: &IntervalStatistics,
    settings: &SeedSettings,
) -> Option<Gate> {
    let (found, minimum) = (times.len(), settings.min_connections);
    if found < minimum {
        return Some(Gate::Connections { found, minimum });
    }
    let duration_s = match (times.first(), times.last()) {
        (Some(first), Some(last)) => seconds(nanos_between(*first, *last)),
        _ => 0.0,
    };
    if duration_s < settings.min_duration_s {
        return Some(Gate::Duration {
            found_s: duration_s,
            minimum_s: settings.min_duration_s,
        });
    }
    let range = settings.min_interval_s..=settings.max_interval_s;
    (!range.contains(&intervals.median_s)).then_some(Gate::Interval {
        found_s: intervals.median_s,
        minimum_s: settings.min_interval_s,
        maximum_s: settings.max_interval_s,
    })
}

#[cfg(test)]
mod tests;
