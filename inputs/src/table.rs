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
    separator: u8,
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
        let names: Vec<String> = record(text, separator)?
            .iter()
            .map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase())
            .map(|name| name.replace([' ', '-'], "_"))
            .collect();
        if names.len() > COLUMNS_MAX {
            return None;
        }
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
            separator,
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
    pub(crate) fn row(&self, line: &[u8]) -> Result<Row<'static>, Problem> {
        let fields = record(line, self.separator).ok_or_else(|| Problem {
            reason: Reason::NotCsv,
            field: None,
            expected: "a row on one line".to_owned(),
            got: quoted(&String::from_utf8_lossy(line)),
        })?;
        if fields.len() != self.columns.len() {
            return Err(Problem {
                reason: Reason::FieldCount,
                field: self.columns.get(fields.len()).map(|(name, _)| name.clone()),
                expected: format!("{} fields", self.columns.len()),
                got: fields.len().to_string(),
            });
        }
        let mut row = Row::default();
        for (value, (_, column)) in fields.iter().zip(&self.columns) {
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

/// One line as a record; `None` when it is not exactly one.
fn record(line: &[u8], separator: u8) -> Option<csv::ByteRecord> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .buffer_capacity(line.len().max(1))
        .from_reader(line);
    let mut record = csv::ByteRecord::new();
    let read = reader.read_byte_record(&mut record).unwrap_or(false);
    // A quote that does not end would take the separators after it into its field.
    let open = line.iter().fold(false, |open, byte| open ^ (*byte == b'"'));
    (read && !open).then_some(record)
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
