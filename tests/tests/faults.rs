//! Faults while flows come in: the sidecar is killed at 200 random instants, its disk is full, destinations
//! misbehave. Every beacon that was acknowledged arrives at every destination.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::certificates::Certificates;
use beaconwatch_tests::deployment::{self, DATA_STREAM};
use beaconwatch_tests::process::Process;
use beaconwatch_tests::servers::Servers;
use beaconwatch_tests::servers::hec::{self, Hec};
use beaconwatch_tests::servers::opensearch::Node;
use beaconwatch_tests::servers::syslog::SyslogServer;
use beaconwatch_tests::servers::syslog_ng::SYSLOG_NG;
use beaconwatch_tests::{findings, http, python, tools, wait};
use serde_json::Value;

const KILLS: u64 = 200;
/// A process lives at most so long before it is killed: some are killed while they start.
const LONGEST_LIFE_MS: u64 = 700;
const DEADLINE: Duration = Duration::from_mins(3);
/// Share of requests at which the receiver of webhooks misbehaves.
const FAULTS: &str = "0.2";
const SEED: u64 = 20_261_123;

/// Source, destination and port.
type Pair = (String, String, u64);

#[test]
fn every_acknowledged_beacon_arrives_everywhere_across_200_kills() -> Result<()> {
    let servers = Servers::install(&mut |progress| println!("{progress}"))?;
    deployment::in_folder(|folder| {
        let opensearch = Node::start(&servers.opensearch, &folder.join("opensearch"))?;
        let webhook = Webhook::start(folder)?;
        let hec = Hec::start(&servers.collector, &folder.join("collector"))?;
        let certificates = Certificates::make(&folder.join("certificates"))?;
        let mut syslog = SyslogServer::start(
            &SYSLOG_NG.install(&mut |progress| println!("{progress}"))?,
            &folder.join("syslog"),
            &certificates,
        )?;
        let addresses = Addresses {
            search_url: opensearch.url(),
            webhook: webhook.address.clone(),
            hec_port: hec.ack_port,
            syslog_port: syslog.ports[1],
        };
        let destinations = all_destinations(folder, &addresses)?;
        let mut sidecar = Sidecar::prepare(folder, &folder.join("state"), &destinations)?;
        let truth = folder.join("truth.ndjson");
        let mut sender = sender(&sidecar, &truth, "0.04")?;
        let mut instants = Instants(SEED);
        for _ in 0..KILLS {
            sidecar.start()?;
            // The random instant is what is tested: there is no condition to wait for.
            std::thread::park_timeout(instants.next());
            sidecar.process()?.kill()?;
        }
        sidecar.start()?;
        sender.terminate(DEADLINE)?;
        let beacons = beacons(&truth)?;
        ensure!(beacons.len() > 100, "only {} were sent", beacons.len());
        let documents = wait::wait_for("every beacon at every destination", DEADLINE, || {
            sidecar.process()?.expect_running()?;
            let documents = Documents::read(folder, &opensearch)?;
            documents.expect_all(&beacons)?;
            documents.expect_same_ids()?;
            let events = hec::event_ids(&hec.folder.join("acknowledged.ndjson"))?;
            let messages = syslog.messages("tcp")?;
            let again = (
                documents.expect_ids("the event collector", &events)?,
                documents.expect_ids("syslog-ng", &syslog_ids(&messages)?)?,
            );
            Ok(Some((documents, again)))
        })?;
        let (documents, (events_again, messages_again)) = documents;
        let again = documents.expect_consistent()?;
        println!(
            "{} beacons acknowledged across {KILLS} kills; {} documents at each destination; came again: {again} to the webhook, {events_again} to the event collector, {messages_again} to syslog-ng",
            beacons.len(),
            documents.search.len(),
        );
        sidecar.process()?.terminate(DEADLINE).map(drop)
    })
}

