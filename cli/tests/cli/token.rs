//! Which token a request carries, and what is said when it is the wrong one.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::fake::Fake;
use super::*;

fn fake() -> Fake {
    Fake::start(&[(
        "GET /api/v1/sensors",
        200,
        json!({"count": 0, "sensors": []}),
    )])
}

fn carried(fake: &Fake, command: &mut Command) -> Option<String> {
    let ran: Ran = command
        .args(["sensors", "--url", &fake.url()])
        .output()
        .unwrap()
        .into();
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    fake.asked().pop().unwrap().authorization
}

/// A configuration whose state folder is `state`.
fn config(state: &Path) -> String {
    format!("[sidecar]\ndata_directory = {:?}\n", text(state))
}

#[test]
fn a_flag_a_file_the_environment_and_the_state_folder_give_the_token_in_this_order() {
    let fake = fake();
    let state = folder(&[("api-token", b"from-state\n"), ("other", b" from-file \n")]);
    let config_file = state.path().join("config.toml");
    fs::write(&config_file, config(state.path())).unwrap();
    let other = state.path().join("other");
    let command = || {
        let mut command = beaconwatch();
        command.env("BEACONWATCH_CONFIG", &config_file);
        command
    };
    let bearer = |token: &str| Some(format!("Bearer {token}"));

    assert_eq!(carried(&fake, &mut command()), bearer("from-state"));
    let mut with_variable = command();
    with_variable.env("BEACONWATCH_TOKEN", "from-variable");
    assert_eq!(carried(&fake, &mut with_variable), bearer("from-variable"));
    with_variable.args(["--token-file", text(&other)]);
    // The flags stand before the command's name here: they belong to the command.
    let mut with_file = command();
    with_file.env("BEACONWATCH_TOKEN", "from-variable");
    with_file.args([
        "sensors",
        "--url",
        &fake.url(),
        "--token-file",
        text(&other),
    ]);
    assert_eq!(with_file.status().unwrap().code(), Some(0));
    assert_eq!(
        fake.asked().pop().unwrap().authorization,
        bearer("from-file")
    );
    let mut with_flag = command();
    with_flag.env("BEACONWATCH_TOKEN", "from-variable");
    with_flag.args(["sensors", "--url", &fake.url(), "--token", "from-flag"]);
    assert_eq!(with_flag.status().unwrap().code(), Some(0));
    assert_eq!(
        fake.asked().pop().unwrap().authorization,
        bearer("from-flag")
    );
}

#[test]
fn without_any_token_the_request_goes_without() {
    let fake = fake();
    let state = tempfile::tempdir().unwrap();
    let config_file = state.path().join("config.toml");
    fs::write(&config_file, config(state.path())).unwrap();
    let mut command = beaconwatch();
    command.env("BEACONWATCH_CONFIG", &config_file);
    assert_eq!(carried(&fake, &mut command), None);
}

#[test]
fn a_401_says_where_the_token_is_and_a_403_which_role_is_missing() {
    let refusing =
        |status: u16, error: &str| Fake::start(&[("GET", status, json!({"error": error}))]);
    let state = tempfile::tempdir().unwrap();
    let config_file = state.path().join("config.toml");
    fs::write(&config_file, config(state.path())).unwrap();
    let ask = |fake: &Fake, more: &[&str]| -> Ran {
        let mut command = beaconwatch();
        command.env("BEACONWATCH_CONFIG", &config_file);
        command.args(["alerts", "--url", &fake.url()]).args(more);
        command.output().unwrap().into()
    };
    let unauthorised = refusing(401, "a token is needed");
    let ran = ask(&unauthorised, &[]);
    assert_eq!(ran.code, Some(1));
    let file = state.path().join("api-token");
    for words in [
        "401: a token is needed",
        text(&file),
        "--token-file",
        "BEACONWATCH_TOKEN",
    ] {
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
    let ran = ask(&unauthorised, &["--token", "very-secret"]);
    assert!(
        ran.err.contains("does not know the token of --token"),
        "{}",
        ran.err
    );
    assert!(!ran.err.contains("very-secret"), "{}", ran.err);

    let ran = ask(&refusing(403, "this needs the role operate"), &[]);
    assert_eq!(ran.code, Some(1));
    for words in [
        "403: this needs the role operate",
        "\"operate\"",
        "api-token",
    ] {
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
}

#[test]
fn a_token_file_that_cannot_be_used_is_named_without_its_content() {
    let long = "x".repeat(5000);
    let files = folder(&[
        ("empty", b" \n"),
        ("binary", b"se\x01cret"),
        ("words", b"top secret"),
        ("long", long.as_bytes()),
    ]);
    for (name, problem) in [
        ("empty", "it is empty"),
        ("binary", "visible ASCII"),
        ("words", "visible ASCII"),
        ("long", "more than 4096 bytes"),
        ("absent", "No such file"),
    ] {
        let path = files.path().join(name);
        let ran = run(["status", "--token-file", text(&path)]);
        assert_eq!(ran.code, Some(1));
        assert!(
            ran.err.contains(text(&path)) && ran.err.contains(problem),
            "{name}: {}",
            ran.err
        );
        assert!(!ran.err.contains("secret"), "{}", ran.err);
    }
}

#[test]
fn certificates_that_cannot_be_read_are_named() {
    let files = folder(&[("not.pem", b"hello")]);
    let path = files.path().join("not.pem");
    let readable = PermissionsExt::from_mode(0o644);
    fs::set_permissions(&path, readable).unwrap();
    let ran = run(["status", "--ca-file", text(&path)]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains(text(&path)) && ran.err.contains("expected PEM"),
        "{}",
        ran.err
    );
}
