//! A cgroup for some programs alone, so that an exporter sees theirs and nothing else of the machine.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::{tools, wait};

/// Number of the next cgroup of this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A cgroup v2 directory, removed when this value goes, with its processes gone.
#[derive(Debug)]
pub struct Cgroup {
    /// Its directory.
    pub path: PathBuf,
}

impl Cgroup {
    /// Makes it below the root of the tree.
    pub fn create() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").context("reading the mounts")?;
        let root = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|words| words.get(2) == Some(&"cgroup2"))
            .context("no cgroup v2 file system is mounted")?[1]
            .to_owned();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(root).join(format!("bwt{}n{number}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self { path })
    }

    /// A command that enters the cgroup and becomes `command`.
    #[must_use]
    pub fn within(&self, command: &Command) -> Command {
        let mut inside = Command::new("sh");
        inside
            .args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""])
            .arg(&self.path)
            .arg(command.get_program())
            .args(command.get_args());
        inside
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process that has just ended may still be counted for a moment.
        drop(wait::wait_for(
            "an empty cgroup",
            std::time::Duration::from_secs(5),
            || {
                let mut command = Command::new("rmdir");
                tools::output_of(command.arg(&self.path)).map(Some)
            },
        ));
    }
}
