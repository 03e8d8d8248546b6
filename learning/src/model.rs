//! What was learnt: a model, and the risk that it gives a row.
//!
//! # Formula
//! ```text
//! z           = b_0 + sum_j b_j clip((x_j - mean_j) / scale_j, -3, 3)
//! probability = 1 / (1 + e^-z)
//! anomaly     = clip((s - smallest) / (largest - smallest), 0, 1)    s: score of the isolation forest
//! risk        = clip(0.7 probability + 0.3 anomaly, 0, 1)
//! ```
//! `smallest` and `largest` are those of `s` over all rows that were trained on, kept in the model: the risk of a
//! row does not depend on which others are scored with it.
//!
//! A value further than three standard deviations from the mean says no more than one at three: what no example was
//! like cannot decide alone.
//!
//! The classes were balanced: a probability of one half means as likely among the malicious as among the benign,
//! not that one of two such rows is malicious.

use serde::{Deserialize, Serialize};

use crate::feature::FeatureSet;
use crate::forest::Forest;
use crate::number::logistic;
use crate::{ModelError, RiskSets};

/// Share of the probability in the risk.
const PROBABILITY_SHARE: f64 = 0.7;
/// Share of the anomaly.
const ANOMALY_SHARE: f64 = 0.3;
/// Anomaly from which a reason names it.
const NOTABLE_ANOMALY: f64 = 0.5;
/// No value of a feature is larger: products with weights stay finite.
const LARGEST: f64 = 1e100;
/// Standard deviations beyond which a value says no more.
const FURTHEST: f64 = 3.0;
/// Features that a reason names.
const REASONS: usize = 3;

/// What is kept of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weight {
    /// Name of the feature.
    #[serde(rename = "name")]
    pub feature: String,
    /// Its mean over the rows that were trained on.
    pub mean: f64,
    /// Its standard deviation, or 1 where it was constant.
    pub scale: f64,
    /// What one standard deviation adds to the log-odds.
    pub weight: f64,
}

impl Weight {
    /// Distance from the mean in standard deviations, at most three.
    pub(crate) fn standardised(&self, value: f64) -> f64 {
        ((value - self.mean) / self.scale).clamp(-FURTHEST, FURTHEST)
    }
}

/// Where a model comes from, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Rows that were trained on.
    pub rows: u64,
    /// Malicious ones among them.
    pub positives: u64,
    /// Seed of the forest's random numbers.
    pub seed: u64,
}

/// A trained model. It is data: see [`Model::read`] and [`Model::to_json`].
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub(crate) set: FeatureSet,
    pub(crate) origin: Origin,
    pub(crate) intercept: f64,
    pub(crate) weights: Vec<Weight>,
    pub(crate) forest: Forest,
    /// Smallest and largest score of the forest over the rows that were trained on.
    pub(crate) anomaly_range: (f64, f64),
    /// With [`FeatureSet::BeaconHunter`] only.
    pub(crate) sets: Option<RiskSets>,
}

/// What one feature adds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Driver {
    /// The feature.
    pub feature: &'static str,
    /// Its value.
    pub value: f64,
    /// What it adds to the log-odds of the probability, against the mean of what was trained on.
    pub contribution: f64,
}

/// What a model says of a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Risk {
    /// The fused risk, 0..=1.
    pub risk: f64,
    /// Probability of the supervised part, 0..=1, as if malicious and benign were equally frequent.
    pub probability: f64,
    /// Anomaly of the unsupervised part, 0..=1.
    pub anomaly: f64,
    /// What every feature adds, the strongest first.
    pub drivers: Vec<Driver>,
}

/// A row that is not of the model's set.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum RowError {
    /// Another number of features.
    #[error("{found} features, expected {expected}")]
    Length {
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A value that is no number.
    #[error("feature {feature} is {value}, expected a finite number of at most 1e100")]
    NotFinite {
        /// The feature.
        feature: &'static str,
        /// Its value.
        value: f64,
    },
}

impl Model {
    /// The model that ships, of the set [`FeatureSet::Series`]. `examples/builtin` makes it, from simulated traffic
    /// alone.
    pub fn builtin() -> Result<Self, ModelError> {
        Self::read(include_bytes!("builtin.json"))
    }

    /// Which features it takes.
    #[must_use]
    pub fn feature_set(&self) -> FeatureSet {
        self.set
    }

    /// Where it comes from.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The features with their weights, in the order of the set.
    #[must_use]
    pub fn weights(&self) -> &[Weight] {
        &self.weights
    }

    /// The sets of ports, processes and countries of a model of BeaconHunter's features.
    #[must_use]
    pub fn sets(&self) -> Option<&RiskSets> {
        self.sets.as_ref()
    }

    /// The risk of a row of features.
    pub fn assess(&self, row: &[f64]) -> Result<Risk, RowError> {
        check_row(self.set, row)?;
        let features = self.set.features();
        let mut drivers: Vec<Driver> = features
            .iter()
            .zip(&self.weights)
            .zip(row)
            .map(|((feature, it), value)| Driver {
                feature: feature.name,
                value: *value,
                contribution: it.weight * it.standardised(*value),
            })
            .collect();
        let log_odds = self.intercept + drivers.iter().map(|it| it.contribution).sum::<f64>();
        drivers.sort_by(|one, other| other.contribution.abs().total_cmp(&one.contribution.abs()));
        let probability = logistic(log_odds);
        let anomaly = self.anomaly(row);
        let risk = PROBABILITY_SHARE * probability + ANOMALY_SHARE * anomaly;
        Ok(Risk {
            risk: risk.clamp(0.0, 1.0),
            probability,
            anomaly,
            drivers,
        })
    }

    fn anomaly(&self, row: &[f64]) -> f64 {
        let (smallest, largest) = self.anomaly_range;
        let place = (self.forest.score(row) - smallest) / (largest - smallest);
        // Where all that was trained on scored the same, nothing can be said.
        if place.is_finite() {
            place.clamp(0.0, 1.0)
        } else {
            0.0
        }
    }
}

/// Whether a row is one of a set: its length, and that every value is a number.
pub(crate) fn check_row(set: FeatureSet, row: &[f64]) -> Result<(), RowError> {
    let features = set.features();
    if row.len() != features.len() {
        return Err(RowError::Length {
            found: row.len(),
            expected: features.len(),
        });
    }
    match features
        .iter()
        .zip(row)
        .find(|(_, it)| !(-LARGEST..=LARGEST).contains(*it))
    {
        Some((feature, value)) => Err(RowError::NotFinite {
            feature: feature.name,
            value: *value,
        }),
        None => Ok(()),
    }
}

impl Risk {
    /// What drove it, in a line: `probability 0.98: cadence 7.2 (+2.3), explained 0.95 (+1.1); unlike the benign
    /// traffic trained on (anomaly 0.71)`.
    #[must_use]
    pub fn reason(&self) -> String {
        let named: Vec<String> = self
            .drivers
            .iter()
            .take(REASONS)
            .filter(|it| it.contribution.abs() >= 0.05)
            .map(|it| format!("{} {:.3} ({:+.1})", it.feature, it.value, it.contribution))
            .collect();
        let mut text = format!("probability {:.2}", self.probability);
        if !named.is_empty() {
            text = format!("{text}: {}", named.join(", "));
        }
        if self.anomaly >= NOTABLE_ANOMALY {
            text = format!(
                "{text}; unlike the benign traffic trained on (anomaly {:.2})",
                self.anomaly
            );
        }
        text
    }
}
