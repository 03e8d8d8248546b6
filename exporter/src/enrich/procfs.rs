//! Reading one process's directory of `/proc`; formats by `proc_pid_stat(5)`, `proc_pid_exe(5)`, `proc_pid_cmdline(5)` and
//! `cgroups(7)`.
//!
//! Contract: every read has a limit, a process may go away between any two of them, and what it says of itself (command
//! name, arguments) may be anything.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;

/// Longest command line that is kept, bytes.
const MAX_COMMAND_LINE_BYTES: usize = 4096;
/// Longest `stat` and `cgroup` files that are read.
const MAX_FILE_BYTES: u64 = 64 << 10;
/// `sysconf(_SC_CLK_TCK)` is 100 on every architecture of Linux.
pub(super) const TICK_NS: u64 = 10_000_000;
/// How the kernel ends the path of a file that was removed.
const DELETED: &str = " (deleted)";

/// What `stat` says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stat {
    pub(super) name: String,
    pub(super) parent_pid: u32,
    pub(super) start_ticks: u64,
}

/// Reads `stat`.
pub(super) fn stat(directory: &Path) -> io::Result<Stat> {
    let text = read(&directory.join("stat"), MAX_FILE_BYTES)?;
    parse_stat(&String::from_utf8_lossy(&text))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no stat of a process"))
}

/// The command name may hold anything, but ends at the last `)`. Fields 4 and 22 follow it.
fn parse_stat(text: &str) -> Option<Stat> {
    let (before, fields) = text.rsplit_once(')')?;
    let (_pid, name) = before.split_once('(')?;
    let mut fields = fields.split_ascii_whitespace();
    Some(Stat {
        name: printable(name),
        parent_pid: fields.nth(1)?.parse().ok()?,
        start_ticks: fields.nth(17)?.parse().ok()?,
    })
}

/// Whether a process began when the kernel's record says; `stat` has it in hundredths of a second.
pub(super) fn began_at(stat: &Stat, start_ns: u64) -> bool {
    start_ns == 0 || stat.start_ticks.abs_diff(start_ns / TICK_NS) <= 1
}

/// The executable's path, and what the file is. Kernel threads and zombies have none.
pub(super) fn executable(directory: &Path) -> Option<(String, Option<Metadata>)> {
    let link = directory.join("exe");
    let path = fs::read_link(&link).ok()?;
    let path = clean_path(&path.to_string_lossy());
    Some((path, fs::metadata(&link).ok()))
}

/// A path as it is shown: the kernel's mark of a removed file stays at its end, the mark of a path outside this process's
/// root goes, and what cannot be printed is replaced.
fn clean_path(path: &str) -> String {
    let path = path.strip_prefix("(unreachable)").unwrap_or(path);
    // A file that was removed before another of the same name was: the kernel marks once.
    let path = match path.strip_suffix(DELETED) {
        Some(once) => format!("{}{DELETED}", once.trim_end_matches(DELETED)),
        None => path.to_owned(),
    };
    printable(&path)
}

/// Text without control characters.
pub(super) fn printable(text: &str) -> String {
    let clean = |character: char| {
        if character.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            character
        }
    };
    text.chars().map(clean).collect()
}

/// Arguments joined by spaces, cut at a limit; `None` when there are none (kernel threads, zombies).
pub(super) fn command_line(directory: &Path) -> Option<String> {
    let path = directory.join("cmdline");
    let bytes = read(&path, MAX_COMMAND_LINE_BYTES as u64).ok()?;
    let arguments: Vec<String> = bytes
        .strip_suffix(&[0])
        .unwrap_or(&bytes)
        .split(|&byte| byte == 0)
        .map(|argument| printable(&String::from_utf8_lossy(argument)))
        .collect();
    let mut line = arguments.join(" ");
    // Replacement characters are longer than what they stand for.
    let mut end = line.len().min(MAX_COMMAND_LINE_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    (!line.trim().is_empty()).then_some(line)
}

/// Paths of the process's cgroups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CgroupPaths {
    /// In the tree of version 2.
    pub(super) unified: Option<String>,
    /// In trees of version 1, systemd's own first: where a container's path is on a host with both.
    pub(super) legacy: Vec<String>,
}

