//! The validator of Elastic's package specification.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{cache, tools};

const VERSION: &str = "v3.5.0";
const PROGRAM: &str = include_str!("../../servers/package_spec.go");

/// The validator's program from the cache, built when it is not there yet.
pub fn install(progress: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    let folder = cache::entry(&format!("package-spec-{VERSION}"), PROGRAM, |folder| {
        progress("building the validator of Elastic packages");
        build(folder)
    })?;
    Ok(folder.join("package_spec"))
}

fn build(folder: &Path) -> Result<()> {
    let go = tools::go()?;
    let proxy = tools::go_proxy(&go)?;
    let log = folder.join("install.log");
    fs::write(folder.join("main.go"), PROGRAM).context("writing main.go")?;
    let module = format!("github.com/elastic/package-spec/v3@{VERSION}");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&go);
        command
            .args(arguments)
            .env("GOPROXY", &proxy)
            .current_dir(folder);
        tools::run(&mut command, &log)
    };
    run(&["mod", "init", "package_spec"])?;
    run(&["get", &module])?;
    // -e: tests of dependencies are not needed, and one of theirs cannot be had.
    run(&["mod", "tidy", "-e"])?;
    run(&["build", "-trimpath", "-o", "package_spec", "."])
}
