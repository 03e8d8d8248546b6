//! A configuration as a tree of values, addressed by dotted keys.
//!
//! Contract: the names are those of the configuration's section `sidecar`, and `detector` beside them.
//! What may be changed in which way is a list of keys here and nowhere else; the values and their ranges
//! are the business of the configuration's own types, so that nothing is stated twice.

use std::collections::BTreeSet;

use beaconwatch_destinations::SettingError;
use serde_json::{Map, Value};

use crate::config::{Config, ConfigError};

/// A key by its parts; `*` in a pattern stands for any one part, and a pattern covers all that lies below.
type Pattern = &'static [&'static str];

/// What the API may change at runtime.
const CHANGEABLE: &[Pattern] = &[
    &["detector"],
    &["alerts"],
    &["update_interval_s"],
    &["analysis_interval_s"],
    &["destinations", "*", "route"],
];

/// What a reload applies, beside what the API may change.
const RELOADABLE: &[Pattern] = &[
    &["allow"],
    &["context", "catalogue"],
    &["context", "intelligence"],
    &["context", "own_networks"],
    &["risk"],
    &["rules"],
    &["destinations"],
    &["delivery"],
    &["inputs"],
    &["api", "tokens"],
    &["receive", "tokens"],
];

/// What neither may change: it sizes memory when the process starts.
const FIXED: &[Pattern] = &[
    &["detector", "max_series"],
    &["detector", "max_starts_per_series"],
];

fn covers(pattern: Pattern, path: &[String]) -> bool {
    pattern.len() <= path.len() && is_on_the_way(pattern, path)
}

/// Whether all parts that both have are the same.
fn is_on_the_way(pattern: Pattern, path: &[String]) -> bool {
    let mut pairs = pattern.iter().zip(path);
    pairs.all(|(part, name)| *part == "*" || part == name)
}

fn any_covers(patterns: &[Pattern], path: &[String]) -> bool {
    patterns.iter().any(|pattern| covers(pattern, path))
}

/// Whether the API may change what lies at `path`.
pub(super) fn is_changeable(path: &[String]) -> bool {
    any_covers(CHANGEABLE, path) && !any_covers(FIXED, path)
}

/// Whether a reload may change what lies at `path`.
pub(super) fn is_reloadable(path: &[String]) -> bool {
    is_changeable(path) || (any_covers(RELOADABLE, path) && !any_covers(FIXED, path))
}

/// Whether there is anything at or below `path` that the API may change.
fn leads_to_changeable(path: &[String]) -> bool {
    let mut patterns = CHANGEABLE.iter();
    patterns.any(|pattern| is_on_the_way(pattern, path)) && !any_covers(FIXED, path)
}

/// A configuration as a tree.
pub(super) fn of(config: &Config) -> Result<Value, ConfigError> {
    let unreadable = |error: serde_json::Error| {
        SettingError::value(
            "configuration",
            error.to_string(),
            "values that JSON can hold",
        )
    };
    let mut tree = serde_json::to_value(config).map_err(unreadable)?;
    if let Value::Object(fields) = &mut tree {
        let detector = serde_json::to_value(&config.detector).map_err(unreadable)?;
        fields.insert("detector".to_owned(), detector);
    }
    Ok(tree)
}

/// The configuration that a tree says. Its ranges are not checked.
pub(super) fn read(mut tree: Value) -> Result<Config, serde_json::Error> {
    let detector = tree
        .as_object_mut()
        .and_then(|fields| fields.remove("detector"));
    let mut config: Config = serde_json::from_value(tree)?;
    if let Some(detector) = detector {
        config.detector = serde_json::from_value(detector)?;
    }
    Ok(config)
}

/// Merges as RFC 7396 has it: objects by key, null removes, everything else replaces.
pub(super) fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else {
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
            continue;
        }
        let field = fields.entry(name.clone()).or_insert(Value::Null);
        merge_patch(field, value);
        if field.as_object().is_some_and(Map::is_empty) {
            fields.remove(name);
        }
    }
}

/// The tree with everything that `overrides` say put over it. Lists are replaced as a whole.
pub(super) fn with(base: &Value, overrides: &Value) -> Value {
    let mut tree = base.clone();
    for (path, value) in leaves(overrides) {
        if !value.as_object().is_some_and(Map::is_empty) {
            put(&mut tree, &path, value.clone());
        }
    }
    tree
}

