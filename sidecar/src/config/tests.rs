use super::*;

#[test]
fn the_defaults_are_valid() {
    assert!(Config::default().validate().is_ok());
}

#[test]
fn an_address_that_others_can_reach_needs_consent() {
    let mut config = Config::default();
    config.receive.http_address = SocketAddr::from(([0, 0, 0, 0], 14318));
    let error = config.validate().unwrap_err().to_string();
    assert!(
        error.contains("receive.http_address is 0.0.0.0:14318"),
        "{error}"
    );
    assert!(error.contains("receive.allow_remote = true"), "{error}");
    config.receive.allow_remote = true;
    assert!(config.validate().is_ok());
}

#[test]
fn an_error_names_the_field_and_the_range() {
    let config = Config {
        analysis_interval_s: 0,
        ..Config::default()
    };
    let error = config.validate().unwrap_err().to_string();
    assert_eq!(error, "analysis_interval_s is 0, expected 1 to 3600");
}

#[test]
fn unknown_keys_are_refused_by_name() {
    let error = serde_json::from_str::<Config>(r#"{"api":{"adress":"127.0.0.1:1"}}"#);
    assert!(error.unwrap_err().to_string().contains("adress"));
}

#[test]
fn a_destination_name_that_cannot_be_a_key_is_refused() {
    for name in ["", "a/b", "a b", &"x".repeat(65)] {
        let destinations = BTreeMap::from([(name.to_owned(), DestinationConfig::default())]);
        let config = Config {
            destinations,
            ..Config::default()
        };
        assert!(config.validate().is_err(), "{name:?}");
    }
}
