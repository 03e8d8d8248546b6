//! Finds files, opens them, and tells their format by their first lines.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::lines::LineReader;
use super::record::{self, Classified, Dialect, Kind};
use super::report::{Report, quoted};
use super::row::Column;
use super::{Format, Settings, json, tsv};

/// Lines looked at to tell the format: more than one, because the first may be cut.
const LOOKED_AT: usize = 16;
/// Deepest folder inside a given folder.
const DEPTH_MAX: usize = 32;
const BUFFER_BYTES: usize = 1 << 16;

/// What kind of lines a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detected {
    /// Zeek's tab-separated lines.
    Tsv,
    /// JSON objects.
    Json(Dialect),
}

/// An open file whose format is known.
pub(super) struct Source {
    pub(super) lines: LineReader,
    pub(super) detected: Detected,
}

/// A file to read.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Connections are read before what they carried, so that less waits in memory.
    order: u8,
}

impl Source {
    /// Opens a file; the error is a sentence for the user.
    pub(super) fn open(path: &Path, settings: &Settings) -> Result<Self, String> {
        let mut lines = open_lines(path, settings).map_err(|error| error.to_string())?;
        let Some((detected, _)) = detect(&mut lines, settings.format) else {
            return Err(unknown(&mut lines, settings.format));
        };
        Ok(Self { lines, detected })
    }
}

fn unknown(lines: &mut LineReader, format: Format) -> String {
    if let Some(error) = lines.failed_at_start() {
        return error.to_string();
    }
    let expected = match format {
        Format::Auto => {
            "a Zeek log (a #fields line or JSON with id.orig_h) or flow NDJSON (JSON with src and dst)"
        }
        Format::Flows => "flow NDJSON (one JSON object with src and dst a line)",
        Format::Zeek => "a Zeek log (a #fields line, or one JSON object with id.orig_h a line)",
    };
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

fn open_lines(path: &Path, settings: &Settings) -> io::Result<LineReader> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    let mut raw = BufReader::with_capacity(BUFFER_BYTES, file);
    let compressed = raw.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let input: Box<dyn BufRead + Send> = if compressed {
        Box::new(BufReader::with_capacity(
            BUFFER_BYTES,
            MultiGzDecoder::new(raw),
        ))
    } else {
        Box::new(raw)
    };
    Ok(LineReader::new(input, settings.line_bytes_max))
}

/// The format of the lines, and whether they are of connections themselves.
fn detect(lines: &mut LineReader, format: Format) -> Option<(Detected, Option<Kind>)> {
    let mut header = tsv::Header::default();
    for line in lines.peek(LOOKED_AT) {
        if line.first() == Some(&b'#') {
            let named = line.starts_with(b"#fields");
            if header.read(line).is_ok() && named && format != Format::Flows {
                return Some((Detected::Tsv, tsv_kind(&header)));
            }
            continue;
        }
        let found = detect_json(line);
        match found {
            Some((Detected::Json(Dialect::Flows), _)) if format == Format::Zeek => {}
            Some((Detected::Json(Dialect::Zeek), _)) if format == Format::Flows => {}
            Some(_) => return found,
            None => {}
        }
    }
    None
}

fn tsv_kind(header: &tsv::Header) -> Option<Kind> {
    let stream = header.stream()?;
    matches!(stream, "conn" | "open_conn").then_some(Kind::Connection)
}

fn detect_json(line: &[u8]) -> Option<(Detected, Option<Kind>)> {
    let flow = json::row(line, Dialect::Flows).ok()?;
    if flow.names(Column::Source) && flow.names(Column::Destination) {
        return Some((Detected::Json(Dialect::Flows), Some(Kind::Connection)));
    }
    let zeek = json::row(line, Dialect::Zeek).ok()?;
    let addressed = zeek.names(Column::Source) && zeek.names(Column::Destination);
    if !addressed && !zeek.names(Column::Stream) {
        return None;
    }
    let kind = match record::classify(&zeek, Dialect::Zeek, None) {
        Ok(Classified::Record(record, _)) => Some(record.kind),
        _ => None,
    };
    Some((Detected::Json(Dialect::Zeek), kind))
}

/// All files to read: those named, and those in named folders whose format is known.
pub(super) fn discover(paths: &[PathBuf], settings: &Settings, report: &mut Report) -> Vec<Found> {
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
        let mut lines = open_lines(path, self.settings).ok()?;
        let (_, kind) = detect(&mut lines, self.settings.format)?;
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
