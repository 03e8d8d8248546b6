//! The seed's configuration, as YAML.

use super::*;

/// A configuration of the seed with every key that it can have.
fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/seed.yaml")
}

fn shown(file: &Path) -> serde_json::Value {
    let ran = run(["config", "show", "--effective", "--json", text(file)]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    serde_json::from_str(&ran.out).unwrap()
}

fn refused(content: &str) -> String {
    let files = folder(&[("config.yaml", content.as_bytes())]);
    let ran = run(["config", "check", text(&files.path().join("config.yaml"))]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{content}");
    ran.err
}

#[test]
fn each_key_works_or_is_answered_with_what_replaces_it() {
    let ran = run(["config", "check", text(&sample())]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    for (line, key, words) in [
        (3, "data_plane.interface", "at its sockets"),
        (5, "data_plane.control_plane_host", "exporter.otlp.endpoint"),
        (
            13,
            "control_plane.listen_address",
            "sidecar.api.allow_remote",
        ),
        (16, "control_plane.data_retention", "detector.max_series"),
        (17, "control_plane.cleanup_interval", "nothing to clean up"),
        (
            21,
            "detection.time_window",
            "detector.max_starts_per_series",
        ),
        (
            23,
            "detection.periodicity_threshold",
            "detector.seed.alert_threshold",
        ),
        (27, "detection.cv_weight", "0.4 coefficient of variation"),
        (30, "detection.size_weight", "sizes do not count"),
        (39, "alerting.syslog.level", "route.minimum_severity"),
        (43, "alerting.file.max_size_mb", "rename the file"),
        (53, "logging.level", "--log"),
        (59, "persistence.db_path", "sidecar.store.path"),
    ] {
        let warning = ran
            .out
            .lines()
            .find(|it| it.contains(&format!("seed.yaml:{line}: {key} ")));
        let warning = warning.unwrap_or_else(|| panic!("{line} {key}: {}", ran.out));
        assert!(
            warning.starts_with("warning: ") && warning.contains(words),
            "{warning}"
        );
    }
}

#[test]
fn thresholds_of_the_seed_bring_its_score_unless_the_file_says_otherwise() {
    let profile = |content: &str| {
        let files = folder(&[("config.yaml", content.as_bytes())]);
        let shown = shown(&files.path().join("config.yaml"));
        shown["configuration"]["detector"]["profile"].clone()
    };
    assert_eq!(profile("detection:\n  cv_threshold: 0.2\n"), "seed");
    assert_eq!(profile("logging:\n  level: INFO\n"), "evidence");
    let both = "detector:\n  profile: evidence\ndetection:\n  cv_threshold: 0.2\n";
    assert_eq!(profile(both), "evidence");
}

#[test]
fn weights_are_passed_over_in_silence_only_when_they_are_those_in_force() {
    let weights = |size: &str| {
        let content = format!(
            "detection:\n  cv_weight: 0.4\n  periodicity_weight: 0.4\n  jitter_weight: 0.2\n  size_weight: {size}\n"
        );
        let files = folder(&[("config.yaml", content.as_bytes())]);
        let ran = run(["config", "check", text(&files.path().join("config.yaml"))]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran.out
    };
    assert!(!weights("0").contains("_weight"));
    let warned = weights("0.15");
    assert!(warned.contains(":5: detection.size_weight"), "{warned}");
    assert_eq!(warned.matches("_weight").count(), 1, "{warned}");
}

#[test]
fn values_go_to_the_settings_that_mean_the_same_and_show_where_they_came_from() {
    let shown = shown(&sample());
    let at = |key: &str| {
        let pointer = format!("/configuration/{}", key.replace('.', "/"));
        shown.pointer(&pointer).cloned().unwrap_or_default()
    };
    for (key, value, written) in [
        (
            "detector.seed.min_connections",
            serde_json::json!(12),
            ":19: detection.min_connections",
        ),
        (
            "detector.seed.min_duration_s",
            301.0.into(),
            ":20: detection.min_duration",
        ),
        (
            "detector.seed.cv_threshold",
            0.16.into(),
            ":22: detection.cv_threshold",
        ),
        (
            "detector.seed.jitter_threshold_s",
            6.0.into(),
            ":24: detection.jitter_threshold",
        ),
        (
            "detector.seed.min_interval_s",
            11.0.into(),
            ":25: detection.min_beacon_interval",
        ),
        (
            "detector.seed.max_interval_s",
            3601.0.into(),
            ":26: detection.max_beacon_interval",
        ),
        (
            "detector.seed.alert_threshold",
            0.75.into(),
            ":31: detection.alert_threshold",
        ),
        (
            "sidecar.update_interval_s",
            300.into(),
            ":32: detection.alert_cooldown",
        ),
        (
            "sidecar.analysis_interval_s",
            61.into(),
            ":33: detection.analysis_interval",
        ),
        (
            "sidecar.api.address",
            "127.0.0.1:9191".into(),
            "control_plane.listen_address",
        ),
        (
            "sidecar.receive.max_connections",
            10.into(),
            ":15: control_plane.max_connections",
        ),
        (
            "exporter.flush_interval_s",
            60.0.into(),
            ":4: data_plane.export_interval",
        ),
        (
            "exporter.queue.max_records",
            100_000.into(),
            ":8: data_plane.max_buffer_size",
        ),
        (
            "exporter.capture.ring_bytes",
            262_144.into(),
            ":9: data_plane.ring_buffer_pages",
        ),
        (
            "sidecar.destinations.syslog.facility",
            "local3".into(),
            ": alerting",
        ),
    ] {
        assert_eq!(at(key), value, "{key}");
        let origin = shown["origins"][key].as_str().unwrap_or_default();
        assert!(
            origin.contains("seed.yaml:") && origin.contains(written),
            "{key}: {origin}"
        );
    }
    let destinations = at("sidecar.destinations");
    let names: Vec<&String> = destinations.as_object().unwrap().keys().collect();
    assert_eq!(names, ["file", "syslog"], "the webhook is off");
    assert_eq!(
        destinations["file"]["path"],
        "/var/log/beacon-detect/alerts.json"
    );
    assert_eq!(destinations["file"]["create_folder"], true);
}

#[test]
fn the_whitelist_becomes_entries_of_the_allow_list_in_both_spellings() {
    let entries = shown(&sample())["configuration"]["sidecar"]["allow"].clone();
    let entries = entries.as_array().unwrap();
    assert_eq!(entries.len(), 6);
    assert_eq!(entries[0]["source"], "10.0.0.1");
    assert_eq!(entries[1]["destination"], "192.0.2.0/24");
    assert_eq!(
        (&entries[2]["port"], &entries[3]["port"]),
        (&53.into(), &123.into())
    );
    assert_eq!(entries[4]["source"], "10.0.0.5");
    assert_eq!(entries[4]["destination"], "192.0.2.1");
    assert_eq!(entries[4]["port"], 80);
    assert_eq!(entries[4]["reason"], "from the configuration's whitelist");
    assert_eq!(
        (&entries[5]["port"], &entries[5]["transport"]),
        (&123.into(), &"udp".into())
    );

    let other = b"allowlist:\n  dest_ips: [192.0.2.7]\n  destination_ports: [8125]\n  ip_pairs: ['[2001:db8::1]:[2001:db8::2]:443']\n";
    let files = folder(&[("config.yml", other)]);
    let shown = shown(&files.path().join("config.yml"));
    let entries = shown["configuration"]["sidecar"]["allow"]
        .as_array()
        .unwrap();
    assert_eq!(entries[0]["destination"], "192.0.2.7");
    assert_eq!(entries[1]["port"], 8125);
    assert_eq!(entries[2]["destination"], "2001:db8::2");
}

#[test]
fn an_unknown_or_a_wrong_key_is_refused_with_file_line_and_expectation() {
    for (content, words) in [
        (
            "detection:\n  cv_treshold: 0.1\n",
            "config.yaml:2: detection.cv_treshold: unknown key, expected one of min_connections",
        ),
        (
            "detektion:\n  a: 1\n",
            "detektion: unknown key, expected one of exporter",
        ),
        (
            "detection:\n\n  alert_threshold: 7\n",
            "config.yaml:3: detection.alert_threshold: detector.seed.alert_threshold is 7, expected 0 to 1",
        ),
        (
            "detection:\n  min_connections: ten\n",
            "config.yaml:2: detection.min_connections: ",
        ),
        (
            "control_plane:\n  listen_port: 70000\n",
            "config.yaml:2: control_plane.listen_port is 70000, expected 0 to 65535",
        ),
        (
            "control_plane:\n  listen_address: here\n",
            "config.yaml:2: control_plane.listen_address is \"here\", expected an IP address",
        ),
        (
            "data_plane:\n  track_udp: 3\n",
            "config.yaml:2: data_plane.track_udp is 3, expected true or false",
        ),
        (
            "data_plane:\n  ring_buffer_pages: -1\n",
            "config.yaml:2: data_plane.ring_buffer_pages is -1",
        ),
        (
            "whitelist:\n  pairs: ['a:b']\n",
            "config.yaml:2: whitelist.pairs is \"a:b\", expected source:destination:port",
        ),
        (
            "whitelist:\n  ports:\n    - 1\n    - 70000\n",
            "config.yaml:4: ",
        ),
        (
            "whitelist:\n  hosts: []\n",
            "config.yaml:2: whitelist.hosts: unknown key",
        ),
        (
            "alerting:\n  email: {}\n",
            "config.yaml:2: alerting.email: unknown key",
        ),
        (
            "alerting:\n  syslog_enabled: true\n  syslog: {enabled: true}\n",
            "config.yaml:3: ",
        ),
        (
            "- a\n- b\n",
            "config.yaml:1: the file is a list, expected sections",
        ),
        ("detection: [1\n", "config.yaml:"),
        (
            "sidecar:\n  api:\n    adress: x\n",
            "config.yaml:3: sidecar.api.adress: unknown key",
        ),
    ] {
        let error = refused(content);
        assert!(error.contains(words), "{content}: {error}");
    }
}

#[test]
fn our_own_sections_can_be_yaml_and_stand_above_the_seed_s_keys() {
    let content = b"detection:\n  alert_threshold: 0.8\ndetector:\n  seed:\n    alert_threshold: 0.9\nsidecar:\n  namespace: lab\n";
    let files = folder(&[("config", content)]);
    let file = files.path().join("config");
    let shown = shown(&file);
    assert_eq!(
        shown["configuration"]["detector"]["seed"]["alert_threshold"],
        0.9
    );
    assert_eq!(shown["configuration"]["sidecar"]["namespace"], "lab");
    let warning = shown["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains(":2: detection.alert_threshold has no effect"),
        "{warning}"
    );
}

#[test]
fn flat_keys_of_alerting_mean_the_nested_ones_and_all_of_it_can_be_off() {
    let content = b"alerting:\n  syslog_enabled: yes\n  file_enabled: no\n";
    let files = folder(&[
        ("a.yaml", content),
        ("b.yaml", b"alerting:\n  enabled: false\n"),
    ]);
    let destinations = |name: &str| {
        let shown = shown(&files.path().join(name));
        let all = shown["configuration"]["sidecar"]["destinations"].clone();
        all.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(destinations("a.yaml"), ["syslog"]);
    assert!(destinations("b.yaml").is_empty());
}

#[test]
fn a_bomb_of_aliases_is_refused_and_not_expanded() {
    let level = |level: u32| {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        format!("a{level}: &a{level} [{items}]\n")
    };
    let bottom = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    let bomb: String = std::iter::once(bottom).chain((1..12).map(level)).collect();
    let error = refused(&bomb);
    assert!(error.contains("config.yaml"), "{error}");
    assert!(error.len() < 1000, "{error}");
}
