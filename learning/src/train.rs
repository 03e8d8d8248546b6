//! From labelled examples to a model and a report of what it is worth.
//!
//! 1. Columns are centred, scaled to a standard deviation of 1 and cut at three of them.
//! 2. The probability is learnt from all examples ([logistic regression](crate::FeatureSet), classes balanced, ridge).
//! 3. The forest is grown on the benign examples alone; its smallest and largest score over all examples become
//!    0 and 1.
//! 4. The report comes from cross-validation: each example is predicted by a model that has seen neither it nor its
//!    host (see [`Grouping`]). The model itself is trained on all.
//!
//! Everything is a function of the examples, their order and the seed.

use std::sync::Arc;

use serde::Serialize;

use crate::feature::FeatureSet;
use crate::file::{SAMPLE_SIZE_MAX, TREES_MAX};
use crate::folds::{Grouping, split};
use crate::forest::Forest;
use crate::logistic;
use crate::metrics::{Bin, auc, brier, reliability};
use crate::model::{Model, Origin, RowError, Weight, check_row};
use crate::number::{mean, real, rounded};
use crate::random::Random;
use crate::{RiskSets, SetsError};

/// Digits that are kept of weights and scales.
const DIGITS: usize = 9;
/// Most folds.
pub const FOLDS_MAX: usize = 50;

/// A row to learn from.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Its features, in the order of the set.
    pub features: Vec<f64>,
    /// Whether it is malicious.
    pub label: bool,
    /// Its host: hosts are held out whole in cross-validation.
    pub host: Arc<str>,
    /// Its host and what it talks to: held out whole where hosts are too few.
    pub pair: Arc<str>,
}

/// How to train.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainSettings {
    /// Seed of the forest's random numbers.
    pub seed: u64,
    /// Trees of the forest, 1..=500.
    pub trees: usize,
    /// Rows that each is grown on, 2..=1024.
    pub sample_size: usize,
    /// Penalty of the squared weights, 1e-6..=1e6.
    pub ridge: f64,
    /// Folds of the cross-validation, 2..=50.
    pub folds: usize,
    /// Sets for [`FeatureSet::BeaconHunter`], kept in the model; those that ship when `None`.
    pub sets: Option<RiskSets>,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            seed: 1,
            trees: 100,
            sample_size: 256,
            ridge: 1.0,
            folds: 5,
            sets: None,
        }
    }
}

/// Why nothing was learnt.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A setting is outside its range.
    #[error("{name} is {value}, expected {minimum} to {maximum}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// Least value.
        minimum: f64,
        /// Largest value.
        maximum: f64,
    },
    /// Examples of one kind are missing.
    #[error("{positives} malicious and {negatives} benign examples, expected at least 2 of each")]
    Kinds {
        /// Malicious ones.
        positives: usize,
        /// Benign ones.
        negatives: usize,
    },
    /// An example is no row of the set.
    #[error("example {number}: {problem}")]
    Row {
        /// Its number, from 1.
        number: usize,
        /// What is wrong.
        problem: RowError,
    },
    /// The sets that ship cannot be read.
    #[error("sets: {0}")]
    Sets(#[from] SetsError),
    /// The search for weights failed: values are too large to reckon with.
    #[error("no weights found: a feature has values that are too large")]
    NoAnswer,
}

/// What a model is worth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Examples.
    pub rows: usize,
    /// Malicious ones.
    pub positives: usize,
    /// Benign ones.
    pub negatives: usize,
    /// Hosts among them.
    pub hosts: usize,
    /// Figures on examples that were held out; `None` when too few could be.
    pub cross_validation: Option<CrossValidation>,
    /// The weights of the model, in the order of the set.
    pub weights: Vec<Weight>,
    /// Log-odds of an average row.
    pub intercept: f64,
}

/// Figures on examples that were held out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CrossValidation {
    /// What was held out together.
    pub grouping: Grouping,
    /// Area under the curve of the risk in each fold; `None` where it held one kind only.
    pub fold_auc: Vec<Option<f64>>,
    /// Of the risk over all folds together.
    pub auc_risk: Option<f64>,
    /// Of the probability alone.
    pub auc_probability: Option<f64>,
    /// Of the anomaly alone.
    pub auc_anomaly: Option<f64>,
    /// Brier score of the probability.
    pub brier: f64,
    /// The same with both kinds weighing the same, as the probability was learnt.
    pub brier_balanced: f64,
    /// Reliability of the probability: examples as they are.
    pub bins: Vec<Bin>,
}

