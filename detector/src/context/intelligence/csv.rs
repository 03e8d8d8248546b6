//! Lists as CSV: a header names the column of indicators.

use csv::{ReaderBuilder, StringRecord};

use super::{IntelligenceBuilder, IntelligenceError, Reading, SkipReason};

/// Names that feeds give the column of indicators, the most telling first.
const USUAL_COLUMNS: [&str; 20] = [
    "ioc",
    "ioc_value",
    "indicator",
    "indicator_value",
    "value",
    "dst_ip",
    "dest_ip",
    "dst_host",
    "ip",
    "ip_address",
    "ipaddress",
    "ipv4",
    "address",
    "network",
    "cidr",
    "domain",
    "domain_name",
    "hostname",
    "host",
    "url",
];

pub(super) fn read(
    builder: &mut IntelligenceBuilder,
    reading: &mut Reading,
    text: &str,
    column: Option<&str>,
) -> Result<(), IntelligenceError> {
    // With one kind of line ends, and one at the end, the reader stands behind the last line of a record.
    let text = text.replace("\r\n", "\n") + "\n";
    let header = Header::find(&text, column)?;
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(header.rest.as_bytes());
    let mut record = StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => return Err(format_error(&error)),
        }
        let line = header.line + reader.position().line().saturating_sub(1);
        let value = record.get(header.column).filter(|it| !it.is_empty());
        if let Some(value) = value {
            builder.add(reading, line, &header.name, value, 1.0, i64::MAX);
        } else {
            reading.skip(SkipReason::NotAnIndicator);
            reading.error(line, &header.name, "", "a value in this column");
        }
    }
}

/// Where the indicators stand, and what comes after the header.
struct Header<'a> {
    line: u64,
    column: usize,
    name: String,
    rest: &'a str,
}

impl<'a> Header<'a> {
    /// The first line that has a column of indicators among the comments at the top, or else the first line that
    /// is no comment.
    fn find(text: &'a str, column: Option<&str>) -> Result<Self, IntelligenceError> {
        let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut number = 0;
        loop {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            number += 1;
            let bare = line.trim().trim_start_matches('#').trim_start();
            let comment = bare.len() < line.trim().len();
            let names = split(bare);
            // A word in a sentence of a comment is no column.
            if let Some(found) = place(&names, column).filter(|_| !comment || names.len() > 1) {
                return Ok(Self {
                    line: number,
                    column: found,
                    name: names.get(found).cloned().unwrap_or_default(),
                    rest: after,
                });
            }
            if after.is_empty() || !(comment || bare.is_empty()) {
                let shown: String = names.join(", ").chars().take(200).collect();
                return Err(IntelligenceError::Column {
                    line: number,
                    found: shown,
                    expected: column.map_or_else(|| USUAL_COLUMNS.join(", "), str::to_owned),
                });
            }
            rest = after;
        }
    }
}

fn split(line: &str) -> Vec<String> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .trim(csv::Trim::All)
        .from_reader(line.as_bytes());
    let first = reader.records().next();
    first.and_then(Result::ok).map_or_else(Vec::new, |record| {
        record
            .iter()
            .map(|name| name.trim_matches('"').to_ascii_lowercase())
            .collect()
    })
}

fn place(names: &[String], column: Option<&str>) -> Option<usize> {
    let at = |wanted: &str| {
        names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(wanted))
    };
    match column {
        Some(column) => at(column),
        None => USUAL_COLUMNS.iter().find_map(|usual| at(usual)),
    }
}

fn format_error(error: &csv::Error) -> IntelligenceError {
    IntelligenceError::Format {
        format: "CSV",
        message: error.to_string(),
    }
}
