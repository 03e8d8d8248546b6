//! Findings in Elasticsearch over TLS with an API key that may do nothing but create them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::certificates::Certificates;
use beaconwatch_tests::deployment::{self, DATA_STREAM};
use beaconwatch_tests::detect::{AWKWARD_NAME, Detect, beacons};
use beaconwatch_tests::servers::elasticsearch::{self, Node};
use serde_json::json;

/// More documents than the server takes at a time.
const MANY: u32 = 600;

struct Run<'a> {
    node: Node,
    detect: Detect,
    key_file: std::path::PathBuf,
    destination: String,
    folder: &'a Path,
}

#[test]
fn documents_are_created_once_whatever_happens_to_key_and_store() -> Result<()> {
    deployment::in_folder(|folder| {
        let mut run = start(folder)?;
        run.a_revoked_key_is_reported_and_nothing_is_given_up()?;
        run.every_document_is_created()?;
        run.a_second_delivery_finds_them_there()?;
        run.what_is_too_much_at_once_is_delivered_in_parts()?;
        run.a_document_that_is_refused_is_a_dead_letter_and_its_neighbours_arrive()?;
        run.a_server_with_another_certificate_gets_nothing()
    })
}

fn start(folder: &Path) -> Result<Run<'_>> {
    let installed = elasticsearch::install(&mut |_progress| ())?;
    let certificates = Certificates::make(&folder.join("certificates"))?;
    let node = Node::start(&installed, &folder.join("elasticsearch"), &certificates)?;
    // The template of the sidecar has types that this server lacks.
    let properties = json!({
        "@timestamp": {"type": "date"},
        "event": {"properties": {"id": {"type": "keyword"}}},
        "beaconwatch": {"properties": {"score": {"type": "double"}}},
    });
    let template = json!({
        "index_patterns": ["logs-beaconwatch.detection-*"],
        "priority": 250,
        "data_stream": {},
        "template": {"mappings": {"dynamic": false, "properties": properties}},
    });
    let path = format!("/_index_template/{}", deployment::INDEX_TEMPLATE);
    node.ask("PUT", &path, Some(&template))?;
    let key_file = folder.join("api-key");
    fs::write(&key_file, node.create_key("first")?).context("writing the key")?;
    node.revoke_key("first")?;
    let destination = destination(&node, &key_file, &certificates);
    Ok(Run {
        detect: Detect::start(&folder.join("sidecar"), &destination)?,
        node,
        key_file,
        destination,
        folder,
    })
}

