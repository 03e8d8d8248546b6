//! The field table of the Elastic Common Schema 9.4.0, from the npm package that Elastic publishes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{cache, tools};

const PACKAGE: &str = "@elastic/ecs@9.4.0";
/// The package holds its table as a JavaScript module.
const TO_JSON: &str =
    "process.stdout.write(JSON.stringify(require('./package/build/commonjs/ecs_flat.js').EcsFlat))";

/// The table as JSON: an object from field name to its description.
pub fn install(progress: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    let folder = cache::entry("ecs-9.4.0", TO_JSON, |folder| {
        progress("fetching the Elastic Common Schema 9.4.0");
        fetch(folder)
    })?;
    Ok(folder.join("ecs_flat.json"))
}

fn fetch(folder: &Path) -> Result<()> {
    let npm = tools::or_apt("npm", "npm")?;
    let node = tools::or_apt("node", "nodejs")?;
    let log = folder.join("install.log");
    tools::run(
        Command::new(npm)
            .args(["pack", PACKAGE])
            .current_dir(folder),
        &log,
    )?;
    let archive = tools::only_file(folder, "tgz")?;
    tools::run(
        Command::new("tar")
            .arg("xzf")
            .arg(archive)
            .current_dir(folder),
        &log,
    )?;
    let table = tools::output_of(Command::new(node).args(["-e", TO_JSON]).current_dir(folder))?;
    fs::write(folder.join("ecs_flat.json"), table).context("writing ecs_flat.json")?;
    fs::remove_dir_all(folder.join("package")).context("removing the unpacked package")
}
