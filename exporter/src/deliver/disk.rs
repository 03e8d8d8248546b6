//! [`DiskQueue`]: encoded requests that wait on disk while the receiver is away or the exporter is not running.
//!
//! One file is one request, `<number>-<records>.otlp`: numbers rise in the order in which requests must be sent,
//! and a file that cannot be read any more still says how many records it held. A request is kept as it would
//! have been sent, with the exporter id and the sequence under which its records were made, so that a receiver
//! finds no gap and tells a repetition. A file holds a header of 20 bytes (the magic number, the
//! length of the request as u32, XXH3 of what follows as u64, both little-endian) and the request packed by Zstandard.
//!
//! It is written under another name, synced, renamed, and its directory synced: once [`DiskQueue::append`] has returned
//! a crash does not take it. A crash during it leaves a file that is removed and counted at the next start. A crash
//! between a receiver's answer and [`DiskQueue::remove_first`] sends that request twice.
//!
//! The bound in bytes holds for packed files. When it is reached the oldest requests go, but never the one that
//! [`DiskQueue::first`] handed out: it may have arrived. A directory belongs to one exporter at a time.

use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::telemetry::{LossPlace, Telemetry};

#[cfg(test)]
mod tests;

const MAGIC: [u8; 8] = *b"BWOTLP1\n";
const HEADER_BYTES: usize = 20;
/// Longest request that is read back.
const MAX_REQUEST_BYTES: usize = 256 * 1024 * 1024;
/// Number of the first request: there is room before it, too.
const MIDDLE: u64 = 1 << 62;
const WHOLE: &str = "otlp";
const PARTIAL: &str = "partial";

/// Where requests wait, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSettings {
    /// Directory of the files; made when it is not there.
    pub directory: PathBuf,
    /// Bytes of files at most.
    pub max_bytes: u64,
}

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It cannot be made, read or locked.
    #[error("cannot use the directory {} of the disk queue: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another exporter has it.
    #[error("the directory {} of the disk queue is in use by another exporter", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
}

/// One request on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Batch {
    number: u64,
    records: u32,
    file_bytes: u64,
}

/// Requests on disk, oldest first; see the module.
#[derive(Debug)]
pub struct DiskQueue {
    settings: DiskSettings,
    batches: VecDeque<Batch>,
    file_bytes: u64,
    /// Whether the first was handed out and is not settled.
    first_is_out: bool,
    telemetry: Arc<Telemetry>,
    /// Held as long as the queue.
    _lock: File,
}

impl DiskQueue {
    /// Opens a directory and counts what waits there.
    pub fn open(settings: DiskSettings, telemetry: Arc<Telemetry>) -> Result<Self, DiskError> {
        let at = |source| DiskError::Directory {
            path: settings.directory.clone(),
            source,
        };
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&settings.directory).map_err(at)?;
        let lock = private().create(true).open(settings.directory.join("lock"));
        let lock = lock.map_err(at)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => DiskError::InUse {
                path: settings.directory.clone(),
            },
            TryLockError::Error(source) => at(source),
        })?;
        let batches = found(&settings.directory, &telemetry).map_err(at)?;
        let mut queue = Self {
            file_bytes: batches.iter().map(|batch| batch.file_bytes).sum(),
            batches,
            settings,
            first_is_out: false,
            telemetry,
            _lock: lock,
        };
        queue.telemetry.set_restored(queue.records());
        queue.make_room(0);
        queue.publish();
        Ok(queue)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Records that wait.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.batches
            .iter()
            .map(|batch| u64::from(batch.records))
            .sum()
    }

    /// Bytes of files.
    #[must_use]
    pub const fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Keeps a request behind all others; the oldest go when there is no room. When this returns true, it is on
    /// disk; false when the bound has no room for it at all.
    pub fn append(&mut self, request: &[u8], records: usize) -> io::Result<bool> {
        let number = self.batches.back().map_or(MIDDLE, |last| last.number + 1);
        let (batch, file) = encode(number, request, records)?;
        if !self.make_room(batch.file_bytes) {
            return Ok(false);
        }
        self.write(batch, &file)?;
        self.batches.push_back(batch);
        self.added(batch);
        Ok(true)
    }

    /// Keeps a request that is being sent and older than all others, as if [`DiskQueue::first`] had handed it out.
    /// False when there is no room for it.
    pub fn prepend(&mut self, request: &[u8], records: usize) -> io::Result<bool> {
        let number = self
            .batches
            .front()
            .map_or(MIDDLE, |first| first.number - 1);
        let (batch, file) = encode(number, request, records)?;
        if self.file_bytes.saturating_add(batch.file_bytes) > self.settings.max_bytes {
            return Ok(false);
        }
        self.write(batch, &file)?;
        self.batches.push_front(batch);
        self.first_is_out = true;
        self.added(batch);
        Ok(true)
    }

    /// The oldest request and its records; it stays until [`DiskQueue::remove_first`]. Files that hold none any more
    /// are removed and their records counted. An error is one that passes, such as too many open files.
    pub fn first(&mut self) -> io::Result<Option<(Bytes, usize)>> {
        while let Some(batch) = self.batches.front().copied() {
            match self.read(batch) {
                Ok(request) => {
                    self.first_is_out = true;
                    return Ok(Some((request, batch.records as usize)));
                }
                Err(error) if passes(&error) => return Err(error),
                Err(error) => {
                    tracing::error!(number = batch.number, %error, "a request on disk is damaged");
                    self.drop_at(0, Some(LossPlace::DiskDamaged));
                }
            }
        }
        Ok(None)
    }

    /// The oldest request is settled.
    pub fn remove_first(&mut self) {
        self.first_is_out = false;
        self.drop_at(0, None);
    }

    fn added(&mut self, batch: Batch) {
        self.file_bytes += batch.file_bytes;
        self.publish();
    }

    fn write(&self, batch: Batch, content: &[u8]) -> io::Result<()> {
        let partial = self.path(batch, PARTIAL);
        let mut file = private().create(true).truncate(true).open(&partial)?;
        let written = file
            .write_all(content)
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&partial, self.path(batch, WHOLE)))
            .and_then(|()| File::open(&self.settings.directory)?.sync_all());
        if written.is_err() {
            // Whoever called keeps the records: what is left here must not be counted as lost later.
            for extension in [PARTIAL, WHOLE] {
                remove(&self.path(batch, extension));
            }
        }
        written
    }

    fn read(&self, batch: Batch) -> io::Result<Bytes> {
        let longest = HEADER_BYTES as u64 + MAX_REQUEST_BYTES as u64;
        let mut content = Vec::new();
        File::open(self.path(batch, WHOLE))?
            .take(longest)
            .read_to_end(&mut content)?;
        decode(&content)
    }

    /// Lets the oldest go until `more` bytes fit; false when that is not enough.
    fn make_room(&mut self, more: u64) -> bool {
        while self.file_bytes.saturating_add(more) > self.settings.max_bytes {
            let oldest = usize::from(self.first_is_out);
            if oldest >= self.batches.len() {
                return false;
            }
            self.drop_at(oldest, Some(LossPlace::Disk));
        }
        true
    }

    fn drop_at(&mut self, index: usize, lost: Option<LossPlace>) {
        let Some(batch) = self.batches.remove(index) else {
            return;
        };
        self.file_bytes = self.file_bytes.saturating_sub(batch.file_bytes);
        if let Some(place) = lost {
            self.telemetry.lose(place, batch.records.into());
        }
        remove(&self.path(batch, WHOLE));
        self.publish();
    }

    fn path(&self, batch: Batch, extension: &str) -> PathBuf {
        self.settings.directory.join(format!(
            "{:020}-{}.{extension}",
            batch.number, batch.records
        ))
    }

    fn publish(&self) {
        self.telemetry.set_disk(self.records(), self.file_bytes);
    }
}

