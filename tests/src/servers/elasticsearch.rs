//! Elasticsearch 9.5.3 with TLS, users and API keys, from the Maven artifact that its plugins are tested with.
//!
//! A full distribution is in no package registry. This one has no analysis module, without which the index of
//! API keys cannot be made: a plugin of the tests (`ElasticsearchAnalysis.java`) has the three parts that it
//! needs, and takes `match_only_text` for `text`. Ingest processors, painless and transforms are missing.
//!
//! Elasticsearch refuses to run as root: it runs in a user namespace in which the caller has another number. So the
//! files of the caller are its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::certificates::Certificates;
use crate::process::Process;
use crate::{cache, http, tools, wait};

const VERSION: &str = "9.5.3";
const ARTIFACT: &str = "org.elasticsearch.distribution.integ-test-zip:elasticsearch:9.5.3:zip";
const COMPILER: &str = "org.eclipse.jdt:ecj:3.44.0";
const PLUGIN: &str = include_str!("../../servers/ElasticsearchAnalysis.java");
const PLUGIN_DESCRIPTION: &str = "name=beaconwatch-analysis
description=Analysis parts that the index of API keys needs
version=1
elasticsearch.version=9.5.3
java.version=21
classname=ElasticsearchAnalysis
";
const USER: &str = "operator:operator-password";
/// How long a node may take until it serves.
const START_DEADLINE: Duration = Duration::from_mins(3);
/// Most documents that a search gives.
const MOST_HITS: usize = 10_000;

/// An installed Elasticsearch.
#[derive(Clone, Debug)]
pub struct Installed {
    java_home: PathBuf,
    home: PathBuf,
}

impl Installed {
    /// Class path of the server's libraries.
    #[must_use]
    pub fn libraries(&self) -> PathBuf {
        self.home.join("lib/*")
    }
}

/// Elasticsearch from the cache, fetched when it is not there yet.
pub fn install(progress: &mut dyn FnMut(&str)) -> Result<Installed> {
    let java = tools::java()?;
    let recipe = [ARTIFACT, COMPILER, PLUGIN, PLUGIN_DESCRIPTION].concat();
    let folder = cache::entry(&format!("elasticsearch-{VERSION}"), &recipe, |folder| {
        progress("fetching Elasticsearch 9.5.3 (132 MB)");
        fetch(folder, &java)
    })?;
    let java_home = java.parent().and_then(Path::parent);
    Ok(Installed {
        java_home: java_home.context("java lies in no folder")?.to_owned(),
        home: folder.join(format!("elasticsearch-{VERSION}")),
    })
}

