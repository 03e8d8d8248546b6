//! Crates of other people: their licences, sources and versions, by cargo-deny and `deny.toml`.
//!
//! cargo-deny is built once (some minutes) and kept in the cache. Its advisory check is left out: that
//! needs a clone of a database from outside of the package registries.

use std::process::Command;

use anyhow::Result;
use beaconwatch_tests::{cache, tools};

use crate::workspace;

const VERSION: &str = "0.18.9";

/// Runs `cargo deny check bans licenses sources`.
pub(crate) fn check() -> Result<()> {
    let folder = cache::entry(&format!("cargo-deny-{VERSION}"), VERSION, |folder| {
        println!("building cargo-deny {VERSION} (some minutes, once)");
        // Unoptimised: it is fast enough, and builds in half the time.
        let mut command = workspace::cargo_command();
        command.args([
            "install",
            "--debug",
            "--locked",
            "--version",
            VERSION,
            "cargo-deny",
        ]);
        command.arg("--root").arg(folder).current_dir(folder);
        tools::run(&mut command, &folder.join("install.log"))
    })?;
    let checks = [
        "--log-level",
        "warn",
        "check",
        "bans",
        "licenses",
        "sources",
    ];
    workspace::run(Command::new(folder.join("bin/cargo-deny")).args(checks))
}
