//! `beaconwatch run`: with the rights to capture and without.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;

/// How long the program may take to tell of a connection.
const PATIENCE: Duration = Duration::from_mins(1);

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

/// The program, as a user who may not capture. As root: as another user, from where that one can read.
fn powerless(arguments: &[&str], place: &Path) -> Ran {
    if !is_root() {
        return run(arguments.iter().copied());
    }
    let program = place.join("beaconwatch");
    // By another process: a file that this one has open for writing, even for a moment, is inherited by what another
    // test starts just then, and cannot be run as long as that lives ("text file busy").
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_beaconwatch"))
        .arg(&program)
        .status();
    assert!(copied.unwrap().success());
    for path in [place, program.as_path()] {
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(path, open).unwrap();
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(program);
    command
        .args(arguments)
        .env_remove("RUST_LOG")
        .env_remove("BEACONWATCH_CONFIG");
    command.output().unwrap().into()
}

#[test]
fn without_rights_the_missing_capability_is_named_and_what_works_without() {
    let place = tempfile::tempdir().unwrap();
    let state = place.path().join("state");
    for arguments in [&["run", "--state-dir", text(&state)][..], &["export"]] {
        let ran = powerless(arguments, place.path());
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
        for words in [
            "missing capability",
            "CAP_BPF",
            "run as root",
            "`beaconwatch score FILE...`",
        ] {
            assert!(ran.err.contains(words), "{words}: {}", ran.err);
        }
    }
    assert!(
        !state.exists(),
        "nothing is made before it is known that the capture works"
    );
}

/// A running `beaconwatch run` that has told where its API is.
struct Instance {
    child: Child,
    out: BufReader<ChildStdout>,
    said: String,
    url: String,
}

impl Instance {
    fn start(state: &Path) -> Self {
        let any = "127.0.0.1:0";
        let mut child = beaconwatch()
            .args(["run", "--state-dir", text(state), "--api-address", any])
            .args(["--grpc-address", any, "--http-address", any])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("Ctrl-C stops it") {
            if out.read_line(&mut said).unwrap() == 0 {
                let mut err = String::new();
                child
                    .stderr
                    .take()
                    .unwrap()
                    .read_to_string(&mut err)
                    .unwrap();
                panic!("ended early: {said}{err}");
            }
        }
        let (_, after) = said.split_once("http://").unwrap();
        let url = format!("http://{}", after.split('/').next().unwrap());
        Self {
            child,
            out,
            said,
            url,
        }
    }

    /// Waits until so many connections to `port` are known.
    fn wait_for(&self, port: u16, count: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ran = run([
                "connections",
                "--limit",
                "10000",
                "--json",
                "--url",
                &self.url,
            ]);
            let answer: Value = serde_json::from_str(&ran.out).unwrap();
            let pairs = answer["pairs"].as_array().unwrap();
            let pair = pairs.iter().find(|it| it["dst_port"] == port);
            if pair.is_some_and(|it| it["connection_count"] == count) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{count} connections to port {port} not in {answer}"
            );
        }
    }

    /// Interrupts it; gives its exit code and all that it said.
    fn interrupt(mut self) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", "INT", &pid])
                .status()
                .unwrap()
                .success()
        );
        self.out.read_to_string(&mut self.said).unwrap();
        (self.child.wait().unwrap().code(), self.said)
    }
}

#[test]
fn what_this_host_connects_to_is_seen_and_a_signal_stops_in_order() {
    assert!(is_root(), "this test captures: run it as root");
    let state = tempfile::tempdir().unwrap();
    let instance = Instance::start(state.path());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    for _ in 0..3 {
        let client = TcpStream::connect(address).unwrap();
        drop((client, listener.accept().unwrap()));
    }
    instance.wait_for(address.port(), 3);

    let url = instance.url.clone();
    let (code, said) = instance.interrupt();
    assert_eq!(code, Some(0), "{said}");
    for words in [
        format!("beaconwatch beacons --url {url}"),
        text(&state.path().join("detections.ndjson")).to_owned(),
        " flows, ".to_owned(),
        " series; ".to_owned(),
    ] {
        assert!(said.contains(&words), "{words}: {said}");
    }
    assert!(state.path().join("beaconwatch.redb").exists());
}
