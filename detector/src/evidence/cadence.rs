//! How much better "beats with a period, misses and strays" explains the gaps between beats than their own
//! smoothed density does.
//!
//! # Formula
//! Let `d_1..d_n` be gaps in seconds. With base period `c` and relative half-width `w` a gap is *explained*
//! when it lies within `w c sqrt(k)` of a multiple `k c`, `k <= 64`, `w sqrt(k) <= 1/2`, so that
//! neighbouring multiples never overlap; half-widths above 1/2 explain `k = 1` alone. With `C` explained
//! gaps, strays have the rate `e = (n - C + 1/2) / (n + 1)` and are log-uniform over `R` e-folds. The
//! log-likelihood of the beacon, as a density of `ln d`, is
//!
//! ```text
//! L(c, w) = C ln(1 - e) + (n - C) ln(e / R)
//!         + sum over explained gaps of [ln d - (ln k) / 2] - C ln(2 c w)
//!         + max( C ln(1 - p) + (sum k - C) ln p ,  - sum ln k(k + 1) )
//! ```
//!
//! where misses are geometric with rate `p = 1 - C / sum k` (held within 0.02..=0.5) or heavy-tailed,
//! whichever is more likely. `c` runs over some quantiles, mid-ranges and middles of the densest windows
//! of the gaps; `w` over a fixed grid. The reference is the Gaussian kernel density of
//! `u = ln(d - b + 0.1)`, in bins of 0.1, at the gaps themselves, `b` the silence that parts two beats, with a bandwidth of
//! 1.2 e-folds: gaps cannot be shorter than `b`, and what piles up there is no cadence.
//!
//! The period that is told is the weighted mean of what the best fit explains, `sum d / sum k`, for gaps
//! whose variance grows with `k`; its standard error is
//! `sqrt( sum[(d - k c)^2 / k] / (C - 1) / sum k )`.
//!
//! The statistic is `max L` minus the reference: sharp structure gains, smooth structure of any shape does
//! not. It is no p-value; [`super::calibration`] makes one of it.
//!
//! # Sources
//! Profile likelihood against a kernel density; the contamination model is Huber's (1964,
//! doi:10.1214/aoms/1177703732).
//!
//! # Limits
//! Fewer than [`FEWEST_GAPS`] gaps give nothing; base periods below half a second are not tried.

use super::beats::PARTING_SILENCE_S;
use crate::stats::real;

/// Fewest gaps that are measured.
pub const FEWEST_GAPS: usize = 3;

/// Relative half-widths up to 1/2: multiples of the period stay apart.
const NARROW: [f64; 13] = [
    0.003, 0.006, 0.012, 0.025, 0.05, 0.08, 0.12, 0.17, 0.22, 0.28, 0.35, 0.42, 0.5,
];
/// Wider half-widths: the period itself and no multiple.
const WIDE: [f64; 2] = [0.65, 0.8];
/// No half-width is narrower than this, in seconds: clocks and networks are no better.
const NARROWEST_S: f64 = 0.3;
/// Most periods that one gap may span.
const MOST_PERIODS: usize = 64;
/// e-folds over which strays spread: one second to two days.
const STRAY_LOG_RANGE: f64 = 12.059_9;
/// Bandwidth of the reference density and width of its bins, in e-folds.
const BANDWIDTH: f64 = 1.2;
const BIN: f64 = 0.1;
/// Added to a gap beyond the parting silence before its logarithm is taken, in seconds.
const OFFSET_S: f64 = 0.1;
/// Shortest base period that is tried, in seconds.
const SHORTEST_PERIOD_S: f64 = 0.5;
/// Candidates nearer to each other than this are one.
const SAME_CANDIDATE: f64 = 0.01;
/// Fewest explained gaps.
const FEWEST_EXPLAINED: f64 = 2.0;

/// What the gaps of a series say of its cadence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cadence {
    /// Number of gaps that were measured.
    pub gaps: usize,
    /// Median gap in seconds.
    pub median_gap_s: f64,
    /// Log-likelihood ratio against the smoothed density, in nats: larger is sharper.
    pub statistic: f64,
    /// Base period in seconds.
    pub period_s: f64,
    /// Standard error of the period in seconds.
    pub period_error_s: f64,
    /// Half-width of the gaps around the period, relative to it.
    pub half_width: f64,
    /// Share of the gaps that the period explains, 0..=1.
    pub explained: f64,
    /// Share of beats that were missed among those that the explained gaps span, 0..1.
    pub miss_rate: f64,
}

/// Measures one series after another; keeps its buffers.
#[derive(Debug, Default)]
pub struct CadenceMeter {
    sorted_s: Vec<f64>,
    logs: Vec<f64>,
    candidates_s: Vec<f64>,
    bins: Vec<(i32, f64)>,
}

