//! The names that a template may use, and what is said of one that does not exist.
//!
//! # Contract
//! Names are checked twice when a template is read. Once by reading the template: every name in every branch
//! ([`check`]). And once by trying it on documents whose objects know their fields ([`strict`]): that reaches what a
//! loop or an assignment has given another name. A field that exists in the model and not in a document is no error.

use std::fmt::{self, Write};
use std::sync::Arc;

use beaconwatch_schema::{detection, sensor};
use minijinja::value::{Enumerator, Object, ObjectRepr, Serde};
use minijinja::{Error, ErrorKind, Template, Value};
use serde_json::Value as Json;

/// Functions that Jinja brings.
const FUNCTIONS: [&str; 6] = ["range", "dict", "namespace", "debug", "loop", "lipsum"];
/// What a template of one document sees beside its fields.
const WHOLE: [&str; 3] = ["document", "event_id", "variables"];
/// What a template of a batch sees.
const BATCH: [&str; 2] = ["documents", "variables"];

/// Whether a dotted name is a field of a document, or an object that fields are in.
fn is_known(name: &str) -> bool {
    let name = without_positions(name);
    fields().any(|field| {
        field
            .strip_prefix(name.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

fn fields() -> impl Iterator<Item = &'static str> {
    let all = detection::FIELDS.iter().chain(sensor::FIELDS);
    all.map(|field| field.name)
}

/// `tags.0` is as good as `tags`.
fn without_positions(name: &str) -> String {
    let is_position = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = name.split('.').filter(|part| !is_position(part)).collect();
    parts.join(".")
}

/// What is wrong with a field's name, and which one may have been meant.
fn unknown_field(name: &str) -> String {
    let mut problem = format!("there is no field {name:?}");
    let near = fields().map(|field| (distance(name, field), field)).min();
    // A third of the letters may be wrong.
    if let Some((wrong, field)) = near
        && wrong <= 1 + name.len() / 3
    {
        // Writing to a string cannot fail.
        let _infallible = write!(problem, ", is {field:?} meant?");
    } else {
        problem.push_str(": docs/fields.md lists them");
    }
    problem
}

/// Levenshtein's distance.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (at, a) in one.chars().enumerate() {
        let mut diagonal = at;
        let mut left = at + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (b, cell) in other.chars().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            left = (diagonal + usize::from(a != b))
                .min(above + 1)
                .min(left + 1);
            *cell = left;
            diagonal = above;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// Checks every name that a template uses; the first problem, with its line.
pub(super) fn check<'a>(
    template: &Template<'_, '_>,
    batch: bool,
    variables: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), String> {
    let mut problems: Vec<(usize, String)> = template
        .undeclared_variables(true)
        .iter()
        .filter_map(|name| {
            let problem = problem(name, batch, variables.clone())?;
            Some((line_of(template.source(), name), problem))
        })
        .collect();
    problems.sort();
    match problems.into_iter().next() {
        Some((line, problem)) => Err(format!("line {line}: {problem}")),
        None => Ok(()),
    }
}

fn problem<'a>(
    name: &str,
    batch: bool,
    mut variables: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let (first, rest) = name.split_once('.').unwrap_or((name, ""));
    let whole: &[&str] = if batch { &BATCH } else { &WHOLE };
    if FUNCTIONS.contains(&first) {
        return None;
    }
    if first == "variables" {
        let known = rest.is_empty() || variables.any(|variable| variable == rest);
        return (!known)
            .then(|| format!("there is no variable {rest:?}: expected it in variables"));
    }
    if whole.contains(&first) {
        let known = rest.is_empty() || first == "documents" || is_known(rest);
        return (!known).then(|| unknown_field(rest));
    }
    if batch {
        return Some(format!(
            "{first:?} is not known in a batch: its documents are in \"documents\""
        ));
    }
    (!is_known(name)).then(|| unknown_field(name))
}

/// The first line with a name, from 1.
fn line_of(text: &str, name: &str) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let has = |line: &str| {
        line.match_indices(name).any(|(at, _)| {
            let before = line.get(..at).and_then(|it| it.chars().next_back());
            let after = line.get(at + name.len()..).and_then(|it| it.chars().next());
            !before.is_some_and(|c| is_part(c) || c == '.') && !after.is_some_and(is_part)
        })
    };
    text.lines().position(has).map_or(1, |at| at + 1)
}

/// A document whose objects answer for a field that does not exist with an error.
pub(super) fn strict(document: &Json) -> Value {
    node(document, "")
}

fn node(value: &Json, path: &str) -> Value {
    match value {
        Json::Object(_) => Value::from_object(Node {
            value: value.clone(),
            path: path.to_owned(),
        }),
        Json::Array(values) => values.iter().map(|value| node(value, path)).collect(),
        other => Value::from(Serde(other)),
    }
}

struct Node {
    value: Json,
    path: String,
}

impl fmt::Debug for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.value)
    }
}

impl Object for Node {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        let path = match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        };
        match self.value.get(key) {
            Some(value) => Some(node(value, &path)),
            None if is_known(&path) => None,
            None => {
                let problem = unknown_field(&path);
                Some(Value::from(Error::new(ErrorKind::UndefinedError, problem)))
            }
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let keys = self.value.as_object().into_iter().flatten();
        Enumerator::Values(keys.map(|(key, _)| Value::from(key.as_str())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_textbook() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("source.ip", "source.ip"), 0);
    }

    #[test]
    fn fields_objects_and_elements_are_known_and_what_is_below_a_value_is_not() {
        for known in [
            "source.ip",
            "source",
            "beaconwatch.signals.0.text",
            "tags.0",
            "beaconwatch.sensor.id",
        ] {
            assert!(is_known(known), "{known}");
        }
        for unknown in ["sourc", "source.ip.x", "beaconwatch.signals.words"] {
            assert!(!is_known(unknown), "{unknown}");
        }
    }
}
