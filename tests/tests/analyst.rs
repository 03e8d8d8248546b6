//! The way of an analyst, from an empty OpenSearch to a finding in a dashboard: `beaconwatch setup`, exporter, Collector and
//! sidecar, a beacon in a network namespace; then every panel of every dashboard asked over what came of it.
//!
//! `BEACONWATCH_TEST_PICTURES=folder` also draws the dashboards there, by a renderer of the tests' own.
#![expect(
    clippy::print_stdout,
    reason = "a test of a minute tells how far it is"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::deployment::{self, DATA_STREAM, Deployment};
use beaconwatch_tests::network::Network;
use beaconwatch_tests::panels::{Answer, Panel, lens, vis};
use beaconwatch_tests::process::Process;
use beaconwatch_tests::servers::opensearch::Node;
use beaconwatch_tests::servers::{Servers, chromium};
use beaconwatch_tests::traffic::{self, Server};
use beaconwatch_tests::wait::wait_for;
use beaconwatch_tests::{findings, flow_documents, http, python, tools};
use serde_json::{Value, json};

/// How long anything that happens by itself may take.
const DEADLINE: Duration = Duration::from_mins(3);
/// From the sidecar's finding to the dashboard's answer.
const TO_THE_DASHBOARD: Duration = Duration::from_mins(1);
const FLOW_STREAM: &str = "logs-beaconwatch.flow-default";
const SENSOR_STREAM: &str = "logs-beaconwatch.sensor-default";
const RULE_STREAM: &str = "logs-beaconwatch.rule-default";
const INDICES: &str = "logs-beaconwatch.*";
/// Most flow documents in one request.
const BATCH: usize = 500;
/// Panels that have nothing to say about the test's traffic, and why.
const SILENT: &[(&str, &str)] = &[
    ("views", "no series of the test beat as one"),
    ("suppressed", "no detection was suppressed yet"),
    ("missed", "the beacon missed no beat: 0"),
];

/// Everything that stands while the test runs.
struct Scene<'a> {
    folder: &'a Path,
    network: Network,
    deployment: Deployment,
    webhooks: PathBuf,
    _receiver: Process,
}

#[test]
fn an_analyst_finds_the_beacon_in_every_dashboard_that_setup_installed() -> Result<()> {
    deployment::in_folder(|folder| {
        let network = Network::create()?;
        let servers = Servers::install(&mut |progress| println!("{progress}"))?;
        let opensearch = Node::start(&servers.opensearch, &folder.join("opensearch"))?;
        set_up(folder, &opensearch.url())?;
        let rules = copy_rules(folder)?;
        let secret = folder.join("secret");
        fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .context("writing the secret")?;
        let webhooks = folder.join("webhooks.ndjson");
        let (receiver, address) = receive_webhooks(folder, &webhooks, &secret)?;
        let deployment = Deployment::beside(
            &servers,
            folder,
            opensearch,
            &settings(&address, &secret, &rules),
        )?;
        let mut scene = Scene {
            folder,
            network,
            deployment,
            webhooks,
            _receiver: receiver,
        };
        scene.a_beacon_is_found()?;
        scene.sigma_correlations_fire()?;
        scene.a_sensor_falls_silent()?;
        scene.flows_are_stored()?;
        scene.every_panel_says_something(&servers.browser)?;
        scene.deployment.sidecar.stop()
    })
}

fn set_up(folder: &Path, url: &str) -> Result<()> {
    let status = Command::new(deployment::binaries()?.join("beaconwatch"))
        .args(["setup", "opensearch", "--url", url, "--journal"])
        .arg(folder.join("setup.json"))
        .status()
        .context("running beaconwatch setup")?;
    ensure!(status.success(), "setup ended with {status}");
    Ok(())
}

/// The shipped rules and correlations in one folder, as an installation has them.
fn copy_rules(folder: &Path) -> Result<PathBuf> {
    let rules = folder.join("sigma");
    fs::create_dir(&rules).context("making the folder of rules")?;
    for part in ["rules", "correlations"] {
        let copied = Command::new("cp")
            .arg("-r")
            .arg(integrations().join("sigma").join(part))
            .arg(&rules)
            .status()
            .context("copying rules")?;
        ensure!(copied.success(), "copying {part} ended with {copied}");
    }
    Ok(rules)
}

fn receive_webhooks(folder: &Path, documents: &Path, secret: &Path) -> Result<(Process, String)> {
    let address_file = folder.join("webhooks.address");
    let arguments = [documents, secret].map(|path| path.display().to_string());
    let [documents, secret] = &arguments;
    python::listening(
        "webhook_receiver.py",
        &address_file,
        &[documents, secret, "refused"],
    )
}

