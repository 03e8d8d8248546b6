//! Evidence of beaconing: how sharply a series keeps a cadence, as a p-value that is calibrated on irregular
//! traffic, and the score that follows from it.
//!
//! # From times to a score
//! 1. [`beats`](self): the first event after two seconds of silence is a beat; the newest 128 gaps count.
//!    Connection starts and activity inside live connections are looked at apart; the better one
//!    speaks, at the price of a second look.
//! 2. [`CadenceMeter`]: how much better a period with jitter, misses and strays explains the gaps than their
//!    own smoothed density. [`clock_rhythm`]: whether beats keep to full minutes and hours.
//!    Where there are enough gaps, the newest 16 are looked at by themselves as well, at the price of a tenth of
//!    the chance of a false alarm: a sleep that changed from a minute to an hour is told by them.
//! 3. [`p_value`]: how rarely irregular traffic of any simulated kind reaches as much, for as many gaps of
//!    such a length. [`looks_factor`] makes it hold at each of repeated looks.
//! 4. [`Evidence::score`]: a logistic sum of contributions, which are its explanation.
//!
//! # Score
//! ```text
//! ln(score / (1 - score)) = base rate + cadence + persistence + steadiness
//!   base rate    ln(0.02 / 0.98) / 2 = -1.95    one series of fifty beats, before any evidence
//!   cadence      max(0, ln e(p)) / 2, e(p) = (1 - p + p ln p) / (p ln^2 p), p at least 10^-6: at most 4.28
//!   persistence  0.7 min(1, active hours / min(beats, max(24, hours of life))) min(1, -log10 p)
//!   steadiness   2.15 clip((-log10 p - 3) / 3, 0, 1) (1 + tanh(z / 4)),
//!                z = 2.7 log10 n + 1.5 min(longest run of active hours, 12) / 12 + 7 explained - 11.3
//! ```
//! Other clients that beat to the same server add up to 1 to the sum of a weak series
//! ([`crate::Assessment::other_clients`]). `e(p)` turns a p-value into an e-value (Vovk and Wang 2021, doi:10.1214/20-AOS2020, section 2); the half
//! tempers it, because no list of irregular processes is complete. The score is monotone in the
//! evidence: less p, more hours, more explained gaps never lower it.
//!
//! # Detection
//! A series is a detection when its score reaches `alert_threshold` and its p-value for repeated looks is at
//! most nine tenths of `false_alerts_per_day` over the number of tests, which is that of the series that can be
//! tested and of the sources; a tenth is for views of several series. So many false alerts a day are expected among
//! series that do not beat, whatever their number (a per-family error rate; Bonferroni, valid under any dependence). Benign beacons do beat: this is no promise about them.
//! A share of false ones instead of a number: [`crate::detect_by_rate`].
//!
//! # Limits
//! Exponential gaps are invisible to timing. Fewer than four beats give nothing.

mod beats;
mod cadence;
mod calibration;
mod clock;
pub(crate) mod explain;
mod hours;
#[rustfmt::skip]
#[allow(clippy::approx_constant, reason = "quantiles of a sample may look like pi")]
mod null_table;

pub(crate) use beats::PARTING_SILENCE_NS;
pub use beats::{MOST_GAPS, PARTING_SILENCE_S};
pub use cadence::{Cadence, CadenceMeter, FEWEST_GAPS};
use calibration::looks_factor_of_run;
pub use calibration::{SMALLEST_P, looks_factor, p_value};
pub use clock::{ClockRhythm, clock_rhythm};
pub(crate) use hours::ActiveHours;

use serde::{Deserialize, Serialize};

use crate::series::Series;
use crate::stats::{logistic, real};
use crate::{Signal, Timestamp};
use beats::Beats;
use cadence::is_explained;

/// Name of the method in [`crate::Assessment::method`].
pub const METHOD: &str = "evidence";

