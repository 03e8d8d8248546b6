//! Findings at a real HTTP event collector and at a webhook receiver that verifies, through a network that cuts,
//! delays and refuses: every finding arrives, what comes twice has the same id, and what is refused is a dead letter.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::detect::{DEADLINE, Detect, beacons};
use beaconwatch_tests::process::Process;
use beaconwatch_tests::servers::collector;
use beaconwatch_tests::servers::hec::{self, Hec};
use beaconwatch_tests::{deployment, findings, python, wait};
use serde_json::Value;

const FINDINGS: u32 = 60;
/// Share of requests that meet a fault.
const FAULTS: &str = "0.3";
const SEED: &str = "20261123";
/// One document in an attempt: many requests, so that every fault is met.
const ROUTE: &str = "route = { max_batch_documents = 1 }";

#[test]
fn the_event_collector_gets_every_finding_through_faults_with_and_without_acknowledgement()
-> Result<()> {
    deployment::in_folder(|folder| {
        let program = collector::install(&mut |progress| println!("{progress}"))?;
        let hec = Hec::start(&program, &folder.join("collector"))?;
        let token = folder.join("token");
        fs::write(&token, "11111111-2222-3333-4444-555555555555").context("writing the token")?;
        for (acknowledge, port, file) in [
            (false, hec.plain_port, "plain.ndjson"),
            (true, hec.ack_port, "acknowledged.ndjson"),
        ] {
            let name = format!("acknowledge-{acknowledge}");
            let mut proxy = Proxy::start(folder, &name, &format!("127.0.0.1:{port}"))?;
            let destination = format!(
                "type = \"splunk_hec\"\nurl = \"http://{}\"\ntoken = {{ file = \"{}\" }}\nacknowledge = {acknowledge}\nacknowledge_timeout_s = 5\n{ROUTE}",
                proxy.address,
                token.display()
            );
            let mut detect = Detect::start(&folder.join(&name), &destination)?;
            detect.feed(&beacons(FINDINGS))?;
            let status = detect.wait_until_sent(u64::from(FINDINGS))?;
            ensure!(status["delivered"] == FINDINGS, "{status:#}");
            ensure!(
                status["dead"] == 0 && status["unconfirmed"] == 0,
                "{status:#}"
            );
            let counts = proxy.stop()?;
            let again = wait::wait_for("every finding in the file", DEADLINE, || {
                expect_events(&hec.folder.join(file)).map(Some)
            })?;
            println!(
                "{name}: {FINDINGS} findings, {again} events more; requests by fault: {counts}"
            );
        }
        Ok(())
    })
}

#[test]
fn a_receiver_that_verifies_gets_every_webhook_through_faults_and_the_refused_one_is_a_dead_letter()
-> Result<()> {
    deployment::in_folder(|folder| {
        let sent = beacons(FINDINGS);
        let refused = &sent[1].source;
        let secret = folder.join("secret");
        fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .context("writing the secret")?;
        let authorization = folder.join("authorization");
        fs::write(&authorization, "Bearer t0ken").context("writing the header")?;
        let template = folder.join("body.jinja");
        let text = "{\"id\": {{ event_id }}, \"from\": {{ source.ip }}, \"title\": {{ \"Beacon of \" ~ process.name }}, \"document\": {{ document }} }";
        fs::write(&template, text).context("writing the template")?;
        let receiver = Receiver::start(folder, &secret, refused)?;
        let mut proxy = Proxy::start(folder, "webhook", &receiver.address)?;
        let destination = format!(
            "type = \"webhook\"\nurl = \"http://{}/findings\"\nsecrets = [{{ file = \"{}\" }}]\nheaders = {{ Authorization = {{ file = \"{}\" }} }}\ntemplate_file = \"{}\"\n{ROUTE}",
            proxy.address,
            secret.display(),
            authorization.display(),
            template.display()
        );
        let mut detect = Detect::start(&folder.join("sidecar"), &destination)?;
        detect.feed(&sent)?;
        let delivered = u64::from(FINDINGS) - 1;
        let status = detect.wait_until_sent(delivered)?;
        ensure!(
            status["dead"] == 1 && status["dead_letters"] == 1,
            "{status:#}"
        );
        let counts = proxy.stop()?;
        let again = expect_webhooks(&receiver.documents, refused)?;
        println!("{delivered} webhooks, {again} came again; requests by fault: {counts}");
        Ok(())
    })
}

