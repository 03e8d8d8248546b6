//! The built exporter as a user that is not root, with exactly the capabilities of the packaged unit, and with one less.
//!
//! Needs root, to become that user, and `setpriv` of util-linux.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, also in the functions that tests share"
)]

use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, routing::post};
use beaconwatch_exporter::capture::capabilities::{Capability, CapabilitySet, of_running_capture};
use beaconwatch_schema::flow;
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest, common::v1::any_value::Value,
};
use prost::Message;

/// `nobody` by convention; it need not exist.
const USER: &str = "65534";
const DEADLINE: Duration = Duration::from_mins(2);

/// What the packaged unit grants.
fn granted() -> Vec<String> {
    let unit = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../packaging/beaconwatch-exporter.service"
    );
    let unit = fs::read_to_string(unit).unwrap();
    let set = |name: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(name));
        let mut all: Vec<String> = line.unwrap().split(' ').map(str::to_owned).collect();
        all.sort();
        all
    };
    let granted = set("AmbientCapabilities=");
    assert_eq!(granted, set("CapabilityBoundingSet="));
    granted
}

/// The program where that user can execute it.
struct Installed {
    _folder: tempfile::TempDir,
    program: PathBuf,
}

impl Installed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let program = folder.path().join("exporter");
        fs::copy(env!("CARGO_BIN_EXE_beaconwatch-exporter"), &program).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        Self {
            _folder: folder,
            program,
        }
    }

    /// A command that runs it as [`USER`] with these capabilities and no others.
    fn command(&self, capabilities: &[String]) -> Command {
        let list = capabilities.iter().fold(String::new(), |list, name| {
            let name = name.trim_start_matches("CAP_").to_lowercase();
            list + ",+" + &name
        });
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", USER, "--regid", USER, "--clear-groups"])
            .args(
                ["--inh-caps", "--ambient-caps", "--bounding-set"]
                    .map(|set| format!("{set}=-all{list}")),
            )
            .arg(&self.program)
            .current_dir("/");
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("BEACONWATCH_") || text.starts_with("OTEL_") {
                command.env_remove(&name);
            }
        }
        command.env("BEACONWATCH_EXPORTER__OTLP__COMPRESSION", "none");
        command
    }
}

/// A program that ends with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A root process that is older than the exporter: it makes a connection when it is told to.
fn client() -> (Running, ChildStdin, u16) {
    let text = "import socket\n\
        server = socket.create_server(('127.0.0.1', 0))\n\
        print(server.getsockname()[1], flush=True)\n\
        while input():\n\
        \x20   one = socket.create_connection(server.getsockname())\n\
        \x20   other = server.accept()[0]\n\
        \x20   one.sendall(b'GET / HTTP/1.1\\r\\nHost: rights.example.com\\r\\n\\r\\n')\n\
        \x20   other.recv(1000)\n\
        \x20   one.close()\n\
        \x20   other.close()\n";
    let mut child = Command::new("python3")
        .args(["-c", text])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = child.stdin.take().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    (Running(child), input, line.trim().parse().unwrap())
}

type Requests = Arc<Mutex<Vec<ExportLogsServiceRequest>>>;

/// A receiver over HTTP; returns its URL.
async fn receiver(requests: &Requests) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let kept = Arc::clone(requests);
    let logs = move |body: Bytes| async move {
        kept.lock()
            .unwrap()
            .push(ExportLogsServiceRequest::decode(body).unwrap());
    };
    let router = Router::new()
        .route("/v1/logs", post(logs))
        .route("/v1/metrics", post(|| async {}));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Attributes of the records of a client's flow to a port.
