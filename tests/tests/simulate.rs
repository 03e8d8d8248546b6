//! `beaconwatch simulate` against real instances.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::deployment::{self, EXPORTER_SCALE, SIDECAR_SCALE};
use beaconwatch_tests::process::Process;
use beaconwatch_tests::wait::wait_for;
use beaconwatch_tests::{findings, http};
use serde_json::Value;

const DEADLINE: Duration = Duration::from_mins(3);

fn start(command: &str, folder: &Path, api_port: u16) -> Result<Process> {
    let mut beaconwatch = Command::new(deployment::binaries()?.join("beaconwatch"));
    let any = "127.0.0.1:0";
    beaconwatch
        .args([
            command,
            "--grpc-address",
            any,
            "--http-address",
            any,
            "--state-dir",
        ])
        .arg(folder)
        .args(["--api-address", &format!("127.0.0.1:{api_port}")])
        .envs(EXPORTER_SCALE.iter().chain(SIDECAR_SCALE).copied());
    let log = folder.join("beaconwatch.log");
    let mut process = Process::start(command, &beaconwatch, None, &log)?;
    wait_for("the API", DEADLINE, || {
        process.expect_running()?;
        let answer = http::get(&format!("http://127.0.0.1:{api_port}/readyz"))?;
        Ok((answer.status == 200).then_some(()))
    })?;
    Ok(process)
}

fn stop(process: &mut Process) -> Result<()> {
    let status = process.terminate(DEADLINE)?;
    ensure!(
        status.success(),
        "it ended with {status}: {}",
        process.log()?
    );
    Ok(())
}

fn simulate(folder: &Path, api_port: u16, wait: &str) -> Result<Output> {
    Command::new(deployment::binaries()?.join("beaconwatch"))
        .args([
            "simulate",
            "--json",
            "--wait",
            wait,
            "--port",
            &api_port.to_string(),
        ])
        .arg("--token-file")
        .arg(folder.join("api-token"))
        .output()
        .context("running beaconwatch simulate")
}

fn answer(output: &Output) -> Result<Value> {
    let error = || String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).with_context(error)
}

#[test]
fn a_simulated_beacon_comes_through_from_the_kernel_to_the_file_and_is_marked() -> Result<()> {
    deployment::in_folder(|folder| {
        let [api_port] = http::free_ports()?;
        let mut instance = start("run", folder, api_port)?;
        let output = simulate(folder, api_port, "2m")?;
        let answer = answer(&output)?;
        ensure!(
            output.status.success() && answer["whole"] == true,
            "{answer:#}"
        );

        let id = answer["alert_id"].as_str().context("no finding is named")?;
        let documents = findings::read_file(&folder.join("detections.ndjson"))?;
        let about_it = documents.iter().find(|it| it.to_string().contains(id));
        let document = about_it.with_context(|| format!("{id} is not in the file"))?;
        let tags = document["tags"].as_array().context("no tags")?;
        ensure!(tags.iter().any(|tag| tag == "simulated"), "{document:#}");
        ensure!(
            document["destination"]["port"] == answer["port"],
            "{document:#}"
        );
        stop(&mut instance)
    })
}

#[test]
fn without_a_capture_it_is_said_that_nothing_was_seen_and_why() -> Result<()> {
    deployment::in_folder(|folder| {
        let [api_port] = http::free_ports()?;
        let mut instance = start("detect", folder, api_port)?;
        let output = simulate(folder, api_port, "2s")?;
        let answer = answer(&output)?;
        ensure!(
            output.status.code() == Some(1) && answer["whole"] == false,
            "{answer:#}"
        );
        let steps = answer["steps"].as_array().context("no steps")?;
        let last = steps.last().context("no steps")?;
        ensure!(
            last["step"] == "seen by the instance"
                && last["state"] == "missing"
                && last["text"]
                    .as_str()
                    .is_some_and(|it| it.contains("does not capture itself")),
            "{answer:#}"
        );
        stop(&mut instance)
    })
}
