//! A running instance whose configuration changes: SIGHUP, and the YAML of the seed.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;

/// Nothing here takes so long unless something is wrong.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running `beaconwatch detect` with a configuration file.
struct Instance {
    child: Child,
    api: String,
    log: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Instance {
    fn start(folder: &Path, file: &Path) -> Self {
        let any = "127.0.0.1:0";
        let mut child = beaconwatch()
            .args(["--config", text(file), "detect"])
            .args([
                "--state-dir",
                text(&folder.join("state")),
                "--api-address",
                any,
            ])
            .args(["--grpc-address", any, "--http-address", any])
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut seen = String::new();
        let api = loop {
            let before = seen.len();
            assert!(log.read_line(&mut seen).unwrap() > 0, "ended early: {seen}");
            let line = seen[before..]
                .split_once("api=")
                .filter(|it| it.0.contains("receiving"));
            if let Some((_, after)) = line {
                break after.split_whitespace().next().unwrap().to_owned();
            }
        };
        // Read on, so that the log never fills the pipe.
        let all = Arc::new(Mutex::new(seen));
        let into = Arc::clone(&all);
        let reader = std::thread::spawn(move || {
            for line in log.lines() {
                *into.lock().unwrap() += &(line.unwrap() + "\n");
            }
        });
        Self {
            child,
            api,
            log: all,
            reader,
        }
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    fn config(&self) -> Value {
        self.ask("/api/v1/config")
    }

    fn ask(&self, path: &str) -> Value {
        let mut connection = TcpStream::connect(&self.api).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            self.api
        );
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        serde_json::from_str(&body[body.find('{').unwrap()..=body.rfind('}').unwrap()]).unwrap()
    }

    fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.until_asked("/api/v1/config", what, holds)
    }

    fn until_asked(&self, path: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let answer = self.ask(path);
            if holds(&answer) {
                return answer;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "waited in vain: {what}: {answer}"
            );
            std::thread::yield_now();
        }
    }

    fn stop(mut self) -> String {
        self.signal("TERM");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        self.reader.join().unwrap();
        let log = self.log.lock().unwrap().clone();
        assert!(!log.contains("panicked"), "{log}");
        log
    }
}

#[test]
fn a_hangup_reads_the_file_again_and_a_wrong_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("beaconwatch.toml");
    fs::write(&file, "[detector.seed]\nalert_threshold = 0.5\n").unwrap();
    let instance = Instance::start(folder.path(), &file);
    let threshold =
        |config: &Value| config["effective"]["detector"]["seed"]["alert_threshold"].as_f64();
    assert_eq!(threshold(&instance.config()), Some(0.5));

    fs::write(
        &file,
        "[detector]\nmax_series = 77\n[detector.seed]\nalert_threshold = 0.6\n",
    )
    .unwrap();
    instance.signal("HUP");
    let config = instance.until("the new threshold", |it| threshold(it) == Some(0.6));
    assert_eq!(
        config["restart_needed"],
        serde_json::json!(["detector.max_series"])
    );

    fs::write(
        &file,
        "[detector.seed]\nalert_threshold = 0.7\ncv_threshold = -1\n",
    )
    .unwrap();
    instance.signal("HUP");
    instance.until("the refusal in the log", |_| {
        instance.log().contains("changed nothing")
    });
    assert_eq!(threshold(&instance.config()), Some(0.6));
    let log = instance.stop();
    assert!(
        log.contains("beaconwatch.toml:3: detector.seed.cv_threshold is -1"),
        "{log}"
    );
    assert!(log.contains("detector.max_series"), "{log}");
}

#[test]
fn a_hangup_follows_the_files_that_the_configuration_names_now() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("beaconwatch.toml");
    let log = folder.path().join("flows.log");
    let flow = r#"{"ts":1,"src":"10.0.0.1","sport":1,"dst":"192.0.2.1","dport":443,"proto":"tcp"}"#;
    fs::write(&log, format!("{flow}\n")).unwrap();
    fs::write(&file, "").unwrap();
    let instance = Instance::start(folder.path(), &file);
    let lines = |status: &Value| status["inputs"]["followed"]["flows"]["lines"].as_u64();
    assert_eq!(lines(&instance.ask("/api/v1/status")), None);
    let section = format!(
        "[sidecar.inputs.flows]\ntype = \"tail\"\nstart = \"beginning\"\npaths = [\"{}\"]\n",
        log.display()
    );
    fs::write(&file, section).unwrap();
    instance.signal("HUP");
    let path = "/api/v1/status";
    instance.until_asked(path, "the line", |status| lines(status) == Some(1));
    fs::write(&file, "").unwrap();
    instance.signal("HUP");
    instance.until_asked(path, "no input", |status| lines(status).is_none());
    instance.stop();
}

#[test]
fn an_instance_starts_with_the_configuration_of_the_seed() {
    let folder = tempfile::tempdir().unwrap();
    let sample =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/seed.yaml"))
            .unwrap();
    let log_folder = folder.path().join("log/beacon-detect");
    let file = folder.path().join("config.yaml");
    fs::write(
        &file,
        sample.replace("/var/log/beacon-detect", text(&log_folder)),
    )
    .unwrap();
    let instance = Instance::start(folder.path(), &file);
    let config = instance.config();
    assert_eq!(
        config["effective"]["detector"]["seed"]["min_connections"],
        12
    );
    assert!(log_folder.join("alerts.json").exists());
    let log = instance.stop();
    assert!(
        log.contains("config.yaml:3: data_plane.interface has no effect"),
        "{log}"
    );
}