fn destination(node: &Node, key_file: &Path, certificates: &Certificates) -> String {
    let [certificate, key] = certificates.pair("client");
    format!(
        "type = \"elasticsearch\"
url = \"{}\"
authentication = {{ api_key = {{ file = \"{}\" }} }}
tls = {{ ca_file = \"{}\", client_certificate_file = \"{}\", client_key_file = \"{}\" }}",
        node.url(),
        key_file.display(),
        certificates.authority().display(),
        certificate.display(),
        key.display(),
    )
}

impl Run<'_> {
    fn use_key(&self, name: &str) -> Result<()> {
        let key = self.node.create_key(name)?;
        fs::write(&self.key_file, key).context("writing the key")
    }

    fn a_revoked_key_is_reported_and_nothing_is_given_up(&mut self) -> Result<()> {
        self.detect.feed(&beacons(3))?;
        let status = self.detect.wait_for_status("a refused key", |status| {
            status["pending"] == 3 && status["failures"].as_u64() > Some(1)
        })?;
        let error = status["last_error"].as_str().unwrap_or_default();
        ensure!(error.starts_with("401"), "{status:#}");
        let key = fs::read_to_string(&self.key_file).context("reading the key")?;
        ensure!(!self.detect.log()?.contains(&key), "the key is in the log");
        ensure!(
            !status.to_string().contains(&key),
            "the key is in the status"
        );
        Ok(())
    }

    fn every_document_is_created(&mut self) -> Result<()> {
        self.detect.kill_and_copy()?;
        self.use_key("second")?;
        self.detect.restart(&self.destination)?;
        let status = self.detect.wait_until_sent(3)?;
        ensure!(
            status["already_there"] == 0 && status["dead"] == 0,
            "{status:#}"
        );
        self.expect_documents(3)?;
        let documents = self.node.documents(DATA_STREAM)?;
        let awkward =
            |document: &&(String, serde_json::Value)| document.1["process"]["name"] == AWKWARD_NAME;
        ensure!(
            documents.iter().filter(awkward).count() == 1,
            "{documents:#?}"
        );
        Ok(())
    }

    /// The sidecar forgets what it has delivered and delivers it again.
    fn a_second_delivery_finds_them_there(&mut self) -> Result<()> {
        self.detect.kill_and_put_back()?;
        self.detect.restart(&self.destination)?;
        let status = self.detect.wait_until_sent(3)?;
        ensure!(status["already_there"] == 3, "{status:#}");
        self.expect_documents(3)
    }

    /// The key is revoked while the sidecar runs; what waits until it has another is more than the server takes.
    fn what_is_too_much_at_once_is_delivered_in_parts(&mut self) -> Result<()> {
        self.node.revoke_key("second")?;
        self.detect.feed(&beacons(MANY)[3..])?;
        self.detect
            .wait_for_status("documents that wait", |status| {
                status["pending"] == MANY - 3 && status["failures"].as_u64() > Some(0)
            })?;
        self.use_key("third")?;
        self.detect.restart(&self.destination)?;
        let status = self.detect.wait_until_sent(u64::from(MANY))?;
        ensure!(status["dead"] == 0, "{status:#}");
        let log = self.detect.log()?;
        ensure!(
            log.contains("429 Too Many Requests"),
            "the server took all at once: {log}"
        );
        self.expect_documents(MANY as usize)
    }

    /// The server refuses one document of a request for good.
    fn a_document_that_is_refused_is_a_dead_letter_and_its_neighbours_arrive(
        &mut self,
    ) -> Result<()> {
        let mapping = json!({
            "properties": {"process": {"properties": {"name": {"type": "boolean"}}}},
        });
        let path = format!("/{DATA_STREAM}/_mapping");
        self.node.ask("PUT", &path, Some(&mapping))?;
        let mut three = beacons(MANY + 3).split_off(MANY as usize);
        for (beacon, name) in three.iter_mut().zip(["true", "refused", "false"]) {
            name.clone_into(&mut beacon.process);
        }
        self.detect.feed(&three)?;
        self.detect.wait_for_status("a dead letter", |status| {
            status["dead"] == 1 && status["pending"] == 0
        })?;
        self.expect_documents(MANY as usize + 2)
    }

    fn a_server_with_another_certificate_gets_nothing(&mut self) -> Result<()> {
        let strangers = Certificates::make(&self.folder.join("strangers"))?;
        let destination = destination(&self.node, &self.key_file, &strangers);
        self.detect.restart(&destination)?;
        let more: Vec<_> = beacons(MANY + 4).split_off(MANY as usize + 3);
        self.detect.feed(&more)?;
        let status = self
            .detect
            .wait_for_status("a refused certificate", |status| {
                status["pending"] == 1 && status["failures"].as_u64() > Some(0)
            })?;
        let error = status["last_error"].as_str().unwrap_or_default();
        ensure!(error.contains("invalid peer certificate"), "{status:#}");
        self.expect_documents(MANY as usize + 2)
    }

    /// There are so many documents, each under its event id.
    fn expect_documents(&self, count: usize) -> Result<()> {
        let documents = self.node.documents(DATA_STREAM)?;
        ensure!(
            documents.len() == count,
            "{} documents, expected {count}",
            documents.len()
        );
        let ids: BTreeSet<&str> = documents.iter().map(|(id, _)| id.as_str()).collect();
        ensure!(ids.len() == count, "an id is there twice: {ids:?}");
        for (id, document) in &documents {
            ensure!(
                document["event"]["id"] == id.as_str(),
                "_id {id}: {document:#}"
            );
        }
        Ok(())
    }
}