impl CadenceMeter {
    /// Measures gaps in seconds, in any order; `None` when there are fewer than [`FEWEST_GAPS`], when one
    /// is not finite and positive, or when no candidate explains two of them.
    ///
    /// # Example
    /// ```
    /// use beaconwatch_detector::evidence::CadenceMeter;
    ///
    /// let every_minute_one_missed = [60.1, 59.8, 120.2, 60.0, 60.3, 59.9];
    /// let cadence = CadenceMeter::default().measure(&every_minute_one_missed).unwrap();
    /// assert!((cadence.period_s - 60.0).abs() < 1.0);
    /// assert!(cadence.statistic > 15.0 && cadence.explained > 0.99);
    /// ```
    pub fn measure(&mut self, gaps_s: &[f64]) -> Option<Cadence> {
        if gaps_s.len() < FEWEST_GAPS || !gaps_s.iter().all(|gap| gap.is_finite() && *gap > 0.0) {
            return None;
        }
        self.sorted_s.clear();
        self.sorted_s.extend_from_slice(gaps_s);
        self.sorted_s.sort_unstable_by(f64::total_cmp);
        self.logs.clear();
        self.logs.extend(self.sorted_s.iter().map(|gap| gap.ln()));
        self.find_candidates();
        let best = self
            .candidates_s
            .iter()
            .filter_map(|period_s| best_width(&self.sorted_s, &self.logs, *period_s))
            .max_by(|a, b| a.likelihood.total_cmp(&b.likelihood))?;
        let (period_s, period_error_s) = best.mean_period(&self.sorted_s);
        Some(Cadence {
            gaps: gaps_s.len(),
            median_gap_s: at(&self.sorted_s, gaps_s.len() / 2),
            statistic: best.likelihood - self.reference(),
            period_s,
            period_error_s,
            half_width: best.half_width,
            explained: best.explained / real(gaps_s.len()),
            miss_rate: 1.0 - best.explained / best.periods,
        })
    }

    /// Base periods worth trying, from the sorted gaps.
    fn find_candidates(&mut self) {
        let sorted = &self.sorted_s;
        let last = sorted.len() - 1;
        let rank = |twentieths: usize| at(sorted, (twentieths * sorted.len() / 20).min(last));
        let mut raw = [0.0; 10];
        for (place, twentieths) in raw.iter_mut().zip([2, 4, 7, 10, 13]) {
            *place = rank(twentieths);
        }
        raw[5] = f64::midpoint(rank(2), rank(18));
        raw[6] = f64::midpoint(at(sorted, 0), at(sorted, last));
        for (place, tenths) in raw.iter_mut().skip(7).zip([3, 5, 8]) {
            *place = middle_of_densest(sorted, (tenths * sorted.len()).div_ceil(10).max(2));
        }
        self.candidates_s.clear();
        for candidate in raw {
            let known = |other: &f64| (candidate - other).abs() < SAME_CANDIDATE * other;
            if candidate >= SHORTEST_PERIOD_S && !self.candidates_s.iter().any(known) {
                self.candidates_s.push(candidate);
            }
        }
    }

    /// Log-likelihood of the gaps under their own smoothed density, as a density of `ln d`.
    fn reference(&mut self) -> f64 {
        let mut sum = 0.0;
        self.bins.clear();
        for gap in &self.sorted_s {
            let beyond = (gap - PARTING_SILENCE_S).max(0.0) + OFFSET_S;
            sum += (gap / beyond).ln();
            let bin = bin_of(beyond.ln());
            match self.bins.last_mut() {
                Some((same, count)) if *same == bin => *count += 1.0,
                _ => self.bins.push((bin, 1.0)),
            }
        }
        let norm = real(self.sorted_s.len()) * BANDWIDTH * std::f64::consts::TAU.sqrt();
        for (bin, count) in &self.bins {
            let density: f64 = self
                .bins
                .iter()
                .map(|(other, count)| {
                    let z = f64::from(bin - other) * BIN / BANDWIDTH;
                    count * (-0.5 * z * z).exp()
                })
                .sum();
            sum += count * (density / norm).ln();
        }
        sum
    }
}

/// The best half-width of one base period.
#[derive(Clone, Copy)]
struct Fit {
    likelihood: f64,
    period_s: f64,
    half_width: f64,
    /// Most periods that a gap may span at this half-width.
    most_periods: f64,
    /// Gaps explained, and periods that they span.
    explained: f64,
    periods: f64,
}

impl Fit {
    /// Mean of the gaps that it explains, in periods, and its standard error.
    fn mean_period(&self, sorted_s: &[f64]) -> (f64, f64) {
        let explained = || {
            sorted_s.iter().filter_map(|gap| {
                let spanned = (gap / self.period_s).round().clamp(1.0, self.most_periods);
                let away = (gap - spanned * self.period_s).abs() / (self.period_s * spanned.sqrt());
                (away <= self.half_width).then_some((*gap, spanned))
            })
        };
        let gaps: f64 = explained().map(|(gap, _)| gap).sum();
        let mean = gaps / self.periods;
        let squares = explained().map(|(gap, spanned)| (gap - spanned * mean).powi(2) / spanned);
        let variance = squares.sum::<f64>() / (self.explained - 1.0);
        (mean, (variance / self.periods).sqrt())
    }
}

