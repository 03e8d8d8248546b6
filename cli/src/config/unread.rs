//! Settings that are given and that the method in force does not read: each is said in a warning, because who gives
//! a threshold expects it to count.

use beaconwatch_detector::{Profile, Settings};
use serde_json::Value as Json;

use super::{Layers, Origin};

/// What the flag sets that is for every method.
const FOR_EVERY_METHOD: &str = "alert_threshold";

/// One warning for each setting of the other method that is not as its default is, or that a flag gives.
pub(super) fn warnings(detector: &Settings, layers: &Layers) -> Vec<String> {
    let reader = match detector.profile {
        Profile::Evidence => Profile::Seed,
        _ => Profile::Evidence,
    };
    let (given, defaults) = (
        section(detector, reader),
        section(&Settings::default(), reader),
    );
    let settings = given.as_object().into_iter().flatten();
    let unread = settings.filter_map(|(name, value)| {
        let path = ["detector", reader.name(), name].map(str::to_owned);
        let Origin::Layer(place) = layers.origin(&path) else {
            return None;
        };
        let own_flag = format!("flag --{}", name.replace('_', "-"));
        let is_given = if place == own_flag {
            name != FOR_EVERY_METHOD
        } else {
            defaults.get(name) != Some(value)
        };
        is_given.then(|| warning(&place, &path.join("."), detector.profile, reader))
    });
    unread.collect()
}

fn section(settings: &Settings, reader: Profile) -> Json {
    let section = match reader {
        Profile::Evidence => serde_json::to_value(&settings.evidence),
        _ => serde_json::to_value(&settings.seed),
    };
    section.unwrap_or_default()
}

fn warning(place: &str, key: &str, method: Profile, reader: Profile) -> String {
    let (method, reader) = (method.name(), reader.name());
    format!(
        "{place}: {key} has no effect with the method {method}; use --profile {reader} (detector.profile = {reader:?})"
    )
}
