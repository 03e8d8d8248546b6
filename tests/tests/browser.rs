//! The web page in a real browser: the built `beaconwatch detect` serves it, `tests/browser/run.mjs` looks at it.
//!
//! What is looked at stands in `tests/browser/*.test.mjs`: every page and button, the keyboard alone, the rules of axe
//! on each view in both themes, names that would be scripts, the content security policy, requests that leave the
//! origin, live updates, undo, signing in. `BEACONWATCH_TEST_PICTURES=folder` also makes pictures of every view.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use beaconwatch_tests::deployment;
use beaconwatch_tests::http;
use beaconwatch_tests::process::Process;
use beaconwatch_tests::servers::chromium;
use beaconwatch_tests::wait::wait_for;

/// For the sidecar to start and to end.
const DEADLINE: Duration = Duration::from_mins(1);
/// For everything that the browser does.
const BROWSER_DEADLINE: Duration = Duration::from_mins(10);

/// Token of who may only read, where reading needs one.
const READ_TOKEN: &str = "may-read-and-nothing-else";

/// Ports of one run.
struct Ports {
    otlp: u16,
    api: u16,
    /// Of the sidecar whose API wants a token for everything.
    closed_api: u16,
    /// Of the destination that refuses everything, which `run.mjs` plays.
    refusing: u16,
}

#[test]
fn every_page_and_button_works_in_a_browser_for_everyone_and_runs_nothing_foreign() -> Result<()> {
    let browser = chromium::install(&mut |progress| println!("{progress}"))?;
    deployment::in_folder(|folder| {
        let [otlp, api, closed_api, refusing] = http::free_ports()?;
        let ports = Ports {
            otlp,
            api,
            closed_api,
            refusing,
        };
        let mut sidecar = start(folder, &configure(folder, &ports), api)?;
        let closed = folder.join("closed");
        fs::create_dir(&closed).context("making a folder")?;
        let _closed = start(&closed, &configure_closed(&closed, &ports), closed_api)?;
        let mut driver = drive(folder, &ports, &browser)?;
        let outcome = driver.wait_success(BROWSER_DEADLINE);
        println!("{}", driver.log()?);
        outcome?;
        sidecar.expect_running()?;
        sidecar.terminate(DEADLINE).map(drop)
    })
}

fn start(folder: &Path, settings: &str, api_port: u16) -> Result<Process> {
    let configuration = folder.join("sidecar.toml");
    fs::write(&configuration, settings).context("writing the configuration")?;
    let mut command = Command::new(deployment::binaries()?.join("beaconwatch"));
    command
        .args(["detect", "--config"])
        .arg(&configuration)
        .env("READ_TOKEN", READ_TOKEN);
    let mut sidecar = Process::start("the sidecar", &command, None, &folder.join("sidecar.log"))?;
    wait_for("the sidecar", DEADLINE, || {
        sidecar.expect_running()?;
        let answer = http::get(&format!("http://127.0.0.1:{api_port}/healthz"))?;
        Ok((answer.status == 200).then_some(()))
    })?;
    Ok(sidecar)
}

/// Analyses every second, so that nobody waits for one.
fn configure(folder: &Path, ports: &Ports) -> String {
    let Ports {
        otlp,
        api,
        refusing,
        ..
    } = ports;
    let data = folder.display();
    format!(
        r#"
[sidecar]
data_directory = "{data}"
analysis_interval_s = 1

[sidecar.receive]
grpc_address = "127.0.0.1:0"
http_address = "127.0.0.1:{otlp}"

[sidecar.api]
address = "127.0.0.1:{api}"

[[sidecar.allow]]
domain = "*.updates.example"
reason = "updates of the test"

[sidecar.destinations.file]
type = "file"
path = "{data}/detections.ndjson"

[sidecar.destinations.refusing]
type = "otlp"
protocol = "http/protobuf"
endpoint = "http://127.0.0.1:{refusing}"
"#
    )
}

/// Nothing comes in here, and nothing is shown without a token.
fn configure_closed(folder: &Path, ports: &Ports) -> String {
    let data = folder.display();
    format!(
        r#"
[sidecar]
data_directory = "{data}"

[sidecar.receive]
grpc_address = "127.0.0.1:0"
http_address = "127.0.0.1:0"

[sidecar.api]
address = "127.0.0.1:{}"

[sidecar.api.tokens.reader]
role = "read"
secret = {{ env = "READ_TOKEN" }}
"#,
        ports.closed_api
    )
}

fn drive(folder: &Path, ports: &Ports, browser: &chromium::Installed) -> Result<Process> {
    let local = |port: u16| format!("http://127.0.0.1:{port}");
    let mut command = Command::new(&browser.node);
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/run.mjs"))
        .env("BEACONWATCH_TEST_URL", local(ports.api))
        .env("BEACONWATCH_TEST_CLOSED_URL", local(ports.closed_api))
        .env(
            "BEACONWATCH_TEST_CLOSED_TOKEN_FILE",
            folder.join("closed/api-token"),
        )
        .env("BEACONWATCH_TEST_READ_TOKEN", READ_TOKEN)
        .env("BEACONWATCH_TEST_OTLP_URL", local(ports.otlp))
        .env("BEACONWATCH_TEST_REFUSING_PORT", ports.refusing.to_string())
        .env("BEACONWATCH_TEST_TOKEN_FILE", folder.join("api-token"))
        .env("BEACONWATCH_TEST_MODULES", &browser.modules)
        .env("BEACONWATCH_TEST_CHROMIUM", &browser.chromium);
    Process::start(
        "the browser tests",
        &command,
        None,
        &folder.join("browser.log"),
    )
}
