//! [`Users`]: names of the host's users by number, from `passwd(5)`.
//!
//! The file is looked at no more than once a second and read again when it changed. Bounded: the first 4 MiB and 65,536
//! users. Users of a directory service (LDAP, SSSD) are not in the file and stay without a name.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MAX_BYTES: u64 = 4 << 20;
const MAX_USERS: usize = 65_536;
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Users {
    file: PathBuf,
    version: Option<Version>,
    looked: Option<Instant>,
    names: HashMap<u32, Arc<str>>,
}

/// What changes when a file is written or replaced.
type Version = (u64, u64, u64, i64, i64);

fn version(file: &Metadata) -> Version {
    let changed = (file.ctime(), file.ctime_nsec());
    (file.dev(), file.ino(), file.size(), changed.0, changed.1)
}

impl Users {
    pub(super) fn new(file: PathBuf) -> Self {
        Self {
            file,
            version: None,
            looked: None,
            names: HashMap::new(),
        }
    }

    pub(super) fn name(&mut self, user_id: u32, now: Instant) -> Option<Arc<str>> {
        let due = |looked: Instant| now.saturating_duration_since(looked) >= LOOK_EVERY;
        if self.looked.is_none_or(due) {
            self.looked = Some(now);
            self.refresh();
        }
        self.names.get(&user_id).map(Arc::clone)
    }

    fn refresh(&mut self) {
        let found = fs::metadata(&self.file).ok().map(|file| version(&file));
        if found == self.version {
            return;
        }
        self.version = found;
        let mut text = Vec::new();
        let read =
            File::open(&self.file).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut text));
        if let Err(error) = read {
            tracing::warn!(file = %self.file.display(), %error, "names of users cannot be read");
        }
        self.names = parse(&String::from_utf8_lossy(&text));
    }
}

/// `name:password:uid:...`; the first of several names of one number holds, as for `getpwuid(3)`.
fn parse(text: &str) -> HashMap<u32, Arc<str>> {
    let mut names = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(user_id)) = (fields.next(), fields.nth(1)) else {
            continue;
        };
        let Ok(user_id) = user_id.parse() else {
            continue;
        };
        // Lines that begin with + or - stand for entries of NIS.
        if name.is_empty() || name.starts_with(['+', '-', '#']) {
            continue;
        }
        if names.len() >= MAX_USERS {
            break;
        }
        names
            .entry(user_id)
            .or_insert_with(|| Arc::from(super::procfs::printable(name)));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_file_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        fs::write(
            &path,
            "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/:\nbad\n+:::\nsecond:x:1000:\n",
        )
        .unwrap();
        let mut users = Users::new(path.clone());
        let begin = Instant::now();
        let name = |users: &mut Users, id, second| {
            let now = begin + Duration::from_secs(second);
            users.name(id, now).map(|name| name.to_string())
        };
        assert_eq!(name(&mut users, 0, 0).as_deref(), Some("root"));
        assert_eq!(name(&mut users, 1000, 0).as_deref(), Some("alice"));
        assert_eq!(name(&mut users, 1001, 0), None);
        // Replaced, as useradd does it.
        let new = folder.path().join("passwd-");
        fs::write(&new, "bob:x:1001:1001::/:\n").unwrap();
        fs::rename(&new, &path).unwrap();
        assert_eq!(name(&mut users, 1001, 0), None, "not looked at again yet");
        assert_eq!(name(&mut users, 1001, 1).as_deref(), Some("bob"));
        assert_eq!(name(&mut users, 1000, 1), None);
        fs::remove_file(&path).unwrap();
        assert_eq!(name(&mut users, 1001, 2), None);
    }

    #[test]
    fn a_file_of_more_users_than_the_limit_is_cut() {
        let lines: Vec<String> = (0..70_000).map(|id| format!("user{id}:x:{id}:")).collect();
        let text = lines.join("\n");
        assert_eq!(parse(&text).len(), MAX_USERS);
    }

    #[test]
    fn the_hosts_own_root_is_called_root() {
        let mut users = Users::new("/etc/passwd".into());
        assert_eq!(users.name(0, Instant::now()).as_deref(), Some("root"));
    }
}
