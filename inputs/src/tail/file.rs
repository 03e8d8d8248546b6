//! One file that is followed.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use xxhash_rust::xxh3::xxh3_128;

use super::stream::Stream;
use super::{POLLS_AFTER_ROTATION, TailStatus, TailedLine};
use crate::Settings;
use crate::decoder::{self, LineDecoder};
use crate::record::{Classified, Kind};
use crate::report::Problem;

/// Lines looked at to tell the format.
const LOOKED_AT: usize = 64;
const CHUNK_BYTES: usize = 1 << 16;
/// Lines before the position that are decoded again, so that the joining knows their connections.
const DECODED_AGAIN: u64 = 20_000;

/// Device and inode.
pub(super) type Identity = (u64, u64);

/// The identity of the file that a path leads to; `None` as long as nothing is in it that tells whether it is
/// compressed.
pub(super) fn identity(path: &Path) -> Result<Option<Identity>, String> {
    let data = path
        .metadata()
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((data.len() > 1).then_some((data.dev(), data.ino())))
}

/// What reading needs of the tailer.
pub(super) struct Turn<'a> {
    pub(super) settings: &'a Settings,
    pub(super) positions: &'a mut HashMap<Arc<str>, u64>,
    pub(super) stream: &'a mut Stream,
    pub(super) status: &'a mut TailStatus,
    pub(super) lines: &'a mut Vec<TailedLine>,
    pub(super) lines_max: usize,
}

impl Turn<'_> {
    fn is_full(&self) -> bool {
        self.lines.len() >= self.lines_max
    }
}

#[derive(Debug)]
enum Input {
    Plain(File),
    Compressed(Box<MultiGzDecoder<BufReader<File>>>),
}

/// What is known of the content.
#[derive(Debug)]
struct Content {
    decoder: LineDecoder,
    fingerprint: Arc<str>,
    is_of_connections: bool,
}

/// One open file.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about the file"
)]
pub(super) struct Tailed {
    pub(super) identity: Identity,
    /// Whether the paths lead to it now.
    pub(super) listed: bool,
    path: PathBuf,
    input: Input,
    /// Bytes read of a plain file.
    offset: u64,
    /// Bytes read, and how many of them were taken.
    chunk: Vec<u8>,
    taken: usize,
    /// Bytes that are no whole line yet; of a line that is too long only that it is.
    rest: Vec<u8>,
    rest_too_long: bool,
    /// The first bytes, until and with the first record; none when they do not fit.
    head: Option<Vec<u8>>,
    /// The lines in them, until they are told; `None` was too long.
    head_lines: VecDeque<Option<Vec<u8>>>,
    content: Option<Content>,
    other_kind: bool,
    /// Number of the next line.
    next: u64,
    /// What was there before the first start is not told.
    passing: bool,
    /// Length and time of change at which nothing was left to read.
    done_at: Option<(u64, i64, i64)>,
    quiet_polls: u32,
}

fn stamp(data: &Metadata) -> (u64, i64, i64) {
    (data.len(), data.mtime(), data.mtime_nsec())
}

fn open(path: &Path) -> io::Result<Input> {
    let file = File::open(path)?;
    let mut magic = [0; 2];
    let compressed = file.read_at(&mut magic, 0)? == 2 && magic == [0x1f, 0x8b];
    Ok(if compressed {
        Input::Compressed(Box::new(MultiGzDecoder::new(BufReader::new(file))))
    } else {
        Input::Plain(file)
    })
}

