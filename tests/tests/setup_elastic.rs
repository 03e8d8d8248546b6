//! `beaconwatch setup elastic` against a real Elasticsearch, with no more than the printed privileges; and `setup splunk`
//! against the Collector's event collector.
//!
//! Kibana cannot be had: what stands in for it answers as its documentation says. This Elasticsearch has neither ingest
//! processors nor transforms: those are tried on OpenSearch.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::certificates::Certificates;
use beaconwatch_tests::deployment::{self, DATA_STREAM};
use beaconwatch_tests::detect::{Detect, beacons};
use beaconwatch_tests::servers::hec::Hec;
use beaconwatch_tests::servers::{collector, elasticsearch};
use beaconwatch_tests::setup::{self, Dashboards, Ran, committed};
use beaconwatch_tests::{tools, wait};
use serde_json::{Value, json};

/// Index template that the sidecar has made before.
const EARLIER: &str = "logs-beaconwatch.sensor";
const DEADLINE: Duration = Duration::from_mins(1);

/// A setup of Elasticsearch.
struct Elastic<'a> {
    node: elasticsearch::Node,
    certificates: Certificates,
    folder: &'a Path,
    privileges: Value,
}

#[test]
fn elasticsearch_is_set_up_with_no_more_than_the_printed_privileges() -> Result<()> {
    deployment::in_folder(|folder| {
        let installed = elasticsearch::install(&mut |_progress| ())?;
        let certificates = Certificates::make(&folder.join("certificates"))?;
        let node =
            elasticsearch::Node::start(&installed, &folder.join("elasticsearch"), &certificates)?;
        let privileges = setup::run(&["elastic", "--print-privileges"])?
            .expect_success()?
            .report;
        let elastic = Elastic {
            node,
            certificates,
            folder,
            privileges,
        };
        let template = committed("elasticsearch/sidecar-template/sensor.json")?;
        let path = format!("/_index_template/{EARLIER}");
        elastic.node.ask("PUT", &path, Some(&template))?;
        let earlier = elastic.node.ask("GET", &path, None)?;
        elastic.what_stands_in_the_way_is_named()?;
        let key = elastic.key("setup")?;
        let kibana = Dashboards::start(folder, "kbn-xsrf", "9.5.3", "")?;
        elastic.a_key_of_least_privileges_is_enough(&key, &kibana)?;
        elastic.the_delivery_key_is_enough_for_findings()?;
        elastic.each_key_is_enough_for_its_streams_alone()?;
        elastic.what_was_made_goes(&key, &kibana)?;
        let found = elastic.node.ask("GET", &path, None)?;
        let of = |answer: &Value| answer["index_templates"][0]["index_template"].clone();
        for part in [
            "_meta",
            "index_patterns",
            "template",
            "data_stream",
            "composed_of",
            "priority",
        ] {
            ensure!(of(&found)[part] == of(&earlier)[part], "{part}: {found:#}");
        }
        Ok(())
    })
}

