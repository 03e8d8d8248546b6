//! `alerts`, `allow`, `destinations` and `dead-letters`.

use serde_json::{Value, json};

use super::fake::Fake;
use super::*;

const ID: &str = "00112233445566778899aabbccddeeff";
const OTHER: &str = "0011ffff445566778899aabbccddeeff";

fn alert(id: &str) -> Value {
    json!({
        "alert_id": id, "title": "Beaconing from 10.0.0.5 to 198.51.100.7:443/tcp",
        "description": "It beats every 60 s.", "severity": "high", "source": "beaconwatch",
        "details": {
            "score": 0.87, "src_ip": "10.0.0.5", "dst_ip": "198.51.100.7", "dst_port": 443,
            "protocol": "TCP", "host": "h", "host_name": "web-1", "server_name": "c2\u{1b}.example",
            "process": {"pid": 42, "name": "=implant", "executable": "/tmp/implant"},
            "owner": {"container_id": "3f4a5b6c7d8e", "container_runtime": "podman", "pod_name": "web-x2x7k",
                      "pod_namespace": "shop", "unit": null, "parent_name": "ba\u{1b}sh"},
            "interval_s": 60.0, "jitter": 0.2, "connection_count": 30,
            "first_seen": "2023-11-14T20:42:21Z", "last_seen": "2023-11-14T22:42:21Z",
            "signals": [
                {"name": "jitter", "contribution": 0.15, "text": "deviates by at most 1 s"},
                {"name": "destination", "contribution": -1.0, "text": "to a neighbour"},
            ],
        },
        "timestamp": "2023-11-14T22:43:00Z", "tags": ["beaconing"], "state": "open", "kind": "beacon",
        "acknowledged": {"by": "kim", "at": "2023-11-14T22:43:00Z", "comment": null},
        "suppressed_until": null, "allowed": null, "opened": "2023-11-14T21:00:00Z",
        "updated": "2023-11-14T22:43:00Z", "closed": null, "revision": 4, "simulated": false,
        "comments": [{"by": "kim", "at": "2023-11-14T22:43:00Z", "text": "looking"}],
        "history": [{"at": "2023-11-14T21:00:00Z", "event": "beacon-detected"},
                    {"at": "2023-11-14T22:43:00Z", "event": "beacon-acknowledged", "actor": "kim"}],
        "deliveries": [{"destination": "file", "event_id": "x-4", "state": "dead", "reason": "mapping"}],
    })
}

fn list(alerts: &[Value]) -> Value {
    json!({"count": alerts.len(), "total": alerts.len(), "next": null, "alerts": alerts})
}

fn expect(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for word in words {
        assert!(ran.out.contains(word), "{word}: {}", ran.out);
    }
    let harmful = |c: char| c != '\n' && c.is_control();
    assert!(!ran.out.contains(harmful), "{:?}", ran.out);
}

fn expect_fits_80(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line:?}");
    }
}

#[test]
fn findings_are_listed_with_every_filter_of_the_api() {
    let sensor = json!({"alert_id": OTHER, "title": "Sensor web-2 fell silent", "kind": "sensor",
        "severity": "medium", "state": "open", "details": {"sensor_id": "s"}, "updated": "2023-11-14T22:43:00Z"});
    let fake = Fake::start(&[("GET /api/v1/alerts", 200, list(&[alert(ID), sensor]))]);
    let ran = fake.run(
        80,
        &[
            "alerts",
            "--state",
            "open,acknowledged",
            "--severity",
            "high",
            "--source",
            "10.0.0.5",
            "--process",
            "curl",
            "-q",
            "a b",
            "--since",
            "2023-11-14T00:00:00+01:00",
            "--sort",
            "score",
        ],
    );
    assert_eq!(
        fake.lines(),
        [
            "GET /api/v1/alerts?state=open%2Cacknowledged&severity=high&source=10.0.0.5&process=curl&q=a+b\
          &since=2023-11-13T23%3A00%3A00Z&sort=score"
        ]
    );
    let words = [
        "00112233",
        "0.87",
        "high",
        "10.0.0.5",
        "198.51.100.7:443/tcp",
        "c2\u{fffd}.example",
        "acknowledged by",
        "Sensor web-2 fell",
        "2023-11-14",
    ];
    expect(&ran, &words);
    expect_fits_80(&ran.out);
    expect(
        &fake.run(250, &["alerts", "list"]),
        &["10.0.0.5 to 198.51.100.7:443/tcp (c2\u{fffd}.example)"],
    );
    let csv = fake.run(80, &["alerts", "--csv"]);
    expect(&csv, &["Id,Score,Severity,State,Title,", ",'=implant,"]);
}

