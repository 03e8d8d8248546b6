//! The files that are made from the field model: writing them, and finding those that differ.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Writes every generated file anew.
pub(crate) fn write() -> Result<()> {
    for (path, content) in beaconwatch_schema::generated_files() {
        let path = Path::new(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        fs::write(path, content).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// An error that names every file that is not what the model makes.
pub(crate) fn check() -> Result<()> {
    let stale: Vec<&str> = beaconwatch_schema::generated_files()
        .into_iter()
        .filter(|(path, content)| fs::read_to_string(path).ok().as_ref() != Some(content))
        .map(|(path, _content)| path)
        .collect();
    if !stale.is_empty() {
        bail!(
            "not what the field model makes (`./x generate` writes them): {}",
            stale.join(", ")
        );
    }
    Ok(())
}
