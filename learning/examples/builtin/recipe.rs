//! Which worlds the model that ships is made of, and how.

use beaconwatch_learning::{FeatureSet, Model, Report, TrainSettings, train};

use super::worlds::{Sizes, examples};

/// Seed of the worlds and of the forest.
const SEED: u64 = 20_251_125;
const SIZES: Sizes = Sizes {
    beacons: 1500,
    irregular: 2500,
    benign_beats: 1000,
};

/// The model and its report.
pub(crate) fn builtin(folds: usize) -> Result<(Model, Report), Box<dyn std::error::Error>> {
    let settings = TrainSettings {
        seed: SEED,
        // Half of the usual sample: half of the file, and the ranking is the same.
        sample_size: 128,
        // Features that say nearly the same (beats, connections, rate) share their weight instead of fighting.
        ridge: 100.0,
        folds,
        ..TrainSettings::default()
    };
    let examples = examples(SEED, SIZES)?;
    Ok(train(FeatureSet::Series, &examples, &settings)?)
}
