//! Findings for products of incident response: a signed webhook with a template of the program arrives at a receiver
//! that verifies it; OCSF events and STIX bundles of real findings pass the published validators; every template
//! makes a body of a real finding, and n8n's playbook takes the signature for what it is.
//!
//! Needs pip and Node. Everything is on loopback and nothing needs root. What the products make of the bodies cannot be
//! tried here: `destinations/tests/schemas` has what they publish of them, and the tests there check every body.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::detect::{DEADLINE, Detect, beacons};
use beaconwatch_tests::{deployment, findings, python, tools, wait};
use serde_json::{Value, json};

const VALIDATORS: &[&str] = &[
    "ocsf-json-schema==1.2.0",
    "stix2==3.0.2",
    "jsonschema==4.26.0",
];
const FINDINGS: u32 = 3;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn real_findings_arrive_signed_and_pass_the_published_validators() -> Result<()> {
    deployment::in_folder(|folder| {
        let secret = folder.join("secret");
        fs::write(&secret, SECRET).context("writing the secret")?;
        let documents = folder.join("webhooks.ndjson");
        let arguments = [&documents, &secret].map(|path| path.display().to_string());
        let [documents_argument, secret_argument] = arguments.each_ref().map(String::as_str);
        let (_receiver, address) = python::listening(
            "webhook_receiver.py",
            &folder.join("receiver"),
            &[documents_argument, secret_argument, "nobody"],
        )?;
        let destination = format!(
            "type = \"webhook\"\nurl = \"http://{address}/n8n\"\ntemplate = \"n8n\"\nsecrets = [{{ file = \"{secret_argument}\" }}]"
        );
        let mut detect = Detect::start(&folder.join("sidecar"), &destination)?;
        detect.feed(&beacons(FINDINGS))?;
        detect.wait_until_sent(u64::from(FINDINGS))?;
        let received = wait::wait_for("every webhook", DEADLINE, || {
            let received = findings::read_file(&documents)?;
            Ok((received.len() >= FINDINGS as usize).then_some(received))
        })?;
        let mut lines = Vec::new();
        for webhook in &received {
            ensure!(webhook["problem"].is_null(), "{webhook}");
            let id = findings::text(webhook, "/body/finding_id")?;
            ensure!(webhook["body"]["kind"] == "beacon", "{webhook}");
            for format in ["ocsf", "stix"] {
                let body = alert(&detect, id, format)?;
                lines.push(json!({"name": id, "kind": format, "body": body}));
            }
            lines.extend(previews(&detect, id)?);
        }
        validate(&lines)
    })
}

/// What the program prints.
fn printed(arguments: &[&str]) -> Result<Value> {
    let program = deployment::binaries()?.join("beaconwatch");
    let out = tools::output_of(Command::new(program).args(arguments))?;
    serde_json::from_str(&out).with_context(|| format!("{arguments:?} printed {out}"))
}

fn alert(detect: &Detect, id: &str, format: &str) -> Result<Value> {
    let port = detect.api_port().to_string();
    printed(&["alerts", "show", id, "--format", format, "--port", &port])
}

/// Every template makes JSON of a finding; what that of OCSF makes is validated.
fn previews(detect: &Detect, id: &str) -> Result<Vec<Value>> {
    let program = deployment::binaries()?.join("beaconwatch");
    let list = tools::output_of(Command::new(program).args(["webhook", "preview", "--list"]))?;
    let port = detect.api_port().to_string();
    let mut lines = Vec::new();
    for name in list.lines().filter_map(|line| line.split(' ').next()) {
        let body = printed(&[
            "webhook",
            "preview",
            "--template",
            name,
            "--finding",
            id,
            "--port",
            &port,
        ])?;
        ensure!(body.is_object(), "{name}: {body}");
        if name == "ocsf" {
            lines.push(json!({"name": "preview", "kind": "ocsf", "body": body}));
        }
    }
    ensure!(lines.len() == 1, "no template ocsf in {list}");
    Ok(lines)
}

/// Runs the published validators over lines of `{"name", "kind", "body"}`.
fn validate(lines: &[Value]) -> Result<()> {
    let packages = tools::python_packages("vocabularies", VALIDATORS)?;
    let mut command = python::command("vocabularies.py")?;
    command.env("PYTHONPATH", packages);
    let mut validator = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the validators")?;
    let mut stdin = validator.stdin.take().context("no standard input")?;
    for line in lines {
        writeln!(stdin, "{line}").context("writing to the validators")?;
    }
    drop(stdin);
    let output = validator
        .wait_with_output()
        .context("waiting for the validators")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(said.lines().count() == lines.len(), "{said}");
    ensure!(output.status.success(), "{said}");
    Ok(())
}

#[test]
fn the_playbook_of_n8n_takes_genuine_webhooks_and_no_others() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workflow = root.join("../integrations/soar/n8n/beaconwatch.json");
    let said = tools::output_of(
        Command::new(tools::or_apt("node", "nodejs")?)
            .arg(root.join("programs/n8n_signature.mjs"))
            .arg(workflow),
    )?;
    let said: Value = serde_json::from_str(&said).context("reading what the playbook said")?;
    ensure!(
        said == json!({"genuine": true, "second secret": true, "tampered": false, "stale": false, "unsigned": false, "no secret": false}),
        "{said}"
    );
    Ok(())
}
