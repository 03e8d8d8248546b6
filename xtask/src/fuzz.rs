//! Fuzz targets (`fuzz/`): built for libFuzzer on stable Rust, and run for a while on their seeds.
//!
//! The code is safe Rust: no sanitizer beside the coverage counters and the checks of overflow and
//! assertions, so no nightly toolchain is needed. `cargo fuzz run TARGET` works in the same folder with one.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};

use crate::lanes::{self, Job};
use crate::workspace;

const MANIFEST: &str = "fuzz/Cargo.toml";
/// The target is named so that build scripts and macros are not instrumented.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";

/// What no input may take, and what is said of the run.
const LIMITS: &[&str] = &[
    "-max_len=65536",
    "-timeout=10",
    "-rss_limit_mb=1024",
    "-verbosity=0",
    "-print_final_stats=1",
];

/// Builds all targets and runs each, or the one named, for so many seconds.
pub(crate) fn run(only: Option<&str>, seconds: u32) -> Result<()> {
    let mut names = targets()?;
    if let Some(only) = only {
        ensure!(
            names.iter().any(|name| name == only),
            "no target {only}, expected one of {}",
            names.join(", ")
        );
        names.retain(|name| name == only);
    }
    build(&names)?;
    let jobs = names.iter().map(|name| fuzz(name, seconds));
    let jobs = lanes::lane(jobs.collect::<Result<Vec<_>>>()?);
    // A target has one thread.
    lanes::run(&[&[&jobs], &[&jobs]], report)
}

fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir("fuzz/targets").context("reading fuzz/targets")? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        names.extend(name.map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn build(names: &[String]) -> Result<()> {
    let mut build = workspace::cargo_command();
    build
        .args(["build", "--release", "--locked"])
        .args(["--manifest-path", MANIFEST])
        .args(["--target", TARGET, "--target-dir", "fuzz/target"])
        .args(names.iter().flat_map(|name| ["--bin", name]))
        .env("RUSTFLAGS", COVERAGE);
    workspace::run(&mut build)
}

/// The run of one target. What is found new stays in the folder of builds: the seeds are what is committed.
fn fuzz(name: &str, seconds: u32) -> Result<Job> {
    let corpus = Path::new("fuzz/target/corpus").join(name);
    let findings = Path::new("fuzz/target/findings").join(name);
    for folder in [&corpus, &findings] {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let programs = Path::new("fuzz/target").join(TARGET).join("release");
    let mut command = Command::new(programs.join(name));
    command.arg(&corpus);
    // Some targets need none.
    let seeds = Path::new("fuzz/seeds").join(name);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    command
        .arg(format!("-max_total_time={seconds}"))
        .args(LIMITS)
        .arg(format!("-artifact_prefix={}/", findings.display()));
    let name = name.to_owned();
    Ok(Job { name, command })
}

/// All that a target said is shown when it fails. Of a run that found nothing the log would be long (libFuzzer ends with the
/// dictionary that it has made) and say nothing.
fn report(name: &str, output: &Output) -> Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        println!("{}{said}", String::from_utf8_lossy(&output.stdout));
        bail!("it ended with {}", output.status);
    }
    let inputs = tried(&said).context("libFuzzer did not say how many inputs it tried")?;
    println!("{name}: {inputs} inputs");
    Ok(())
}

/// The number of inputs, from libFuzzer's statistics.
fn tried(said: &str) -> Option<&str> {
    let mut lines = said.lines();
    lines
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
        .map(str::trim)
}
