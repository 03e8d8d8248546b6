//! A file of JSON lines (NDJSON): one document a line.
//!
//! # Contract
//! A document counts as delivered when its line is on disk (`fsync`). A crash between that and the
//! store's note of it would write the line again, so the destination remembers: before its first attempt
//! it reads the event ids of the last [`TAIL_BYTES`] of the file, and documents found there are already
//! there. (More than that many bytes cannot be in doubt: at most one batch is.)
//! A last line that a crash has cut off is taken away before anything is appended.
//!
//! The file may be rotated by renaming it: when the path names another file than before, or none, it is
//! opened anew.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{AttemptError, BuildError, Destination, Outcome};
use crate::Document;

/// How much of the file's end is searched for documents that it has already: more than the largest batch.
const TAIL_BYTES: u64 = 64 << 20;

/// Configuration of a file destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FileConfig {
    /// The file; `detections.ndjson` in the data directory when not given.
    pub path: Option<PathBuf>,
    /// Whether to make the file's folder when there is none.
    pub create_folder: bool,
}

/// The file, while it is open.
#[derive(Debug)]
struct Open {
    file: std::fs::File,
    /// Event ids of the file's last documents, until the first attempt is over.
    known: HashSet<String>,
}

/// A file destination.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    open: Option<Open>,
}

impl File {
    pub(super) fn new(config: &FileConfig, data_directory: &Path) -> Result<Self, BuildError> {
        let path = config
            .path
            .clone()
            .unwrap_or_else(|| data_directory.join("detections.ndjson"));
        // Opening now shows a wrong path at the start and not at the first detection. Nothing is mended yet:
        // when destinations are exchanged, the one before may still be writing.
        let folder = path.parent().filter(|_| config.create_folder);
        let made = folder.map_or(Ok(()), std::fs::create_dir_all);
        match made.and_then(|()| append_to(&path)) {
            Ok(_file) => Ok(Self { path, open: None }),
            Err(source) => Err(BuildError::File { path, source }),
        }
    }
}

#[async_trait]
impl Destination for File {
    async fn deliver(&mut self, documents: &[Document]) -> Result<Vec<Outcome>, AttemptError> {
        let path = self.path.clone();
        let opened = self.open.take();
        let documents = documents.to_vec();
        let written = tokio::task::spawn_blocking(move || {
            let mut file = reopen(&path, opened)?;
            let outcomes = append(&mut file, &documents)?;
            Ok::<_, io::Error>((file, outcomes))
        });
        match written.await {
            Ok(Ok((file, outcomes))) => {
                self.open = Some(file);
                Ok(outcomes)
            }
            Ok(Err(error)) => Err(AttemptError::new(format!(
                "cannot write {}: {error}",
                self.path.display()
            ))),
            Err(error) => Err(AttemptError::new(error.to_string())),
        }
    }
}

/// The open file, if the path still names it; else the path's file.
fn reopen(path: &Path, opened: Option<Open>) -> io::Result<Open> {
    if let Some(opened) = opened {
        let ours = opened.file.metadata()?;
        if std::fs::metadata(path).is_ok_and(|it| (it.dev(), it.ino()) == (ours.dev(), ours.ino()))
        {
            return Ok(opened);
        }
    }
    open(path)
}

fn append_to(path: &Path) -> io::Result<std::fs::File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o640);
    options.open(path)
}

fn open(path: &Path) -> io::Result<Open> {
    let mut file = append_to(path)?;
    let known = repair(&mut file, path)?;
    // The folder's entry of a new file must be on disk, too.
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(Open { file, known })
}

/// Takes away a last line that has no end; the event ids of the lines before it.
fn repair(file: &mut std::fs::File, path: &Path) -> io::Result<HashSet<String>> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    Read::by_ref(file).take(TAIL_BYTES).read_to_end(&mut tail)?;
    let newline = tail.iter().rposition(|&byte| byte == b'\n');
    let whole = newline.map_or(0, |newline| newline + 1);
    if whole < tail.len() {
        if whole == 0 && start > 0 {
            let reason = "the last line has no end, expected a file of JSON lines";
            return Err(io::Error::other(reason));
        }
        tracing::warn!(path = %path.display(), bytes = tail.len() - whole, "the last line was cut off by a crash: it is taken away and written again");
        file.set_len(start + whole as u64)?;
    }
    let lines = tail
        .get(..whole)
        .unwrap_or_default()
        .split(|&byte| byte == b'\n');
    Ok(lines.filter_map(event_id).collect())
}

fn event_id(line: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        event: Event,
    }
    #[derive(Deserialize)]
    struct Event {
        id: String,
    }
    serde_json::from_slice::<Line>(line)
        .ok()
        .map(|line| line.event.id)
}

fn append(open: &mut Open, documents: &[Document]) -> io::Result<Vec<Outcome>> {
    let mut lines = String::new();
    let mut outcomes = Vec::with_capacity(documents.len());
    for document in documents {
        if open.known.contains(&document.event_id) {
            outcomes.push(Outcome::AlreadyThere);
        } else {
            lines.push_str(&document.body);
            lines.push('\n');
            outcomes.push(Outcome::Delivered);
        }
    }
    let length = open.file.metadata()?.len();
    let written = open
        .file
        .write_all(lines.as_bytes())
        .and_then(|()| open.file.sync_data());
    if let Err(error) = written {
        // A half-written batch would be written again behind its own half.
        open.file.set_len(length)?;
        return Err(error);
    }
    // What follows was not in the file when the store was opened.
    open.known.clear();
    Ok(outcomes)
}

#[cfg(test)]
mod tests;