/// Sums over the explained gaps, by half-width.
#[derive(Clone, Copy, Default)]
struct Sums {
    count: f64,
    /// Of `ln d - (ln k) / 2`.
    logs: f64,
    /// Of `k`.
    periods: f64,
    /// Of `ln k(k + 1)`.
    heavy: f64,
}

impl Sums {
    fn add(&mut self, log: f64, periods: f64, sign: f64) {
        self.count += sign;
        self.logs += sign * (log - 0.5 * periods.ln());
        self.periods += sign * periods;
        self.heavy += sign * (periods * (periods + 1.0)).ln();
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.logs += other.logs;
        self.periods += other.periods;
        self.heavy += other.heavy;
    }

    /// The formula of the module.
    fn likelihood(&self, gaps: usize, period_s: f64, half_width: f64) -> f64 {
        let (gaps, explained) = (real(gaps), self.count);
        let stray = (gaps - explained + 0.5) / (gaps + 1.0);
        let missed = (1.0 - explained / self.periods).clamp(0.02, 0.5);
        let geometric = explained * (1.0 - missed).ln() + (self.periods - explained) * missed.ln();
        explained * (1.0 - stray).ln()
            + (gaps - explained) * (stray / STRAY_LOG_RANGE).ln()
            + self.logs
            - explained * (2.0 * period_s * half_width).ln()
            + geometric.max(-self.heavy)
    }
}

fn best_width(sorted_s: &[f64], logs: &[f64], period_s: f64) -> Option<Fit> {
    let floor = NARROWEST_S / period_s;
    // Differences: a gap is explained from one half-width up to, not including, another.
    let mut narrow = [Sums::default(); NARROW.len() + 1];
    let mut wide = [Sums::default(); WIDE.len()];
    for (gap, log) in sorted_s.iter().zip(logs) {
        let away = (gap - period_s).abs() / period_s;
        for (sums, _) in wide
            .iter_mut()
            .zip(WIDE)
            .filter(|(_, width)| away <= *width)
        {
            sums.add(*log, 1.0, 1.0);
        }
        if let Some((from, until, periods)) = explaining_widths(*gap, period_s, floor) {
            narrow[from].add(*log, periods, 1.0);
            narrow[until].add(*log, periods, -1.0);
        }
    }
    let mut running = Sums::default();
    let narrow = narrow.iter().zip(NARROW).map(|(sums, width)| {
        running.merge(sums);
        let most_periods = (0.5 / width).powi(2).floor().min(real(MOST_PERIODS));
        (running, width.max(floor), most_periods)
    });
    let wide = wide.into_iter().zip(WIDE);
    let fits = narrow.chain(wide.map(|(sums, width)| (sums, width, 1.0)));
    fits.filter(|(sums, ..)| sums.count > FEWEST_EXPLAINED - 0.5)
        .map(|(sums, half_width, most_periods)| Fit {
            likelihood: sums.likelihood(sorted_s.len(), period_s, half_width),
            period_s,
            half_width,
            most_periods,
            explained: sums.count,
            periods: sums.periods,
        })
        .max_by(|a, b| a.likelihood.total_cmp(&b.likelihood))
}

/// Indices of the first half-width that explains a gap and of the first that no longer may, and the
/// periods that the gap spans.
fn explaining_widths(gap_s: f64, period_s: f64, floor: f64) -> Option<(usize, usize, f64)> {
    let spanned = (gap_s / period_s).round().max(1.0);
    if spanned > real(MOST_PERIODS) {
        return None;
    }
    let spread = spanned.sqrt();
    let away = (gap_s - spanned * period_s).abs() / (period_s * spread);
    let from = NARROW.iter().position(|width| width.max(floor) >= away)?;
    let until = NARROW.partition_point(|width| *width * spread <= 0.5);
    (from < until).then_some((from, until, spanned))
}

/// Whether a gap lies on a cadence of this period and half-width, as measured here.
pub(crate) fn is_explained(gap_s: f64, period_s: f64, half_width: f64) -> bool {
    let spanned = (gap_s / period_s).round().max(1.0);
    let spread = half_width.max(NARROWEST_S / period_s) * spanned.sqrt();
    let apart = spanned < 1.5 || spread <= 0.5;
    spanned <= real(MOST_PERIODS)
        && apart
        && (gap_s - spanned * period_s).abs() <= spread * period_s
}

/// Middle of the window of `count` neighbours with the smallest ratio of its ends.
fn middle_of_densest(sorted: &[f64], count: usize) -> f64 {
    sorted
        .windows(count.min(sorted.len()))
        .map(|window| (at(window, 0), at(window, window.len() - 1)))
        .min_by(|(a, b), (c, d)| (b / a).total_cmp(&(d / c)))
        .map_or(0.0, |(first, last)| f64::midpoint(first, last))
}

/// A value of a slice whose index is known to be good; NaN shows a mistake instead of a panic.
fn at(values: &[f64], index: usize) -> f64 {
    values.get(index).copied().unwrap_or(f64::NAN)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "logarithms of positive finite numbers lie within -746..=710"
)]
fn bin_of(log: f64) -> i32 {
    (log / BIN).floor() as i32
}
