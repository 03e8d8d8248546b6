use std::path::Path;

use figment::Jail;

use super::*;
use crate::otlp::connection::{Compression, Protocol};

fn otel(pairs: &[(&str, &str)]) -> OtelEnvironment {
    OtelEnvironment::from_lookup(|name| {
        pairs
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

fn read(file: &str, pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load(Some(Path::new(file)), &otel(pairs), Overrides::default())
}

#[expect(clippy::result_large_err, reason = "the error type of figment")]
fn jailed(test: impl FnOnce(&mut Jail)) {
    Jail::expect_with(|jail| {
        jail.clear_env();
        test(jail);
        Ok(())
    });
}

#[test]
fn each_layer_goes_over_the_one_before() {
    jailed(|jail| {
        jail.create_file(
            "b.toml",
            "[exporter.otlp]\nendpoint = \"http://file:1\"\ntimeout_s = 3",
        )
        .unwrap();
        let endpoint = |config: &Config| config.otlp.endpoint.clone().unwrap();
        let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:2")];
        let file = read("b.toml", &[]).unwrap();
        assert_eq!(endpoint(&file), "http://file:1");
        assert_eq!(file.otlp.timeout_s, Duration::from_secs(3));
        assert_eq!(file.flush_interval_s, Duration::from_secs(1));
        assert_eq!(
            endpoint(&read("b.toml", &variables).unwrap()),
            "http://otel:2"
        );
        jail.set_env("BEACONWATCH_EXPORTER__OTLP__ENDPOINT", "http://env:3");
        assert_eq!(
            endpoint(&read("b.toml", &variables).unwrap()),
            "http://env:3"
        );
        let overrides = Overrides {
            endpoint: Some("http://flag:4".to_owned()),
            ..Overrides::default()
        };
        let config = load(Some(Path::new("b.toml")), &otel(&variables), overrides).unwrap();
        assert_eq!(endpoint(&config), "http://flag:4");
        assert_eq!(config.otlp.timeout_s, Duration::from_secs(3));
    });
}

#[test]
fn a_flag_beats_a_variable_of_one_signal() {
    jailed(|jail| {
        jail.create_file("b.toml", "").unwrap();
        let variables = [("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs:2")];
        let overrides = Overrides {
            endpoint: Some("http://flag:4".to_owned()),
            ..Overrides::default()
        };
        let config = load(Some(Path::new("b.toml")), &otel(&variables), overrides).unwrap();
        let connection = config.otlp.logs_connection().unwrap();
        assert_eq!(connection.endpoint.to_string(), "http://flag:4/");
    });
}

#[test]
fn the_environment_sets_durations_lists_and_numbers() {
    jailed(|jail| {
        jail.create_file("b.toml", "").unwrap();
        jail.set_env("BEACONWATCH_EXPORTER__FLUSH_INTERVAL_S", "0.25");
        jail.set_env("BEACONWATCH_EXPORTER__UDP_IDLE_TIMEOUT_S", "30");
        jail.set_env(
            "BEACONWATCH_EXPORTER__OWN_EXECUTABLES",
            "[\"/opt/a\", \"/opt/b\"]",
        );
        jail.set_env("BEACONWATCH_EXPORTER__QUEUE__MAX_RECORDS", "10");
        jail.set_env("BEACONWATCH_CONFIG", "not a setting");
        let config = read("b.toml", &[]).unwrap();
        assert_eq!(config.flush_interval_s, Duration::from_millis(250));
        assert_eq!(config.udp_idle_timeout_s, Duration::from_secs(30));
        assert_eq!(config.own_executables.len(), 2);
        assert_eq!(config.queue.max_records, 10);
    });
}

#[test]
fn other_programs_sections_are_allowed() {
    jailed(|jail| {
        jail.create_file("b.toml", "[detector]\nx = 1\n[sidecar.api]\ny = [2]\n")
            .unwrap();
        assert_eq!(read("b.toml", &[]).unwrap(), Config::default());
    });
}

#[test]
fn unknown_keys_are_refused_with_file_and_key() {
    jailed(|jail| {
        for (text, key) in [
            (
                "[exporter]\nflush_intervall_s = 1",
                "exporter.flush_intervall_s",
            ),
            (
                "[exporter.otlp.logs]\nurl = \"x\"",
                "exporter.otlp.logs.url",
            ),
            ("[exportr]\nx = 1", "exportr"),
        ] {
            jail.create_file("b.toml", text).unwrap();
            let error = read("b.toml", &[]).unwrap_err().to_string();
            assert!(error.contains("b.toml"), "{error}");
            assert!(error.contains(key), "{error}");
            assert!(error.contains("unknown key, expected one of"), "{error}");
        }
        jail.create_file("b.toml", "").unwrap();
        jail.set_env("BEACONWATCH_EXPORTER__OTLP__ENDPONT", "http://env:3");
        let error = read("b.toml", &[]).unwrap_err().to_string();
        assert!(error.contains("exporter.otlp.endpont"), "{error}");
        assert!(error.contains("BEACONWATCH_"), "{error}");
    });
}

#[test]
fn wrong_types_are_refused_with_file_and_key() {
    jailed(|jail| {
        jail.create_file("b.toml", "[exporter]\nmax_flows = \"many\"")
            .unwrap();
        let error = read("b.toml", &[]).unwrap_err().to_string();
        assert!(
            error.contains("b.toml") && error.contains("exporter.max_flows"),
            "{error}"
        );
        jail.create_file("b.toml", "[exporter\n").unwrap();
        assert!(
            read("b.toml", &[])
                .unwrap_err()
                .to_string()
                .contains("b.toml")
        );
    });
}

#[test]
fn a_file_that_is_asked_for_must_be_there() {
    jailed(|_| {
        let error = read("missing.toml", &[]).unwrap_err().to_string();
        assert!(error.contains("missing.toml"), "{error}");
    });
}

#[test]
fn values_out_of_range_are_refused_with_what_was_expected() {
    jailed(|jail| {
        for (text, key) in [
            ("flush_interval_s = 0", "flush_interval_s"),
            ("update_interval_s = 1e9", "update_interval_s"),
            ("max_flows = 0", "max_flows"),
            ("batch.max_bytes = 0", "batch.max_bytes"),
            ("queue.disk.max_bytes = 1", "queue.disk.max_bytes"),
            ("queue.disk.directory = \"queue\"", "queue.disk.directory"),
            (
                "metrics.max_attribute_sets = 0",
                "metrics.max_attribute_sets",
            ),
            ("sampling.ratio = 0", "sampling.ratio"),
            ("sampling.ratio = 1.1", "sampling.ratio"),
            ("sampling.ratio = nan", "sampling.ratio"),
            ("capture.ring_bytes = 100000", "capture.ring_bytes"),
            ("capture.max_peers = 0", "capture.max_peers"),
            ("drain_timeout_s = 1e6", "drain_timeout_s"),
            ("otlp.timeout_s = 0", "otlp.timeout_s"),
            ("otlp.endpoint = \"collector:4317\"", "otlp.endpoint"),
            ("otlp.endpoint = \"ftp://collector\"", "otlp.endpoint"),
            ("otlp.endpoint = \"unix:otelcol.sock\"", "otlp.endpoint"),
            ("otlp.logs.endpoint = \"/v1/logs\"", "otlp.logs.endpoint"),
            ("otlp.headers = { \"a b\" = \"c\" }", "otlp.headers"),
            ("process.hash_max_bytes = 0", "process.hash_max_bytes"),
            (
                "kubernetes.url = \"http://node:10255/pods\"",
                "kubernetes.url",
            ),
            ("kubernetes.labels = [\"\"]", "kubernetes.labels"),
            ("kubernetes.timeout_s = 0", "kubernetes.timeout_s"),
            ("privacy.pseudonymise = [\"user\"]", "privacy.key_file"),
        ] {
            jail.create_file("b.toml", &format!("[exporter]\n{text}"))
                .unwrap();
            let error = read("b.toml", &[]).unwrap_err().to_string();
            assert!(
                error.contains(&format!("exporter.{key}")),
                "{text}: {error}"
            );
            assert!(error.contains("expected"), "{text}: {error}");
        }
        for text in [
            "privacy.omit = [\"source_address\"]",
            "flush_interval_s = nan",
            "flush_interval_s = -1",
            "max_flows = -1",
        ] {
            jail.create_file("b.toml", &format!("[exporter]\n{text}"))
                .unwrap();
            assert!(read("b.toml", &[]).is_err(), "{text}");
        }
    });
}

#[test]
fn secrets_are_never_printed() {
    jailed(|jail| {
        jail.create_file(
            "b.toml",
            "[exporter.otlp]\nheaders = { authorization = \"Bearer s3cret\\u0007\" }",
        )
        .unwrap();
        let error = read("b.toml", &[]).unwrap_err().to_string();
        assert!(
            error.contains("authorization") && !error.contains("s3cret"),
            "{error}"
        );
    });
    let mut config = Config::default();
    config
        .otlp
        .headers
        .insert("a".to_owned(), Secret::new("s3cret".to_owned()));
    assert!(!format!("{config:?}").contains("s3cret"));
    assert!(!serde_json::to_string(&config).unwrap().contains("s3cret"));
}

fn endpoints(pairs: &[(&str, &str)]) -> (String, String) {
    let mut result = None;
    jailed(|jail| {
        jail.create_file("b.toml", "").unwrap();
        let otlp = read("b.toml", pairs).unwrap().otlp;
        result = Some((
            otlp.logs_connection().unwrap().endpoint.to_string(),
            otlp.metrics_connection().unwrap().endpoint.to_string(),
        ));
    });
    result.unwrap()
}

#[test]
fn endpoints_follow_the_specification() {
    let http = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    let pair = |logs: &str, metrics: &str| (logs.to_owned(), metrics.to_owned());
    assert_eq!(
        endpoints(&[]),
        pair("http://localhost:4317/", "http://localhost:4317/")
    );
    assert_eq!(
        endpoints(&[http]),
        pair(
            "http://localhost:4318/v1/logs",
            "http://localhost:4318/v1/metrics"
        )
    );
    assert_eq!(
        endpoints(&[http, ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c:1/base/")]),
        pair("https://c:1/base/v1/logs", "https://c:1/base/v1/metrics")
    );
    assert_eq!(
        endpoints(&[
            http,
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1"),
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://d:2"),
        ]),
        pair("http://d:2/", "http://c:1/v1/metrics")
    );
    let socket = "unix:///run/otelcol.sock";
    assert_eq!(
        endpoints(&[http, ("OTEL_EXPORTER_OTLP_ENDPOINT", socket)]),
        pair(socket, socket)
    );
}

#[test]
fn variables_of_one_signal_beat_general_ones() {
    jailed(|jail| {
        jail.create_file("b.toml", "").unwrap();
        let config = read(
            "b.toml",
            &[
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "a=1,b=x%20y%2Cz"),
                ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
                ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "C=3"),
                ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "100"),
                ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "none"),
                ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/protobuf"),
            ],
        )
        .unwrap();
        let logs = config.otlp.logs_connection().unwrap();
        let metrics = config.otlp.metrics_connection().unwrap();
        assert_eq!(logs.timeout, Duration::from_millis(100));
        assert_eq!(metrics.timeout, Duration::from_millis(2500));
        assert_eq!(logs.compression, Compression::None);
        assert_eq!(metrics.compression, Compression::Zstd);
        assert_eq!(logs.headers.keys().collect::<Vec<_>>(), ["c"]);
        assert_eq!(metrics.headers["b"].reveal(), "x y,z");
        assert_eq!(logs.protocol, Protocol::HttpProtobuf);
        assert_eq!(metrics.protocol, Protocol::Grpc);
        assert_eq!(logs.tls.certificate, Some("/ca.pem".into()));
    });
}

#[test]
fn variables_that_cannot_be_understood_are_ignored_with_a_warning() {
    let environment = otel(&[
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "novalue"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", " "),
    ]);
    assert_eq!(environment.warnings().len(), 3);
    assert!(environment.warnings()[0].contains("OTEL_EXPORTER_OTLP_PROTOCOL"));
    jailed(|jail| {
        jail.create_file("b.toml", "").unwrap();
        let config = load(
            Some(Path::new("b.toml")),
            &environment,
            Overrides::default(),
        )
        .unwrap();
        assert_eq!(config, Config::default());
    });
}

#[test]
fn metrics_are_sent_when_an_endpoint_is_configured_unless_told_otherwise() {
    let mut config = Config::default();
    assert!(!config.metrics_enabled());
    config.otlp.endpoint = Some("http://c:1".to_owned());
    assert!(config.metrics_enabled());
    config.metrics.enabled = Some(false);
    assert!(!config.metrics_enabled());
}
