//! What was read, skipped and not readable.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::row::Scalar;

/// Longest part of an unusable value that a message shows, in characters.
const SHOWN_CHARACTERS_MAX: usize = 60;

/// Why a line or a field was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The line is longer than the limit.
    LineTooLong,
    /// The line is no JSON object.
    NotJson,
    /// A tab-separated line stands before any `#fields` line.
    NoHeader,
    /// A header line cannot be understood.
    InvalidHeader,
    /// The line has fewer or more fields than the header names.
    FieldCount,
    /// A needed field is absent, unset or empty.
    MissingField,
    /// A field has a value that it cannot have.
    InvalidField,
    /// A packet that cannot be read.
    UnusablePacket,
    /// The line is no row of a table.
    NotCsv,
}

impl Reason {
    /// The reason as it is written in JSON and in labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LineTooLong => "line_too_long",
            Self::NotJson => "not_json",
            Self::NoHeader => "no_header",
            Self::InvalidHeader => "invalid_header",
            Self::FieldCount => "field_count",
            Self::MissingField => "missing_field",
            Self::InvalidField => "invalid_field",
            Self::UnusablePacket => "unusable_packet",
            Self::NotCsv => "not_csv",
        }
    }

    /// The reason in words, for a summary.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::LineTooLong => "line too long",
            Self::NotJson => "not a JSON object",
            Self::NoHeader => "no header before the line",
            Self::InvalidHeader => "header not understood",
            Self::FieldCount => "wrong number of fields (cut off?)",
            Self::MissingField => "needed field missing",
            Self::InvalidField => "field with an impossible value",
            Self::UnusablePacket => "packet that cannot be read",
            Self::NotCsv => "no row of a table",
        }
    }
}

/// What is wrong with a line or a field, without the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) reason: Reason,
    pub(crate) field: Option<String>,
    pub(crate) expected: String,
    pub(crate) got: String,
}

impl Problem {
    pub(crate) fn too_long(bytes_max: usize) -> Self {
        Self {
            reason: Reason::LineTooLong,
            field: None,
            expected: format!("at most {bytes_max} bytes"),
            got: "a longer line".to_owned(),
        }
    }

    pub(crate) fn missing(field: &str, expected: &str) -> Self {
        Self {
            reason: Reason::MissingField,
            field: Some(field.to_owned()),
            expected: expected.to_owned(),
            got: "nothing".to_owned(),
        }
    }

    pub(crate) fn invalid(field: &str, expected: &str, got: &Scalar<'_>) -> Self {
        Self {
            reason: Reason::InvalidField,
            field: Some(field.to_owned()),
            expected: expected.to_owned(),
            got: got.shown(),
        }
    }
}

/// `text` quoted, escaped and cut, so that a message stays one harmless line.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARACTERS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// A line that was skipped, or a field of it that was not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skip {
    /// File.
    pub file: PathBuf,
    /// Line; the first is 1.
    pub line: u64,
    /// Field, where the problem lies in one.
    pub field: Option<String>,
    /// Why.
    pub reason: Reason,
    /// What was expected.
    pub expected: String,
    /// What was there, cut to a readable length.
    pub got: String,
    /// Whether the line was used all the same, without the field.
    pub line_used: bool,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file.display(), self.line)?;
        if let Some(field) = &self.field {
            write!(f, "field {field}: ")?;
        }
        write!(f, "expected {}, got {}", self.expected, self.got)?;
        f.write_str(if self.line_used {
            " (field not used)"
        } else {
            " (line skipped)"
        })
    }
}

/// A file that could not be read, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}: {message}", file.display())]
pub struct FileProblem {
    /// File.
    pub file: PathBuf,
    /// What happened.
    pub message: String,
}

/// What was read, skipped and could not be read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Files read, also those read in part.
    pub files_read: u64,
    /// Files in folders of unknown formats.
    pub files_of_other_kind: u64,
    /// The first of them.
    pub files_of_other_kind_kept: Vec<PathBuf>,
    /// Lines with data; in captures packets.
    pub lines: u64,
    /// Lines or packets in use.
    pub records: u64,
    /// Records that tell of no connection (Zeek's `files`, Suricata's `stats`, ARP, ...).
    pub other_records: u64,
    /// Records of a connection that another record told of already.
    pub duplicates: u64,
    /// TCP connections in captures whose beginning was not captured.
    pub mid_stream: u64,
    /// Connections in captures that ended early because there was no room for more.
    pub evicted: u64,
    /// Lines skipped, by reason.
    pub skipped: BTreeMap<Reason, u64>,
    /// Fields not used in lines that were used, by reason.
    pub fields_not_used: BTreeMap<Reason, u64>,
    /// The first problems word for word.
    pub kept: Vec<Skip>,
    /// Files that could not be read, or not to their end.
    pub file_problems: Vec<FileProblem>,
    #[serde(skip)]
    kept_max: usize,
}

impl Report {
    pub(crate) fn new(kept_max: usize) -> Self {
        Self {
            kept_max,
            ..Self::default()
        }
    }

    /// Number of lines skipped, whatever the reason.
    #[must_use]
    pub fn lines_skipped(&self) -> u64 {
        self.skipped.values().sum()
    }

    /// Number of fields not used in lines that were used.
    #[must_use]
    pub fn fields_not_used_total(&self) -> u64 {
        self.fields_not_used.values().sum()
    }

    pub(crate) fn skip(&mut self, file: &Path, line: u64, problem: Problem) {
        *self.skipped.entry(problem.reason).or_default() += 1;
        self.keep(file, line, problem, false);
    }

    pub(crate) fn ignore_field(&mut self, file: &Path, line: u64, problem: Problem) {
        *self.fields_not_used.entry(problem.reason).or_default() += 1;
        self.keep(file, line, problem, true);
    }

    pub(crate) fn file_problem(&mut self, file: &Path, message: impl fmt::Display) {
        self.file_problems.push(FileProblem {
            file: file.to_path_buf(),
            message: message.to_string(),
        });
    }

    pub(crate) fn other_kind(&mut self, file: &Path) {
        self.files_of_other_kind += 1;
        if self.files_of_other_kind_kept.len() < self.kept_max {
            self.files_of_other_kind_kept.push(file.to_path_buf());
        }
    }

    fn keep(&mut self, file: &Path, line: u64, problem: Problem, line_used: bool) {
        if self.kept.len() < self.kept_max {
            let Problem {
                reason,
                field,
                expected,
                got,
            } = problem;
            let file = file.to_path_buf();
            self.kept.push(Skip {
                file,
                line,
                field,
                reason,
                expected,
                got,
                line_used,
            });
        }
    }
}
