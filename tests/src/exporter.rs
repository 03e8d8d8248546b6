//! An exporter without the rest: what it sends goes to a Collector that keeps it in files.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::deployment::{self, EXPORTER_SCALE};
use crate::metrics;
use crate::process::Process;
use crate::servers::collector::Collector;
use crate::wait::wait_for;

/// How long the exporter may take until it captures, or until it ends.
const DEADLINE: Duration = Duration::from_mins(1);

/// A running exporter.
#[derive(Debug)]
pub struct Exporter {
    process: Process,
    metrics: PathBuf,
    /// Its id, as its records have it.
    pub id: String,
}

impl Exporter {
    /// Starts it with more settings than those of the tests' scale, and waits until it captures; `name` is that of its log.
    pub fn start(
        folder: &Path,
        name: &str,
        collector: &Collector,
        settings: &[(&str, String)],
    ) -> Result<Self> {
        let mut command = Command::new(deployment::binaries()?.join("beaconwatch-exporter"));
        command
            .env("BEACONWATCH_EXPORTER__OTLP__ENDPOINT", collector.endpoint())
            .envs(EXPORTER_SCALE.iter().copied());
        for (key, value) in settings {
            command.env(format!("BEACONWATCH_EXPORTER__{key}"), value);
        }
        let log = folder.join(format!("{name}.log"));
        let mut process = Process::start("the exporter", &command, None, &log)?;
        let id = wait_for("an exporter that captures", DEADLINE, || {
            process.expect_running()?;
            Ok(id_in(&process.log()?))
        })?;
        Ok(Self {
            process,
            metrics: collector.metrics(),
            id,
        })
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it (SIGTERM): it must send what it has and end with success.
    pub fn stop(&mut self) -> Result<()> {
        let status = self.process.terminate(DEADLINE)?;
        let log = self.process.log()?;
        ensure!(status.success(), "the exporter ended with {status}: {log}");
        Ok(())
    }

    /// The last value of one of its metrics in the Collector's file.
    pub fn metric(&self, name: &str) -> Result<i64> {
        let values = metrics::last_values_of(&self.metrics, Some(&self.id), name)?;
        let value = values.values().next().copied();
        value.with_context(|| format!("no {name} of exporter {}", self.id))
    }

    /// What it lost at one place.
    pub fn lost(&self, place: &str) -> Result<i64> {
        let name = "beaconwatch.exporter.lost";
        let values = metrics::last_values_of(&self.metrics, Some(&self.id), name)?;
        let found = values.iter().find(|(series, _)| series.contains(place));
        let (_, count) = found.with_context(|| format!("no place {place} in {values:?}"))?;
        Ok(*count)
    }

    /// What it lost in all places but those named.
    pub fn lost_elsewhere(&self, than: &[&str]) -> Result<Vec<(String, i64)>> {
        let name = "beaconwatch.exporter.lost";
        let values = metrics::last_values_of(&self.metrics, Some(&self.id), name)?;
        ensure!(!values.is_empty(), "no losses, not even none");
        let elsewhere = |(series, count): &(String, i64)| {
            *count != 0 && !than.iter().any(|place| series.contains(place))
        };
        Ok(values.into_iter().filter(elsewhere).collect())
    }
}

/// The id in the line that says that it exports.
fn id_in(log: &str) -> Option<String> {
    let line = log.lines().find(|line| line.contains("exporting"))?;
    let (_, id) = line.split_once("exporter=\"")?;
    Some(id.split_once('"')?.0.to_owned())
}
