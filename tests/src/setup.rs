//! `beaconwatch setup` as a user runs it, and what stands in for Kibana and OpenSearch Dashboards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process::Process;
use crate::{deployment, python};

/// What a run of the command said.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Exit code.
    pub code: Option<i32>,
    /// What it printed; null when it is not JSON.
    pub report: Value,
    /// What it wrote to standard error.
    pub errors: String,
}

/// A file of `integrations/`, as JSON.
pub fn committed(path: &str) -> Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../integrations")
        .join(path);
    let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))
}

/// How many lines a file of `integrations/` has.
pub fn committed_lines(path: &str) -> Result<usize> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../integrations")
        .join(path);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(text.lines().count())
}

/// Runs `beaconwatch setup` with these arguments and `--json`.
pub fn run(arguments: &[&str]) -> Result<Ran> {
    let mut command = Command::new(deployment::binaries()?.join("beaconwatch"));
    command
        .arg("setup")
        .args(arguments)
        .env_remove("RUST_LOG")
        .env("BEACONWATCH_CONFIG", "/dev/null");
    if !arguments.contains(&"--print-privileges") {
        command.arg("--json");
    }
    let output = command.output().context("running beaconwatch setup")?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!errors.contains("panicked"), "{errors}");
    Ok(Ran {
        code: output.status.code(),
        report: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        errors,
    })
}

impl Ran {
    /// The report of a run that succeeded.
    pub fn expect_success(self) -> Result<Self> {
        ensure!(
            self.code == Some(0),
            "exit code {:?}: {}{:#}",
            self.code,
            self.errors,
            self.report
        );
        Ok(self)
    }

    /// What a run that failed wrote; each of `expected` must be in it.
    pub fn expect_failure(self, expected: &[&str]) -> Result<String> {
        ensure!(
            self.code == Some(1),
            "exit code {:?}: {}{:#}",
            self.code,
            self.errors,
            self.report
        );
        for text in expected {
            ensure!(self.errors.contains(text), "no {text:?} in {}", self.errors);
        }
        Ok(self.errors)
    }

    /// Kinds and names of the objects of which this became.
    #[must_use]
    pub fn with_action(&self, action: &str) -> Vec<String> {
        let steps = self.report["steps"].as_array().into_iter().flatten();
        let is_wanted = |step: &&Value| {
            let found = &step["action"];
            *found == action || found.get(action).is_some()
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        steps
            .filter(is_wanted)
            .map(|step| format!("{} {}", text(&step["kind"]), text(&step["name"])))
            .collect()
    }
}

/// What stands in for Kibana or OpenSearch Dashboards: it answers as their documentation says.
#[derive(Debug)]
pub struct Dashboards {
    _process: Process,
    requests: PathBuf,
    /// Its address.
    pub url: String,
}

impl Dashboards {
    /// Starts it. `header` is the one without which it refuses changes; objects whose id contains `refused` it refuses.
    pub fn start(folder: &Path, header: &str, version: &str, refused: &str) -> Result<Self> {
        let requests = folder.join(format!("dashboards-{version}.requests"));
        let address = folder.join(format!("dashboards-{version}.address"));
        let path = requests.display().to_string();
        let arguments = [path.as_str(), header, version, refused];
        let (process, address) = python::listening("dashboards_stub.py", &address, &arguments)?;
        Ok(Self {
            _process: process,
            requests,
            url: format!("http://{address}"),
        })
    }

    /// Every request that came.
    pub fn requests(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(&self.requests).context("reading the requests")?;
        text.lines()
            .map(|line| serde_json::from_str(line).context("reading a request"))
            .collect()
    }
}
