//! `status`, `beacons`, `long-conns`, `connections`, `sensors`, `audit` and `analyze`.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::fake::Fake;
use super::*;

fn beacon() -> Value {
    json!({
        "id": "6f", "src_ip": "10.0.0.5", "dst_ip": "2001:db8::7", "dst_port": 443, "protocol": "TCP",
        "server_name": "c2\u{1b}.example", "process": {"pid": 42, "name": "implant"},
        "combined_score": 0.973, "severity": "critical", "connection_count": 1234, "is_beacon": true,
        "interval_s": 60.0, "jitter": 0.2, "interval_stats": {"mean": 60.125, "jitter": 12.5}, "last_seen": "2023-11-14T22:42:21.5Z", "allowed": null,
    })
}

fn pair() -> Value {
    json!({
        "src_ip": "10.0.0.5", "dst_ip": "198.51.100.7", "dst_port": 53, "protocol": "UDP",
        "connection_count": 12, "duration_seconds": 7200.0,
        "first_seen": "2023-11-14T20:42:21Z", "last_seen": "2023-11-14T22:42:21Z",
    })
}

fn one(key: &str, entry: &Value) -> Value {
    json!({"count": 1, "total": 1, "next": null, key: [entry]})
}

/// Everything in `words` is in `text`.
fn expect(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word}: {text}");
    }
}

