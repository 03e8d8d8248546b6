//! Real cgroups with the names that products give them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use beaconwatch_exporter::Config;
use beaconwatch_records::RecordKind;
use beaconwatch_schema::flow as names;

use super::support::{Running, owner_of, record, text};

const ID: &str = "8f2a1d3c4b5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8";
const UID: &str = "a1b2c3d4-e5f6-4711-8899-aabbccddeeff";

/// The cgroup v2 tree.
fn root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut fields = mounts.lines().map(|line| line.split(' '));
    let found = fields.find_map(|mut fields| {
        let path = fields.nth(1)?;
        (fields.next()? == "cgroup2").then(|| PathBuf::from(path))
    });
    found.expect("a cgroup v2 tree is mounted")
}

/// A cgroup, gone with the value.
struct Made {
    top: PathBuf,
    path: PathBuf,
}

impl Made {
    fn new(name: &str, below: &str) -> Self {
        let top = root().join(format!("{name}-{}", std::process::id()));
        let path = top.join(below);
        fs::create_dir_all(&path).expect("root can make cgroups");
        Self { top, path }
    }

    fn id(&self) -> u64 {
        fs::metadata(&self.path).unwrap().ino()
    }

    /// A process in it: a shell that goes there before it becomes another program.
    fn spawn(&self) -> Child {
        let script = "echo $$ > \"$1/cgroup.procs\" && echo in && exec sleep 60";
        let mut child = Command::new("/bin/sh")
            .args(["-c", script, "sh"])
            .arg(&self.path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let comm = format!("/proc/{}/comm", child.id());
        while fs::read_to_string(&comm).unwrap() != "sleep\n" {
            assert!(
                child.try_wait().unwrap().is_none(),
                "root can move processes"
            );
            std::thread::yield_now();
        }
        child
    }

    fn remove(&self) {
        let mut path: &Path = &self.path;
        while path.starts_with(&self.top) {
            // A cgroup is busy for a moment after its last process.
            while fs::remove_dir(path).is_err() && path.exists() {
                std::thread::yield_now();
            }
            path = path.parent().unwrap();
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let kill = fs::OpenOptions::new()
            .write(true)
            .open(self.top.join("cgroup.kill"));
        let _killed = kill.and_then(|mut file| file.write_all(b"1"));
        self.remove();
    }
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_a_pod_is_told_while_it_lives_and_when_it_and_its_cgroup_are_gone() {
    let below = format!(
        "kubepods-burstable.slice/kubepods-burstable-pod{}.slice/cri-containerd-{ID}.scope",
        UID.replace('-', "_")
    );
    let made = Made::new("kubepods", &below);
    let child = made.spawn();
    let owner = owner_of(child.id(), made.id());
    let exporter = Running::start(Config::default());
    exporter.send(vec![record(1, RecordKind::Open, owner)]);
    exporter.came(1).await;
    end(child);
    made.remove();
    // Its end, and a flow of another process of the same cgroup that nobody saw alive.
    let unseen = beaconwatch_records::Owner {
        pid: u32::MAX - 1,
        ..owner
    };
    exporter.send(vec![
        record(1, RecordKind::Close, owner),
        record(2, RecordKind::Close, unseen),
    ]);
    let records = exporter.came(3).await;
    for record in &records {
        assert_eq!(text(record, names::CONTAINER_ID), Some(ID));
        assert_eq!(text(record, names::CONTAINER_RUNTIME), Some("containerd"));
        assert_eq!(text(record, names::K8S_POD_UID), Some(UID));
    }
    let executables: Vec<_> = records
        .iter()
        .map(|record| text(record, names::PROCESS_EXECUTABLE_PATH))
        .collect();
    let sleep = fs::canonicalize("/bin/sleep").unwrap();
    assert_eq!(executables, [sleep.to_str(), sleep.to_str(), None]);
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cgroup_is_found_by_its_number_when_its_process_is_gone() {
    let made = Made::new("system", "nginx.service");
    let child = made.spawn();
    let owner = owner_of(child.id(), made.id());
    end(child);
    let exporter = Running::start(Config::default());
    exporter.send(vec![record(1, RecordKind::Close, owner)]);
    let records = exporter.came(1).await;
    assert_eq!(
        text(&records[0], names::SYSTEMD_UNIT),
        Some("nginx.service")
    );
    assert_eq!(text(&records[0], names::PROCESS_EXECUTABLE_PATH), None);
    assert_eq!(
        text(&records[0], names::PROCESS_REAL_USER_NAME),
        Some("root")
    );
    exporter.stop().await;
}