/// ln(0.02 / 0.98) / 2: one series of fifty beats.
const BASE_RATE: f64 = -1.945_910_149_055_313_2;
/// Tempering of the e-value.
pub(crate) const TEMPER: f64 = 0.5;
/// Gaps of the newest run, which is looked at by itself: a sleep that changed is found by them.
const RUN_GAPS: usize = 16;
/// What the newest run shares of the chance of a false alarm.
const RUN_SHARE: f64 = 0.1;
/// p-value of the newest run at which its period is told instead of one that explains less than half of it.
const CHANGED_P: f64 = 1e-3;
/// No smaller p-value adds to the score.
pub(crate) const SMALLEST_SCORED_P: f64 = 1e-6;
const PERSISTENCE: f64 = 0.7;
const STEADINESS: f64 = 2.15;

/// Which times spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Starts of connections.
    Connections,
    /// Activity inside live connections.
    Activity,
}

impl Source {
    /// Lower-case name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Activity => "activity",
        }
    }
}

/// When the next beat is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextBeat {
    /// Begin of the window.
    pub earliest: Timestamp,
    /// End of the window.
    pub latest: Timestamp,
}

/// What the times of a series say for a beacon.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Which times spoke.
    pub source: Source,
    /// Beats that were measured.
    pub beats: u64,
    /// Chance that irregular traffic looks as sharp at one look, 1e-12..=1.
    pub p_value: f64,
    /// The same at any of the looks so far.
    pub p_value_any_look: f64,
    /// Base period in seconds.
    pub period_s: f64,
    /// Standard error of the period in seconds; 0 when it is the clock's.
    pub period_error_s: f64,
    /// Half-width of the gaps around the period, relative to it.
    pub half_width: f64,
    /// Share of the gaps that the period explains, 0..=1.
    pub explained: f64,
    /// Share of beats that were missed, 0..1.
    pub miss_rate: f64,
    /// Period of the clock that the beats keep to, when that is the stronger reason.
    pub clock_period_s: Option<f64>,
    /// Hours with a beat, of the newest 16 days.
    pub active_hours: u32,
    /// Longest run of them.
    pub longest_run_h: u32,
    /// Hours of life over which the active ones could spread, at least 24 and at most 384.
    pub hours_of_life: u32,
    /// When the next beat is due; `None` when the period explains less than half of the gaps.
    pub next: Option<NextBeat>,
}

impl Evidence {
    /// Score in 0..1: the logistic function of the sum of all contributions.
    #[must_use]
    pub fn score(&self) -> f64 {
        logistic(self.log_odds())
    }

    /// Sum of the contributions.
    #[must_use]
    pub fn log_odds(&self) -> f64 {
        BASE_RATE + self.cadence() + self.persistence() + self.steadiness()
    }

    /// The contributions with their reasons; they add up to [`Self::log_odds`].
    #[must_use]
    pub fn signals(&self) -> Vec<Signal> {
        explain::signals(self)
    }

    /// The reasons in one or two sentences.
    #[must_use]
    pub fn explanation(&self) -> String {
        explain::explanation(self)
    }

    /// The same, having paid for so many tests (Bonferroni).
    pub(crate) fn at_price(self, tests: f64) -> Self {
        Self {
            p_value: (tests * self.p_value).min(1.0),
            p_value_any_look: (tests * self.p_value_any_look).min(1.0),
            ..self
        }
    }

    /// Whether a gap lies on the cadence.
    pub(crate) fn explains(&self, gap_s: f64) -> bool {
        is_explained(gap_s, self.period_s, self.half_width)
    }

    fn cadence(&self) -> f64 {
        TEMPER * e_value(self.p_value.max(SMALLEST_SCORED_P)).ln().max(0.0)
    }

    fn persistence(&self) -> f64 {
        PERSISTENCE * self.spread() * self.decades().min(1.0)
    }

    fn steadiness(&self) -> f64 {
        let run = f64::from(self.longest_run_h.min(12)) / 12.0;
        let z = 2.7 * self.gaps().max(1.0).log10() + 1.5 * run + 7.0 * self.explained - 11.3;
        STEADINESS * certainty(self.p_value) * (1.0 + (z / 4.0).tanh())
    }

