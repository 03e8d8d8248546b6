//! [`ProcessLookup`]: the executable behind a process, from `/proc`, and whether it is Beaconwatch itself.
//!
//! Best effort: a process that is gone has no executable any more, and one whose start does not match the
//! kernel's record is another one with the same pid. Results are cached by pid, process start, user and
//! command name (a process that executes another program changes its name); the cache is bounded.
//!
//! Own traffic is never scored, so nobody else may be taken for us. A mark on a socket can be set by any
//! program that may set one, a process name by anyone. Here both must hold:
//! - the executable is the same file (device and inode) as this program, as `beaconwatch` or
//!   `beaconwatch-exporter` beside it, or as one that the settings list;
//! - the process runs as root, as this program's user, or as a user that the settings list. Otherwise anybody
//!   could start our executable with a preloaded library.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use beaconwatch_records::Owner;

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

    fn add_file(&mut self, path: &Path) -> bool {
        match fs::metadata(path) {
            Ok(file) => {
                self.files.insert((file.dev(), file.ino()));
                true
            }
            Err(_absent) => false,
        }
    }

    fn contains(&self, file: FileId, user_id: u32) -> bool {
        self.user_ids.contains(&user_id) && self.files.contains(&file)
    }
}

/// What is known of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Path of its executable; ends in ` (deleted)` when the file is gone.
    pub executable: Option<Arc<str>>,
    /// Beaconwatch itself.
    pub own: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ProcessKey {
    pid: u32,
    start_ns: u64,
    user_id: u32,
    comm: [u8; 16],
}

/// Looks processes up and remembers them.
#[derive(Debug)]
pub struct ProcessLookup {
    proc: PathBuf,
    own: OwnProcesses,
    // Two generations: when the newer one is full it becomes the older one, which is dropped. What is still
    // asked for moves over.
    newer: HashMap<ProcessKey, Process>,
    older: HashMap<ProcessKey, Process>,
    max_generation: usize,
}

impl ProcessLookup {
    /// Reads `/proc`; remembers at most `2 * max_generation` processes.
    #[must_use]
    pub fn new(own: OwnProcesses, max_generation: usize) -> Self {
        Self::below(PathBuf::from("/proc"), own, max_generation)
    }

    /// Reads another directory of the same form.
    #[must_use]
    pub fn below(proc: PathBuf, own: OwnProcesses, max_generation: usize) -> Self {
        Self {
            proc,
            own,
            newer: HashMap::new(),
            older: HashMap::new(),
            max_generation: max_generation.max(1),
        }
    }

