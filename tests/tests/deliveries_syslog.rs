//! Findings at real syslog servers, over every transport and in every format, as the servers understood them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::certificates::Certificates;
use beaconwatch_tests::deployment;
use beaconwatch_tests::detect::{AWKWARD_NAME, DEADLINE, Detect, beacons};
use beaconwatch_tests::servers::rsyslog::RSYSLOG;
use beaconwatch_tests::servers::syslog::SyslogServer;
use beaconwatch_tests::servers::syslog_ng::SYSLOG_NG;
use beaconwatch_tests::wait::wait_for;
use serde_json::Value;

const FINDINGS: u32 = 3;

fn tls(certificates: &Certificates) -> String {
    let [certificate, key] = certificates.pair("client");
    format!(
        "tls = {{ ca_file = \"{}\", client_certificate_file = \"{}\", client_key_file = \"{}\" }}",
        certificates.authority().display(),
        certificate.display(),
        key.display()
    )
}

/// The messages that arrived, each of another finding.
fn arrived(what: &str, messages: impl FnMut() -> Result<Vec<Value>>) -> Result<Vec<Value>> {
    let mut messages = messages;
    wait_for(what, DEADLINE, || {
        let messages = messages()?;
        ensure!(
            messages.len() >= FINDINGS as usize,
            "{} messages: {messages:#?}",
            messages.len()
        );
        Ok(Some(messages))
    })
}

fn text<'a>(message: &'a Value, pointer: &str) -> Result<&'a str> {
    let value = message.pointer(pointer).and_then(Value::as_str);
    value.with_context(|| format!("no {pointer} in {message:#}"))
}

/// The one message about the process with the awkward name carries it whole, in the structured data and in the text.
fn expect_awkward_name(messages: &[Value]) -> Result<()> {
    let name = AWKWARD_NAME.replace('\n', " ");
    let found = messages
        .iter()
        .find(|message| {
            text(message, "/_SDATA/beaconwatch@32473/process").is_ok_and(|found| found == name)
        })
        .with_context(|| format!("no process {name:?} in {messages:#?}"))?;
    let document: Value =
        serde_json::from_str(text(found, "/MESSAGE")?).context("reading the document")?;
    ensure!(document["process"]["name"] == AWKWARD_NAME, "{document:#}");
    ensure!(
        text(found, "/_SDATA/beaconwatch@32473/id")? == document["event"]["id"],
        "{found:#}"
    );
    Ok(())
}

/// Delivers findings in a folder of its own; the destination's status when all is sent.
fn deliver(folder: &Path, name: &str, destination: &str) -> Result<Value> {
    let mut detect = Detect::start(&folder.join(name), destination)?;
    detect.feed(&beacons(FINDINGS))?;
    detect.wait_until_sent(u64::from(FINDINGS))
}

#[test]
fn syslog_ng_understands_every_message_over_udp_tcp_tls_and_the_local_socket() -> Result<()> {
    deployment::in_folder(|folder| {
        let installed = SYSLOG_NG.install(&mut |_progress| ())?;
        let certificates = Certificates::make(&folder.join("certificates"))?;
        let mut server = SyslogServer::start(&installed, &folder.join("syslog-ng"), &certificates)?;
        let [udp, tcp, tls_port] = server.ports;
        for (way, port, more, confirmed) in [
            ("udp", udp, String::new(), false),
            ("tcp", tcp, String::new(), true),
            ("tls", tls_port, tls(&certificates), true),
        ] {
            let destination = format!(
                "type = \"syslog\"\ntransport = \"{way}\"\naddress = \"localhost:{port}\"\nfacility = \"local3\"\n{more}"
            );
            // The server listens on 127.0.0.1 only, which `localhost` need not mean for datagrams.
            let destination = match way {
                "udp" => destination.replace("localhost", "127.0.0.1"),
                _ => destination,
            };
            let status = deliver(folder, way, &destination)?;
            let messages = arrived(way, || server.messages(way))?;
            ensure!(messages.len() == FINDINGS as usize, "{way}: {messages:#?}");
            for message in &messages {
                ensure!(message["FACILITY"] == "local3", "{message:#}");
                ensure!(message["MSGID"] == "beacon-detected", "{message:#}");
                ensure!(message["PROGRAM"] == "beaconwatch", "{message:#}");
            }
            expect_awkward_name(&messages).context(way)?;
            if let Some(unconfirmed) = status["unconfirmed"].as_u64() {
                let expected = if confirmed { 0 } else { u64::from(FINDINGS) };
                ensure!(unconfirmed == expected, "{way}: {status:#}");
            }
        }
        let socket = server.local_socket();
        let local = format!(
            "type = \"syslog\"\npath = \"{}\"\nformat = \"text\"",
            socket.display()
        );
        deliver(folder, "local", &local)?;
        let messages = arrived("local", || server.messages("local"))?;
        for message in &messages {
            ensure!(message["PROGRAM"] == "beaconwatch", "{message:#}");
            ensure!(
                text(message, "/MESSAGE")?.starts_with("severity="),
                "{message:#}"
            );
        }
        Ok(())
    })
}