/// Puts a value at `path`; the objects on the way there are made.
pub(super) fn put(tree: &mut Value, path: &[String], value: Value) {
    let mut place = tree;
    for name in path {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(fields) = place else { return };
        place = fields.entry(name.clone()).or_insert(Value::Null);
    }
    *place = value;
}

/// Makes what lies at `path` what it is in another tree. What the other one does not have goes, and with it
/// what it stands in, as far as the other tree does not have that either.
pub(super) fn copy(tree: &mut Value, path: &[String], other: &Value) {
    let mut way = (1..=path.len()).filter_map(|depth| path.get(..depth));
    let missing = way.find(|way| at(other, way).is_none());
    match (missing, at(other, path)) {
        (Some(missing), _) => remove(tree, missing),
        (None, Some(value)) => put(tree, path, value.clone()),
        (None, None) => {}
    }
}

fn remove(tree: &mut Value, path: &[String]) {
    let Some((name, way)) = path.split_last() else {
        return;
    };
    let mut way = way.iter();
    let parent = way.try_fold(tree, |place, name| place.get_mut(name.as_str()));
    if let Some(Value::Object(fields)) = parent {
        fields.remove(name);
    }
}

/// What lies at `path`.
pub(super) fn at<'a>(tree: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter()
        .try_fold(tree, |place, name| place.get(name.as_str()))
}

/// Everything that is no object with something in it, with its path.
pub(super) fn leaves(tree: &Value) -> Vec<(Vec<String>, &Value)> {
    let mut found = Vec::new();
    walk(tree, &mut Vec::new(), &mut found);
    found
}

fn walk<'a>(place: &'a Value, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, &'a Value)>) {
    match place {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                path.push(name.clone());
                walk(value, path, found);
                path.pop();
            }
        }
        _ => found.push((path.clone(), place)),
    }
}

/// Paths at which two trees differ.
pub(super) fn differences(old: &Value, new: &Value) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for (one, other) in [(old, new), (new, old)] {
        for (path, value) in leaves(one) {
            if at(other, &path) != Some(value) && !is_empty_of(value, at(other, &path)) {
                found.insert(path);
            }
        }
    }
    found
}

/// Whether `value` is an empty object where the other tree has one with something in it: what is in it
/// is a difference of its own.
fn is_empty_of(value: &Value, other: Option<&Value>) -> bool {
    let is_empty = value.as_object().is_some_and(Map::is_empty);
    is_empty && other.is_some_and(Value::is_object)
}

/// The part of a configuration that the API may change.
pub(super) fn changeable_part(tree: &Value) -> Value {
    let mut part = Value::Object(Map::new());
    for (path, value) in leaves(tree) {
        if is_changeable(&path) {
            put(&mut part, &path, value.clone());
        }
    }
    part
}

/// The dotted keys that the API may change.
pub(super) fn changeable_keys(tree: &Value) -> Vec<String> {
    let part = changeable_part(tree);
    leaves(&part)
        .into_iter()
        .map(|(path, _)| path.join("."))
        .collect()
}

/// Checks that a patch touches nothing but what the API may change.
pub(super) fn check_patch(patch: &Value, base: &Value) -> Result<(), SettingError> {
    if !patch.is_object() {
        let kind = "an object with the settings to change";
        return Err(SettingError::value(
            "configuration",
            patch.to_string(),
            kind,
        ));
    }
    for (path, value) in leaves(patch) {
        let removal = value.is_null() && leads_to_changeable(&path);
        let nothing = value.as_object().is_some_and(Map::is_empty) && leads_to_changeable(&path);
        if removal || nothing {
            continue;
        }
        let named = path
            .first()
            .is_some_and(|section| section == "destinations");
        if named && path.len() > 1 && at(base, path.get(..2).unwrap_or_default()).is_none() {
            return Err(refused(
                &path,
                value,
                "the name of a configured destination",
            ));
        }
        if !is_changeable(&path) {
            let expected = "a setting that can be changed at runtime (`changeable` of GET /api/v1/config lists them)";
            return Err(refused(&path, value, expected));
        }
    }
    Ok(())
}

fn refused(path: &[String], value: &Value, expected: &'static str) -> SettingError {
    SettingError::value(path.join("."), value.to_string(), expected)
}

#[cfg(test)]
mod tests;
