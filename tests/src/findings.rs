//! What came out: detection documents, read by their public names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::ecs::Schema;
use crate::network::Ends;
use crate::program::{Connection, Truth};
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

/// Checks every document against the schema, and that no id is there twice; gives the findings whose
/// documents are `ours`.
pub fn read(
    documents: &[Value],
    schema: &Schema,
    ours: impl Fn(&Value) -> Result<bool>,
) -> Result<Vec<Finding>> {
    let mut ids = BTreeSet::new();
    let mut findings: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for document in documents {
        let complaints = schema.complaints(document);
        ensure!(complaints.is_empty(), "{complaints:#?} in {document:#}");
        let event_id = text(document, "/event/id")?;
        ensure!(ids.insert(event_id), "the id {event_id} is there twice");
        if ours(document)? {
            let finding = text(document, "/beaconwatch/finding/id")?.to_owned();
            findings.entry(finding).or_default().push(document.clone());
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

/// Whether the source of a document is one of `ends`.
pub fn is_between(ends: &Ends, document: &Value) -> Result<bool> {
    Ok(ends.have(text(document, "/source/ip")?.parse().context("source.ip")?))
}

/// The documents of a file of JSON lines; none when it is not there. A last line that is still being
/// written is left out.
pub fn read_file(path: &Path) -> Result<Vec<Value>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let whole = text
        .rfind('\n')
        .and_then(|end| text.get(..end))
        .unwrap_or_default();
    whole
        .lines()
        .map(|line| serde_json::from_str(line).context("reading a detection"))
        .collect()
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
        (5..=u64::try_from(most)?).contains(&counted),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(id: &str, finding: &str, revision: u64) -> Value {
        json!({
            "@timestamp": "2025-11-22T08:26:30Z", "ecs": {"version": "9.4.0"}, "event": {"id": id},
            "beaconwatch": {"finding": {"id": finding, "revision": revision}},
        })
    }

    fn read_all(documents: &[Value]) -> Result<Vec<Finding>> {
        let schema = Schema::of(&json!({
            "@timestamp": {"type": "date"}, "ecs.version": {"type": "keyword"},
            "event.id": {"type": "keyword"},
        }));
        read(documents, &schema, |_document| Ok(true))
    }

    #[test]
    fn documents_of_one_finding_are_joined_in_the_order_of_their_revisions() {
        let documents = [
            document("2", "f", 2),
            document("1", "f", 1),
            document("3", "g", 1),
        ];
        let found = read_all(&documents).expect("the documents are right");
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0].documents.iter().map(revision).collect::<Vec<_>>(),
            [1, 2]
        );
    }

    #[test]
    fn an_id_that_is_there_twice_is_an_error() {
        let twice = [document("1", "f", 1), document("1", "g", 1)];
        assert!(
            read_all(&twice)
                .expect_err("twice")
                .to_string()
                .contains("there twice")
        );
    }

    #[test]
    fn a_revision_that_is_missing_is_an_error() {
        let gap = [document("1", "f", 1), document("3", "f", 3)];
        assert!(
            read_all(&gap)
                .expect_err("a gap")
                .to_string()
                .contains("[1, 3]")
        );
    }

    #[test]
    fn a_document_that_departs_from_the_schema_is_an_error() {
        let mut wrong = document("1", "f", 1);
        wrong["event"]["kid"] = json!("alert");
        assert!(
            read_all(&[wrong])
                .expect_err("wrong")
                .to_string()
                .contains("event.kid")
        );
    }
}
