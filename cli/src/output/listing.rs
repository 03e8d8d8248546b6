//! A list from the API: as a table that fits, as CSV, or as it came.

use std::io::{self, Write};

use comfy_table::{Cell, CellAlignment, ColumnConstraint};
use serde_json::Value;

use super::answer::{items, number};
use super::csv;
use super::score_table::{self, Style};
use super::{json, text};
use crate::arguments::ListPrintArguments;
use crate::error::Error;

/// A column of a table.
pub(crate) struct Column {
    /// Its head.
    pub(crate) title: &'static str,
    /// What stands in it: already harmless; several lines where it says so.
    pub(crate) value: fn(&Value) -> String,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text, which may be broken over several lines.
    Text,
    /// Text that is never broken.
    Word,
    /// A number.
    Number,
    /// A severity, which is coloured.
    Severity,
}

impl Column {
    pub(crate) const fn text(title: &'static str, value: fn(&Value) -> String) -> Self {
        Self {
            title,
            value,
            kind: Kind::Text,
        }
    }

    pub(crate) const fn word(title: &'static str, value: fn(&Value) -> String) -> Self {
        Self {
            title,
            value,
            kind: Kind::Word,
        }
    }

    pub(crate) const fn number(title: &'static str, value: fn(&Value) -> String) -> Self {
        Self {
            title,
            value,
            kind: Kind::Number,
        }
    }

    pub(crate) const fn severity(title: &'static str, value: fn(&Value) -> String) -> Self {
        Self {
            title,
            value,
            kind: Kind::Severity,
        }
    }
}

/// A column of CSV.
pub(crate) type CsvColumn = (&'static str, fn(&Value) -> csv::Cell);

/// How a list is printed.
pub(crate) struct Listing {
    /// Where its entries stand in the answer.
    pub(crate) key: &'static str,
    /// What is said when there are none.
    pub(crate) empty: &'static str,
    /// Columns where there is room for each entry on one line.
    pub(crate) wide: &'static [Column],
    /// Columns where there is not.
    pub(crate) narrow: &'static [Column],
    /// Columns as CSV.
    pub(crate) csv: &'static [CsvColumn],
}

/// Format of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Table,
    Json,
    Csv,
}

impl Format {
    /// As asked for; else as the name of the file says.
    fn of(arguments: &ListPrintArguments) -> Self {
        let ending = arguments.print.file();
        let ending = ending.and_then(|it| it.extension()?.to_str());
        match ending {
            _ if arguments.csv => Self::Csv,
            _ if arguments.print.json => Self::Json,
            _ if arguments.print.output == Some(None) => Self::Csv,
            Some("csv") => Self::Csv,
            Some("json") => Self::Json,
            _ => Self::Table,
        }
    }
}

impl Listing {
    /// Prints `answer` as asked for.
    pub(crate) fn print(
        &self,
        arguments: &ListPrintArguments,
        answer: &Value,
    ) -> Result<(), Error> {
        let file = arguments.print.file();
        super::to(file, |out, style| match Format::of(arguments) {
            Format::Json => json::pretty(out, answer),
            Format::Csv => self.print_csv(out, answer),
            Format::Table => self.print_table(out, answer, style),
        })?;
        Ok(())
    }

    pub(crate) fn print_csv(&self, out: &mut dyn Write, answer: &Value) -> io::Result<()> {
        let head: Vec<&str> = self.csv.iter().map(|(name, _)| *name).collect();
        let rows = answer[self.key].as_array().into_iter().flatten();
        let rows = rows.map(|entry| self.csv.iter().map(|(_, value)| value(entry)).collect());
        csv::write(out, &head, rows)
    }

    pub(crate) fn print_table(
        &self,
        out: &mut dyn Write,
        answer: &Value,
        style: Style,
    ) -> io::Result<()> {
        let entries = items(answer, &format!("/{}", self.key));
        if entries.is_empty() {
            return writeln!(out, "{}", self.empty);
        }
        let wide = rows(self.wide, entries);
        let (columns, rows) = if width(self.wide, &wide) <= usize::from(style.width) {
            (self.wide, wide)
        } else {
            (self.narrow, rows(self.narrow, entries))
        };
        let mut table = score_table::empty(style);
        table.set_header(columns.iter().map(|it| it.title));
        for row in rows {
            let cells = columns.iter().zip(row);
            table.add_row(cells.map(|(column, text)| column.cell(text)));
        }
        for (at, column) in columns.iter().enumerate() {
            if let Some(laid_out) = table.column_mut(at).filter(|_| column.kind != Kind::Text) {
                laid_out.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        for line in table.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
        print_rest(out, answer)
    }
}

impl Column {
    fn cell(&self, text: String) -> Cell {
        match self.kind {
            Kind::Text | Kind::Word => Cell::new(text),
            Kind::Number => Cell::new(text).set_alignment(CellAlignment::Right),
            Kind::Severity => score_table::painted(&text),
        }
    }
}

fn rows(columns: &[Column], entries: &[Value]) -> Vec<Vec<String>> {
    let row = |entry| columns.iter().map(|column| (column.value)(entry)).collect();
    entries.iter().map(row).collect()
}

/// Characters that the longest line needs.
fn width(columns: &[Column], rows: &[Vec<String>]) -> usize {
    columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let cells = rows.iter().filter_map(|row| row.get(at));
            let widest = cells.map(|text| text.chars().count()).max();
            // Each column has a space on both sides.
            widest.unwrap_or_default().max(column.title.len()) + 2
        })
        .sum()
}

/// Says when there are more.
fn print_rest(out: &mut dyn Write, answer: &Value) -> io::Result<()> {
    let (count, total) = (number(answer, "/count"), number(answer, "/total"));
    let (count, total) = (text::thousands(count), text::thousands(total));
    if number(answer, "/total") > number(answer, "/count") {
        return writeln!(out, "\n{count} of {total} shown; --limit shows more.");
    }
    if answer["next"].is_string() {
        return writeln!(out, "\n{count} shown, there are more; --limit shows more.");
    }
    Ok(())
}
