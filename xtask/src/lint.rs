//! Checks that need no server: cheap ones first.

use anyhow::Result;

use crate::steps::Steps;
use crate::{ebpf, generated, graph, licences, workspace};

/// Runs every check of `./x lint`.
pub(crate) fn run(steps: &mut Steps) {
    steps.run("format", format);
    steps.run("crate graph", graph::check);
    steps.run("generated files", generated::check);
    steps.run("clippy", || {
        let targets = ["--workspace", "--all-targets", "--locked"];
        workspace::cargo(&[&["clippy"], &targets[..], &["--", "--deny", "warnings"]].concat())
    });
    steps.run("documentation", || {
        workspace::run(
            workspace::cargo_command()
                .args(["doc", "--workspace", "--no-deps", "--locked"])
                .env("RUSTDOCFLAGS", "--deny warnings"),
        )
    });
    steps.run(
        "licences, sources and versions of dependencies",
        licences::check,
    );
    steps.run("kernel object", || ebpf::run(true));
}

fn format() -> Result<()> {
    workspace::cargo(&["fmt", "--all", "--check"])?;
    // The workspaces of their own.
    for manifest in ["exporter-ebpf/Cargo.toml", "fuzz/Cargo.toml"] {
        workspace::cargo(&["fmt", "--manifest-path", manifest, "--all", "--check"])?;
    }
    Ok(())
}
