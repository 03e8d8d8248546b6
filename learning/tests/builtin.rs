//! The model that ships is what its source makes, and knows what it says it knows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use beaconwatch_learning::{FeatureSet, Model, auc};

#[path = "../examples/builtin/recipe.rs"]
mod recipe;
#[path = "../examples/builtin/worlds/mod.rs"]
mod worlds;

/// Series that no model was trained on.
fn fresh() -> Vec<beaconwatch_learning::Example> {
    let sizes = worlds::Sizes {
        beacons: 120,
        irregular: 200,
        benign_beats: 80,
    };
    worlds::examples(991, sizes).unwrap()
}

#[test]
fn the_model_that_ships_is_what_its_source_makes() {
    let (made, _) = recipe::builtin(2).unwrap();
    let shipped = Model::builtin().unwrap();
    let rows = fresh();
    let differences = rows.iter().map(|it| {
        let risk = |model: &Model| model.assess(&it.features).unwrap().risk;
        (risk(&made) - risk(&shipped)).abs()
    });
    let mean: f64 = differences.sum::<f64>() / f64::from(u32::try_from(rows.len()).unwrap());
    assert!(
        mean < 0.01,
        "risks differ by {mean:.4} on average: make it anew, see examples/builtin"
    );
}

#[test]
fn the_model_that_ships_ranks_beacons_that_it_has_not_seen() {
    let model = Model::builtin().unwrap();
    let rows = fresh();
    let risks: Vec<f64> = rows
        .iter()
        .map(|it| model.assess(&it.features).unwrap().risk)
        .collect();
    let labels: Vec<bool> = rows.iter().map(|it| it.label).collect();
    assert!(labels.len() > 300);
    let ranked = auc(&risks, &labels).unwrap();
    assert!(ranked > 0.85, "{ranked}");
}

#[test]
fn the_documentation_has_every_feature_as_it_is() {
    let text = include_str!("../../docs/learning.md");
    for set in [FeatureSet::Series, FeatureSet::BeaconHunter] {
        for it in set.features() {
            let unit = it.unit.replace('|', "\\|");
            let row = format!("| `{}` | {unit} | {} |", it.name, it.text);
            assert!(text.contains(&row), "docs/learning.md has no line {row}");
        }
    }
}
