//! What is already stored: indices whose fields have other types, and templates of others that would win.

use beaconwatch_integrations::panel::DataSet;
use beaconwatch_integrations::store;
use http::Method;
use serde_json::Value;

use super::State;
use crate::access::Access;
use crate::error::Problem;
use crate::plan::Object;
use crate::{Settings, SetupError};

/// Types that a search takes for one another.
const FAMILIES: &[&[&str]] = &[
    &["keyword", "constant_keyword", "wildcard"],
    &["text", "match_only_text"],
    &["object", "nested"],
];
/// Most conflicts of an index that are told.
const MOST_CONFLICTS: usize = 10;

/// Looks at templates and mappings.
pub(super) async fn check(
    access: &Access,
    settings: &Settings,
    objects: &[(Object, State)],
    problems: &mut Vec<Problem>,
    notes: &mut Vec<String>,
) -> Result<(), SetupError> {
    templates(access, settings, problems).await?;
    let will_change = objects
        .iter()
        .any(|(_, state)| matches!(state, State::Missing | State::Different(_)));
    for data in DataSet::ALL {
        let streams = indices(access, settings, data, problems).await?;
        if streams && will_change {
            notes.push(format!(
                "Data streams {}-* exist: their next backing index gets the new mappings and the pipeline. To have them at \
                 once, roll each over (POST <data stream>/_rollover).",
                data.template()
            ));
        }
    }
    Ok(())
}

/// Looks at what holds documents of a data set; whether there is a data stream.
async fn indices(
    access: &Access,
    settings: &Settings,
    data: DataSet,
    problems: &mut Vec<Problem>,
) -> Result<bool, SetupError> {
    let namespace = settings.namespace.as_deref().unwrap_or("*");
    let pattern = format!("{}-{namespace}", data.template());
    let path = format!("{pattern}/_mapping?expand_wildcards=all&ignore_unavailable=true");
    let reply = access.store.ask(Method::GET, &path).await?;
    if reply.is_missing() {
        return Ok(false);
    }
    let body = reply.success(&access.store, |reason| SetupError::Unreadable {
        object: format!("the mappings of {pattern} (privilege view_index_metadata)"),
        reason,
    })?;
    let component = store::mappings_component(data);
    let planned = &component["template"]["mappings"];
    let mut streams = false;
    for (index, found) in body.as_object().into_iter().flatten() {
        let is_backing = index.starts_with(".ds-");
        streams |= is_backing;
        if !settings.force {
            index_problems(index, is_backing, planned, &found["mappings"], problems);
        }
    }
    Ok(streams)
}

/// What is wrong with one index.
fn index_problems(
    index: &str,
    is_backing: bool,
    planned: &Value,
    found: &Value,
    problems: &mut Vec<Problem>,
) {
    if !is_backing {
        problems.push(Problem::new(
            format!("{index} is an index, where a data stream is to be"),
            "Reindex it under another name and delete it: a data stream cannot have the name of an index.",
        ));
    }
    let mut conflicts = Vec::new();
    compare("", planned, found, &mut conflicts);
    conflicts.truncate(MOST_CONFLICTS);
    for (field, found, expected) in conflicts {
        problems.push(Problem::new(
            format!("{index} maps {field} to {found}, expected {expected}"),
            "Reindex it with the new mappings, or delete it when its documents are not needed; --force sets up \
             nevertheless, and searches over old and new indices fail for this field.",
        ));
    }
}

/// Fields that both know, of types that do not fit.
fn compare(
    prefix: &str,
    planned: &Value,
    found: &Value,
    conflicts: &mut Vec<(String, String, String)>,
) {
    let fields = planned["properties"].as_object().into_iter().flatten();
    for (name, planned) in fields {
        let Some(found) = found["properties"].get(name) else {
            continue;
        };
        let field = format!("{prefix}{name}");
        let (is, wanted) = (field_type(found), field_type(planned));
        if fits(is, wanted) {
            compare(&format!("{field}."), planned, found, conflicts);
        } else {
            conflicts.push((field, is.to_owned(), wanted.to_owned()));
        }
    }
}

fn field_type(mapping: &Value) -> &str {
    mapping["type"].as_str().unwrap_or("object")
}

fn fits(one: &str, other: &str) -> bool {
    one == other
        || FAMILIES
            .iter()
            .any(|family| family.contains(&one) && family.contains(&other))
}

/// Templates of others for the same names: the highest priority wins, and the same priority is refused.
async fn templates(
    access: &Access,
    settings: &Settings,
    problems: &mut Vec<Problem>,
) -> Result<(), SetupError> {
    let reply = access.store.ask(Method::GET, "_index_template").await?;
    let body = reply.success(&access.store, |reason| SetupError::Unreadable {
        object: "the index templates (privilege manage_index_templates)".to_owned(),
        reason,
    })?;
    for template in body["index_templates"].as_array().into_iter().flatten() {
        let name = template["name"].as_str().unwrap_or_default();
        let body = &template["index_template"];
        let priority = body["priority"].as_u64().unwrap_or_default();
        let is_ours = DataSet::ALL.iter().any(|data| data.template() == name);
        if is_ours || settings.force || priority < u64::from(beaconwatch_schema::template::PRIORITY)
        {
            continue;
        }
        let mut patterns = body["index_patterns"].as_array().into_iter().flatten();
        let wins = patterns.find(|pattern| {
            let pattern = pattern.as_str().unwrap_or_default();
            DataSet::ALL
                .iter()
                .any(|data| covers(pattern, &format!("{}-default", data.template())))
        });
        if let Some(pattern) = wins {
            problems.push(Problem::new(
                format!("index template {name} covers {pattern} with priority {priority}, and wins over those of Beaconwatch"),
                "Give it a priority below 250 or other patterns.",
            ));
        }
    }
    Ok(())
}

/// Whether a pattern with asterisks covers a name.
fn covers(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut left) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = left.split_once(part) else {
            return false;
        };
        left = after;
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns_cover_what_they_say() {
        for (pattern, covered) in [
            ("logs-*-*", true),
            ("*", true),
            ("logs-beaconwatch.flow-default", true),
            ("logs-*flow-*lt", true),
            ("logs-other-*", false),
            ("logs-beaconwatch.flow", false),
            ("logs-*-production", false),
        ] {
            assert_eq!(
                covers(pattern, "logs-beaconwatch.flow-default"),
                covered,
                "{pattern}"
            );
        }
    }

    #[test]
    fn a_field_of_another_type_is_a_conflict_and_one_of_the_same_family_is_not() {
        let mapping = |kind: &str| json!({ "properties": { "a": { "properties": { "b": { "type": kind } } } } });
        let conflicts = |found: &Value| {
            let mut conflicts = Vec::new();
            compare("", &mapping("keyword"), found, &mut conflicts);
            conflicts
        };
        assert_eq!(conflicts(&mapping("constant_keyword")), []);
        assert_eq!(
            conflicts(&json!({ "properties": { "c": { "type": "ip" } } })),
            []
        );
        let other = ["a.b", "text", "keyword"].map(str::to_owned);
        assert_eq!(conflicts(&mapping("text")), [other.into()]);
        let scalar = json!({ "properties": { "a": { "type": "keyword" } } });
        assert_eq!(
            conflicts(&scalar),
            [["a", "keyword", "object"].map(str::to_owned).into()]
        );
    }
}
