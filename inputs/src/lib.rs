//! Files in, observations out: one normaliser for many formats.
//!
//! | Format | What is read |
//! |---|---|
//! | flow NDJSON | one JSON object a line: `ts, src, sport, dst, dport, proto, server_name, duration, orig_bytes, resp_bytes, conn_state, uid`, and `ja4` or `ja3` (also `tls.client.ja4`, `tls.client.ja3`); activity inside long connections is a line with `uid` and sizes but without `sport`, `duration` and `conn_state` |
//! | Zeek | `conn`, `http`, `ssl`, `quic` and `dns` logs, tab-separated with header lines or as JSON lines, also of open connections |
//! | Suricata EVE | `flow` and `netflow` events are connections (sizes with headers, as Suricata counts them); `tls`, `quic`, `http` and `dns` name the server of their `flow_id`, `tls` and `quic` the client's fingerprint (JA4, else JA3) |
//! | tables | CSV with a header line (also `;`, tab or `|`) that names time, source, destination, port and protocol, by any of their usual names; a lone `bytes` counts as sent; times without an offset are UTC. BeaconHunter's tables too, with host and process |
//! | captures | pcap and pcapng: see the rules in [`beaconwatch_packets`]; the `ClientHello` of TLS and QUIC gives the client's fingerprint (JA4) |
//! | telemetry | batches of packets, see [`telemetry`] |
//!
//! Each may be gzip-compressed; folders are read recursively, `-` is standard input. The format is told by
//! content, never by name.
//!
//! # Contract
//! - A line or packet that cannot be used is skipped and counted with file, line, field, what was expected and
//!   what was there ([`Skip`]); its neighbours are read. A field that is wrong but not needed leaves
//!   the line in use and is counted apart.
//! - A file that ends in the middle (a cut gzip stream, a line cut in half) gives all that stands
//!   before the cut, and one counted problem.
//! - A connection that several records tell of (`conn`, an open-connections log, the same file twice)
//!   counts once. Records of what a connection carried (`http`, `ssl`, `quic`, `dns`) name its server; where
//!   no record of the connection itself was read they stand for it: the first opens it, the others are activity.
//! - Observations come sorted by time.
//!
//! # Limits
//! Lines are at most [`Settings::line_bytes_max`] long. All observations are held in memory, because
//! names and duplicates are joined over all files: about 300 bytes a connection.

mod captures;
mod column;
mod connections;
mod decoder;
mod join;
mod json;
mod lines;
mod observation;
mod record;
mod report;
mod row;
mod source;
mod table;
pub mod tail;
pub mod telemetry;
mod tsv;

use std::path::{Path, PathBuf};

use beaconwatch_detector::Observation;
use serde::{Deserialize, Serialize};

pub use report::{FileProblem, Reason, Report, Skip};
pub use source::open_plain;

use captures::Captures;
use decoder::LineDecoder;
use join::Joiner;
use lines::{Line, LineReader, Stopped};
use record::Classified;
use report::Problem;
use source::Content;

/// Which format the files have.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Told by content, for each file.
    #[default]
    Auto,
    /// Flow NDJSON.
    Flows,
    /// Zeek logs.
    Zeek,
    /// Suricata's EVE JSON.
    Eve,
    /// Tables of connections with a header line.
    Csv,
    /// Captures: pcap and pcapng.
    Pcap,
}

impl Format {
    /// What a file of this format is, for messages.
    pub(crate) const fn expected(self) -> &'static str {
        match self {
            Self::Auto => {
                "a Zeek log (a #fields line or JSON with id.orig_h), flow NDJSON (JSON with src and dst), \
                 Suricata EVE (JSON with event_type and timestamp), a table with a header line, \
                 or a capture (pcap, pcapng)"
            }
            Self::Flows => "flow NDJSON (one JSON object with src and dst a line)",
            Self::Zeek => "a Zeek log (a #fields line, or one JSON object with id.orig_h a line)",
            Self::Eve => "Suricata EVE (one JSON object with event_type and timestamp a line)",
            Self::Csv => {
                "a table whose header line names time, source, destination, port and protocol, \
                 such as timestamp,src_ip,dst_ip,dst_port,protocol"
            }
            Self::Pcap => "a capture (pcap or pcapng)",
        }
    }
}

