//! Files in, observations out: one normaliser for several log formats.
//!
//! | Format | What is read |
//! |---|---|
//! | flow NDJSON | one JSON object a line: `ts, src, sport, dst, dport, proto, server_name, duration, orig_bytes, resp_bytes, conn_state, uid`; activity inside long connections is a line with `uid` and sizes but without `sport`, `duration` and `conn_state` |
//! | Zeek | `conn`, `http`, `ssl`, `quic` and `dns` logs, tab-separated with header lines or as JSON lines, also of open connections |
//!
//! Each may be gzip-compressed; folders are read recursively. The format is told by content, never by name.
//!
//! # Contract
//! - A line that cannot be used is skipped and counted with file, line, field, what was expected and
//!   what was there ([`Skip`]); its neighbours are read. A field that is wrong but not needed leaves
//!   the line in use and is counted apart.
//! - A file that ends in the middle (a cut gzip stream, a line cut in half) gives all that stands
//!   before the cut, and one counted problem.
//! - A connection that several records tell of (`conn`, an open-connections log, the same file twice)
//!   counts once. Records of `http`, `ssl`, `quic` and `dns` name the server of their connection; where
//!   no `conn` record of it was read they stand for it: the first opens it, the others are activity.
//! - Observations come sorted by time.
//!
//! # Limits
//! Lines are at most [`Settings::line_bytes_max`] long. All observations are held in memory, because
//! names and duplicates are joined over all files: about 300 bytes a connection.

mod column;
mod join;
mod json;
mod lines;
mod observation;
mod packets;
mod record;
mod report;
mod row;
mod source;
pub mod telemetry;
mod tsv;

use std::path::{Path, PathBuf};

use beaconwatch_detector::Observation;
use serde::{Deserialize, Serialize};

pub use report::{FileProblem, Reason, Report, Skip};

use join::Joiner;
use lines::{Line, LineReader, Stopped};
use record::{Classified, Dialect};
use report::Problem;
use source::{Detected, Source};

/// Which format the files have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Told by content, for each file.
    #[default]
    Auto,
    /// Flow NDJSON.
    Flows,
    /// Zeek logs.
    Zeek,
}

/// How to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Format of the files.
    pub format: Format,
    /// Longest line that is read; longer ones are skipped and counted.
    pub line_bytes_max: usize,
    /// Number of skips that the report keeps word for word; all are counted.
    pub kept_skips_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            format: Format::Auto,
            line_bytes_max: 1 << 20,
            kept_skips_max: 20,
        }
    }
}

/// What was read.
#[derive(Debug, Default)]
pub struct Reading {
    /// Observations, sorted by time.
    pub observations: Vec<Observation>,
    /// What was read, skipped and could not be read.
    pub report: Report,
}

/// Why nothing could be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No path was given.
    #[error("no file to read: expected at least one path")]
    NoPath,
    /// None of the paths gave a readable file.
    #[error("none of {files} files could be read: {first}")]
    NothingReadable {
        /// Number of files tried.
        files: usize,
        /// The first problem.
        first: FileProblem,
    },
    /// The folders hold no log.
    #[error("no Zeek log and no flow NDJSON in {}", display_paths(paths))]
    NoLog {
        /// The paths that were searched.
        paths: Vec<PathBuf>,
    },
}

fn display_paths(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    shown.join(", ")
}

/// Reads all files and folders in `paths`.
pub fn read(paths: &[PathBuf], settings: &Settings) -> Result<Reading, ReadError> {
    if paths.is_empty() {
        return Err(ReadError::NoPath);
    }
    let mut report = Report::new(settings.kept_skips_max);
    let mut joiner = Joiner::default();
    let files = source::discover(paths, settings, &mut report);
    for file in &files {
        read_file(&file.path, settings, &mut joiner, &mut report);
    }
    if report.files_read == 0 {
        return Err(match report.file_problems.first() {
            Some(first) => ReadError::NothingReadable {
                files: report.file_problems.len(),
                first: first.clone(),
            },
            None => ReadError::NoLog {
                paths: paths.to_vec(),
            },
        });
    }
    let observations = joiner.finish(&mut report);
    Ok(Reading {
        observations,
        report,
    })
}

fn read_file(path: &Path, settings: &Settings, joiner: &mut Joiner, report: &mut Report) {
    let source = match Source::open(path, settings) {
        Ok(source) => source,
        Err(problem) => return report.file_problem(path, problem),
    };
    report.files_read += 1;
    let Source { lines, detected } = source;
    let outcome = match detected {
        Detected::Tsv => read_tsv(path, lines, joiner, report),
        Detected::Json(dialect) => read_json(path, lines, dialect, joiner, report),
    };
    if let Err(stopped) = outcome {
        report.file_problem(path, stopped);
    }
}

fn read_tsv(
    path: &Path,
    mut lines: LineReader,
    joiner: &mut Joiner,
    report: &mut Report,
) -> Result<(), Stopped> {
    let mut header = tsv::Header::default();
    let bytes_max = lines.bytes_max();
    while let Some((number, line)) = lines.next()? {
        let text = match line {
            Line::TooLong => {
                report.skip(path, number, Problem::too_long(bytes_max));
                continue;
            }
            Line::Text(text) => text,
        };
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if text.first() == Some(&b'#') {
            if let Err(problem) = header.read(text) {
                report.skip(path, number, problem);
            }
            continue;
        }
        let outcome = header
            .row(text)
            .and_then(|row| record::classify(&row, Dialect::Zeek, header.stream()));
        take(path, number, outcome, joiner, report);
    }
    Ok(())
}

fn read_json(
    path: &Path,
    mut lines: LineReader,
    dialect: Dialect,
    joiner: &mut Joiner,
    report: &mut Report,
) -> Result<(), Stopped> {
    let bytes_max = lines.bytes_max();
    while let Some((number, line)) = lines.next()? {
        let outcome = match line {
            Line::TooLong => Err(Problem::too_long(bytes_max)),
            Line::Text(text) if text.iter().all(u8::is_ascii_whitespace) => continue,
            Line::Text(text) => {
                json::row(text, dialect).and_then(|row| record::classify(&row, dialect, None))
            }
        };
        take(path, number, outcome, joiner, report);
    }
    Ok(())
}

fn take(
    path: &Path,
    line: u64,
    outcome: Result<Classified, Problem>,
    joiner: &mut Joiner,
    report: &mut Report,
) {
    report.lines += 1;
    match outcome {
        Ok(Classified::Record(record, ignored)) => {
            report.records += 1;
            for problem in ignored {
                report.ignore_field(path, line, problem);
            }
            joiner.add(&record);
        }
        Ok(Classified::OtherLog) => report.other_records += 1,
        Err(problem) => report.skip(path, line, problem),
    }
}

#[cfg(test)]
mod tests;
