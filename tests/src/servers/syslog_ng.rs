//! syslog-ng 3.38 of Debian 12, which writes what it understood of each message as JSON.
//!
//! Unpacked and not installed: its package would take the place of the machine's own syslog.

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

const PACKAGES: &[&str] = &[
    "syslog-ng-core",
    "libivykis0",
    "libnet1",
    "libwrap0",
    "libpcre3",
    "libjson-c5",
    "libglib2.0-0",
];
const DEADLINE: Duration = Duration::from_mins(1);

/// An unpacked syslog-ng.
#[derive(Clone, Debug)]
pub struct Installed {
    folder: PathBuf,
}

/// syslog-ng from the cache, fetched when it is not there yet.
pub fn install(progress: &mut dyn FnMut(&str)) -> Result<Installed> {
    let folder = cache::entry("syslog-ng", &PACKAGES.join(" "), |folder| {
        progress("fetching syslog-ng");
        tools::unpack_packages(PACKAGES, folder)
    })?;
    Ok(Installed { folder })
}

/// A running syslog-ng.
#[derive(Debug)]
pub struct SyslogNg {
    process: Process,
    folder: PathBuf,
    /// Ports for UDP, TCP and TLS.
    pub ports: [u16; 3],
}

impl SyslogNg {
    /// Starts it in `folder` and waits until it listens. Over TLS it asks for a certificate of the same authority.
    pub fn start(
        installed: &Installed,
        folder: &Path,
        certificates: &Certificates,
    ) -> Result<Self> {
        fs::create_dir_all(folder).context("creating the folder of syslog-ng")?;
        let ports = http::free_ports()?;
        let configuration = folder.join("syslog-ng.conf");
        let text = configured(folder, ports, certificates);
        fs::write(&configuration, text).context("writing syslog-ng.conf")?;
        let root = &installed.folder;
        let libraries = [
            "usr/lib/x86_64-linux-gnu",
            "lib/x86_64-linux-gnu",
            "usr/lib/syslog-ng",
        ]
        .map(|folder| root.join(folder));
        let libraries = std::env::join_paths(libraries).context("joining the libraries")?;
        let modules = root.join("usr/lib/syslog-ng/3.38");
        let mut command = Command::new(root.join("usr/sbin/syslog-ng"));
        command
            .arg("--foreground")
            .arg("--no-caps")
            .arg(format!("--cfgfile={}", configuration.display()))
            .arg(format!("--module-path={}", modules.display()))
            .arg(format!(
                "--persist-file={}",
                folder.join("persist").display()
            ))
            .arg(format!("--control={}", folder.join("control").display()))
            .arg(format!("--pidfile={}", folder.join("pid").display()))
            .env("LD_LIBRARY_PATH", libraries);
        let mut process = Process::start("syslog-ng", &command, None, &folder.join("server.log"))?;
        wait::wait_for("syslog-ng", DEADLINE, || {
            process.expect_running()?;
            Ok(TcpStream::connect(("127.0.0.1", ports[1])).ok())
        })?;
        Ok(Self {
            process,
            folder: folder.to_owned(),
            ports,
        })
    }

    /// The socket that it reads as `/dev/log` is read.
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

fn configured(folder: &Path, ports: [u16; 3], certificates: &Certificates) -> String {
    let [certificate, key] = certificates.pair("server");
    let certificate = certificate.display();
    let key = key.display();
    let authority = certificates.authority();
    let authority = authority.display();
    let folder_name = folder.display();
    let [udp, tcp, tls] = ports;
    let mut text = format!(
        r#"@version: 3.38
options {{ log-msg-size(65536); flush-lines(1); keep-hostname(yes); use-dns(no); }};
source udp {{ syslog(ip(127.0.0.1) transport("udp") port({udp})); }};
source tcp {{ syslog(ip(127.0.0.1) transport("tcp") port({tcp})); }};
source tls {{ syslog(ip(127.0.0.1) transport("tls") port({tls})
  tls(key-file("{key}") cert-file("{certificate}") ca-file("{authority}") peer-verify(required-trusted))); }};
source local {{ unix-dgram("{folder_name}/log"); }};
"#
    );
    text.extend(["udp", "tcp", "tls", "local"].map(|way| {
        format!(
            r#"log {{ source({way}); destination {{ file("{folder_name}/{way}.ndjson" template("$(format-json --scope rfc5424 --key .SDATA.* --pair PRIORITY=$PRI)\n")); }}; }};
"#
        )
    }));
    text
}
