//! Finds files, opens them, and tells their format by their first bytes and lines.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use beaconwatch_packets::capture;
use flate2::bufread::MultiGzDecoder;

use super::decoder::{self, LineDecoder};
use super::lines::LineReader;
use super::record::Kind;
use super::report::{Report, quoted};
use super::{Format, Settings};

/// Lines looked at to tell the format: more than one, because the first may be cut.
const LOOKED_AT: usize = 16;
/// Deepest folder inside a given folder.
const DEPTH_MAX: usize = 32;
const BUFFER_BYTES: usize = 1 << 16;
/// The name of standard input.
const STANDARD_INPUT: &str = "-";
/// How compressed files begin, and how much is looked at to tell.
const GZIP: [u8; 2] = [0x1f, 0x8b];
const MAGIC_BYTES: u64 = 4;

/// What a file holds.
pub(crate) enum Content {
    /// Lines of a known format.
    Lines(Box<LineReader>, LineDecoder),
    /// Packets.
    Capture(Box<dyn BufRead + Send>),
}

/// A file to read.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// Connections are read before what they carried, so that less waits in memory.
    order: u8,
}

impl Content {
    /// Opens a file, or standard input for `-`; the error is a sentence for the user.
    pub(crate) fn open(path: &Path, settings: &Settings) -> Result<Self, String> {
        let input = open(path).map_err(|error| error.to_string())?;
        Self::of(input, settings)
    }

    /// Tells the format of a stream, which may be compressed.
    pub(crate) fn of(input: Input, settings: &Settings) -> Result<Self, String> {
        let (beginning, input) = plain(input).map_err(|error| error.to_string())?;
        let capture = capture::is_capture(&beginning);
        match settings.format {
            Format::Auto | Format::Pcap if capture => return Ok(Self::Capture(input)),
            Format::Pcap => {
                let got = quoted(&String::from_utf8_lossy(&beginning));
                return Err(format!("expected a pcap or pcapng capture, got {got}"));
            }
            _ => {}
        }
        let mut lines = LineReader::new(input, settings.line_bytes_max);
        match decoder::detect(lines.peek(LOOKED_AT), settings.format) {
            Some((decoder, _)) => Ok(Self::Lines(Box::new(lines), decoder)),
            None => Err(unknown(&mut lines, settings.format)),
        }
    }
}

fn unknown(lines: &mut LineReader, format: Format) -> String {
    if let Some(error) = lines.failed_at_start() {
        return error.to_string();
    }
    let expected = format.expected();
    match lines.peek(1).next() {
        Some(first) => {
            format!(
                "expected {expected}, got {}",
                quoted(&String::from_utf8_lossy(first))
            )
        }
        None => format!("expected {expected}, got an empty file"),
    }
}

/// A stream of bytes.
pub(crate) type Input = Box<dyn BufRead + Send>;

fn open(path: &Path) -> io::Result<Input> {
    if path == Path::new(STANDARD_INPUT) {
        return Ok(Box::new(BufReader::with_capacity(
            BUFFER_BYTES,
            io::stdin(),
        )));
    }
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, file)))
}

/// Opens a file, or standard input for `-`, without the compression that its first bytes tell of.
pub fn open_plain(path: &Path) -> io::Result<Box<dyn BufRead + Send>> {
    plain(open(path)?).map(|(_, input)| input)
}

/// The first bytes, and the whole stream, without compression.
fn plain(input: Input) -> io::Result<(Vec<u8>, Input)> {
    let (beginning, input) = beginning(input)?;
    if !beginning.starts_with(&GZIP) {
        return Ok((beginning, input));
    }
    let plain = MultiGzDecoder::new(input);
    self::beginning(Box::new(BufReader::with_capacity(BUFFER_BYTES, plain)))
}

/// Looks at the first bytes of a stream, which a pipe may give one by one.
fn beginning(mut input: Input) -> io::Result<(Vec<u8>, Input)> {
    let mut bytes = Vec::new();
    // An error right here is one of the reading that follows, which tells where.
    let read = (&mut input).take(MAGIC_BYTES).read_to_end(&mut bytes);
    if bytes.is_empty() {
        read?;
    }
    let all = io::Cursor::new(bytes.clone()).chain(input);
    Ok((bytes, Box::new(all)))
}

/// All files to read: those named, and those in named folders whose format is known.
pub(crate) fn discover(paths: &[PathBuf], settings: &Settings, report: &mut Report) -> Vec<Found> {
    let mut search = Search {
        settings,
        report,
        found: Vec::new(),
        seen: HashSet::new(),
    };
    for path in paths {
        if path.is_dir() {
            search.folder(path, 0);
        } else {
            search.named(path);
        }
    }
    let mut found = search.found;
    found.sort_by_key(|file| file.order);
    found
}

struct Search<'a> {
    settings: &'a Settings,
    report: &'a mut Report,
    found: Vec<Found>,
    /// The same file is read once, whatever ways lead to it.
    seen: HashSet<PathBuf>,
}

impl Search<'_> {
    fn named(&mut self, path: &Path) {
        // A pipe can be read once: its format is told when it is read.
        let regular = path.metadata().is_ok_and(|data| data.is_file());
        let order = if regular {
            self.order(path).unwrap_or(1)
        } else {
            1
        };
        self.push(path, order);
    }

    fn push(&mut self, path: &Path, order: u8) {
        let identity = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        if self.seen.insert(identity) {
            self.found.push(Found {
                path: path.to_path_buf(),
                order,
            });
        }
    }

    /// 0 for files of connections, 1 for others, `None` when the format is unknown.
    fn order(&self, path: &Path) -> Option<u8> {
        let (beginning, input) = plain(open(path).ok()?).ok()?;
        let format = self.settings.format;
        if capture::is_capture(&beginning) {
            return matches!(format, Format::Auto | Format::Pcap).then_some(0);
        }
        let mut lines = LineReader::new(input, self.settings.line_bytes_max);
        let (_, kind) = decoder::detect(lines.peek(LOOKED_AT), format)?;
        Some(u8::from(kind != Some(Kind::Connection)))
    }

    fn folder(&mut self, folder: &Path, depth: usize) {
        if depth > DEPTH_MAX {
            return self
                .report
                .file_problem(folder, format!("folders deeper than {DEPTH_MAX}"));
        }
        let mut entries: Vec<(PathBuf, fs::FileType)> = Vec::new();
        match fs::read_dir(folder) {
            Err(error) => return self.report.file_problem(folder, error),
            Ok(listing) => {
                for entry in listing {
                    match entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))) {
                        Ok(entry) => entries.push(entry),
                        Err(error) => self.report.file_problem(folder, error),
                    }
                }
            }
        }
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (path, kind) in entries {
            if kind.is_dir() {
                self.folder(&path, depth + 1);
            } else if path.is_file() {
                self.file_in_folder(&path);
            }
        }
    }

    /// A file in a folder may be anything: only what is clearly a log is read.
    fn file_in_folder(&mut self, path: &Path) {
        match self.order(path) {
            Some(order) => self.push(path, order),
            None => match File::open(path) {
                Ok(_) => self.report.other_kind(path),
                Err(error) => self.report.file_problem(path, error),
            },
        }
    }
}
