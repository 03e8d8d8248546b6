//! From a statistic to a p-value that holds for irregular traffic of every simulated kind.
//!
//! # Method
//! `examples/null_table.rs` simulates fourteen kinds of irregular processes (renewal, modulated, clustered,
//! daily; see `tests/irregular/`) over scales from seconds to days, for each number of gaps, and by class of
//! the median gap, because hours of work put a daily rhythm into slow irregular traffic and the parting
//! silence a lower end into fast. The table holds, of all kinds, the largest quantile: the p-value is an upper
//! bound for each kind and not only for their mixture. Between rows it is interpolated in the logarithms of the
//! number of gaps and of the median gap; beyond 10^-4 the tail is taken as exponential, and nothing
//! below [`SMALLEST_P`] is claimed.
//!
//! Two tests of one series share the chance of a false alarm by weight (Bonferroni), [`CADENCE_WEIGHT`] and
//! the rest.
//!
//! # Repeated looks
//! A series is looked at after each beat. `examples/calibration.rs` measures how often the smallest of all
//! p-values up to a number of beats is at most 0.01, relative to 0.01. Of fourteen kinds the largest ratio was
//! 4, 6, 7, 8, 9, 13, 18, 24 and 35 at 8, 16, ... 2048 beats. [`looks_factor`] lies above all of them, so that
//! the p-value times the factor holds at any of these looks: a bound proven by simulation, not a
//! martingale. It grows in proportion once the ring of gaps is full: new gaps are new chances.
//!
//! A view takes the same factor for the starts of all its members. Measured on 1,680 sources of these kinds whose 2 to 40
//! destinations are laid over each other (`superposition 120`), the mean ratio was 1.5, 2.0, 2.4, 2.7, 2.9, 3.0, 3.3, 5.2 and 11 at 8, 16,
//! ... 2048 beats and the largest of a kind 3.4, 4.2, 4.3, 4.9, 6.5, 7.7, 6.9, 12 and 27 (standard errors of these up to 4 at 256 beats; beyond,
//! few sources of a kind are so long, and of the mean about 1 at 512 and 2 at 2048): below the factor of 5, 6.6, 8.2, 9.8, 11, 15, 21, 30 and 48.
//! With what a view pays for being chosen none of 3,640 such sources had one with p at most 0.01 at any look (`views-looks 260`;
//! so the ratio is below 0.1, or 1.2 of one kind, at 95 %). These looks come whenever the starts grew by 2 %, which in the table
//! of `superposition` loses nothing up to 256 beats, a tenth at 512, a quarter at 1024 and a third at 2048.

use super::beats::MOST_GAPS;
use super::cadence::Cadence;
use super::null_table::{CADENCE, CLASSES_S, CLOCK, GAPS, LEVELS};
use crate::stats::real;

/// No smaller p-value is claimed: the table has no support there.
pub const SMALLEST_P: f64 = 1e-12;
/// Share of the chance of a false alarm that the cadence gets; the clock gets the rest.
const CADENCE_WEIGHT: f64 = 0.9;

/// p-value of the better of the two tests, each at its share. `clock` is Rayleigh's statistic of the same
/// beats.
///
/// # Example
/// ```
/// use beaconwatch_detector::evidence::{CadenceMeter, p_value};
///
/// let cadence = CadenceMeter::default().measure(&[60.0; 12]).unwrap();
/// assert!(p_value(&cadence, None) < 1e-6);
/// let irregular = [3.0, 250.0, 41.0, 7.0, 900.0, 15.0, 88.0, 3.5, 460.0, 31.0, 5.0, 170.0];
/// let cadence = CadenceMeter::default().measure(&irregular).unwrap();
/// assert!(p_value(&cadence, None) > 0.1);
/// ```
#[must_use]
pub fn p_value(cadence: &Cadence, clock: Option<f64>) -> f64 {
    let (row, share) = row_of(cadence.gaps);
    let class = class_of(cadence.median_gap_s);
    let quantile = |level: usize| {
        let at = |row: usize, class: usize| {
            let levels = CADENCE.get(row).and_then(|classes| classes.get(class));
            number(levels.and_then(|levels| levels.get(level)))
        };
        let in_row = |row: usize| mix(at(row, class.0), at(row, class.0 + 1), class.1);
        mix(in_row(row), in_row(row + 1), share)
    };
    let cadence = 10_f64.powf(-decades(cadence.statistic, quantile)) / CADENCE_WEIGHT;
    let clock = clock.map_or(1.0, |statistic| {
        let at = |row: usize, level: usize| number(CLOCK.get(row).and_then(|row| row.get(level)));
        let quantile = |level: usize| mix(at(row, level), at(row + 1, level), share);
        10_f64.powf(-decades(statistic, quantile)) / (1.0 - CADENCE_WEIGHT)
    });
    cadence.min(clock).clamp(SMALLEST_P, 1.0)
}

