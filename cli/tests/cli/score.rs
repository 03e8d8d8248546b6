//! `beaconwatch score`.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use serde_json::{Value, json};

use super::*;

const START_S: u32 = 1_700_000_000;
const BEATS: u32 = 30;
const INTERVAL_S: u32 = 60;

/// Times of a beacon: every minute, at most a second late.
fn beats() -> impl Iterator<Item = f64> {
    (0..BEATS).map(|n| f64::from(START_S + n * INTERVAL_S) + f64::from(n % 3) * 0.5)
}

/// Times of somebody who reads pages: bursts and pauses.
fn browsing() -> impl Iterator<Item = f64> {
    [
        0, 2, 3, 9, 10, 11, 240, 241, 250, 900, 904, 909, 1500, 1502, 1600,
    ]
    .into_iter()
    .map(|s| f64::from(START_S + s))
}

fn flow(ts: f64, dst: &str, uid: &str) -> String {
    json!({
        "ts": ts, "src": "10.0.0.5", "sport": 40000, "dst": dst, "dport": 443, "proto": "tcp",
        "server_name": "c2.example", "duration": 0.2, "orig_bytes": 100, "resp_bytes": 200,
        "conn_state": "SF", "uid": uid,
    })
    .to_string()
}

/// A beacon and somebody who browses, as flow NDJSON.
fn flows() -> String {
    let beacon = beats()
        .enumerate()
        .map(|(n, ts)| flow(ts, "198.51.100.7", &format!("B{n}")));
    let other = browsing()
        .enumerate()
        .map(|(n, ts)| flow(ts, "203.0.113.9", &format!("W{n}")));
    beacon.chain(other).map(|line| line + "\n").collect()
}

/// The same as a Zeek log.
fn zeek_conn() -> String {
    let mut log = String::from(
        "#separator \\x09\n#unset_field\t-\n#path\tconn\n#fields\tts\tuid\tid.orig_h\tid.orig_p\t\
         id.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes\tconn_state\n",
    );
    let ends = |dst| format!("10.0.0.5\t40000\t{dst}\t443\ttcp\tssl\t0.2\t100\t200\tSF");
    for (n, ts) in beats().enumerate() {
        writeln!(log, "{ts}\tB{n}\t{}", ends("198.51.100.7")).unwrap();
    }
    for (n, ts) in browsing().enumerate() {
        writeln!(log, "{ts}\tW{n}\t{}", ends("203.0.113.9")).unwrap();
    }
    log
}

fn zeek_ssl() -> String {
    let mut log = String::from(
        "#separator \\x09\n#unset_field\t-\n#path\tssl\n#fields\tts\tuid\tid.orig_h\tid.orig_p\t\
         id.resp_h\tid.resp_p\tserver_name\n",
    );
    for (n, ts) in beats().enumerate() {
        writeln!(
            log,
            "{ts}\tB{n}\t10.0.0.5\t40000\t198.51.100.7\t443\tc2.example"
        )
        .unwrap();
    }
    log
}

fn zeek_json() -> String {
    flows()
        .replace("\"src\"", "\"id.orig_h\"")
        .replace("\"sport\"", "\"id.orig_p\"")
        .replace("\"dst\"", "\"id.resp_h\"")
        .replace("\"dport\"", "\"id.resp_p\"")
}

fn zeek_http() -> String {
    let mut log = String::from(
        "#separator \\x09\n#unset_field\t-\n#path\thttp\n#fields\tts\tuid\tid.orig_h\tid.orig_p\t\
         id.resp_h\tid.resp_p\tmethod\thost\n",
    );
    for (n, ts) in beats().enumerate() {
        writeln!(
            log,
            "{ts}\tB{n}\t10.0.0.5\t40000\t198.51.100.7\t443\tGET\tc2.example"
        )
        .unwrap();
    }
    log
}