impl Tailed {
    /// Opens a file; `pass` says that what is in it now is not to be told.
    pub(super) fn open(path: PathBuf, identity: Identity, pass: bool) -> Result<Self, String> {
        let input = open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self {
            identity,
            listed: true,
            input,
            offset: 0,
            chunk: Vec::new(),
            taken: 0,
            rest: Vec::new(),
            rest_too_long: false,
            head: Some(Vec::new()),
            head_lines: VecDeque::new(),
            content: None,
            other_kind: false,
            next: 0,
            passing: pass,
            done_at: None,
            quiet_polls: 0,
            path,
        })
    }

    /// The paths still lead to it, perhaps by another name.
    pub(super) fn seen(&mut self, path: PathBuf) {
        self.listed = true;
        self.path = path;
    }

    pub(super) fn is_of_other_kind(&self) -> bool {
        self.other_kind
    }

    /// Files of what connections carried come first: they have the names.
    pub(super) fn order(&self) -> bool {
        self.content.as_ref().is_some_and(|it| it.is_of_connections)
    }

    /// Bytes that are not read yet.
    pub(super) fn lag_bytes(&self) -> u64 {
        match &self.input {
            Input::Plain(file) if !self.other_kind => file
                .metadata()
                .map_or(0, |data| data.len().saturating_sub(self.offset)),
            _ => 0,
        }
    }

    /// Whether a file was truncated or written anew: then all that is known of it is of another file.
    fn is_another(&self, file: &File, data: &Metadata) -> bool {
        if data.len() < self.offset {
            return true;
        }
        let Some(known) = self.head.as_ref().filter(|_| data.len() > self.offset) else {
            return false;
        };
        let mut head = vec![0; known.len()];
        file.read_exact_at(&mut head, 0).is_ok() && head != *known
    }

    /// Takes the file for another one; false when it cannot be opened now.
    fn begin_again(&mut self) -> bool {
        if let Ok(mut again) = Self::open(self.path.clone(), self.identity, false) {
            again.listed = self.listed;
            if let (Input::Plain(_), Ok(identity)) = (&again.input, identity(&self.path))
                && identity == Some(self.identity)
            {
                *self = again;
                return true;
            }
        }
        false
    }

    /// Reads up to where the file was told before, and tells nothing.
    pub(super) fn catch_up(&mut self, turn: &mut Turn<'_>) {
        turn.status.rotations += u64::from(self.check());
        while !self.is_caught_up(turn) && self.step(turn) {}
    }

    fn is_caught_up(&self, turn: &Turn<'_>) -> bool {
        match &self.content {
            // Whatever cannot be identified yet has told nothing.
            None => self.other_kind,
            Some(content) => {
                let told = turn.positions.get(&content.fingerprint).copied();
                !self.passing && self.next >= told.unwrap_or(0)
            }
        }
    }

    /// Reads what is new.
    pub(super) fn read(&mut self, turn: &mut Turn<'_>) {
        let before = self.next;
        while !turn.is_full() && self.step(turn) {}
        if self.next > before {
            self.quiet_polls = 0;
        } else if !turn.is_full() {
            self.quiet_polls = self.quiet_polls.saturating_add(1);
        }
    }

    /// Takes one line, or reads; false when there is nothing to read now.
    fn step(&mut self, turn: &mut Turn<'_>) -> bool {
        if self.content.is_some()
            && let Some(line) = self.head_lines.pop_front()
        {
            self.line(line.as_deref(), turn);
            return true;
        }
        if self.split(turn) {
            return true;
        }
        self.fill(turn)
    }

    /// Takes a line out of what was read; false when there is none.
    fn split(&mut self, turn: &mut Turn<'_>) -> bool {
        let line_max = turn.settings.line_bytes_max;
        let bytes = self.chunk.get(self.taken..).unwrap_or_default();
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        self.taken += part.len() + usize::from(end.is_some());
        if self.rest_too_long || self.rest.len() + part.len() > line_max {
            self.rest_too_long = true;
            self.rest = Vec::new();
        } else {
            self.rest.extend_from_slice(part);
        }
        if end.is_some() {
            self.whole_line(turn);
        }
        end.is_some()
    }

    /// Looks whether the file is still the same; true when it was truncated or written anew.
    fn check(&mut self) -> bool {
        match &self.input {
            Input::Plain(file) => {
                let another = file
                    .metadata()
                    .is_ok_and(|data| self.is_another(file, &data));
                another && self.begin_again()
            }
            Input::Compressed(reader) => {
                let changed = reader
                    .get_ref()
                    .get_ref()
                    .metadata()
                    .is_ok_and(|data| self.done_at.is_some_and(|done| done != stamp(&data)));
                // It was still being written: from the start, what was told is passed over.
                if changed && let Ok(again) = Self::open(self.path.clone(), self.identity, false) {
                    *self = again;
                }
                false
            }
        }
    }

    /// Reads a chunk; false when there is nothing to read now.
    fn fill(&mut self, turn: &mut Turn<'_>) -> bool {
        if self.other_kind || self.done_at.is_some() {
            return false;
        }
        self.chunk.resize(CHUNK_BYTES, 0);
        self.taken = 0;
        let read = match &mut self.input {
            Input::Plain(file) => file.read_at(&mut self.chunk, self.offset),
            Input::Compressed(reader) => reader.read(&mut self.chunk),
        };
        self.chunk.truncate(*read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => {
                self.ended(turn);
                false
            }
            Ok(read) => {
                self.offset += read as u64;
                turn.status.bytes_read += read as u64;
                true
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) => {
                self.failed(&error, turn);
                false
            }
        }
    }

    /// Everything that is there now was read.
    fn ended(&mut self, turn: &mut Turn<'_>) {
        if let Input::Compressed(reader) = &self.input {
            let data = reader.get_ref().get_ref().metadata();
            self.done_at = data.ok().map(|data| stamp(&data));
            self.last_line(turn);
        }
        self.pass_ended(turn);
    }

    /// A compressed file that ends in the middle is still being written.
    fn failed(&mut self, error: &io::Error, turn: &mut Turn<'_>) {
        turn.status.last_error = Some(format!("{}: {error}", self.path.display()));
        if let Input::Compressed(reader) = &self.input {
            let data = reader.get_ref().get_ref().metadata();
            self.done_at = data.ok().map(|data| stamp(&data));
        }
    }

    /// Keeps how far the file is passed over: by its last line, which says nothing.
    fn pass_ended(&mut self, turn: &mut Turn<'_>) {
        if !std::mem::take(&mut self.passing) {
            return;
        }
        let Some(content) = &self.content else {
            return;
        };
        if let Some(number) = self.next.checked_sub(1) {
            let told = turn
                .positions
                .entry(Arc::clone(&content.fingerprint))
                .or_insert(0);
            if *told <= number {
                *told = number + 1;
                turn.lines.push(TailedLine {
                    file: Arc::clone(&content.fingerprint),
                    number,
                    observation: None,
                });
            }
        }
    }

    /// A last line that will not go on.
    fn last_line(&mut self, turn: &mut Turn<'_>) {
        if !self.rest.is_empty() || self.rest_too_long {
            self.whole_line(turn);
        }
    }

    fn whole_line(&mut self, turn: &mut Turn<'_>) {
        let mut line = std::mem::take(&mut self.rest);
        let too_long = std::mem::take(&mut self.rest_too_long);
        if self.content.is_none() {
            // What is compared later are the bytes as they are in the file.
            if let Some(head) = self.head.as_mut() {
                head.extend_from_slice(&line);
                head.push(b'\n');
            }
            if too_long {
                self.head = None;
            }
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let line = (!too_long).then_some(line);
        if self.content.is_some() {
            self.line(line.as_deref(), turn);
        } else {
            self.head_lines.push_back(line);
            self.identify(turn);
        }
    }

    /// Tells format and fingerprint as soon as the first record is there.
    fn identify(&mut self, turn: &mut Turn<'_>) {
        let lines = self.head_lines.iter().flatten().map(Vec::as_slice);
        let found = decoder::detect(lines, turn.settings.format);
        let Some((mut decoder, kind)) = found else {
            let long = self
                .head
                .as_ref()
                .is_none_or(|head| head.len() > turn.settings.line_bytes_max);
            if self.head_lines.len() >= LOOKED_AT || long {
                self.other_kind = true;
                self.head_lines.clear();
                turn.status.last_error = Some(format!(
                    "{}: expected {}",
                    self.path.display(),
                    turn.settings.format.expected()
                ));
            }
            return;
        };
        let has_record = self.head_lines.iter().any(|line| {
            line.as_deref()
                .is_none_or(|line| decoder.line(line).is_some())
        });
        if !has_record {
            return;
        }
        let head = self.head.as_deref().unwrap_or_default();
        let fingerprint = format!("{:032x}", xxh3_128(head));
        let lines = self.head_lines.iter().flatten().map(Vec::as_slice);
        let Some((decoder, _)) = decoder::detect(lines, turn.settings.format) else {
            return;
        };
        self.content = Some(Content {
            decoder,
            fingerprint: fingerprint.into(),
            is_of_connections: kind == Some(Kind::Connection),
        });
    }

    /// One line with its number; `None` when it was too long.
    fn line(&mut self, line: Option<&[u8]>, turn: &mut Turn<'_>) {
        let Some(content) = &mut self.content else {
            return;
        };
        let number = self.next;
        self.next += 1;
        let told = turn
            .positions
            .get(&content.fingerprint)
            .copied()
            .unwrap_or(0);
        let new = number >= told && !self.passing;
        let is_header = line.is_some_and(|line| line.first() == Some(&b'#')) || number == 0;
        if !new && number + DECODED_AGAIN < told && !is_header {
            return;
        }
        let outcome = match line {
            Some(line) => content.decoder.line(line),
            None => Some(Err(Problem::too_long(turn.settings.line_bytes_max))),
        };
        let observation = match &outcome {
            // What is passed over was never told: nothing is joined to it.
            Some(Ok(Classified::Record(record, _))) if !self.passing => {
                turn.stream.take((**record).clone())
            }
            _ => None,
        };
        if !new {
            return;
        }
        turn.status.lines += 1;
        turn.status.observations += u64::from(observation.is_some());
        if let Some(Err(problem)) = outcome {
            *turn.status.skipped.entry(problem.reason).or_default() += 1;
            turn.status.last_error = Some(format!(
                "{}:{}: expected {}, got {}",
                self.path.display(),
                number + 1,
                problem.expected,
                problem.got
            ));
        }
        let file = Arc::clone(&content.fingerprint);
        turn.positions.insert(Arc::clone(&file), number + 1);
        turn.lines.push(TailedLine {
            file,
            number,
            observation,
        });
    }

    /// Whether to follow the file on; tells its last line when not.
    pub(super) fn stays(&mut self, turn: &mut Turn<'_>) -> bool {
        let gone = !self.listed && self.quiet_polls >= POLLS_AFTER_ROTATION;
        if gone {
            self.last_line(turn);
        }
        !gone
    }
}
