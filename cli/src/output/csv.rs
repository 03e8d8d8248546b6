//! Comma-separated values that a spreadsheet does not take for formulas.
//!
//! Names come from the network: a cell that begins with what a spreadsheet would calculate gets an
//! apostrophe in front, as OWASP advises, and characters that a terminal would obey are replaced.

use std::io::{self, Write};

use super::text;

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    /// Text from anywhere.
    Text(String),
    /// A number or a time of our own making.
    Own(String),
}

impl Cell {
    /// An integer.
    pub(crate) fn integer(value: u64) -> Self {
        Self::Own(value.to_string())
    }

    /// A number with at most `digits` after the point; empty when there is none.
    pub(crate) fn real(value: Option<f64>, digits: usize) -> Self {
        Self::Own(value.map_or_else(String::new, |value| {
            let text = format!("{value:.digits$}");
            if !text.contains('.') {
                return text;
            }
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }))
    }

    fn into_text(self) -> String {
        match self {
            Self::Text(text) => guarded(&text),
            Self::Own(text) => text,
        }
    }
}

fn guarded(cell: &str) -> String {
    let risky = cell.trim_start().starts_with([
        '=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ]) || cell.starts_with(['\t', '\r', '\n']);
    let harmless = text::harmless(cell);
    if risky {
        format!("'{harmless}")
    } else {
        harmless
    }
}

/// Writes `head` and `rows`.
pub(crate) fn write(
    out: &mut dyn Write,
    head: &[&str],
    rows: impl IntoIterator<Item = Vec<Cell>>,
) -> io::Result<()> {
    let mut writer = ::csv::Writer::from_writer(out);
    writer.write_record(head)?;
    for row in rows {
        writer.write_record(row.into_iter().map(Cell::into_text))?;
    }
    writer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(cell: Cell) -> String {
        let mut out = Vec::new();
        write(&mut out, &["Name", "Next"], [vec![cell, Cell::integer(1)]]).unwrap();
        let text = String::from_utf8(out).unwrap();
        text.strip_prefix("Name,Next\n")
            .unwrap()
            .trim_end()
            .to_owned()
    }

    #[test]
    fn what_a_spreadsheet_would_calculate_gets_an_apostrophe() {
        for (text, cell) in [
            ("=1+1", "'=1+1,1"),
            ("+1", "'+1,1"),
            ("-1", "'-1,1"),
            ("@SUM(A1)", "'@SUM(A1),1"),
            (" =1", "' =1,1"),
            ("\t=1", "'\u{fffd}=1,1"),
            (
                "=HYPERLINK(\"x\",\"y\")",
                "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\",1",
            ),
            ("plain-name", "plain-name,1"),
            ("a,b", "\"a,b\",1"),
            ("a\u{1b}[2Jb", "a\u{fffd}[2Jb,1"),
            ("", ",1"),
        ] {
            assert_eq!(written(Cell::Text(text.to_owned())), cell, "{text:?}");
        }
    }

    #[test]
    fn numbers_have_no_more_digits_than_they_need() {
        for (value, digits, text) in [
            (Some(60.0), 3, "60"),
            (Some(0.126), 2, "0.13"),
            (Some(1.5), 3, "1.5"),
            (Some(100.0), 0, "100"),
            (None, 3, ""),
        ] {
            assert_eq!(Cell::real(value, digits), Cell::Own(text.to_owned()));
        }
    }
}
