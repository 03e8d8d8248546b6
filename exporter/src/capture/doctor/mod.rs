//! `doctor`: what this machine and these rights let the capture do, and what each missing thing costs.
//!
//! [`examine`] looks at the kernel, the cgroup tree, the rights of the calling thread, and has the kernel
//! verify every program of the real object, one by one; [`receiver()`] tries the OTLP receiver. Each finding
//! is a [`Check`], in the order in which a capture would stumble over it.
//!
//! Contract: nothing is attached, unless [`Options::attach`] asks for it: then a program that does nothing
//! hangs at each hook for as long as one system call takes. Nothing panics, and a check that cannot be made says so
//! instead of passing. What is loaded is gone when the function returns.
//!
//! Limits: what was found holds for the thread and the moment; a program that another process attaches later
//! is not foreseen. Whether the option of `iter/tcp` works is read from the kernel's types, not tried.

mod kernel;
mod pins;
mod programs;
mod receiver;
mod report;
mod rights;

use std::path::PathBuf;

pub use self::{
    receiver::receiver,
    report::{Check, Report, State, Verdict},
};
use super::preflight;

/// What to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The cgroup v2 directory whose sockets would be captured; by default the root of the tree.
    pub cgroup: Option<PathBuf>,
    /// Attach a program that does nothing to each hook, and take it off again.
    pub attach: bool,
    /// Whether executables would be hashed.
    pub hashes: bool,
    /// Where the kernel part would be pinned.
    pub pin_directory: Option<PathBuf>,
}

/// Looks at everything but the receiver.
#[must_use]
pub fn examine(options: &Options) -> Report {
    let mut report = Report::default();
    kernel::examine(&mut report);
    rights::examine(&mut report, options.hashes);
    let cgroup = preflight::open(options.cgroup.as_deref());
    kernel::examine_cgroup(&mut report, &cgroup);
    report.push(pins::examine(options.pin_directory.as_deref()));
    programs::examine(&mut report, cgroup.as_ref().ok(), options.attach);
    report
}

/// An error with its causes, in one line that a person can read: a verifier's log is cut to its end.
fn chain(error: &dyn std::error::Error) -> String {
    const MOST_CHARACTERS: usize = 240;
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    let line = line.trim_end_matches(" Verifier output:").to_owned();
    let length = line.chars().count();
    if length <= MOST_CHARACTERS {
        return line;
    }
    let half = MOST_CHARACTERS / 2;
    let start: String = line.chars().take(half).collect();
    let end: String = line.chars().skip(length - half).collect();
    format!("{start} ... {end}")
}

#[cfg(test)]
mod tests;