#[test]
fn a_full_disk_stops_the_acknowledgements_and_loses_nothing() -> Result<()> {
    deployment::in_folder(|folder| {
        let disk = SmallDisk::mount(&folder.join("disk"))?;
        let mut sidecar = Sidecar::prepare(folder, &disk.folder, &file_destination(folder))?;
        sidecar.start()?;
        let truth = folder.join("truth.ndjson");
        let mut sender = sender(&sidecar, &truth, "0")?;
        wait::wait_for("a full disk that is noticed", DEADLINE, || {
            sidecar.process()?.expect_running()?;
            let log = sidecar.process()?.log()?;
            Ok(log.contains("No space left").then_some(()))
        })?;
        let before = beacons(&truth)?.len();
        disk.grow()?;
        wait::wait_for("acknowledgements on the larger disk", DEADLINE, || {
            sidecar.process()?.expect_running()?;
            Ok((beacons(&truth)?.len() > before + 20).then_some(()))
        })?;
        sender.terminate(DEADLINE)?;
        let beacons = beacons(&truth)?;
        wait::wait_for("every beacon in the file", DEADLINE, || {
            sidecar.process()?.expect_running()?;
            let documents = findings::read_file(&folder.join("detections.ndjson"))?;
            expect_all("the file", documents.iter(), &beacons).map(Some)
        })?;
        println!(
            "{before} beacons until the disk was full, {} in all",
            beacons.len()
        );
        sidecar.process()?.terminate(DEADLINE).map(drop)
    })
}

/// A linear congruential generator (Knuth's MMIX): the same instants in every run.
struct Instants(u64);

impl Instants {
    fn next(&mut self) -> Duration {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis((self.0 >> 33) % LONGEST_LIFE_MS)
    }
}

/// A file system in memory that is soon full.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    fn mount(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).context("creating the mount point")?;
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]);
        tools::output_of(command.arg(folder))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    fn grow(&self) -> Result<()> {
        let mut command = Command::new("mount");
        command.args(["-o", "remount,size=256m"]).arg(&self.folder);
        tools::output_of(&mut command).map(drop)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: after a failure the sidecar may still live for a moment.
        let mut command = Command::new("umount");
        drop(tools::output_of(command.arg("--lazy").arg(&self.folder)));
    }
}

/// The receiver of webhooks, which misbehaves.
struct Webhook {
    address: String,
    _process: Process,
}

impl Webhook {
    fn start(folder: &Path) -> Result<Self> {
        let documents = folder.join("webhook.ndjson");
        let documents = documents.to_str().context("a folder with a name")?;
        let (process, address) = python::listening(
            "faulty_receiver.py",
            &folder.join("webhook.address"),
            &[documents, FAULTS, &SEED.to_string()],
        )?;
        Ok(Self {
            address,
            _process: process,
        })
    }
}

/// Sends beacons with a pause of so many seconds between them.
fn sender(sidecar: &Sidecar, truth: &Path, pause_s: &str) -> Result<Process> {
    let mut command = python::command("otlp_beacons.py")?;
    command
        .arg(format!("http://127.0.0.1:{}/v1/logs", sidecar.http_port))
        .arg(truth)
        .args([&SEED.to_string(), pause_s]);
    let log = sidecar.folder.join("sender.log");
    Process::start("the sender", &command, None, &log)
}

fn file_destination(folder: &Path) -> String {
    let path = folder.join("detections.ndjson");
    let path = path.display();
    format!("[sidecar.destinations.file]\ntype = \"file\"\npath = \"{path}\"\n")
}

/// Where the destinations are.
struct Addresses {
    search_url: String,
    webhook: String,
    hec_port: u16,
    syslog_port: u16,
}

