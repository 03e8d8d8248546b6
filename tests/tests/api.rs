//! The API of the real program, asked by others' programs: Schemathesis, which makes requests out of the API's own
//! description, and the `OpenMetrics` parser of Prometheus' client.
//!
//! Needs pip. Everything is on loopback and nothing needs root.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use beaconwatch_tests::process::Process;
use beaconwatch_tests::{deployment, http, python, tools, wait};
use serde_json::{Value, json};

const SCHEMATHESIS: &[&str] = &["schemathesis==4.32.5", "hypothesis==6.170.15"];
const PROMETHEUS: &[&str] = &["prometheus_client==0.26.0"];
const READ: &str = "read-0123456789abcdef";
const OPERATE: &str = "operate-0123456789abcdef";
/// For the program to start.
const DEADLINE: Duration = Duration::from_mins(1);
/// Requests that Schemathesis makes for each operation and kind of test.
const EXAMPLES: &str = "5";

/// The program with a beacon in it, a token of each role, and a dead letter.
struct Server {
    url: String,
    _process: Process,
}

impl Server {
    fn start(folder: &Path) -> Result<Self> {
        let [port] = http::free_ports()?;
        let file = configuration(folder, port)?;
        let mut command = Command::new(deployment::binaries()?.join("beaconwatch"));
        command.arg("detect").arg("--config").arg(file);
        let log = folder.join("sidecar.log");
        let mut process = Process::start("the sidecar", &command, None, &log)?;
        let url = format!("http://127.0.0.1:{port}");
        wait::wait_for("the sidecar", DEADLINE, || {
            process.expect_running()?;
            Ok((http::get(&format!("{url}/readyz"))?.status == 200).then_some(()))
        })?;
        let server = Self {
            url,
            _process: process,
        };
        server.post("/api/v1/telemetry", &telemetry()?)?;
        server.post("/api/v1/analyze", &json!({}))?;
        Ok(server)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}{path}", self.url);
        http::post_as(OPERATE, &url, body)?.expect_success(&url)
    }

    fn get(&self, path: &str) -> Result<Value> {
        let url = format!("{}{path}", self.url);
        http::get_as(OPERATE, &url)?.expect_success(&url)
    }
}

fn configuration(folder: &Path, port: u16) -> Result<PathBuf> {
    for (name, token) in [("viewer", READ), ("admin", OPERATE)] {
        fs::write(folder.join(name), token).context("writing a token")?;
    }
    let text = format!(
        r#"
[sidecar]
data_directory = "{folder}"
analysis_interval_s = 3600

[sidecar.receive]
grpc_address = "127.0.0.1:0"
http_address = "127.0.0.1:0"

[sidecar.api]
address = "127.0.0.1:{port}"

[sidecar.api.tokens.viewer]
role = "read"
secret = {{ file = "{viewer}" }}

[sidecar.api.tokens.admin]
role = "operate"
secret = {{ file = "{admin}" }}
"#,
        folder = folder.display(),
        viewer = folder.join("viewer").display(),
        admin = folder.join("admin").display(),
    );
    let file = folder.join("beaconwatch.toml");
    fs::write(&file, text).context("writing the configuration")?;
    Ok(file)
}

/// A beat a minute for the last hour, as another sensor posts it.
fn telemetry() -> Result<Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let begin = now.context("reading the clock")?.as_secs() - 3600;
    let events: Vec<Value> = (0..60_u64)
        .map(|minute| {
            json!({
                "timestamp_ns": (begin + minute * 60) * 1_000_000_000,
                "src_ip": "192.0.2.10", "dst_ip": "198.51.100.7",
                "src_port": 40_000 + minute, "dst_port": 443,
                "packet_size": 60, "protocol": 6, "tcp_flags": 2,
            })
        })
        .collect();
    Ok(json!({"batch_id": "batch-1", "node_id": "node-1", "events": events}))
}

/// What Schemathesis must know that the description cannot say.
///
/// - Identities that exist, so that more than "not found" is tested.
/// - A field that must be text of a certain kind, or one of several fields, is refused with 422 although it is text.
/// - Of a batch of telemetry a bad event is skipped and counted, not refused.
fn knowledge(server: &Server, folder: &Path) -> Result<PathBuf> {
    let first = |list: &str, name: &str, id: &str| -> Result<String> {
        let body = server.get(list)?;
        let id = body[name][0][id].as_str();
        Ok(id
            .with_context(|| format!("nothing in {list}: {body}"))?
            .to_owned())
    };
    let alert = first("/api/v1/alerts", "alerts", "alert_id")?;
    let series = first("/api/v1/beacons", "beacons", "id")?;
    let text = format!(
        r#"
[[operations]]
include-path-regex = "^/api/v1/alerts/"
parameters = {{ "path.id" = "{alert}" }}

[[operations]]
include-path-regex = "^/api/v1/series/"
parameters = {{ "path.id" = "{series}" }}

[[operations]]
include-path-regex = "^/api/v1/destinations/"
parameters = {{ "path.name" = "file" }}

[[operations]]
include-path-regex = "^/api/v1/(allow|config)$"
checks.positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 422]

[[operations]]
include-path = "/api/v1/telemetry"
checks.negative_data_rejection.enabled = false
"#
    );
    let file = folder.join("schemathesis.toml");
    fs::write(&file, text).context("writing what Schemathesis must know")?;
    Ok(file)
}

