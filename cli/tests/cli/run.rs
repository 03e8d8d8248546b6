//! `beaconwatch run`: with the rights to capture and without.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use beaconwatch_exporter::capture::capabilities::of_running_capture;
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
        Self::start_with(state, &[])
    }

    fn start_with(state: &Path, more: &[&str]) -> Self {
        let any = "127.0.0.1:0";
        let mut child = beaconwatch()
            .args(["run", "--state-dir", text(state), "--api-address", any])
            .args(["--grpc-address", any, "--http-address", any])
            .args(more)
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

    assert!(only_the_main_thread_may(instance.child.id()) > 4);

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

/// Capabilities that threads may use: of the main thread, and of each other one.
fn permitted(pid: u32) -> (u64, Vec<u64>) {
    let of = |thread: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("CapPrm:"))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    let main = pid.to_string();
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let others = threads
        .map(|thread| thread.file_name().into_string().unwrap())
        .filter(|thread| *thread != main)
        .filter_map(|thread| of(&thread))
        .collect();
    (of(&main).unwrap(), others)
}

/// What a capture that runs on this kernel needs.
fn needed() -> u64 {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let set = format!("{:x}", of_running_capture(&release, false));
    u64::from_str_radix(&set, 16).unwrap()
}

/// Waits until the main thread has what a running capture needs and the others nothing, and system calls are filtered; gives
/// their number. A thread has what its maker has until its first instruction.
fn only_the_main_thread_may(pid: u32) -> usize {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (main, others) = permitted(pid);
        assert_eq!(main, needed());
        if others.iter().all(|set| *set == 0) {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            assert!(status.contains("Seccomp:\t2"), "{status}");
            return others.len();
        }
        assert!(Instant::now() < deadline, "{others:x?}");
        std::thread::yield_now();
    }
}

/// What this test may do itself.
fn all() -> u64 {
    permitted(std::process::id()).0
}

#[test]
fn every_capability_is_kept_when_that_is_asked_for() {
    assert!(is_root(), "this test captures: run it as root");
    let state = tempfile::tempdir().unwrap();
    let instance = Instance::start_with(state.path(), &["--keep-capabilities"]);
    let (main, others) = permitted(instance.child.id());
    assert_ne!(all(), needed());
    assert_eq!(main, all());
    assert!(others.iter().all(|set| *set == all()), "{others:x?}");
    assert_eq!(instance.interrupt().0, Some(0));
}

#[test]
fn an_exporter_keeps_what_a_running_capture_needs_on_its_main_thread() {
    assert!(is_root(), "this test captures: run it as root");
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", receiver.local_addr().unwrap());
    let start = |more: &[&str]| {
        let mut command = beaconwatch();
        command.args(["export", "--endpoint", &endpoint]).args(more);
        command.env("RUST_LOG", "info");
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        while !said.contains("exporting") {
            assert_ne!(err.read_line(&mut said).unwrap(), 0, "{said}");
        }
        child
    };
    let end = |mut child: Child| {
        child.kill().unwrap();
        child.wait().unwrap();
    };
    let exporter = start(&[]);
    // It sends: the threads for that have been made.
    drop(receiver.accept().unwrap());
    assert!(only_the_main_thread_may(exporter.id()) > 0);
    end(exporter);
    let exporter = start(&["--keep-capabilities"]);
    let (main, others) = permitted(exporter.id());
    assert_eq!(main, all());
    assert!(others.iter().all(|set| *set == all()), "{others:x?}");
    end(exporter);
}