fn all_destinations(folder: &Path, addresses: &Addresses) -> Result<String> {
    let Addresses {
        search_url,
        webhook,
        hec_port,
        syslog_port,
    } = addresses;
    let token = folder.join("token");
    fs::write(&token, "11111111-2222-3333-4444-555555555555").context("writing the token")?;
    let token = token.display();
    let secret = folder.join("webhook.secret");
    fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").context("writing the secret")?;
    let (file, secret) = (file_destination(folder), secret.display());
    Ok(format!(
        r#"{file}
[sidecar.destinations.search]
type = "opensearch"
url = "{search_url}"

[sidecar.destinations.soar]
type = "webhook"
url = "http://{webhook}/findings"
secrets = [{{ file = "{secret}" }}]

[sidecar.destinations.splunk]
type = "splunk_hec"
url = "http://127.0.0.1:{hec_port}"
token = {{ file = "{token}" }}
acknowledge = true
acknowledge_timeout_s = 5

[sidecar.destinations.syslog]
type = "syslog"
transport = "tcp"
address = "127.0.0.1:{syslog_port}"
"#
    ))
}

/// The sidecar, started again and again with the same configuration.
struct Sidecar {
    folder: PathBuf,
    http_port: u16,
    process: Option<Process>,
}

impl Sidecar {
    /// Writes the configuration; `data` is the folder of the state, `destinations` a part of TOML.
    fn prepare(folder: &Path, data: &Path, destinations: &str) -> Result<Self> {
        let [grpc_port, http_port, api_port] = http::free_ports()?;
        let data = data.display();
        let configuration = format!(
            r#"
[sidecar]
data_directory = "{data}"
analysis_interval_s = 1
receive = {{ grpc_address = "127.0.0.1:{grpc_port}", http_address = "127.0.0.1:{http_port}" }}
api = {{ address = "127.0.0.1:{api_port}" }}
delivery = {{ initial_backoff_ms = 50, max_backoff_s = 1 }}

{destinations}
"#
        );
        let file = folder.join("sidecar.toml");
        fs::write(file, configuration).context("writing the configuration")?;
        Ok(Self {
            folder: folder.to_owned(),
            http_port,
            process: None,
        })
    }

    fn start(&mut self) -> Result<()> {
        let mut command = Command::new(deployment::binaries()?.join("beaconwatch"));
        let file = self.folder.join("sidecar.toml");
        command.args(["detect", "--config"]).arg(file);
        let log = self.folder.join("sidecar.log");
        self.process = Some(Process::start("the sidecar", &command, None, &log)?);
        Ok(())
    }

    fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("the sidecar was not started")
    }
}

/// What the sender says was acknowledged.
fn beacons(truth: &Path) -> Result<BTreeSet<Pair>> {
    let lines = findings::read_file(truth)?;
    let pair = |line: &Value| pair(line, "/source", "/destination", "/port");
    lines.iter().map(pair).collect()
}

fn pair(value: &Value, source: &str, destination: &str, port: &str) -> Result<Pair> {
    let text = |place| {
        let found = value.pointer(place).and_then(Value::as_str);
        found.with_context(|| format!("no {place} in {value}"))
    };
    let port = value.pointer(port).and_then(Value::as_u64);
    Ok((
        text(source)?.to_owned(),
        text(destination)?.to_owned(),
        port.context("no port")?,
    ))
}

/// What a document is about.
fn about(document: &Value) -> Result<Pair> {
    let places = ("/source/ip", "/destination/ip", "/destination/port");
    pair(document, places.0, places.1, places.2)
}

fn event_id(document: &Value) -> Result<String> {
    let id = document.pointer("/event/id").and_then(Value::as_str);
    let id = id.with_context(|| format!("no event.id in {document}"))?;
    Ok(id.to_owned())
}

/// The ids in the structured data of messages.
fn syslog_ids(messages: &[Value]) -> Result<Vec<String>> {
    let id = |message: &Value| {
        let id = message.pointer("/_SDATA/beaconwatch@32473/id");
        let id = id
            .and_then(Value::as_str)
            .context("a message without an id")?;
        Ok(id.to_owned())
    };
    messages.iter().map(id).collect()
}

fn expect_all<'a>(
    place: &str,
    documents: impl Iterator<Item = &'a Value>,
    beacons: &BTreeSet<Pair>,
) -> Result<()> {
    let seen: BTreeSet<Pair> = documents.map(about).collect::<Result<_>>()?;
    let missing: Vec<_> = beacons.difference(&seen).collect();
    let count = missing.len();
    ensure!(count == 0, "{count} are missing at {place}: {missing:?}");
    Ok(())
}

