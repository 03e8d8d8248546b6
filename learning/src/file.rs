//! The model file: JSON, data only.
//!
//! ```text
//! {"beaconwatch_model": 1,                     version of this format
//!  "feature_set": "series",                    or "beaconhunter"
//!  "origin": {"rows": .., "positives": .., "seed": ..},
//!  "intercept": ..,
//!  "features": [{"name": .., "mean": .., "scale": .., "weight": ..}, ..],    all of the set, in its order
//!  "anomaly": {"sample_size": .., "smallest": .., "largest": ..,
//!              "trees": [{"feature": [..], "value": [..]}, ..]},             in preorder, -1 for a leaf
//!  "sets": {"common_ports": [..], "processes": [..], "countries": [..]}}     with "beaconhunter" only
//! ```
//!
//! # Contract
//! Reading checks the size, the version, that no field is unknown or missing, that the features are those of the
//! set, that every number is finite and in its range, and that every tree is whole; an error names the
//! field. Nothing in a model is run.

use std::fmt::Write as _;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::feature::FeatureSet;
use crate::forest::{DEEPEST, Forest, StoredTree};
use crate::model::{Model, Origin, Weight};
use crate::sets::{Lists, RiskSets, SetsError};

/// Version of the format.
const VERSION: u32 = 1;
/// Largest model file.
pub const MODEL_BYTES_MAX: usize = 32 << 20;
/// Most trees of a forest.
pub const TREES_MAX: usize = 500;
/// Most rows that a tree is grown on.
pub const SAMPLE_SIZE_MAX: usize = 1024;
/// No mean, scale or weight is larger: products of three stay finite.
const LARGEST: f64 = 1e100;

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Larger than [`MODEL_BYTES_MAX`].
    #[error("{bytes} bytes, expected at most {MODEL_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Of a version that this program does not know.
    #[error("field beaconwatch_model: version {found}, expected {VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
    /// A field is not what it should be.
    #[error("field {field}: {problem}")]
    Field {
        /// Path of the field.
        field: String,
        /// What was expected and found.
        problem: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    beaconwatch_model: u32,
    feature_set: FeatureSet,
    origin: Origin,
    intercept: f64,
    features: Vec<Weight>,
    anomaly: StoredAnomaly,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sets: Option<Lists>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredAnomaly {
    sample_size: usize,
    smallest: f64,
    largest: f64,
    trees: Vec<StoredTree>,
}

/// Only the version: another one may have other fields.
#[derive(Deserialize)]
struct Version {
    beaconwatch_model: u32,
}

/// Reads JSON; else the path of the field and what is wrong with it.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, (String, String)> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| (error.path().to_string(), error.into_inner().to_string()))?;
    deserializer
        .end()
        .map_err(|error| (".".to_owned(), error.to_string()))?;
    Ok(value)
}

fn field(field: impl Into<String>, problem: impl Into<String>) -> ModelError {
    ModelError::Field {
        field: field.into(),
        problem: problem.into(),
    }
}

impl Model {
    /// Reads a model file.
    ///
    /// # Example
    /// ```
    /// use beaconwatch_learning::Model;
    ///
    /// let error = Model::read(br#"{"beaconwatch_model": 7}"#).unwrap_err();
    /// assert_eq!(error.to_string(), "field beaconwatch_model: version 7, expected 1");
    /// ```
    pub fn read(bytes: &[u8]) -> Result<Self, ModelError> {
        if bytes.len() > MODEL_BYTES_MAX {
            return Err(ModelError::TooLarge { bytes: bytes.len() });
        }
        let Version { beaconwatch_model } =
            json(bytes).map_err(|(path, problem)| field(path, problem))?;
        if beaconwatch_model != VERSION {
            return Err(ModelError::Version {
                found: beaconwatch_model,
            });
        }
        let stored: Stored = json(bytes).map_err(|(path, problem)| field(path, problem))?;
        check_number("intercept", stored.intercept)?;
        check_features(stored.feature_set, &stored.features)?;
        let columns = stored.features.len();
        let (forest, anomaly_range) = forest(stored.anomaly, columns)?;
        Ok(Self {
            set: stored.feature_set,
            origin: stored.origin,
            intercept: stored.intercept,
            weights: stored.features,
            forest,
            anomaly_range,
            sets: sets(stored.feature_set, stored.sets)?,
        })
    }

