//! The Splunk app as it is committed, read by none of the code that makes it, and what Splunk publishes to judge an app by.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{cache, tools};

/// Carries the Common Information Model's data models as JSON.
const DATA_MODELS: &str = "pytest-splunk-addon==7.0.5";

/// Where the app lies.
#[must_use]
pub fn app() -> PathBuf {
    root().join("integrations/splunk/beaconwatch")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Stanzas of a `.conf` file and their settings.
pub type Configuration = BTreeMap<String, BTreeMap<String, String>>;

/// Reads a `.conf` file of the app's default folder.
pub fn configuration(name: &str) -> Result<Configuration> {
    let path = app().join("default").join(name);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let mut all = Configuration::new();
    let mut stanza = String::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            name.clone_into(&mut stanza);
            all.entry(stanza.clone()).or_default();
        } else {
            let (key, value) = line
                .split_once(" = ")
                .with_context(|| format!("{}: not a setting: {line}", path.display()))?;
            all.entry(stanza.clone())
                .or_default()
                .insert(key.to_owned(), value.to_owned());
        }
    }
    Ok(all)
}

/// Definitions of the app's dashboards, by the names of their views.
pub fn dashboards() -> Result<BTreeMap<String, Value>> {
    let folder = app().join("default/data/ui/views");
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry.context("reading the views")?.path();
        let text = fs::read_to_string(&path).context("reading a view")?;
        let definition = text
            .split_once("<definition><![CDATA[")
            .and_then(|(_, rest)| rest.split_once("]]></definition>"))
            .with_context(|| format!("{}: no definition", path.display()))?
            .0;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        all.insert(
            name.into_owned(),
            serde_json::from_str(definition).context("reading a definition")?,
        );
    }
    Ok(all)
}

/// Names of the fields of all documents and records, by the published table; an array's as Splunk's extraction of JSON has it.
pub fn documented_fields() -> Result<BTreeSet<String>> {
    let text =
        fs::read_to_string(root().join("docs/fields.md")).context("reading docs/fields.md")?;
    let rows = text.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let array = rest.split(" |").next()?.ends_with("[]");
        Some(if array {
            format!("{name}{{}}")
        } else {
            name.to_owned()
        })
    });
    Ok(rows.collect())
}

/// The published data models, each a list of its fields.
pub fn data_models() -> Result<BTreeMap<String, Vec<Value>>> {
    let folder = cache::entry("splunk-data-models", DATA_MODELS, |folder| {
        let log = folder.join("install.log");
        let python = tools::python()?;
        tools::run(
            Command::new(&python)
                .args(["-m", "pip", "download", "--no-input", "--no-deps", "--dest"])
                .arg(folder)
                .arg(DATA_MODELS),
            &log,
        )?;
        let wheel = tools::only_file(folder, "whl")?;
        tools::run(
            Command::new(&python)
                .args(["-m", "zipfile", "-e"])
                .arg(wheel)
                .arg(folder),
            &log,
        )
    })?;
    let models = folder.join("pytest_splunk_addon/data_models");
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(&models).context("reading the data models")? {
        let text = fs::read(entry.context("reading the data models")?.path())
            .context("reading a data model")?;
        let model: Value = serde_json::from_slice(&text).context("reading a data model")?;
        let name = model["model_name"].as_str().unwrap_or_default().to_owned();
        let mut fields = Vec::new();
        collect(&model["objects"], &mut fields);
        all.insert(name, fields);
    }
    Ok(all)
}

/// Fields of datasets and of those below them.
fn collect(datasets: &Value, fields: &mut Vec<Value>) {
    for dataset in datasets.as_array().into_iter().flatten() {
        fields.extend(dataset["fields"].as_array().into_iter().flatten().cloned());
        collect(&dataset["child_dataset"], fields);
    }
}

/// What an inspection of the app in `folder` (or a package of it) came to: its summary, and what it complains of.
pub fn inspect(app: &Path, more: &[&str], report: &Path) -> Result<(Value, Vec<String>)> {
    let packages = tools::python_packages("splunk-appinspect", &["splunk-appinspect==4.3.1"])?;
    tools::output_of(
        Command::new(tools::python()?)
            .arg(packages.join("bin/splunk-appinspect"))
            .arg("inspect")
            .arg(app)
            .args(["--mode", "precert", "--output-file"])
            .arg(report)
            .args(more)
            .env("PYTHONPATH", &packages),
    )?;
    let text = fs::read(report).context("reading the inspection's report")?;
    let report: Value = serde_json::from_slice(&text).context("reading the inspection's report")?;
    let checks = report["reports"][0]["groups"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|group| group["checks"].as_array().into_iter().flatten());
    let bad = checks
        .filter(|check| {
            let result = check["result"].as_str().unwrap_or_default();
            !["success", "not_applicable", "skipped"].contains(&result)
        })
        .map(|check| {
            format!(
                "{} {}: {}",
                check["result"], check["name"], check["messages"]
            )
        })
        .collect();
    Ok((report["summary"].clone(), bad))
}

/// Runs slim, Splunk's packaging program.
pub fn slim(arguments: &[&str], folder: &Path) -> Result<String> {
    let packages = tools::python_packages(
        "splunk-packaging-toolkit",
        &["splunk-packaging-toolkit==1.2.8", "setuptools==80.9.0"],
    )?;
    tools::output_of(
        Command::new(tools::python()?)
            .arg(packages.join("bin/slim"))
            .args(arguments)
            .current_dir(folder)
            .env("PYTHONPATH", &packages),
    )
}
