//! `beaconwatch detect`, and commands against a running instance.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use super::*;

/// A running `beaconwatch detect`.
struct Instance {
    child: Child,
    api: String,
    rest: JoinHandle<String>,
    state: TempDir,
}

impl Instance {
    fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these variables set.
    fn start_with(variables: &[(&str, &str)]) -> Self {
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
            .envs(variables.iter().copied())
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
            state,
        }
    }

    /// Tells of a beacon as another sensor does, and asks for an analysis.
    fn beacon(&self) {
        let now = std::time::SystemTime::now();
        let now = now
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_nanos();
        let events: Vec<Value> = (0..40_u64)
            .map(|beat| {
                let at = now - u128::from(40 - beat) * 60_000_000_000;
                json!({
                    "timestamp_ns": u64::try_from(at).unwrap(), "src_ip": "10.20.0.5", "dst_ip": "203.0.113.66",
                    "src_port": 40_000 + beat, "dst_port": 443, "packet_size": 60, "protocol": 6,
                    "protocol_name": "TCP", "tcp_flags": 2, "tcp_flags_list": ["SYN"], "direction": 1,
                    "direction_name": "egress", "node_id": "n",
                })
            })
            .collect();
        let batch = json!({"batch_id": "b", "node_id": "n", "event_count": 40, "events": events});
        let token = fs::read_to_string(self.state.path().join("api-token")).unwrap();
        for (path, body) in [
            ("telemetry", batch.to_string()),
            ("analyze", "{}".to_owned()),
        ] {
            let address = self.api.trim_start_matches("http://");
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            let head = format!(
                "POST /api/v1/{path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                token.trim(),
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    }

    /// Ends it in order.
    fn stop(mut self) {
        self.signal("TERM");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
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
fn an_instance_of_this_machine_is_changed_with_the_token_in_its_state_folder() {
    let instance = Instance::start();
    let token = instance.state.path().join("api-token");
    let ask = |arguments: &[&str]| -> Ran {
        let mut command = beaconwatch();
        // No configuration: the default state folder is not the one of this instance.
        command.args(arguments).args(["--url", &instance.api]);
        command.output().unwrap().into()
    };
    let without = ask(&["analyze", "--token", "wrong"]);
    assert_eq!(without.code, Some(1));
    assert!(without.err.contains("401"), "{}", without.err);
    let with = ask(&["analyze", "--token-file", text(&token)]);
    assert_eq!(with.code, Some(0), "{}", with.err);
    assert!(with.out.starts_with("0 series scored in "), "{}", with.out);
    let reading = ask(&["audit", "--csv"]);
    assert_eq!(reading.code, Some(0), "{}", reading.err);
    assert!(
        reading
            .out
            .starts_with("At,Actor,Role,Remote,Action,Target,Detail\n"),
        "{}",
        reading.out
    );
    instance.stop();
}

#[test]
fn an_instance_with_tls_is_asked_with_its_authority_and_not_without() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = folder(&[
        ("cert.pem", made.cert.pem().as_bytes()),
        ("key.pem", made.signing_key.serialize_pem().as_bytes()),
    ]);
    let (certificate, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    let instance = Instance::start_with(&[
        (
            "BEACONWATCH_SIDECAR__API__TLS__CERTIFICATE_FILE",
            text(&certificate),
        ),
        ("BEACONWATCH_SIDECAR__API__TLS__KEY_FILE", text(&key)),
    ]);
    let port = instance.api.rsplit(':').next().unwrap().to_owned();
    let ask =
        |more: &[&str]| run([&["status", "--host", "localhost", "--port", &port], more].concat());
    let trusted = ask(&["--ca-file", text(&certificate)]);
    assert_eq!(trusted.code, Some(0), "{}", trusted.err);
    assert!(trusted.out.starts_with("Beaconwatch "), "{}", trusted.out);
    assert_eq!(ask(&[]).code, Some(1), "it does not speak without TLS");
    let url = format!("https://localhost:{port}");
    let untrusted = run(["status", "--url", &url]);
    assert_eq!(untrusted.code, Some(1));
    assert!(untrusted.err.contains("certificate"), "{}", untrusted.err);
    instance.stop();
}

#[test]
fn changes_of_findings_are_printed_as_lines_until_a_signal_comes() {
    let instance = Instance::start();
    let mut watch = beaconwatch()
        .args(["watch", "--json", "--url", &instance.api])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let told = std::thread::spawn({
        let out = watch.stdout.take().unwrap();
        move || BufReader::new(out).lines().next()
    });
    instance.beacon();
    let line = told.join().unwrap().unwrap().unwrap();
    let alert: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(alert["details"]["dst_ip"], "203.0.113.66");
    assert_eq!(alert["state"], "open");
    let terminal = run(["watch", "--url", &instance.api]);
    assert_eq!(terminal.code, Some(1));
    assert!(terminal.err.contains("`watch --json`"), "{}", terminal.err);
    instance.stop();
    // Without its instance it ends by itself.
    assert_eq!(watch.wait().unwrap().code(), Some(1));
}

#[test]
fn a_store_is_salvaged_into_a_new_one_that_an_instance_takes() {
    let mut instance = Instance::start();
    instance.beacon();
    instance.signal("TERM");
    assert_eq!(instance.child.wait().unwrap().code(), Some(0));
    let store = instance.state.path().join("beaconwatch.redb");
    let new = instance.state.path().join("new.redb");
    let ran = run(["store", "salvage", text(&store), "--out", text(&new)]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(
        ran.out.contains("1 kept") && ran.out.contains("All of it was read"),
        "{}",
        ran.out
    );
    let again = run(["store", "salvage", text(&store), "--out", text(&new)]);
    assert_eq!(
        again.code,
        Some(1),
        "a file that is there is never written over"
    );
    assert!(again.err.contains(text(&new)), "{}", again.err);
    let path = text(&new).to_owned();
    let saved = Instance::start_with(&[("BEACONWATCH_SIDECAR__STORE__PATH", &path)]);
    let alerts = run(["alerts", "--csv", "--url", &saved.api]);
    assert!(
        alerts.out.contains("203.0.113.66"),
        "{}{}",
        alerts.out,
        alerts.err
    );
    saved.stop();
}
