//! Scored series as a table: one line each where there is room, else a few lines each.

use beaconwatch_detector::Assessment;
use comfy_table::{
    Attribute, Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, Width,
};

use super::text;

/// A series gets one line when so much is left of it for the explanation.
const EXPLANATION_MIN: usize = 40;
const DNS_PORT: u16 = 53;
/// Columns of a series on one line, beside the explanation.
const COLUMNS: [&str; 10] = [
    "SCORE",
    "SEVERITY",
    "SOURCE",
    "DESTINATION",
    "PORT",
    "COUNT",
    "INTERVAL",
    "JITTER",
    "FIRST SEEN (UTC)",
    "LAST SEEN (UTC)",
];
/// Width when nobody says one (the output goes to a file or a pipe).
const WIDTH_UNKNOWN: u16 = 180;
/// Narrower than this nothing can be laid out.
const WIDTH_MIN: u16 = 40;

/// How to print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Characters in a line.
    pub(crate) width: u16,
    /// Whether severities are coloured.
    pub(crate) colour: bool,
}

impl Style {
    /// For a file.
    pub(crate) const fn plain() -> Self {
        Self {
            width: WIDTH_UNKNOWN,
            colour: false,
        }
    }

    /// The width of lines, where somebody looks at them.
    pub(crate) fn line_width(self) -> Option<usize> {
        (self.width != WIDTH_UNKNOWN).then(|| usize::from(self.width))
    }

    /// For what standard output is: colours on a terminal only, and not where `NO_COLOR` is set.
    pub(crate) fn of_stdout() -> Self {
        use std::io::IsTerminal;
        let terminal = std::io::stdout().is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let width = std::env::var("COLUMNS")
            .ok()
            .and_then(|columns| columns.parse().ok());
        let seen = if terminal { Table::new().width() } else { None };
        let width = seen.or(width).unwrap_or(WIDTH_UNKNOWN).max(WIDTH_MIN);
        Self {
            width,
            colour: terminal && !plain,
        }
    }
}

/// A table without any cell, in this program's look.
pub(crate) fn empty(style: Style) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(style.width);
    if style.colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
        table.set_width(style.width);
    }
    table
}

/// Lays out series, in the order given.
pub(crate) fn layout(assessments: &[&Assessment], style: Style) -> Table {
    let mut table = empty(style);
    let rows: Vec<[String; COLUMNS.len()]> = assessments.iter().map(|it| values(it)).collect();
    let needed: usize = COLUMNS
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let widths = rows
                .iter()
                .filter_map(|row| row.get(at))
                .map(|text| text.chars().count());
            // Each column has a space on both sides.
            widths.max().unwrap_or_default().max(name.len()) + 2
        })
        .sum();
    if needed + EXPLANATION_MIN <= usize::from(style.width) {
        wide(&mut table, assessments, rows);
    } else {
        narrow(&mut table, assessments);
    }
    table
}

fn values(it: &Assessment) -> [String; COLUMNS.len()] {
    [
        format!("{:.2}", it.score),
        rank(it).to_owned(),
        it.key.source.to_string(),
        destination(it),
        port(it),
        text::thousands(it.count),
        interval(it),
        jitter(it),
        text::time(it.first_seen),
        text::time(it.last_seen),
    ]
}

fn wide(table: &mut Table, assessments: &[&Assessment], rows: Vec<[String; COLUMNS.len()]>) {
    const NUMBERS: [usize; 4] = [0, 5, 6, 7];
    const SEVERITY: usize = 1;
    table.set_header(COLUMNS.into_iter().chain(["WHY"]));
    for (it, row) in assessments.iter().zip(rows) {
        let cells = row.into_iter().enumerate().map(|(at, text)| match at {
            SEVERITY => painted(&text),
            at if NUMBERS.contains(&at) => Cell::new(text).set_alignment(CellAlignment::Right),
            _ => Cell::new(text),
        });
        table.add_row(cells.chain([Cell::new(text::harmless(&it.explanation))]));
    }
    for at in 0..COLUMNS.len() {
        if let Some(column) = table.column_mut(at) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
}

fn narrow(table: &mut Table, assessments: &[&Assessment]) {
    table.set_header(["SCORE", "FROM, TO", "WHAT AND WHY"]);
    for it in assessments {
        let to = format!("{} {}", it.key.destination, port(it));
        let mut ends = format!("{}\n{to}", it.key.source);
        if let Some(name) = &it.server_name {
            let asked = if it.key.destination_port == DNS_PORT {
                "asked "
            } else {
                ""
            };
            ends = format!("{ends}\n{asked}{}", text::harmless(name));
        }
        let beats = match it.interval_s {
            Some(_) => format!(" every {}, jitter {}", interval(it), jitter(it)),
            None => String::new(),
        };
        let what = format!(
            "{}{beats}\n{} to {} UTC\n{}",
            text::counted(it.count, "connection", "connections"),
            text::time(it.first_seen),
            text::time(it.last_seen),
            text::harmless(&it.explanation),
        );
        let score = format!("{:.2}\n{}", it.score, rank(it));
        table.add_row([painted(&score), Cell::new(ends), Cell::new(what)]);
    }
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_constraint(ColumnConstraint::UpperBoundary(Width::Percentage(40)));
    }
}

/// A cell in the colour of the severity that its last word names.
pub(crate) fn painted(text: &str) -> Cell {
    let severity = text.split_whitespace().next_back();
    let cell = Cell::new(text);
    match severity {
        Some("critical") => cell
            .fg(comfy_table::Color::Red)
            .add_attribute(Attribute::Bold),
        Some("high") => cell.fg(comfy_table::Color::Red),
        Some("medium") => cell.fg(comfy_table::Color::Yellow),
        _ => cell,
    }
}

/// Severity, or that it is listed as benign.
fn rank(it: &Assessment) -> &'static str {
    if it.benign.is_some() {
        "benign"
    } else {
        it.severity.name()
    }
}

fn destination(it: &Assessment) -> String {
    match &it.server_name {
        // Of a DNS server the last question is known, not its name.
        Some(question) if it.key.destination_port == DNS_PORT => {
            format!(
                "{} (asked {})",
                it.key.destination,
                text::harmless(question)
            )
        }
        Some(name) => format!("{} ({})", text::harmless(name), it.key.destination),
        None => it.key.destination.to_string(),
    }
}

fn port(it: &Assessment) -> String {
    format!("{}/{}", it.key.destination_port, it.key.transport.name())
}

fn interval(it: &Assessment) -> String {
    it.interval_s.map_or_else(|| "-".to_owned(), text::duration)
}

fn jitter(it: &Assessment) -> String {
    it.jitter.map_or_else(|| "-".to_owned(), text::percent)
}
