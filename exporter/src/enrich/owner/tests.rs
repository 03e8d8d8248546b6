//! Against real processes and the real `/proc`, and against trees of the same form where a kernel would not do what is
//! needed (give a pid away again).

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::*;
use crate::config::PrivacyConfig;
use crate::config::PrivateField;

fn lookup(config: &ProcessConfig) -> OwnerLookup {
    lookup_of(config, OwnProcesses::of_this_program(&[], &[]))
}

fn lookup_of(config: &ProcessConfig, own: OwnProcesses) -> OwnerLookup {
    OwnerLookup::new(config, own, Privacy::default(), Pods::unasked()).unwrap()
}

/// The owner that the kernel would record for a process.
fn owner_of(pid: u32) -> Owner {
    let directory = Path::new("/proc").join(pid.to_string());
    let stat = procfs::stat(&directory).unwrap();
    let mut comm = [0; 16];
    comm[..stat.name.len()].copy_from_slice(stat.name.as_bytes());
    Owner {
        process_start_ns: stat.start_ticks * procfs::TICK_NS + 1_234_567,
        pid,
        uid: fs::metadata(&directory).unwrap().uid(),
        comm,
        ..Owner::default()
    }
}

/// A program that sleeps, once it runs: the child exists before its program does.
fn sleeper(program: &Path) -> Child {
    let child = Command::new(program)
        .args(["60", "61"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let link = format!("/proc/{}/exe", child.id());
    let expected = fs::canonicalize(program).unwrap();
    let arguments = format!("/proc/{}/cmdline", child.id());
    wait_until(|| {
        fs::read_link(&link).unwrap() == expected && !fs::read(&arguments).unwrap().is_empty()
    });
    child
}

fn wait_until(what: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !what() {
        assert!(Instant::now() < until, "it does not come");
        std::thread::yield_now();
    }
}

fn sleep_program() -> PathBuf {
    fs::canonicalize("/bin/sleep").unwrap()
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn this_process_is_found_with_its_executable_user_and_parent_and_is_our_own() {
    let myself = owner_of(std::process::id());
    let found = lookup(&ProcessConfig::default()).find(&myself);
    let expected = std::env::current_exe().unwrap();
    assert_eq!(found.executable.as_deref(), expected.to_str());
    assert!(found.own);
    let name = Command::new("id").arg("-un").output().unwrap().stdout;
    let name = String::from_utf8(name).unwrap();
    assert_eq!(found.user_name.as_deref(), Some(name.trim()));
    assert_eq!(found.user_id, Some(myself.uid));
    let parent = found.parent.as_ref().unwrap();
    assert_eq!(parent.pid, std::os::unix::process::parent_id());
    let link = fs::read_link(format!("/proc/{}/exe", parent.pid)).unwrap();
    assert_eq!(parent.executable.as_deref(), link.to_str());
    assert!(found.command_line.is_none() && found.executable_hash.is_none());
}

#[test]
fn a_process_is_remembered_after_its_end_by_the_same_value_for_all_records() {
    let child = sleeper(&sleep_program());
    let owner = owner_of(child.id());
    let config = ProcessConfig {
        command_line: true,
        ..ProcessConfig::default()
    };
    let mut lookup = lookup(&config);
    let found = lookup.find(&owner);
    assert_eq!(found.executable.as_deref(), sleep_program().to_str());
    let line = format!("{} 60 61", sleep_program().display());
    assert_eq!(found.command_line.as_deref(), Some(&*line));
    assert_eq!(found.name.as_deref(), Some("sleep"));
    let parent = found.parent.as_ref().unwrap();
    assert_eq!(parent.pid, std::process::id());
    let began = owner_of(std::process::id()).process_start_ns;
    assert!(parent.start_ns.abs_diff(began) < 10_000_000);
    end(child);
    assert!(
        Arc::ptr_eq(&found, &lookup.find(&owner)),
        "one value for all records"
    );
    // Whoever looks only now finds the user still.
    let late = lookup_of(&config, OwnProcesses::default()).find(&owner);
    assert_eq!(
        (late.executable.as_deref(), late.user_id),
        (None, Some(owner.uid))
    );
    assert_eq!(late.user_name, found.user_name);
}

#[test]
fn children_of_one_process_share_what_is_known_of_it() {
    let children = [sleeper(&sleep_program()), sleeper(&sleep_program())];
    let mut lookup = lookup(&ProcessConfig::default());
    let parents = children
        .each_ref()
        .map(|child| lookup.find(&owner_of(child.id())).parent.clone().unwrap());
    assert!(Arc::ptr_eq(&parents[0], &parents[1]));
    children.into_iter().for_each(end);
}

#[test]
fn a_child_whose_parent_ended_is_said_to_be_its_new_parents() {
    // The shell ends at once; what it started goes to somebody else, who is not this process.
    let output = Command::new("/bin/sh")
        .args(["-c", "sleep 60 >/dev/null 2>&1 & echo $!"])
        .output()
        .unwrap();
    let pid: u32 = String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let status = || fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let parent = || {
        let status = status();
        let line = status
            .lines()
            .find(|line| line.starts_with("PPid:"))
            .unwrap();
        line.trim_start_matches("PPid:")
            .trim()
            .parse::<u32>()
            .unwrap()
    };
    wait_until(|| status().contains("Name:\tsleep"));
    let found = lookup(&ProcessConfig::default()).find(&owner_of(pid));
    assert_eq!(found.parent.as_ref().map(|it| it.pid), Some(parent()));
    Command::new("kill").arg(pid.to_string()).status().unwrap();
}

#[test]
fn an_executable_that_was_removed_is_marked_and_hashed_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("dropper");
    fs::copy(sleep_program(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let child = sleeper(&program);
    let expected = Command::new("sha256sum").arg(&program).output().unwrap();
    let expected = String::from_utf8(expected.stdout).unwrap();
    fs::remove_file(&program).unwrap();
    let config = ProcessConfig {
        hash: true,
        ..ProcessConfig::default()
    };
    let found = lookup(&config).find(&owner_of(child.id()));
    let path = format!("{} (deleted)", program.display());
    assert_eq!(found.executable.as_deref(), Some(&*path));
    let hash = found.executable_hash.as_ref().unwrap();
    wait_until(|| hash.get().is_some());
    assert_eq!(hash.get(), expected.split(' ').next());
    end(child);
}

#[test]
fn our_executable_run_by_another_user_is_not_our_own() {
    let other = Owner {
        uid: 4_000_000_000,
        ..owner_of(std::process::id())
    };
    let found = lookup(&ProcessConfig::default()).find(&other);
    assert!(found.executable.is_some());
    assert!(!found.own);
    assert_eq!(found.user_name, None);
    let own = OwnProcesses::of_this_program(&[], &[4_000_000_000]);
    assert!(lookup_of(&ProcessConfig::default(), own).find(&other).own);
}

#[test]
fn a_listed_executable_is_our_own_under_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let alias = folder.path().join("another-name");
    symlink(std::env::current_exe().unwrap(), &alias).unwrap();
    let myself = owner_of(std::process::id());
    let mut own = OwnProcesses::default();
    own.add_user(myself.uid);
    let config = ProcessConfig::default();
    assert!(!lookup_of(&config, own.clone()).find(&myself).own);
    assert!(own.add_file(&alias));
    assert!(lookup_of(&config, own).find(&myself).own);
}

/// A `/proc` of our own making, and a passwd.
struct Made {
    folder: tempfile::TempDir,
}

impl Made {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("passwd"), "alice:x:1000:1000::/:\n").unwrap();
        Self { folder }
    }

    fn config(&self) -> ProcessConfig {
        ProcessConfig {
            proc_directory: self.folder.path().to_owned(),
            passwd_file: self.folder.path().join("passwd"),
            ..ProcessConfig::default()
        }
    }

    fn process(&self, pid: u32, parent: u32, start_ticks: u64, cgroup: &str) {
        let directory = self.folder.path().join(pid.to_string());
        fs::create_dir_all(&directory).unwrap();
        let between = "0 ".repeat(17);
        let stat = format!("{pid} (p{pid}) S {parent} {between}{start_ticks} 0");
        fs::write(directory.join("stat"), stat).unwrap();
        fs::write(directory.join("cgroup"), format!("0::{cgroup}\n")).unwrap();
        let _before = fs::remove_file(directory.join("exe"));
        symlink(format!("/bin/p{pid}-{start_ticks}"), directory.join("exe")).unwrap();
    }

    fn end(&self, pid: u32) {
        fs::remove_dir_all(self.folder.path().join(pid.to_string())).unwrap();
    }
}

fn owner(pid: u32, start_ticks: u64) -> Owner {
    Owner {
        process_start_ns: start_ticks * procfs::TICK_NS,
        cgroup_id: 7,
        pid,
        uid: 1000,
        ..Owner::default()
    }
}

fn path(found: &Attribution) -> Option<&str> {
    found.executable.as_deref()
}

#[test]
fn a_pid_that_was_given_to_another_process_is_never_mistaken() {
    let made = Made::new();
    made.process(10, 0, 500, "/");
    let mut lookup = lookup(&made.config());
    let first = owner(10, 500);
    assert_eq!(path(&lookup.find(&first)), Some("/bin/p10-500"));
    made.end(10);
    made.process(10, 0, 900, "/");
    let second = owner(10, 900);
    assert_eq!(path(&lookup.find(&second)), Some("/bin/p10-900"));
    assert_eq!(path(&lookup.find(&first)), Some("/bin/p10-500"));
    // One that nobody looked up in time.
    assert_eq!(path(&lookup.find(&owner(10, 700))), None);
    // Whose start is unknown may be anybody: not remembered.
    let unknown = owner(10, 0);
    assert_eq!(path(&lookup.find(&unknown)), Some("/bin/p10-900"));
    made.end(10);
    assert_eq!(path(&lookup.find(&unknown)), None);
}

#[test]
fn a_flood_of_unknown_pids_is_bounded_and_drives_out_nobody() {
    let made = Made::new();
    made.process(10, 0, 500, "/system.slice/a.service");
    let mut lookup = lookup(&made.config());
    let known = lookup.find(&owner(10, 500));
    made.end(10);
    for pid in 100..100_100 {
        let found = lookup.find(&owner(pid, 500));
        assert_eq!(path(&found), None);
    }
    assert!(lookup.gone.len() <= 2 * MAX_GONE, "{}", lookup.gone.len());
    assert!(lookup.known.len() <= 2 && lookup.parents.len() == 0);
    assert!(Arc::ptr_eq(&known, &lookup.find(&owner(10, 500))));
}

#[test]
fn known_owners_are_bounded_and_those_in_use_stay() {
    let made = Made::new();
    made.process(10, 0, 500, "/");
    let mut lookup = lookup(&made.config());
    lookup.known = Memory::new(4);
    let first = lookup.find(&owner(10, 500));
    for name in 0..200_u8 {
        let mut other = owner(10, 500);
        other.comm[0] = name + 1;
        assert_eq!(path(&lookup.find(&other)), Some("/bin/p10-500"));
        assert!(lookup.known.len() <= 8);
        assert!(Arc::ptr_eq(&first, &lookup.find(&owner(10, 500))));
    }
}

#[test]
fn a_process_that_executes_another_program_is_looked_at_again() {
    let made = Made::new();
    made.process(10, 0, 500, "/");
    let mut lookup = lookup(&made.config());
    lookup.find(&owner(10, 500));
    let link = made.folder.path().join("10/exe");
    fs::remove_file(&link).unwrap();
    symlink("/bin/next", &link).unwrap();
    let mut next = owner(10, 500);
    next.comm[..4].copy_from_slice(b"next");
    assert_eq!(path(&lookup.find(&next)), Some("/bin/next"));
}

#[test]
fn users_of_containers_have_no_name_of_the_host() {
    let made = Made::new();
    let id = "8f2a1d3c4b5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8";
    made.process(10, 0, 500, "/system.slice/a.service");
    made.process(11, 10, 500, &format!("/docker/{id}"));
    let mut lookup = lookup(&made.config());
    let on_host = lookup.find(&owner(10, 500));
    assert_eq!(on_host.user_name.as_deref(), Some("alice"));
    let unit = on_host.workload.as_ref().and_then(|it| it.unit.clone());
    assert_eq!(unit.as_deref(), Some("a.service"));
    let inside = lookup.find(&Owner {
        cgroup_id: 8,
        ..owner(11, 500)
    });
    assert_eq!(
        (inside.user_name.as_deref(), inside.user_id),
        (None, Some(1000))
    );
    let container = inside
        .workload
        .as_ref()
        .unwrap()
        .container
        .as_ref()
        .unwrap();
    assert_eq!(&*container.id, id);
    assert_eq!(inside.parent.as_ref().unwrap().pid, 10);
}

#[test]
fn what_the_settings_hide_is_not_even_remembered() {
    let made = Made::new();
    made.process(9, 0, 400, "/");
    made.process(10, 9, 500, "/");
    let config = PrivacyConfig {
        omit: vec![PrivateField::ExecutablePath, PrivateField::User],
        ..PrivacyConfig::default()
    };
    let privacy = Privacy::new(&config).unwrap();
    let own = OwnProcesses::default();
    let mut lookup = OwnerLookup::new(&made.config(), own, privacy, Pods::unasked()).unwrap();
    let found = lookup.find(&owner(10, 500));
    let shown = format!("{found:?} {:?}", lookup.known);
    for plain in ["/bin/p", "alice"] {
        assert!(!shown.contains(plain), "{plain}: {shown}");
    }
    assert_eq!(found.user_id, None);
    assert_eq!(found.parent.as_ref().unwrap().name.as_deref(), Some("p9"));
}

#[test]
fn nobody_and_text_that_is_none_are_survived() {
    let mut lookup = lookup(&ProcessConfig::default());
    let nobody = lookup.find(&Owner::default());
    assert!(nobody.name.is_none() && nobody.user_id.is_none() && !nobody.own);
    let wild = Owner {
        pid: u32::MAX,
        uid: u32::MAX,
        process_start_ns: u64::MAX,
        cgroup_id: u64::MAX,
        comm: [0xff; 16],
    };
    let found = lookup.find(&wild);
    assert_eq!(found.name.as_deref(), Some(&*"\u{fffd}".repeat(16)));
    assert!(path(&found).is_none());
}

/// What the kernel tells of a process that executes a file.
fn executes(pid: u32, start_ns: u64, path: &str) -> ProcessRecord {
    let mut bytes = [0; beaconwatch_records::PATH_BYTES];
    bytes[..path.len()].copy_from_slice(path.as_bytes());
    ProcessRecord {
        start_ns,
        parent_start_ns: 0,
        pid,
        parent_pid: 0,
        path: bytes,
    }
}

fn told(handler: &Handler) -> (Option<&str>, Option<&str>) {
    (handler.name.as_deref(), handler.executable.as_deref())
}

#[test]
fn a_handler_has_its_name_and_executable_while_it_lives_and_after() {
    let child = sleeper(&sleep_program());
    let (pid, start_ns) = (child.id(), owner_of(child.id()).process_start_ns);
    let mut lookup = lookup(&ProcessConfig::default());
    assert_eq!(lookup.find_handler(0, 0), None);
    let found = lookup.find_handler(pid, start_ns).unwrap();
    assert_eq!(told(&found), (Some("sleep"), sleep_program().to_str()));
    end(child);
    let after = lookup.find_handler(pid, start_ns).unwrap();
    assert!(Arc::ptr_eq(&found, &after), "one value for all records");
}

#[test]
fn a_handler_that_was_gone_has_what_the_kernel_told_of_its_execution() {
    let mut lookup = lookup(&ProcessConfig::default());
    let gone = u32::MAX - 1;
    let nothing = lookup.find_handler(gone, 10).unwrap();
    assert_eq!(told(&nothing), (None, None));
    lookup.note(&executes(gone, 10, "/opt/gone/handler"));
    let found = lookup.find_handler(gone, 10).unwrap();
    assert_eq!(told(&found), (Some("handler"), Some("/opt/gone/handler")));
    lookup.note(&executes(gone, 10, "/opt/gone/another"));
    let found = lookup.find_handler(gone, 10).unwrap();
    assert_eq!(told(&found), (Some("another"), Some("/opt/gone/another")));
    let later = lookup.find_handler(gone, 11).unwrap();
    assert_eq!(told(&later), (None, None), "another process of this pid");
}

#[test]
fn what_is_hidden_of_owners_is_hidden_of_handlers() {
    let config = PrivacyConfig {
        omit: vec![PrivateField::ProcessName, PrivateField::ExecutablePath],
        ..PrivacyConfig::default()
    };
    let privacy = Privacy::new(&config).unwrap();
    let own = OwnProcesses::default();
    let config = ProcessConfig::default();
    let mut lookup = OwnerLookup::new(&config, own, privacy, Pods::unasked()).unwrap();
    let myself = owner_of(std::process::id());
    let found = lookup.find_handler(myself.pid, myself.process_start_ns);
    assert_eq!(told(&found.unwrap()), (None, None));
}