    /// What is known of a socket's owner. Ask early: a process may be gone soon.
    pub fn find(&mut self, owner: &Owner) -> Process {
        if owner.pid == 0 {
            return Process::default();
        }
        let key = ProcessKey {
            pid: owner.pid,
            start_ns: owner.process_start_ns,
            user_id: owner.uid,
            comm: owner.comm,
        };
        if let Some(process) = self.newer.get(&key) {
            return process.clone();
        }
        // What cannot be read is not remembered: the next flow of the process asks again.
        let Some(process) = self.older.remove(&key).or_else(|| self.read(owner)) else {
            return Process::default();
        };
        if self.newer.len() >= self.max_generation {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(key, process.clone());
        process
    }

    fn read(&self, owner: &Owner) -> Option<Process> {
        let directory = self.proc.join(owner.pid.to_string());
        let link = directory.join("exe");
        let path = fs::read_link(&link).ok()?;
        let own = fs::metadata(&link)
            .is_ok_and(|file| self.own.contains((file.dev(), file.ino()), owner.uid));
        // Checked last: had the pid been given to another process meanwhile, this one would be newer.
        if !started_at(&directory, owner.process_start_ns) {
            return None;
        }
        Some(Process {
            executable: Some(Arc::from(path.to_string_lossy().as_ref())),
            own,
        })
    }
}

/// Whether the process began when the kernel's record says; `stat` has it in hundredths of a second.
fn started_at(directory: &Path, start_ns: u64) -> bool {
    const TICK_NS: u64 = 10_000_000;
    if start_ns == 0 {
        return true;
    }
    let Ok(stat) = fs::read(directory.join("stat")) else {
        return false;
    };
    start_ticks(&String::from_utf8_lossy(&stat))
        .is_some_and(|ticks| ticks.abs_diff(start_ns / TICK_NS) <= 1)
}

/// Field 22 of `/proc/PID/stat`; the command name before may hold anything, but ends at the last `)`.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn myself() -> Owner {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let user = fs::metadata("/proc/self").unwrap().uid();
        Owner {
            process_start_ns: start_ticks(&stat).unwrap() * 10_000_000,
            pid: std::process::id(),
            uid: user,
            ..Owner::default()
        }
    }

    fn lookup() -> ProcessLookup {
        ProcessLookup::new(OwnProcesses::of_this_program(&[], &[]), 8)
    }

    #[test]
    fn this_process_is_found_by_its_executable_and_is_our_own() {
        let process = lookup().find(&myself());
        let expected = std::env::current_exe().unwrap();
        assert_eq!(process.executable.as_deref(), expected.to_str());
        assert!(process.own);
    }

    #[test]
    fn our_executable_run_by_another_user_is_not_our_own() {
        let other = Owner {
            uid: 4_000_000_000,
            ..myself()
        };
        let process = lookup().find(&other);
        assert!(process.executable.is_some());
        assert!(!process.own);
        let own = OwnProcesses::of_this_program(&[], &[4_000_000_000]);
        assert!(ProcessLookup::new(own, 8).find(&other).own);
    }

    #[test]
    fn a_pid_that_belongs_to_another_process_now_tells_nothing() {
        let older = myself();
        let older = Owner {
            process_start_ns: older.process_start_ns + 10_000_000_000,
            ..older
        };
        assert_eq!(lookup().find(&older), Process::default());
    }

    #[test]
    fn an_unknown_process_tells_nothing_and_is_not_remembered() {
        let mut lookup = lookup();
        let gone = Owner {
            pid: u32::MAX,
            ..myself()
        };
        assert_eq!(lookup.find(&gone), Process::default());
        assert!(lookup.newer.is_empty());
        assert_eq!(lookup.find(&Owner::default()), Process::default());
    }

    #[test]
    fn a_listed_executable_is_our_own_under_any_name() {
        let directory = tempfile::tempdir().unwrap();
        let alias = directory.path().join("another-name");
        std::os::unix::fs::symlink(std::env::current_exe().unwrap(), &alias).unwrap();
        let mut own = OwnProcesses::default();
        own.user_ids.insert(myself().uid);
        assert!(!ProcessLookup::new(own.clone(), 8).find(&myself()).own);
        assert!(own.add_file(&alias));
        assert!(ProcessLookup::new(own, 8).find(&myself()).own);
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        for pid in 1..=20u32 {
            let process = directory.path().join(pid.to_string());
            fs::create_dir(&process).unwrap();
            std::os::unix::fs::symlink(format!("/bin/p{pid}"), process.join("exe")).unwrap();
        }
        let mut lookup =
            ProcessLookup::below(directory.path().to_owned(), OwnProcesses::default(), 4);
        let first = Owner {
            pid: 1,
            ..Owner::default()
        };
        lookup.find(&first);
        fs::remove_file(directory.path().join("1/exe")).unwrap();
        for pid in 2..=20 {
            lookup.find(&Owner {
                pid,
                ..Owner::default()
            });
            assert_eq!(lookup.find(&first).executable.as_deref(), Some("/bin/p1"));
            assert!(lookup.newer.len() + lookup.older.len() <= 8);
        }
    }

    #[test]
    fn a_command_name_with_parentheses_does_not_shift_the_fields() {
        let fields: Vec<String> = (4..=52).map(|field| field.to_string()).collect();
        let stat = format!("7 (a) b (c)) S {}", fields.join(" "));
        assert_eq!(start_ticks(&stat), Some(22));
        assert_eq!(start_ticks("7 (short) S 1"), None);
        assert_eq!(start_ticks(""), None);
    }
}