/// Settings of the sidecar beside those of its file.
fn settings(webhooks: &str, secret: &Path, rules: &Path) -> [(&'static str, String); 5] {
    [
        (
            "BEACONWATCH_SIDECAR__RULES__FOLDER",
            rules.display().to_string(),
        ),
        (
            "BEACONWATCH_SIDECAR__DESTINATIONS__SOAR__TYPE",
            "webhook".to_owned(),
        ),
        (
            "BEACONWATCH_SIDECAR__DESTINATIONS__SOAR__URL",
            format!("http://{webhooks}/"),
        ),
        (
            "BEACONWATCH_SIDECAR__DESTINATIONS__SOAR__SECRETS",
            format!("[{{ file = \"{}\" }}]", secret.display()),
        ),
        (
            "BEACONWATCH_SIDECAR__ALERTS__SENSOR_SILENT_AFTER_S",
            "30".to_owned(),
        ),
    ]
}

fn integrations() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../integrations")
}

fn kibana_panels() -> Result<Vec<Panel>> {
    let mut all = Vec::new();
    for name in ["overview", "hosts", "finding", "health"] {
        let file = format!("elastic/kibana/dashboard/beaconwatch-{name}.json");
        all.extend(lens::panels(&integrations().join(file))?);
    }
    Ok(all)
}

