//! Runs the benchmarks and adds to each of their lines the machine that they ran on.
//!
//! A benchmark is an example (`cargo run --release --example`) that prints JSON objects, one a line;
//! everything else that it prints is passed on to the standard error.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::workspace;

/// Package and name of every benchmark.
const BENCHMARKS: &[(&str, &str)] = &[];

/// Runs every benchmark.
pub(crate) fn run() -> Result<()> {
    let machine = machine()?;
    for (package, example) in BENCHMARKS {
        for mut line in run_one(package, example)? {
            line["benchmark"] = json!(format!("{package}/{example}"));
            line["machine"] = machine.clone();
            println!("{line}");
        }
    }
    Ok(())
}

fn run_one(package: &str, example: &str) -> Result<Vec<Value>> {
    let output = workspace::cargo_command()
        .args([
            "run",
            "--release",
            "--locked",
            "--quiet",
            "--package",
            package,
        ])
        .args(["--example", example])
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("starting the benchmark {example}"))?;
    if !output.status.success() {
        bail!(
            "the benchmark {package}/{example} ended with {}",
            output.status
        );
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(Value::is_object)
        .collect();
    if lines.is_empty() {
        bail!("the benchmark {package}/{example} printed no JSON object");
    }
    Ok(lines)
}

/// Processor, cores, kernel, compiler and date of this run.
fn machine() -> Result<Value> {
    let processors = fs::read_to_string("/proc/cpuinfo").context("reading /proc/cpuinfo")?;
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown", |(_, model)| model.trim());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("reading osrelease")?;
    let told = |command: &mut Command| -> Result<String> {
        let output = command
            .output()
            .with_context(|| format!("starting {command:?}"))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    Ok(json!({
        "processor": model,
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": kernel.trim(),
        "compiler": told(Command::new("rustc").arg("--version"))?,
        "date": told(Command::new("date").args(["--utc", "+%Y-%m-%dT%H:%M:%SZ"]))?,
    }))
}
