use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::*;

const SAMPLE: &str = include_str!("../../../packaging/beaconwatch.toml");

/// The sample with every default switched on: lines `#key = value` and `#[section]`.
fn switched_on() -> String {
    SAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with([' ', '-']) => setting,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn read(text: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("beaconwatch.toml");
    std::fs::write(&file, text).unwrap();
    load(Some(&file), Flags::default()).map(|loaded| loaded.config)
}

/// Dotted names of all values that are not null.
fn keys(value: &Json, prefix: &str, found: &mut BTreeSet<String>) {
    match value {
        Json::Null => {}
        Json::Object(fields) => {
            for (name, value) in fields {
                keys(value, &format!("{prefix}.{name}"), found);
            }
        }
        _ => {
            found.insert(prefix.trim_start_matches('.').to_owned());
        }
    }
}

fn keys_of(value: &Json) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    keys(value, "", &mut found);
    found
}

#[test]
fn the_sample_file_as_it_is_changes_nothing() {
    assert_eq!(read(SAMPLE).unwrap(), Config::default());
}

#[test]
fn the_sample_file_shows_every_setting_with_its_default() {
    let text = switched_on();
    assert_eq!(read(&text).unwrap(), Config::default());
    let shown: Json = serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap();
    let defaults = serde_json::to_value(Config::default()).unwrap();
    let (shown, defaults) = (keys_of(&shown), keys_of(&defaults));
    let missing: Vec<_> = defaults.difference(&shown).collect();
    let stray: Vec<_> = shown.difference(&defaults).collect();
    assert!(
        missing.is_empty() && stray.is_empty(),
        "missing {missing:?}, without a default {stray:?}"
    );
}

#[test]
fn the_examples_in_the_sample_file_are_right() {
    let examples = SAMPLE.lines().filter_map(|line| line.strip_prefix("#   "));
    let text = examples.collect::<Vec<_>>().join("\n");
    let config = read(&text).unwrap().sidecar;
    assert_eq!(config.destinations.len(), 5);
    assert_eq!((config.allow.len(), config.inputs.len()), (3, 1));
    assert!(config.api.tls.is_some() && !config.api.tokens.is_empty());
}

#[test]
fn an_unknown_key_is_refused_with_file_key_and_what_there_is() {
    for (text, key) in [
        (
            "[detector.seed]\nalert_treshold = 0.5\n",
            "detector.seed.alert_treshold",
        ),
        (
            "[exporter.otlp]\nendpiont = \"http://x\"\n",
            "exporter.otlp.endpiont",
        ),
        (
            "[sidecar.api]\nadress = \"127.0.0.1:1\"\n",
            "sidecar.api.adress",
        ),
        (
            "[sidecar.destinations.file]\ntype = \"file\"\npaht = \"x\"\n",
            "paht",
        ),
        ("[detecter]\n", "detecter"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(
            error.contains("beaconwatch.toml:") && error.contains(key),
            "{error}"
        );
        assert!(error.contains("expected"), "{error}");
    }
}

#[test]
fn a_value_outside_its_range_or_of_another_type_is_refused_with_its_place() {
    for (text, words) in [
        (
            "[detector.seed]\nalert_threshold = 2\n",
            "detector.seed.alert_threshold is 2, expected 0 to 1",
        ),
        (
            "[detector.seed]\ncv_threshold = nan\n",
            "detector.seed.cv_threshold is NaN",
        ),
        ("[detector]\nmax_series = \"many\"\n", "detector.max_series"),
        (
            "[sidecar]\nanalysis_interval_s = 0\n",
            "sidecar.analysis_interval_s is 0, expected 1",
        ),
        (
            "[sidecar.api]\naddress = \"0.0.0.0:9090\"\n",
            "allow_remote",
        ),
        (
            "[exporter]\nflush_interval_s = 0\n",
            "exporter.flush_interval_s is 0, expected",
        ),
        ("[detector\n", ""),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains("beaconwatch.toml"), "{error}");
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn flags_stand_above_the_file_and_are_named_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("beaconwatch.toml");
    std::fs::write(
        &file,
        "[detector.seed]\nalert_threshold = 0.5\nmin_connections = 20\n",
    )
    .unwrap();
    let flags = Flags::default().set("detector.seed.alert_threshold", Some(0.9));
    let loaded = load(Some(&file), flags).unwrap();
    let seed = &loaded.config.detector.seed;
    assert_eq!(
        (seed.alert_threshold.to_bits(), seed.min_connections),
        (0.9_f64.to_bits(), 20)
    );
    assert_eq!(loaded.config.sidecar.detector, loaded.config.detector);

    let flags = Flags::default().set("detector.seed.alert_threshold", Some(9.0));
    let error = load(Some(&file), flags).unwrap_err().to_string();
    assert!(error.starts_with("flag --alert-threshold: "), "{error}");
}

#[test]
fn naming_a_destination_replaces_the_default_one() {
    let config = read("[sidecar.destinations.search]\ntype = \"opensearch\"\n").unwrap();
    let names: Vec<&String> = config.sidecar.destinations.keys().collect();
    assert_eq!(names, ["search"]);
}

#[test]
fn a_missing_file_and_a_folder_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.toml");
    let error = load(Some(&missing), Flags::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("missing.toml"), "{error}");
    assert!(load(Some(folder.path()), Flags::default()).is_err());
}