/// No line is wider than a terminal of 80 columns, and none has what a terminal would obey.
fn expect_fits_80(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn nobody_there_is_said_with_what_to_do() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for (command, path) in [
        ("status", "status"),
        ("beacons", "beacons"),
        ("long-conns", "connections"),
        ("connections", "connections"),
        ("alerts", "alerts"),
        ("allow", "allow"),
        ("destinations", "destinations"),
        ("dead-letters", "dead-letters"),
        ("sensors", "sensors"),
        ("audit", "audit"),
        ("analyze", "analyze"),
    ] {
        let ran = run([command, "--port", &free.port().to_string()]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
        let words = format!(
            "no answer from http://127.0.0.1:{}/api/v1/{path}",
            free.port()
        );
        expect(&ran.err, &[&words, "`beaconwatch run`"]);
    }
}

#[test]
fn beacons_are_shown_as_a_table() {
    let fake = Fake::start(&[("GET /api/v1/beacons", 200, one("beacons", &beacon()))]);
    let ran = fake.run(
        200,
        &[
            "beacons",
            "--min-score",
            "0.7",
            "--limit",
            "5",
            "--source",
            "10.0.0.0/8",
            "--dest-port",
            "443",
        ],
    );
    assert_eq!(
        fake.lines(),
        ["GET /api/v1/beacons?min_score=0.7&source=10.0.0.0%2F8&port=443&limit=5"]
    );
    let words = [
        "0.97",
        "critical",
        "10.0.0.5",
        "[2001:db8::7]:443/tcp (c2\u{fffd}.example)",
        "implant (42)",
        "1,234",
        "60 s",
        "20 %",
        "2023-11-14 22:42:21",
    ];
    expect(&ran.out, &words);
    assert!(
        !ran.out.contains('\u{1b}'),
        "colours on a pipe: {:?}",
        ran.out
    );

    let ran = fake.run(80, &["beacons"]);
    expect_fits_80(&ran.out);
    expect(
        &ran.out,
        &[
            "0.97",
            "critical",
            "10.0.0.5",
            "[2001:db8::7]:443/tcp",
            "c2\u{fffd}.example",
            "implant (42)",
            "60 s",
        ],
    );
}

#[test]
fn connections_are_shown_as_a_table_that_says_when_there_are_more() {
    let body = json!({"count": 1, "total": 7, "next": "c", "pairs": [pair()]});
    let fake = Fake::start(&[("GET /api/v1/connections", 200, body)]);
    let ran = fake.run(200, &["connections"]);
    assert_eq!(fake.lines(), ["GET /api/v1/connections"]);
    let words = [
        "12",
        "198.51.100.7:53/udp",
        "2 h",
        "2023-11-14 20:42:21",
        "1 of 7 shown",
    ];
    expect(&ran.out, &words);
    let ran = fake.run(80, &["connections"]);
    expect_fits_80(&ran.out);
    expect(&ran.out, &words);
}

#[test]
fn long_connections_are_asked_for_by_duration() {
    let fake = Fake::start(&[("GET /api/v1/connections", 200, one("pairs", &pair()))]);
    let ran = fake.run(80, &["long-conns", "--min-duration", "60"]);
    expect(&ran.out, &["2 h", "198.51.100.7:53/udp"]);
    fake.run(80, &["long-conns"]);
    assert_eq!(
        fake.lines(),
        [
            "GET /api/v1/connections?sort=duration&min_duration=60",
            "GET /api/v1/connections?sort=duration&min_duration=3600",
        ],
        "an hour, as in the seed, when nothing is said"
    );
}

#[test]
fn csv_has_the_heads_and_units_of_the_seed() {
    let fake = Fake::start(&[
        ("GET /api/v1/beacons", 200, one("beacons", &beacon())),
        ("GET /api/v1/connections", 200, one("pairs", &pair())),
    ]);
    assert_eq!(
        fake.run(80, &["beacons", "--csv"]).out,
        "Score,Severity,Source_IP,Source_Port,Dest_IP,Dest_Port,Protocol,Connections,Interval,Jitter\n\
         0.973,CRITICAL,10.0.0.5,-,2001:db8::7,443,TCP,1234,60.12,12.5\n"
    );
    assert_eq!(
        fake.run(80, &["connections", "--csv"]).out,
        "Source_IP,Dest_IP,Dest_Port,Protocol,Connections,Duration,First_Seen,Last_Seen\n\
         10.0.0.5,198.51.100.7,53,UDP,12,7200,2023-11-14T20:42:21Z,2023-11-14T22:42:21Z\n"
    );
    let seed_s_flag = fake.run(80, &["beacons", "-o", "--limit", "5"]);
    assert_eq!(seed_s_flag.out, fake.run(80, &["beacons", "--csv"]).out);
    assert_eq!(
        fake.run(80, &["long-conns", "--csv"]).out,
        "Duration,Source_IP,Dest_IP,Dest_Port,Protocol,Connections,First_Seen,Last_Seen\n\
         7200,10.0.0.5,198.51.100.7,53,UDP,12,2023-11-14T20:42:21Z,2023-11-14T22:42:21Z\n"
    );
}

#[test]
fn an_output_file_has_the_format_that_is_asked_for_or_that_its_name_says() {
    let fake = Fake::start(&[("GET /api/v1/beacons", 200, one("beacons", &beacon()))]);
    let folder = tempfile::tempdir().unwrap();
    for (name, flags, begins) in [
        ("a.csv", &[][..], "Score,Severity"),
        ("a.json", &[], "{\n"),
        ("a.txt", &[], " SCORE"),
        ("a", &["--csv"], "Score,Severity"),
        ("b.csv", &["--json"], "{\n"),
    ] {
        let path = folder.path().join(name);
        let arguments = [&["beacons", "-o", text(&path)], flags].concat();
        let ran = fake.run(80, &arguments);
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{}", ran.err);
        let written = fs::read_to_string(&path).unwrap();
        assert!(written.starts_with(begins), "{name}: {written}");
        assert!(!written.contains('\u{1b}'), "{name}: {written}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5);
}

#[test]
fn a_failed_request_leaves_the_output_file_as_it_was() {
    let fake = Fake::start(&[(
        "GET /api/v1/beacons",
        503,
        json!({"error": "the store is closed"}),
    )]);
    let folder = folder(&[("out.csv", b"before")]);
    let path = folder.path().join("out.csv");
    let ran = fake.run(80, &["beacons", "-o", text(&path)]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(fs::read_to_string(&path).unwrap(), "before");
}

#[test]
fn names_from_the_network_are_neither_formulas_nor_commands_of_a_terminal() {
    let mut entry = beacon();
    entry["protocol"] = "=HYPERLINK(1)\u{9b}2J".into();
    let fake = Fake::start(&[("GET /api/v1/beacons", 200, one("beacons", &entry))]);
    let csv = fake.run(80, &["beacons", "--csv"]).out;
    expect(&csv, &[",'=HYPERLINK(1)\u{fffd}2J,"]);
    for arguments in [&["beacons"][..], &["beacons", "--json"]] {
        let ran = fake.run(200, arguments);
        let harmful = |c: char| c != '\n' && c.is_control();
        assert!(!ran.out.contains(harmful), "{:?}", ran.out);
    }
    let json: Value = serde_json::from_str(&fake.run(80, &["beacons", "--json"]).out).unwrap();
    assert_eq!(json["beacons"][0]["protocol"], "=HYPERLINK(1)\u{9b}2J");
    assert_eq!(json["beacons"][0]["server_name"], "c2\u{1b}.example");
}

#[test]
fn a_long_list_is_asked_for_page_by_page() {
    let page = |next: Value| json!({"count": 1, "total": 3, "next": next, "beacons": [beacon()]});
    let fake = Fake::start(&[
        (
            "GET /api/v1/beacons?limit=2&cursor=two",
            200,
            page("three".into()),
        ),
        (
            "GET /api/v1/beacons?limit=1&cursor=three",
            200,
            page(Value::Null),
        ),
        ("GET /api/v1/beacons?limit=3", 200, page("two".into())),
    ]);
    let ran = fake.run(80, &["beacons", "--limit", "3", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(answer["beacons"].as_array().unwrap().len(), 3);
    assert_eq!(
        (&answer["count"], &answer["next"]),
        (&json!(3), &Value::Null)
    );
    assert_eq!(fake.lines().len(), 3);
}

#[test]
fn sensors_and_the_audit_are_shown_at_every_width() {
    let sensors = json!({"count": 2, "sensors": [
        {"id": "0123456789abcdef0123456789abcdef", "host_name": "web-1", "last_seen": "2023-11-14T20:42:21Z",
         "received": 12345, "duplicates": 3, "missing": 7, "gaps": 2, "state": "gaps"},
        {"id": "fedcba", "host_name": null, "last_seen": null, "received": 0, "duplicates": 0, "missing": 0,
         "gaps": 0, "state": "silent"},
    ]});
    let audit = one(
        "entries",
        &json!({
            "at": "2023-11-14T20:42:21Z", "actor": "local", "role": "operate", "remote": "127.0.0.1:40000",
            "action": "alert.acknowledge", "target": "00112233445566778899aabbccddeeff",
            "detail": {"comment": "a\u{1b}b"},
        }),
    );
    let fake = Fake::start(&[
        ("GET /api/v1/sensors", 200, sensors),
        ("GET /api/v1/audit", 200, audit),
    ]);
    for width in [80, 200] {
        let out = fake.run(width, &["sensors"]).out;
        expect(
            &out,
            &["web-1", "gaps", "12,345", "7", "silent", "2023-11-14"],
        );
        let audit = fake.run(width, &["audit"]).out;
        expect(
            &audit,
            &[
                "local",
                "127.0.0.1:40000",
                "alert.acknowledge",
                "0011223344556677",
            ],
        );
        if width == 80 {
            expect_fits_80(&out);
            expect_fits_80(&audit);
        }
    }
    let one = fake.run(80, &["sensors", "--limit", "1"]).out;
    expect(&one, &["web-1", "1 of 2 shown"]);
}

#[test]
fn an_analysis_can_be_asked_for() {
    let answer = json!({"status": "completed", "assessed": 1200, "detected": 3, "documents": 1, "duration_ms": 14.0});
    let fake = Fake::start(&[("POST /api/v1/analyze", 200, answer)]);
    let ran = fake.run(80, &["analyze"]);
    assert_eq!(
        ran.out,
        "1,200 series scored in 14 ms, 3 detected, 1 document made.\n"
    );
    assert_eq!(fake.lines(), ["POST /api/v1/analyze"]);
}

#[test]
fn a_refusal_and_an_answer_that_is_no_json_are_errors() {
    let fake = Fake::start(&[("GET", 503, json!({"error": "the store\u{1b}[2J is closed"}))]);
    let ran = fake.run(80, &["status"]);
    assert_eq!(ran.code, Some(1));
    expect(&ran.err, &["answers 503: the store\u{fffd}[2J is closed"]);

    let fake = Fake::with_text(&[("GET", 200, "<html>".to_owned())]);
    let ran = fake.run(80, &["status"]);
    assert_eq!(ran.code, Some(1));
    expect(&ran.err, &["expected JSON of the API"]);

    let fake = Fake::with_text(&[("GET", 302, String::new())]);
    let ran = fake.run(80, &["status"]);
    assert_eq!(ran.code, Some(1));
    expect(&ran.err, &["answers 302: no reason given"]);
}

#[test]
fn an_address_that_cannot_be_asked_is_named() {
    for (url, words) in [
        ("ftp://x", "neither http nor https"),
        ("http://a:b@x", "a user or a password"),
        ("http://x?y=1", "a query"),
        ("nowhere", "expected something like https://"),
    ] {
        let ran = run(["status", "--url", url]);
        assert_eq!(ran.code, Some(1), "{url}");
        expect(&ran.err, &[url, words]);
    }
}

#[test]
fn hosts_of_an_instance_are_shown_riskiest_first() {
    let host = json!({
        "host": "10.0.0.5", "event_count": 1234, "scored": 3, "findings": 1, "mean_risk": 0.25,
        "max_risk": 0.96875, "reason": "c2\u{202e}.example (198.51.100.7 443/tcp): 60 beats",
    });
    let answers = [("GET /api/v1/hosts", 200, one("hosts", &host))];
    let fake = Fake::start(&answers);
    let ran = fake.run(160, &["hosts", "--limit", "7"]);
    assert_eq!(fake.lines(), ["GET /api/v1/hosts?limit=7"]);
    let words = [
        "10.0.0.5",
        "0.97",
        "0.25",
        "1,234",
        "c2\u{fffd}.example",
        "TOP REASON",
    ];
    expect(&ran.out, &words);
    let fake = Fake::start(&answers);
    let ran = fake.run(160, &["hosts", "--format", "csv"]);
    let expected = "host_id,event_count,mean_risk,max_risk,scored,findings,reason\n10.0.0.5,1234,0.25,0.96875,3,1,";
    assert!(ran.out.starts_with(expected), "{}", ran.out);
    let fake = Fake::start(&answers);
    let ran = fake.run(160, &["hosts", "--format", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), host);
}

#[test]
fn hosts_of_an_instance_without_a_model_show_their_scores() {
    let host = json!({
        "host": "10.0.0.5", "event_count": 60, "scored": 1, "findings": 1, "mean_score": 0.375, "max_score": 0.96875,
        "mean_risk": null, "max_risk": null, "reason": "198.51.100.7 443/tcp: 60 beats",
    });
    let fake = Fake::start(&[("GET /api/v1/hosts", 200, one("hosts", &host))]);
    expect(&fake.run(160, &["hosts"]).out, &["0.97", "0.38"]);
    let fake = Fake::start(&[("GET /api/v1/hosts", 200, one("hosts", &host))]);
    let csv = fake.run(160, &["hosts", "--format", "csv"]).out;
    assert!(csv.contains("\n10.0.0.5,60,0.375,0.96875,1,1,"), "{csv}");
}