fn fetch(folder: &Path, java: &Path) -> Result<()> {
    let maven = tools::or_apt("mvn", "maven")?;
    let log = folder.join("install.log");
    for artifact in [ARTIFACT, COMPILER] {
        tools::run(
            Command::new(&maven)
                .args(["--batch-mode", "dependency:copy", "-DoutputDirectory=."])
                .arg(format!("-Dartifact={artifact}"))
                .current_dir(folder),
            &log,
        )?;
    }
    let archive = tools::only_file(folder, "zip")?;
    let python = tools::python()?;
    let zip = |arguments: &[&str]| {
        let mut command = Command::new(&python);
        command.args(["-m", "zipfile"]).args(arguments);
        command
    };
    let archive_name = archive.display().to_string();
    tools::run(zip(&["-e", &archive_name, "."]).current_dir(folder), &log)?;
    fs::remove_file(&archive).context("removing the archive")?;
    let home = folder.join(format!("elasticsearch-{VERSION}"));
    tools::run(
        Command::new("chmod")
            .args(["-R", "u+x,go+x"])
            .arg(home.join("bin")),
        &log,
    )?;

    let plugin = home.join("plugins/beaconwatch-analysis");
    fs::create_dir_all(&plugin).context("creating the plugin's folder")?;
    let source = folder.join("ElasticsearchAnalysis.java");
    fs::write(&source, PLUGIN).context("writing the plugin")?;
    let jars = fs::read_dir(home.join("lib")).context("reading lib")?;
    let class_path =
        std::env::join_paths(jars.flatten().map(|jar| jar.path())).context("joining the jars")?;
    let compiler = tools::only_file(folder, "jar")?;
    tools::run(
        Command::new(java)
            .arg("-jar")
            .arg(&compiler)
            .args(["-source", "21", "-target", "21", "-cp"])
            .arg(class_path)
            .arg("-d")
            .arg(&plugin)
            .arg(source),
        &log,
    )?;
    let classes: Vec<String> = fs::read_dir(&plugin)
        .context("reading the plugin's classes")?
        .flatten()
        .map(|class| class.file_name().to_string_lossy().into_owned())
        .collect();
    let mut pack = vec!["-c", "analysis.jar"];
    pack.extend(classes.iter().map(String::as_str));
    tools::run(zip(&pack).current_dir(&plugin), &log)?;
    fs::write(
        plugin.join("plugin-descriptor.properties"),
        PLUGIN_DESCRIPTION,
    )
    .context("writing the plugin's description")?;
    fs::remove_file(compiler).context("removing the compiler")
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    process: Process,
    port: u16,
    certificates: Certificates,
}

impl Node {
    /// Starts a node with its data in `folder`, and waits until it serves. It takes at most 1 MiB of documents at a time.
    pub fn start(
        installed: &Installed,
        folder: &Path,
        certificates: &Certificates,
    ) -> Result<Self> {
        let [port, transport_port] = http::free_ports()?;
        let configuration = folder.join("config");
        fs::create_dir_all(folder).context("creating the folder of Elasticsearch")?;
        let log = folder.join("elasticsearch.log");
        let copied = Command::new("cp")
            .arg("-r")
            .arg(installed.home.join("config"))
            .arg(&configuration)
            .status();
        ensure!(
            copied.context("copying the configuration")?.success(),
            "the configuration was not copied"
        );
        let [certificate, key] = certificates.pair("server");
        for (from, to) in [
            (&certificates.authority(), "ca.pem"),
            (&certificate, "server.pem"),
            (&key, "server.key"),
        ] {
            fs::copy(from, configuration.join(to)).with_context(|| format!("copying {to}"))?;
        }
        fs::write(
            configuration.join("elasticsearch.yml"),
            settings(folder, port, transport_port),
        )
        .context("writing elasticsearch.yml")?;
        let heap = "-Xms512m\n-Xmx512m\n";
        fs::write(configuration.join("jvm.options.d/heap.options"), heap)
            .context("writing the heap's size")?;
        let (user, password) = USER.split_once(':').context("no password")?;
        tools::run(
            program(installed, folder, "elasticsearch-users")?.args([
                "useradd",
                user,
                "-p",
                password,
                "-r",
                "superuser",
            ]),
            &log,
        )?;
        let command = program(installed, folder, "elasticsearch")?;
        let process = Process::start("Elasticsearch", &command, None, &log)?;
        let mut node = Self {
            process,
            port,
            certificates: certificates.clone(),
        };
        wait::wait_for("Elasticsearch", START_DEADLINE, || {
            node.process.expect_running()?;
            let health = node.ask("GET", "/_cluster/health", None)?;
            Ok((health["status"] == "green").then_some(()))
        })?;
        Ok(node)
    }

