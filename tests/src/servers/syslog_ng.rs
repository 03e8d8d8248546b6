//! syslog-ng 3.38 of Debian 12. Over TLS it asks for a certificate of the same authority.

use std::path::Path;
use std::process::Command;

use super::syslog::Software;
use crate::certificates::Certificates;

/// The server.
pub static SYSLOG_NG: Software = Software {
    name: "syslog-ng",
    packages: &[
        "syslog-ng-core",
        "libivykis0",
        "libnet1",
        "libwrap0",
        "libpcre3",
        "libjson-c5",
        "libglib2.0-0",
    ],
    configuration,
    command,
};

fn command(root: &Path, folder: &Path, configuration: &Path) -> Command {
    let libraries = [
        "usr/lib/x86_64-linux-gnu",
        "lib/x86_64-linux-gnu",
        "usr/lib/syslog-ng",
    ]
    .map(|folder| root.join(folder).display().to_string())
    .join(":");
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
    command
}

fn configuration(folder: &Path, ports: [u16; 3], certificates: &Certificates) -> String {
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
