//! The Python programs beside the tests (`tests/programs/*.py`).

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::process::Process;
use crate::{tools, wait};

/// How long a program may take to listen.
const DEADLINE: Duration = Duration::from_mins(1);

/// A command that runs one of them.
pub fn command(program: &str) -> Result<Command> {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
    let mut command = Command::new(tools::python()?);
    // -B: no compiled files in the source tree.
    command.arg("-B").arg(programs.join(program));
    Ok(command)
}

/// Starts one that listens and writes where to `address_file`, its first argument; waits until it has.
pub fn listening(
    program: &str,
    address_file: &Path,
    arguments: &[&str],
) -> Result<(Process, String)> {
    let mut command = command(program)?;
    command.arg(address_file).args(arguments);
    let log = address_file.with_added_extension("log");
    let mut process = Process::start(program, &command, None, &log)?;
    let address = wait::wait_for(program, DEADLINE, || {
        process.expect_running()?;
        Ok(fs::read_to_string(address_file).ok())
    })?;
    Ok((process, address))
}