/// What has arrived where, by event id.
struct Documents {
    search: BTreeMap<String, Value>,
    file: Vec<(String, Value)>,
    webhook: Vec<(String, Value)>,
}

impl Documents {
    fn read(folder: &Path, opensearch: &Node) -> Result<Self> {
        let hits = opensearch.documents(DATA_STREAM)?;
        let found = hits.len();
        let search: BTreeMap<_, _> = hits.into_iter().map(|hit| (hit.id, hit.source)).collect();
        ensure!(search.len() == found, "an id is in two backing indices");
        let file = findings::read_file(&folder.join("detections.ndjson"))?;
        let file = file.into_iter().map(|it| Ok((event_id(&it)?, it)));
        let webhook = findings::read_file(&folder.join("webhook.ndjson"))?;
        let webhook = webhook.iter().map(|line| {
            let id = line["id"].as_str().context("a webhook without an id")?;
            let body = line["body"].as_str().context("a webhook without a body")?;
            let body = serde_json::from_str(body).context("a webhook without JSON")?;
            Ok((id.to_owned(), body))
        });
        Ok(Self {
            search,
            file: file.collect::<Result<_>>()?,
            webhook: webhook.collect::<Result<_>>()?,
        })
    }

    fn by_place(&self) -> [(&'static str, Vec<(&String, &Value)>); 3] {
        fn list(documents: &[(String, Value)]) -> Vec<(&String, &Value)> {
            documents.iter().map(|(id, it)| (id, it)).collect()
        }
        [
            ("OpenSearch", self.search.iter().collect()),
            ("the file", list(&self.file)),
            ("the webhook", list(&self.webhook)),
        ]
    }

    /// Every beacon has a document at every destination.
    fn expect_all(&self, beacons: &BTreeSet<Pair>) -> Result<()> {
        for (place, documents) in self.by_place() {
            expect_all(place, documents.into_iter().map(|it| it.1), beacons)?;
        }
        Ok(())
    }

    /// The same ids everywhere.
    fn expect_same_ids(&self) -> Result<()> {
        let expected: BTreeSet<&String> = self.search.keys().collect();
        for (place, documents) in self.by_place() {
            let ids: BTreeSet<&String> = documents.iter().map(|(id, _)| *id).collect();
            let count = ids.symmetric_difference(&expected).count();
            ensure!(
                count == 0,
                "{count} ids differ between {place} and OpenSearch"
            );
        }
        Ok(())
    }

    /// The same ids as everywhere, as often as they came; how many came again.
    fn expect_ids(&self, place: &str, came: &[String]) -> Result<usize> {
        let ids: BTreeSet<&String> = came.iter().collect();
        let expected: BTreeSet<&String> = self.search.keys().collect();
        let count = ids.symmetric_difference(&expected).count();
        ensure!(
            count == 0,
            "{count} ids differ between {place} and OpenSearch"
        );
        Ok(came.len() - ids.len())
    }

    /// The same documents everywhere, each beacon one finding; how many came to the webhook again.
    fn expect_consistent(&self) -> Result<usize> {
        let mut findings: BTreeMap<Pair, BTreeSet<&str>> = BTreeMap::new();
        for (place, documents) in self.by_place() {
            for (id, document) in documents {
                ensure!(*id == event_id(document)?, "{id} at {place} is {document}");
                let stored = self.search.get(id);
                ensure!(stored == Some(document), "{id} differs at {place}");
                let finding = document.pointer("/beaconwatch/finding/id");
                let finding = finding.and_then(Value::as_str).context("no finding id")?;
                findings
                    .entry(about(document)?)
                    .or_default()
                    .insert(finding);
            }
        }
        let twice = findings.iter().find(|(_, ids)| ids.len() > 1);
        ensure!(twice.is_none(), "one beacon, several findings: {twice:?}");
        ensure!(
            self.file.len() == self.search.len(),
            "a document is in the file twice"
        );
        Ok(self.webhook.len() - self.search.len())
    }
}