#[test]
fn rsyslog_understands_every_message_over_udp_tcp_and_tls() -> Result<()> {
    deployment::in_folder(|folder| {
        let installed = RSYSLOG.install(&mut |_progress| ())?;
        let certificates = Certificates::make(&folder.join("certificates"))?;
        let mut server = SyslogServer::start(&installed, &folder.join("rsyslog"), &certificates)?;
        let [udp, tcp, tls_port] = server.ports;
        for (way, port, format, begins, more) in [
            ("udp", udp, "cef", "CEF:0|Beaconwatch|", String::new()),
            ("tcp", tcp, "leef", "LEEF:2.0|Beaconwatch|", String::new()),
            ("tls", tls_port, "text", "severity=", tls(&certificates)),
        ] {
            let destination = format!(
                "type = \"syslog\"\ntransport = \"{way}\"\naddress = \"127.0.0.1:{port}\"\nformat = \"{format}\"\n{more}"
            );
            deliver(folder, way, &destination)?;
            let messages = arrived(way, || server.messages(way))?;
            ensure!(messages.len() == FINDINGS as usize, "{way}: {messages:#?}");
            for message in &messages {
                let said = text(message, "/MESSAGE")?.trim_start_matches('\u{feff}');
                ensure!(said.starts_with(begins), "{way}: {message:#}");
                ensure!(
                    text(message, "/SDATA")?.contains("[beaconwatch@32473 id=\""),
                    "{message:#}"
                );
                ensure!(message["MSGID"] == "beacon-detected", "{message:#}");
            }
        }
        Ok(())
    })
}

#[test]
fn a_receiver_that_refuses_our_certificate_gets_the_findings_when_it_takes_it() -> Result<()> {
    deployment::in_folder(|folder| {
        let installed = SYSLOG_NG.install(&mut |_progress| ())?;
        let certificates = Certificates::make(&folder.join("certificates"))?;
        let strangers = Certificates::make(&folder.join("strangers"))?;
        let mut server = SyslogServer::start(&installed, &folder.join("syslog-ng"), &certificates)?;
        let destination = |client: &Certificates| {
            let [certificate, key] = client.pair("client");
            format!(
                "type = \"syslog\"\ntransport = \"tls\"\naddress = \"127.0.0.1:{}\"\ntls = {{ ca_file = \"{}\", client_certificate_file = \"{}\", client_key_file = \"{}\" }}",
                server.ports[2],
                certificates.authority().display(),
                certificate.display(),
                key.display()
            )
        };
        let [refused, taken] = [destination(&strangers), destination(&certificates)];
        let mut detect = Detect::start(&folder.join("sidecar"), &refused)?;
        detect.feed(&beacons(FINDINGS))?;
        let status = detect.wait_for_status("a refused certificate", |status| {
            status["failures"].as_u64() > Some(0) && status["pending"] == FINDINGS
        })?;
        ensure!(status["delivered"] == 0, "{status:#}");
        ensure!(
            server.messages("tls")?.is_empty(),
            "messages from a stranger"
        );
        detect.restart(&taken)?;
        detect.wait_until_sent(u64::from(FINDINGS))?;
        let messages = arrived("tls", || server.messages("tls"))?;
        expect_awkward_name(&messages)
    })
}
