//! What the path and the name of a process say (MITRE ATT&CK T1036, T1070.004, T1564.001, T1620).
//!
//! Paths of Unix and of Windows are read. The strongest reason counts, not their sum: they overlap.

use super::signals::Found;
use super::weights::PATH;
use crate::Process;

/// Anybody may write here, and it is emptied now and then.
const TEMPORARY: [&str; 8] = [
    "/tmp/",
    "/var/tmp/",
    "/dev/shm/",
    "/run/user/",
    "/run/shm/",
    "/private/tmp/",
    "/appdata/local/temp/",
    "/windows/temp/",
];
/// Where systems and their packages keep programs.
const SYSTEM: [&str; 15] = [
    "/usr/",
    "/bin/",
    "/sbin/",
    "/lib/",
    "/lib64/",
    "/opt/",
    "/snap/",
    "/nix/store/",
    "/gnu/store/",
    "/var/lib/flatpak/",
    "/system/",
    "/library/",
    "/applications/",
    "/windows/",
    "/program files",
];
/// Hidden directories in which users' tools keep programs of their own.
const USUAL_HIDDEN: [&str; 22] = [
    ".asdf",
    ".bun",
    ".cache",
    ".cargo",
    ".config",
    ".deno",
    ".dotnet",
    ".fly",
    ".go",
    ".gvm",
    ".juliaup",
    ".krew",
    ".local",
    ".nix-profile",
    ".npm",
    ".nvm",
    ".pyenv",
    ".rbenv",
    ".rustup",
    ".sdkman",
    ".vscode",
    ".vscode-server",
];
/// Programs of a system whose names are borrowed.
const SYSTEM_NAMES: [&str; 22] = [
    "sshd",
    "systemd",
    "cron",
    "crond",
    "init",
    "dbus-daemon",
    "rsyslogd",
    "udevd",
    "systemd-udevd",
    "systemd-journal",
    "networkmanager",
    "chronyd",
    "ntpd",
    "agetty",
    "svchost.exe",
    "lsass.exe",
    "services.exe",
    "csrss.exe",
    "explorer.exe",
    "winlogon.exe",
    "spoolsv.exe",
    "runtimebroker.exe",
];
/// Threads of the kernel, which have no executable.
const KERNEL_NAMES: [&str; 7] = [
    "[",
    "kworker",
    "ksoftirqd",
    "kthreadd",
    "migration/",
    "rcu_",
    "kswapd",
];

/// Adds what a process' name and path say.
pub(super) fn weigh(process: &Process, found: &mut Found) {
    if let Some((weight, reason)) = suspicion(process) {
        let path = process.executable.as_deref().unwrap_or_default();
        let shown: String = path.chars().take(200).collect();
        found.add(
            "process_path",
            weight,
            PATH,
            weight,
            format!("{reason}: {shown}"),
        );
    }
}

fn suspicion(process: &Process) -> Option<(f64, &'static str)> {
    let path = process.executable.as_deref().filter(|it| !it.is_empty())?;
    let path = path.replace('\\', "/").to_lowercase();
    let (path, deleted) = match path.strip_suffix(" (deleted)") {
        Some(path) => (path, true),
        None => (path.as_str(), false),
    };
    // The drive of a Windows path.
    let path = path.split_once(':').map_or(
        path,
        |(drive, rest)| {
            if drive.len() == 1 { rest } else { path }
        },
    );
    let file = path.rsplit('/').next().unwrap_or(path);
    let name = process.name.as_deref().unwrap_or(file).to_lowercase();
    let temporary = TEMPORARY.iter().any(|it| begins_or_has(path, it));
    let system = SYSTEM.iter().any(|it| path.starts_with(it));
    if path.starts_with("/memfd:") || path.starts_with("memfd:") {
        Some((PATH, "the program runs from memory and has no file"))
    } else if KERNEL_NAMES.iter().any(|it| name.starts_with(it)) {
        Some((PATH, "a program has the name of a thread of the kernel"))
    } else if temporary && deleted {
        Some((
            PATH,
            "the program was deleted from a directory for temporary files",
        ))
    } else if temporary {
        Some((1.5, "the program lies in a directory for temporary files"))
    } else if !system && SYSTEM_NAMES.iter().any(|it| *it == name || *it == file) {
        Some((1.5, "a program elsewhere has the name of one of the system"))
    } else if file.starts_with('.') {
        Some((1.0, "the program's file is hidden"))
    } else if deleted && !system {
        Some((1.0, "the program's file was deleted"))
    } else if has_hidden_directory(path) {
        Some((0.5, "the program lies in a hidden directory"))
    } else if is_home(path) {
        Some((0.3, "the program lies in a user's directory"))
    } else if deleted {
        Some((0.2, "the program's file was replaced or deleted"))
    } else {
        None
    }
}

/// Directories of Unix stand at the beginning, those of a Windows user below the home.
fn begins_or_has(path: &str, directory: &str) -> bool {
    path.starts_with(directory) || (directory.starts_with("/appdata") && path.contains(directory))
}

fn has_hidden_directory(path: &str) -> bool {
    path.split('/').any(|part| {
        let hidden = part.starts_with('.') && part.len() > 1 && part != "..";
        hidden && !USUAL_HIDDEN.contains(&part)
    })
}

fn is_home(path: &str) -> bool {
    ["/home/", "/root/", "/users/"]
        .iter()
        .any(|home| path.starts_with(home))
        && !path.contains("/appdata/local/programs/")
        && !path.contains("/.")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn weight(name: &str, path: &str) -> f64 {
        let process = Process {
            name: Some(Arc::from(name)),
            executable: Some(Arc::from(path)),
            ..Process::default()
        };
        suspicion(&process).map_or(0.0, |(weight, _)| weight)
    }

    #[test]
    fn programs_where_they_belong_say_nothing() {
        for (name, path) in [
            ("sshd", "/usr/sbin/sshd"),
            ("Socket Thread", "/usr/lib/firefox/firefox"),
            ("python3", "/nix/store/abc-python3/bin/python3"),
            ("svchost.exe", r"C:\Windows\System32\svchost.exe"),
            (
                "chrome.exe",
                r"C:\Program Files\Google\Chrome\Application\chrome.exe",
            ),
            ("rust-analyzer", "/home/ada/.cargo/bin/rust-analyzer"),
            ("curl", ""),
        ] {
            assert!(weight(name, path) <= 0.0, "{name} {path}");
        }
    }

    #[test]
    fn the_stronger_the_reason_the_more_it_weighs() {
        let ascending = [
            ("nginx", "/usr/sbin/nginx (deleted)"),
            ("tool", "/home/ada/tool"),
            ("tool", "/srv/.x/tool"),
            ("x", "/srv/.x"),
            ("sshd", "/srv/data/sshd"),
            (
                "svchost.exe",
                r"C:\Users\ada\AppData\Local\Temp\svchost.exe",
            ),
            ("x", "/memfd:x (deleted)"),
        ];
        let weights: Vec<f64> = ascending
            .iter()
            .map(|(name, path)| weight(name, path))
            .collect();
        assert!(weights.is_sorted() && weights[0] > 0.0, "{weights:?}");
        assert!((weight("kworker/0:1", "/srv/x") - PATH).abs() < 1e-12);
        assert!((weight("x", "/tmp/x (deleted)") - PATH).abs() < 1e-12);
    }
}
