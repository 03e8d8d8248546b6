//! Chromium from Debian, and the npm packages that drive it and check what it shows.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{cache, tools};

/// Exact versions of the packages.
const PACKAGES: &str = include_str!("../../browser/package.json");

/// A browser and what drives it.
#[derive(Clone, Debug)]
pub struct Installed {
    /// The browser's program.
    pub chromium: PathBuf,
    /// Node.
    pub node: PathBuf,
    /// A file of the folder that holds `node_modules`.
    pub modules: PathBuf,
}

/// Finds the browser and the packages, and installs what is not there.
pub fn install(progress: &mut dyn FnMut(&str)) -> Result<Installed> {
    with_packages("browser-tests", PACKAGES, &[], progress)
}

/// The browser, and the npm packages of `description` in the cache entry `name`, installed with more `flags`.
pub(super) fn with_packages(
    name: &str,
    description: &str,
    flags: &[&str],
    progress: &mut dyn FnMut(&str),
) -> Result<Installed> {
    let chromium = tools::or_apt("chromium", "chromium")?;
    let node = tools::or_apt("node", "nodejs")?;
    let folder = cache::entry(name, description, |folder| {
        progress(&format!(
            "fetching the packages of the {}",
            name.replace('-', " ")
        ));
        let npm = tools::or_apt("npm", "npm")?;
        fs::write(folder.join("package.json"), description).context("writing package.json")?;
        // Nothing that a package would like to run: all of them are used as they come.
        let arguments = ["install", "--ignore-scripts", "--no-audit", "--no-fund"];
        tools::run(
            Command::new(npm)
                .args(arguments)
                .args(flags)
                .current_dir(folder),
            &folder.join("install.log"),
        )
    })?;
    Ok(Installed {
        chromium,
        node,
        modules: folder.join("package.json"),
    })
}
