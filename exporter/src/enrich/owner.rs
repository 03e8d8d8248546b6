//! [`OwnerLookup`]: what user space knows of the owner of a flow.
//!
//! From `/proc` while the process lives, and remembered after: executable, command line and hash when the settings ask, parent,
//! name of the user, container, pod and unit. An owner is known by pid, start of the process, user, command name (a process
//! that executes another program changes its name) and cgroup; so a pid that was given to another process is never
//! mistaken, and a known owner costs one look-up and no allocation.
//!
//! A process that was gone before anybody looked has the executable that the kernel told of (see `executables`), its user
//! and its container. All
//! that is remembered is bounded; processes that are gone are remembered apart, so that a flood of them drives out nobody
//! that is known.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use beaconwatch_records::{Owner, ProcessRecord};

use super::cgroup::{self, Cgroups};
use super::executables::Executables;
use super::hash::{FileHash, Hasher};
use super::kubernetes::Pods;
use super::own::OwnProcesses;
use super::privacy::Privacy;
use super::procfs::{self, CgroupPaths, Stat};
use super::users::Users;
use super::workload::Workload;
use crate::config::ProcessConfig;
use crate::memory::Memory;

mod handler;
#[cfg(test)]
mod tests;

pub use handler::Handler;

/// Owners remembered: twice this many.
const MAX_OWNERS: usize = 16_384;
/// Owners whose process was gone: twice this many.
const MAX_GONE: usize = 4096;
/// Parents remembered: twice this many.
const MAX_PARENTS: usize = 4096;
/// Handlers remembered: twice this many.
const MAX_HANDLERS: usize = 4096;

/// What is known of a flow's owner: one value for all records of a process. What is hidden by the settings is not in it.
#[derive(Clone, Debug, Default)]
pub struct Attribution {
    /// Command name.
    pub name: Option<Arc<str>>,
    /// Number of the user.
    pub user_id: Option<u32>,
    /// Name of the user.
    pub user_name: Option<Arc<str>>,
    /// Path of the executable; ends in ` (deleted)` when the file is gone.
    pub executable: Option<Arc<str>>,
    /// Hash of the executable, once it is computed.
    pub executable_hash: Option<Arc<FileHash>>,
    /// Command line.
    pub command_line: Option<Arc<str>>,
    /// Parent of the process.
    pub parent: Option<Arc<Parent>>,
    /// Container, pod and unit.
    pub workload: Option<Arc<Workload>>,
    /// Beaconwatch itself.
    pub own: bool,
}

/// The parent of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Process id.
    pub pid: u32,
    /// Command name.
    pub name: Option<Arc<str>>,
    /// Path of its executable.
    pub executable: Option<Arc<str>>,
    /// When it began, nanoseconds of `CLOCK_BOOTTIME` to a hundredth of a second.
    pub start_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct OwnerKey {
    pid: u32,
    start_ns: u64,
    user_id: u32,
    comm: [u8; 16],
    cgroup_id: u64,
}

/// What `/proc` says of a process.
#[derive(Debug, Default)]
struct Process {
    executable: Option<Arc<str>>,
    executable_hash: Option<Arc<FileHash>>,
    command_line: Option<Arc<str>>,
    parent: Option<Arc<Parent>>,
    cgroups: CgroupPaths,
    own: bool,
}

enum Found {
    Lives(Process),
    /// It ended, or its pid is another process's by now: it will not come back.
    Gone,
    /// Nothing can be said now.
    Unknown,
}

/// Looks owners up and remembers them.
#[derive(Debug)]
pub struct OwnerLookup {
    proc: PathBuf,
    executables: Executables,
    with_command_line: bool,
    hasher: Option<Hasher>,
    users: Users,
    cgroups: Cgroups,
    own: OwnProcesses,
    privacy: Privacy,
    known: Memory<OwnerKey, Arc<Attribution>>,
    gone: Memory<OwnerKey, Arc<Attribution>>,
    parents: Memory<(u32, Stat), Arc<Parent>>,
    /// By pid and start.
    handlers: Memory<(u32, u64), Arc<Handler>>,
    nobody: Arc<Attribution>,
}

impl OwnerLookup {
    /// Reads where the settings say. Starts the thread that hashes, when the settings ask for hashes.
    pub fn new(
        config: &ProcessConfig,
        own: OwnProcesses,
        privacy: Privacy,
        pods: Pods,
    ) -> io::Result<Self> {
        let root = cgroup::find_root(&config.proc_directory);
        if root.is_none() {
            tracing::warn!("no cgroup v2 tree: containers of processes that are gone stay unknown");
        }
        let hasher = config
            .hash
            .then(|| Hasher::start(config.hash_max_bytes))
            .transpose()?;
        Ok(Self {
            proc: config.proc_directory.clone(),
            executables: Executables::new(config.proc_directory.clone()),
            with_command_line: config.command_line,
            hasher,
            users: Users::new(config.passwd_file.clone()),
            cgroups: Cgroups::new(root, pods),
            own,
            privacy,
            known: Memory::new(MAX_OWNERS),
            gone: Memory::new(MAX_GONE),
            parents: Memory::new(MAX_PARENTS),
            handlers: Memory::new(MAX_HANDLERS),
            nobody: Arc::default(),
        })
    }

