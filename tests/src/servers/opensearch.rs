//! OpenSearch 3.8.0 as the Maven artifact of its embedding runner.
//!
//! A plain distribution is in no package registry. The runner carries the same server with its standard
//! modules (painless, data streams, ingest pipelines); there are no plugins, so no TLS and no login.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::process::Process;
use crate::{cache, http, tools, wait};

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

/// How long a node may take until it serves.
const START_DEADLINE: Duration = Duration::from_mins(3);
/// Most documents that a search gives.
const MOST_HITS: usize = 10_000;

/// A running node. Its data stay in its folder, so it can be killed and started again.
#[derive(Debug)]
pub struct Node {
    installed: Installed,
    folder: PathBuf,
    port: u16,
    process: Process,
}

/// A document as the server has it.
#[derive(Clone, Debug)]
pub struct Hit {
    /// Backing index that holds it.
    pub index: String,
    /// Its id.
    pub id: String,
    /// Its text.
    pub source: Value,
}

impl Node {
    /// Starts a node with its data in `folder` on a free port, and waits until it serves.
    pub fn start(installed: &Installed, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).context("creating the folder of OpenSearch")?;
        let (process, port) = launch(installed, folder, 0)?;
        Ok(Self {
            installed: installed.clone(),
            folder: folder.to_owned(),
            port,
            process,
        })
    }

    /// Base address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Port of the HTTP interface.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills the node as a power failure would.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Starts the node again on its old port with its old data.
    pub fn start_again(&mut self) -> Result<()> {
        let (process, port) = launch(&self.installed, &self.folder, self.port)?;
        ensure!(
            port == self.port,
            "OpenSearch came back on port {port}, not {}",
            self.port
        );
        self.process = process;
        Ok(())
    }

    /// Every document in all backing indices of `data_stream`; none when it is not there yet.
    pub fn documents(&self, data_stream: &str) -> Result<Vec<Hit>> {
        let refresh = format!("{}/{data_stream}/_refresh", self.url());
        if http::post(&refresh, &json!({}))?.status == 404 {
            return Ok(Vec::new());
        }
        let search = format!("{}/{data_stream}/_search", self.url());
        let query =
            json!({"size": MOST_HITS, "track_total_hits": true, "query": {"match_all": {}}});
        let answer = http::post(&search, &query)?.expect_success(&search)?;
        ensure!(answer["_shards"]["failed"] == 0, "a shard failed: {answer}");
        let hits = answer["hits"]["hits"]
            .as_array()
            .context("an answer without hits")?;
        ensure!(
            answer["hits"]["total"]["value"] == hits.len(),
            "more than {MOST_HITS} documents"
        );
        hits.iter().map(hit).collect()
    }

    /// How many documents of `data_stream` fit all of `filters`, by the server's own search.
    pub fn count(&self, data_stream: &str, filters: &Value) -> Result<u64> {
        let url = format!("{}/{data_stream}/_count", self.url());
        let query = json!({"query": {"bool": {"filter": filters}}});
        let answer = http::post(&url, &query)?.expect_success(&url)?;
        answer["count"]
            .as_u64()
            .with_context(|| format!("an answer without a count: {answer}"))
    }

    /// The index template `name`.
    pub fn index_template(&self, name: &str) -> Result<Value> {
        let url = format!("{}/_index_template/{name}", self.url());
        let answer = http::get(&url)?.expect_success(&url)?;
        Ok(answer["index_templates"][0]["index_template"].clone())
    }

    /// Asks for a path; an error unless the server says success.
    pub fn get(&self, path: &str) -> Result<Value> {
        let url = format!("{}/{path}", self.url());
        http::get(&url)?.expect_success(&url)
    }

    /// Whether there is something at a path.
    pub fn has(&self, path: &str) -> Result<bool> {
        let answer = http::get(&format!("{}/{path}", self.url()))?;
        ensure!(
            matches!(answer.status, 200 | 404),
            "{path}: {} {}",
            answer.status,
            answer.body
        );
        Ok(answer.status == 200)
    }

    /// Installs an index template.
    pub fn put_index_template(&self, name: &str, template: &Value) -> Result<()> {
        let url = format!("{}/_index_template/{name}", self.url());
        http::put(&url, template)?.expect_success(&url).map(drop)
    }
}

fn hit(hit: &Value) -> Result<Hit> {
    let text = |name: &str| {
        hit[name]
            .as_str()
            .with_context(|| format!("a hit without {name}"))
    };
    Ok(Hit {
        index: text("_index")?.to_owned(),
        id: text("_id")?.to_owned(),
        source: hit["_source"].clone(),
    })
}

fn launch(installed: &Installed, folder: &Path, port: u16) -> Result<(Process, u16)> {
    let address_file = folder.join("http.address");
    if address_file.exists() {
        fs::remove_file(&address_file).context("removing the old address")?;
    }
    let mut command = installed.command(folder, port);
    // The server writes some files into its working directory.
    command.current_dir(folder);
    let log = folder.join("opensearch.log");
    let mut process = Process::start("OpenSearch", &command, None, &log)?;
    let address = wait::wait_for("OpenSearch", START_DEADLINE, || {
        process.expect_running()?;
        Ok(fs::read_to_string(&address_file).ok())
    })?;
    let Some(port) = address
        .trim()
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
    else {
        bail!("OpenSearch says that it serves at {address:?}");
    };
    let health = format!("http://127.0.0.1:{port}/_cluster/health");
    wait::wait_for("the health of OpenSearch", START_DEADLINE, || {
        process.expect_running()?;
        let answer = http::get(&health)?.expect_success(&health)?;
        Ok((answer["initializing_shards"] == 0 && answer["status"] != "red").then_some(()))
    })?;
    Ok((process, port))
}
