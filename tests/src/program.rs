//! The real programs of the tests (`tests/programs/*.py`) and what they say that they did.
//!
//! Each is started under a name of its own (a symbolic link to the Python interpreter), so that the
//! kernel knows it by that name as it would know any other program.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::cgroup::Cgroup;
use crate::process::Process;
use crate::{tools, wait};

/// A test program while it runs, and its truth.
#[derive(Debug)]
pub struct Program {
    name: String,
    process: Process,
    truth: PathBuf,
}

/// Who did it.
#[derive(Clone, Debug, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: u32,
    /// Command name, as the kernel has it.
    pub name: String,
    /// Path of the executable.
    pub executable: String,
    /// User id.
    pub user_id: u32,
}

/// One connection (TCP) or exchange of datagrams (UDP), as one end of it saw it.
#[derive(Clone, Debug, Deserialize)]
pub struct Connection {
    /// Process id of this end.
    pub pid: u32,
    /// `tcp` or `udp`.
    pub transport: String,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// Just before it began, nanoseconds since the Unix epoch. For the accepting end: when it was
    /// noticed.
    pub before_ns: i64,
    /// When it was over.
    pub after_ns: i64,
    /// Address of this end.
    pub local_address: IpAddr,
    /// Port of this end.
    pub local_port: u16,
    /// Address of the other end.
    pub remote_address: IpAddr,
    /// Port of the other end.
    pub remote_port: u16,
    /// `connected`, `refused`, `unreachable` or `accepted`.
    pub outcome: String,
    /// Payload bytes that this end sent.
    pub sent: u64,
    /// Payload bytes that this end received.
    pub received: u64,
}

impl Connection {
    /// What the other end saw, as far as this one knows.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self {
            local_address: self.remote_address,
            local_port: self.remote_port,
            remote_address: self.local_address,
            remote_port: self.local_port,
            sent: self.received,
            received: self.sent,
            ..self.clone()
        }
    }
}

/// Everything that one program said of itself.
#[derive(Clone, Debug)]
pub struct Truth {
    /// Who.
    pub identity: Identity,
    /// What it did, in its order.
    pub connections: Vec<Connection>,
}

#[derive(Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum Line {
    Program(Identity),
    Connection(Connection),
    End,
}

impl Program {
    /// Starts `script` under `name` in a network namespace; it is told where to write its truth and
    /// then `arguments`.
    pub fn start(
        folder: &Path,
        name: &str,
        script: &str,
        namespace: &str,
        arguments: &[String],
    ) -> Result<Self> {
        Self::start_in(folder, name, script, (namespace, None), arguments)
    }

    /// The same in a network namespace and a cgroup.
    pub fn start_in(
        folder: &Path,
        name: &str,
        script: &str,
        (namespace, cgroup): (&str, Option<&Cgroup>),
        arguments: &[String],
    ) -> Result<Self> {
        let interpreter = folder.join(name);
        symlink(tools::python()?, &interpreter)
            .with_context(|| format!("linking {}", interpreter.display()))?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("programs")
            .join(script);
        let truth = folder.join(format!("{name}.truth"));
        let mut command = Command::new(interpreter);
        // -B: no compiled files in the source tree.
        command.arg("-B").arg(script).arg(&truth).args(arguments);
        if let Some(cgroup) = cgroup {
            command = cgroup.within(&command);
        }
        let log = folder.join(format!("{name}.log"));
        let process = Process::start(name, &command, Some(namespace), &log)?;
        Ok(Self {
            name: name.to_owned(),
            process,
            truth,
        })
    }

    /// Waits for the program to end by itself, and reads its truth.
    pub fn finish(&mut self, deadline: Duration) -> Result<Truth> {
        self.process.wait_success(deadline)?;
        self.read_truth()
    }

    /// Ends the program (SIGTERM), and reads its truth.
    pub fn stop(&mut self, deadline: Duration) -> Result<Truth> {
        let status = self.process.terminate(deadline)?;
        if !status.success() {
            bail!("{} ended with {status}", self.name);
        }
        self.read_truth()
    }

    /// What it has done so far.
    pub fn so_far(&mut self) -> Result<Vec<Connection>> {
        self.process.expect_running()?;
        let text = fs::read_to_string(&self.truth).unwrap_or_default();
        // The last line may be half written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        Ok(parse(whole)?.1)
    }

    /// Kills the program (SIGKILL).
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// What the program says of itself, if it has said all.
    pub fn truth(&self) -> Result<Truth> {
        self.read_truth()
    }

    /// Waits until the program has written `file`, and gives its text.
    pub fn wait_for_file(&mut self, file: &Path, deadline: Duration) -> Result<String> {
        wait::wait_for(&format!("{}", file.display()), deadline, || {
            self.process.expect_running()?;
            Ok(fs::read_to_string(file).ok())
        })
    }

    fn read_truth(&self) -> Result<Truth> {
        let text = fs::read_to_string(&self.truth)
            .with_context(|| format!("reading the truth of {}", self.name))?;
        parse_truth(&text).with_context(|| format!("truth of {}", self.name))
    }
}

fn parse_truth(text: &str) -> Result<Truth> {
    let (identity, connections, ended) = parse(text)?;
    if !ended {
        bail!("the program did not write its last line");
    }
    Ok(Truth {
        identity: identity.context("the program did not say who it is")?,
        connections,
    })
}

/// Who it is, what it did, and whether that is all.
fn parse(text: &str) -> Result<(Option<Identity>, Vec<Connection>, bool)> {
    let mut identity = None;
    let mut connections = Vec::new();
    let mut ended = false;
    for line in text.lines() {
        match serde_json::from_str(line).with_context(|| format!("reading {line}"))? {
            Line::Program(found) => identity = Some(found),
            Line::Connection(connection) => connections.push(connection),
            Line::End => ended = true,
        }
    }
    Ok((identity, connections, ended))
}
