//! Fuzz targets (`fuzz/`): built for libFuzzer on stable Rust, and run for a while on their seeds.
//!
//! The code is safe Rust: no sanitizer beside the coverage counters and the checks of overflow and
//! assertions, so no nightly toolchain is needed. `cargo fuzz run TARGET` works in the same folder with one.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::workspace;

const MANIFEST: &str = "fuzz/Cargo.toml";
/// The target is named so that build scripts and macros are not instrumented.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";

/// Builds all targets and runs each, or the one named, for so many seconds.
pub(crate) fn run(only: Option<&str>, seconds: u32) -> Result<()> {
    let mut build = workspace::cargo_command();
    build
        .args([
            "build",
            "--release",
            "--locked",
            "--manifest-path",
            MANIFEST,
        ])
        .args(["--target", TARGET, "--target-dir", "fuzz/target"])
        .env("RUSTFLAGS", COVERAGE);
    if only == Some("otlp") {
        build.args(["--features", "sidecar"]);
    }
    workspace::run(&mut build)?;
    let mut ran = 0;
    for name in targets()? {
        let named = only.is_none_or(|only| only == name);
        let program = Path::new("fuzz/target")
            .join(TARGET)
            .join("release")
            .join(&name);
        if named && program.is_file() {
            fuzz(&name, &program, seconds)?;
            ran += 1;
        }
    }
    ensure!(ran > 0, "no such target: {}", only.unwrap_or_default());
    Ok(())
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

/// What is found new stays in the folder of builds: the seeds are what is committed.
fn fuzz(name: &str, program: &Path, seconds: u32) -> Result<()> {
    let corpus = Path::new("fuzz/target/corpus").join(name);
    let findings = Path::new("fuzz/target/findings").join(name);
    for folder in [&corpus, &findings] {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let mut command = Command::new(program);
    command.arg(&corpus);
    // Some targets need none.
    let seeds = Path::new("fuzz/seeds").join(name);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    command
        .arg(format!("-max_total_time={seconds}"))
        .args([
            "-max_len=65536",
            "-timeout=10",
            "-rss_limit_mb=1024",
            "-verbosity=0",
        ])
        .arg("-print_final_stats=1")
        .arg(format!("-artifact_prefix={}/", findings.display()));
    println!("-- {name}");
    workspace::run(&mut command)
}
