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

#[test]
fn a_destination_is_read_with_its_secret_s_place_and_its_unknown_keys_are_refused() {
    let text = r#"{"destinations":{"search":{"type":"opensearch","url":"https://search.example:9200",
        "authentication":{"basic":{"user":"beaconwatch","password":{"env":"SEARCH_PASSWORD"}}}}}}"#;
    let config: Config = serde_json::from_str(text).unwrap();
    assert!(config.validate().is_ok());
    assert_eq!(config.destinations["search"].kind.name(), "elasticsearch");
    let error = serde_json::from_str::<Config>(&text.replace("\"url\"", "\"uri\"")).unwrap_err();
    assert!(error.to_string().contains("uri"), "{error}");
    for url in [
        "search.example",
        "ftp://search.example",
        "https://user:secret@search.example",
    ] {
        let text = text.replace("https://search.example:9200", url);
        let config: Config = serde_json::from_str(&text).unwrap();
        let error = config.validate().unwrap_err().to_string();
        assert!(error.starts_with("destinations.search.url is "), "{error}");
    }
}
