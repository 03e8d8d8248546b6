//! `rules check` and `rules try`.

use serde_json::{Value, json};

use super::*;

const TOR: &str = "
title: Connection To A Port Of Tor
id: 3c7a6b1e-59a4-4b0e-9a53-0d2f5f0d8a01
logsource: {category: network_connection, product: linux}
detection: {selection: {DestinationPort: 9001}, condition: selection}
level: medium
";
const UNKNOWN_FIELD: &str = "
title: Connection To Somewhere
id: 3c7a6b1e-59a4-4b0e-9a53-0d2f5f0d8a02
logsource: {category: network_connection, product: linux}
detection:
    selection:
        DestinationProt: 9001
    condition: selection
level: medium
";

fn flow(id: &str, port: u16) -> String {
    let body = json!({
        "@timestamp": "2025-11-22T08:26:30.123Z",
        "beaconwatch": { "flow": { "id": id, "record": 0 } },
        "destination": { "port": port },
        "event": { "dataset": "beaconwatch.flow" },
    });
    body.to_string()
}

#[test]
fn a_broken_rule_is_named_with_its_line_and_the_others_count() {
    let whole = folder(&[("tor.yml", TOR.as_bytes())]);
    let ran = run(["rules", "check", text(whole.path())]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("1 rules, 0 correlations"), "{}", ran.out);

    let folder = folder(&[
        ("tor.yml", TOR.as_bytes()),
        ("typing.yml", UNKNOWN_FIELD.as_bytes()),
    ]);
    let ran = run(["rules", "check", text(folder.path())]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let named = ran.out.lines().find(|line| line.contains("typing.yml:7"));
    assert!(
        named.is_some_and(|line| line.contains("DestinationProt")),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("1 rules") && ran.out.contains("1 broken"),
        "{}",
        ran.out
    );
}

#[test]
fn what_matches_is_printed_and_what_does_not_is_not() {
    let documents = [flow("f1", 443), String::new(), flow("f2", 9001)].join("\n");
    let folder = folder(&[
        ("tor.yml", TOR.as_bytes()),
        ("flows.ndjson", documents.as_bytes()),
    ]);
    let file = folder.path().join("flows.ndjson");
    let ran = run(["rules", "try", text(folder.path()), text(&file)]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(ran.out, "medium        Connection To A Port Of Tor: f2\n");

    let ran = run(["rules", "try", "--json", text(folder.path()), text(&file)]);
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(found["documents"], json!(["f2"]));
    assert_eq!(found["rule"]["id"], "3c7a6b1e-59a4-4b0e-9a53-0d2f5f0d8a01");
}

#[test]
fn a_line_that_is_no_document_of_ours_is_named() {
    for (line, expected) in [
        ("{", "line 2: "),
        ("{}", "line 2: no text event.dataset"),
        (
            "{\"event.dataset\": \"other\"}",
            "expected beaconwatch.detection or beaconwatch.flow",
        ),
        (
            "{\"event.dataset\": \"beaconwatch.detection\", \"event.id\": \"a-1\", \"@timestamp\": \"yesterday\"}",
            "line 2: @timestamp is \"yesterday\", expected RFC 3339",
        ),
    ] {
        let documents = format!("{}\n{line}\n", flow("f1", 443));
        let folder = folder(&[
            ("tor.yml", TOR.as_bytes()),
            ("flows.ndjson", documents.as_bytes()),
        ]);
        let file = folder.path().join("flows.ndjson");
        let ran = run(["rules", "try", text(folder.path()), text(&file)]);
        assert_eq!(ran.code, Some(1), "{line}: {}", ran.out);
        assert!(
            ran.err.contains("flows.ndjson") && ran.err.contains(expected),
            "{line}: {}",
            ran.err
        );
    }
}
