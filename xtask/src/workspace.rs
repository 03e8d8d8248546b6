//! The repository: where it is, and cargo in it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Makes the repository's root the current directory, which every other module relies on.
pub(crate) fn enter() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask lies in no folder")?;
    std::env::set_current_dir(root).with_context(|| format!("entering {}", root.display()))
}

/// The cargo that runs this program.
pub(crate) fn cargo_command() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs cargo with its output shown; anything but success is an error.
pub(crate) fn cargo(arguments: &[&str]) -> Result<()> {
    run(cargo_command().args(arguments))
}

/// Runs a command with its output shown; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("starting {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

/// What `cargo metadata` says of the workspace with this manifest.
pub(crate) fn metadata(manifest: &str) -> Result<serde_json::Value> {
    let output = cargo_command()
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--manifest-path",
            manifest,
        ])
        .output()
        .context("starting cargo metadata")?;
    if !output.status.success() {
        bail!(
            "cargo metadata {manifest}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    serde_json::from_slice(&output.stdout).context("reading cargo metadata")
}
