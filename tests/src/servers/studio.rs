//! Splunk's Dashboard Studio components from npm, and the browser that draws with them.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::chromium::Installed;
use crate::{cache, tools};

/// Exact versions of the packages.
const PACKAGES: &str = include_str!("../../studio/package.json");

/// Finds the browser and the packages, and installs what is not there.
pub fn install() -> Result<Installed> {
    let chromium = tools::or_apt("chromium", "chromium")?;
    let node = tools::or_apt("node", "nodejs")?;
    let folder = cache::entry("studio-tests", PACKAGES, |folder| {
        let npm = tools::or_apt("npm", "npm")?;
        fs::write(folder.join("package.json"), PACKAGES).context("writing package.json")?;
        // The packages' peers contradict one another in places that nothing here touches.
        let arguments = [
            "install",
            "--legacy-peer-deps",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
        ];
        tools::run(
            Command::new(npm).args(arguments).current_dir(folder),
            &folder.join("install.log"),
        )
    })?;
    Ok(Installed {
        chromium,
        node,
        modules: folder.join("package.json"),
    })
}