/// Every finding is among the events that the Collector wrote; how many came more than once.
fn expect_events(file: &Path) -> Result<usize> {
    let ids = hec::event_ids(file)?;
    let distinct: BTreeSet<&String> = ids.iter().collect();
    let findings = FINDINGS as usize;
    ensure!(distinct.len() == findings, "{} findings", distinct.len());
    Ok(ids.len() - findings)
}

/// Every finding but the refused one is there, genuine and as the template makes it; how many came again.
fn expect_webhooks(file: &Path, refused: &str) -> Result<usize> {
    let lines = findings::read_file(file)?;
    let mut sources = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for line in &lines {
        ensure!(line["problem"].is_null(), "not genuine: {line}");
        ensure!(line["authorization"] == "Bearer t0ken", "{line}");
        let body = &line["body"];
        ensure!(line["id"] == body["id"], "{line}");
        ensure!(body["document"]["event"]["id"] == body["id"], "{line}");
        let process = &body["document"]["process"]["name"];
        let title = process.as_str().map(|name| format!("Beacon of {name}"));
        ensure!(body["title"].as_str() == title.as_deref(), "{line}");
        ids.insert(line["id"].as_str().context("no id")?);
        sources.insert(body["from"].as_str().context("no source")?);
    }
    let expected = beacons(FINDINGS);
    let expected = expected.iter().map(|beacon| beacon.source.as_str());
    let expected: BTreeSet<&str> = expected.filter(|source| *source != refused).collect();
    ensure!(sources == expected, "{sources:?}");
    ensure!(ids.len() == expected.len(), "{} ids", ids.len());
    Ok(lines.len() - ids.len())
}

/// The network that misbehaves.
struct Proxy {
    address: String,
    counts: PathBuf,
    process: Process,
}

impl Proxy {
    fn start(folder: &Path, name: &str, server: &str) -> Result<Self> {
        let file = folder.join(format!("proxy-{name}"));
        let (process, address) =
            python::listening("fault_proxy.py", &file, &[server, FAULTS, SEED])?;
        Ok(Self {
            address,
            counts: file.with_added_extension("faults"),
            process,
        })
    }

    /// Ends it; how many requests met which fault. Every fault was met, else nothing was tested.
    fn stop(&mut self) -> Result<Value> {
        self.process.terminate(DEADLINE)?;
        let counts = fs::read(&self.counts).context("reading the counts of faults")?;
        let counts: Value = serde_json::from_slice(&counts).context("reading the counts")?;
        for fault in ["cut", "busy", "unavailable", "answer_lost", "late"] {
            ensure!(counts[fault].as_u64() > Some(0), "no {fault}: {counts}");
        }
        Ok(counts)
    }
}

/// The receiver of webhooks.
struct Receiver {
    address: String,
    documents: PathBuf,
    _process: Process,
}

impl Receiver {
    fn start(folder: &Path, secret: &Path, refused: &str) -> Result<Self> {
        let documents = folder.join("webhooks.ndjson");
        let arguments = [&documents, secret].map(|path| path.display().to_string());
        let [documents_argument, secret] = arguments.each_ref().map(String::as_str);
        let (process, address) = python::listening(
            "webhook_receiver.py",
            &folder.join("webhook-receiver"),
            &[documents_argument, secret, refused],
        )?;
        Ok(Self {
            address,
            documents,
            _process: process,
        })
    }
}
