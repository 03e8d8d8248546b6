//! [`Executables`]: what processes execute, as the kernel told it when they began to.
//!
//! For processes that were gone before `/proc` was looked at. A process that was born and executed nothing
//! since has what its parent has; of a parent that is older than the capture, `/proc` tells.
//!
//! # Limits
//! 2 × [`MAX_PROCESSES`] processes. The path is as it was executed: relative ones are left out, and links
//! are followed as the exporter sees them, which in a container of the process may be another file.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use beaconwatch_records::ProcessRecord;

use super::procfs;
use crate::memory::Memory;

/// Processes remembered in one generation.
const MAX_PROCESSES: usize = 32_768;

/// Longest command name that the kernel keeps, bytes.
const MAX_NAME_BYTES: usize = 15;

/// What a process executes.
#[derive(Clone, Debug)]
struct Executable {
    path: Arc<Path>,
    /// Command name, when it is another one than the path gives.
    name: Option<Arc<str>>,
}

/// Executables by process id and start.
#[derive(Debug)]
pub(super) struct Executables {
    proc: PathBuf,
    known: Memory<(u32, u64), Executable>,
}

impl Executables {
    pub(super) fn new(proc: PathBuf) -> Self {
        Self {
            proc,
            known: Memory::new(MAX_PROCESSES),
        }
    }

    /// Notes what the kernel told.
    pub(super) fn note(&mut self, record: &ProcessRecord) {
        let executable = if record.parent_pid == 0 {
            absolute(record.path())
        } else {
            self.of_parent(record)
        };
        let process = (record.pid, record.start_ns);
        match executable {
            Some(executable) => self.known.insert(process, executable),
            // Not what it executed before.
            None => drop(self.known.remove(&process)),
        }
    }

    fn of_parent(&mut self, record: &ProcessRecord) -> Option<Executable> {
        let parent = (record.parent_pid, record.parent_start_ns);
        if let Some(known) = self.known.get(&parent) {
            return Some(known);
        }
        let directory = self.proc.join(record.parent_pid.to_string());
        let stat = procfs::stat(&directory).ok()?;
        if !procfs::began_at(&stat, record.parent_start_ns) {
            return None;
        }
        let (path, _file) = procfs::executable(&directory)?;
        let executable = Executable {
            path: Path::new(&path).into(),
            name: Some(stat.name.into()),
        };
        self.known.insert(parent, executable.clone());
        Some(executable)
    }

    /// What a process executed last.
    pub(super) fn find(&mut self, pid: u32, start_ns: u64) -> Option<Arc<str>> {
        let path = self.known.get(&(pid, start_ns))?.path;
        let real = path.canonicalize();
        let path = real.as_deref().unwrap_or(&path);
        Some(procfs::printable(&path.to_string_lossy()).into())
    }

    /// The command name that a process has of what it executed last: the beginning of the file's name.
    pub(super) fn find_name(&mut self, pid: u32, start_ns: u64) -> Option<Arc<str>> {
        let known = self.known.get(&(pid, start_ns))?;
        if known.name.is_some() {
            return known.name;
        }
        let name = known.path.file_name()?.as_bytes();
        let name = name.get(..MAX_NAME_BYTES).unwrap_or(name);
        Some(procfs::printable(&String::from_utf8_lossy(name)).into())
    }
}

fn absolute(path: &[u8]) -> Option<Executable> {
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    path.is_absolute().then(|| Executable {
        path: path.into(),
        name: None,
    })
}

#[cfg(test)]
mod tests {
    use beaconwatch_records::PATH_BYTES;

    use super::*;

    fn executes(pid: u32, start_ns: u64, path: &str) -> ProcessRecord {
        let mut bytes = [0; PATH_BYTES];
        bytes[..path.len()].copy_from_slice(path.as_bytes());
        ProcessRecord {
            start_ns,
            parent_start_ns: 0,
            pid,
            parent_pid: 0,
            path: bytes,
        }
    }

    fn is_born(pid: u32, start_ns: u64, parent: (u32, u64)) -> ProcessRecord {
        ProcessRecord {
            parent_pid: parent.0,
            parent_start_ns: parent.1,
            ..executes(pid, start_ns, "")
        }
    }

    #[test]
    fn a_process_has_what_it_executed_last_and_a_child_what_its_parent_had() {
        let mut known = Executables::new(PathBuf::from("/nowhere"));
        known.note(&executes(1, 10, "/opt/first"));
        known.note(&is_born(2, 20, (1, 10)));
        known.note(&executes(1, 10, "/opt/second"));
        known.note(&is_born(3, 30, (2, 20)));
        let mut find = |pid, start| known.find(pid, start).map(|path| path.to_string());
        assert_eq!(find(1, 10).as_deref(), Some("/opt/second"));
        assert_eq!(find(2, 20).as_deref(), Some("/opt/first"));
        assert_eq!(find(3, 30).as_deref(), Some("/opt/first"));
        assert_eq!(find(1, 11), None, "another process of the same number");
    }

    #[test]
    fn a_process_is_called_as_its_file_is_cut_as_the_kernel_cuts_it() {
        let mut known = Executables::new(PathBuf::from("/nowhere"));
        known.note(&executes(1, 10, "/opt/a-name-that-is-long"));
        known.note(&is_born(2, 20, (1, 10)));
        for (pid, start_ns) in [(1, 10), (2, 20)] {
            let name = known.find_name(pid, start_ns);
            assert_eq!(name.as_deref(), Some("a-name-that-is-"));
        }
        assert_eq!(known.find_name(3, 30), None);
    }

    #[test]
    fn a_path_that_is_not_known_forgets_the_one_before() {
        let mut known = Executables::new(PathBuf::from("/nowhere"));
        for unknown in ["", "./relative"] {
            known.note(&executes(1, 10, "/opt/first"));
            known.note(&executes(1, 10, unknown));
            assert_eq!(known.find(1, 10), None);
        }
    }

    #[test]
    fn links_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("real"), folder.path().join("link"));
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mut known = Executables::new(PathBuf::from("/nowhere"));
        known.note(&executes(1, 10, link.to_str().unwrap()));
        let real = file.canonicalize().unwrap();
        assert_eq!(known.find(1, 10).as_deref(), real.to_str());
    }

    #[test]
    fn the_child_of_a_process_older_than_the_capture_has_what_proc_says() {
        let own = std::process::id();
        let stat = procfs::stat(Path::new("/proc/self")).unwrap();
        let start_ns = stat.start_ticks * procfs::TICK_NS;
        let mut known = Executables::new(PathBuf::from("/proc"));
        known.note(&is_born(u32::MAX, 99, (own, start_ns)));
        let executable = std::env::current_exe().unwrap();
        assert_eq!(known.find(u32::MAX, 99).as_deref(), executable.to_str());
        let name = known.find_name(u32::MAX, 99);
        assert_eq!(name.as_deref(), Some(stat.name.as_str()));
    }
}
