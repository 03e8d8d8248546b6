//! `beaconwatch detect`, and commands against a running instance.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::thread::JoinHandle;

use serde_json::Value;

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
