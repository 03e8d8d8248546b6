//! Follows files that grow: lines in, observations out, each with its place.
//!
//! # Contract
//! - A line is told once, by the fingerprint of its file and its number there (from 0). Whoever keeps
//!   how far each fingerprint was told and hands that over at the next start ([`Tailer::new`]) gets each line exactly once,
//!   over restarts and crashes, provided that batches are kept in the order in which they came.
//! - The fingerprint is a hash of a file's first bytes up to and with its first record. So a file keeps it when it is
//!   renamed, copied or compressed, and gets another one when it is truncated and written anew.
//! - Rotation by rename: the old file is read to its end, and until nothing came for
//!   [`POLLS_AFTER_ROTATION`] looks. Rotation by copy and truncation: what was not read of the old content is
//!   read from the copy, when the paths name it.
//! - A last line without its end waits; it is told when its file is closed or was compressed.
//! - Every line with data is told, also an unusable one, then without an observation: numbers have no gaps.
//!
//! # Joining
//! Records of one connection (Zeek's `ssl` and `conn`, events of one `flow_id`) come from several lines and
//! files: the first opens the connection, `conn` ends it, or is all of it when nothing came before. Files of what connections
//! carried are read before those of connections, so that names are there.
//!
//! # Limits
//! [`FILES_MAX`] files at a time. A connection is remembered for an hour or two of the logs' time, and among
//! between 65,536 and twice as many. Two files with the same first record are taken for one.

mod discover;
mod file;
mod stream;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use beaconwatch_detector::Observation;

use crate::report::Reason;
use crate::{Format, Settings};
use file::{Tailed, Turn};
use stream::Stream;

pub use discover::{PatternError, check as check_paths};

/// Most files that are followed at a time.
pub const FILES_MAX: usize = 1024;
/// Looks without growth after which a file that is not among the paths any more is closed.
pub const POLLS_AFTER_ROTATION: u32 = 60;

/// Stands for no file: its place is kept when following began.
const BEGUN: &str = "begun";

/// Where to begin in files that were there before.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At the end: only what is written from now on counts.
    #[default]
    End,
    /// At the beginning.
    Beginning,
}

/// What to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailSettings {
    /// Files, folders (with all that is in them) and patterns with `*` and `?`.
    pub paths: Vec<PathBuf>,
    /// Format of the files.
    pub format: Format,
    /// Where to begin when nothing is known of any file yet.
    pub start: Start,
    /// Longest line.
    pub line_bytes_max: usize,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct TailedLine {
    /// Fingerprint of its file.
    pub file: Arc<str>,
    /// Its number, from 0; blank and header lines count, too.
    pub number: u64,
    /// What it says; `None` when it says nothing new or is unusable.
    pub observation: Option<Observation>,
}

/// What was done since following began.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct TailStatus {
    /// Files that are followed now.
    pub files: u64,
    /// Bytes read, decompressed; also those of lines that were told before.
    pub bytes_read: u64,
    /// Lines read, blank ones and headers too.
    pub lines: u64,
    /// Lines that gave an observation.
    pub observations: u64,
    /// Lines that were skipped, by reason.
    pub skipped: BTreeMap<Reason, u64>,
    /// Bytes on disk that are not read yet; of compressed files none are counted.
    pub lag_bytes: u64,
    /// Files that another one took the place of, and files that were truncated or written anew.
    pub rotations: u64,
    /// Files whose format is not known.
    pub files_of_other_kind: u64,
    /// The latest problem in words.
    pub last_error: Option<String>,
}

/// What one look gave.
#[derive(Debug, Default)]
pub struct Polled {
    /// New lines, in the order in which they are to be kept.
    pub lines: Vec<TailedLine>,
    /// Whether there is more to read at once.
    pub more: bool,
}

/// Follows files. Blocks while it reads, never for what is not there yet.
#[derive(Debug)]
pub struct Tailer {
    settings: TailSettings,
    read: Settings,
    /// How far each file was told: the number of the next line.
    positions: HashMap<Arc<str>, u64>,
    files: Vec<Tailed>,
    /// Which file each path led to at the last look at which it led to one; only of files that are followed.
    holders: HashMap<PathBuf, file::Identity>,
    stream: Stream,
    status: TailStatus,
    /// Whether files without a position are new, and not from before the first start.
    begun: bool,
}