impl Elastic<'_> {
    /// A file with a key that has the privileges printed for this purpose.
    fn key(&self, purpose: &str) -> Result<PathBuf> {
        let key = self
            .node
            .create_key_with(purpose, &self.privileges[purpose])?;
        let file = self.folder.join(format!("{purpose}.key"));
        fs::write(&file, key).context("writing the key")?;
        Ok(file)
    }

    fn setup(&self, key: &Path, more: &[&str]) -> Result<Ran> {
        let (url, key) = (self.node.url(), key.display().to_string());
        let authority = self.certificates.authority().display().to_string();
        let journal = self.folder.join("journal.json").display().to_string();
        let arguments = [
            "elastic",
            "--url",
            &url,
            "--api-key-file",
            &key,
            "--ca-file",
            &authority,
            "--journal",
            &journal,
        ];
        setup::run(&[&arguments[..], more].concat())
    }

    /// This server has neither processors nor transforms.
    fn what_stands_in_the_way_is_named(&self) -> Result<()> {
        let wrong = self.folder.join("wrong.key");
        fs::write(&wrong, "d3Jvbmc6d3Jvbmc=").context("writing a wrong key")?;
        let told = self
            .setup(&wrong, &[])?
            .expect_failure(&["refuses the credentials", "--api-key-file"])?;
        ensure!(!told.contains("d3Jvbmc6"), "the key is told: {told}");
        let delivery = self.key("delivery")?;
        // It may not even ask for the version.
        self.setup(&delivery, &[])?
            .expect_failure(&["privilege monitor"])?;
        let few = json!({"cluster": ["monitor"], "indices": []});
        let few_file = self.folder.join("few.key");
        fs::write(&few_file, self.node.create_key_with("few", &few)?).context("writing a key")?;
        self.setup(&few_file, &[])?.expect_failure(&[
            "nothing was changed",
            "cluster privilege manage_index_templates",
            "privilege view_index_metadata for indices logs-beaconwatch.flow-*",
            "--print-privileges",
        ])?;
        let setup = self.key("setup")?;
        self.setup(&setup, &[])?.expect_failure(&[
            "no ingest processors",
            "no interface for a transform",
            "--without pipelines",
            "--without transforms",
        ])?;
        let url = self.node.url();
        let without_authority = setup::run(&["elastic", "--url", &url])?;
        without_authority.expect_failure(&["certificate", "--ca-file"])?;
        Ok(())
    }

    fn a_key_of_least_privileges_is_enough(&self, key: &Path, kibana: &Dashboards) -> Result<()> {
        let more = [
            "--without",
            "pipelines,transforms",
            "--kibana-url",
            &kibana.url,
        ];
        let first = self.setup(key, &more)?.expect_success()?;
        let made = first.with_action("created");
        for kind in [
            "component_template",
            "index_template",
            "saved_object",
            "detection_rule",
        ] {
            ensure!(
                made.iter().any(|it| it.starts_with(kind)),
                "no {kind}: {made:?}"
            );
        }
        let second = self.setup(key, &more)?.expect_success()?;
        ensure!(
            second.with_action("unchanged").len() == made.len() + 1,
            "{second:?}"
        );
        let requests = kibana.requests()?;
        let secret = fs::read_to_string(key).context("reading the key")?;
        let expected = format!("ApiKey {secret}");
        ensure!(
            requests.iter().all(|it| it["authorization"] == *expected),
            "another login"
        );
        let imports = requests
            .iter()
            .filter(|it| it["path"] == "/api/saved_objects/_import");
        let expected = setup::committed_lines("elasticsearch/saved-objects.ndjson")?;
        ensure!(imports.count() == expected, "not {expected} imports");
        Ok(())
    }

    fn the_delivery_key_is_enough_for_findings(&self) -> Result<()> {
        let key = self.key("delivery")?;
        let destination = format!(
            "type = \"elasticsearch\"\nurl = \"{}\"\nauthentication = {{ api_key = {{ file = \"{}\" }} }}\ntls = {{ ca_file = \"{}\" }}",
            self.node.url(),
            key.display(),
            self.certificates.authority().display(),
        );
        let mut detect = Detect::start(&self.folder.join("sidecar"), &destination)?;
        detect.feed(&beacons(1))?;
        let status = detect.wait_until_sent(1)?;
        ensure!(status["dead"] == 0, "{status:#}");
        ensure!(
            self.node.documents(DATA_STREAM)?.len() == 1,
            "not one document"
        );
        let mapping = self
            .node
            .ask("GET", &format!("/{DATA_STREAM}/_mapping"), None)?;
        let ip = mapping.as_object().and_then(|all| {
            all.values()
                .next()?
                .pointer("/mappings/properties/source/properties/ip/type")
        });
        ensure!(ip == Some(&json!("ip")), "{mapping:#}");
        Ok(())
    }

    /// Each key may create documents in its own streams, and nothing elsewhere.
    fn each_key_is_enough_for_its_streams_alone(&self) -> Result<()> {
        let flows = fs::read_to_string(self.key("flows")?).context("reading the key")?;
        let delivery = self.folder.join("delivery.key");
        let delivery = fs::read_to_string(delivery).context("reading the key")?;
        for (key, data, status) in [
            (&flows, "flow", "201"),
            (&flows, "detection", "403"),
            (&delivery, "sensor", "201"),
            (&delivery, "rule", "201"),
            (&delivery, "flow", "403"),
        ] {
            let told = self.create(key, &format!("logs-beaconwatch.{data}-default"))?;
            ensure!(told == status, "{data}: {told}, expected {status}");
        }
        Ok(())
    }

    /// What the server answers to the creation of a document.
    fn create(&self, key: &str, stream: &str) -> Result<String> {
        let document = json!({"@timestamp": "2025-11-22T08:26:30Z"});
        let url = format!("{}/{stream}/_doc", self.node.url());
        let told = tools::output_of(
            Command::new(tools::or_apt("curl", "curl")?)
                .args(["--silent", "--noproxy", "*", "--output", "/dev/null"])
                .args(["--write-out", "%{http_code}", "--cacert"])
                .arg(self.certificates.authority())
                .args(["--header", "content-type: application/json"])
                .args(["--header", &format!("authorization: ApiKey {key}")])
                .args(["--data", &document.to_string(), &url]),
        )?;
        Ok(told.trim().to_owned())
    }

    fn what_was_made_goes(&self, key: &Path, kibana: &Dashboards) -> Result<()> {
        let more = [
            "--without",
            "pipelines,transforms",
            "--kibana-url",
            &kibana.url,
            "--remove",
        ];
        let removed = self.setup(key, &more)?.expect_success()?;
        let kept = removed.with_action("kept");
        ensure!(
            kept == ["rule", "flow", "detection"]
                .map(|data| format!("index_template logs-beaconwatch.{data}")),
            "{removed:?}"
        );
        let left = self.node.ask("GET", "/_component_template", None)?;
        ensure!(!left.to_string().contains("logs-beaconwatch"), "{left:#}");
        ensure!(
            self.node.documents(DATA_STREAM)?.len() == 1,
            "the document is gone"
        );
        Ok(())
    }
}

