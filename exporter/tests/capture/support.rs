//! A capture, a network namespace, a cgroup and programs for tests.

use std::{
    io::{BufRead, BufReader, Write},
    net::IpAddr,
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use beaconwatch_exporter::capture::{
    Capture, CaptureSettings, clock, namespace, slices::SliceBatch,
};
use beaconwatch_records::{FlowRecord, Protocol, RecordKind, Role, Slice, SliceHeader};

/// Longest wait for what must happen.
const DEADLINE: Duration = Duration::from_secs(30);

/// A running capture and what it told so far. Looks at one protocol in one network namespace: port
/// numbers of others are in use beside.
pub(crate) struct Watch {
    pub(crate) capture: Capture,
    protocol: Protocol,
    netns_cookie: u64,
    records: Vec<FlowRecord>,
}

/// A slice with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedSlice {
    pub(crate) header: SliceHeader,
    pub(crate) bytes: Vec<u8>,
}

impl Watch {
    /// TCP in the namespace of the tests.
    pub(crate) fn tcp() -> Self {
        Self::with(Protocol::Tcp, &CaptureSettings::default())
    }

    /// UDP in the namespace of the tests.
    pub(crate) fn udp() -> Self {
        Self::with(Protocol::Udp, &CaptureSettings::default())
    }

    /// The same in another namespace.
    pub(crate) fn inside(self, namespace: &Namespace) -> Self {
        Self {
            netns_cookie: namespace.cookie,
            ..self
        }
    }

    pub(crate) fn with(protocol: Protocol, settings: &CaptureSettings) -> Self {
        let capture = Capture::start(settings).unwrap_or_else(|error| {
            panic!(
                "these tests capture real traffic and need root and eBPF: {}",
                chain(&error)
            )
        });
        Self {
            capture,
            protocol,
            netns_cookie: namespace::own_cookie().unwrap(),
            records: Vec::new(),
        }
    }

    /// Reads until the records with this port (at either end) fulfil the condition; returns them.
    pub(crate) async fn until(
        &mut self,
        port: u16,
        condition: impl Fn(&[FlowRecord]) -> bool,
    ) -> Vec<FlowRecord> {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let own = self.of(port);
            if condition(&own) {
                return own;
            }
            let reading = self.capture.read(&mut self.records);
            match tokio::time::timeout_at(deadline, reading).await {
                Ok(count) => assert!(count.unwrap() > 0),
                Err(elapsed) => panic!("condition not met in time ({elapsed}): {own:#?}"),
            }
        }
    }

    /// The same, reading the live flows as well.
    pub(crate) async fn until_live(
        &mut self,
        port: u16,
        condition: impl Fn(&[FlowRecord]) -> bool,
    ) -> Vec<FlowRecord> {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            self.live();
            let own = self.of(port);
            if condition(&own) {
                return own;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "condition not met within {DEADLINE:?}; records: {own:#?}"
            );
            tokio::task::yield_now().await;
        }
    }

    /// Reads the live flows once.
    pub(crate) fn live(&mut self) {
        self.capture.live_flows(&mut self.records).unwrap();
    }

    /// The same with every record, whatever its port.
    pub(crate) async fn until_all(&mut self, condition: impl Fn(&[FlowRecord]) -> bool) {
        self.until_true(|watch| condition(watch.all())).await;
    }

    /// Reads everything until the condition holds.
    pub(crate) async fn until_true(&mut self, condition: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while !condition(self) {
            assert!(
                tokio::time::Instant::now() < deadline,
                "condition not met within {DEADLINE:?} by {} records",
                self.records.len()
            );
            self.live();
            let reading = self.capture.read(&mut self.records);
            // Nothing may come for a while: then the live flows are read again.
            tokio::time::timeout(Duration::from_millis(100), reading)
                .await
                .ok();
        }
    }

    /// The records so far with this port at either end.
    pub(crate) fn of(&self, port: u16) -> Vec<FlowRecord> {
        let wanted = |record: &&FlowRecord| {
            (record.local_port == port || record.remote_port == port)
                && record.protocol == self.protocol as u8
                // Sockets older than the capture have none.
                && [0, self.netns_cookie].contains(&record.netns_cookie)
        };
        self.records.iter().filter(wanted).copied().collect()
    }

    /// The slices since the last call with this port at either end, of this protocol and namespace.
    pub(crate) fn slices(&mut self, port: u16) -> Vec<OwnedSlice> {
        let mut batch = SliceBatch::default();
        self.capture.take_slices(&mut batch);
        assert_eq!(batch.lost() + batch.malformed(), 0);
        let wanted = |slice: &Slice<'_>| {
            let header = &slice.header;
            (header.local_port == port || header.remote_port == port)
                && header.protocol == self.protocol as u8
                && header.netns_cookie == self.netns_cookie
        };
        let owned = |slice: Slice<'_>| OwnedSlice {
            header: slice.header,
            bytes: slice.bytes.to_vec(),
        };
        batch.iter().filter(wanted).map(owned).collect()
    }

    /// Every record so far.
    pub(crate) fn all(&self) -> &[FlowRecord] {
        &self.records
    }
}

