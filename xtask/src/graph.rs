//! Crate dependencies point one way: this proves it with `cargo metadata`.
//!
//! Two rules. Inside the workspace a crate may only depend on the crates listed for it in
//! [`ALLOWED`]. Outside, a crate must not reach (through any number of dependencies, tests aside) the crates
//! listed for it in [`UNREACHABLE`]: the detector stays free of I/O, kernel access stays in the exporter,
//! the database stays in the sidecar.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace;

/// Every crate of the repository and the crates of the repository that it may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("beaconwatch-records", &[]),
    ("beaconwatch-schema", &[]),
    ("beaconwatch-exporter-ebpf", &["beaconwatch-records"]),
    (
        "beaconwatch-exporter",
        &[
            "beaconwatch-packets",
            "beaconwatch-records",
            "beaconwatch-schema",
        ],
    ),
    ("beaconwatch-detector", &["beaconwatch-schema"]),
    ("beaconwatch-learning", &["beaconwatch-detector"]),
    ("beaconwatch-destinations", &["beaconwatch-schema"]),
    ("beaconwatch-packets", &[]),
    (
        "beaconwatch-inputs",
        &["beaconwatch-detector", "beaconwatch-packets"],
    ),
    ("beaconwatch-integrations", &["beaconwatch-schema"]),
    ("beaconwatch-settings", &[]),
    ("beaconwatch-rules", &["beaconwatch-schema"]),
    (
        "beaconwatch-setup",
        &[
            "beaconwatch-schema",
            "beaconwatch-destinations",
            "beaconwatch-integrations",
        ],
    ),
    (
        "beaconwatch-sidecar",
        &[
            "beaconwatch-schema",
            "beaconwatch-detector",
            "beaconwatch-destinations",
            "beaconwatch-inputs",
            "beaconwatch-learning",
            "beaconwatch-rules",
        ],
    ),
    (
        "beaconwatch",
        &[
            "beaconwatch-exporter",
            "beaconwatch-sidecar",
            "beaconwatch-integrations",
            "beaconwatch-inputs",
            "beaconwatch-settings",
            "beaconwatch-setup",
            "beaconwatch-detector",
            "beaconwatch-learning",
        ],
    ),
    ("beaconwatch-tests", &[]),
    (
        "beaconwatch-bench",
        &[
            "beaconwatch-records",
            "beaconwatch-schema",
            "beaconwatch-exporter",
            "beaconwatch-detector",
            "beaconwatch-destinations",
            "beaconwatch-inputs",
            "beaconwatch-sidecar",
        ],
    ),
    (
        "xtask",
        &[
            "beaconwatch-schema",
            "beaconwatch-integrations",
            "beaconwatch-tests",
        ],
    ),
    (
        "beaconwatch-fuzz",
        &[
            "beaconwatch-records",
            "beaconwatch-detector",
            "beaconwatch-destinations",
            "beaconwatch-inputs",
            "beaconwatch-learning",
            "beaconwatch-packets",
            "beaconwatch-rules",
            "beaconwatch-settings",
            "beaconwatch-sidecar",
        ],
    ),
];

/// Crates of other people that must not be reachable from a crate of the repository.
const UNREACHABLE: &[(&str, &[&str])] = &[
    (
        "beaconwatch-records",
        &["tokio", "reqwest", "hyper", "serde", "libc"],
    ),
    ("beaconwatch-schema", &["tokio", "reqwest", "hyper", "aya"]),
    (
        "beaconwatch-integrations",
        &["tokio", "reqwest", "hyper", "aya"],
    ),
    (
        "beaconwatch-detector",
        &[
            "tokio",
            "async-std",
            "reqwest",
            "hyper",
            "aya",
            "redb",
            "rand",
        ],
    ),
    (
        "beaconwatch-learning",
        &["tokio", "reqwest", "hyper", "aya", "redb"],
    ),
    ("beaconwatch-destinations", &["aya", "redb", "rustfft"]),
    (
        "beaconwatch-packets",
        &["tokio", "reqwest", "hyper", "aya", "redb", "serde"],
    ),
    ("beaconwatch-inputs", &["tokio", "reqwest", "aya", "redb"]),
    ("beaconwatch-settings", &["tokio", "reqwest", "aya", "redb"]),
    ("beaconwatch-setup", &["aya", "redb", "rustfft"]),
    (
        "beaconwatch-rules",
        &["tokio", "reqwest", "hyper", "aya", "redb"],
    ),
    ("beaconwatch-sidecar", &["aya"]),
    ("beaconwatch-exporter", &["redb", "rustfft"]),
];