    /// Base address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Asks as the operator of the server.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut command = Command::new(tools::or_apt("curl", "curl")?);
        command
            .args([
                "--silent",
                "--show-error",
                "--noproxy",
                "*",
                "--user",
                USER,
                "--cacert",
            ])
            .arg(self.certificates.authority())
            .args([
                "--request",
                method,
                "--header",
                "content-type: application/json",
            ]);
        if let Some(body) = body {
            command.arg("--data").arg(body.to_string());
        }
        let told = tools::output_of(command.arg(format!("{}{path}", self.url())))?;
        let answer: Value =
            serde_json::from_str(&told).with_context(|| format!("{path}: {told}"))?;
        ensure!(answer.get("error").is_none(), "{method} {path}: {answer}");
        Ok(answer)
    }

    /// Makes an API key that may only create documents in Beaconwatch's data streams; gives its encoded form.
    pub fn create_key(&self, name: &str) -> Result<String> {
        let privileges = json!({
            "cluster": ["monitor"],
            "indices": [{"names": ["logs-beaconwatch.*-*"], "privileges": ["auto_configure", "create_doc"]}],
        });
        self.create_key_with(name, &privileges)
    }

    /// Makes an API key with these privileges; gives its encoded form.
    pub fn create_key_with(&self, name: &str, privileges: &Value) -> Result<String> {
        let body = json!({"name": name, "role_descriptors": {"only": privileges}});
        let answer = self.ask("POST", "/_security/api_key", Some(&body))?;
        let encoded = answer["encoded"].as_str();
        Ok(encoded
            .with_context(|| format!("no key: {answer}"))?
            .to_owned())
    }

    /// Revokes the API keys of this name.
    pub fn revoke_key(&self, name: &str) -> Result<()> {
        let answer = self.ask("DELETE", "/_security/api_key", Some(&json!({"name": name})))?;
        ensure!(answer["error_count"] == 0, "not revoked: {answer}");
        Ok(())
    }

    /// Ids and texts of every document of a data stream; none when it is not there yet.
    pub fn documents(&self, data_stream: &str) -> Result<Vec<(String, Value)>> {
        let path = format!("/{data_stream}*/_refresh");
        self.ask("POST", &path, None)?;
        let query =
            json!({"size": MOST_HITS, "track_total_hits": true, "query": {"match_all": {}}});
        let answer = self.ask("POST", &format!("/{data_stream}*/_search"), Some(&query))?;
        let hits = answer["hits"]["hits"].as_array().context("no hits")?;
        ensure!(
            answer["hits"]["total"]["value"] == hits.len(),
            "more than {MOST_HITS} documents"
        );
        hits.iter()
            .map(|hit| {
                let index = hit["_index"].as_str().unwrap_or_default();
                ensure!(index.starts_with(".ds-"), "{index} is no backing index");
                let id = hit["_id"].as_str().context("a hit without _id")?;
                Ok((id.to_owned(), hit["_source"].clone()))
            })
            .collect()
    }
}

fn settings(folder: &Path, port: u16, transport_port: u16) -> String {
    let folder = folder.display();
    format!(
        "discovery.type: single-node
network.host: 127.0.0.1
http.port: {port}
transport.port: {transport_port}
path.data: {folder}/data
path.logs: {folder}/logs
cluster.routing.allocation.disk.threshold_enabled: false
indexing_pressure.memory.limit: 1mb
xpack.security.enabled: true
xpack.security.transport.ssl.enabled: false
xpack.security.http.ssl:
  enabled: true
  key: server.key
  certificate: server.pem
  certificate_authorities: [ca.pem]
  client_authentication: optional
"
    )
}

/// A program of the distribution, as a user that is not root.
fn program(installed: &Installed, folder: &Path, name: &str) -> Result<Command> {
    let scratch = folder.join("scratch");
    fs::create_dir_all(&scratch).context("creating the scratch folder")?;
    let mut command = Command::new(tools::or_apt("unshare", "util-linux")?);
    command
        .args(["--user", "--map-user=1000", "--map-group=1000"])
        .arg(installed.home.join("bin").join(name))
        .env("ES_JAVA_HOME", &installed.java_home)
        .env("ES_PATH_CONF", folder.join("config"))
        .env("ES_TMPDIR", scratch)
        .current_dir(folder);
    Ok(command)
}
