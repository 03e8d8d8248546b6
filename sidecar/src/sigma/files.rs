//! Reading a folder of rules.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use beaconwatch_rules::{BrokenRule, LoadReport, RuleSet};

use crate::config::RulesConfig;

/// Longest file, most files and deepest folder that are read.
const MAX_FILE_BYTES: u64 = 1 << 20;
const MAX_FILES: usize = 20_000;
const MAX_DEPTH: usize = 8;
/// Broken rules that stand in the log.
const LOGGED: usize = 20;

/// Why a folder of rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// A file or a folder cannot be read.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Too much is in it.
    #[error("{}: more than {MAX_FILES} files, or folders more than {MAX_DEPTH} deep", .path.display())]
    TooMuch {
        /// The folder.
        path: PathBuf,
    },
    /// There are rules, and none of them can be used.
    #[error("{}: none of its rules can be used; the first fault: {first}", .path.display())]
    NoneCounts {
        /// The folder.
        path: PathBuf,
        /// The first fault.
        first: BrokenRule,
    },
    /// Reading was interrupted.
    #[error("reading was interrupted: {0}")]
    Interrupted(String),
}

/// Rules that were read.
#[derive(Debug)]
pub struct OpenedRules {
    pub(super) set: RuleSet,
    pub(super) config: RulesConfig,
    /// What became of the files.
    pub report: LoadReport,
}

impl OpenedRules {
    /// The rules, and what became of the files.
    #[must_use]
    pub fn into_rules(self) -> (RuleSet, LoadReport) {
        (self.set, self.report)
    }

    /// No rules.
    pub(crate) fn none() -> Self {
        let config = RulesConfig::default();
        let (set, report) = RuleSet::load([], &config.limits());
        Self {
            set,
            config,
            report,
        }
    }
}

impl RulesConfig {
    /// Reads the folder. Blocks. Without one there are no rules.
    pub fn open(&self) -> Result<OpenedRules, RulesError> {
        let mut texts = Vec::new();
        if let Some(folder) = &self.folder {
            read_folder(folder, folder, 0, &mut texts)?;
            texts.sort();
        }
        let files = texts
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()));
        let (set, report) = RuleSet::load(files, &self.limits());
        if report.rules == 0
            && let (Some(path), Some(first)) = (&self.folder, report.broken.first())
        {
            let (path, first) = (path.clone(), first.clone());
            return Err(RulesError::NoneCounts { path, first });
        }
        Ok(OpenedRules {
            set,
            config: self.clone(),
            report,
        })
    }

    /// [`Self::open`] on a thread that may block; what became of the files is said in the log.
    pub(crate) async fn read(&self) -> Result<OpenedRules, RulesError> {
        let config = self.clone();
        let opened = tokio::task::spawn_blocking(move || config.open()).await;
        let opened = opened.map_err(|error| RulesError::Interrupted(error.to_string()))??;
        let report = &opened.report;
        if self.folder.is_some() {
            tracing::info!(
                rules = report.rules,
                correlations = report.correlations,
                filters = report.filters,
                skipped = report.skipped,
                broken = report.broken_count,
                "Sigma rules were read"
            );
        }
        for error in report.broken.iter().take(LOGGED) {
            tracing::error!(%error, "a Sigma rule does not count");
        }
        Ok(opened)
    }
}

/// Adds the rule files of a folder: names from the root, and texts.
fn read_folder(
    root: &Path,
    folder: &Path,
    depth: usize,
    texts: &mut Vec<(String, String)>,
) -> Result<(), RulesError> {
    let too_much = || RulesError::TooMuch {
        path: root.to_owned(),
    };
    if depth > MAX_DEPTH {
        return Err(too_much());
    }
    let entries = std::fs::read_dir(folder).map_err(|source| failed(folder, source))?;
    for entry in entries {
        let path = entry.map_err(|source| failed(folder, source))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            read_folder(root, &path, depth + 1, texts)?;
            continue;
        }
        let extension = path.extension().and_then(|it| it.to_str());
        if !matches!(extension, Some("yml" | "yaml")) {
            continue;
        }
        if texts.len() >= MAX_FILES {
            return Err(too_much());
        }
        let name = path.strip_prefix(root).unwrap_or(&path);
        texts.push((name.display().to_string(), read(&path)?));
    }
    Ok(())
}

/// A file that is no text is read as one that is no rule: it costs none of its neighbours.
fn read(path: &Path) -> Result<String, RulesError> {
    let file = std::fs::File::open(path).map_err(|source| failed(path, source))?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
    let length = read.map_err(|source| failed(path, source))?;
    if length as u64 > MAX_FILE_BYTES {
        return Ok(format!("# longer than {MAX_FILE_BYTES} bytes\ntoo long\n"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn failed(path: &Path, source: io::Error) -> RulesError {
    let path = path.to_owned();
    RulesError::File { path, source }
}
