//! The strongest period in connection starts, from their spectrum over time.

use std::fmt;
use std::sync::Arc;

use rustfft::num_complex::Complex64;
use rustfft::{Fft, FftPlanner};

use crate::Timestamp;
use crate::stats::{nanos_between, real, seconds};

/// Most bins on the time axis.
const MAX_BINS: u64 = 4096;
/// Fewest bins that have a spectrum worth the name.
const MIN_BINS: usize = 16;
/// Fewest times that a period must fit into the series.
const MIN_CYCLES: usize = 8;
/// The fundamental is the lowest peak of at least this share of the highest.
const PEAK_SHARE: f64 = 0.9;
/// What a peak can gain by standing above the second.
const MAX_RATIO: f64 = 3.0;
/// Transforms of 2^5 to 2^13 points: twice [`MIN_BINS`] to twice [`MAX_BINS`].
const SMALLEST_LOG2: u32 = 5;
const LARGEST_LOG2: u32 = 13;

/// Strongest peak in the spectrum of connection starts over time.
///
/// # Formula
/// All integers are exact. With starts at Δ₀ = 0 ≤ … ≤ Δₙ₋₁ = T nanoseconds after the first and the
/// median interval m in nanoseconds, rounded down:
/// 1. bin width w = max(1, ⌊m/4⌋, ⌈(T+1)/4095⌉) ns; L = ⌊(T + ⌊w/2⌋)/w⌋ + 1 bins (at most 4096). There is
///    no spectrum when T = 0 or L < 16.
/// 2. x(k) = (number of starts with ⌊(Δ + ⌊w/2⌋)/w⌋ = k) − n/L for k < L, followed by zeros up to
///    F, the smallest power of two ≥ 2L.
/// 3. P(j) = |FFT(x)(j)|², looked at for ⌈8F/L⌉ ≤ j ≤ F/2: periods that fit 8 times, down to two bins.
///    There is no spectrum when their sum is not above 1e-9 n.
/// 4. Peak: the lowest j with P(j) ≥ 0.9 max P, then upwards while P grows. Its period is F w / j.
/// 5. r = ⌈F/L⌉ is half the width of a line. Share: the sum of P within r of j or of 2j, over the sum of P.
/// 6. Ratio: P(j) over the largest P further than r from every multiple of j; at most 3, and 3 when there
///    is none or it is zero.
/// 7. Score = min(1, share · ratio).
///
/// Why so: with four bins to the median interval a regular series has its first and second harmonic in
/// the spectrum and nothing else, and half a bin of offset keeps small jitter within one bin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spectrum {
    /// Period of the peak, in seconds.
    pub period_s: f64,
    /// Share of the power in the peak and its second harmonic, 0..=1.
    pub share: f64,
    /// Power of the peak over that of the strongest other one that is no harmonic of it, at most 3.
    pub ratio: f64,
    /// Value in 0..=1.
    pub score: f64,
}

/// Power of the spectrum that [`Spectrum`] looks at, by period.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PowerSpectrum {
    /// Periods in seconds, falling.
    pub period_s: Vec<f64>,
    /// Power at each of them.
    pub power: Vec<f64>,
}

/// The spectrum of connection starts over time, as [`Spectrum`] defines it, for a picture: at most
/// `points` of them, of neighbours the strongest. Empty when there is none. Takes times in any order.
///
/// Plans a transform for each call: not for scoring.
#[must_use]
pub fn power_spectrum(times: &[Timestamp], points: usize) -> PowerSpectrum {
    let mut times = times.to_vec();
    times.sort_unstable();
    let mut intervals: Vec<u64> = times
        .iter()
        .zip(times.iter().skip(1))
        .map(|(a, b)| nanos_between(*a, *b))
        .collect();
    let middle = intervals.len() / 2;
    if intervals.is_empty() || points == 0 {
        return PowerSpectrum::default();
    }
    let (below, &mut upper, _) = intervals.select_nth_unstable(middle);
    // As the median of the score: the mean of both middle intervals of an even number.
    let median = if times.len() % 2 == 1 {
        let lower = below.iter().copied().max().unwrap_or(upper);
        lower.midpoint(upper)
    } else {
        upper
    };
    let Some((bins, width)) = axis(&times, median) else {
        return PowerSpectrum::default();
    };
    let length = (2 * bins).next_power_of_two();
    let mut buffers = Buffers::default();
    buffers.fill(&times, bins, width, length);
    buffers.transform(FftPlanner::new().plan_fft_forward(length).as_ref());
    let lowest = (MIN_CYCLES * length).div_ceil(bins);
    let band: Vec<(usize, f64)> = buffers.power.into_iter().enumerate().skip(lowest).collect();
    let strongest = band
        .chunks(band.len().div_ceil(points).max(1))
        .filter_map(|chunk| chunk.iter().max_by(|a, b| a.1.total_cmp(&b.1)));
    strongest
        .map(|(at, power)| (seconds(width) * real(length) / real(*at), *power))
        .unzip::<f64, f64, Vec<_>, Vec<_>>()
        .into()
}

impl From<(Vec<f64>, Vec<f64>)> for PowerSpectrum {
    fn from((period_s, power): (Vec<f64>, Vec<f64>)) -> Self {
        Self { period_s, power }
    }
}

/// Transforms planned once for every length in use.
#[derive(Clone)]
pub(crate) struct SpectrumAnalyser {
    plans: Vec<Arc<dyn Fft<f64>>>,
}

