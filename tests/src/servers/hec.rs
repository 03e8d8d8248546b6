//! The Collector as a Splunk HTTP event collector, with and without acknowledgement.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process::Process;
use crate::{http, wait};

const COLLECTOR: &str = include_str!("../../servers/collector-hec.yaml");
const DEADLINE: Duration = Duration::from_mins(1);

/// The Collector as an HTTP event collector.
#[derive(Debug)]
pub struct Hec {
    /// Port that acknowledges nothing; its events are in `plain.ndjson`.
    pub plain_port: u16,
    /// Port that acknowledges; its events are in `acknowledged.ndjson`.
    pub ack_port: u16,
    /// Where the files are.
    pub folder: PathBuf,
    _process: Process,
}

impl Hec {
    /// Starts it in `folder` and waits until it listens.
    pub fn start(program: &Path, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).context("creating the folder of the Collector")?;
        let configuration = folder.join("collector.yaml");
        fs::write(&configuration, COLLECTOR).context("writing the configuration")?;
        let [plain_port, ack_port] = http::free_ports()?;
        let mut command = Command::new(program);
        command
            .arg(format!("--config=file:{}", configuration.display()))
            .env("PLAIN_ENDPOINT", format!("127.0.0.1:{plain_port}"))
            .env("ACK_ENDPOINT", format!("127.0.0.1:{ack_port}"))
            .env("FOLDER", folder);
        let log = folder.join("collector.log");
        let mut process = Process::start("the Collector", &command, None, &log)?;
        wait::wait_for("the Collector", DEADLINE, || {
            process.expect_running()?;
            let listening = |port| TcpStream::connect(("127.0.0.1", port)).is_ok();
            Ok((listening(plain_port) && listening(ack_port)).then_some(()))
        })?;
        Ok(Self {
            plain_port,
            ack_port,
            folder: folder.to_owned(),
            _process: process,
        })
    }
}

/// The ids of all events that the Collector wrote into `file`, as often as they came; each stands beside its event,
/// too.
pub fn event_ids(file: &Path) -> Result<Vec<String>> {
    let id = |record: &Value| {
        let attributes = record["attributes"].as_array().context("no attributes")?;
        let id = attributes.iter().find(|it| it["key"] == "event_id");
        let id = id.and_then(|it| it["value"]["stringValue"].as_str());
        let id = id.with_context(|| format!("no event_id in {record:#}"))?;
        let body = &record["body"]["kvlistValue"]["values"];
        let event = attribute(body, "event")?;
        let inner = attribute(&event["kvlistValue"]["values"], "id")?;
        ensure!(inner["stringValue"] == id, "{record:#}");
        Ok(id.to_owned())
    };
    log_records(file)?.iter().map(id).collect()
}

fn attribute<'a>(attributes: &'a Value, key: &str) -> Result<&'a Value> {
    let all = attributes.as_array().context("no attributes")?;
    let found = all.iter().find(|attribute| attribute["key"] == key);
    Ok(&found.with_context(|| format!("no {key} in {attributes:#}"))?["value"])
}

/// Every log record of a file of the Collector; their resources name the source type.
fn log_records(file: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(file).unwrap_or_default();
    // The last line may be half written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut records = Vec::new();
    for line in whole.lines() {
        let line: Value = serde_json::from_str(line).context("reading a line")?;
        for resource in line["resourceLogs"].as_array().into_iter().flatten() {
            let kind = attribute(&resource["resource"]["attributes"], "com.splunk.sourcetype")?;
            ensure!(kind["stringValue"] == "beaconwatch:detection", "{kind}");
            for scope in resource["scopeLogs"].as_array().into_iter().flatten() {
                let found = scope["logRecords"].as_array().into_iter().flatten();
                records.extend(found.cloned());
            }
        }
    }
    Ok(records)
}
