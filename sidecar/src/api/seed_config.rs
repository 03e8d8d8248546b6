//! Changes of the configuration in the words of the published analyser's API: its sections `detection` and
//! `alerting` mean settings of ours; what else it has is refused with what to use instead.

use serde_json::{Map, Value};

use super::error::ApiError;

/// Its keys, and where they lie here.
const KEYS: &[(&str, &str, &[&str])] = &[
    (
        "detection",
        "min_connections",
        &["detector", "seed", "min_connections"],
    ),
    (
        "detection",
        "min_duration",
        &["detector", "seed", "min_duration_s"],
    ),
    (
        "detection",
        "cv_threshold",
        &["detector", "seed", "cv_threshold"],
    ),
    (
        "detection",
        "jitter_threshold",
        &["detector", "seed", "jitter_threshold_s"],
    ),
    (
        "detection",
        "min_beacon_interval",
        &["detector", "seed", "min_interval_s"],
    ),
    (
        "detection",
        "max_beacon_interval",
        &["detector", "seed", "max_interval_s"],
    ),
    (
        "detection",
        "alert_threshold",
        &["detector", "seed", "alert_threshold"],
    ),
    ("detection", "analysis_interval", &["analysis_interval_s"]),
    ("detection", "alert_cooldown", &["update_interval_s"]),
    (
        "alerting",
        "syslog_enabled",
        &["destinations", "syslog", "route", "enabled"],
    ),
    (
        "alerting",
        "file_enabled",
        &["destinations", "file", "route", "enabled"],
    ),
    (
        "alerting",
        "webhook_enabled",
        &["destinations", "webhook", "route", "enabled"],
    ),
];

/// What is refused, and what there is instead.
const REFUSED: &[(&str, &str)] = &[
    ("weights", "the weights of the seed score are fixed"),
    ("whitelist", "use POST and DELETE of /api/v1/allow"),
];

/// A patch with its words replaced by ours.
pub(super) fn in_our_words(mut wanted: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    for (section, instead) in REFUSED {
        if wanted.contains_key(*section) {
            let reason = format!("{section} cannot be changed here: {instead}");
            return Err(ApiError::Unprocessable(reason));
        }
    }
    for section in ["detection", "alerting"] {
        match wanted.remove(section) {
            None => {}
            Some(Value::Object(fields)) => {
                for (name, value) in fields {
                    translate(&mut wanted, section, &name, value)
                        .map_err(ApiError::Unprocessable)?;
                }
            }
            Some(other) => {
                let reason = format!("{section} is {other}, expected an object");
                return Err(ApiError::Unprocessable(reason));
            }
        }
    }
    Ok(wanted)
}

/// Puts one of its settings where ours is; the problem when there is none, or when it is there twice.
fn translate(
    wanted: &mut Map<String, Value>,
    section: &str,
    name: &str,
    value: Value,
) -> Result<(), String> {
    let known = KEYS.iter().filter(|key| key.0 == section);
    let Some((_, _, ours)) = known.clone().find(|key| key.1 == name) else {
        let known: Vec<&str> = known.map(|key| key.1).collect();
        return Err(format!(
            "{section}.{name} cannot be changed at runtime, expected one of {}",
            known.join(", ")
        ));
    };
    put(wanted, ours, value).ok_or_else(|| {
        format!(
            "{section}.{name} and {} are the same setting, expected one of them",
            ours.join(".")
        )
    })
}

/// Puts a value at a dotted key; none when there is one already.
fn put(wanted: &mut Map<String, Value>, key: &[&str], value: Value) -> Option<()> {
    let (last, way) = key.split_last()?;
    let mut place = wanted;
    for name in way {
        let next = place
            .entry(*name)
            .or_insert_with(|| Value::Object(Map::new()));
        place = next.as_object_mut()?;
    }
    match place.insert((*last).to_owned(), value) {
        None => Some(()),
        Some(_) => None,
    }
}
