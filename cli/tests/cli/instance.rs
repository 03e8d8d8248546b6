//! `beaconwatch detect`, and `status`, `beacons` and `connections` against a running instance.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Stdio};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use super::*;

/// A running `beaconwatch detect`.
struct Instance {
    child: Child,
    api: String,
    rest: JoinHandle<String>,
    _state: TempDir,
}

impl Instance {
    fn start() -> Self {
        let state = tempfile::tempdir().unwrap();
        let any = "127.0.0.1:0";
        let mut child = beaconwatch()
            .args([
                "detect",
                "--state-dir",
                text(state.path()),
                "--api-address",
                any,
            ])
            .args(["--grpc-address", any, "--http-address", any])
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut seen = String::new();
        let api = loop {
            let before = seen.len();
            assert!(log.read_line(&mut seen).unwrap() > 0, "ended early: {seen}");
            let line = &seen[before..];
            if let Some((_, after)) = line
                .split_once("api=")
                .filter(|_| line.contains("receiving"))
            {
                break after.split_whitespace().next().unwrap().to_owned();
            }
        };
        // Read on, so that the log never fills the pipe.
        let rest = std::thread::spawn(move || {
            let mut rest = String::new();
            log.read_to_string(&mut rest).unwrap();
            rest
        });
        Self {
            child,
            api: format!("http://{api}"),
            rest,
            _state: state,
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }
}

#[test]
fn a_fresh_instance_answers_and_stops_in_order_on_a_signal() {
    for name in ["INT", "TERM"] {
        let mut instance = Instance::start();
        let ask = |command: &str| run([command, "--url", &instance.api]);
        let status = ask("status");
        assert_eq!(status.code, Some(0), "{}", status.err);
        for word in [
            "Beaconwatch ",
            "0 flow records",
            "0 series",
            "delivered   0 to file",
            "store ",
        ] {
            assert!(status.out.contains(word), "{word}: {}", status.out);
        }
        assert!(ask("beacons").out.contains("No series has been scored yet"));
        assert!(
            ask("connections")
                .out
                .contains("No connection has been seen yet")
        );
        let port = instance.api.rsplit(':').next().unwrap().to_owned();
        let json = run(["status", "--host", "localhost", "--port", &port, "--json"]);
        let status: Value = serde_json::from_str(&json.out).unwrap();
        assert_eq!(status["detector"]["series"], 0);

        instance.signal(name);
        assert_eq!(instance.child.wait().unwrap().code(), Some(0));
        let log = instance.rest.join().unwrap();
        assert!(
            log.contains("stopping") && !log.contains("panicked"),
            "{log}"
        );
    }
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let state = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0";
    let ran = run([
        "detect",
        "--state-dir",
        text(state.path()),
        "--api-address",
        &address,
        "--grpc-address",
        any,
        "--http-address",
        any,
    ]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains(&address) && ran.err.contains("the status API"),
        "{}",
        ran.err
    );
}

#[test]
fn nobody_there_is_said_with_what_to_do() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for command in ["status", "beacons", "connections"] {
        let ran = run([command, "--port", &free.port().to_string()]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
        let words = format!(
            "no answer from http://127.0.0.1:{}/api/v1/{command}",
            free.port()
        );
        assert!(
            ran.err.contains(&words) && ran.err.contains("`beaconwatch run`"),
            "{}",
            ran.err
        );
    }
}

/// Answers one request with `body` and gives the request's first line.
fn answer(status: &str, body: &str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut first = String::new();
        reader.read_line(&mut first).unwrap();
        let mut header = String::new();
        while reader.read_line(&mut header).unwrap() > 2 {
            header.clear();
        }
        stream.write_all(answer.as_bytes()).unwrap();
        first
    });
    (address, server)
}

fn ask(status: &str, body: &Value, arguments: &[&str]) -> (Ran, String) {
    let (address, server) = answer(status, &body.to_string());
    let url = format!("http://{address}/");
    let mut command = beaconwatch();
    command
        .args(arguments)
        .args(["--url", &url])
        .env("COLUMNS", "200");
    let ran = command.output().unwrap().into();
    (ran, server.join().unwrap())
}

#[test]
fn beacons_are_shown_as_a_table() {
    let body = json!({"count": 1, "beacons": [{
        "src_ip": "10.0.0.5", "dst_ip": "2001:db8::7", "dst_port": 443, "protocol": "TCP",
        "server_name": "c2\u{1b}.example", "process": {"pid": 42, "name": "implant"},
        "combined_score": 0.973, "severity": "critical", "connection_count": 1234,
        "interval_s": 60.0, "jitter": 0.2, "last_seen": "2023-11-14T22:42:21.5Z",
    }]});
    let (ran, request) = ask(
        "200 OK",
        &body,
        &["beacons", "--min-score", "0.7", "--limit", "5"],
    );
    assert!(
        request.starts_with("GET /api/v1/beacons?min_score=0.7&limit=5 "),
        "{request}"
    );
    for word in [
        "0.97",
        "critical",
        "10.0.0.5",
        "[2001:db8::7]:443/tcp (c2\u{fffd}.example)",
        "implant (42)",
        "1,234",
        "60 s",
        "20 %",
        "2023-11-14 22:42:21",
    ] {
        assert!(ran.out.contains(word), "{word}: {}", ran.out);
    }
}

#[test]
fn connections_are_shown_as_a_table_that_says_when_there_are_more() {
    let body = json!({"count": 1, "total": 7, "pairs": [{
        "src_ip": "10.0.0.5", "dst_ip": "198.51.100.7", "dst_port": 53, "protocol": "UDP",
        "connection_count": 12, "duration_seconds": 7200.0,
        "first_seen": "2023-11-14T20:42:21Z", "last_seen": "2023-11-14T22:42:21Z",
    }]});
    let (ran, request) = ask("200 OK", &body, &["connections"]);
    assert!(request.starts_with("GET /api/v1/connections "), "{request}");
    for word in [
        "12",
        "198.51.100.7:53/udp",
        "2 h",
        "2023-11-14 20:42:21",
        "1 of 7 shown",
    ] {
        assert!(ran.out.contains(word), "{word}: {}", ran.out);
    }
}

#[test]
fn a_refusal_and_an_answer_that_is_no_json_are_errors() {
    let (ran, _) = ask(
        "503 Service Unavailable",
        &json!({"error": "the store is closed"}),
        &["status"],
    );
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("answers 503: the store is closed"),
        "{}",
        ran.err
    );

    let (address, server) = answer("200 OK", "<html>");
    let ran = run(["status", "--url", &format!("http://{address}")]);
    server.join().unwrap();
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("expected JSON of the status API"),
        "{}",
        ran.err
    );
}
