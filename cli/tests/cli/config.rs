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
    let files = folder(&[("b.toml", b"[detector.seed]\nalert_threshold = 0.8\n")]);
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
fn the_environment_stands_above_the_file_and_is_named_in_errors() {
    let files = folder(&[("b.toml", b"[detector.seed]\nalert_threshold = 0.5\n")]);
    let check = |value: &str| -> Ran {
        let mut command = beaconwatch();
        command.args(["config", "check", text(&files.path().join("b.toml"))]);
        command.env("BEACONWATCH_DETECTOR__SEED__ALERT_THRESHOLD", value);
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
