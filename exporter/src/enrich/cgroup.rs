//! [`Cgroups`]: what a cgroup belongs to, by the kernel's id of it.
//!
//! The id of a cgroup of version 2 is the inode number of its directory. An unknown id is looked for where its process is
//! said to be (`/proc/PID/cgroup`), and taken from there only when the directory has that number; else by a walk through
//! the tree. So it does not matter whether the process lives, is in another cgroup by now, or sees the tree from a
//! namespace. Whatever a walk sees is remembered, also when the cgroup is removed.
//!
//! Limits: a walk visits 32,768 directories, 32 levels deep, and takes at most a twentieth of the time; between walks an
//! unknown id stays unknown for now. Twice 32,768 cgroups are remembered.

use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::kubernetes::Pods;
use super::procfs::{CgroupPaths, printable};
use super::workload::{PathWorkload, Workload};
use crate::memory::Memory;

const MAX_CGROUPS: usize = 32_768;
const MAX_DEPTH: usize = 32;
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// Pause after a walk, in times of its length.
const PAUSE_FACTOR: u32 = 20;

#[derive(Debug)]
pub(super) struct Cgroups {
    root: Option<PathBuf>,
    known: Memory<u64, Arc<Workload>>,
    nothing: Arc<Workload>,
    pods: Pods,
    walk_from: Option<Instant>,
}

impl Cgroups {
    /// Looks below `root`, a mount of the cgroup tree of version 2. Without one, what processes say is believed.
    pub(super) fn new(root: Option<PathBuf>, pods: Pods) -> Self {
        Self {
            root,
            known: Memory::new(MAX_CGROUPS),
            nothing: Arc::default(),
            pods,
            walk_from: None,
        }
    }

    /// What a cgroup belongs to; `None` when that may be known later. `paths` are those of a process that was in it and
    /// lives.
    pub(super) fn find(
        &mut self,
        id: u64,
        paths: Option<&CgroupPaths>,
        now: Instant,
    ) -> Option<Arc<Workload>> {
        let found = self.by_id(id, paths, now)?;
        let Some(paths) = paths else {
            return Some(found);
        };
        // A host with both versions: containers may be in trees of version 1 only, and then the root is in this one.
        if paths.unified.as_deref().is_none_or(|path| path == "/") && is_nothing(&found) {
            let legacy = paths.legacy.iter().map(|path| PathWorkload::parse(path));
            let mut telling = legacy.filter(|it| *it != PathWorkload::default());
            if let Some(workload) = telling.next() {
                return Some(self.complete(workload));
            }
        }
        Some(found)
    }

    fn by_id(
        &mut self,
        id: u64,
        paths: Option<&CgroupPaths>,
        now: Instant,
    ) -> Option<Arc<Workload>> {
        if id == 0 {
            return Some(Arc::clone(&self.nothing));
        }
        if let Some(known) = self.known.get(&id) {
            return Some(known);
        }
        if let Some(path) = paths.and_then(|paths| paths.unified.as_deref())
            && self.is_at(id, path)
        {
            let workload = self.workload_at(path);
            self.known.insert(id, Arc::clone(&workload));
            return Some(workload);
        }
        let Some(root) = self.root.clone() else {
            return Some(Arc::clone(&self.nothing));
        };
        if self.walk_from.is_some_and(|from| now < from) {
            return None;
        }
        let began = Instant::now();
        self.walk(&root);
        let pause = SHORTEST_PAUSE.max(began.elapsed().saturating_mul(PAUSE_FACTOR));
        self.walk_from = now.checked_add(pause);
        let found = self.known.get(&id);
        // The cgroup was there before its record came: what a walk does not find is gone.
        let found = found.unwrap_or_else(|| Arc::clone(&self.nothing));
        self.known.insert(id, Arc::clone(&found));
        Some(found)
    }

    /// Whether the directory at a process's path has the number. Paths above a namespace's root begin with `/..`.
    fn is_at(&self, id: u64, path: &str) -> bool {
        let Some(root) = &self.root else {
            return true;
        };
        let below = path.trim_start_matches("/..").trim_start_matches('/');
        fs::metadata(root.join(below)).is_ok_and(|directory| directory.ino() == id)
    }

