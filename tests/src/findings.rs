//! What arrived in the search server: detection documents, read by their public names.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::ecs::Schema;
use crate::network::Network;
use crate::program::{Connection, Truth};
use crate::servers::opensearch::Hit;
use crate::traffic;

/// The interval of a finding may differ by this share from the median that the program's own times have.
const INTERVAL_TOLERANCE: f64 = 0.1;

/// Documents of one finding, by revision.
#[derive(Clone, Debug)]
pub struct Finding {
    /// `beaconwatch.finding.id`.
    pub id: String,
    /// Its documents in the order of their revisions.
    pub documents: Vec<Value>,
}

/// Checks every document against the schema, and that no id is there twice; gives the findings about
/// the test's own network.
pub fn read(hits: &[Hit], schema: &Schema, network: &Network) -> Result<Vec<Finding>> {
    let mut ids = BTreeSet::new();
    let mut findings: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for hit in hits {
        let complaints = schema.complaints(&hit.source);
        ensure!(complaints.is_empty(), "{complaints:#?} in {:#}", hit.source);
        let event_id = text(&hit.source, "/event/id")?;
        ensure!(
            hit.id == event_id,
            "_id {} differs from event.id {event_id}",
            hit.id
        );
        ensure!(
            ids.insert(event_id.to_owned()),
            "the id {event_id} is there twice"
        );
        let source: IpAddr = text(&hit.source, "/source/ip")?
            .parse()
            .context("source.ip")?;
        if network.client.has(source) || network.server.has(source) {
            let finding = text(&hit.source, "/beaconwatch/finding/id")?.to_owned();
            findings
                .entry(finding)
                .or_default()
                .push(hit.source.clone());
        }
    }
    let mut findings: Vec<Finding> = findings
        .into_iter()
        .map(|(id, documents)| Finding { id, documents })
        .collect();
    for finding in &mut findings {
        finding.documents.sort_by_key(revision);
        let revisions: Vec<u64> = finding.documents.iter().map(revision).collect();
        let expected: Vec<u64> = (1..).take(revisions.len()).collect();
        ensure!(
            revisions == expected,
            "finding {} has the revisions {revisions:?}",
            finding.id
        );
    }
    Ok(findings)
}

fn revision(document: &Value) -> u64 {
    document
        .pointer("/beaconwatch/finding/revision")
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

/// Takes from `findings` the one about the beacon of `family` in `truth`.
pub fn claim(findings: &mut Vec<Finding>, truth: &Truth, family: &str) -> Result<Finding> {
    let connections: Vec<&Connection> = truth
        .connections
        .iter()
        .filter(|connection| connection.family == family)
        .collect();
    let beat = connections
        .first()
        .context("the program made no connection")?;
    let position = findings
        .iter()
        .position(|finding| is_about(&finding.documents[0], beat).unwrap_or(false))
        .with_context(|| format!("no finding for {beat:?} among {findings:#?}"))?;
    let finding = findings.swap_remove(position);
    for document in &finding.documents {
        check(document, truth, &connections)
            .with_context(|| format!("beacon {beat:?} is {document:#}"))?;
    }
    Ok(finding)
}

/// Whether any of `findings` is about a destination of `truth`.
#[must_use]
pub fn any_about<'a>(findings: &'a [Finding], truth: &Truth) -> Option<&'a Finding> {
    findings.iter().find(|finding| {
        let about = |connection| is_about(&finding.documents[0], connection).unwrap_or(false);
        truth.connections.iter().any(about)
    })
}

fn is_about(document: &Value, connection: &Connection) -> Result<bool> {
    Ok(
        text(document, "/source/ip")?.parse() == Ok(connection.local_address)
            && text(document, "/destination/ip")?.parse() == Ok(connection.remote_address)
            && count(document, "/destination/port")? == u64::from(connection.remote_port)
            && text(document, "/network/transport")? == connection.transport,
    )
}

fn check(document: &Value, truth: &Truth, connections: &[&Connection]) -> Result<()> {
    let identity = &truth.identity;
    ensure!(
        text(document, "/process/name")? == identity.name,
        "process name"
    );
    ensure!(
        text(document, "/process/executable")? == identity.executable,
        "executable"
    );
    ensure!(
        count(document, "/process/pid")? == u64::from(identity.pid),
        "process id"
    );
    ensure!(
        text(document, "/network/type")? == connections[0].family,
        "network type"
    );
    let expected = traffic::median_interval_s(connections.iter().copied());
    let found = number(document, "/beaconwatch/interval/median_s")?;
    ensure!(
        (found / expected - 1.0).abs() <= INTERVAL_TOLERANCE,
        "median interval {found} s, the program's own times say {expected} s"
    );
    let counted = count(document, "/beaconwatch/count")?;
    let most = connections.len();
    ensure!(
        (10..=u64::try_from(most)?).contains(&counted),
        "{counted} connections, the program made {most}"
    );
    ensure!(text(document, "/event/kind")? == "alert", "event kind");
    Ok(())
}

/// A text in a document, by JSON pointer.
pub fn text<'a>(document: &'a Value, pointer: &str) -> Result<&'a str> {
    document
        .pointer(pointer)
        .and_then(Value::as_str)
        .with_context(|| format!("no text at {pointer} in {document:#}"))
}

/// A number in a document, by JSON pointer.
pub fn number(document: &Value, pointer: &str) -> Result<f64> {
    document
        .pointer(pointer)
        .and_then(Value::as_f64)
        .with_context(|| format!("no number at {pointer} in {document:#}"))
}

/// A whole number in a document, by JSON pointer.
pub fn count(document: &Value, pointer: &str) -> Result<u64> {
    document
        .pointer(pointer)
        .and_then(Value::as_u64)
        .with_context(|| format!("no whole number at {pointer} in {document:#}"))
}