#[test]
fn an_event_collector_is_tried_with_and_without_acknowledgement() -> Result<()> {
    deployment::in_folder(|folder| {
        let program = collector::install(&mut |_progress| ())?;
        let hec = Hec::start(&program, &folder.join("collector"))?;
        let token = folder.join("token");
        fs::write(&token, "11111111-2222-3333-4444-555555555555").context("writing the token")?;
        let token = token.display().to_string();
        let check = |url: &str| {
            setup::run(&[
                "splunk",
                "--url",
                url,
                "--token-file",
                &token,
                "--index",
                "security",
                "--hec-check",
            ])
        };
        for (port, file, expected) in [
            (hec.plain_port, "plain.ndjson", 2),
            (hec.ack_port, "acknowledged.ndjson", 3),
        ] {
            let ran = check(&format!("http://127.0.0.1:{port}"))?.expect_success()?;
            let checks = ran.report.as_array().context("no checks")?;
            ensure!(checks.len() == expected, "{:#}", ran.report);
            ensure!(
                checks.iter().all(|check| check["is_good"] == true),
                "{:#}",
                ran.report
            );
            wait::wait_for("the event in the file", DEADLINE, || {
                let text = fs::read_to_string(hec.folder.join(file)).unwrap_or_default();
                let wanted = ["beaconwatch_test", "beaconwatch:test", "security"];
                Ok(wanted.iter().all(|it| text.contains(it)).then_some(()))
            })?;
        }
        check("http://127.0.0.1:1")?.expect_failure(&["does not answer", "8088"])?;
        Ok(())
    })
}
