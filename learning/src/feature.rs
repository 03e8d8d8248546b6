//! What is learnt from: two sets of features, each with its names, units and meanings.
//!
//! A model names its set and its features in order, and is refused where they are others: a number is never
//! taken for another one.

use serde::{Deserialize, Serialize};

/// Which features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureSet {
    /// The library's features of a series: see [`crate::series_features`].
    Series,
    /// The older system's features of an event: see [`crate::EventReader`].
    BeaconHunter,
}

/// One feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Name in model files and reports.
    pub name: &'static str,
    /// Unit, with the transformation: `log10 s`.
    pub unit: &'static str,
    /// What it says, for people.
    pub text: &'static str,
}

impl FeatureSet {
    /// Lower-case name: `series` or `beaconhunter`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Series => "series",
            Self::BeaconHunter => "beaconhunter",
        }
    }

    /// Its features, in the order in which rows and models have them.
    #[must_use]
    pub const fn features(self) -> &'static [Feature] {
        match self {
            Self::Series => crate::series::FEATURES,
            Self::BeaconHunter => crate::event::FEATURES,
        }
    }
}

pub(crate) const fn feature(name: &'static str, unit: &'static str, text: &'static str) -> Feature {
    Feature { name, unit, text }
}
