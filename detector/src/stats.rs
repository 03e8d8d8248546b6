//! Statistics of the intervals between connection starts.
//!
//! Intervals are exact differences of nanoseconds before they become seconds, so that a shift of all
//! times changes nothing. Every result is finite for any times.

use crate::{IntervalStatistics, Timestamp};

/// Nanoseconds from `earlier` to `later`; zero when they are out of order.
pub(crate) fn nanos_between(earlier: Timestamp, later: Timestamp) -> u64 {
    let nanos = i128::from(later.unix_nanos()) - i128::from(earlier.unix_nanos());
    u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)
}

/// Nanoseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "relative error of 1e-16")]
pub(crate) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// The probability of log-odds: `1 / (1 + exp(-x))`.
pub(crate) fn logistic(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// A count as a number to reckon with.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(crate) fn real(count: usize) -> f64 {
    count as f64
}

/// Intervals of a series of times.
#[derive(Debug, Default)]
pub(crate) struct Intervals {
    nanos: Vec<u64>,
    deviations_s: Vec<f64>,
}

impl Intervals {
    /// Takes the intervals of times in ascending order and sorts them.
    pub(crate) fn load(&mut self, times: &[Timestamp]) {
        self.nanos.clear();
        self.nanos.extend(
            times
                .iter()
                .zip(times.iter().skip(1))
                .map(|(a, b)| nanos_between(*a, *b)),
        );
        self.nanos.sort_unstable();
    }

    /// Median in whole nanoseconds, rounded down; zero when there are no intervals.
    pub(crate) fn median_nanos(&self) -> u64 {
        let (low, high) = self.middle();
        u64::try_from(u128::midpoint(u128::from(low), u128::from(high))).unwrap_or(u64::MAX)
    }

    /// Share of the intervals within `tolerance_s` of `center_s`; zero when there are none.
    pub(crate) fn share_within(&self, center_s: f64, tolerance_s: f64) -> f64 {
        let near = self
            .nanos
            .iter()
            .filter(|d| (seconds(**d) - center_s).abs() <= tolerance_s)
            .count();
        real(near) / real(self.nanos.len().max(1))
    }

    /// The statistics; `None` when there are no intervals.
    pub(crate) fn statistics(&mut self) -> Option<IntervalStatistics> {
        let (first, last) = (*self.nanos.first()?, *self.nanos.last()?);
        let count = real(self.nanos.len());
        let mean_s = self.nanos.iter().map(|d| seconds(*d)).sum::<f64>() / count;
        let variance = self
            .nanos
            .iter()
            .map(|d| (seconds(*d) - mean_s).powi(2))
            .sum::<f64>()
            / count;
        let standard_deviation_s = variance.sqrt();
        let (low, high) = self.middle();
        let median_s = f64::midpoint(seconds(low), seconds(high));
        let (minimum_s, maximum_s) = (seconds(first), seconds(last));
        Some(IntervalStatistics {
            count: u64::try_from(self.nanos.len()).unwrap_or(u64::MAX),
            mean_s,
            standard_deviation_s,
            coefficient_of_variation: if mean_s > 0.0 {
                standard_deviation_s / mean_s
            } else {
                0.0
            },
            median_s,
            median_absolute_deviation_s: self.median_absolute_deviation(median_s),
            minimum_s,
            maximum_s,
            maximum_deviation_s: (maximum_s - median_s).max(median_s - minimum_s),
        })
    }

    /// The two middle intervals, the same one twice when their number is odd.
    fn middle(&self) -> (u64, u64) {
        let length = self.nanos.len();
        let at = |index: usize| self.nanos.get(index).copied().unwrap_or(0);
        (at(length.saturating_sub(1) / 2), at(length / 2))
    }

    fn median_absolute_deviation(&mut self, median_s: f64) -> f64 {
        self.deviations_s.clear();
        self.deviations_s
            .extend(self.nanos.iter().map(|d| (seconds(*d) - median_s).abs()));
        self.deviations_s.sort_unstable_by(f64::total_cmp);
        let length = self.deviations_s.len();
        let at = |index: usize| self.deviations_s.get(index).copied().unwrap_or(0.0);
        f64::midpoint(at(length.saturating_sub(1) / 2), at(length / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(seconds: &[i64]) -> Option<IntervalStatistics> {
        let times: Vec<_> = seconds
            .iter()
            .map(|s| Timestamp::from_unix_nanos(s * 1_000_000_000))
            .collect();
        let mut intervals = Intervals::default();
        intervals.load(&times);
        intervals.statistics()
    }

    #[test]
    fn one_time_has_no_intervals() {
        assert_eq!(statistics(&[]), None);
        assert_eq!(statistics(&[5]), None);
    }

    #[test]
    fn statistics_of_a_small_case_are_those_worked_out_by_hand() {
        // Intervals 10, 20, 30, 60: mean 30, variance (400 + 100 + 0 + 900) / 4 = 350.
        let found = statistics(&[0, 10, 30, 60, 120]).unwrap();
        assert_eq!(found.count, 4);
        assert!((found.mean_s - 30.0).abs() < 1e-12);
        assert!((found.standard_deviation_s - 350.0_f64.sqrt()).abs() < 1e-12);
        assert!((found.median_s - 25.0).abs() < 1e-12);
        // Deviations from 25: 15, 5, 5, 35.
        assert!((found.median_absolute_deviation_s - 10.0).abs() < 1e-12);
        assert!((found.maximum_deviation_s - 35.0).abs() < 1e-12);
    }

    #[test]
    fn equal_stamps_have_no_variation_and_stay_finite() {
        let found = statistics(&[7, 7, 7]).unwrap();
        assert!(found.mean_s.abs() < f64::EPSILON);
        assert!(found.coefficient_of_variation.abs() < f64::EPSILON);
    }

    #[test]
    fn the_whole_range_of_times_stays_finite() {
        let times = [
            Timestamp::from_unix_nanos(i64::MIN),
            Timestamp::from_unix_nanos(i64::MAX),
        ];
        let mut intervals = Intervals::default();
        intervals.load(&times);
        let found = intervals.statistics().unwrap();
        assert!((found.mean_s - 18_446_744_073.709_55).abs() < 1e-3);
        assert_eq!(intervals.median_nanos(), u64::MAX);
    }
}