/// Waits until the kernel's clock shows a time.
pub(crate) async fn until_boot_time(time_ns: u64) {
    loop {
        let now = clock::boottime_ns().unwrap();
        if now > time_ns {
            return;
        }
        tokio::time::sleep(Duration::from_nanos(time_ns - now + 1)).await;
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// An address as records hold it.
pub(crate) fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

pub(crate) fn is(record: &FlowRecord, kind: RecordKind, role: Role) -> bool {
    record.kind == kind as u8 && record.role == role as u8
}

pub(crate) fn count(records: &[FlowRecord], kind: RecordKind, role: Role) -> usize {
    records
        .iter()
        .filter(|record| is(record, kind, role))
        .count()
}

/// The only record of its kind and role.
pub(crate) fn only(records: &[FlowRecord], kind: RecordKind, role: Role) -> FlowRecord {
    let found: Vec<_> = records
        .iter()
        .filter(|record| is(record, kind, role))
        .collect();
    assert_eq!(found.len(), 1, "{kind:?} of {role:?} in {records:#?}");
    *found[0]
}

/// A name that no other test has, short enough for an interface.
pub(crate) fn unique_word() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("b{:x}x{number:x}", std::process::id())
}

/// A name that no other test has.
fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "bwcap{}n{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

pub(crate) fn run(command: &str) {
    let mut words = command.split(' ');
    let output = Command::new(words.next().unwrap())
        .args(words)
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {message}");
}

/// A network namespace with its own loopback, gone with the value.
pub(crate) struct Namespace {
    name: String,
    /// As a socket inside tells it.
    pub(crate) cookie: u64,
}

impl Namespace {
    pub(crate) fn new() -> Self {
        let mut namespace = Self {
            name: unique(),
            cookie: 0,
        };
        run(&format!("ip netns add {}", namespace.name));
        namespace.ip("link set lo up");
        let mut program = namespace.python(
            "import socket\n\
             cookie = socket.socket().getsockopt(socket.SOL_SOCKET, 71, 8)\n\
             print(int.from_bytes(cookie, 'little'), flush=True)\n",
        );
        namespace.cookie = program.numbers()[0];
        program.finish();
        namespace
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs an ip command inside.
    pub(crate) fn ip(&self, arguments: &str) {
        run(&format!("ip -n {} {arguments}", self.name));
    }

    /// Starts a Python program inside.
    pub(crate) fn python(&self, text: &str) -> Program {
        self.python_with(text, &[])
    }

    /// Starts a Python program with arguments inside.
    pub(crate) fn python_with(&self, text: &str, arguments: &[&str]) -> Program {
        let file = format!("--net=/run/netns/{}", self.name);
        let program = [&file, "python3", "-c", text];
        Program::start(Command::new("nsenter").args(program).args(arguments))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let result = Command::new("ip")
            .args(["netns", "delete", &self.name])
            .status();
        if let Err(error) = result {
            println!("network namespace {} stays: {error}", self.name);
        }
    }
}

/// Starts a Python program in the namespace of the test.
pub(crate) fn python(text: &str) -> Program {
    python_with(text, &[])
}

/// Starts a Python program with arguments in the namespace of the test.
pub(crate) fn python_with(text: &str, arguments: &[&str]) -> Program {
    Program::start(Command::new("python3").args(["-c", text]).args(arguments))
}

/// A running program that speaks in lines.
pub(crate) struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Program {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a program");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            input,
            output,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of numbers that it prints.
    pub(crate) fn numbers(&mut self) -> Vec<u64> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the program ended early: {line:?}");
        line.split_whitespace()
            .map(|word| word.parse().unwrap())
            .collect()
    }

    /// The next line, hexadecimal digits, as bytes.
    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        hex::decode(line.trim()).unwrap()
    }

    /// The next line's only number, a port.
    pub(crate) fn port(&mut self) -> u16 {
        let numbers = self.numbers();
        assert_eq!(numbers.len(), 1);
        u16::try_from(numbers[0]).unwrap()
    }

    /// Lets it go on from an `input()`.
    pub(crate) fn go_on(&mut self) {
        self.say("");
    }

    /// Gives it a line to read.
    pub(crate) fn say(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Lets it go on and waits for its successful end.
    pub(crate) fn finish(mut self) {
        if let Some(mut input) = self.input.take() {
            // It may have ended without waiting.
            input.write_all(b"\n").ok();
        }
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

/// A cgroup v2 directory of its own, gone with the value.
pub(crate) struct Cgroup {
    pub(crate) path: PathBuf,
}

impl Cgroup {
    pub(crate) fn new() -> Self {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let root = mounts
            .lines()
            .find(|line| line.split(' ').nth(2) == Some("cgroup2"))
            .and_then(|line| line.split(' ').nth(1))
            .expect("a cgroup v2 mount");
        let path = PathBuf::from(root).join(unique());
        std::fs::create_dir(&path).expect("root makes a cgroup");
        Self { path }
    }

    /// Starts a Python program in this cgroup; it begins when `go_on` is called.
    pub(crate) fn python(&self, text: &str) -> Program {
        let program = python(&format!("input()\n{text}"));
        self.take(program.pid());
        program
    }

    /// Takes a process in.
    pub(crate) fn take(&self, pid: u32) {
        std::fs::write(self.path.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir(&self.path) {
            println!("cgroup {} stays: {error}", self.path.display());
        }
    }
}
