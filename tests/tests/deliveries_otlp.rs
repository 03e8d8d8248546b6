//! Findings as log records at a real Collector, over gRPC and HTTP with TLS and a client's certificate.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::certificates::Certificates;
use beaconwatch_tests::deployment;
use beaconwatch_tests::detect::{AWKWARD_NAME, DEADLINE, Detect, beacons};
use beaconwatch_tests::servers::collector::{self, Collector};
use beaconwatch_tests::wait::wait_for;
use serde_json::Value;

const FINDINGS: u32 = 3;

#[test]
fn the_collector_gets_every_finding_over_grpc_and_over_http() -> Result<()> {
    deployment::in_folder(|folder| {
        let program = collector::install(&mut |_progress| ())?;
        let certificates = Certificates::make(&folder.join("certificates"))?;
        for protocol in ["grpc", "http/protobuf"] {
            let name = protocol.replace('/', "-");
            let state = folder.join(format!("collector-{name}"));
            let collector = Collector::receiving(&program, &state, &certificates)?;
            let port = match protocol {
                "grpc" => collector.grpc_port(),
                _ => collector.http_port(),
            };
            let [certificate, key] = certificates.pair("client");
            let destination = format!(
                "type = \"otlp\"\nprotocol = \"{protocol}\"\nendpoint = \"https://localhost:{port}\"\ntls = {{ ca_file = \"{}\", client_certificate_file = \"{}\", client_key_file = \"{}\" }}",
                certificates.authority().display(),
                certificate.display(),
                key.display()
            );
            let mut detect = Detect::start(&folder.join(&name), &destination)?;
            detect.feed(&beacons(FINDINGS))?;
            let status = detect.wait_until_sent(u64::from(FINDINGS))?;
            ensure!(status["delivered"] == FINDINGS, "{status:#}");
            expect_records(&collector).context(name)?;
        }
        Ok(())
    })
}

/// The Collector has a record of each finding, and the bodies are the documents.
fn expect_records(collector: &Collector) -> Result<()> {
    let records = wait_for("the Collector's file", DEADLINE, || {
        let records = records(collector)?;
        ensure!(
            records.len() >= FINDINGS as usize,
            "{} records",
            records.len()
        );
        Ok(Some(records))
    })?;
    let mut ids = BTreeSet::new();
    let mut awkward = 0;
    for record in &records {
        ensure!(record["eventName"] == "beaconwatch.detection", "{record:#}");
        ensure!(record["timeUnixNano"].is_string(), "{record:#}");
        let id = attribute(&record["attributes"], "beaconwatch.event.id")?;
        let body = &record["body"]["kvlistValue"]["values"];
        let event = &attribute(body, "event")?["kvlistValue"]["values"];
        ensure!(attribute(event, "id")? == id, "{record:#}");
        ensure!(
            attribute(&record["attributes"], "destination.port")?["intValue"] == "443",
            "{record:#}"
        );
        ids.insert(id["stringValue"].as_str().context("no id")?.to_owned());
        let process = attribute(&record["attributes"], "process.executable.name")?;
        awkward += usize::from(process["stringValue"] == AWKWARD_NAME);
    }
    ensure!(
        ids.len() == FINDINGS as usize && records.len() == ids.len(),
        "{ids:?}"
    );
    ensure!(awkward == 1, "{records:#?}");
    Ok(())
}

fn attribute<'a>(attributes: &'a Value, key: &str) -> Result<&'a Value> {
    let all = attributes.as_array().context("no attributes")?;
    let found = all.iter().find(|attribute| attribute["key"] == key);
    Ok(&found.with_context(|| format!("no {key} in {attributes:#}"))?["value"])
}

/// Every log record that the Collector has written.
fn records(collector: &Collector) -> Result<Vec<Value>> {
    let text = fs::read_to_string(collector.logs()).unwrap_or_default();
    // The last line may be half written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut records = Vec::new();
    for line in whole.lines() {
        let line: Value = serde_json::from_str(line).context("reading a line")?;
        for resource in line["resourceLogs"].as_array().into_iter().flatten() {
            for scope in resource["scopeLogs"].as_array().into_iter().flatten() {
                records.extend(
                    scope["logRecords"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .cloned(),
                );
            }
        }
    }
    Ok(records)
}
