//! One line at a time, in any of the formats that have lines.

use super::record::{self, Classified, Dialect, Kind};
use super::report::Problem;
use super::row::Column;
use super::{Format, json, table, tsv};

/// What the lines before said of the lines that come.
#[derive(Debug)]
pub(crate) enum LineDecoder {
    /// Zeek's tab-separated lines.
    Tsv(tsv::Header),
    /// JSON objects.
    Json(Dialect),
    /// Rows of a table whose header line was not read yet, or was.
    Table(Option<Box<table::Header>>),
}

impl LineDecoder {
    /// What a line says; `None` when it is blank or a header.
    pub(crate) fn line(&mut self, text: &[u8]) -> Option<Result<Classified, Problem>> {
        if text.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        match self {
            Self::Tsv(header) if text.first() == Some(&b'#') => header.read(text).err().map(Err),
            Self::Tsv(header) => {
                let row = header.row(text);
                Some(row.and_then(|row| record::classify(&row, Dialect::Zeek, header.stream())))
            }
            Self::Json(dialect) => {
                let row = json::row(text, *dialect);
                Some(row.and_then(|row| record::classify(&row, *dialect, None)))
            }
            Self::Table(Some(header)) if header.is_again(text) => None,
            Self::Table(Some(header)) => {
                let row = header.row(text);
                Some(row.and_then(|row| record::classify(&row, header.dialect(), None)))
            }
            Self::Table(header) => {
                *header = table::Header::read(text).map(Box::new);
                match header {
                    Some(_) => None,
                    None => Some(Err(table::no_header(text))),
                }
            }
        }
    }
}

/// The format of the lines, and whether they are of connections themselves. Nothing is taken in.
pub(crate) fn detect<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    format: Format,
) -> Option<(LineDecoder, Option<Kind>)> {
    let mut header = tsv::Header::default();
    let mut first = true;
    for line in lines {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if line.first() == Some(&b'#') {
            let named = line.starts_with(b"#fields");
            if header.read(line).is_ok() && named && matches!(format, Format::Auto | Format::Zeek) {
                let decoder = LineDecoder::Tsv(tsv::Header::default());
                return Some((decoder, tsv_kind(&header)));
            }
            continue;
        }
        let table = first && matches!(format, Format::Auto | Format::Csv);
        first = false;
        if table && table::Header::read(line).is_some() {
            return Some((LineDecoder::Table(None), Some(Kind::Connection)));
        }
        if let Some((dialect, kind)) = detect_json(line, format) {
            return Some((LineDecoder::Json(dialect), kind));
        }
    }
    None
}

fn tsv_kind(header: &tsv::Header) -> Option<Kind> {
    let stream = header.stream()?;
    matches!(stream, "conn" | "open_conn").then_some(Kind::Connection)
}

fn detect_json(line: &[u8], format: Format) -> Option<(Dialect, Option<Kind>)> {
    let asked = |wanted| format == Format::Auto || format == wanted;
    if line.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    if asked(Format::Flows) {
        let flow = json::row(line, Dialect::Flows).ok()?;
        if flow.names(Column::Source) && flow.names(Column::Destination) {
            return Some((Dialect::Flows, Some(Kind::Connection)));
        }
    }
    if asked(Format::Eve) {
        let eve = json::row(line, Dialect::Eve).ok()?;
        if eve.names(Column::Stream) && eve.names(Column::Time) {
            return Some((Dialect::Eve, Some(Kind::Connection)));
        }
    }
    if !asked(Format::Zeek) {
        return None;
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
    Some((Dialect::Zeek, kind))
}