    /// How many powers of ten the p-value lies below 1.
    pub(crate) fn decades(&self) -> f64 {
        -self.p_value.log10()
    }

    fn gaps(&self) -> f64 {
        f64::from(u32::try_from(self.beats).unwrap_or(u32::MAX)) - 1.0
    }

    /// Share of the hours in which there could have been beats, in which there were.
    fn spread(&self) -> f64 {
        let beats = u32::try_from(self.beats).unwrap_or(u32::MAX);
        let possible = beats.min(self.hours_of_life).max(1);
        (f64::from(self.active_hours) / f64::from(possible)).min(1.0)
    }
}

/// How far a p-value is on the way from 10^-3 to 10^-6, 0..=1.
pub(crate) fn certainty(p: f64) -> f64 {
    ((-p.log10() - 3.0) / 3.0).clamp(0.0, 1.0)
}

/// E-value of a p-value in 0..=1: `(1 - p + p ln p) / (p ln^2 p)`, the mean of `k p^(k - 1)` over `k` in 0..1.
///
/// Its mean is at most 1 when the p-value is valid, so that it says how much a bet against irregular traffic
/// has won (Vovk and Wang 2021, doi:10.1214/20-AOS2020).
///
/// # Example
/// ```
/// use beaconwatch_detector::evidence::e_value;
///
/// assert!((e_value(1e-3) - 20.8).abs() < 0.1);
/// assert!((e_value(1.0) - 0.5).abs() < 1e-12);
/// ```
#[must_use]
pub fn e_value(p: f64) -> f64 {
    let log = p.ln();
    if log > -1e-4 {
        // The limit at p = 1; the formula is 0 / 0 there.
        return 0.5;
    }
    (1.0 - p + p * log) / (p * log * log)
}

/// Weighs one series after another; keeps its buffers.
#[derive(Debug, Default)]
pub(crate) struct Scales {
    beats: Beats,
    meter: CadenceMeter,
}

impl Scales {
    /// What a series says; `None` when it has too few beats.
    pub(crate) fn weigh(&mut self, series: &Series, now: Timestamp) -> Option<Evidence> {
        let connections = self.look(series, Source::Connections, now);
        let activity = self.look(series, Source::Activity, now);
        match (connections, activity) {
            (Some(one), Some(other)) => {
                let better = if other.p_value < one.p_value {
                    other
                } else {
                    one
                };
                Some(Evidence {
                    p_value: (2.0 * better.p_value).min(1.0),
                    p_value_any_look: (2.0 * better.p_value_any_look).min(1.0),
                    ..better
                })
            }
            (one, other) => one.or(other),
        }
    }

    /// p-value of the cadence of times in ascending order, at one look; 1 when there are too few.
    pub(crate) fn glance(&mut self, times: impl Iterator<Item = Timestamp>) -> f64 {
        self.beats.load(times);
        let cadence = self.meter.measure(self.beats.gaps_s());
        cadence.map_or(1.0, |cadence| p_value(&cadence, None))
    }

    fn look(&mut self, series: &Series, source: Source, now: Timestamp) -> Option<Evidence> {
        let times = match source {
            Source::Connections => &series.starts,
            Source::Activity => series.activity.get()?,
        };
        self.beats.load(times.iter().copied());
        let cadence = self.meter.measure(self.beats.gaps_s())?;
        let clock = clock_rhythm(self.beats.newest());
        let p = p_value(&cadence, clock.map(|clock| clock.statistic));
        let by_clock = clock.filter(|_| p < p_value(&cadence, None));
        let ever = all_beats(&self.beats, times.len(), source, series);
        let whole = (p, (p * looks_factor(ever)).min(1.0));
        let (cadence, p) = self.with_newest_run(cadence, whole, ever);
        Some(Evidence {
            source,
            beats: ever,
            p_value: p.0,
            p_value_any_look: p.1,
            period_s: by_clock.map_or(cadence.period_s, |clock| clock.period_s),
            period_error_s: by_clock.map_or(cadence.period_error_s, |_| 0.0),
            half_width: cadence.half_width,
            explained: cadence.explained,
            miss_rate: cadence.miss_rate,
            clock_period_s: by_clock.map(|clock| clock.period_s),
            active_hours: series.hours.count(),
            longest_run_h: series.hours.longest_run(),
            hours_of_life: hours_of_life(series),
            next: next_beat(&cadence, self.beats.times().last().copied(), now),
        })
    }
}

