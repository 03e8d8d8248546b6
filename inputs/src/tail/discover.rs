//! Which files the paths name now.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::FILES_MAX;

/// Deepest folder inside of a given folder.
const DEPTH_MAX: usize = 8;
/// Longest pattern of one path part: matching takes time with the square of it.
const PATTERN_BYTES_MAX: usize = 255;

/// A path that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {expected}", path.display())]
pub struct PatternError {
    path: PathBuf,
    expected: &'static str,
}

impl PatternError {
    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it should be.
    #[must_use]
    pub fn expected(&self) -> &'static str {
        self.expected
    }
}

/// Checks the paths without looking at the file system.
pub fn check(paths: &[PathBuf]) -> Result<(), PatternError> {
    for path in paths {
        let problem = |expected| PatternError {
            path: path.clone(),
            expected,
        };
        if !path.is_absolute() {
            return Err(problem("expected a path that begins with /"));
        }
        let Some(text) = path.to_str() else {
            return Err(problem("expected UTF-8"));
        };
        if text
            .split('/')
            .any(|part| part.len() > PATTERN_BYTES_MAX || part == "**")
        {
            return Err(problem(
                "expected parts of at most 255 bytes, with * and ? as wildcards",
            ));
        }
    }
    Ok(())
}

/// Regular files, sorted, each once.
pub(super) fn files(paths: &[PathBuf], problem: &mut Option<String>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in paths {
        for path in expand(path) {
            if path.is_dir() {
                folder(&path, 0, &mut found, problem);
            } else if path.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

fn folder(path: &Path, depth: usize, found: &mut Vec<PathBuf>, problem: &mut Option<String>) {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => {
            *problem = Some(format!("{}: {error}", path.display()));
            return;
        }
    };
    for entry in entries.flatten() {
        if found.len() > 2 * FILES_MAX {
            return;
        }
        match entry.file_type() {
            // Links to folders are not followed: they may lead in a circle.
            Ok(kind) if kind.is_dir() && depth < DEPTH_MAX => {
                folder(&entry.path(), depth + 1, found, problem);
            }
            Ok(kind) if !kind.is_dir() && entry.path().is_file() => found.push(entry.path()),
            _ => {}
        }
    }
}

/// The paths that a pattern stands for now.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let wild = match part {
            Component::Normal(name) => name.to_str().filter(|it| it.contains(['*', '?'])),
            _ => None,
        };
        let Some(wild) = wild else {
            for path in &mut found {
                path.push(part);
            }
            continue;
        };
        let mut next = Vec::new();
        for path in found {
            let Ok(entries) = fs::read_dir(&path) else {
                continue;
            };
            let names = entries.flatten().map(|entry| entry.file_name());
            let matching = names.filter(|name| {
                name.to_str()
                    .is_some_and(|name| matches(wild.as_bytes(), name.as_bytes()))
            });
            next.extend(matching.map(|name| path.join(name)).take(2 * FILES_MAX));
        }
        found = next;
    }
    found
}

/// Whether a name fits a pattern with `*` and `?`. A leading dot must be written.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    let (mut at, mut in_name) = (0, 0);
    let mut last_star = None;
    while let Some(byte) = name.get(in_name) {
        match pattern.get(at) {
            Some(b'*') => {
                last_star = Some((at, in_name));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => {
                at += 1;
                in_name += 1;
            }
            _ => {
                let Some((star, taken)) = last_star else {
                    return false;
                };
                // The star takes one byte more.
                last_star = Some((star, taken + 1));
                at = star + 1;
                in_name = taken + 1;
            }
        }
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}
