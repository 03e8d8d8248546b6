//! Tables of connections: a header line that names the columns, then one connection a line (RFC 4180, also
//! with semicolons, tabs or bars). A row does not go on in the next line.

use std::borrow::Cow;

use super::record::Dialect;
use super::report::{Problem, Reason, quoted};
use super::row::{Column, Row, Scalar};

/// Columns that tell a table of BeaconHunter's.
const BEACON_HUNTER: [&str; 4] = ["event_id", "host_id", "inter_event_seconds", "proc_name"];
/// More columns than any table of connections has.
const COLUMNS_MAX: usize = 512;

/// What the header line says.
#[derive(Debug)]
pub(crate) struct Header {
    line: Vec<u8>,
    splitter: Splitter,
    dialect: Dialect,
    columns: Vec<(String, Option<Column>)>,
}

impl Header {
    /// Reads a header line; `None` when it does not name what a connection needs.
    pub(crate) fn read(line: &[u8]) -> Option<Self> {
        let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        [b',', b';', b'\t', b'|']
            .into_iter()
            .find_map(|separator| Self::separated(line, text, separator))
    }

    fn separated(line: &[u8], text: &[u8], separator: u8) -> Option<Self> {
        let mut splitter = Splitter::new(separator);
        splitter.split(text)?;
        let names: Vec<String> = splitter
            .fields()
            .map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase())
            .map(|name| name.replace([' ', '-'], "_"))
            .collect();
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        let dialect = if BEACON_HUNTER.iter().all(|name| has(name)) {
            Dialect::BeaconHunter
        } else {
            Dialect::Csv
        };
        let columns: Vec<(String, Option<Column>)> = names
            .into_iter()
            .map(|name| (Column::of(&name, dialect), name))
            .map(|(column, name)| (name, column))
            .collect();
        let names = |wanted: &[Column]| {
            let mut columns = columns.iter().filter_map(|(_, column)| *column);
            columns.any(|column| wanted.contains(&column))
        };
        let times = [
            Column::Time,
            Column::TimeMillis,
            Column::TimeMicros,
            Column::TimeNanos,
        ];
        let enough = names(&times)
            && names(&[Column::Source])
            && names(&[Column::Destination])
            && names(&[Column::DestinationPort])
            && names(&[Column::Protocol]);
        enough.then(|| Self {
            line: line.to_vec(),
            splitter,
            dialect,
            columns,
        })
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Tables put one after the other repeat the header.
    pub(crate) fn is_again(&self, line: &[u8]) -> bool {
        line == self.line
    }

    /// The fields of a row.
    pub(crate) fn row(&mut self, line: &[u8]) -> Result<Row<'static>, Problem> {
        self.splitter.split(line).ok_or_else(|| Problem {
            reason: Reason::NotCsv,
            field: None,
            expected: "a row on one line".to_owned(),
            got: quoted(&String::from_utf8_lossy(line)),
        })?;
        let count = self.splitter.fields;
        if count != self.columns.len() {
            return Err(Problem {
                reason: Reason::FieldCount,
                field: self.columns.get(count).map(|(name, _)| name.clone()),
                expected: format!("{} fields", self.columns.len()),
                got: count.to_string(),
            });
        }
        let mut row = Row::default();
        for (value, (_, column)) in self.splitter.fields().zip(&self.columns) {
            let value = value.trim_ascii();
            if let Some(column) = column.filter(|column| !row.names(*column)) {
                let empty = matches!(value, b"" | b"-" | b"NaN" | b"nan" | b"null" | b"None");
                let text = || Scalar::Text(Cow::Owned(String::from_utf8_lossy(value).into_owned()));
                row.set(column, (!empty).then(text));
            }
        }
        Ok(row)
    }
}

/// Splits lines into fields. Building one takes long, splitting does not.
#[derive(Debug)]
struct Splitter {
    reader: csv_core::Reader,
    output: Vec<u8>,
    ends: Vec<usize>,
    fields: usize,
}

impl Splitter {
    fn new(separator: u8) -> Self {
        Self {
            reader: csv_core::ReaderBuilder::new().delimiter(separator).build(),
            output: Vec::new(),
            ends: vec![0; COLUMNS_MAX + 1],
            fields: 0,
        }
    }

    /// Splits a line; `None` when it is not exactly one row.
    fn split(&mut self, line: &[u8]) -> Option<()> {
        // A quote that does not end would take the separators after it into its field.
        let open = line.iter().fold(false, |open, byte| open ^ (*byte == b'"'));
        if open {
            return None;
        }
        self.reader.reset();
        self.output.resize(line.len() + 1, 0);
        let (_, read, written, ends) =
            self.reader
                .read_record(line, &mut self.output, &mut self.ends);
        if read < line.len() {
            return None;
        }
        // The end of the input ends the row.
        let output = self.output.get_mut(written..)?;
        let rest = self.ends.get_mut(ends..)?;
        let (result, _, _, more) = self.reader.read_record(&[], output, rest);
        self.fields = ends + more;
        (result == csv_core::ReadRecordResult::Record).then_some(())
    }

    /// The fields of the last line.
    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.ends.get(..self.fields).unwrap_or_default();
        let starts = std::iter::once(&0).chain(ends);
        starts
            .zip(ends)
            .map(|(start, end)| self.output.get(*start..*end).unwrap_or_default())
    }
}

/// What is wrong with a table whose first line is no header.
pub(crate) fn no_header(line: &[u8]) -> Problem {
    Problem {
        reason: Reason::InvalidHeader,
        field: None,
        expected: "a header line that names time, source, destination, port and protocol"
            .to_owned(),
        got: quoted(&String::from_utf8_lossy(line)),
    }
}