/// Names and contents.
type Files = Vec<(&'static str, Vec<u8>)>;

fn lines(ran: &Ran) -> Vec<Value> {
    ran.out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The beacon in every format, with the format's name.
fn inputs() -> [(&'static str, Files); 6] {
    let (conn, ssl) = (zeek_conn(), zeek_ssl());
    [
        ("flows", vec![("conn.ndjson", flows().into_bytes())]),
        ("flows", vec![("any-name", gzip(&flows()))]),
        (
            "zeek",
            vec![
                ("conn.log", conn.clone().into()),
                ("ssl.log", ssl.clone().into()),
            ],
        ),
        (
            "zeek",
            vec![
                ("2023-11-14/conn.22_00_00-23_00_00.log.gz", gzip(&conn)),
                ("2023-11-14/2023-11-14_ssl.220000-230000.log.gz", gzip(&ssl)),
            ],
        ),
        ("zeek", vec![("open_conn.log", zeek_json().into())]),
        ("zeek", vec![("http.log", zeek_http().into())]),
    ]
}

#[test]
fn the_beacon_is_found_in_every_format() {
    for (format, files) in inputs() {
        let files: Vec<(&str, &[u8])> = files
            .iter()
            .map(|(name, it)| (*name, it.as_slice()))
            .collect();
        let input = folder(&files);
        for format in [format, "auto"] {
            let ran = run([
                "score",
                "--input",
                format,
                "--format",
                "json",
                text(input.path()),
            ]);
            assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{files:?}");
            let found = lines(&ran);
            let [beacon] = found.as_slice() else {
                panic!("{files:?}: {found:?}")
            };
            assert!(
                (beacon["interval_s"].as_f64().unwrap() - 60.5).abs() < 0.6,
                "{beacon}"
            );
            for (key, value) in [
                ("src", json!("10.0.0.5")),
                ("dst", json!("198.51.100.7")),
                ("dport", json!(443)),
                ("proto", json!("tcp")),
                ("server_name", json!("c2.example")),
                ("detected", json!(true)),
                ("severity", json!("critical")),
                ("count", json!(BEATS)),
                ("first_seen", json!("2023-11-14T22:13:20Z")),
                ("last_seen", json!("2023-11-14T22:42:21Z")),
            ] {
                assert_eq!(beacon[key], value, "{key} of {beacon}");
            }
        }
    }
}

#[test]
fn a_share_of_false_ones_decides_over_all_series_instead_of_a_number() {
    let few: String = flows().split_inclusive('\n').take(7).collect();
    let input = folder(&[
        ("few.ndjson", few.as_bytes()),
        ("many.ndjson", flows().as_bytes()),
    ]);
    let found = |file: &str, more: &[&str]| {
        let path = input.path().join(file);
        let arguments = ["score", "--format", "json", "--timing-only", text(&path)];
        let ran = run(arguments.into_iter().chain(more.iter().copied()));
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
        lines(&ran).len()
    };
    assert_eq!(found("many.ndjson", &["--fdr", "0.1"]), 1);
    assert_eq!(found("few.ndjson", &[]), 1, "the number alone lets it pass");
    assert_eq!(found("few.ndjson", &["--fdr", "0.3"]), 1);
    assert_eq!(found("few.ndjson", &["--fdr", "0.000001"]), 0);

    let many = input.path().join("many.ndjson");
    let ran = run(["score", "--fdr", "0.1", "--profile", "seed", text(&many)]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("method evidence, found seed"),
        "{}",
        ran.err
    );
}

#[test]
fn all_prints_every_series_with_every_field() {
    let input = folder(&[("conn.ndjson", flows().as_bytes())]);
    let ran = run(["score", "--format", "json", "--all", text(input.path())]);
    let found = lines(&ran);
    assert_eq!(found.len(), 2);
    for line in &found {
        for key in [
            "src",
            "dst",
            "dport",
            "proto",
            "server_name",
            "score",
            "severity",
            "detected",
            "first_seen",
            "last_seen",
            "count",
            "interval_s",
            "jitter",
            "explanation",
        ] {
            assert!(line.get(key).is_some(), "{key}: {line}");
        }
    }
    assert_eq!(found[1]["detected"], false);
    assert!(found[1]["explanation"].as_str().unwrap().len() > 10);
    let first: f64 = found[0]["score"].as_f64().unwrap();
    assert!(first > found[1]["score"].as_f64().unwrap(), "best first");
    let limited = run([
        "score",
        "--format",
        "json",
        "--all",
        "--limit",
        "1",
        text(input.path()),
    ]);
    assert_eq!(lines(&limited), &found[..1]);
}

#[test]
fn settings_come_from_flags_over_the_file_over_defaults() {
    let input = folder(&[
        ("conn.ndjson", flows().as_bytes()),
        (
            "strict.toml",
            b"[detector]\nprofile = \"seed\"\n[detector.seed]\nmin_connections = 100\n",
        ),
    ]);
    let strict = input.path().join("strict.toml");
    let data = input.path().join("conn.ndjson");
    let detected = |arguments: &[&str]| {
        let fixed = ["score", "--format", "json", text(&data)];
        let ran = run(fixed.into_iter().chain(arguments.iter().copied()));
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran.out.lines().count()
    };
    assert_eq!(detected(&[]), 1);
    assert_eq!(detected(&["--alert-threshold", "1"]), 0);
    assert_eq!(
        detected(&["--alert-threshold", "1", "--min-score", "0.9"]),
        1
    );
    assert_eq!(detected(&["--config", text(&strict)]), 0);
    assert_eq!(
        detected(&["--config", text(&strict), "--min-connections", "30"]),
        1
    );

    let ran = run(["score", text(&data), "--alert-threshold", "7"]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("alert_threshold is 7, expected 0 to 1"),
        "{}",
        ran.err
    );
}

#[test]
fn the_table_tells_what_was_found_and_holds_its_width() {
    let input = folder(&[("conn.ndjson", flows().as_bytes())]);
    let table = |columns: &str| -> String {
        let output = beaconwatch()
            .args(["score", text(input.path())])
            .env("COLUMNS", columns)
            .output();
        Ran::from(output.unwrap()).out
    };
    let (wide, narrow) = (table("200"), table("80"));
    for word in [
        "critical",
        "10.0.0.5",
        "198.51.100.7",
        "c2.example",
        "443/tcp",
        "2023-11-14 22:13:20",
    ] {
        assert!(
            wide.contains(word) && narrow.contains(word),
            "{word}\n{wide}\n{narrow}"
        );
    }
    for (table, width) in [(&wide, 200), (&narrow, 80)] {
        assert!(
            !table.contains('\u{1b}'),
            "colours belong on a terminal: {table}"
        );
        let rows = table.lines().take_while(|line| !line.is_empty());
        for row in rows {
            assert!(row.chars().count() <= width, "{row}");
        }
    }
    assert!(narrow.lines().count() > wide.lines().count());
    let summary = "1 beacon scoring 0.5 or more among 2 series of 45 connections, 2023-11-14 22:13:20 \
         to 2023-11-14 22:42:21 UTC.";
    assert!(wide.contains(summary), "{wide}");
}

#[test]
fn a_terminal_gets_colours_unless_it_does_not_want_them() {
    let input = folder(&[("conn.ndjson", flows().as_bytes())]);
    let shown = |no_color: &str| {
        let program = env!("CARGO_BIN_EXE_beaconwatch");
        let line = format!("stty cols 90; '{program}' score '{}'", text(input.path()));
        let output = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .stdin(Stdio::null())
            .env("NO_COLOR", no_color)
            .env("BEACONWATCH_CONFIG", packaged("beaconwatch.toml"))
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(shown("").contains("\u{1b}[38;5;9m"), "{:?}", shown(""));
    assert!(
        !shown("1").contains('\u{1b}') && shown("1").contains("critical"),
        "{:?}",
        shown("1")
    );
}

#[test]
fn names_from_the_network_cannot_command_the_terminal() {
    let hostile = flows().replace("c2.example", "c2\\u001b]0;owned\\u0007.example");
    let input = folder(&[("conn.ndjson", hostile.as_bytes())]);
    let ran = run(["score", text(input.path())]);
    assert!(
        ran.out.contains("c2\u{fffd}]0;owned\u{fffd}.example"),
        "{:?}",
        ran.out
    );
    assert!(!ran.out.contains('\u{1b}') && !ran.out.contains('\u{7}'));
}

#[test]
fn bad_lines_are_named_on_standard_error_and_cost_no_neighbour() {
    let mut broken = flows();
    broken.push_str("{\"ts\":\"soon\",\"src\":\"10.0.0.5\",\"dst\":\"198.51.100.7\",\"dport\":443,\"proto\":\"tcp\"}\n");
    broken.push_str("{\"ts\":1700000000,\"src\":\"10.0.0.5\",\"dst\":\"198.5");
    let input = folder(&[("conn.ndjson", broken.as_bytes()), ("readme.txt", b"hello")]);
    let ran = run(["score", "--format", "json", text(input.path())]);
    assert_eq!(ran.code, Some(0));
    assert_eq!(lines(&ran)[0]["count"], BEATS);
    let number = flows().lines().count() + 1;
    let place = format!("conn.ndjson:{number}: field ts: expected seconds since 1970");
    assert!(
        ran.err.contains(&place) && ran.err.contains("got \"soon\" (line skipped)"),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains(&format!("conn.ndjson:{}: ", number + 1)),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains("2 lines skipped of 47 lines"),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains("1 file passed over") && ran.err.contains("readme.txt"),
        "{}",
        ran.err
    );
}

#[test]
fn input_that_cannot_be_read_at_all_is_an_error() {
    let input = folder(&[
        ("conn.log", b"Lorem ipsum"),
        ("cut.log", b"1.0\tC1\t10.0.0.1\n"),
    ]);
    let empty = tempfile::tempdir().unwrap();
    let named = |name: &str| input.path().join(name);
    for (path, words) in [
        (
            named("missing.log"),
            "missing.log: No such file or directory",
        ),
        (named("conn.log"), "conn.log: expected a Zeek log"),
        (
            named("cut.log"),
            "cut.log: expected a Zeek log (a #fields line",
        ),
        (
            empty.path().to_path_buf(),
            "no log, table of connections or capture in ",
        ),
    ] {
        let ran = run(["score", text(&path)]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
        assert!(ran.err.contains(words), "{}", ran.err);
    }
    let flows = folder(&[("conn.ndjson", flows().as_bytes())]);
    let ran = run([
        "score",
        "--input",
        "zeek",
        text(&flows.path().join("conn.ndjson")),
    ]);
    assert!(
        ran.code == Some(1) && ran.err.contains("expected a Zeek log"),
        "{}",
        ran.err
    );
}

#[test]
fn a_reader_that_closes_the_pipe_is_no_error() {
    let many: String = (0..5000)
        .map(|n| {
            flow(
                1e9 + f64::from(n),
                &format!("198.51.{}.{}", n / 250, n % 250),
                &format!("U{n}"),
            ) + "\n"
        })
        .collect();
    let input = folder(&[("conn.ndjson", many.as_bytes())]);
    let mut child = beaconwatch()
        .args(["score", "--format", "json", "--all", text(input.path())])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut first).unwrap();
    drop(reader);
    let mut err = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{err}");
    assert!(first.starts_with('{') && err.is_empty(), "{err}");
}

#[test]
fn a_pipe_can_be_read() {
    let input = folder(&[("conn.ndjson.gz", &gzip(&flows()))]);
    let program = env!("CARGO_BIN_EXE_beaconwatch");
    let line = format!(
        "gzip -dc '{}' | '{program}' score --format json /dev/stdin",
        text(&input.path().join("conn.ndjson.gz"))
    );
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    assert_eq!(lines(&Ran::from(output)).len(), 1);
}

#[test]
fn the_next_beat_stands_in_the_json_as_every_other_time_does() {
    let input = folder(&[("conn.ndjson", flows().as_bytes())]);
    let ran = run(["score", "--format", "json", text(input.path())]);
    let evidence = &lines(&ran)[0]["evidence"];
    let time = |name: &str| -> jiff::Timestamp {
        let text = evidence["next"][name].as_str().unwrap();
        text.parse().unwrap()
    };
    let (earliest, latest) = (time("earliest"), time("latest"));
    let due = jiff::Timestamp::from_second(i64::from(START_S + BEATS * INTERVAL_S)).unwrap();
    let near = jiff::SignedDuration::from_secs(5);
    assert!(earliest <= due + near && latest >= due - near && earliest <= latest);
    assert!(
        latest.duration_since(earliest) < jiff::SignedDuration::from_secs(i64::from(INTERVAL_S))
    );
}

#[test]
fn the_json_has_everything_of_the_evidence_under_its_names() {
    let input = folder(&[("conn.ndjson", flows().as_bytes())]);
    let ran = run(["score", "--format", "json", text(input.path())]);
    let evidence = lines(&ran)[0]["evidence"].clone();
    assert_eq!(evidence["source"], "connections");
    // What the detector writes reads again, but for the form of its times.
    let mut own = evidence;
    own["next"] = Value::Null;
    let read: beaconwatch_detector::evidence::Evidence =
        serde_json::from_value(own.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), own);
}

#[test]
fn the_fingerprint_of_a_client_stands_in_the_json() {
    let ja4 = "t13d1516h2_8daaf6152771_b186095e22b6";
    let with = flows().replace("\"uid\"", &format!("\"ja4\":\"{ja4}\",\"uid\""));
    let input = folder(&[("conn.ndjson", with.as_bytes())]);
    let ran = run(["score", "--format", "json", text(input.path())]);
    assert_eq!(lines(&ran)[0]["client_fingerprint"], ja4);
}

#[test]
fn a_flag_that_the_method_does_not_read_is_said_with_what_reads_it() {
    let input = folder(&[("conn.ndjson", flows().as_bytes())]);
    let data = input.path().join("conn.ndjson");
    let said = |arguments: &[&str]| {
        let fixed = ["score", "--format", "json", text(&data)];
        let ran = run(fixed.into_iter().chain(arguments.iter().copied()));
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran.err
    };
    for (flag, value) in [
        ("--min-connections", "10"),
        ("--min-duration-s", "1"),
        ("--min-interval-s", "1"),
        ("--max-interval-s", "9000"),
        ("--cv-threshold", "0.2"),
        ("--jitter-threshold-s", "9"),
    ] {
        let err = said(&[flag, value]);
        let key = flag.trim_start_matches("--").replace('-', "_");
        let words = format!("flag {flag}: detector.seed.{key} has no effect");
        assert!(
            err.contains(&words) && err.contains("--profile seed"),
            "{err}"
        );
        assert_eq!(err.matches("has no effect").count(), 1, "{err}");
        assert_eq!(said(&[flag, value, "--profile", "seed"]), "");
    }
    assert_eq!(said(&["--alert-threshold", "0.9"]), "");
    assert_eq!(said(&["--alert-threshold", "0.9", "--profile", "seed"]), "");
    assert_eq!(said(&["--false-alerts-per-day", "1"]), "");
    let err = said(&["--false-alerts-per-day", "1", "--profile", "seed"]);
    assert!(err.contains("flag --false-alerts-per-day: ") && err.contains("--profile evidence"));
}