/// Trains a model.
///
/// # Example
/// ```
/// use std::sync::Arc;
///
/// use beaconwatch_learning::{Example, FeatureSet, TrainSettings, train};
///
/// let examples: Vec<Example> = (0..40_u32)
///     .map(|n| Example {
///         features: vec![if n % 2 == 0 { 1.0 } else { 900.0 + f64::from(n) }, 0.0, 0.0, 0.0],
///         label: n % 2 == 0,
///         host: Arc::from(format!("host-{}", n % 10)),
///         pair: Arc::from("pair"),
///     })
///     .collect();
/// let (model, report) = train(FeatureSet::BeaconHunter, &examples, &TrainSettings::default())?;
/// assert_eq!(report.cross_validation.and_then(|it| it.auc_probability), Some(1.0));
/// let (beacon, other) = (model.assess(&[0.5, 0.0, 0.0, 0.0])?, model.assess(&[950.0, 0.0, 0.0, 0.0])?);
/// assert!(beacon.probability > 0.9 && other.probability < 0.1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn train(
    set: FeatureSet,
    examples: &[Example],
    settings: &TrainSettings,
) -> Result<(Model, Report), TrainError> {
    check_settings(settings)?;
    let positives = examples.iter().filter(|it| it.label).count();
    let negatives = examples.len() - positives;
    if positives < 2 || negatives < 2 {
        return Err(TrainError::Kinds {
            positives,
            negatives,
        });
    }
    for (number, example) in (1..).zip(examples) {
        check_row(set, &example.features).map_err(|problem| TrainError::Row { number, problem })?;
    }
    let sets = match (set, &settings.sets) {
        (FeatureSet::Series, _) => None,
        (FeatureSet::BeaconHunter, Some(sets)) => Some(sets.clone()),
        (FeatureSet::BeaconHunter, None) => Some(RiskSets::shipped()?),
    };
    let all: Vec<&Example> = examples.iter().collect();
    let mut model = learn(set, &all, settings).ok_or(TrainError::NoAnswer)?;
    model.sets = sets;
    let hosts: std::collections::BTreeSet<&str> = examples.iter().map(|it| &*it.host).collect();
    let report = Report {
        rows: examples.len(),
        positives,
        negatives,
        hosts: hosts.len(),
        cross_validation: cross_validate(set, examples, settings),
        weights: model.weights.clone(),
        intercept: model.intercept,
    };
    Ok((model, report))
}

fn check_settings(settings: &TrainSettings) -> Result<(), TrainError> {
    for (name, value, minimum, maximum) in [
        ("trees", real(settings.trees), 1.0, real(TREES_MAX)),
        (
            "sample_size",
            real(settings.sample_size),
            2.0,
            real(SAMPLE_SIZE_MAX),
        ),
        ("ridge", settings.ridge, 1e-6, 1e6),
        ("folds", real(settings.folds), 2.0, real(FOLDS_MAX)),
    ] {
        if !(minimum..=maximum).contains(&value) {
            return Err(TrainError::Setting {
                name,
                value,
                minimum,
                maximum,
            });
        }
    }
    Ok(())
}

/// Trains on rows that were checked; `None` when values are too large to reckon with.
fn learn(set: FeatureSet, examples: &[&Example], settings: &TrainSettings) -> Option<Model> {
    let scaling = scaling(set, examples);
    let rows: Vec<Vec<f64>> = examples
        .iter()
        .map(|it| {
            let scaled = it.features.iter().zip(&scaling);
            scaled.map(|(x, by)| by.standardised(*x)).collect()
        })
        .collect();
    let labels: Vec<bool> = examples.iter().map(|it| it.label).collect();
    let found = logistic::fit(&rows, &labels, settings.ridge)?;
    let weights = scaling
        .into_iter()
        .zip(&found.slopes)
        .map(|(it, slope)| Weight {
            weight: rounded(*slope, DIGITS),
            ..it
        })
        .collect();
    let (forest, anomaly_range) = anomaly(examples, settings)?;
    Some(Model {
        set,
        origin: Origin {
            rows: examples.len() as u64,
            positives: labels.iter().filter(|label| **label).count() as u64,
            seed: settings.seed,
        },
        intercept: rounded(found.intercept, DIGITS),
        weights,
        forest,
        anomaly_range,
        sets: None,
    })
}