/// Runs Schemathesis with a token; an error says which requests were answered wrongly.
fn schemathesis(server: &Server, folder: &Path, token: &str, filter: &[&str]) -> Result<()> {
    let packages = tools::python_packages("schemathesis", SCHEMATHESIS)?;
    let knowledge = knowledge(server, folder)?;
    let mut command = Command::new(tools::python()?);
    command
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(knowledge)
        .arg("run")
        .arg(format!("{}/openapi.json", server.url))
        .args(["--header", &format!("Authorization: Bearer {token}")])
        // The stream of events does not end by itself.
        .args(["--exclude-path", "/api/v1/events"])
        .args(filter)
        .args(["--max-examples", EXAMPLES, "--seed", "20260131"])
        .args(["--continue-on-failure", "--no-color"])
        .env("PYTHONPATH", &packages)
        .env_remove("HYPOTHESIS_PROFILE")
        .current_dir(folder);
    let log = folder.join(format!("schemathesis-{}.log", filter.len()));
    let output = fs::File::create(&log).context("creating the log")?;
    let status = command
        .stdin(Stdio::null())
        .stdout(output.try_clone().context("sharing the log")?)
        .stderr(output)
        .status()
        .context("starting Schemathesis")?;
    let told = fs::read_to_string(&log).context("reading the log")?;
    ensure!(
        status.success(),
        "Schemathesis ended with {status}:\n{told}"
    );
    // That nothing was found wrong says little when nothing was asked.
    ensure!(
        told.contains("Coverage") && !told.contains("Tested: 0"),
        "{told}"
    );
    Ok(())
}

#[test]
fn schemathesis_finds_nothing_wrong_with_any_operation() -> Result<()> {
    deployment::in_folder(|folder| {
        let server = Server::start(folder)?;
        schemathesis(&server, folder, OPERATE, &[])?;
        // What was tried out has broken nothing.
        let health = server.get("/api/v1/health")?;
        ensure!(health["version"].is_string(), "{health}");
        Ok(())
    })
}

#[test]
fn schemathesis_finds_nothing_wrong_with_what_a_reader_may_ask() -> Result<()> {
    deployment::in_folder(|folder| {
        let server = Server::start(folder)?;
        schemathesis(&server, folder, READ, &["--phases", "coverage"])?;
        // Nothing was changed with a token that may read.
        let audit = server.get("/api/v1/audit")?;
        ensure!(audit["count"] == 0, "{audit}");
        Ok(())
    })
}

#[test]
fn the_metrics_are_openmetrics_and_say_what_the_status_says() -> Result<()> {
    deployment::in_folder(|folder| {
        let server = Server::start(folder)?;
        let samples = parsed_metrics(&server)?;
        let sample = |name: &str| -> Result<(String, f64)> {
            let found = &samples[name];
            let kind = found[0]
                .as_str()
                .with_context(|| format!("no {name} in {samples:#}"))?;
            Ok((kind.to_owned(), found[1].as_f64().context("no number")?))
        };
        for (name, kind, value) in [
            ("beaconwatch_telemetry_events_total", "counter", 60.0),
            ("beaconwatch_telemetry_batches_total", "counter", 1.0),
            ("beaconwatch_series", "gauge", 1.0),
            ("beaconwatch_findings", "gauge", 1.0),
            ("beaconwatch_alerts{state=open}", "gauge", 1.0),
            (
                "beaconwatch_delivery_pending{destination=file}",
                "gauge",
                0.0,
            ),
            ("beaconwatch_store_up", "gauge", 1.0),
        ] {
            if name.starts_with("beaconwatch_delivery") {
                ensure!(sample(name)?.0 == kind, "{name}");
                continue;
            }
            ensure!(
                sample(name)? == (kind.to_owned(), value),
                "{name}: {:?}",
                sample(name)?
            );
        }
        Ok(())
    })
}

/// The metrics as the reference parser reads them.
fn parsed_metrics(server: &Server) -> Result<Value> {
    let packages = tools::python_packages("prometheus-client", PROMETHEUS)?;
    let text = ureq::get(format!("{}/metrics", server.url))
        .header("authorization", format!("Bearer {READ}"))
        .call()
        .context("asking for the metrics")?
        .body_mut()
        .read_to_string()
        .context("reading the metrics")?;
    let mut parser = python::command("openmetrics.py")?
        .env("PYTHONPATH", packages)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the parser")?;
    let mut input = parser.stdin.take().context("the parser takes no input")?;
    input
        .write_all(text.as_bytes())
        .context("feeding the parser")?;
    drop(input);
    let output = parser
        .wait_with_output()
        .context("waiting for the parser")?;
    if !output.status.success() {
        bail!("the parser refuses the metrics:\n{text}");
    }
    serde_json::from_slice(&output.stdout).context("reading what the parser said")
}