impl Scene<'_> {
    /// A beacon in a namespace is in the dashboard's own list within a minute, and the webhook came.
    fn a_beacon_is_found(&mut self) -> Result<()> {
        println!("a beacon and its finding");
        let (folder, ends) = (self.folder, &self.network.ends);
        let mut server = Server::start(folder, ends)?;
        self.a_dropped_program_connects(server.port("tcp_browsing_ipv4")?)?;
        let refused = traffic::refused(folder, ends, &server)?;
        let beacon = traffic::tcp_beacon(folder, "tcp-beacon", ends, &server, "beacon")?;
        let port = server.port("tcp_beacon_ipv4")?;
        wait_for("the sidecar's finding", DEADLINE, || {
            let answer = self.deployment.sidecar.ask("/api/v1/beacons?limit=10000")?;
            let beacons = answer["beacons"].as_array().context("no beacons")?;
            let found = beacons
                .iter()
                .any(|one| one["dst_port"] == port && one["is_beacon"] == true);
            Ok(found.then_some(()))
        })?;
        let panels = kibana_panels()?;
        let newest = panels
            .iter()
            .find(|panel| panel.id == "newest")
            .context("no list of the newest")?;
        wait_for("the finding in the dashboard", TO_THE_DASHBOARD, || {
            let answer = self.ask(newest)?;
            let column = answer
                .columns
                .iter()
                .position(|column| column == "destination.port");
            let column = column.context("the list has no port")?;
            let found = answer
                .rows
                .iter()
                .any(|row| row.get(column) == Some(&json!(port)));
            Ok(found.then_some(()))
        })?;
        wait_for("the webhook", TO_THE_DASHBOARD, || {
            let arrived = findings::read_file(&self.webhooks)?;
            let problem = arrived.iter().find(|line| !line["problem"].is_null());
            ensure!(problem.is_none(), "{problem:?}");
            let about = |line: &Value| line["body"]["destination"]["port"] == port;
            Ok(arrived.iter().any(about).then_some(()))
        })?;
        traffic::finish([beacon, refused])?;
        server.stop().map(drop)
    }

    /// A program in a temporary folder and then a beacon on one host; many refused connections of one source.
    fn sigma_correlations_fire(&self) -> Result<()> {
        for rule in [
            "Connection From A Temporary Folder Then A Beacon",
            "Many Connections That Were Not Established",
        ] {
            wait_for(rule, TO_THE_DASHBOARD, || {
                let named = json!([{ "term": { "rule.name": rule } }]);
                let count = self.deployment.opensearch.count(RULE_STREAM, &named)?;
                Ok((count > 0).then_some(()))
            })?;
        }
        let marked = json!([{ "exists": { "field": "beaconwatch.sigma.title" } }]);
        let marked = self.deployment.opensearch.count(DATA_STREAM, &marked)?;
        ensure!(marked > 0, "no rule marked a detection");
        Ok(())
    }

    /// A copy of the interpreter in the test's folder connects once.
    fn a_dropped_program_connects(&self, port: u16) -> Result<()> {
        let program = self.folder.join("dropped");
        let python = tools::python()?;
        // A copy does not find the standard library by itself.
        let home = "import sys; print(sys.base_prefix + ':' + sys.base_exec_prefix)";
        let home = tools::output_of(Command::new(&python).args(["-c", home]))?;
        fs::copy(&python, &program).context("copying the interpreter")?;
        let ends = &self.network.ends;
        // It stays until the exporter has read what it runs: a program that ends at once may be gone before.
        let code = format!(
            "import socket, time; it = socket.create_connection((\"{}\", {port})); time.sleep(600)",
            ends.server.ipv4
        );
        let mut command = Command::new(&program);
        command.env("PYTHONHOME", home.trim()).args(["-c", &code]);
        let log = self.folder.join("dropped.log");
        let mut process = Process::start("dropped", &command, Some(&ends.client.namespace), &log)?;
        wait_for("the dropped program's flow", DEADLINE, || {
            process.expect_running()?;
            let path = program.display().to_string();
            let told = self.deployment.flows()?.flows.iter().any(|flow| {
                let found = flow.first().text("process.executable.path");
                found.is_ok_and(|found| found == path)
            });
            Ok(told.then_some(()))
        })?;
        process.kill()
    }

    fn a_sensor_falls_silent(&mut self) -> Result<()> {
        println!("the exporter is killed");
        self.deployment.kill_exporter()?;
        wait_for("a document about the sensor", DEADLINE, || {
            let silent = json!([{ "term": { "event.action": "sensor-silent" } }]);
            let count = self.deployment.opensearch.count(SENSOR_STREAM, &silent)?;
            Ok((count > 0).then_some(()))
        })
    }

    /// Flow records go the way that a Collector's exporter sends them, and the pipeline makes documents of them.
    fn flows_are_stored(&self) -> Result<()> {
        let records = flow_documents::read(&self.deployment.collector.flows())?;
        println!("{} flow records are stored", records.len());
        let url = self.deployment.opensearch.url();
        for batch in records.chunks(BATCH) {
            http::bulk(&format!("{url}/{FLOW_STREAM}/_bulk?refresh=true"), batch)?;
        }
        let stored = self.deployment.opensearch.count(FLOW_STREAM, &json!([]))?;
        ensure!(
            stored == u64::try_from(records.len())?,
            "{stored} of {} records",
            records.len()
        );
        let whole = json!([
            { "exists": { "field": "source.ip" } },
            { "exists": { "field": "event.start" } },
            { "exists": { "field": "event.duration" } },
            { "exists": { "field": "event.ingested" } },
            { "exists": { "field": "host.name" } },
            { "term": { "event.dataset": "beaconwatch.flow" } },
            { "prefix": { "event.action": "flow-" } },
        ]);
        let made = self.deployment.opensearch.count(FLOW_STREAM, &whole)?;
        ensure!(
            made == stored,
            "{made} of {stored} flow documents are whole"
        );
        let lagging = json!([{ "exists": { "field": "beaconwatch.delivery.lag_s" } }]);
        let lagging = self.deployment.opensearch.count(DATA_STREAM, &lagging)?;
        ensure!(lagging > 0, "no detection knows how long it was on its way");
        Ok(())
    }

    fn ask(&self, panel: &Panel) -> Result<Answer> {
        panel.ask(&self.deployment.opensearch.url(), INDICES)
    }

    fn every_panel_says_something(&self, browser: &chromium::Installed) -> Result<()> {
        let refresh = format!("{}/{INDICES}/_refresh", self.deployment.opensearch.url());
        http::post(&refresh, &json!({}))?.expect_success(&refresh)?;
        let opensearch = vis::panels(&integrations().join("opensearch/saved-objects.ndjson"))?;
        let mut drawn: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (product, panels) in [
            ("Kibana", kibana_panels()?),
            ("OpenSearch Dashboards", opensearch),
        ] {
            println!("{} panels of {product}", panels.len());
            for panel in &panels {
                let answer = self.ask(panel)?;
                let silent = SILENT.iter().any(|(id, _why)| *id == panel.id);
                let fine = silent || answer.says_something();
                ensure!(
                    fine,
                    "{product}: {} / {} says nothing",
                    panel.dashboard,
                    panel.title
                );
                if product == "Kibana" {
                    drawn
                        .entry(panel.dashboard.clone())
                        .or_default()
                        .push(with_answer(panel, &answer));
                }
            }
        }
        let Some(folder) = std::env::var_os("BEACONWATCH_TEST_PICTURES") else {
            return Ok(());
        };
        self.draw(&drawn, Path::new(&folder), browser)
    }

    fn draw(
        &self,
        drawn: &BTreeMap<String, Vec<Value>>,
        to: &Path,
        browser: &chromium::Installed,
    ) -> Result<()> {
        let dashboards = drawn
            .iter()
            .map(|(title, panels)| json!({ "dashboard": title, "panels": panels }));
        let answers = self.folder.join("answers.json");
        fs::write(&answers, Value::Array(dashboards.collect()).to_string())
            .context("writing the answers")?;
        let status = Command::new(&browser.node)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/panels.mjs"))
            .arg(&answers)
            .arg(to)
            .env("BEACONWATCH_TEST_MODULES", &browser.modules)
            .env("BEACONWATCH_TEST_CHROMIUM", &browser.chromium)
            .status()
            .context("drawing")?;
        ensure!(status.success(), "drawing ended with {status}");
        Ok(())
    }
}

fn with_answer(panel: &Panel, answer: &Answer) -> Value {
    let kinds: Vec<&str> = panel.groups.iter().map(|group| group.kind).collect();
    json!({
        "columns": answer.columns,
        "drawing": panel.drawing,
        "groups": answer.groups,
        "kinds": kinds,
        "place": panel.place,
        "rows": answer.rows,
        "series": panel.series,
        "title": panel.title,
    })
}
