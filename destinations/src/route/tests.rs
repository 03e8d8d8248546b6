use proptest::prelude::*;
use serde_json::json;

use super::*;

fn document() -> Value {
    json!({
        "destination": {"ip": "198.51.100.7", "port": 443, "domain": "CDN.Example.org"},
        "source": {"ip": "::ffff:192.0.2.9"},
        "event": {"severity": 73, "dataset": "beaconwatch.detection"},
        "process": {"name": "curl"},
        "tags": ["beaconing", "simulated"],
    })
}

fn condition(field: &str, values: &[&str]) -> Condition {
    Condition {
        field: field.to_owned(),
        any_of: values
            .iter()
            .map(|&it| ConditionValue::Text(it.to_owned()))
            .collect(),
    }
}

fn wants(config: &RouteConfig) -> bool {
    config.compile("route").unwrap().wants(&document())
}

fn only(field: &str, values: &[&str]) -> bool {
    wants(&RouteConfig {
        only: vec![condition(field, values)],
        ..RouteConfig::default()
    })
}

#[test]
fn without_settings_every_document_is_wanted() {
    assert!(wants(&RouteConfig::default()));
    let route = RouteConfig::default().compile("route").unwrap();
    assert!(route.wants(&json!({})));
}

#[test]
fn less_severe_documents_are_left_out() {
    for (minimum_severity, expected) in [
        (MinimumSeverity::Low, true),
        (MinimumSeverity::Medium, true),
        (MinimumSeverity::High, true),
        (MinimumSeverity::Critical, false),
    ] {
        let config = RouteConfig {
            minimum_severity,
            ..RouteConfig::default()
        };
        assert_eq!(wants(&config), expected, "{}", minimum_severity.name());
    }
}

#[test]
fn a_disabled_destination_and_one_without_simulated_ones_get_nothing() {
    for config in [
        RouteConfig {
            enabled: false,
            ..RouteConfig::default()
        },
        RouteConfig {
            include_simulated: false,
            ..RouteConfig::default()
        },
    ] {
        assert!(!wants(&config));
    }
}

#[test]
fn documents_of_sensors_can_be_left_out() {
    let config = RouteConfig {
        include_sensors: false,
        ..RouteConfig::default()
    };
    let route = config.compile("route").unwrap();
    let sensor = json!({"event": {"dataset": "beaconwatch.sensor", "severity": 73}});
    assert!(!route.wants(&sensor));
    assert!(route.wants(&document()));
}

#[test]
fn addresses_are_held_against_networks_also_when_mapped() {
    assert!(only("destination.ip", &["198.51.100.0/24"]));
    assert!(only("destination.ip", &["10.0.0.0/8", "198.51.100.7"]));
    assert!(!only("destination.ip", &["198.51.100.8"]));
    assert!(only("source.ip", &["192.0.2.0/24"]));
    assert!(only("destination.ip", &["::ffff:198.51.100.0/120"]));
    assert!(!only("destination.ip", &["::ffff:198.51.101.0/120"]));
}

#[test]
fn a_mapped_network_wider_than_all_of_ipv4_is_refused() {
    let config = |network| RouteConfig {
        only: vec![condition("source.ip", &[network])],
        ..RouteConfig::default()
    };
    assert!(config("::ffff:0.0.0.0/96").compile("route").is_ok());
    assert!(config("::ffff:0.0.0.0/95").compile("route").is_err());
}

#[test]
fn text_numbers_and_arrays_are_held_against_patterns() {
    assert!(only("destination.domain", &["*.example.ORG"]));
    assert!(!only(
        "destination.domain",
        &["*.example.com", "example.org"]
    ));
    assert!(only("destination.port", &["44*"]));
    assert!(only("tags", &["beaconing"]));
    assert!(!only("process.executable", &["*"]), "it has none");
    let numbers: RouteConfig = serde_json::from_value(json!({
        "only": [{"field": "destination.port", "any_of": [443]}]
    }))
    .unwrap();
    assert!(wants(&numbers));
}

#[test]
fn all_of_only_and_none_of_except_must_hold() {
    let mut config = RouteConfig {
        only: vec![
            condition("process.name", &["curl", "wget"]),
            condition("destination.port", &["443"]),
        ],
        ..RouteConfig::default()
    };
    assert!(wants(&config));
    config.except = vec![condition("process.executable", &["*"])];
    assert!(wants(&config), "a missing field holds no condition");
    config.except.push(condition("process.name", &["c*l"]));
    assert!(!wants(&config));
    config.except.clear();
    config.only.push(condition("process.name", &["nc"]));
    assert!(!wants(&config));
}

#[test]
fn what_can_never_hold_is_an_error_that_names_the_place() {
    let error = |condition: Condition| {
        let config = RouteConfig {
            except: vec![condition],
            ..RouteConfig::default()
        };
        config
            .validate("destinations.hec.route")
            .unwrap_err()
            .to_string()
    };
    let place = "destinations.hec.route.except[0]";
    let misspelt = error(condition("destination.adress", &["1"]));
    assert!(misspelt.contains(place) && misspelt.contains("destination.adress"));
    let empty = error(condition("process.name", &[]));
    assert!(empty.contains(&format!("{place}.any_of is 0")), "{empty}");
    let address = error(condition("destination.ip", &["192.0.2.300"]));
    assert!(address.contains("192.0.2.300"), "{address}");
}

#[test]
fn limits_out_of_range_are_refused() {
    let set: [fn(&mut RouteConfig); 3] = [
        |it| it.max_documents_per_s = Some(0),
        |it| it.max_batch_documents = Some(10_001),
        |it| it.max_batch_bytes = Some(1023),
    ];
    for set in set {
        let mut config = RouteConfig::default();
        set(&mut config);
        assert!(config.validate("route").is_err(), "{config:?}");
    }
}

proptest! {
    /// Against a definition that takes the star at its word.
    #[test]
    fn a_pattern_matches_as_its_definition_says(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
        fn defined(pattern: &[u8], text: &[u8]) -> bool {
            match pattern.split_first() {
                None => text.is_empty(),
                Some((b'*', rest)) => (0..=text.len()).any(|skip| defined(rest, &text[skip..])),
                Some((first, rest)) => text.first() == Some(first) && defined(rest, &text[1..]),
            }
        }
        let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
        prop_assert_eq!(matches(pattern, text), defined(pattern, text));
    }
}