    /// The model as a file: one line for each feature and tree, so that two models can be compared. The same
    /// model gives the same bytes.
    pub fn to_json(&self) -> Result<String, ModelError> {
        let written = |path: &str, value: &dyn Fn() -> serde_json::Result<String>| {
            value().map_err(|error| field(path, error.to_string()))
        };
        let mut text = format!(
            "{{\"beaconwatch_model\":{VERSION},\n\"feature_set\":\"{}\",\n\"origin\":{},\n\"intercept\":{},\n",
            self.set.name(),
            written("origin", &|| serde_json::to_string(&self.origin))?,
            written("intercept", &|| serde_json::to_string(&self.intercept))?,
        );
        let features: Result<Vec<String>, _> = self
            .weights
            .iter()
            .map(|it| written("features", &|| serde_json::to_string(it)))
            .collect();
        let trees: Result<Vec<String>, _> = self
            .forest
            .stored()
            .iter()
            .map(|it| written("anomaly.trees", &|| serde_json::to_string(it)))
            .collect();
        let (smallest, largest) = self.anomaly_range;
        // Writing to a String cannot fail.
        let _infallible = write!(
            text,
            "\"features\":[\n{}],\n\"anomaly\":{{\"sample_size\":{},\"smallest\":{},\"largest\":{},\"trees\":[\n{}]}}",
            features?.join(",\n"),
            self.forest.sample_size(),
            written("anomaly.smallest", &|| serde_json::to_string(&smallest))?,
            written("anomaly.largest", &|| serde_json::to_string(&largest))?,
            trees?.join(",\n"),
        );
        if let Some(sets) = &self.sets {
            let lists = written("sets", &|| serde_json::to_string(sets.lists()))?;
            let _infallible = write!(text, ",\n\"sets\":{lists}");
        }
        text.push_str("}\n");
        Ok(text)
    }
}

fn check_number(name: &str, value: f64) -> Result<(), ModelError> {
    if (-LARGEST..=LARGEST).contains(&value) {
        return Ok(());
    }
    Err(field(
        name,
        format!("{value}, expected a number of at most 1e100"),
    ))
}

fn check_features(set: FeatureSet, features: &[Weight]) -> Result<(), ModelError> {
    let expected = set.features();
    if features.len() != expected.len() {
        let (found, wanted) = (features.len(), expected.len());
        return Err(field(
            "features",
            format!(
                "{found} features, expected the {wanted} of the set {}",
                set.name()
            ),
        ));
    }
    for (at, (it, wanted)) in features.iter().zip(expected).enumerate() {
        let path = |part: &str| format!("features[{at}].{part}");
        if it.feature != wanted.name {
            let found: String = it.feature.chars().take(40).collect();
            let problem = format!("{found:?}, expected {:?}", wanted.name);
            return Err(field(path("name"), problem));
        }
        check_number(&path("mean"), it.mean)?;
        check_number(&path("weight"), it.weight)?;
        if !(1e-100..=LARGEST).contains(&it.scale) {
            let problem = format!("{}, expected 1e-100 to 1e100", it.scale);
            return Err(field(path("scale"), problem));
        }
    }
    Ok(())
}

fn forest(stored: StoredAnomaly, columns: usize) -> Result<(Forest, (f64, f64)), ModelError> {
    let in_range = |name: &str, value: usize, least: usize, most: usize| {
        if (least..=most).contains(&value) {
            return Ok(());
        }
        Err(field(
            format!("anomaly.{name}"),
            format!("{value}, expected {least} to {most}"),
        ))
    };
    in_range("sample_size", stored.sample_size, 1, SAMPLE_SIZE_MAX)?;
    in_range("trees", stored.trees.len(), 1, TREES_MAX)?;
    // A tree of so many rows has at most twice as many nodes.
    let nodes_max = 1 << (DEEPEST + 1);
    for (at, tree) in stored.trees.iter().enumerate() {
        in_range(
            &format!("trees[{at}].feature"),
            tree.feature.len(),
            1,
            nodes_max,
        )?;
    }
    let range = (stored.smallest, stored.largest);
    for (name, value) in [("smallest", range.0), ("largest", range.1)] {
        if !(0.0..=1.0).contains(&value) {
            let problem = format!("{value}, expected 0 to 1");
            return Err(field(format!("anomaly.{name}"), problem));
        }
    }
    if range.0 > range.1 {
        let problem = format!("{}, expected at least smallest, {}", range.1, range.0);
        return Err(field("anomaly.largest", problem));
    }
    let forest = Forest::restore(stored.trees, stored.sample_size, columns)
        .map_err(|(at, problem)| field(format!("anomaly.trees[{at}]"), problem))?;
    Ok((forest, range))
}

fn sets(set: FeatureSet, lists: Option<Lists>) -> Result<Option<RiskSets>, ModelError> {
    match (set, lists) {
        (FeatureSet::Series, None) => Ok(None),
        (FeatureSet::Series, Some(_)) => Err(field("sets", "expected none with the set series")),
        (FeatureSet::BeaconHunter, None) => {
            Err(field("sets", "missing, expected with the set beaconhunter"))
        }
        (FeatureSet::BeaconHunter, Some(lists)) => match RiskSets::from_lists(lists) {
            Ok(sets) => Ok(Some(sets)),
            Err(SetsError::Field {
                field: name,
                problem,
            }) => Err(field(format!("sets.{name}"), problem)),
            Err(other) => Err(field("sets", other.to_string())),
        },
    }
}

/// A model that somebody made up must not make scoring slow: see [`Forest`].
const _: () = assert!(SAMPLE_SIZE_MAX <= 1 << DEEPEST, "trees are deep enough");