/// By how much a p-value of one look is multiplied to hold at every look of a series with so many beats.
#[must_use]
pub fn looks_factor(beats: u64) -> f64 {
    let beats = f64::from(u32::try_from(beats).unwrap_or(u32::MAX));
    let doublings = (beats / 8.0).max(1.0).log2();
    let beyond_the_ring = (beats - real(MOST_GAPS)).max(0.0);
    5.0 + 1.6 * doublings + beyond_the_ring / 64.0
}

/// The same for the newest sixteen gaps, which are new ones much sooner. Measured as above on 2,000 series of each of
/// the fourteen kinds, the largest ratio was 4.1, 6.6, 13, 25, 45, 68, 89 and 98 at 16, 32, ... 2048 beats, with a standard
/// error of at most 1.2. It cannot exceed 100, so that at many beats the rate of false alarms is told by `-ln(1 - P)`, for which it
/// is 4.1, 6.8, 14, 29, 60, 115, 220 and 407 hundredths. The factor is 8.6, 14, 25, 46, 89, 174, 345 and 686: 1.5 to 2.1 times as much.
/// The run is looked at from 24 gaps on only, the simulation from 3 and at the clock as well.
pub(super) fn looks_factor_of_run(beats: u64) -> f64 {
    let beats = f64::from(u32::try_from(beats).unwrap_or(u32::MAX));
    looks_factor(16) + 2.0 + (beats - 16.0).max(0.0) / 3.0
}

/// -log10 of the p-value of a statistic, by the quantiles of one table row.
fn decades(statistic: f64, quantile: impl Fn(usize) -> f64) -> f64 {
    let last = LEVELS.len() - 1;
    let above = (0..=last).find(|level| statistic < quantile(*level));
    let level = |index: usize| LEVELS.get(index).copied().unwrap_or(f64::NAN);
    match above {
        Some(0) => level(0) * (statistic - quantile(0)).exp(),
        Some(above) => {
            let (low, high) = (quantile(above - 1), quantile(above));
            let share = (statistic - low) / (high - low).max(1e-9);
            mix(level(above - 1), level(above), share)
        }
        None => {
            let at_2 = LEVELS.iter().position(|level| *level >= 2.0).unwrap_or(0);
            let rise = (quantile(last) - quantile(at_2)).max(0.3);
            let slope = (level(last) - level(at_2)) / rise;
            level(last) + slope * (statistic - quantile(last))
        }
    }
}

/// Row below a number of gaps and the way to the next one, in the logarithm.
fn row_of(gaps: usize) -> (usize, f64) {
    let log = real(gaps).ln();
    let row = GAPS
        .partition_point(|row| usize::from(*row) <= gaps)
        .clamp(1, GAPS.len() - 1)
        - 1;
    let at = |row: usize| f64::from(GAPS.get(row).copied().unwrap_or(3)).ln();
    (
        row,
        ((log - at(row)) / (at(row + 1) - at(row))).clamp(0.0, 1.0),
    )
}

/// Class whose middle is below a median gap, and the way to the next one, in the logarithm.
fn class_of(median_gap_s: f64) -> (usize, f64) {
    let middle = |class: usize| {
        let low = CLASSES_S.get(class).copied().unwrap_or(f64::NAN);
        let high = CLASSES_S.get(class + 1).copied().unwrap_or(2.7 * low);
        f64::midpoint(low.ln(), high.ln())
    };
    let log = median_gap_s.ln();
    let class = (1..CLASSES_S.len())
        .take_while(|class| middle(*class) <= log)
        .last()
        .unwrap_or(0)
        .min(CLASSES_S.len() - 2);
    let way = (log - middle(class)) / (middle(class + 1) - middle(class));
    (class, way.clamp(0.0, 1.0))
}

fn mix(low: f64, high: f64, share: f64) -> f64 {
    low + share * (high - low)
}

fn number(value: Option<&f32>) -> f64 {
    value.copied().map_or(f64::NAN, f64::from)
}
