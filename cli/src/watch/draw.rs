//! The state as a frame. From 40 x 8 characters on; on less there is only a hint.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{
    Block, Borders, Cell, Clear, Paragraph, Row as TableRow, Table, TableState, Wrap,
};

use super::detail;
use super::row::Row;
use super::view::{Link, Mode, Tab, View};
use crate::output::answer::{number, word};
use crate::output::text;

/// Smallest screen.
const WIDTH_MIN: u16 = 40;
const HEIGHT_MIN: u16 = 8;
/// From this height on the selected row's detail stands below the table.
const DETAIL_FROM: u16 = 18;
/// From this width on the detail has two halves.
const HALVES_FROM: u16 = 76;
/// From this width on the table has a column for the process.
const PROCESS_FROM: u16 = 104;
/// Columns of the table beside the destination and the process, with the gaps between them.
const FIXED: u16 = 60;
const PROCESS_WIDTH: u16 = 20;

/// Colours, or none of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    colour: bool,
}

impl Palette {
    /// No colours where `NO_COLOR` is set.
    pub(super) fn of_environment() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: !plain }
    }

    /// Without colours.
    #[cfg(test)]
    pub(super) const fn plain() -> Self {
        Self { colour: false }
    }

    fn foreground(self, colour: Color) -> Style {
        if self.colour {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }

    #[expect(
        clippy::unused_self,
        reason = "a palette says how everything looks, also without colours"
    )]
    pub(super) fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn accent(self) -> Style {
        self.foreground(Color::Cyan)
    }

    fn bad(self) -> Style {
        self.foreground(Color::Red).add_modifier(Modifier::BOLD)
    }

    fn good(self) -> Style {
        self.foreground(Color::Green)
    }

    fn severity(self, row: &Row) -> Style {
        match row.gravity() {
            4 => self.bad(),
            3 => self.foreground(Color::Red),
            2 => self.foreground(Color::Yellow),
            _ => Style::new(),
        }
    }
}

/// Draws the state.
pub(super) fn draw(view: &View, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        let hint = format!("needs {WIDTH_MIN} x {HEIGHT_MIN} characters");
        frame.render_widget(Paragraph::new(hint).wrap(Wrap { trim: true }), area);
        return;
    }
    let [head, tabs, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_head(view, frame, head);
    draw_tabs(view, frame, tabs);
    draw_foot(view, frame, foot);
    match view.selected() {
        Some(row) if view.expanded => draw_whole(view, row, frame, body),
        Some(row) if area.height >= DETAIL_FROM => {
            let [table, below] =
                Layout::vertical([Constraint::Fill(2), Constraint::Length(detail_height(body))])
                    .areas(body);
            draw_table(view, frame, table);
            draw_detail(view, row, frame, below);
        }
        _ => draw_table(view, frame, body),
    }
    if view.mode == Mode::Help {
        draw_help(view, frame, area);
    }
}

fn detail_height(body: Rect) -> u16 {
    (body.height * 55 / 100).clamp(9, 16)
}

fn draw_head(view: &View, frame: &mut Frame<'_>, area: Rect) {
    let palette = view.palette;
    let (mark, style) = match &view.link {
        Link::Connecting => ("connecting".to_owned(), palette.faint()),
        Link::Live => ("● live".to_owned(), palette.good()),
        Link::Polling => ("● polling".to_owned(), palette.good()),
        Link::Lost(reason) => (
            format!("✗ LOST, trying again: {}", text::harmless(reason)),
            palette.bad(),
        ),
    };
    let left = Line::from(vec![
        Span::styled("Beaconwatch ", Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!("{} ", view.base)),
        Span::styled(mark, style),
    ]);
    frame.render_widget(left, area);
    if matches!(view.link, Link::Lost(_)) || view.status.is_null() {
        return;
    }
    let seen = format!(
        " {} series, {} observations",
        text::thousands(number(&view.status, "/detector/series")),
        text::thousands(number(&view.status, "/detector/observations")),
    );
    frame.render_widget(
        Line::styled(seen, palette.faint()).right_aligned(),
        right_part(area, 60),
    );
}