/// The forest of the benign examples, and its smallest and largest score over all.
fn anomaly(examples: &[&Example], settings: &TrainSettings) -> Option<(Forest, (f64, f64))> {
    let benign: Vec<&[f64]> = examples
        .iter()
        .filter(|it| !it.label)
        .map(|it| it.features.as_slice())
        .collect();
    let mut random = Random::new(settings.seed);
    let forest = Forest::grow(&benign, settings.trees, settings.sample_size, &mut random)?;
    let scores = examples.iter().map(|it| forest.score(&it.features));
    let (smallest, largest) = scores.fold((1.0_f64, 0.0_f64), |(small, large), score| {
        (small.min(score), large.max(score))
    });
    let range = (rounded(smallest, DIGITS), rounded(largest, DIGITS));
    Some((forest, range))
}

/// Means and standard deviations of the columns.
fn scaling(set: FeatureSet, examples: &[&Example]) -> Vec<Weight> {
    let column = |at: usize| {
        let values: Vec<f64> = examples
            .iter()
            .filter_map(|it| it.features.get(at).copied())
            .collect();
        values
    };
    let features = set.features().iter().enumerate();
    features
        .map(|(at, feature)| {
            let values = column(at);
            let centre = mean(values.iter().copied());
            let variance = mean(values.iter().map(|it| (it - centre).powi(2)));
            let deviation = rounded(variance.sqrt(), DIGITS);
            Weight {
                feature: feature.name.to_owned(),
                mean: rounded(centre, DIGITS),
                // What is constant says nothing, whatever its unit; rounding can leave dust of its mean.
                scale: if deviation > 1e-9 * centre.abs().max(1e-3) {
                    deviation
                } else {
                    1.0
                },
                weight: 0.0,
            }
        })
        .collect()
}

fn cross_validate(
    set: FeatureSet,
    examples: &[Example],
    settings: &TrainSettings,
) -> Option<CrossValidation> {
    let folds = split(examples, settings.folds)?;
    let mut held_out = HeldOut::default();
    let mut fold_auc = Vec::with_capacity(folds.count);
    for fold in 0..folds.count {
        let (inside, outside): (Vec<_>, Vec<_>) = examples
            .iter()
            .zip(&folds.of)
            .partition(|(_, of)| **of == fold);
        let rest: Vec<&Example> = outside.into_iter().map(|(it, _)| it).collect();
        let model = learn(set, &rest, settings)?;
        let mut here = HeldOut::default();
        for (example, _) in inside {
            let risk = model.assess(&example.features).ok()?;
            here.labels.push(example.label);
            here.risks.push(risk.risk);
            here.probabilities.push(risk.probability);
            here.anomalies.push(risk.anomaly);
        }
        fold_auc.push(auc(&here.risks, &here.labels));
        held_out.append(here);
    }
    Some(held_out.figures(folds.grouping, fold_auc))
}

/// Predictions of what was held out.
#[derive(Default)]
struct HeldOut {
    labels: Vec<bool>,
    risks: Vec<f64>,
    probabilities: Vec<f64>,
    anomalies: Vec<f64>,
}

impl HeldOut {
    fn figures(self, grouping: Grouping, fold_auc: Vec<Option<f64>>) -> CrossValidation {
        let labels = &self.labels;
        CrossValidation {
            grouping,
            fold_auc,
            auc_risk: auc(&self.risks, labels),
            auc_probability: auc(&self.probabilities, labels),
            auc_anomaly: auc(&self.anomalies, labels),
            brier: brier(&self.probabilities, labels),
            brier_balanced: balanced_brier(&self.probabilities, labels),
            bins: reliability(&self.probabilities, labels),
        }
    }

    fn append(&mut self, mut other: Self) {
        self.labels.append(&mut other.labels);
        self.risks.append(&mut other.risks);
        self.probabilities.append(&mut other.probabilities);
        self.anomalies.append(&mut other.anomalies);
    }
}

/// Mean of the Brier scores of the two kinds.
fn balanced_brier(probabilities: &[f64], labels: &[bool]) -> f64 {
    let of = |kind: bool| {
        let chosen: Vec<f64> = probabilities
            .iter()
            .zip(labels)
            .filter(|(_, label)| **label == kind)
            .map(|(p, _)| *p)
            .collect();
        brier(&chosen, &vec![kind; chosen.len()])
    };
    f64::midpoint(of(true), of(false))
}