/// Checks both rules over the workspaces of the repository.
pub(crate) fn check() -> Result<()> {
    let mut complaints = Vec::new();
    let user_space = workspace::metadata("Cargo.toml")?;
    check_own(&user_space, &mut complaints)?;
    check_foreign(&user_space, &mut complaints)?;
    // Their lock files must fit, too: a dependency that is new here is new in the fuzz targets.
    for manifest in ["exporter-ebpf/Cargo.toml", "fuzz/Cargo.toml"] {
        check_own(&workspace::metadata(manifest)?, &mut complaints)?;
    }
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n"));
    }
    Ok(())
}

/// Packages that lie in the repository.
fn own_packages(metadata: &Value) -> Result<Vec<&Value>> {
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;
    Ok(packages
        .iter()
        .filter(|package| package["source"].is_null())
        .collect())
}

fn check_own(metadata: &Value, complaints: &mut Vec<String>) -> Result<()> {
    let own = own_packages(metadata)?;
    let names: BTreeSet<&str> = own
        .iter()
        .filter_map(|package| package["name"].as_str())
        .collect();
    for package in own {
        let name = package["name"].as_str().context("a package has no name")?;
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            complaints.push(format!(
                "{name}: not in the crate graph of xtask/src/graph.rs"
            ));
            continue;
        };
        let dependencies = package["dependencies"]
            .as_array()
            .context("no dependencies")?;
        for wanted in dependencies
            .iter()
            .filter_map(|dependency| dependency["name"].as_str())
        {
            if names.contains(wanted) && wanted != name && !allowed.contains(&wanted) {
                complaints.push(format!("{name} must not depend on {wanted}"));
            }
        }
    }
    Ok(())
}

fn check_foreign(metadata: &Value, complaints: &mut Vec<String>) -> Result<()> {
    let graph = Graph::read(metadata)?;
    for (name, forbidden) in UNREACHABLE {
        let reached = graph.reachable_from(name)?;
        for crate_name in forbidden.iter().filter(|wanted| reached.contains(**wanted)) {
            complaints.push(format!("{name} must not reach {crate_name}"));
        }
    }
    Ok(())
}

/// Resolved dependencies without those that only tests have.
struct Graph<'a> {
    names: BTreeMap<&'a str, &'a str>,
    edges: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Graph<'a> {
    fn read(metadata: &'a Value) -> Result<Self> {
        let packages = metadata["packages"].as_array().context("no packages")?;
        let names = packages
            .iter()
            .filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?)))
            .collect();
        let nodes = metadata["resolve"]["nodes"]
            .as_array()
            .context("no resolved packages")?;
        let edges = nodes
            .iter()
            .filter_map(|node| Some((node["id"].as_str()?, outside_tests(&node["deps"]))))
            .collect();
        Ok(Self { names, edges })
    }

    fn reachable_from(&self, name: &str) -> Result<BTreeSet<&'a str>> {
        let (start, _) = self
            .names
            .iter()
            .find(|(id, known)| **known == name && id.contains("path+file"))
            .with_context(|| format!("{name} is no crate of this repository"))?;
        let mut reached = BTreeSet::new();
        let mut open = vec![*start];
        while let Some(id) = open.pop() {
            for next in self.edges.get(id).into_iter().flatten() {
                let known = self.names.get(next).copied().unwrap_or(next);
                if reached.insert(known) {
                    open.push(next);
                }
            }
        }
        Ok(reached)
    }
}

/// Ids of the dependencies of one node that are not for tests alone.
fn outside_tests(dependencies: &Value) -> Vec<&str> {
    let is_used = |dependency: &&Value| {
        dependency["dep_kinds"].as_array().is_some_and(|kinds| {
            kinds
                .iter()
                .any(|kind| kind["kind"].as_str() != Some("dev"))
        })
    };
    let listed = dependencies
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    listed
        .iter()
        .filter(is_used)
        .filter_map(|dependency| dependency["pkg"].as_str())
        .collect()
}

#[cfg(test)]
mod tests;