impl fmt::Debug for SpectrumAnalyser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SpectrumAnalyser")
            .finish_non_exhaustive()
    }
}

/// Buffers for one transform after another.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    signal: Vec<Complex64>,
    scratch: Vec<Complex64>,
    power: Vec<f64>,
}

/// The part of the spectrum that is looked at.
struct Band<'a> {
    /// Power by frequency, from zero to half the length of the transform.
    power: &'a [f64],
    lowest: usize,
    /// Half the width of a line.
    line: usize,
}

impl SpectrumAnalyser {
    pub(crate) fn new() -> Self {
        let mut planner = FftPlanner::new();
        let plans = (SMALLEST_LOG2..=LARGEST_LOG2)
            .map(|log2| planner.plan_fft_forward(1_usize << log2))
            .collect();
        Self { plans }
    }

    /// The strongest peak of times in ascending order.
    pub(crate) fn strongest_peak(
        &self,
        times: &[Timestamp],
        median_nanos: u64,
        buffers: &mut Buffers,
    ) -> Option<Spectrum> {
        let (bins, width) = axis(times, median_nanos)?;
        let length = (2 * bins).next_power_of_two();
        let log2 = length.trailing_zeros().checked_sub(SMALLEST_LOG2)?;
        let plan = self.plans.get(usize::try_from(log2).ok()?)?;
        buffers.fill(times, bins, width, length);
        buffers.transform(plan.as_ref());
        let band = Band {
            power: &buffers.power,
            lowest: (MIN_CYCLES * length).div_ceil(bins),
            line: length.div_ceil(bins),
        };
        let total: f64 = band.all().map(|(_, power)| power).sum();
        if total <= 1e-9 * real(times.len()) {
            return None;
        }
        let peak = band.peak()?;
        let share = band.share(peak) / total;
        let ratio = band.ratio(peak);
        Some(Spectrum {
            period_s: seconds(width) * real(length) / real(peak),
            share,
            ratio,
            score: (share * ratio).min(1.0),
        })
    }
}

/// Number of bins and their width in nanoseconds; `None` when the times are too few or too close.
fn axis(times: &[Timestamp], median_nanos: u64) -> Option<(usize, u64)> {
    let span = nanos_between(*times.first()?, *times.last()?);
    if span == 0 {
        return None;
    }
    // (span + 1) rounded up, without an overflow at the largest span.
    let smallest_width = span / (MAX_BINS - 1) + 1;
    let width = (median_nanos / 4).max(smallest_width);
    let bins = usize::try_from(bin(span, width)).ok()? + 1;
    (bins >= MIN_BINS).then_some((bins, width))
}

/// Bin of an instant this long after the first.
fn bin(nanos: u64, width: u64) -> u64 {
    let centred = u128::from(nanos) + u128::from(width / 2);
    u64::try_from(centred / u128::from(width.max(1))).unwrap_or(u64::MAX)
}

impl Buffers {
    fn fill(&mut self, times: &[Timestamp], bins: usize, width: u64, length: usize) {
        let Some(first) = times.first() else { return };
        self.signal.clear();
        self.signal
            .resize(bins, Complex64::new(-real(times.len()) / real(bins), 0.0));
        for time in times {
            let index = usize::try_from(bin(nanos_between(*first, *time), width));
            if let Some(value) = index.ok().and_then(|index| self.signal.get_mut(index)) {
                value.re += 1.0;
            }
        }
        self.signal.resize(length, Complex64::new(0.0, 0.0));
    }

    fn transform(&mut self, plan: &dyn Fft<f64>) {
        self.scratch
            .resize(plan.get_inplace_scratch_len(), Complex64::new(0.0, 0.0));
        plan.process_with_scratch(&mut self.signal, &mut self.scratch);
        let half = self.signal.len() / 2;
        self.power.clear();
        self.power
            .extend(self.signal.iter().take(half + 1).map(Complex64::norm_sqr));
    }
}

impl Band<'_> {
    /// Frequency and power of all that is looked at.
    fn all(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.power.iter().copied().enumerate().skip(self.lowest)
    }

    fn peak(&self) -> Option<usize> {
        let highest = self.all().map(|(_, power)| power).fold(0.0, f64::max);
        let (mut peak, mut power) = self
            .all()
            .find(|(_, power)| *power >= PEAK_SHARE * highest)?;
        while let Some(next) = self.power.get(peak + 1).copied()
            && next > power
        {
            (peak, power) = (peak + 1, next);
        }
        Some(peak)
    }

    fn share(&self, peak: usize) -> f64 {
        let in_line =
            |at: usize| at.abs_diff(peak) <= self.line || at.abs_diff(2 * peak) <= self.line;
        self.all()
            .filter(|(at, _)| in_line(*at))
            .map(|(_, power)| power)
            .sum()
    }

    fn ratio(&self, peak: usize) -> f64 {
        let harmonic = |at: usize| {
            let below = (at / peak).max(1) * peak;
            at.abs_diff(below) <= self.line || (below + peak).abs_diff(at) <= self.line
        };
        let second = self
            .all()
            .filter(|(at, _)| !harmonic(*at))
            .map(|(_, power)| power)
            .fold(0.0, f64::max);
        let power = self.power.get(peak).copied().unwrap_or(0.0);
        if second > 0.0 {
            (power / second).min(MAX_RATIO)
        } else {
            MAX_RATIO
        }
    }
}
