//! How good predictions are: ranking and calibration.

use serde::Serialize;

use crate::number::{mean, real};

/// Area under the receiver operating characteristic: the chance that a positive one is ranked above a
/// negative one, ties counting half; `None` when one of them is missing or a score is NaN.
///
/// # Formula
/// `(R - n1 (n1 + 1) / 2) / (n1 n0)`, `R` the sum of the mid-ranks of the `n1` positive ones (Mann and Whitney
/// 1947; Hanley 1982, doi:10.1148/radiology.143.1.7063747).
///
/// # Example
/// ```
/// use beaconwatch_learning::auc;
///
/// let labels = [false, false, true, true];
/// assert_eq!(auc(&[0.1, 0.4, 0.35, 0.8], &labels), Some(0.75));
/// assert_eq!(auc(&[0.5; 4], &labels), Some(0.5));
/// assert_eq!(auc(&[0.1, 0.2], &[true, true]), None);
/// ```
#[must_use]
pub fn auc(scores: &[f64], labels: &[bool]) -> Option<f64> {
    if scores.len() != labels.len() || scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    let mut ranked: Vec<(f64, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    ranked.sort_by(|one, other| one.0.total_cmp(&other.0));
    let positives = labels.iter().filter(|label| **label).count();
    let negatives = labels.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let (mut before, mut rank_sum) = (0, 0.0);
    for tied in
        ranked.chunk_by(|one, other| one.0.partial_cmp(&other.0) == Some(std::cmp::Ordering::Equal))
    {
        // Ranks count from 1.
        let middle = real(before) + f64::midpoint(real(tied.len()), 1.0);
        rank_sum += middle * real(tied.iter().filter(|(_, label)| *label).count());
        before += tied.len();
    }
    let (positives, negatives) = (real(positives), real(negatives));
    Some((rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

/// Mean squared difference of probabilities and what was (Brier 1950): 0 is perfect, 0.25 is what a constant
/// one half gets. 0 of nothing.
///
/// # Example
/// ```
/// let score = beaconwatch_learning::brier(&[0.9, 0.2], &[true, false]);
/// assert!((score - 0.025).abs() < 1e-12);
/// ```
#[must_use]
pub fn brier(probabilities: &[f64], labels: &[bool]) -> f64 {
    mean(
        probabilities
            .iter()
            .zip(labels)
            .map(|(p, label)| (p - f64::from(u8::from(*label))).powi(2)),
    )
}

/// One bin of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// Least probability in it.
    pub from: f64,
    /// Where the next begins (the last one ends with 1).
    pub to: f64,
    /// Predictions in it.
    pub count: usize,
    /// Their mean probability; `None` of none.
    pub mean_probability: Option<f64>,
    /// Share of them that were positive; `None` of none.
    pub share_positive: Option<f64>,
}

/// Ten bins of equal width: in a calibrated one, the share of positive ones is the mean probability.
#[must_use]
pub fn reliability(probabilities: &[f64], labels: &[bool]) -> Vec<Bin> {
    (0..10_u8)
        .map(|at| {
            let (from, to) = (f64::from(at) / 10.0, f64::from(at + 1) / 10.0);
            let within: Vec<(f64, bool)> = probabilities
                .iter()
                .copied()
                .zip(labels.iter().copied())
                .filter(|(p, _)| *p >= from && (*p < to || at == 9))
                .collect();
            let some = !within.is_empty();
            Bin {
                from,
                to,
                count: within.len(),
                mean_probability: some.then(|| mean(within.iter().map(|(p, _)| *p))),
                share_positive: some
                    .then(|| mean(within.iter().map(|(_, it)| f64::from(u8::from(*it))))),
            }
        })
        .collect()
}
