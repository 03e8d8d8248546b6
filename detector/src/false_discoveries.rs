//! Which findings to report so that a bounded share of them is false.
//!
//! # Two guarantees
//! - `false_alerts_per_day` bounds a *number*: so many alerts a day are expected among series that do not beat, whatever
//!   else is found (per-family error; Bonferroni). It is decided series by series, so it holds for a stream.
//! - [`detect_by_rate`] bounds a *share*: of what one look at all series reports, at most `rate` do not beat, on average over
//!   such looks (false discovery rate). It is decided for all series together and holds for that look only; the more
//!   beacons there are, the less each has to show.
//!
//! Both hold under any dependence of the series, as far as the p-values do, and neither says that a beacon is malicious: a
//! benign poller that no catalogue knows is a true finding of both.
//!
//! # Formula
//! Of `m` tests with e-values `e`, e-BH (Wang and Ramdas 2022, doi:10.1111/rssb.12489) reports the `k` largest, `k` the
//! greatest number with `e >= m / (rate k)` for each of them. The share of false ones among them is the sum over
//! these of `1 / k`, and so at most the sum of `rate e / m`, whose mean is at most `rate`, because that of each `e` is at
//! most 1. This counts what is reported and nothing else, so that series may be left out for any reason (listed as
//! benign, a low score, part of a view) before `k` is sought, as long as `m` counts them.
//!
//! ```text
//! e(p) = m / (rate c) where c = max(1, ceil(p m H(m) / rate)) is at most m, else 0;  H(m) = 1 + 1/2 + ... + 1/m
//! ```
//! With these e-values, whose mean is 1 for uniform p, e-BH is the procedure of Benjamini and Yekutieli (2001,
//! doi:10.1214/aos/1013699998): `p <= rate k / (m H(m))`. [`crate::evidence::e_value`], which needs to know neither `m` nor
//! `rate`, asks for a p-value that is smaller by a factor of about `ln(1/p)^2 / ln(m)`.

use crate::views::VIEW_SHARE;
use crate::{Assessment, ViewKind};

/// Euler's constant, the limit of `H(m) - ln(m)`.
const EULER: f64 = 0.577_215_664_901_532_9;
/// From here on the asymptotic series of `H` is exact to 1e-14.
const ASYMPTOTIC: u64 = 100;

/// How many of the largest e-values are discoveries among so many tests, of which those may be fewer. 0 when `rate` is
/// not between 0 and 1. NaN is no evidence.
///
/// # Example
/// ```
/// use beaconwatch_detector::discoveries;
///
/// // 4 / (0.1 * 2) = 20: two are at least that, and no three are at least 4 / (0.1 * 3).
/// assert_eq!(discoveries(&[0.5, 25.0, 3.0, 20.0], 4, 0.1), 2);
/// assert_eq!(discoveries(&[0.5, 25.0, 3.0, 2.0], 4, 0.1), 0);
/// ```
#[must_use]
pub fn discoveries(e_values: &[f64], tests: u64, rate: f64) -> usize {
    if !is_share(rate) {
        return 0;
    }
    let mut descending: Vec<f64> = e_values.iter().copied().filter(|e| *e > 0.0).collect();
    descending.sort_unstable_by(|one, other| other.total_cmp(one));
    let numbered = (1_u32..).zip(&descending);
    let reached = numbered.filter(|(number, e)| **e >= bar(tests, rate, f64::from(*number)));
    reached.last().map_or(0, |(number, _)| {
        usize::try_from(number).unwrap_or(usize::MAX)
    })
}

/// The e-value of a p-value for [`discoveries`] with these numbers; 0 where there can be none.
///
/// # Example
/// ```
/// use beaconwatch_detector::{discoveries, rate_e_value};
///
/// // The second would have to be at most 2 * 0.1 / (100 * (1 + 1/2 + ... + 1/100)) = 3.9e-4.
/// let e_values = [1e-7, 5e-4, 0.3].map(|p| rate_e_value(p, 100, 0.1));
/// assert_eq!(discoveries(&e_values, 100, 0.1), 1);
/// ```
#[must_use]
pub fn rate_e_value(p: f64, tests: u64, rate: f64) -> f64 {
    if !is_share(rate) || p.is_nan() {
        return 0.0;
    }
    let number = (p * real(tests) * harmonic(tests) / rate).ceil().max(1.0);
    if number <= real(tests) {
        bar(tests, rate, number)
    } else {
        0.0
    }
}

/// Makes detections of those of all assessments of one look whose share of false ones is at most `rate` on average, and of
/// no other; returns their number. What is benign, below the score `alert_threshold` or part of a view that is reported
/// elsewhere is none, as ever. `tests` is [`crate::Detector::tests`]. None is one with another method than `evidence`,
/// which alone has p-values.
pub fn detect_by_rate(
    assessments: &mut [Assessment],
    tests: u64,
    rate: f64,
    alert_threshold: f64,
) -> usize {
    let e_values: Vec<f64> = assessments
        .iter()
        .map(|it| match p_value(it, alert_threshold) {
            Some(p) => rate_e_value(p, tests, rate),
            None => 0.0,
        })
        .collect();
    let found = discoveries(&e_values, tests, rate);
    let least = u32::try_from(found).map_or(f64::NAN, |found| bar(tests, rate, f64::from(found)));
    for (assessment, e) in assessments.iter_mut().zip(e_values) {
        assessment.detected = found > 0 && e >= least;
    }
    found
}

/// p-value that holds at any look, with the share that series by themselves have beside views, which have paid for
/// theirs; `None` of what is not to be reported.
fn p_value(assessment: &Assessment, alert_threshold: f64) -> Option<f64> {
    let is_reported = assessment.benign.is_none()
        && assessment.part_of.is_none()
        && assessment.score >= alert_threshold;
    let p = assessment
        .evidence
        .filter(|_| is_reported)?
        .p_value_any_look;
    Some(if assessment.view.kind == ViewKind::Pair {
        p / (1.0 - VIEW_SHARE)
    } else {
        p
    })
}

/// The e-value that each of so many discoveries has at least.
fn bar(tests: u64, rate: f64, number: f64) -> f64 {
    real(tests) / (rate * number)
}

fn is_share(rate: f64) -> bool {
    rate > 0.0 && rate < 1.0
}

/// `1 + 1/2 + ... + 1/m`; 0 for 0.
fn harmonic(tests: u64) -> f64 {
    if tests < ASYMPTOTIC {
        return (1..=tests).map(|it| 1.0 / real(it)).sum();
    }
    let m = real(tests);
    m.ln() + EULER + 0.5 / m - 1.0 / (12.0 * m.powi(2)) + 1.0 / (120.0 * m.powi(4))
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn real(count: u64) -> f64 {
    count as f64
}