/// How to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Format of the files.
    pub format: Format,
    /// Longest line that is read; longer ones are skipped and counted.
    pub line_bytes_max: usize,
    /// Living connections that the packets of captures are joined in; past that the one looked at longest
    /// ago ends.
    pub capture_connections_max: usize,
    /// Number of skips that the report keeps word for word; all are counted.
    pub kept_skips_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            format: Format::Auto,
            line_bytes_max: 1 << 20,
            capture_connections_max: 1 << 20,
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
    #[error("no log, table of connections or capture in {}", display_paths(paths))]
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
    let mut intake = Intake::new(settings);
    let files = source::discover(paths, settings, &mut intake.report);
    for file in &files {
        intake.file(&file.path);
    }
    if intake.report.files_read == 0 {
        return Err(match intake.report.file_problems.first() {
            Some(first) => ReadError::NothingReadable {
                files: intake.report.file_problems.len(),
                first: first.clone(),
            },
            None => ReadError::NoLog {
                paths: paths.to_vec(),
            },
        });
    }
    Ok(intake.finish())
}

/// Reads one stream from memory, as [`read()`] reads a file; `None` when its format is unknown.
#[must_use]
pub fn read_bytes(bytes: &[u8], settings: &Settings) -> Option<Reading> {
    let input = Box::new(std::io::Cursor::new(bytes.to_vec()));
    let content = Content::of(input, settings).ok()?;
    let mut intake = Intake::new(settings);
    intake.content(Path::new("memory"), content);
    Some(intake.finish())
}

/// Where all that is read goes.
struct Intake<'a> {
    settings: &'a Settings,
    joiner: Joiner,
    captures: Captures,
    report: Report,
}

impl<'a> Intake<'a> {
    fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            joiner: Joiner::default(),
            captures: Captures::new(settings.capture_connections_max),
            report: Report::new(settings.kept_skips_max),
        }
    }

    fn file(&mut self, path: &Path) {
        match Content::open(path, self.settings) {
            Ok(content) => self.content(path, content),
            Err(problem) => self.report.file_problem(path, problem),
        }
    }

    fn content(&mut self, path: &Path, content: Content) {
        self.report.files_read += 1;
        match content {
            Content::Lines(lines, decoder) => {
                if let Err(stopped) = self.lines(path, *lines, decoder) {
                    self.report.file_problem(path, stopped);
                }
            }
            Content::Capture(input) => {
                let (joiner, report) = (&mut self.joiner, &mut self.report);
                if let Err(stopped) = self.captures.read(path, input, joiner, report) {
                    self.report.file_problem(path, stopped);
                }
            }
        }
    }

    fn lines(
        &mut self,
        path: &Path,
        mut lines: LineReader,
        mut decoder: LineDecoder,
    ) -> Result<(), Stopped> {
        let bytes_max = lines.bytes_max();
        while let Some((number, line)) = lines.next()? {
            let outcome = match line {
                Line::TooLong => Err(Problem::too_long(bytes_max)),
                Line::Text(text) => match decoder.line(text) {
                    Some(outcome) => outcome,
                    None => continue,
                },
            };
            self.take(path, number, outcome);
        }
        Ok(())
    }

    fn take(&mut self, path: &Path, line: u64, outcome: Result<Classified, Problem>) {
        let report = &mut self.report;
        report.lines += 1;
        match outcome {
            Ok(Classified::Record(record, ignored)) => {
                report.records += 1;
                for problem in ignored {
                    report.ignore_field(path, line, problem);
                }
                self.joiner.add(&record);
            }
            Ok(Classified::OtherLog) => report.other_records += 1,
            Err(problem) => report.skip(path, line, problem),
        }
    }

    fn finish(mut self) -> Reading {
        self.captures.finish(&mut self.joiner);
        let counters = self.captures.counters();
        self.report.mid_stream = counters.mid_stream;
        self.report.evicted = counters.evicted;
        let observations = self.joiner.finish(&mut self.report);
        Reading {
            observations,
            report: self.report,
        }
    }
}

#[cfg(test)]
mod tests;
