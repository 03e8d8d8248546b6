//! `beaconwatch config check`.

use super::*;

#[test]
fn the_packaged_files_are_accepted() {
    for name in ["beaconwatch.toml", "exporter.toml", "sidecar.toml"] {
        let file = packaged(name);
        let ran = run(["config", "check", text(&file)]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{name}");
        assert!(
            ran.out.starts_with(&format!("{}: ok\n", text(&file))),
            "{}",
            ran.out
        );
    }
    let sample = run(["config", "check", text(&packaged("beaconwatch.toml"))]);
    assert!(
        sample.out.contains("every setting has its default"),
        "{}",
        sample.out
    );
}

#[test]
fn what_is_set_is_summed_up() {
    let files = folder(&[(
        "b.toml",
        b"[detector]\nprofile = \"seed\"\n[detector.seed]\nalert_threshold = 0.8\n",
    )]);
    let ran = run(["config", "check", text(&files.path().join("b.toml"))]);
    assert!(
        ran.out
            .contains("alert threshold 0.8, at least 10 connections"),
        "{}",
        ran.out
    );
}

#[test]
fn a_wrong_file_is_refused_with_file_key_and_expectation() {
    for (content, words) in [
        (
            "[detector.seed]\nalert_treshold = 0.5\n",
            "detector.seed.alert_treshold: unknown key, expected one of",
        ),
        (
            "[detector.seed]\nalert_threshold = -1\n",
            "alert_threshold is -1, expected 0 to 1",
        ),
        (
            "[sidecar.api]\naddress = \"nowhere\"\n",
            "sidecar.api.address",
        ),
        (
            "[exporter.otlp]\nprotocol = \"carrier-pigeon\"\n",
            "exporter.otlp.protocol",
        ),
        ("[exporter\n", ""),
    ] {
        let files = folder(&[("b.toml", content.as_bytes())]);
        let file = files.path().join("b.toml");
        let ran = run(["config", "check", text(&file)]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{content}");
        assert!(
            ran.err.contains("b.toml") && ran.err.contains(words),
            "{content}: {}",
            ran.err
        );
    }
    let ran = run(["config", "check", "/no/such/file.toml"]);
    assert!(
        ran.code == Some(1) && ran.err.contains("cannot read /no/such/file.toml"),
        "{}",
        ran.err
    );
}

#[test]
fn a_file_or_variable_that_cannot_be_read_is_a_warning_with_its_place() {
    let content =
        b"[sidecar.api.tls]\ncertificate_file = \"/no/such.pem\"\nkey_file = \"/no/such.key\"\n\n\
        [sidecar.destinations.hook]\ntype = \"webhook\"\nurl = \"https://hooks.example.org\"\n\
        secrets = [{ env = \"BEACONWATCH_TEST_NO_SUCH\" }]\n";
    let files = folder(&[("b.toml", content)]);
    let ran = run(["config", "check", text(&files.path().join("b.toml"))]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for words in [
        "b.toml:2: sidecar.api.tls.certificate_file: cannot read /no/such.pem",
        "b.toml:3: sidecar.api.tls.key_file: cannot read /no/such.key",
        "sidecar.destinations.hook.secrets.0.env: the environment variable BEACONWATCH_TEST_NO_SUCH is not set",
    ] {
        let warned = ran.out.lines().find(|line| line.contains(words));
        let warned = warned.unwrap_or_else(|| panic!("{words}: {}", ran.out));
        assert!(warned.starts_with("warning: "), "{warned}");
    }
}

#[test]
fn a_model_that_is_none_is_refused_with_its_file_and_field() {
    let files = folder(&[("model.json", b"{\"beaconwatch_model\": 7}")]);
    let model = files.path().join("model.json");
    let content = format!("[sidecar.risk]\nmodel = {:?}\n", text(&model));
    let file = files.path().join("b.toml");
    fs::write(&file, content).unwrap();
    let ran = run(["config", "check", text(&file)]);
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    let words = "model.json: field beaconwatch_model: version 7, expected 1";
    assert!(
        ran.err.contains("risk.model: ") && ran.err.contains(words),
        "{}",
        ran.err
    );
}

#[test]
fn a_secret_that_stands_in_the_configuration_is_refused_and_not_shown() {
    let content = b"[sidecar.destinations.x]\ntype = \"splunk_hec\"\nurl = \"https://splunk.example.org:8088\"\ntoken = \"hunter2hunter2\"\n";
    let files = folder(&[("b.toml", content)]);
    for command in [&["config", "check"][..], &["detect", "--config"]] {
        let file = files.path().join("b.toml");
        let ran = run([command, &[text(&file)]].concat());
        assert_eq!(ran.code, Some(1), "{}", ran.err);
        assert!(
            ran.err.contains("sidecar.destinations.x: a secret stands"),
            "{}",
            ran.err
        );
        assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    }
}

#[test]
fn the_environment_stands_above_the_file_and_is_named_in_errors() {
    let files = folder(&[("b.toml", b"[detector.evidence]\nalert_threshold = 0.5\n")]);
    let check = |value: &str| -> Ran {
        let mut command = beaconwatch();
        command.args(["config", "check", text(&files.path().join("b.toml"))]);
        command.env("BEACONWATCH_DETECTOR__EVIDENCE__ALERT_THRESHOLD", value);
        command.output().unwrap().into()
    };
    assert!(check("0.95").out.contains("alert threshold 0.95"));
    let refused = check("5");
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.err.contains("BEACONWATCH_") && refused.err.contains("environment"),
        "{}",
        refused.err
    );
}

/// The schema that the program prints.
fn schema() -> (String, serde_json::Value) {
    let ran = run(["config", "schema"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let schema = serde_json::from_str(&ran.out).unwrap();
    (ran.out, schema)
}

/// Names of all settings in a schema, of whatever section.
fn names(schema: &serde_json::Value, found: &mut std::collections::BTreeSet<String>) {
    match schema {
        serde_json::Value::Object(fields) => {
            if let Some(properties) = fields.get("properties").and_then(|it| it.as_object()) {
                found.extend(properties.keys().cloned());
            }
            // What stands in a default is no schema.
            let parts = fields.iter().filter(|(name, _)| *name != "default");
            parts.for_each(|(_, part)| names(part, found));
        }
        serde_json::Value::Array(parts) => parts.iter().for_each(|part| names(part, found)),
        _ => {}
    }
}

#[test]
fn the_schema_in_the_documentation_is_the_program_s() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config.schema.json");
    assert_eq!(
        fs::read_to_string(file).unwrap_or_default(),
        schema().0,
        "write it anew: beaconwatch config schema > docs/config.schema.json"
    );
}

#[test]
fn every_setting_of_the_schema_says_what_it_is_and_stands_in_the_sample() {
    let (text, schema) = schema();
    let mut all = std::collections::BTreeSet::new();
    names(&schema, &mut all);
    assert!(all.len() > 100, "{all:?}");
    let sample = fs::read_to_string(packaged("beaconwatch.toml")).unwrap();
    let words: std::collections::BTreeSet<&str> = sample
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .collect();
    let missing: Vec<&String> = all
        .iter()
        .filter(|name| !words.contains(name.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "not in packaging/beaconwatch.toml: {missing:?}"
    );
    assert!(text.contains("\"description\": \"Score from which a series is a detection. 0..=1.\""));
}

#[test]
fn what_is_shown_can_be_read_again_and_says_where_each_value_came_from() {
    let file = b"[sidecar]\nnamespace = \"lab\"\n\n[[sidecar.allow]]\nport = 123\nreason = \"time\"\n\n[sidecar.destinations.search]\ntype = \"opensearch\"\nurl = \"https://search.example.org:9200\"\n[sidecar.destinations.search.authentication.basic]\nuser = \"beaconwatch\"\npassword = { env = \"SEARCH_PASSWORD\" }\n";
    let files = folder(&[("b.toml", file)]);
    let path = files.path().join("b.toml");
    let show = |more: &[&str]| {
        let mut command = beaconwatch();
        command.args(["config", "show", text(&path)]).args(more);
        command.env("BEACONWATCH_DETECTOR__SEED__CV_THRESHOLD", "0.2");
        let ran: Ran = command.output().unwrap().into();
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
        ran.out
    };
    let changed = show(&[]);
    assert!(
        changed.contains("namespace = \"lab\" # ") && changed.contains("b.toml:2\n"),
        "{changed}"
    );
    let variable =
        "seed.cv_threshold = 0.2 # environment variable BEACONWATCH_DETECTOR__SEED__CV_THRESHOLD";
    assert!(changed.contains(variable), "{changed}");
    assert!(!changed.contains("max_series"), "{changed}");

    let whole = show(&["--effective"]);
    assert!(whole.contains("max_series = 1000000\n"), "{whole}");
    let again = folder(&[("again.toml", whole.as_bytes())]);
    let again = again.path().join("again.toml");
    let json = |path: &Path| {
        let ran = run(["config", "show", "--effective", "--json", text(path)]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{whole}");
        let shown: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        shown["configuration"].clone()
    };
    let mut expected = json(&path);
    expected["detector"]["seed"]["cv_threshold"] = 0.2.into();
    assert_eq!(json(&again), expected);
}

#[test]
fn a_threshold_that_the_method_does_not_read_is_a_warning_with_its_place() {
    let check = |content: &str| {
        let files = folder(&[("beaconwatch.toml", content.as_bytes())]);
        let ran = run([
            "config",
            "check",
            text(&files.path().join("beaconwatch.toml")),
        ]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
        ran.out
    };
    let seed =
        "[detector.seed]\nmin_connections = 20\ncv_threshold = 0.15\nalert_threshold = 0.8\n";
    let out = check(seed);
    for place in [
        "beaconwatch.toml:2: detector.seed.min_connections has no effect with the method evidence",
        "beaconwatch.toml:4: detector.seed.alert_threshold has no effect",
    ] {
        assert!(out.contains(place), "{out}");
    }
    assert!(
        out.contains("--profile seed (detector.profile = \"seed\")"),
        "{out}"
    );
    assert!(!out.contains("cv_threshold"), "as by default: {out}");
    let out = check(&format!("[detector]\nprofile = \"seed\"\n{seed}"));
    assert!(!out.contains("warning"), "{out}");
}
