//! [`Handler`]: what is known of a process that uses a socket and is not its owner.
//!
//! The kernel's record has its pid and start only; name and executable are looked up as the owner's are: from `/proc` while it
//! lives, else what the kernel told of it when it began to execute or was born (see `executables`).
//!
//! Limit: the name of a process that is gone is the one that its executable, or its parent at the time, gave it. One that it took
//! later is not known.

use std::sync::Arc;

use super::super::procfs;
use super::{OwnerLookup, is_gone};

/// Name and executable of a handler. What is hidden by the settings is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handler {
    /// Command name.
    pub name: Option<Arc<str>>,
    /// Path of the executable; ends in ` (deleted)` when the file is gone.
    pub executable: Option<Arc<str>>,
}

impl OwnerLookup {
    /// What is known of the handler that a record names; `None` when it names none. Ask early: a process may be gone soon.
    pub fn find_handler(&mut self, pid: u32, start_ns: u64) -> Option<Arc<Handler>> {
        if pid == 0 {
            return None;
        }
        let key = (pid, start_ns);
        if let Some(known) = self.handlers.get(&key) {
            return Some(known);
        }
        let read = self.read_handler(pid, start_ns);
        // What may become known is not remembered. Without a start a later process of this pid would be taken for this one.
        let settled = read.is_some() && start_ns != 0;
        let mut handler = read.unwrap_or_default();
        self.privacy.hide_handler(&mut handler);
        let handler = Arc::new(handler);
        if settled {
            self.handlers.insert(key, Arc::clone(&handler));
        }
        Some(handler)
    }

    /// `None` when nothing can be said now.
    fn read_handler(&mut self, pid: u32, start_ns: u64) -> Option<Handler> {
        let directory = self.proc.join(pid.to_string());
        let living = match procfs::stat(&directory) {
            Ok(stat) if procfs::began_at(&stat, start_ns) => {
                let (path, _file) = procfs::executable(&directory).unzip();
                // Checked last: had the pid been given to another process meanwhile, this one would be newer.
                let after = procfs::stat(&directory).ok();
                after
                    .filter(|after| after.start_ticks == stat.start_ticks)
                    .map(|after| (after.name, path))
            }
            Ok(_another) => None,
            Err(error) if is_gone(&error) => None,
            Err(_error) => return None,
        };
        Some(match living {
            // A zombie has a name and no executable any more.
            Some((name, path)) => Handler {
                name: Some(name.into()),
                executable: path
                    .map(Arc::from)
                    .or_else(|| self.executables.find(pid, start_ns)),
            },
            None => Handler {
                name: self.executables.find_name(pid, start_ns),
                executable: self.executables.find(pid, start_ns),
            },
        })
    }
}
