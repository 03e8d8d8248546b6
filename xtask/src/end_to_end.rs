//! The end-to-end tests: built, then two programs of them at a time.
//!
//! Those that capture this machine's traffic and wait for beats in it run one after the other, so that none sees the beacons of
//! another; beside them run the rest, which are at work while those wait. Once either kind is through, the rest of the other
//! goes on alone.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use beaconwatch_tests::servers::Servers;
use serde_json::Value;

use crate::lanes::{self, Job, Lane};
use crate::steps::Steps;
use crate::workspace;

pub(crate) const PACKAGE: &str = "beaconwatch-tests";
/// Tests that capture this machine's traffic, the longest first.
const CAPTURING: [&str; 4] = ["pipeline", "analyst", "one_process", "exporter_faults"];

/// A test program.
struct Program {
    name: String,
    file: PathBuf,
}

/// Builds the binaries, installs the servers, and runs the tests whose names contain `filter`.
pub(crate) fn run(steps: &mut Steps, filter: Option<&str>) {
    let built = steps.run("build of the binaries", || {
        let all = ["build", "--workspace", "--exclude", PACKAGE, "--locked"];
        let binaries = ["--bin", "beaconwatch", "--bin", "beaconwatch-exporter"];
        workspace::cargo(&[&all[..], &binaries].concat())
    });
    let installed = steps.run("servers of the end-to-end tests", || {
        Servers::install(&mut |progress| println!("{progress}")).map(drop)
    });
    if built && installed {
        steps.run("end-to-end tests", || tests(filter));
    }
}

fn tests(filter: Option<&str>) -> Result<()> {
    let jobs = programs()?.into_iter().map(|program| {
        let mut command = Command::new(&program.file);
        // As cargo runs them.
        command.current_dir("tests");
        command.args(filter).arg("--nocapture");
        let name = program.name;
        Job { name, command }
    });
    let (mut capturing, others): (Vec<_>, Vec<_>) =
        jobs.partition(|job| CAPTURING.contains(&job.name.as_str()));
    capturing.sort_by_key(|job| CAPTURING.iter().position(|name| *name == job.name));
    let (capturing, others): (Lane, Lane) = (lanes::lane(capturing), lanes::lane(others));
    lanes::run(&[&[&capturing], &[&others]], report)
}

/// Builds the test programs. Their profile's own output goes to the terminal.
fn programs() -> Result<Vec<Program>> {
    let mut build = workspace::cargo_command();
    build
        .args(["test", "--package", PACKAGE, "--locked", "--no-run"])
        .arg("--message-format=json-render-diagnostics")
        .stderr(std::process::Stdio::inherit());
    let output = build.output().context("starting cargo test")?;
    if !output.status.success() {
        bail!("building the end-to-end tests ended with {}", output.status);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let programs: Vec<Program> = messages.filter_map(|it| program(&it)).collect();
    if programs.is_empty() {
        bail!("cargo named no test program of {PACKAGE}");
    }
    for name in CAPTURING {
        if !programs.iter().any(|program| program.name == name) {
            bail!("there is no end-to-end test {name}");
        }
    }
    Ok(programs)
}

/// The test program that a message of cargo is about.
fn program(message: &Value) -> Option<Program> {
    let is_test = message["profile"]["test"] == true;
    let file = message["executable"].as_str()?;
    is_test.then_some(Program {
        name: message["target"]["name"].as_str()?.to_owned(),
        file: PathBuf::from(file),
    })
}

fn report(name: &str, output: &Output) -> Result<()> {
    println!("     Running {name}");
    let mut terminal = std::io::stdout().lock();
    terminal.write_all(&output.stdout)?;
    terminal.write_all(&output.stderr)?;
    if !output.status.success() {
        bail!("it ended with {}", output.status);
    }
    Ok(())
}
