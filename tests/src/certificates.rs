//! An authority, a server's certificate and a client's, made by `openssl`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::tools;

/// Files in PEM. The server's certificate is for `localhost` and `127.0.0.1`.
#[derive(Clone, Debug)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes them in `folder`.
    pub fn make(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).context("creating the folder of the certificates")?;
        let made = Self {
            folder: folder.to_owned(),
        };
        let key = ["-newkey", "rsa:2048", "-nodes", "-days", "2"];
        made.openssl(
            [
                "req",
                "-x509",
                "-subj",
                "/CN=Test authority",
                "-keyout",
                "ca.key",
                "-out",
                "ca.pem",
            ]
            .into_iter()
            .chain(key)
            .chain(["-addext", "basicConstraints=critical,CA:TRUE"]),
        )?;
        for (name, usage) in [("server", "serverAuth"), ("client", "clientAuth")] {
            made.sign(name, usage)?;
        }
        Ok(made)
    }

    fn sign(&self, name: &str, usage: &str) -> Result<()> {
        let file = |extension: &str| format!("{name}.{extension}");
        let subject = format!("/CN={name}");
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
        fs::write(
            self.folder.join(file("extensions")),
            format!("{names}\nextendedKeyUsage={usage}\n"),
        )
        .context("writing the extensions")?;
        let request = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", &subject];
        self.openssl(
            request
                .into_iter()
                .chain(["-keyout", &file("key"), "-out", &file("csr")]),
        )?;
        let signing = [
            "x509", "-req", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2",
        ];
        self.openssl(signing.into_iter().chain([
            "-CAcreateserial",
            "-in",
            &file("csr"),
            "-extfile",
            &file("extensions"),
            "-out",
            &file("pem"),
        ]))
    }

    fn openssl<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let openssl = tools::or_apt("openssl", "openssl")?;
        let mut command = Command::new(openssl);
        command.args(arguments).current_dir(&self.folder);
        tools::run(&mut command, &self.folder.join("openssl.log"))
    }

    /// Certificate of the authority.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Certificate and key of `server` or `client`.
    #[must_use]
    pub fn pair(&self, name: &str) -> [PathBuf; 2] {
        ["pem", "key"].map(|extension| self.folder.join(format!("{name}.{extension}")))
    }
}
