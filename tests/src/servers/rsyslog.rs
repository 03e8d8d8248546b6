//! rsyslog 8.2302 of Debian 12, with its `gnutls` driver.
//!
//! Unpacked and not installed: its package conflicts with syslog-ng's, and would take the place of the machine's own.

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
    "rsyslog",
    "rsyslog-gnutls",
    "libestr0",
    "libfastjson4",
    "liblognorm5",
];
const DEADLINE: Duration = Duration::from_mins(1);

/// An unpacked rsyslog.
#[derive(Clone, Debug)]
pub struct Installed {
    folder: PathBuf,
}

/// rsyslog from the cache, fetched when it is not there yet.
pub fn install(progress: &mut dyn FnMut(&str)) -> Result<Installed> {
    let folder = cache::entry("rsyslog", &PACKAGES.join(" "), |folder| {
        progress("fetching rsyslog");
        tools::unpack_packages(PACKAGES, folder)
    })?;
    Ok(Installed { folder })
}

/// A running rsyslog.
#[derive(Debug)]
pub struct Rsyslog {
    process: Process,
    folder: PathBuf,
    /// Ports for UDP, TCP and TLS.
    pub ports: [u16; 3],
}

impl Rsyslog {
    /// Starts it in `folder` and waits until it listens.
    pub fn start(
        installed: &Installed,
        folder: &Path,
        certificates: &Certificates,
    ) -> Result<Self> {
        fs::create_dir_all(folder).context("creating the folder of rsyslog")?;
        let ports = http::free_ports()?;
        let configuration = folder.join("rsyslog.conf");
        let text = configured(folder, ports, certificates);
        fs::write(&configuration, text).context("writing rsyslog.conf")?;
        let libraries = installed.folder.join("usr/lib/x86_64-linux-gnu");
        let mut command = Command::new(installed.folder.join("usr/sbin/rsyslogd"));
        command
            .arg("-n")
            .arg("-f")
            .arg(&configuration)
            .arg("-M")
            .arg(libraries.join("rsyslog"))
            .arg("-i")
            .arg(folder.join("pid"))
            .env("LD_LIBRARY_PATH", &libraries);
        let mut process = Process::start("rsyslog", &command, None, &folder.join("server.log"))?;
        wait::wait_for("rsyslog", DEADLINE, || {
            process.expect_running()?;
            let listening = |port: &u16| TcpStream::connect(("127.0.0.1", *port)).is_ok();
            Ok(ports
                .get(1..)
                .is_some_and(|tcp| tcp.iter().all(listening))
                .then_some(()))
        })?;
        Ok(Self {
            process,
            folder: folder.to_owned(),
            ports,
        })
    }

    /// What it understood of the messages that came over `way` (`udp`, `tcp`, `tls`).
    pub fn messages(&mut self, way: &str) -> Result<Vec<Value>> {
        self.process.expect_running()?;
        let text =
            fs::read_to_string(self.folder.join(format!("{way}.ndjson"))).unwrap_or_default();
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
    let [udp, tcp, tls] = ports;
    let mut text = format!(
        r#"global(workDirectory="{folder}" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off"
  defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="{authority}"
  defaultNetstreamDriverCertFile="{certificate}" defaultNetstreamDriverKeyFile="{key}")
module(load="imudp")
module(load="imptcp")
module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/certvalid")
template(name="understood" type="list" option.jsonf="on") {{
  property(outname="PRIORITY" name="pri" format="jsonf")
  property(outname="HOST" name="hostname" format="jsonf")
  property(outname="PROGRAM" name="app-name" format="jsonf")
  property(outname="PID" name="procid" format="jsonf")
  property(outname="MSGID" name="msgid" format="jsonf")
  property(outname="SDATA" name="structured-data" format="jsonf")
  property(outname="MESSAGE" name="msg" format="jsonf")
}}
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="udp")
input(type="imptcp" address="127.0.0.1" port="{tcp}" ruleset="tcp")
input(type="imtcp" address="127.0.0.1" port="{tls}" ruleset="tls")
"#,
        folder = folder.display(),
        authority = certificates.authority().display(),
        certificate = certificate.display(),
        key = key.display(),
    );
    let folder = folder.display();
    text.extend(["udp", "tcp", "tls"].map(|way| {
        format!("ruleset(name=\"{way}\") {{ action(type=\"omfile\" file=\"{folder}/{way}.ndjson\" template=\"understood\") }}\n")
    }));
    text
}
