//! The files that are made from the field model and the dashboards' and rules' definitions: writing them, and finding those
//! that differ.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

fn all() -> impl Iterator<Item = (String, String)> {
    let of_schema = beaconwatch_schema::generated_files().into_iter();
    of_schema
        .map(|(path, content)| (path.to_owned(), content))
        .chain(beaconwatch_integrations::generated_files())
}

/// Writes every generated file anew, and removes what is left of former ones.
pub(crate) fn write() -> Result<()> {
    for (path, content) in all() {
        let path = Path::new(&path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        fs::write(path, content).with_context(|| format!("writing {}", path.display()))?;
    }
    for path in left_over()? {
        fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    Ok(())
}

/// An error that names every file that is not what the model makes.
pub(crate) fn check() -> Result<()> {
    let stale = all()
        .filter(|(path, content)| fs::read_to_string(path).ok().as_ref() != Some(content))
        .map(|(path, _content)| path);
    let left = left_over()?;
    let all: Vec<String> = stale
        .chain(left.iter().map(|path| path.display().to_string()))
        .collect();
    if !all.is_empty() {
        bail!(
            "not what the models make (`./x generate` writes them): {}",
            all.join(", ")
        );
    }
    Ok(())
}

/// Files in generated folders that nothing makes any more.
fn left_over() -> Result<Vec<PathBuf>> {
    let made: BTreeSet<PathBuf> = all().map(|(path, _content)| path.into()).collect();
    let mut left = Vec::new();
    for folder in beaconwatch_integrations::GENERATED_FOLDERS {
        collect(Path::new(folder), &made, &mut left)?;
    }
    Ok(left)
}

fn collect(folder: &Path, made: &BTreeSet<PathBuf>, left: &mut Vec<PathBuf>) -> Result<()> {
    let reading = || format!("reading {}", folder.display());
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        if path.is_dir() {
            collect(&path, made, left)?;
        } else if !made.contains(&path) {
            left.push(path);
        }
    }
    Ok(())
}