/// The right part of a line, after `used` percent at most.
fn right_part(area: Rect, percent: u16) -> Rect {
    let width = area.width * percent / 100;
    Rect {
        x: area.x + area.width - width,
        width,
        ..area
    }
}

fn draw_tabs(view: &View, frame: &mut Frame<'_>, area: Rect) {
    let chosen = Style::new().add_modifier(Modifier::REVERSED);
    let tab = |tab: Tab, name: &str| {
        let count = text::thousands(u64::try_from(view.count(tab)).unwrap_or(u64::MAX));
        let style = if view.tab == tab {
            chosen
        } else {
            Style::new()
        };
        Span::styled(format!(" {name} ({count}) "), style)
    };
    let order = if view.reversed { "▲" } else { "▼" };
    let mut spans = vec![
        tab(Tab::Findings, "1 Findings"),
        tab(Tab::Beacons, "2 Beacons"),
        Span::styled(
            format!("  by {} {order}", view.sort.name()),
            view.palette.faint(),
        ),
    ];
    if view.mode == Mode::Filter || !view.filter.is_empty() {
        let cursor = if view.mode == Mode::Filter { "▏" } else { "" };
        spans.push(Span::raw(format!("  /{}{cursor}", view.filter)));
    }
    frame.render_widget(Line::from(spans), area);
}

fn draw_foot(view: &View, frame: &mut Frame<'_>, area: Rect) {
    let keys = match view.mode {
        Mode::Filter => "type to filter   Enter keep   Esc clear",
        Mode::Help => "any key goes back",
        Mode::Browse if view.expanded => {
            "↑↓ scroll  Enter back  a acknowledge  u undo  ? help  q quit"
        }
        Mode::Browse => {
            "↑↓ select  Enter all  / filter  s sort  a acknowledge  u undo  ? help  q quit"
        }
    };
    let line = match &view.note {
        Some(note) if note.failed => Line::styled(note.text.clone(), view.palette.bad()),
        Some(note) => Line::styled(note.text.clone(), view.palette.good()),
        None => Line::styled(keys, view.palette.faint()),
    };
    frame.render_widget(line, area);
}

/// Columns of the table, without the process.
const COLUMNS: [(&str, Constraint); 8] = [
    ("SCORE", Constraint::Length(5)),
    ("SEVERITY", Constraint::Length(8)),
    ("SOURCE", Constraint::Length(15)),
    ("DESTINATION", Constraint::Fill(1)),
    (" COUNT", Constraint::Length(6)),
    ("  EVERY", Constraint::Length(7)),
    ("   SEEN", Constraint::Length(7)),
    ("STATE", Constraint::Length(5)),
];

fn draw_why_empty(view: &View, frame: &mut Frame<'_>, area: Rect) {
    let why = match (view.tab, view.all().is_empty()) {
        (_, false) => "Nothing fits the filter: Esc clears it.",
        (Tab::Findings, true) => "No findings yet. 2 shows the series that were scored.",
        (Tab::Beacons, true) => "No series has been scored yet.",
    };
    let line = Line::styled(format!(" {why}"), view.palette.faint());
    frame.render_widget(Paragraph::new(vec![Line::default(), line]), area);
}

fn draw_table(view: &View, frame: &mut Frame<'_>, area: Rect) {
    let shown = view.shown();
    if shown.is_empty() {
        draw_why_empty(view, frame, area);
        return;
    }
    let with_process = area.width >= PROCESS_FROM;
    let mut fixed = FIXED;
    if with_process {
        fixed += PROCESS_WIDTH + 1;
    }
    let room = usize::from(area.width.saturating_sub(fixed));
    let rows = shown
        .iter()
        .map(|row| table_row(view, row, room, with_process));
    let mut columns = COLUMNS.to_vec();
    if with_process {
        columns.insert(4, ("PROCESS", Constraint::Length(PROCESS_WIDTH)));
    }
    let (head, widths): (Vec<&str>, Vec<Constraint>) = columns.into_iter().unzip();
    let table = Table::new(rows, widths)
        .header(TableRow::new(head).style(view.palette.faint()))
        .column_spacing(1)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected(view.position(&shown));
    frame.render_stateful_widget(table, area, &mut state);
}

