//! Cgroups of a measurement.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Outcome;

/// A directory of a cgroup file system, removed with the value.
pub(crate) struct Cgroup {
    /// Where this process was, and goes back to.
    home: PathBuf,
    pub(crate) path: PathBuf,
}

impl Cgroup {
    /// One of the unified tree.
    pub(crate) fn create(name: &str) -> Outcome<Self> {
        let root =
            mount(|kind, _| kind == "cgroup2").ok_or("no cgroup v2 file system is mounted")?;
        Self::below(&root, "", name)
    }

    /// One that the memory controller keeps accounts of, in whatever tree that is.
    pub(crate) fn with_memory() -> Outcome<Self> {
        let first = mount(|kind, options| {
            kind == "cgroup" && options.split(',').any(|option| option == "memory")
        });
        let root = if let Some(root) = first {
            root
        } else {
            let root = mount(|kind, _| kind == "cgroup2").ok_or("no cgroup is mounted")?;
            fs::write(root.join("cgroup.subtree_control"), "+memory")?;
            root
        };
        Self::below(&root, "memory", "memory")
    }

    fn below(root: &Path, controller: &str, name: &str) -> Outcome<Self> {
        let path = root.join(format!("beaconwatch-bench-{name}-{}", std::process::id()));
        fs::create_dir(&path)?;
        let home = home(root, controller)?;
        Ok(Self { home, path })
    }

    /// Takes a process in.
    pub(crate) fn hold(&self, process: u32) -> Outcome<()> {
        Ok(fs::write(
            self.path.join("cgroup.procs"),
            process.to_string(),
        )?)
    }

    /// Bytes of kernel memory that are charged to it.
    pub(crate) fn kernel_bytes(&self) -> Outcome<u64> {
        if let Ok(text) = fs::read_to_string(self.path.join("memory.kmem.usage_in_bytes")) {
            return Ok(text.trim().parse()?);
        }
        let text = fs::read_to_string(self.path.join("memory.stat"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("kernel "));
        Ok(line.ok_or("memory.stat has no kernel")?.parse()?)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let processes = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        let freed = processes
            .lines()
            .try_for_each(|process| fs::write(self.home.join("cgroup.procs"), process))
            .and_then(|()| fs::remove_dir(&self.path));
        if freed.is_err() {
            tracing::warn!(path = %self.path.display(), "cgroup stays");
        }
    }
}

/// Where a file system is mounted, by its type and options.
fn mount(is_meant: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (path, kind, options) = (words.next()?, words.next()?, words.next()?);
        is_meant(kind, options).then(|| PathBuf::from(path))
    })
}

/// The directory of this process in the tree of a controller, or in the unified tree (the empty name).
fn home(root: &Path, controller: &str) -> Outcome<PathBuf> {
    let lines = fs::read_to_string("/proc/self/cgroup")?;
    let path = lines.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let is_in = controllers.split(',').any(|name| name == controller);
        is_in.then(|| path.trim_start_matches('/'))
    });
    // The memory controller may be in the unified tree.
    Ok(path.map_or_else(|| root.to_owned(), |path| root.join(path)))
}