fn client_flows(requests: &Requests, port: u16) -> Vec<Vec<(String, Value)>> {
    let requests = requests.lock().unwrap();
    let logs = requests
        .iter()
        .flat_map(|request| &request.resource_logs)
        .flat_map(|resource| &resource.scope_logs)
        .flat_map(|scope| &scope.log_records);
    logs.map(|log| {
        log.attributes
            .iter()
            .map(|pair| (pair.key.clone(), pair.value.clone().unwrap().value.unwrap()))
            .collect::<Vec<_>>()
    })
    .filter(|record| {
        find(record, flow::DESTINATION_PORT) == Some(&Value::IntValue(port.into()))
            && find(record, flow::SERVER_ADDRESS).is_some()
    })
    .collect()
}

fn find<'a>(record: &'a [(String, Value)], name: &str) -> Option<&'a Value> {
    record
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
}

/// The sets in the `status` of each thread: main thread, then the others.
fn thread_sets(pid: u32, set: &str) -> (u64, Vec<u64>) {
    let of = |thread: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(set))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    let main = pid.to_string();
    let others = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let others = others
        .map(|thread| thread.file_name().into_string().unwrap())
        .filter(|thread| *thread != main)
        .filter_map(|thread| of(&thread))
        .collect();
    (of(&main).unwrap(), others)
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !condition() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not within {DEADLINE:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Makes a pair of interfaces of these names and sends datagrams into one, until it is let go.
const INJECTOR: &str = "
import socket, struct, subprocess, sys
near, far = sys.argv[1:]
subprocess.run(['ip', 'link', 'add', near, 'type', 'veth', 'peer', 'name', far], check=True)
for name in (near, far):
    subprocess.run(['ip', 'link', 'set', name, 'up'], check=True)
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((far, 0))
udp = struct.pack('>HHHH', 4000, 4001, 18, 0) + b'0123456789'
ends = bytes([192, 0, 2, 7, 198, 51, 100, 7])
ip = struct.pack('>BBHHHBBH', 0x45, 0, 38, 1, 0, 64, 17, 0) + ends
print(flush=True)
while sys.stdin.readline():
    out.send(bytes(12) + b'\\x08\\x00' + ip + udp)
subprocess.run(['ip', 'link', 'delete', near], check=True)
";

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_that_comes_after_rights_were_given_up_is_captured() {
    let requests = Requests::default();
    let url = receiver(&requests).await;
    let installed = Installed::new();
    let word = format!("b{:x}r", std::process::id());
    let (_folder, mounted) = Mounted::of_user();
    let pins = mounted.0.join("exporter");
    let mut command = installed.command(&granted());
    command
        .env("BEACONWATCH_EXPORTER__CAPTURE__PIN_DIRECTORY", &pins)
        .env(
            "BEACONWATCH_EXPORTER__INTERFACES__INCLUDE",
            format!("[\"{word}n\"]"),
        )
        .env("BEACONWATCH_EXPORTER__UDP_IDLE_TIMEOUT_S", "1")
        .env("BEACONWATCH_EXPORTER__SNAPSHOT_INTERVAL_S", "0.5")
        .args(["--protocol", "http/protobuf", "--endpoint", &url]);
    let exporter = Running(command.stderr(Stdio::null()).spawn().unwrap());
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let needed = format!("{:x}", of_running_capture(&release, false));
    let needed = u64::from_str_radix(&needed, 16).unwrap();
    until("rights given up", || {
        let (main, workers) = thread_sets(exporter.0.id(), "CapPrm:");
        main == needed && !workers.is_empty() && workers.iter().all(|set| *set == 0)
    })
    .await;
    let mut injector = Command::new("python3")
        .args(["-c", INJECTOR, &format!("{word}n"), &format!("{word}f")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(injector.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let mut input = injector.stdin.take().unwrap();
    let name = Value::StringValue(format!("{word}n"));
    let told = || {
        let requests = requests.lock().unwrap();
        requests
            .iter()
            .flat_map(|request| &request.resource_logs)
            .flat_map(|resource| &resource.scope_logs)
            .flat_map(|scope| &scope.log_records)
            .flat_map(|log| &log.attributes)
            .any(|pair| {
                pair.key == flow::INTERFACE_NAME
                    && pair.value.as_ref().unwrap().value.as_ref() == Some(&name)
            })
    };
    let mut asked = 0;
    until("a flow on the interface", || {
        // One now and then, so that a flow falls idle in between.
        if asked % 150 == 0 {
            input.write_all(b"go\n").unwrap();
        }
        asked += 1;
        told()
    })
    .await;
    let pinned = || {
        let names = fs::read_dir(&pins).unwrap().flatten();
        let names = names.map(|entry| entry.file_name().into_string().unwrap());
        names
            .filter(|name| name.starts_with("link-interface-"))
            .count()
    };
    assert_eq!(pinned(), 2, "each way");
    drop(input);
    assert!(injector.wait().unwrap().success());
    until("the pins go with the interface", || pinned() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_just_these_capabilities_captures_a_connection_and_then_gives_them_up() {
    let requests = Requests::default();
    let url = receiver(&requests).await;
    let (older, mut input, port) = client();
    let installed = Installed::new();
    let mut command = installed.command(&granted());
    command.args(["--protocol", "http/protobuf", "--endpoint", &url]);
    let exporter = Running(command.stderr(Stdio::null()).spawn().unwrap());
    let pid = exporter.0.id();

    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let needed = format!("{:x}", of_running_capture(&release, false));
    let needed = u64::from_str_radix(&needed, 16).unwrap();
    until("rights given up", || {
        thread_sets(pid, "CapPrm:").0 == needed
    })
    .await;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains(&format!("Uid:\t{USER}\t")), "{status}");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(
        status.contains(&format!("CapEff:\t{needed:016x}")),
        "{status}"
    );
    assert!(status.contains("CapAmb:\t0000000000000000"), "{status}");

    let mut asked = 0;
    until("a flow with a name", || {
        if asked % 50 == 0 {
            input.write_all(b"go\n").unwrap();
        }
        asked += 1;
        !client_flows(&requests, port).is_empty()
    })
    .await;
    let (main, others) = thread_sets(pid, "Seccomp:");
    assert!(
        main == 2 && others.iter().all(|mode| *mode == 2),
        "not every thread has a filter of system calls: {main} {others:?}"
    );
    let flows = client_flows(&requests, port);
    let client_pid = Value::IntValue(older.0.id().into());
    let record = flows.first().unwrap();
    let named = Value::StringValue("rights.example.com".to_owned());
    assert_eq!(find(record, flow::SERVER_ADDRESS), Some(&named));
    assert_eq!(find(record, flow::PROCESS_PID), Some(&client_pid));
    let user = find(record, flow::PROCESS_REAL_USER_ID);
    assert_eq!(user, Some(&Value::IntValue(0)), "another user's process");
    let executable = fs::read_link(format!("/proc/{}/exe", older.0.id())).unwrap();
    let executable = Value::StringValue(executable.to_str().unwrap().to_owned());
    assert_eq!(
        find(record, flow::PROCESS_EXECUTABLE_PATH),
        Some(&executable),
        "of a process that began before the exporter"
    );

    // A thread has what its maker has until its first instruction.
    until("no thread but the main one may anything", || {
        let (main, workers) = thread_sets(pid, "CapPrm:");
        assert_eq!(main, needed);
        workers.len() > 1 && workers.iter().all(|set| *set == 0)
    })
    .await;
}

#[test]
fn the_doctor_names_each_capability_that_is_missing_and_what_it_costs() {
    let installed = Installed::new();
    let all = granted();
    assert!(all.len() >= 4);
    for missing in &all {
        let rest: Vec<String> = all.iter().filter(|it| *it != missing).cloned().collect();
        // CAP_SYS_ADMIN stands for some of them.
        let rest: Vec<String> = rest
            .into_iter()
            .filter(|it| it != "CAP_SYS_ADMIN")
            .collect();
        let output = installed
            .command(&rest)
            .args(["doctor", "--format", "json", "--log", "error"])
            .output()
            .unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = report["checks"].as_array().unwrap();
        let check = checks
            .iter()
            .find(|check| check["name"] == missing.as_str());
        let check = check.unwrap_or_else(|| panic!("{missing} is not named: {report:#}"));
        let needed = ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"].contains(&missing.as_str());
        let expected = if needed {
            ("missing", Some(1))
        } else {
            ("degraded", Some(3))
        };
        assert_eq!(
            (check["state"].as_str().unwrap(), output.status.code()),
            expected,
            "{check:#}"
        );
        assert_eq!(check["finding"], "not held");
        assert!(check["cost"].as_str().unwrap().len() > 20, "{check:#}");
        assert!(check["remedy"].as_str().unwrap().contains(missing.as_str()));
    }
}

#[test]
fn with_what_the_unit_grants_the_doctor_finds_nothing_missing() {
    let output = Installed::new()
        .command(&granted())
        .args(["doctor", "--format", "json", "--attach"])
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(report["verdict"], "full");
}

#[test]
fn the_unit_grants_what_a_running_capture_needs() {
    let granted = granted();
    for capability in [Capability::SysPtrace, Capability::Bpf] {
        assert!(granted.iter().any(|name| name == capability.name()));
    }
    let oldest = of_running_capture("5.15.0", false);
    assert_eq!(
        oldest,
        CapabilitySet::of(&[Capability::SysPtrace, Capability::Bpf])
    );
}

/// A BPF file system, unmounted with the value.
struct Mounted(PathBuf);

impl Mounted {
    fn new(path: PathBuf) -> Self {
        fs::create_dir(&path).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "bpf", "bpf"]).arg(&path);
        assert!(command.status().unwrap().success());
        Self(path)
    }

    /// One that belongs to [`USER`], and the folder that it is in.
    fn of_user() -> (tempfile::TempDir, Self) {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let mounted = Self::new(folder.path().join("pins"));
        std::os::unix::fs::chown(&mounted.0, Some(65_534), Some(65_534)).unwrap();
        (folder, mounted)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

/// Starts the exporter over a directory of pins; returns it and what it said until it captured.
fn start_over_pins(installed: &Installed, pins: &std::path::Path, url: &str) -> (Running, String) {
    let mut command = installed.command(&granted());
    command
        .args(["--protocol", "http/protobuf", "--endpoint", url])
        .env("BEACONWATCH_EXPORTER__CAPTURE__PIN_DIRECTORY", pins)
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    for line in lines.by_ref() {
        said = said + &line.unwrap() + "\n";
        if said.contains(" exporting ") {
            break;
        }
    }
    assert!(said.contains(" exporting "), "ended early: {said}");
    std::thread::spawn(move || lines.for_each(drop));
    (Running(child), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_just_these_capabilities_takes_over_pins_and_removes_them() {
    let requests = Requests::default();
    let url = receiver(&requests).await;
    let (_older, mut input, port) = client();
    let installed = Installed::new();
    let (_folder, mounted) = Mounted::of_user();
    let pins = mounted.0.join("exporter");

    let (mut first, _) = start_over_pins(&installed, &pins, &url);
    let mut asked = 0;
    until("a flow with a name", || {
        if asked % 50 == 0 {
            input.write_all(b"go\n").unwrap();
        }
        asked += 1;
        !client_flows(&requests, port).is_empty()
    })
    .await;
    let stop = |child: &mut Child| {
        let status = Command::new("kill").arg(child.id().to_string()).status();
        assert!(status.unwrap().success());
        let status = child.wait().unwrap();
        assert!(status.success(), "also without capabilities: {status}");
    };
    stop(&mut first.0);
    let (mut second, said) = start_over_pins(&installed, &pins, &url);
    assert!(said.contains("taking over"), "{said}");
    stop(&mut second.0);
    let removed = installed
        .command(&granted())
        .arg("unpin")
        .arg(&pins)
        .output()
        .unwrap();
    assert!(removed.status.success());
    let left = fs::read_dir(&pins).unwrap().count();
    assert_eq!(left, 0, "{}", String::from_utf8_lossy(&removed.stdout));
}