/// Files of nobody else: flow records say who talks to whom.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// Whether a failed reading says nothing of the file.
fn passes(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, OutOfMemory, PermissionDenied};
    [Interrupted, OutOfMemory, PermissionDenied].contains(&error.kind())
        || matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(path = %path.display(), %error, "cannot remove a file"),
    }
}

/// What is in the directory, oldest first. Halves are removed and counted; files of others are left alone.
fn found(directory: &Path, telemetry: &Telemetry) -> io::Result<VecDeque<Batch>> {
    let mut batches = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((number, records, extension)) = name.to_str().and_then(parse_name) else {
            continue;
        };
        if extension == PARTIAL {
            telemetry.lose(LossPlace::DiskDamaged, records.into());
            remove(&entry.path());
        } else {
            batches.push(Batch {
                number,
                records,
                file_bytes: entry.metadata()?.len(),
            });
        }
    }
    batches.sort_unstable_by_key(|batch| batch.number);
    Ok(batches.into())
}

fn parse_name(name: &str) -> Option<(u64, u32, &str)> {
    let (stem, extension) = name.rsplit_once('.')?;
    let (number, records) = stem.split_once('-')?;
    if number.len() != 20 || ![WHOLE, PARTIAL].contains(&extension) {
        return None;
    }
    // Far from both ends, so that there is a number before and behind every request.
    let number: u64 = number.parse().ok()?;
    let has_neighbours = (1..1 << 63).contains(&number);
    has_neighbours.then_some((number, records.parse().ok()?, extension))
}

fn encode(number: u64, request: &[u8], records: usize) -> io::Result<(Batch, Vec<u8>)> {
    const FASTEST: i32 = 1;
    let too_long = |_over| io::Error::other("the request is longer than 4 GiB");
    let length = u32::try_from(request.len()).map_err(too_long)?;
    let packed = zstd::bulk::compress(request, FASTEST)?;
    let mut file = Vec::with_capacity(HEADER_BYTES + packed.len());
    file.extend_from_slice(&MAGIC);
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(&xxh3_64(&packed).to_le_bytes());
    file.extend_from_slice(&packed);
    let batch = Batch {
        number,
        records: u32::try_from(records).unwrap_or(u32::MAX),
        file_bytes: file.len() as u64,
    };
    Ok((batch, file))
}

fn decode(content: &[u8]) -> io::Result<Bytes> {
    let wrong = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let (magic, rest) = content.split_first_chunk().ok_or(wrong("no header"))?;
    let (length, rest) = rest.split_first_chunk().ok_or(wrong("no length"))?;
    let (checksum, packed) = rest.split_first_chunk().ok_or(wrong("no checksum"))?;
    if *magic != MAGIC {
        return Err(wrong("no file of this format"));
    }
    if u64::from_le_bytes(*checksum) != xxh3_64(packed) {
        return Err(wrong("the checksum is another"));
    }
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > MAX_REQUEST_BYTES {
        return Err(wrong("longer than any request"));
    }
    let unpacked = zstd::bulk::decompress(packed, length);
    let request = unpacked.map_err(|_error| wrong("it cannot be unpacked"))?;
    if request.len() == length {
        Ok(request.into())
    } else {
        Err(wrong("the length is another"))
    }
}
