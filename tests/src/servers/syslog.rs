//! What the syslog servers have in common.
//!
//! They are unpacked and not installed, because their packages would take the place of the machine's own server. Each
//! listens for UDP, TCP and TLS and writes what it understood of the messages as JSON, a file for each way.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::certificates::Certificates;
use crate::process::Process;
use crate::{cache, http, tools, wait};

const DEADLINE: Duration = Duration::from_mins(1);

/// A server that can be had.
#[derive(Debug)]
pub struct Software {
    pub(super) name: &'static str,
    pub(super) packages: &'static [&'static str],
    /// Its configuration for files in a folder and ports for UDP, TCP and TLS.
    pub(super) configuration: fn(&Path, [u16; 3], &Certificates) -> String,
    /// What starts it: where it is unpacked, its folder, the file with its configuration.
    pub(super) command: fn(&Path, &Path, &Path) -> Command,
}

/// An unpacked server.
#[derive(Clone, Debug)]
pub struct Installed {
    software: &'static Software,
    root: PathBuf,
}

impl Software {
    /// The server from the cache, fetched when it is not there yet.
    pub fn install(&'static self, progress: &mut dyn FnMut(&str)) -> Result<Installed> {
        let root = cache::entry(self.name, &self.packages.join(" "), |folder| {
            progress(&format!("fetching {}", self.name));
            tools::unpack_packages(self.packages, folder)
        })?;
        Ok(Installed {
            software: self,
            root,
        })
    }
}

/// A running server.
#[derive(Debug)]
pub struct SyslogServer {
    process: Process,
    folder: PathBuf,
    /// Ports for UDP, TCP and TLS.
    pub ports: [u16; 3],
}

impl SyslogServer {
    /// Starts it in `folder` and waits until it listens.
    pub fn start(
        installed: &Installed,
        folder: &Path,
        certificates: &Certificates,
    ) -> Result<Self> {
        let Software {
            name,
            configuration,
            command,
            ..
        } = installed.software;
        fs::create_dir_all(folder).with_context(|| format!("creating the folder of {name}"))?;
        let ports = http::free_ports()?;
        let file = folder.join("server.conf");
        let text = configuration(folder, ports, certificates);
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        let command = command(&installed.root, folder, &file);
        let mut process = Process::start(name, &command, None, &folder.join("server.log"))?;
        let [_udp, tcp, tls] = ports;
        wait::wait_for(name, DEADLINE, || {
            process.expect_running()?;
            let listening = |port: u16| TcpStream::connect(("127.0.0.1", port)).is_ok();
            Ok((listening(tcp) && listening(tls)).then_some(()))
        })?;
        Ok(Self {
            process,
            folder: folder.to_owned(),
            ports,
        })
    }

    /// The socket that it reads as `/dev/log` is read, where it has one.
    #[must_use]
    pub fn local_socket(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// What it understood of the messages that came over `way` (`udp`, `tcp`, `tls`, `local`).
    pub fn messages(&mut self, way: &str) -> Result<Vec<Value>> {
        self.process.expect_running()?;
        let file = self.folder.join(format!("{way}.ndjson"));
        let text = fs::read_to_string(file).unwrap_or_default();
        // The last line may be half written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
            .collect()
    }
}