impl Scales {
    /// The p-values at one look and at any look with what the newest run says, and its cadence instead of one that
    /// is no more.
    fn with_newest_run(
        &mut self,
        whole: Cadence,
        (p, p_any): (f64, f64),
        ever: u64,
    ) -> (Cadence, (f64, f64)) {
        let Some((run, p_of_run)) = self.newest_run() else {
            return (whole, (p, p_any));
        };
        let paid = p_of_run / RUN_SHARE;
        let better = |whole: f64, run: f64| (whole / (1.0 - RUN_SHARE)).min(run).min(1.0);
        let ps = (
            better(p, paid),
            better(p_any, paid * looks_factor_of_run(ever)),
        );
        let has_changed = paid <= CHANGED_P && !self.goes_on(&whole);
        (if has_changed { run } else { whole }, ps)
    }

    /// The cadence of the newest [`RUN_GAPS`] gaps alone and its p-value; `None` when they are most of all.
    fn newest_run(&mut self) -> Option<(Cadence, f64)> {
        let newest = newest_gaps(self.beats.gaps_s())?;
        let run = self.meter.measure(newest)?;
        Some((run, p_value(&run, None)))
    }

    /// Whether a cadence of all gaps explains half of the newest.
    fn goes_on(&self, cadence: &Cadence) -> bool {
        let newest = newest_gaps(self.beats.gaps_s()).unwrap_or_default();
        let explained = newest
            .iter()
            .filter(|gap_s| is_explained(**gap_s, cadence.period_s, cadence.half_width));
        2 * explained.count() >= newest.len()
    }
}

fn newest_gaps(gaps_s: &[f64]) -> Option<&[f64]> {
    let others = gaps_s.len().checked_sub(RUN_GAPS)?;
    gaps_s.get(others..).filter(|_| 2 * others >= RUN_GAPS)
}

/// Beats of the whole life of a series: those kept, and in proportion those that no longer are.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive share of a count"
)]
fn all_beats(beats: &Beats, kept: usize, source: Source, series: &Series) -> u64 {
    let seen = beats.times().len();
    if source == Source::Activity || kept == 0 {
        return seen as u64;
    }
    let share = real(seen) / real(kept);
    let ever = share * f64::from(u32::try_from(series.count).unwrap_or(u32::MAX));
    (ever as u64).max(seen as u64)
}

fn hours_of_life(series: &Series) -> u32 {
    let life = series.last_activity.saturating_since(series.first_seen);
    u32::try_from(life.as_secs() / 3600 + 1)
        .unwrap_or(u32::MAX)
        .clamp(24, 384)
}

/// The first window of a multiple of the period that is not over at `now`.
fn next_beat(cadence: &Cadence, last: Option<Timestamp>, now: Timestamp) -> Option<NextBeat> {
    let last = last?;
    if cadence.explained < 0.5 {
        return None;
    }
    let silent_s = now.saturating_since(last).as_secs_f64();
    let periods = (silent_s / (cadence.period_s * (1.0 + cadence.half_width))).floor() + 1.0;
    let spread = cadence.half_width * periods.sqrt();
    let at = |periods: f64| last.saturating_add_seconds(cadence.period_s * periods);
    Some(NextBeat {
        earliest: at((periods - spread).max(0.0)),
        latest: at(periods + spread),
    })
}