fn table_row(view: &View, row: &Row, room: usize, with_process: bool) -> TableRow<'static> {
    let severity = view.palette.severity(row);
    let nothing = || "-".to_owned();
    let interval = row.interval_s.map_or_else(nothing, text::duration);
    let score = row
        .score
        .map_or_else(nothing, |score| format!("{score:.2}"));
    let count = row.score.map_or_else(nothing, |_| short_count(row.count));
    let mut cells = vec![
        Cell::from(Span::styled(score, severity)),
        Cell::from(Span::styled(row.severity.clone(), severity)),
        Cell::from(cut(&row.source, 15)),
        Cell::from(cut(&row.goes_to(), room)),
        Cell::from(format!("{count:>6}")),
        Cell::from(format!("{interval:>7}")),
        Cell::from(format!("{:>7}", row.age(view.now))),
        Cell::from(row.state.short()),
    ];
    if with_process {
        cells.insert(4, Cell::from(cut(&row.process, usize::from(PROCESS_WIDTH))));
    }
    TableRow::new(cells)
}

/// `12,345` as it is, `1234567` as `1.2M`.
fn short_count(count: u64) -> String {
    match count {
        0..100_000 => text::thousands(count),
        100_000..1_000_000 => format!("{}k", count / 1000),
        _ => format!("{}M", text::thousands(count / 1_000_000)),
    }
}

/// At most `width` characters; the end of what is longer tells more than its middle.
fn cut(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let Some(kept) = width.checked_sub(1) else {
        return String::new();
    };
    let tail = kept / 2;
    let head: String = text.chars().take(kept - tail).collect();
    let tail: String = text.chars().skip(length - tail).collect();
    format!("{head}…{tail}")
}

fn title(row: &Row) -> String {
    let id = row
        .finding
        .as_deref()
        .map_or_else(String::new, |id| format!("{} ", super::view::short(id)));
    format!(" {id}{} → {} ", row.source, row.goes_to())
}

fn draw_detail(view: &View, row: &Row, frame: &mut Frame<'_>, area: Rect) {
    let block = Block::new().borders(Borders::TOP).title(title(row));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    if area.width < HALVES_FROM {
        let lines = detail::reasons(view, row);
        frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }), inner);
        return;
    }
    let [left, _gap, right] = Layout::horizontal([
        Constraint::Fill(5),
        Constraint::Length(2),
        Constraint::Fill(5),
    ])
    .areas(inner);
    let reasons = Paragraph::new(detail::reasons(view, row)).wrap(Wrap { trim: true });
    frame.render_widget(reasons, left);
    let plots = detail::plots(view, row, usize::from(right.width));
    frame.render_widget(Paragraph::new(plots), right);
}

fn draw_whole(view: &View, row: &Row, frame: &mut Frame<'_>, area: Rect) {
    let block = Block::new().borders(Borders::TOP).title(title(row));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let lines = detail::whole(view, row, usize::from(inner.width));
    let most = u16::try_from(lines.len())
        .unwrap_or(u16::MAX)
        .saturating_sub(1);
    let paragraph = Paragraph::new(lines).wrap(Wrap { trim: true });
    frame.render_widget(paragraph.scroll((view.scroll.min(most), 0)), inner);
}

fn draw_help(view: &View, frame: &mut Frame<'_>, area: Rect) {
    const HELP: [&str; 14] = [
        "↑ ↓  j k     select, or scroll",
        "PgUp PgDn    ten lines",
        "Home End     first, last",
        "Enter        all of the selected one, and back",
        "1 2  Tab     findings, scored series",
        "/            filter by address, name, process, id",
        "             or state; Esc clears it",
        "s S          sort by the next, the one before",
        "r            turn the order around",
        "a            acknowledge the selected finding",
        "u            take the last one back",
        "R            ask for everything again",
        "?            this help",
        "q  Ctrl-C    quit",
    ];
    let [width, height] = [52.min(area.width), 17.min(area.height)];
    let window = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    let version = if view.status.is_null() {
        String::new()
    } else {
        format!("{} ", word(&view.status, "/version"))
    };
    let block = Block::bordered().title(format!(" Keys of beaconwatch {version}"));
    frame.render_widget(Clear, window);
    let lines: Vec<Line<'_>> = HELP.into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(lines).block(block), window);
}
