#![no_main]
//! Configuration files: what YAML says, in the seed's words or in ours, can be written as TOML and is the same then;
//! lines that are named are lines of the file; whatever the values are, checking them is all that happens.

use beaconwatch_settings::{FileSettings, Format};
use figment::value::{Dict, Value};
use libfuzzer_sys::fuzz_target;

fn is_line(line: u64, text: &str) -> bool {
    // One behind the last: where something is missing that should follow.
    (1..=text.split(['\n', '\r']).count() as u64 + 1).contains(&line)
}

fuzz_target!(|text: &str| {
    for format in [Format::Toml, Format::Yaml] {
        match FileSettings::parse(text, format) {
            Err(error) => assert!(
                error.line.is_none_or(|line| is_line(line, text)),
                "{error:?}"
            ),
            Ok(settings) => check(&settings, text),
        }
    }
});

fn check(settings: &FileSettings, text: &str) {
    assert!(
        settings
            .warnings()
            .iter()
            .all(|(line, _)| is_line(*line, text))
    );
    let values = settings.values();
    for name in values.keys() {
        assert!(is_line(settings.line(std::slice::from_ref(name)), text));
    }
    validate(&values);
    // TOML has no numbers beyond 64 bits.
    let Ok(toml) = toml::to_string(&values) else {
        return;
    };
    let again = FileSettings::parse(&toml, Format::Toml).expect("TOML by another writer");
    assert_eq!(words(&again.values()), words(&values), "{toml}");
}

/// The same text for the same values; not a number is none of itself.
fn words(values: &Dict) -> String {
    serde_json::to_string(values).expect("values are JSON")
}

/// What a file says in its sections, read as their types and checked.
fn validate(values: &Dict) {
    let section = |name: &str| {
        values
            .get(name)
            .cloned()
            .unwrap_or(Value::from(Dict::new()))
    };
    if let Ok(config) = section("sidecar").deserialize::<beaconwatch_sidecar::Config>() {
        let _refused = config.validate().is_err();
    }
    if let Ok(settings) = section("detector").deserialize::<beaconwatch_detector::Settings>() {
        let _refused = settings.validate().is_err();
    }
}