#[test]
fn one_finding_is_shown_whole_by_the_beginning_of_its_id() {
    let whole = format!("GET /api/v1/alerts/{ID}");
    let fake = Fake::start(&[
        (&whole, 200, alert(ID)),
        (
            "GET /api/v1/alerts?q=00112233&limit=10000",
            200,
            list(&[alert(ID)]),
        ),
    ]);
    let ran = fake.run(80, &["alerts", "show", "00112233"]);
    assert_eq!(fake.lines().last(), Some(&whole));
    expect(
        &ran,
        &[
            ID,
            "It beats every 60 s.",
            "  +0.150  jitter: deviates",
            "  -1.000  destination: to a neighbour",
            "acknowledged by kim",
            "kim: looking",
            "beacon-detected",
            "file x-4 dead: mapping",
            "/tmp/implant",
            "container   3f4a5b6c7d8e (podman)",
            "pod         web-x2x7k (shop)",
            "parent      ba",
            "web-1",
            "30 every 60 s, jitter 20 %",
        ],
    );
    let json: Value =
        serde_json::from_str(&fake.run(80, &["alerts", "show", ID, "--json"]).out).unwrap();
    assert_eq!(json, alert(ID));
}

#[test]
fn a_beginning_that_fits_several_findings_or_none_is_refused() {
    let fake = Fake::start(&[
        (
            "GET /api/v1/alerts?q=0011&",
            200,
            list(&[alert(ID), alert(OTHER)]),
        ),
        ("GET /api/v1/alerts?q=2233&", 200, list(&[alert(ID)])),
    ]);
    let ran = fake.run(80, &["alerts", "close", "0011"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    for words in ["more than one finding", ID, OTHER] {
        assert!(ran.err.contains(words), "{}", ran.err);
    }
    let ran = fake.run(80, &["alerts", "close", "2233"]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err
            .contains("no finding 2233: see `beaconwatch alerts`"),
        "{}",
        ran.err
    );
    assert!(fake.lines().iter().all(|line| line.starts_with("GET ")));
}

#[test]
fn findings_are_changed_as_the_api_wants_it() {
    let fake = Fake::start(&[("", 200, alert(ID))]);
    let path = format!("/api/v1/alerts/{ID}");
    for (arguments, method, end, body) in [
        (&["acknowledge", ID][..], "POST", "/acknowledge", json!({})),
        (
            &["acknowledge", ID, "--comment", "mine"],
            "POST",
            "/acknowledge",
            json!({"comment": "mine"}),
        ),
        (
            &["acknowledge", ID, "--undo"],
            "DELETE",
            "/acknowledge",
            Value::Null,
        ),
        (
            &["comment", ID, "a text"],
            "POST",
            "/comment",
            json!({"text": "a text"}),
        ),
        (
            &["close", ID, "--reason", "done"],
            "POST",
            "/close",
            json!({"reason": "done"}),
        ),
        (&["reopen", ID], "POST", "/reopen", json!({})),
        (
            &["suppress", ID, "--for", "8h"],
            "POST",
            "/suppress",
            json!({"for_s": 28800}),
        ),
        (
            &["suppress", ID, "--end"],
            "DELETE",
            "/suppress",
            Value::Null,
        ),
    ] {
        let ran = fake.run(80, &[&["alerts"], arguments].concat());
        expect(&ran, &[ID, "open, acknowledged by kim"]);
        let asked = fake.asked().pop().unwrap();
        assert_eq!(
            (asked.line, asked.body),
            (format!("{method} {path}{end}"), body)
        );
    }
}

#[test]
fn an_entry_of_the_allow_list_that_has_ended_says_so() {
    let entry = |id: &str, expired: bool| {
        json!({"id": id, "port": 443, "reason": "x", "origin": "api", "matched": 0,
        "expires": "2030-01-01T00:00:00Z", "expired": expired})
    };
    let entries = json!({"count": 2, "entries": [entry("a1", true), entry("b2", false)]});
    let fake = Fake::start(&[("GET /api/v1/allow", 200, entries)]);
    let ran = fake.run(200, &["allow"]);
    let line = |id: &str| {
        ran.out
            .lines()
            .find(|it| it.contains(id))
            .unwrap()
            .to_owned()
    };
    assert!(
        line("a1").contains("ended 2030-01-01 00:00:00"),
        "{}",
        ran.out
    );
    assert!(!line("b2").contains("ended"), "{}", ran.out);
}

#[test]
fn the_allow_list_is_shown_tried_and_changed() {
    let entry = json!({"id": "a1b2c3", "domain": "*.example.org", "port": 443, "source": "10.0.0.0/8",
        "client_fingerprint": "t13d1516h2_*", "reason": "updates", "owner": "it", "origin": "api", "matched": 12, "expires": null});
    let effect =
        json!({"entry": entry, "effect": {"series": 3, "findings": 1, "alerts": [alert(ID)]}});
    let fake = Fake::start(&[
        (
            "GET /api/v1/allow",
            200,
            json!({"count": 1, "entries": [entry]}),
        ),
        ("POST /api/v1/allow?dry_run=true", 200, effect.clone()),
        ("POST /api/v1/allow", 201, effect),
        ("DELETE /api/v1/allow/a1b2c3", 200, json!({})),
    ]);
    for width in [80, 200] {
        let ran = fake.run(width, &["allow"]);
        expect(
            &ran,
            &[
                "a1b2c3",
                "from 10.0.0.0/8 to *.example.org port 443",
                "t13d1516h2_*",
                "updates",
                "it",
                "never",
            ],
        );
        if width == 80 {
            expect_fits_80(&ran.out);
        }
    }
    let add = [
        "allow",
        "add",
        "--domain",
        "*.example.org",
        "--dest-port",
        "443",
        "--source",
        "10.0.0.0/8",
        "--reason",
        "updates",
        "--owner",
        "it",
        "--transport",
        "icmp",
        "--ja4",
        "t13d1516h2_*",
    ];
    let ran = fake.run(80, &[&add[..], &["--dry-run"]].concat());
    expect(
        &ran,
        &[
            "would allow 3 series and 1 finding",
            "nothing was kept",
            "00112233 high 10.0.0.5 to",
        ],
    );
    let ran = fake.run(
        80,
        &[&add[..], &["--expires", "2030-01-01T00:00:00Z"]].concat(),
    );
    expect(&ran, &["Allowed as a1b2c3: 3 series and 1 finding"]);
    assert_eq!(
        fake.asked().pop().unwrap().body,
        json!({"domain": "*.example.org", "port": 443, "source": "10.0.0.0/8", "reason": "updates",
               "owner": "it", "expires": "2030-01-01T00:00:00Z", "transport": "icmp",
               "client_fingerprint": "t13d1516h2_*"})
    );
    expect(
        &fake.run(80, &[&add[..], &["--for", "7d"]].concat()),
        &["Allowed as"],
    );
    let expires = fake.asked().pop().unwrap().body["expires"].clone();
    assert!(
        expires.as_str().is_some_and(|it| it.ends_with('Z')),
        "{expires}"
    );
    expect(
        &fake.run(80, &["allow", "remove", "a1"]),
        &["Removed a1b2c3."],
    );
    assert_eq!(fake.lines().pop().unwrap(), "DELETE /api/v1/allow/a1b2c3");
}

#[test]
fn destinations_are_shown_and_tried() {
    let destination = json!({"name": "siem", "type": "splunk_hec", "pending": 5, "unconfirmed": 2,
        "delivered": 1000, "already_there": 1, "retries": 3, "dead_letters": 4, "filtered": 6,
        "last_error": "429 too\u{1b}many", "configured": false});
    let fake = Fake::start(&[
        (
            "GET /api/v1/destinations",
            200,
            json!({"count": 1, "destinations": [destination]}),
        ),
        (
            "POST /api/v1/destinations/siem/test?dry_run=true",
            200,
            json!({"outcome": "dry_run", "document": "POST x\n{\"event\": \"\u{1b}x\"}"}),
        ),
        (
            "POST /api/v1/destinations/siem/test",
            200,
            json!({"outcome": "delivered"}),
        ),
        (
            "DELETE /api/v1/destinations/old",
            200,
            json!({"pending": 12, "dead_letters": 1}),
        ),
        (
            "POST /api/v1/destinations/bad%2Fname/test",
            200,
            json!({"outcome": "refused", "reason": "no index"}),
        ),
    ]);
    for width in [80, 200] {
        let ran = fake.run(width, &["destinations"]);
        expect(
            &ran,
            &["siem", "splunk_hec", "1,000", "429 too\u{fffd}many"],
        );
        if width == 80 {
            expect_fits_80(&ran.out);
        }
    }
    expect(
        &fake.run(80, &["destinations", "test", "siem"]),
        &["The test document was delivered."],
    );
    expect(
        &fake.run(80, &["destinations", "test", "siem", "--dry-run"]),
        &["POST x\n{\"event\": \"\u{fffd}x\"}"],
    );
    expect(
        &fake.run(80, &["destinations", "purge", "old"]),
        &["12 documents and 1 dead letter of old dropped."],
    );
    let ran = fake.run(80, &["destinations", "test", "bad/name"]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.out.contains("refused for good: no index"),
        "{}",
        ran.out
    );
    assert!(
        ran.err.contains("destination bad/name did not take"),
        "{}",
        ran.err
    );
}

#[test]
fn dead_letters_are_shown_sent_again_and_dropped() {
    let letter = |number: u64| {
        json!({"destination": "siem", "number": number, "event_id": format!("{ID}-3"),
        "reason": "mapper_parsing_exception", "at": "2023-11-14T22:43:00Z", "document": {"a": number}})
    };
    let page = |next: Value, number| json!({"count": 1, "total": 2, "next": next, "dead_letters": [letter(number)]});
    let fake = Fake::start(&[
        (
            "GET /api/v1/dead-letters?destination=siem&full=true&limit=500&cursor=2",
            200,
            page(Value::Null, 8),
        ),
        (
            "GET /api/v1/dead-letters?destination=siem&full=true",
            200,
            page("2".into(), 7),
        ),
        ("GET /api/v1/dead-letters", 200, page(Value::Null, 7)),
        ("POST /api/v1/dead-letters/", 200, json!({"count": 2})),
    ]);
    for width in [80, 200] {
        let ran = fake.run(width, &["dead-letters", "--destination", "siem"]);
        expect(
            &ran,
            &[
                "siem",
                "7",
                "mapper_parsing_exception",
                "2023-11-14 22:43:00",
            ],
        );
        if width == 80 {
            expect_fits_80(&ran.out);
        }
    }
    expect(
        &fake.run(80, &["dead-letters", "show", "siem", "8"]),
        &["\"a\": 8", "mapper_parsing"],
    );
    let ran = fake.run(80, &["dead-letters", "show", "siem", "9"]);
    assert!(ran.err.contains("no dead letter 9 of siem"), "{}", ran.err);
    expect(
        &fake.run(80, &["dead-letters", "replay", "siem", "7", "8"]),
        &["2 dead letters of siem sent again."],
    );
    let asked = fake.asked().pop().unwrap();
    assert_eq!(asked.line, "POST /api/v1/dead-letters/replay");
    assert_eq!(
        asked.body,
        json!({"destination": "siem", "numbers": [7, 8]})
    );
    expect(
        &fake.run(80, &["dead-letters", "drop", "siem", "--all"]),
        &["2 dead letters of siem dropped."],
    );
    assert_eq!(
        fake.asked().pop().unwrap().body,
        json!({"destination": "siem"})
    );
}
