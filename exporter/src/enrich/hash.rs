//! [`FileHash`]: SHA-256 of an executable, computed by a thread of its own.
//!
//! A file is hashed once: hashes are remembered by device, inode, size and times of last change, and the thread compares these
//! before and after it reads. Whoever asks gets a place where the hash will be, at once. When the queue is full, the file
//! is too large, or it is gone before the thread comes to it, there is no hash; the next process of the file asks anew.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;

use sha2::{Digest, Sha256};

use crate::memory::Memory;

/// Files that wait to be hashed at most.
const MAX_WAITING: usize = 256;
/// Hashes remembered: twice this many.
const MAX_FILES: usize = 4096;

/// Place of the hash of one file, filled later.
#[derive(Debug, Default)]
pub struct FileHash(OnceLock<Option<Arc<str>>>);

impl FileHash {
    /// The hash as 64 hexadecimal digits; `None` until it is computed, and when it cannot be.
    #[must_use]
    pub fn get(&self) -> Option<&str> {
        self.0.get()?.as_deref()
    }

    fn failed(&self) -> bool {
        matches!(self.0.get(), Some(None))
    }

    /// A place that is filled.
    #[cfg(test)]
    pub(crate) fn of(hash: &str) -> Self {
        Self(OnceLock::from(Some(Arc::from(hash))))
    }
}

/// Content of a file, as far as it can be told without reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    // Nobody but the kernel sets this one.
    changed: (i64, i64),
}

impl Version {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

#[derive(Debug)]
struct Job {
    /// Where the file may be found: by its process while that lives, else by its path.
    places: [PathBuf; 2],
    version: Version,
    hash: Arc<FileHash>,
}

#[derive(Debug)]
pub(super) struct Hasher {
    jobs: SyncSender<Job>,
    known: Memory<Version, Arc<FileHash>>,
    max_bytes: u64,
}

impl Hasher {
    /// Starts the thread; it ends with the hasher.
    pub(super) fn start(max_bytes: u64) -> io::Result<Self> {
        let (hasher, jobs) = Self::new(max_bytes);
        thread::Builder::new()
            .name("executable-hash".to_owned())
            .spawn(move || work(&jobs))?;
        Ok(hasher)
    }

    fn new(max_bytes: u64) -> (Self, Receiver<Job>) {
        let (jobs, waiting) = sync_channel(MAX_WAITING);
        let hasher = Self {
            jobs,
            known: Memory::new(MAX_FILES),
            max_bytes,
        };
        (hasher, waiting)
    }

    /// The place of a file's hash. `link` is the process's `exe`, `path` what it points to.
    pub(super) fn find(
        &mut self,
        link: PathBuf,
        path: &str,
        file: &Metadata,
    ) -> Option<Arc<FileHash>> {
        if !file.is_file() || file.size() > self.max_bytes {
            return None;
        }
        let version = Version::of(file);
        if let Some(known) = self.known.get(&version)
            && !known.failed()
        {
            return Some(known);
        }
        let hash = Arc::new(FileHash::default());
        let job = Job {
            places: [link, PathBuf::from(path)],
            version,
            hash: Arc::clone(&hash),
        };
        if self.jobs.try_send(job).is_err() {
            tracing::debug!(path, "executable not hashed: too many wait");
            return None;
        }
        self.known.insert(version, Arc::clone(&hash));
        Some(hash)
    }
}

fn work(jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        let [first, second] = &job.places;
        let hash = hash(first, job.version).or_else(|_gone| hash(second, job.version));
        if let Err(error) = &hash {
            tracing::debug!(path = %second.display(), %error, "executable not hashed");
        }
        // Set once: each job has a place of its own.
        let _first = job.hash.0.set(hash.ok().map(Arc::from));
    }
}

/// Hashes a file if it is, and stays, the one that is meant.
fn hash(path: &Path, version: Version) -> io::Result<String> {
    let same = |file: &File| -> io::Result<()> {
        if Version::of(&file.metadata()?) == version {
            return Ok(());
        }
        Err(io::Error::other("another file by now"))
    };
    let mut file = File::open(path)?;
    same(&file)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut left = version.size;
    while left > 0 {
        let count = file.read(&mut buffer)?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        };
        digest.update(read);
        left = left.saturating_sub(count as u64);
    }
    same(&file)?;
    Ok(hex::encode(digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const ABSENT: &str = "/nonexistent";
    /// FIPS 180-4, the example of one block.
    const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf, Metadata) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        fs::write(&path, content).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        (folder, path, metadata)
    }

    /// Runs what waits, as the thread would.
    fn run(jobs: &Receiver<Job>) -> usize {
        let (again, waiting) = sync_channel(MAX_WAITING);
        let mut count = 0;
        while let Ok(job) = jobs.try_recv() {
            again.send(job).unwrap();
            count += 1;
        }
        drop(again);
        work(&waiting);
        count
    }

    #[test]
    fn a_file_is_hashed_once_whatever_process_it_is_of() {
        let (_folder, path, metadata) = file(b"abc");
        let (mut hasher, jobs) = Hasher::new(1000);
        let first = hasher.find(path.clone(), ABSENT, &metadata).unwrap();
        assert_eq!(first.get(), None, "nobody waits for it");
        let second = hasher
            .find("/proc/0/exe".into(), ABSENT, &metadata)
            .unwrap();
        assert_eq!(run(&jobs), 1);
        assert_eq!((first.get(), second.get()), (Some(OF_ABC), Some(OF_ABC)));
        assert!(hasher.find(path, ABSENT, &metadata).is_some());
        assert_eq!(run(&jobs), 0);
    }

    #[test]
    fn a_file_whose_process_is_gone_is_found_by_its_path_if_it_is_the_same() {
        let (_folder, path, metadata) = file(b"abc");
        let (mut hasher, jobs) = Hasher::new(1000);
        let path = path.to_str().unwrap();
        let hash = hasher.find(ABSENT.into(), path, &metadata).unwrap();
        run(&jobs);
        assert_eq!(hash.get(), Some(OF_ABC));
        let (_other_folder, other, _) = file(b"abd");
        let (mut hasher, jobs) = Hasher::new(1000);
        let hash = hasher
            .find(ABSENT.into(), other.to_str().unwrap(), &metadata)
            .unwrap();
        run(&jobs);
        assert_eq!(hash.get(), None);
        // It failed for that process; the next one asks anew.
        let hash = hasher.find(ABSENT.into(), path, &metadata).unwrap();
        run(&jobs);
        assert_eq!(hash.get(), Some(OF_ABC));
    }

    #[test]
    fn large_files_directories_and_more_than_can_wait_get_no_hash() {
        let (folder, path, metadata) = file(b"abc");
        let (mut hasher, _jobs) = Hasher::new(2);
        assert!(hasher.find(path.clone(), ABSENT, &metadata).is_none());
        let (mut hasher, jobs) = Hasher::new(1 << 30);
        let directory = fs::metadata(folder.path()).unwrap();
        assert!(hasher.find(path, ABSENT, &directory).is_none());
        let mut asked = 0;
        for number in 0..MAX_WAITING + 10 {
            let path = folder.path().join(number.to_string());
            fs::write(&path, "abc").unwrap();
            let metadata = fs::metadata(&path).unwrap();
            asked += usize::from(hasher.find(path, ABSENT, &metadata).is_some());
        }
        assert_eq!(asked, MAX_WAITING);
        assert_eq!(run(&jobs), MAX_WAITING);
    }
}
