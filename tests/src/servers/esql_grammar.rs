//! The grammar of ES|QL as Elasticsearch 9.5.3 has it: its module of the language is in the registry, without what would run it.
//!
//! Says whether a query is one, not whether its fields and types fit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::elasticsearch;
use crate::{cache, tools};

const MODULE: &str = "org.elasticsearch.plugin:x-pack-esql:9.5.3";
const RUNTIME: &str = "org.antlr:antlr4-runtime:4.13.1";
const COMPILER: &str = "org.eclipse.jdt:ecj:3.44.0";
const READER: &str = include_str!("../../servers/EsqlGrammar.java");

/// An installed grammar.
#[derive(Clone, Debug)]
pub struct Grammar {
    java: PathBuf,
    class_path: std::ffi::OsString,
}

/// The grammar from the cache, fetched when it is not there yet. It needs the server's own libraries.
pub fn install(
    server: &elasticsearch::Installed,
    progress: &mut dyn FnMut(&str),
) -> Result<Grammar> {
    let java = tools::java()?;
    let recipe = [MODULE, RUNTIME, COMPILER, READER].concat();
    let folder = cache::entry("esql-9.5.3", &recipe, |folder| {
        progress("fetching the grammar of ES|QL 9.5.3 (9 MB)");
        fetch(folder, &java)
    })?;
    let places = [
        folder.join("classes"),
        folder.join("lib/*"),
        server.libraries(),
    ];
    Ok(Grammar {
        java,
        class_path: std::env::join_paths(places).context("joining the class path")?,
    })
}

fn fetch(folder: &Path, java: &Path) -> Result<()> {
    let maven = tools::or_apt("mvn", "maven")?;
    let log = folder.join("install.log");
    for (artifact, to) in [(MODULE, "lib"), (RUNTIME, "lib"), (COMPILER, "compiler")] {
        tools::run(
            Command::new(&maven)
                .args(["--batch-mode", "dependency:copy"])
                .arg(format!("-DoutputDirectory={to}"))
                .arg(format!("-Dartifact={artifact}"))
                .current_dir(folder),
            &log,
        )?;
    }
    let source = folder.join("EsqlGrammar.java");
    fs::write(&source, READER).context("writing EsqlGrammar.java")?;
    let jars = fs::read_dir(folder.join("lib")).context("reading lib")?;
    let class_path =
        std::env::join_paths(jars.flatten().map(|jar| jar.path())).context("joining the jars")?;
    tools::run(
        Command::new(java)
            .arg("-jar")
            .arg(tools::only_file(&folder.join("compiler"), "jar")?)
            .args(["-source", "21", "-target", "21", "-cp"])
            .arg(class_path)
            .arg("-d")
            .arg(folder.join("classes"))
            .arg(source),
        &log,
    )
}

impl Grammar {
    /// What in these files is no ES|QL: file, line, column and why.
    pub fn complaints(&self, files: &[PathBuf]) -> Result<Vec<String>> {
        let told = tools::output_of(
            Command::new(&self.java)
                // The grammar's classes name an exception of a module that is not to be had; nothing throws it.
                .args([
                    "-XX:+UnlockDiagnosticVMOptions",
                    "-XX:-BytecodeVerificationRemote",
                ])
                .arg("-cp")
                .arg(&self.class_path)
                .arg("EsqlGrammar")
                .args(files),
        )?;
        Ok(told.lines().map(str::to_owned).collect())
    }
}
