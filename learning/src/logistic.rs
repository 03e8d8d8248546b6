//! Logistic regression with balanced classes and a ridge penalty, solved by Newton's method.
//!
//! # Formula
//! ```text
//! minimise  sum_i w_i (ln(1 + e^z_i) - y_i z_i) + ridge / 2 sum_j b_j^2,    z_i = b_0 + sum_j b_j x_ij
//! w_i = n / (2 n_c)    n_c the number of rows of the class of row i: both classes weigh n / 2
//! ```
//! The objective is strictly convex for a ridge above 0 and both classes present, so the answer is one and
//! independent of where the search begins. Steps are `H^-1 g` by Cholesky's decomposition, halved until the objective
//! does not rise. Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 4.4.1.

use crate::number::{logistic, real};

/// Newton converges in about 10 steps; a search that takes so many has been stopped by rounding.
const MOST_STEPS: usize = 100;
/// Change of the coefficients (they are about 1) that is no change.
const SMALLEST_STEP: f64 = 1e-10;

/// Intercept and one coefficient for each column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Coefficients {
    pub(crate) intercept: f64,
    pub(crate) slopes: Vec<f64>,
}

/// Fits to rows of equal length; `None` when a class is missing or a value is not finite.
pub(crate) fn fit(rows: &[Vec<f64>], labels: &[bool], ridge: f64) -> Option<Coefficients> {
    let design = weighted(rows, labels)?;
    let mut at = vec![0.0; design.first()?.row.len()];
    let mut value = objective(&design, &at, ridge);
    for _ in 0..MOST_STEPS {
        let step = newton_step(&design, &at, ridge)?;
        let mut share = 1.0;
        let (next, next_value) = loop {
            let next: Vec<f64> = at.iter().zip(&step).map(|(b, s)| b - share * s).collect();
            let next_value = objective(&design, &next, ridge);
            if next_value <= value || share < 1e-6 {
                break (next, next_value);
            }
            share /= 2.0;
        };
        let change = step.iter().fold(0.0_f64, |most, s| most.max(s.abs())) * share;
        (at, value) = (next, next_value);
        if change < SMALLEST_STEP {
            break;
        }
    }
    let (intercept, slopes) = at.split_first()?;
    at.iter().all(|b| b.is_finite()).then(|| Coefficients {
        intercept: *intercept,
        slopes: slopes.to_vec(),
    })
}

/// Rows with a column of ones in front, which stands for the intercept; `None` when a class is missing.
fn weighted(rows: &[Vec<f64>], labels: &[bool]) -> Option<Vec<Weighted>> {
    let positives = labels.iter().filter(|label| **label).count();
    let negatives = labels.len() - positives;
    if positives == 0 || negatives == 0 || rows.len() != labels.len() {
        return None;
    }
    let total = real(labels.len());
    let weight = |label: bool| total / (2.0 * real(if label { positives } else { negatives }));
    let design = rows.iter().zip(labels).map(|(row, label)| Weighted {
        row: std::iter::once(1.0).chain(row.iter().copied()).collect(),
        label: f64::from(u8::from(*label)),
        weight: weight(*label),
    });
    Some(design.collect())
}

struct Weighted {
    row: Vec<f64>,
    label: f64,
    weight: f64,
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

/// `ln(1 + e^z)` without overflow.
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

fn objective(design: &[Weighted], at: &[f64], ridge: f64) -> f64 {
    let losses: f64 = design
        .iter()
        .map(|it| {
            let z = dot(&it.row, at);
            it.weight * (softplus(z) - it.label * z)
        })
        .sum();
    losses + ridge / 2.0 * at.iter().skip(1).map(|b| b * b).sum::<f64>()
}

/// Solves `H step = g`.
fn newton_step(design: &[Weighted], at: &[f64], ridge: f64) -> Option<Vec<f64>> {
    let size = at.len();
    let mut gradient = vec![0.0; size];
    // The lower triangle, row by row.
    let mut hessian: Vec<Vec<f64>> = (1..=size).map(|length| vec![0.0; length]).collect();
    for it in design {
        let p = logistic(dot(&it.row, at));
        let (slope, curvature) = (it.weight * (p - it.label), it.weight * p * (1.0 - p));
        for ((g, line), x) in gradient.iter_mut().zip(&mut hessian).zip(&it.row) {
            *g += slope * x;
            for (h, other) in line.iter_mut().zip(&it.row) {
                *h += curvature * x * other;
            }
        }
    }
    for ((g, line), b) in gradient.iter_mut().zip(&mut hessian).zip(at).skip(1) {
        *g += ridge * b;
        if let Some(diagonal) = line.last_mut() {
            *diagonal += ridge;
        }
    }
    solve(&hessian, &gradient)
}

/// Solves `A x = b` for a symmetric positive definite `A` given by its lower triangle.
fn solve(triangle: &[Vec<f64>], right: &[f64]) -> Option<Vec<f64>> {
    let factor = cholesky(triangle)?;
    let mut forward: Vec<f64> = Vec::with_capacity(right.len());
    for (line, b) in factor.iter().zip(right) {
        let (diagonal, before) = line.split_last()?;
        forward.push((b - dot(before, &forward)) / diagonal);
    }
    let mut answer = vec![0.0; right.len()];
    for (at, line) in factor.iter().enumerate().rev() {
        let (diagonal, before) = line.split_last()?;
        let value = forward.get(at)? / diagonal;
        *answer.get_mut(at)? = value;
        for (rest, l) in forward.iter_mut().zip(before) {
            *rest -= l * value;
        }
    }
    Some(answer)
}

/// `L` with `L L^T = A`, both as lower triangles; `None` when `A` is not positive definite.
fn cholesky(triangle: &[Vec<f64>]) -> Option<Vec<Vec<f64>>> {
    let mut factor: Vec<Vec<f64>> = Vec::with_capacity(triangle.len());
    for line in triangle {
        let mut made: Vec<f64> = Vec::with_capacity(line.len());
        let (own, before) = line.split_last()?;
        for (value, above) in before.iter().zip(&factor) {
            let (diagonal, left) = above.split_last()?;
            let next = (value - dot(left, &made)) / diagonal;
            made.push(next);
        }
        let square = own - dot(&made, &made);
        if square.is_nan() || square <= 0.0 {
            return None;
        }
        made.push(square.sqrt());
        factor.push(made);
    }
    Some(factor)
}
