//! The journal of a setup: what was changed, and what was there before.
//!
//! # Format
//! A JSON file: `version` (1), `product`, `store`, `dashboards`, `cluster` (its UUID, where the server tells it) and
//! `changes`, in the order in which they were first made. A change has `kind`, `name`, `former` (the object before the
//! first setup that changed it; null when there was none), `wrote` (SHA-256 of the planned body) and `left` (SHA-256 of
//! what the server gave after the change; null while it is not known whether the change was made).
//!
//! # Contract
//! A change is in the file before it is made, so whatever a crash leaves can be resumed and undone. The file is replaced as
//! a whole (written beside it, synced, renamed): it is old or new, never half.
//!
//! # Limits
//! One setup at a time: two that use one journal overwrite each other's. It holds no credentials.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use beaconwatch_integrations::store::Product;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Kind;

/// Version of the format.
const VERSION: u32 = 1;
/// Largest journal that is read.
const MAX_BYTES: u64 = 64 << 20;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Reading or writing failed.
    #[error("journal {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no journal.
    #[error("journal {path} is broken: {reason}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column where it is known.
        reason: String,
    },
    /// It belongs to something else.
    #[error("journal {path} is of {found}, not of {wanted}")]
    Other {
        /// The file.
        path: PathBuf,
        /// What it is of.
        found: String,
        /// What is being set up.
        wanted: String,
    },
    /// There is none, so nothing is known that could be undone.
    #[error("there is no journal {path}")]
    Missing {
        /// The file.
        path: PathBuf,
    },
}

impl JournalError {
    /// What the user can do.
    pub(crate) const fn advice(&self) -> &'static str {
        match self {
            Self::File { .. } => {
                "Give a file that can be read and written with --journal; it is needed to undo the setup."
            }
            Self::Broken { .. } => {
                "Put back a copy of it, or move it away: setup then starts a new one, and --remove --force takes out what \
                 says of itself that Beaconwatch manages it."
            }
            Self::Other { .. } => "Give a journal of its own to each server, with --journal.",
            Self::Missing { .. } => {
                "Give the one that the setup wrote with --journal. With --force, --remove takes out what says of itself that \
                 Beaconwatch manages it."
            }
        }
    }
}

/// What is set up, so that a journal is not taken for another's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) product: String,
    pub(crate) store: String,
    pub(crate) dashboards: Option<String>,
    pub(crate) cluster: Option<String>,
}

/// Name of a product as journals have it.
pub(crate) const fn product_name(product: Product) -> &'static str {
    match product {
        Product::Elasticsearch => "elastic",
        Product::OpenSearch => "opensearch",
    }
}

/// One object that was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) former: Option<Value>,
    pub(crate) wrote: String,
    pub(crate) left: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    #[serde(flatten)]
    target: Target,
    changes: Vec<Change>,
}

/// A journal that is open.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    target: Target,
    pub(crate) changes: Vec<Change>,
}

impl Journal {
    /// Reads the journal; none when there is no file.
    pub(crate) fn read(path: &Path, target: &Target) -> Result<Option<Self>, JournalError> {
        let file = |source| JournalError::File {
            path: path.to_owned(),
            source,
        };
        let broken = |reason: String| JournalError::Broken {
            path: path.to_owned(),
            reason,
        };
        let length = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(file)?.len(),
        };
        if length > MAX_BYTES {
            return Err(broken(format!(
                "{length} bytes, expected at most {MAX_BYTES}"
            )));
        }
        let bytes = fs::read(path).map_err(file)?;
        let content: Content =
            serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
        if content.version != VERSION {
            let found = content.version;
            return Err(broken(format!("version {found}, expected {VERSION}")));
        }
        if !content.target.is_same(target) {
            return Err(JournalError::Other {
                path: path.to_owned(),
                found: content.target.described(),
                wanted: target.described(),
            });
        }
        Ok(Some(Self {
            path: path.to_owned(),
            target: target.merged(content.target),
            changes: content.changes,
        }))
    }

    /// A journal without changes; nothing is written yet.
    pub(crate) fn new(path: &Path, target: Target) -> Self {
        Self {
            path: path.to_owned(),
            target,
            changes: Vec::new(),
        }
    }

    /// What is known of an object.
    pub(crate) fn change(&self, kind: Kind, name: &str) -> Option<&Change> {
        let mut all = self.changes.iter();
        all.find(|change| change.kind == kind && change.name == name)
    }

    /// Says that an object is about to be changed. What was there before the first change is kept.
    pub(crate) fn begin(
        &mut self,
        kind: Kind,
        name: &str,
        former: Option<Value>,
        wrote: String,
    ) -> Result<(), JournalError> {
        let mut all = self.changes.iter_mut();
        match all.find(|change| change.kind == kind && change.name == name) {
            Some(change) => {
                change.wrote = wrote;
                change.left = None;
            }
            None => self.changes.push(Change {
                kind,
                name: name.to_owned(),
                former,
                wrote,
                left: None,
            }),
        }
        self.save()
    }

    /// Says what an object has become.
    pub(crate) fn finish(
        &mut self,
        kind: Kind,
        name: &str,
        left: String,
    ) -> Result<(), JournalError> {
        let mut all = self.changes.iter_mut();
        if let Some(change) = all.find(|change| change.kind == kind && change.name == name) {
            change.left = Some(left);
        }
        self.save()
    }

    /// Forgets an object, which is as it was. The file goes with the last one.
    pub(crate) fn forget(&mut self, kind: Kind, name: &str) -> Result<(), JournalError> {
        self.changes
            .retain(|change| change.kind != kind || change.name != name);
        if !self.changes.is_empty() {
            return self.save();
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed(error)),
            _ => Ok(()),
        }
    }

    /// Writes the file, also to see that it can be written.
    pub(crate) fn save(&self) -> Result<(), JournalError> {
        let content = Content {
            version: VERSION,
            target: self.target.clone(),
            changes: self.changes.clone(),
        };
        let written = serde_json::to_vec_pretty(&content)
            .map_err(io::Error::from)
            .and_then(|text| replace(&self.path, &text));
        written.map_err(|error| self.failed(error))
    }

    fn failed(&self, source: io::Error) -> JournalError {
        JournalError::File {
            path: self.path.clone(),
            source,
        }
    }
}

/// Puts a new file in place of an old one, whole.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let partial = path.with_added_extension("partial");
    let mut file = File::create(&partial)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

impl Target {
    /// The same cluster has perhaps another address; without identities addresses decide.
    fn is_same(&self, other: &Self) -> bool {
        let same_store = match (&self.cluster, &other.cluster) {
            (Some(one), Some(other)) => one == other,
            _ => self.store == other.store,
        };
        let same_dashboards = match (&self.dashboards, &other.dashboards) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        self.product == other.product && same_store && same_dashboards
    }

    /// This target with what another one knows in addition.
    fn merged(&self, other: Self) -> Self {
        Self {
            dashboards: self.dashboards.clone().or(other.dashboards),
            cluster: self.cluster.clone().or(other.cluster),
            ..self.clone()
        }
    }

    fn described(&self) -> String {
        let mut text = format!("{} at {}", self.product, self.store);
        for (name, value) in [("cluster", &self.cluster), ("dashboards", &self.dashboards)] {
            if let Some(value) = value {
                text = format!("{text}, {name} {value}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests;