impl Tailer {
    /// Follows `settings.paths`; `positions` says how far each fingerprint was told in earlier runs.
    pub fn new(
        settings: TailSettings,
        positions: HashMap<Arc<str>, u64>,
    ) -> Result<Self, PatternError> {
        discover::check(&settings.paths)?;
        let read = Settings {
            format: settings.format,
            line_bytes_max: settings.line_bytes_max,
            ..Settings::default()
        };
        Ok(Self {
            begun: !positions.is_empty() || settings.start == Start::Beginning,
            settings,
            read,
            positions,
            files: Vec::new(),
            holders: HashMap::new(),
            stream: Stream::default(),
            status: TailStatus::default(),
        })
    }

    /// Bytes on disk that are not read yet, as they are now.
    #[must_use]
    pub fn lag_bytes(&self) -> u64 {
        self.files.iter().map(Tailed::lag_bytes).sum()
    }

    /// What was done so far.
    #[must_use]
    pub fn status(&self) -> &TailStatus {
        &self.status
    }

    /// Looks at all files and reads at most about `lines_max` lines that are new.
    pub fn poll(&mut self, lines_max: usize) -> Polled {
        self.find();
        let mut polled = Polled::default();
        if !self.begun {
            // Kept, it says at the next start that files without a position are new.
            polled.lines.push(TailedLine {
                file: BEGUN.into(),
                number: 0,
                observation: None,
            });
        }
        let mut turn = Turn {
            settings: &self.read,
            positions: &mut self.positions,
            stream: &mut self.stream,
            status: &mut self.status,
            lines: &mut polled.lines,
            lines_max,
        };
        // What was told before is taken in first, so that the joining knows it.
        for file in &mut self.files {
            file.catch_up(&mut turn);
        }
        self.files.sort_by_key(Tailed::order);
        for file in &mut self.files {
            file.read(&mut turn);
        }
        self.files.retain_mut(|file| file.stays(&mut turn));
        let followed: HashSet<_> = self.files.iter().map(|file| file.identity).collect();
        self.holders
            .retain(|_, identity| followed.contains(identity));
        if self.holders.len() > 2 * FILES_MAX {
            // Files that are renamed again and again: a rotation may go uncounted.
            self.holders.clear();
        }
        polled.more = polled.lines.len() >= lines_max;
        self.begun = true;
        self.status.files = self.files.len() as u64;
        self.status.lag_bytes = self.lag_bytes();
        let other = self.files.iter().filter(|file| file.is_of_other_kind());
        self.status.files_of_other_kind = other.count() as u64;
        polled
    }

    fn known(&mut self, identity: file::Identity) -> Option<&mut Tailed> {
        self.files.iter_mut().find(|it| it.identity == identity)
    }

    fn find(&mut self) {
        for file in &mut self.files {
            file.listed = false;
        }
        let found = discover::files(&self.settings.paths, &mut self.status.last_error);
        for path in found {
            let full = self.files.len() >= FILES_MAX;
            match file::identity(&path) {
                Ok(None) => {}
                Ok(Some(identity)) => match self.known(identity) {
                    Some(known) => {
                        known.seen(path.clone());
                        self.holders.insert(path, identity);
                    }
                    None if full => {
                        self.status.last_error =
                            Some(format!("more than {FILES_MAX} files: the others wait"));
                        return;
                    }
                    None => self.open(path, identity),
                },
                Err(problem) => self.status.last_error = Some(problem),
            }
        }
    }

    /// Follows a file that was not there at the last look. Where its path led to another one, that one was
    /// rotated; files that only moved on by one name are known and do not come here.
    fn open(&mut self, path: PathBuf, identity: file::Identity) {
        match Tailed::open(path.clone(), identity, !self.begun) {
            Ok(file) => {
                self.files.push(file);
                let rotated = self.holders.insert(path, identity).is_some();
                self.status.rotations += u64::from(rotated);
            }
            Err(problem) => self.status.last_error = Some(problem),
        }
    }
}
