use serde_json::json;

use super::*;

fn patched(mut target: Value, patch: &Value) -> Value {
    merge_patch(&mut target, patch);
    target
}

#[test]
fn a_merge_patch_sets_replaces_and_removes() {
    let target = json!({"a": {"b": 1, "c": [1, 2]}, "d": 2});
    let patch = json!({"a": {"b": null, "c": [3]}, "d": null, "e": {"f": 1}});
    assert_eq!(
        patched(target, &patch),
        json!({"a": {"c": [3]}, "e": {"f": 1}})
    );
}

#[test]
fn what_has_nothing_in_it_any_more_goes() {
    let target = json!({"a": {"b": {"c": 1}}});
    assert_eq!(
        patched(target, &json!({"a": {"b": {"c": null}}})),
        json!({})
    );
}

#[test]
fn a_configuration_comes_back_from_its_tree() {
    let config = Config::default();
    assert_eq!(read(of(&config).unwrap()).unwrap(), config);
}

#[test]
fn differences_are_named_by_the_deepest_key() {
    let old = json!({"a": {"b": 1, "c": 2}, "d": {}, "e": [1]});
    let new = json!({"a": {"b": 1, "c": 3}, "d": {"x": {"y": 1}}, "e": [2]});
    let found: Vec<String> = differences(&old, &new)
        .iter()
        .map(|path| path.join("."))
        .collect();
    assert_eq!(found, ["a.c", "d.x.y", "e"]);
    assert!(differences(&old, &old).is_empty());
}

#[test]
fn only_what_may_change_at_runtime_can_be_patched_and_the_refusal_names_the_key() {
    let base = of(&Config::default()).unwrap();
    for patch in [
        json!({"detector": {"seed": {"alert_threshold": 0.8}}}),
        json!({"update_interval_s": 60, "analysis_interval_s": 1}),
        json!({"destinations": {"file": {"route": {"minimum_severity": "high"}}}}),
        json!({"detector": null}),
        json!({"destinations": {"file": null}}),
        json!({"destinations": null}),
        json!({}),
    ] {
        check_patch(&patch, &base).unwrap();
    }
    for (patch, key) in [
        (json!({"data_directory": "/tmp"}), "data_directory"),
        (json!({"data_directory": null}), "data_directory"),
        (
            json!({"detector": {"max_series": 1}}),
            "detector.max_series",
        ),
        (
            json!({"destinations": {"file": {"path": "/etc/passwd"}}}),
            "destinations.file.path",
        ),
        (json!({"destinations": {"file": 1}}), "destinations.file"),
        (
            json!({"destinations": {"other": {"route": {"enabled": false}}}}),
            "destinations.other.route",
        ),
        (json!({"api": {"address": "0.0.0.0:1"}}), "api.address"),
        (
            json!({"api": {"tokens": {"x": {"role": "operate"}}}}),
            "api.tokens.x.role",
        ),
        (json!([1]), "configuration"),
        (json!("text"), "configuration"),
    ] {
        let error = check_patch(&patch, &base).unwrap_err().to_string();
        assert!(error.starts_with(key), "{patch}: {error}");
    }
}

#[test]
fn what_another_tree_does_not_have_goes_whole() {
    let mut tree = json!({"a": {"b": {"c": 1, "d": {"e": 2}}, "f": 1}});
    let other = json!({"a": {"f": 2}, "g": {"h": 3}});
    for path in differences(&tree, &other) {
        copy(&mut tree, &path, &other);
    }
    assert_eq!(tree, other);
}
