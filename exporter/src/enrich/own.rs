//! [`OwnProcesses`]: which processes are Beaconwatch's own.
//!
//! Own traffic is never scored, so nobody else may be taken for us. A mark on a socket can be set by any
//! program that may set one, a process name by anyone. Here both must hold:
//! - the executable is the same file (device and inode) as this program, as `beaconwatch` or
//!   `beaconwatch-exporter` beside it, or as one that the settings list;
//! - the process runs as root, as this program's user, or as a user that the settings list. Otherwise anybody
//!   could start our executable with a preloaded library.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file, whatever its name.
type FileId = (u64, u64);

/// Which processes are Beaconwatch's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnProcesses {
    files: HashSet<FileId>,
    user_ids: HashSet<u32>,
}

impl OwnProcesses {
    /// This program and its siblings, run by this user or root; and what the settings list.
    #[must_use]
    pub fn of_this_program(executables: &[PathBuf], user_ids: &[u32]) -> Self {
        let mut own = Self {
            files: HashSet::new(),
            user_ids: user_ids.iter().copied().collect(),
        };
        own.user_ids.insert(0);
        if let Ok(myself) = fs::metadata("/proc/self") {
            own.user_ids.insert(myself.uid());
        }
        if let Ok(this) = std::env::current_exe() {
            own.add_file(&this);
            for name in ["beaconwatch", "beaconwatch-exporter"] {
                own.add_file(&this.with_file_name(name));
            }
        }
        for path in executables {
            if !own.add_file(path) {
                tracing::warn!(path = %path.display(), "own executable not found: not marked as own");
            }
        }
        own
    }

    pub(super) fn add_file(&mut self, path: &Path) -> bool {
        match fs::metadata(path) {
            Ok(file) => {
                self.files.insert((file.dev(), file.ino()));
                true
            }
            Err(_absent) => false,
        }
    }

    #[cfg(test)]
    pub(super) fn add_user(&mut self, user_id: u32) {
        self.user_ids.insert(user_id);
    }

    pub(super) fn contains(&self, file: &fs::Metadata, user_id: u32) -> bool {
        self.user_ids.contains(&user_id) && self.files.contains(&(file.dev(), file.ino()))
    }
}
