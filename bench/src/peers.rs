//! The formulas of other detectors in numpy (`peers.py`, no code of theirs), run by the Python that there is.
//!
//! Python is `PYTHON`, by default `python3`; it must have numpy.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

const PROGRAM: &str = include_str!("../peers.py");

/// Names of the peers whose scores [`score`] writes.
pub const NAMES: [&str; 3] = ["rita", "elastic", "litemars"];

/// The Python to run: `PYTHON`, by default `python3`.
#[must_use]
pub fn python() -> OsString {
    std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into())
}

/// What is missing to run the formulas; none when nothing is.
#[must_use]
pub fn missing() -> Option<String> {
    let python = python();
    let shown = python.to_string_lossy();
    let mut command = Command::new(&python);
    command.args(["-c", "import numpy"]).stderr(Stdio::null());
    match command.status() {
        Err(error) => Some(format!("{shown} cannot be started ({error}): set PYTHON")),
        Ok(status) if status.success() => None,
        Ok(_) => Some(format!(
            "{shown} has no numpy: set PYTHON to a Python that has it"
        )),
    }
}

/// Writes the scores of [`NAMES`] for a world's connections into `folder`, as `rita.ndjson` and so on.
///
/// # Errors
///
/// When Python or numpy is missing, or the program fails.
pub fn score(connections: &Path, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut command = program(folder)?;
    command.arg("score").arg(connections).arg("--out");
    output(command.arg(folder)).map(|_| ())
}

/// Times the litemars formulas over pairs, each the ascending starts of a pair in seconds. One object for each way:
/// `way`, `pairs`, `scored`, `seconds` (of processor time).
///
/// # Errors
///
/// When Python or numpy is missing, or the program fails.
pub fn time(pairs: &[Vec<f64>]) -> io::Result<Vec<Value>> {
    let folder = tempfile::tempdir()?;
    let numbers = |values: &mut dyn Iterator<Item = usize>| -> Vec<u8> {
        values
            .flat_map(|value| (value as u64).to_le_bytes())
            .collect()
    };
    let mut bytes = numbers(&mut std::iter::once(pairs.len()));
    bytes.extend(numbers(&mut pairs.iter().map(Vec::len)));
    bytes.extend(pairs.iter().flatten().flat_map(|start| start.to_le_bytes()));
    let path = folder.path().join("pairs.bin");
    fs::write(&path, bytes)?;
    let mut command = program(folder.path())?;
    let text = output(command.arg("time").arg(path))?;
    let lines = text.lines().map(serde_json::from_str);
    lines
        .collect::<Result<_, _>>()
        .map_err(|error| io::Error::other(format!("peers.py printed no JSON: {error}")))
}

fn program(folder: &Path) -> io::Result<Command> {
    if let Some(missing) = missing() {
        return Err(io::Error::other(missing));
    }
    let path = folder.join("peers.py");
    fs::write(&path, PROGRAM)?;
    let mut command = Command::new(python());
    command.arg("-B").arg(path);
    // One thread: the figures are for one core.
    command.env("OMP_NUM_THREADS", "1");
    Ok(command)
}

fn output(command: &mut Command) -> io::Result<String> {
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        let message = format!("{command:?} ended with {}", output.status);
        return Err(io::Error::other(message));
    }
    String::from_utf8(output.stdout).map_err(io::Error::other)
}
