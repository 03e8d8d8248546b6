//! Drives the built program as a user would and looks at what it prints.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test that cannot go on fails, also in the functions that tests share"
)]

mod config;
mod doctor;
mod fake;
mod instance;
mod learning;
mod life;
mod lists;
mod reload;
mod rules;
mod run;
mod score;
mod seed;
mod simulate;
mod token;
mod webhook;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

/// The program, with nothing of this machine's configuration.
fn beaconwatch() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_beaconwatch"));
    let set = std::env::vars_os().map(|(name, _)| name);
    for name in set.filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("BEACONWATCH_") || name.starts_with("OTEL_")
    }) {
        command.env_remove(name);
    }
    for name in ["RUST_LOG", "NO_COLOR", "COLUMNS", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command.env(
        "BEACONWATCH_CONFIG",
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/empty.toml"),
    );
    command
}

/// What a run of the program gave.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!err.contains("panicked"), "{err}");
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err,
        }
    }
}

fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Ran {
    beaconwatch().args(arguments).output().unwrap().into()
}

/// A folder with files of the given content.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn gzip(content: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../packaging")
        .join(name)
}

#[test]
fn a_command_line_that_is_not_understood_exits_with_2() {
    for arguments in [
        &["score"][..],
        &["score", "--no-such-flag", "x"],
        &["score", "--input", "tape", "x"],
        &["score", "--min-score", "1.5", "x"],
        &["score", "--min-risk", "0.5", "x"],
        &["score", "--hosts", "--all", "x"],
        &["score", "--fdr", "0", "x"],
        &["score", "--fdr", "1", "x"],
        &["score", "--fdr", "NaN", "x"],
        &["score", "--fdr", "0.1", "--false-alerts-per-day", "1", "x"],
        &["train", "x"],
        &["train", "x", "--out", "y", "--seed", "-1"],
        &["hosts", "--limit", "x", "y"],
        &["hosts", "--model", "builtin"],
        &["score", "--all", "--min-score", "0.5", "x"],
        &["setup"],
        &["setup", "elastic"],
        &["setup", "elastic", "--url", "x", "--user", "y"],
        &["setup", "elastic", "--url", "x", "--print-privileges"],
        &["setup", "opensearch", "--url", "x", "--exit-code"],
        &["setup", "opensearch", "--url", "x", "--namespace", "a/b"],
        &["setup", "opensearch", "--url", "x", "--without", "tape"],
        &["setup", "splunk", "--url", "x", "--token-file", "y"],
        &["no-such-command"],
        &["config"],
        &["status", "--port", "70000"],
        &["status", "--url", "http://x", "--port", "1"],
        &["status", "--token", "x", "--token-file", "y"],
        &["beacons", "--json", "--csv"],
        &["beacons", "--limit", "0"],
        &["beacons", "--source", "10.0.0.0/33"],
        &["beacons", "--source", "example.org"],
        &["long-conns", "--min-duration", "-1"],
        &["long-conns", "--min-duration", "NaN"],
        &["alerts", "show"],
        &["alerts", "show", "no-id"],
        &["alerts", "list", "--since", "yesterday"],
        &["alerts", "list", "--state", "opened"],
        &["alerts", "suppress", "aaaa"],
        &["alerts", "suppress", "aaaa", "--for", "8"],
        &["alerts", "suppress", "aaaa", "--for", "0h"],
        &["alerts", "acknowledge", "aaaa", "--undo", "--comment", "x"],
        &["allow", "add", "--reason", "no condition"],
        &["allow", "add", "--domain", "example.org"],
        &[
            "allow",
            "add",
            "--domain",
            "x",
            "--reason",
            "x",
            "--for",
            "1d",
            "--expires",
            "2026-01-01T00:00:00Z",
        ],
        &["dead-letters", "drop", "file"],
        &["simulate", "--interval", "0"],
        &["simulate", "--jitter", "2"],
        &["simulate", "--count", "20", "--for", "1h"],
        &["watch", "--interval", "0"],
        &["watch", "--csv"],
        &["completions", "tcsh"],
        &["dead-letters", "replay", "file", "1", "--all"],
        &[],
    ] {
        let ran = run(arguments.iter().copied());
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.err);
        assert!(
            ran.err.contains("--help") && ran.out.is_empty(),
            "{arguments:?}: {}",
            ran.err
        );
    }
}

#[test]
fn help_and_version_are_printed_on_request() {
    let help = run(["--help"]);
    assert_eq!(help.code, Some(0));
    for command in [
        "run",
        "detect",
        "export",
        "score",
        "hosts",
        "train",
        "status",
        "beacons",
        "long-conns",
        "connections",
        "sensors",
        "audit",
        "alerts",
        "allow",
        "destinations",
        "dead-letters",
        "analyze",
        "watch",
        "simulate",
        "completions",
        "man",
        "config",
    ] {
        assert!(
            help.out.contains(&format!("\n  {command} ")),
            "{command}: {}",
            help.out
        );
    }
    assert_eq!(
        run(["--version"]).out.trim(),
        concat!("beaconwatch ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    let commands = [
        "alerts",
        "allow",
        "beacons",
        "dead-letters",
        "hosts",
        "simulate",
        "train",
        "watch",
    ];
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(["completions", shell]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        for command in commands {
            assert!(ran.out.contains(command), "{shell}: {command}");
        }
    }
    let one = run(["man"]);
    assert!(one.out.contains(".TH beaconwatch 1"), "{}", one.out);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("man1");
    let ran = run(["man", "--out", text(&out)]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{}", ran.err);
    for command in commands {
        let page = fs::read_to_string(out.join(format!("beaconwatch-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
    let nested = fs::read_to_string(out.join("beaconwatch-alerts-suppress.1")).unwrap();
    assert!(nested.contains("90s, 30m, 8h or 7d"), "{nested}");
}