/// Reads `cgroup`.
pub(super) fn cgroups(directory: &Path) -> CgroupPaths {
    let text = read(&directory.join("cgroup"), MAX_FILE_BYTES).unwrap_or_default();
    parse_cgroups(&String::from_utf8_lossy(&text))
}

fn parse_cgroups(text: &str) -> CgroupPaths {
    let mut paths = CgroupPaths::default();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(hierarchy), Some(controllers), Some(path)) =
            (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let path = path.strip_suffix(DELETED).unwrap_or(path).to_owned();
        if hierarchy == "0" && controllers.is_empty() {
            paths.unified = Some(path);
        } else if controllers == "name=systemd" {
            paths.legacy.insert(0, path);
        } else {
            paths.legacy.push(path);
        }
    }
    paths
}

fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_parentheses_does_not_shift_the_fields() {
        let fields: Vec<String> = (4..=52).map(|field| field.to_string()).collect();
        let text = format!("7 (a) b (c)) S {}", fields.join(" "));
        let expected = Stat {
            name: "a) b (c)".to_owned(),
            parent_pid: 4,
            start_ticks: 22,
        };
        assert_eq!(parse_stat(&text), Some(expected));
        assert_eq!(parse_stat("7 (short) S 1"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn the_kernel_s_mark_of_a_removed_file_stays_once_and_other_marks_go() {
        assert_eq!(clean_path("/usr/bin/curl"), "/usr/bin/curl");
        assert_eq!(clean_path("/tmp/x (deleted)"), "/tmp/x (deleted)");
        assert_eq!(clean_path("/tmp/x (deleted) (deleted)"), "/tmp/x (deleted)");
        assert_eq!(clean_path("(unreachable)/opt/y"), "/opt/y");
        assert_eq!(
            clean_path("/tmp/a\nb\u{1b}[2J"),
            "/tmp/a\u{fffd}b\u{fffd}[2J"
        );
    }

    #[test]
    fn cgroups_of_both_versions_are_told_apart() {
        let text = "9:name=systemd:/docker/abc\n4:memory:/other:x\n0::/system.slice/a.service (deleted)\n?\n";
        let expected = CgroupPaths {
            unified: Some("/system.slice/a.service".to_owned()),
            legacy: vec!["/docker/abc".to_owned(), "/other:x".to_owned()],
        };
        assert_eq!(parse_cgroups(text), expected);
    }

    #[test]
    fn a_command_line_is_cut_at_its_limit_and_its_arguments_are_text() {
        let folder = tempfile::tempdir().unwrap();
        let write = |bytes: &[u8]| fs::write(folder.path().join("cmdline"), bytes).unwrap();
        write(b"curl\0-s\0https://x/\0");
        assert_eq!(
            command_line(folder.path()).as_deref(),
            Some("curl -s https://x/")
        );
        write(&[0xff; 10_000]);
        let line = command_line(folder.path()).unwrap();
        assert!(line.len() <= MAX_COMMAND_LINE_BYTES && line.len() > MAX_COMMAND_LINE_BYTES - 4);
        write(b"");
        assert_eq!(command_line(folder.path()), None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_in_the_place_of_a_file_of_proc_is_survived(text in "[()0-9 :/a-z\\n]{0,300}|\\PC{0,100}") {
            let stat = parse_stat(&text);
            proptest::prop_assert!(stat.is_none_or(|stat| text.contains(&stat.name)
                || stat.name.contains(char::REPLACEMENT_CHARACTER)));
            parse_cgroups(&text);
            proptest::prop_assert!(!clean_path(&text).contains('\n'));
        }
    }
}