    fn workload_at(&mut self, path: &str) -> Arc<Workload> {
        let workload = PathWorkload::parse(&printable(path));
        self.complete(workload)
    }

    fn complete(&mut self, workload: PathWorkload) -> Arc<Workload> {
        if workload == PathWorkload::default() {
            return Arc::clone(&self.nothing);
        }
        let pods = &mut self.pods;
        Arc::new(Workload {
            pod: workload.pod_uid.map(|uid| pods.find(&uid)),
            container: workload.container,
            unit: workload.unit,
            user_unit: workload.user_unit,
            slice: workload.slice,
            of_user_session: workload.of_user_session,
        })
    }

    /// Remembers every cgroup that exists.
    fn walk(&mut self, root: &Path) {
        let mut waiting = vec![(root.to_owned(), String::new(), 0)];
        let mut seen = 0;
        while let Some((directory, path, depth)) = waiting.pop() {
            let Ok(entries) = fs::read_dir(&directory) else {
                continue;
            };
            for entry in entries.flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                if seen >= MAX_CGROUPS {
                    tracing::warn!("more than {MAX_CGROUPS} cgroups: some containers stay unknown");
                    return;
                }
                seen += 1;
                let path = format!("{path}/{}", entry.file_name().to_string_lossy());
                if self.known.get(&entry.ino()).is_none() {
                    let workload = self.workload_at(&path);
                    self.known.insert(entry.ino(), workload);
                }
                if depth < MAX_DEPTH {
                    waiting.push((entry.path(), path, depth + 1));
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.known.len()
    }
}

fn is_nothing(workload: &Workload) -> bool {
    workload.container.is_none() && workload.pod.is_none() && workload.unit.is_none()
}

/// Where the cgroup tree of version 2 is mounted: here, else where process 1 sees it. Format: `proc_pid_mountinfo(5)`.
pub(super) fn find_root(proc: &Path) -> Option<PathBuf> {
    let one = proc.join("1");
    [
        (proc.join("self/mountinfo"), PathBuf::from("/")),
        (one.join("mountinfo"), one.join("root")),
    ]
    .into_iter()
    .find_map(|(mounts, prefix)| {
        let mounts = fs::read_to_string(mounts).ok()?;
        let mut whole = mounts.lines().filter_map(whole_tree);
        whole.find_map(|path| {
            let path = prefix.join(path.trim_start_matches('/'));
            path.is_dir().then_some(path)
        })
    })
}

/// The mount point of a line that mounts all of a cgroup tree.
fn whole_tree(line: &str) -> Option<&str> {
    let (mount, kind) = line.split_once(" - ")?;
    if kind.split(' ').next() != Some("cgroup2") {
        return None;
    }
    let mut fields = mount.split(' ').skip(3);
    let (root, path) = (fields.next()?, fields.next()?);
    // A path with escapes is not one that anybody mounts this tree at.
    (root == "/" && !path.contains('\\')).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8f2a1d3c4b5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8";
    const UID: &str = "a1b2c3d4-e5f6-4711-8899-aabbccddeeff";

    /// A tree of directories: their inode numbers stand for ids, as in the kernel's.
    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn make(&self, path: &str) -> u64 {
            let path = self.0.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(&path).unwrap();
            fs::metadata(&path).unwrap().ino()
        }

        fn remove(&self, path: &str) {
            fs::remove_dir_all(self.0.path().join(path.trim_start_matches('/'))).unwrap();
        }

        fn cgroups(&self) -> Cgroups {
            Cgroups::new(Some(self.0.path().to_owned()), Pods::unasked())
        }
    }

    fn unified(path: &str) -> CgroupPaths {
        CgroupPaths {
            unified: Some(path.to_owned()),
            legacy: Vec::new(),
        }
    }

    fn id_of(workload: &Workload) -> Option<&str> {
        workload.container.as_ref().map(|container| &*container.id)
    }

    #[test]
    fn a_container_is_found_though_its_process_is_gone_and_though_it_is_gone_itself() {
        let tree = Tree::new();
        let path = format!("/system.slice/docker-{ID}.scope");
        let id = tree.make(&path);
        let other = tree.make("/system.slice/nginx.service");
        let mut cgroups = tree.cgroups();
        let now = Instant::now();
        let found = cgroups.find(id, None, now).unwrap();
        assert_eq!(id_of(&found), Some(ID));
        tree.remove("/system.slice");
        assert_eq!(id_of(&cgroups.find(id, None, now).unwrap()), Some(ID));
        // Seen by the walk, asked for only now that it is gone.
        let found = cgroups.find(other, None, now).unwrap();
        assert_eq!(found.unit.as_deref(), Some("nginx.service"));
    }

    #[test]
    fn a_process_is_believed_only_when_the_directory_has_the_number() {
        let tree = Tree::new();
        let true_path = format!("/kubepods/burstable/pod{UID}/{ID}");
        let id = tree.make(&true_path);
        tree.make("/system.slice/sshd.service");
        let mut cgroups = tree.cgroups();
        let now = Instant::now();
        // The process moved on since.
        let moved = unified("/system.slice/sshd.service");
        let found = cgroups.find(id, Some(&moved), now).unwrap();
        assert_eq!(id_of(&found), Some(ID));
        assert_eq!(found.pod.as_ref().map(|pod| pod.uid()), Some(UID));
        assert!(found.unit.is_none());
        // Seen from a cgroup namespace, and new since the walk.
        let second = tree.make("/system.slice/new.service");
        let seen = unified("/../../system.slice/new.service");
        let found = cgroups.find(second, Some(&seen), now).unwrap();
        assert_eq!(found.unit.as_deref(), Some("new.service"));
    }

    #[test]
    fn an_unknown_id_is_unknown_for_now_between_walks_and_for_good_after_one() {
        let tree = Tree::new();
        let mut cgroups = tree.cgroups();
        let now = Instant::now();
        assert!(
            cgroups
                .find(u64::MAX, None, now)
                .unwrap()
                .container
                .is_none()
        );
        let id = tree.make(&format!("/docker/{ID}"));
        assert!(cgroups.find(id, None, now).is_none(), "walked just now");
        let later = now + Duration::from_secs(2);
        assert_eq!(id_of(&cgroups.find(id, None, later).unwrap()), Some(ID));
    }

    #[test]
    fn a_flood_of_unknown_ids_walks_no_more_than_once_a_second_and_is_not_remembered() {
        let tree = Tree::new();
        for number in 0..100 {
            tree.make(&format!("/system.slice/{number}.service"));
        }
        let mut cgroups = tree.cgroups();
        let now = Instant::now();
        let answers = (0..100_000_u64)
            .filter(|number| cgroups.find(u64::MAX - number, None, now).is_some())
            .count();
        assert_eq!(answers, 1);
        assert!(cgroups.remembered() <= 103, "{}", cgroups.remembered());
    }

    #[test]
    fn a_host_with_both_versions_has_containers_in_the_older_one() {
        let tree = Tree::new();
        let id = fs::metadata(tree.0.path()).unwrap().ino();
        let paths = CgroupPaths {
            unified: Some("/".to_owned()),
            legacy: vec![format!("/docker/{ID}"), "/".to_owned()],
        };
        let mut cgroups = tree.cgroups();
        let now = Instant::now();
        let found = cgroups.find(id, Some(&paths), now).unwrap();
        assert_eq!(id_of(&found), Some(ID));
        // The root's own number tells nothing of other processes.
        assert_eq!(id_of(&cgroups.find(id, None, now).unwrap()), None);
    }

    #[test]
    fn the_mount_of_the_whole_tree_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        let one = folder.path().join("proc/1");
        fs::create_dir_all(&tree).unwrap();
        fs::create_dir_all(&one).unwrap();
        std::os::unix::fs::symlink("/", one.join("root")).unwrap();
        let line = |root: &str, path: &str, kind: &str| {
            format!("24 1 0:22 {root} {path} rw shared:9 - {kind} {kind} rw\n")
        };
        let path = tree.to_str().unwrap();
        let text =
            line("/", "/proc", "proc") + &line("/a", "/b", "cgroup2") + &line("/", path, "cgroup2");
        fs::write(one.join("mountinfo"), text).unwrap();
        let found = find_root(&folder.path().join("proc")).unwrap();
        assert_eq!(
            fs::canonicalize(found).unwrap(),
            fs::canonicalize(tree).unwrap()
        );
        assert_eq!(find_root(Path::new("/nonexistent")), None);
    }
}
