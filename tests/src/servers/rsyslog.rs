//! rsyslog 8.2302 of Debian 12, with its `gnutls` driver.

use std::path::Path;
use std::process::Command;

use super::syslog::Software;
use crate::certificates::Certificates;

/// The server.
pub static RSYSLOG: Software = Software {
    name: "rsyslog",
    packages: &[
        "rsyslog",
        "rsyslog-gnutls",
        "libestr0",
        "libfastjson4",
        "liblognorm5",
    ],
    configuration,
    command,
};

fn command(root: &Path, folder: &Path, configuration: &Path) -> Command {
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let mut command = Command::new(root.join("usr/sbin/rsyslogd"));
    command
        .arg("-n")
        .arg("-f")
        .arg(configuration)
        .arg("-M")
        .arg(libraries.join("rsyslog"))
        .arg("-i")
        .arg(folder.join("pid"))
        .env("LD_LIBRARY_PATH", &libraries);
    command
}

fn configuration(folder: &Path, ports: [u16; 3], certificates: &Certificates) -> String {
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
