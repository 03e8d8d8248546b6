//! Interfaces whose forwarded traffic is captured: which ones, and keeping the programs on them.
//!
//! - [`InterfaceSettings`]: chosen by patterns of their names
//! - `links`: what is known of the interfaces, and what follows from it; pure
//! - `hooks`: the programs on them, which outlive the exporter where it has pins
//! - `elsewhere`: what sockets told before interfaces were captured
//! - `monitor`: listens to the kernel's announcements, attaches and detaches
//!
//! Contract: an interface that appears, or gets a chosen name, has the programs before the next packet of it is
//! likely to come; what the monitor cannot do is said once and costs only that interface. Attaching and pinning ask for
//! no capability where TCX exists (Linux 6.6): who holds the programs' descriptors, and owns the directory, may.
//!
//! Limits: interfaces of the exporter's own network namespace. Loopback is never chosen, since everything there has
//! a socket. Of the kinds of link, Ethernet and those without a link header.

mod elsewhere;
mod hooks;
mod links;
mod monitor;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use glob::Pattern;

use super::CaptureError;

pub(super) use elsewhere::note as note_told_elsewhere;
pub(super) use hooks::{Hooks, Programs, let_go_of_all};
pub(super) use monitor::Monitor;

/// Oldest kernel that has TCX.
pub(super) const TCX_KERNEL: (u8, u8) = (6, 6);

/// Which interfaces are captured, and limits of their flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceSettings {
    /// Patterns of names (`eth*`, `en[ps]*`, `veth?`); none: no interface is captured.
    pub include: Vec<String>,
    /// Patterns of names that are not captured although they are included.
    pub exclude: Vec<String>,
    /// A TCP flow in transit without a packet for this long has ended.
    pub idle_timeout: Duration,
    /// Flows in transit at one time at most.
    pub max_flows: u32,
}

impl Default for InterfaceSettings {
    fn default() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            idle_timeout: Duration::from_hours(1),
            max_flows: 65_536,
        }
    }
}

impl InterfaceSettings {
    /// The chosen names, or which pattern is none.
    pub(super) fn selection(&self) -> Result<Selection, CaptureError> {
        let compiled = |patterns: &[String]| {
            patterns
                .iter()
                .map(|pattern| compile(pattern))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Selection {
            include: compiled(&self.include)?,
            exclude: compiled(&self.exclude)?,
        })
    }
}

fn compile(pattern: &str) -> Result<Pattern, CaptureError> {
    Pattern::new(pattern).map_err(|error| CaptureError::Setting {
        name: "interfaces",
        found: format!("{pattern:?} ({error})"),
        expected: "patterns of interface names, such as eth*",
    })
}

/// Whether `pattern` can choose interfaces.
#[must_use]
pub fn is_pattern(pattern: &str) -> bool {
    !pattern.is_empty() && Pattern::new(pattern).is_ok()
}

/// Chosen names.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

impl Selection {
    /// Whether anything can be chosen.
    pub(super) fn is_empty(&self) -> bool {
        self.include.is_empty()
    }

    fn chooses(&self, name: &str) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name));
        any(&self.include) && !any(&self.exclude)
    }
}

/// Names of captured interfaces by index, also of those that are gone: their flows are told later.
#[derive(Clone, Debug, Default)]
pub(super) struct InterfaceNames(Arc<RwLock<Names>>);

#[derive(Debug, Default)]
struct Names {
    known: HashMap<u32, Arc<str>>,
    gone: VecDeque<u32>,
}

/// Names kept of interfaces that are gone.
const MOST_GONE: usize = 1024;

impl InterfaceNames {
    pub(super) fn find(&self, index: u32) -> Option<Arc<str>> {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        names.known.get(&index).cloned()
    }

    fn put(&self, index: u32, name: &str) {
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        names.gone.retain(|gone| *gone != index);
        names.known.insert(index, Arc::from(name));
    }

    fn leave(&self, index: u32) {
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        names.gone.push_back(index);
        if names.gone.len() > MOST_GONE
            && let Some(oldest) = names.gone.pop_front()
        {
            names.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(include: &[&str], exclude: &[&str]) -> Selection {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        InterfaceSettings {
            include: owned(include),
            exclude: owned(exclude),
            ..InterfaceSettings::default()
        }
        .selection()
        .unwrap()
    }

    #[test]
    fn what_is_excluded_stays_out_although_it_is_included() {
        let selection = selection(&["en*", "veth?", "br[0-9]"], &["enx*"]);
        for name in ["eno1", "enp3s0", "veth1", "br0"] {
            assert!(selection.chooses(name), "{name}");
        }
        for name in ["enx001122334455", "veth12", "brx", "eth0", ""] {
            assert!(!selection.chooses(name), "{name}");
        }
    }

    #[test]
    fn nothing_included_chooses_nothing() {
        assert!(selection(&[], &["*"]).is_empty());
        assert!(!selection(&[], &[]).chooses("eth0"));
    }

    #[test]
    fn a_pattern_that_is_none_is_named() {
        let settings = InterfaceSettings {
            include: vec!["eth[0".to_owned()],
            ..InterfaceSettings::default()
        };
        let message = settings.selection().unwrap_err().to_string();
        assert!(message.contains("eth[0"), "{message}");
        assert!(!is_pattern("eth[0"));
        assert!(!is_pattern(""));
        assert!(is_pattern("eth*"));
    }

    #[test]
    fn names_of_interfaces_that_are_gone_stay_within_a_bound() {
        let names = InterfaceNames::default();
        for index in 0..3000 {
            names.put(index, &format!("veth{index}"));
            names.leave(index);
        }
        names.put(2999, "again");
        assert_eq!(names.find(2999).as_deref(), Some("again"));
        assert_eq!(names.find(2500).as_deref(), Some("veth2500"));
        assert_eq!(names.find(100), None);
        let known = names.0.read().unwrap().known.len();
        assert!(known <= MOST_GONE + 1, "{known}");
    }
}
