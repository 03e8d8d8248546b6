//! Runs the benchmarks and adds to each of their lines the machine that they ran on.
//!
//! A benchmark is a program in `bench/` that prints JSON objects, one a line; what it writes to its standard
//! error is passed on.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::workspace;

/// A benchmark.
struct Benchmark {
    name: &'static str,
    /// Whether it is held on one core: its figures are for one core.
    one_core: bool,
}

const BENCHMARKS: &[Benchmark] = &[
    Benchmark {
        name: "exporter_kernel",
        one_core: false,
    },
    Benchmark {
        name: "exporter_encoding",
        one_core: true,
    },
    Benchmark {
        name: "exporter_traffic",
        one_core: false,
    },
    Benchmark {
        name: "detector",
        one_core: true,
    },
    Benchmark {
        name: "quality",
        one_core: false,
    },
    Benchmark {
        name: "sidecar",
        one_core: false,
    },
    Benchmark {
        name: "sidecar_state",
        one_core: false,
    },
    Benchmark {
        name: "sidecar_delivery",
        one_core: false,
    },
    Benchmark {
        name: "sidecar_api",
        one_core: false,
    },
];

/// Runs the benchmarks whose name begins with `prefix`; comparisons of interleaved rounds take so many seconds each.
pub(crate) fn run(prefix: &str, seconds: u32) -> Result<()> {
    let machine = machine()?;
    let is_meant = |benchmark: &&Benchmark| benchmark.name.starts_with(prefix);
    if !BENCHMARKS.iter().any(|benchmark| is_meant(&benchmark)) {
        let names: Vec<_> = BENCHMARKS.iter().map(|benchmark| benchmark.name).collect();
        bail!(
            "no benchmark is called {prefix:?}; there are {}",
            names.join(", ")
        );
    }
    for benchmark in BENCHMARKS.iter().filter(is_meant) {
        benchmark.run(&machine, seconds)?;
    }
    Ok(())
}

impl Benchmark {
    /// Runs it and prints its lines, also those of one that fails after them.
    fn run(&self, machine: &Value, seconds: u32) -> Result<()> {
        let name = self.name;
        let output = self
            .command()?
            .env("BEACONWATCH_BENCH_SECONDS", seconds.to_string())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("starting the benchmark {name}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<Value> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(Value::is_object)
            .collect();
        for mut line in lines.iter().cloned() {
            line["benchmark"] = json!(name);
            line["machine"] = machine.clone();
            println!("{line}");
        }
        if !output.status.success() {
            bail!("the benchmark {name} ended with {}", output.status);
        }
        if lines.is_empty() {
            bail!("the benchmark {name} printed no JSON object");
        }
        Ok(())
    }

    /// Builds the benchmark, and gives the command that runs it.
    fn command(&self) -> Result<Command> {
        let build = [
            "build",
            "--release",
            "--locked",
            "--package",
            "beaconwatch-bench",
        ];
        workspace::cargo(&[&build[..], &["--bin", self.name]].concat())?;
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let program = Path::new(&target).join("release").join(self.name);
        if !self.one_core {
            return Ok(Command::new(program));
        }
        let mut pinned = Command::new("taskset");
        pinned.args(["--cpu-list", "0"]).arg(program);
        Ok(pinned)
    }
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
