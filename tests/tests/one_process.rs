//! `beaconwatch run`: capture, scoring and delivery in one process, on traffic over loopback.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use beaconwatch_tests::deployment::{self, EXPORTER_SCALE, SIDECAR_SCALE};
use beaconwatch_tests::ecs::Schema;
use beaconwatch_tests::findings::{self, Finding};
use beaconwatch_tests::http;
use beaconwatch_tests::network::Network;
use beaconwatch_tests::process::Process;
use beaconwatch_tests::program::Truth;
use beaconwatch_tests::servers::ecs_schema;
use beaconwatch_tests::tools;
use beaconwatch_tests::traffic::{self, Server};
use beaconwatch_tests::wait::wait_for;

const DEADLINE: Duration = Duration::from_mins(3);

#[test]
fn one_process_finds_a_beacon_and_still_knows_it_after_a_restart() -> Result<()> {
    deployment::in_folder(|folder| {
        let network = Network::create()?;
        let ends = network.ends.loopback();
        let schema = Schema::read(&ecs_schema::install(&mut |_progress| ())?)?;
        let [api_port] = http::free_ports()?;
        let mut beaconwatch = start(folder, api_port)?;
        let server = Server::start(folder, &ends)?;
        let beacon = traffic::tcp_beacon(folder, "home-caller", &ends, &server, "beacon")?;
        let kept_open = traffic::kept_open(folder, &ends)?;
        let [truth, kept_open] = traffic::finish([beacon, kept_open])?;

        let found = wait_for("two findings", DEADLINE, || {
            let found = findings_about(&truth, folder, &schema)?;
            Ok((found.len() >= 2).then_some(found))
        })?;
        let mut unclaimed = found.clone();
        findings::claim(&mut unclaimed, &truth, "ipv4")?;
        findings::claim(&mut unclaimed, &truth, "ipv6")?;
        ensure!(
            unclaimed.is_empty(),
            "findings about nothing that was done: {unclaimed:#?}"
        );
        expect_beacons(api_port, &truth)?;
        expect_activity(&kept_open, folder, &schema)?;
        stop(&mut beaconwatch)?;

        let mut again = start(folder, api_port)?;
        expect_beacons(api_port, &truth)?;
        stop(&mut again)?;
        let ids = |found: &[Finding]| found.iter().map(|f| f.id.clone()).collect::<Vec<_>>();
        let after = findings_about(&truth, folder, &schema)?;
        ensure!(
            ids(&found) == ids(&after),
            "a restart made {after:#?} of {found:#?}"
        );
        Ok(())
    })
}

/// The one connection that was kept open is a finding, with the interval at which the program called.
fn expect_activity(truth: &Truth, folder: &Path, schema: &Schema) -> Result<()> {
    let [connection] = truth.connections.as_slice() else {
        bail!("one connection was expected: {truth:#?}");
    };
    let found = wait_for("a finding of activity", DEADLINE, || {
        let found = findings_about(truth, folder, schema)?;
        let about = findings::any_about(&found, truth).cloned();
        Ok(about)
    })?;
    let document = found.documents.last().context("no document")?;
    let source = document.pointer("/beaconwatch/evidence/source");
    ensure!(
        source.and_then(serde_json::Value::as_str) == Some("activity"),
        "found by {source:?}"
    );
    let period = document
        .pointer("/beaconwatch/evidence/period_s")
        .and_then(serde_json::Value::as_f64)
        .with_context(|| format!("no period in {document:#}"))?;
    ensure!(
        (period / traffic::INTERVAL_S - 1.0).abs() < 0.1,
        "port {}: a period of {period} s",
        connection.remote_port
    );
    Ok(())
}

fn start(folder: &Path, api_port: u16) -> Result<Process> {
    let mut command = Command::new(deployment::binaries()?.join("beaconwatch"));
    command
        .args([
            "run",
            "--api-address",
            &format!("127.0.0.1:{api_port}"),
            "--state-dir",
        ])
        .arg(folder)
        .env("BEACONWATCH_SIDECAR__RECEIVE__GRPC_ADDRESS", "127.0.0.1:0")
        .env("BEACONWATCH_SIDECAR__RECEIVE__HTTP_ADDRESS", "127.0.0.1:0")
        .envs(EXPORTER_SCALE.iter().chain(SIDECAR_SCALE).copied());
    let log = folder.join("beaconwatch.log");
    let mut process = Process::start("beaconwatch run", &command, None, &log)?;
    wait_for("the status API", DEADLINE, || {
        process.expect_running()?;
        let answer = http::get(&format!("http://127.0.0.1:{api_port}/healthz"))?;
        Ok((answer.status == 200).then_some(()))
    })?;
    Ok(process)
}

fn stop(process: &mut Process) -> Result<()> {
    let status = process.terminate(DEADLINE)?;
    ensure!(
        status.success(),
        "beaconwatch run ended with {status}: {}",
        process.log()?
    );
    Ok(())
}

/// Findings of which the process is the one that tells `truth`: addresses of loopback are everybody's.
fn findings_about(truth: &Truth, folder: &Path, schema: &Schema) -> Result<Vec<Finding>> {
    let documents = findings::read_file(&folder.join("detections.ndjson"))?;
    findings::read(&documents, schema, |document| {
        let pid = document
            .pointer("/process/pid")
            .and_then(serde_json::Value::as_u64);
        Ok(pid == Some(u64::from(truth.identity.pid)))
    })
}

/// Both beacons are in the status API and in what the command line shows of it.
fn expect_beacons(api_port: u16, truth: &Truth) -> Result<()> {
    let mut ports: Vec<u16> = truth.connections.iter().map(|c| c.remote_port).collect();
    ports.sort_unstable();
    ports.dedup();
    let url = format!("http://127.0.0.1:{api_port}/api/v1/beacons");
    wait_for("the beacons in the status API", DEADLINE, || {
        let answer = http::get(&url)?.expect_success(&url)?;
        let beacons = answer["beacons"].as_array().context("no beacons")?;
        for port in &ports {
            let listed = beacons.iter().any(|beacon| {
                beacon["dst_port"] == *port
                    && beacon["is_beacon"] == true
                    && beacon["process"]["pid"] == truth.identity.pid
            });
            ensure!(listed, "port {port} is not among {beacons:#?}");
        }
        Ok(Some(()))
    })?;
    let shown = tools::output_of(
        Command::new(deployment::binaries()?.join("beaconwatch")).args([
            "beacons",
            "--url",
            &format!("http://127.0.0.1:{api_port}"),
        ]),
    )?;
    for port in ports {
        ensure!(
            shown.contains(&port.to_string()),
            "port {port} is not shown in\n{shown}"
        );
    }
    Ok(())
}