    /// What is known of a flow's owner. Ask early: a process may be gone soon.
    pub fn find(&mut self, owner: &Owner) -> Arc<Attribution> {
        if owner.pid == 0 && owner.cgroup_id == 0 {
            return Arc::clone(&self.nobody);
        }
        let key = OwnerKey {
            pid: owner.pid,
            start_ns: owner.process_start_ns,
            user_id: owner.uid,
            comm: owner.comm,
            cgroup_id: owner.cgroup_id,
        };
        if let Some(known) = self.known.get(&key).or_else(|| self.gone.get(&key)) {
            return known;
        }
        let found = if owner.pid == 0 {
            Found::Gone
        } else {
            self.read(owner)
        };
        self.attribute(owner, key, found)
    }

    /// Notes what a process executes, as the kernel told it.
    pub fn note(&mut self, record: &ProcessRecord) {
        self.executables.note(record);
        // Known by pid and start only: what it executed before is no longer true.
        self.handlers.remove(&(record.pid, record.start_ns));
    }

    fn attribute(&mut self, owner: &Owner, key: OwnerKey, found: Found) -> Arc<Attribution> {
        let now = Instant::now();
        // Without a start a later process of this pid would be taken for this one.
        let told_apart = key.start_ns != 0 || key.pid == 0;
        let (process, lives, settled) = match found {
            Found::Lives(process) => (process, true, told_apart),
            Found::Gone => (self.gone(owner), false, told_apart),
            Found::Unknown => (Process::default(), false, false),
        };
        let paths = lives.then_some(&process.cgroups);
        let workload = self.cgroups.find(owner.cgroup_id, paths, now);
        let settled = settled && workload.is_some();
        let mut attribution = Attribution {
            executable: process.executable,
            executable_hash: process.executable_hash,
            command_line: process.command_line,
            parent: process.parent,
            workload,
            own: process.own,
            ..Attribution::default()
        };
        if owner.pid != 0 {
            attribution.name = command_name(&owner.comm);
            attribution.user_id = Some(owner.uid);
            // Users of a container are its own, whatever their numbers are called on the host.
            let in_container = attribution
                .workload
                .as_ref()
                .is_some_and(|workload| workload.container.is_some());
            if !in_container {
                attribution.user_name = self.users.name(owner.uid, now);
            }
        }
        self.privacy.hide_owner(&mut attribution);
        let attribution = Arc::new(attribution);
        // What may become known is not remembered: the next flow of the process asks again.
        if settled {
            let memory = if lives {
                &mut self.known
            } else {
                &mut self.gone
            };
            memory.insert(key, Arc::clone(&attribution));
        }
        attribution
    }

    /// What is still known of a process that is gone.
    fn gone(&mut self, owner: &Owner) -> Process {
        Process {
            executable: self.executables.find(owner.pid, owner.process_start_ns),
            ..Process::default()
        }
    }

    fn read(&mut self, owner: &Owner) -> Found {
        let directory = self.proc.join(owner.pid.to_string());
        match procfs::stat(&directory) {
            Ok(stat) if procfs::began_at(&stat, owner.process_start_ns) => {
                self.read_living(owner, &directory, &stat)
            }
            Ok(_another) => Found::Gone,
            Err(error) if is_gone(&error) => Found::Gone,
            Err(_error) => Found::Unknown,
        }
    }

    fn read_living(&mut self, owner: &Owner, directory: &Path, stat: &Stat) -> Found {
        let executable = procfs::executable(directory);
        let (path, file) = executable.unzip();
        let file = file.flatten();
        let own = file
            .as_ref()
            .is_some_and(|file| self.own.contains(file, owner.uid));
        let executable_hash = match (&mut self.hasher, &path, &file) {
            (Some(hasher), Some(path), Some(file)) => {
                hasher.find(directory.join("exe"), path, file)
            }
            _ => None,
        };
        let command_line = if self.with_command_line {
            procfs::command_line(directory)
        } else {
            None
        };
        let cgroups = procfs::cgroups(directory);
        let parent = self.read_parent(stat.parent_pid);
        // Checked last: had the pid been given to another process meanwhile, this one would be newer. And a child whose
        // parent ended has another one.
        let after = procfs::stat(directory).ok();
        let Some(after) = after.filter(|after| after.start_ticks == stat.start_ticks) else {
            return Found::Gone;
        };
        let parent = parent.filter(|_| after.parent_pid == stat.parent_pid);
        Found::Lives(Process {
            executable: path.map(Arc::from),
            executable_hash,
            command_line: command_line.map(Arc::from),
            parent,
            cgroups,
            own,
        })
    }

    /// Processes of one parent share what is known of it.
    fn read_parent(&mut self, pid: u32) -> Option<Arc<Parent>> {
        if pid == 0 {
            return None;
        }
        let directory = self.proc.join(pid.to_string());
        let stat = procfs::stat(&directory).ok()?;
        let key = (pid, stat);
        if let Some(known) = self.parents.get(&key) {
            return Some(known);
        }
        let (path, _file) = procfs::executable(&directory).unzip();
        let parent = Arc::new(Parent {
            pid,
            name: Some(Arc::from(key.1.name.as_str())),
            executable: path.map(Arc::from),
            start_ns: key.1.start_ticks.saturating_mul(procfs::TICK_NS),
        });
        self.parents.insert(key, Arc::clone(&parent));
        Some(parent)
    }
}

/// Not there, or there no more while it was read.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

fn command_name(comm: &[u8; 16]) -> Option<Arc<str>> {
    let name = comm.split(|&byte| byte == 0).next().unwrap_or_default();
    (!name.is_empty()).then(|| Arc::from(procfs::printable(&String::from_utf8_lossy(name))))
}
