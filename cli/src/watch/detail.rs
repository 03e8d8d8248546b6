//! Everything about the selected row, as lines.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use serde_json::Value;

use super::plot;
use super::row::Row;
use super::view::View;
use crate::output::answer::{items, moment, optional, word};
use crate::output::text;

/// Most lines that can be scrolled to.
pub(super) const LINES_MAX: u16 = 2000;
/// Events and deliveries that are shown.
const EVENTS_MAX: usize = 200;
/// Cells of the bar beside a contribution.
const BAR: usize = 8;
/// Lines of the histogram.
const HISTOGRAM: usize = 3;

/// What it is, why it was found, and what each signal adds: the left half.
pub(super) fn reasons(view: &View, row: &Row) -> Vec<Line<'static>> {
    let faint = view.palette.faint();
    let mut lines = vec![
        named("to     ", &place(row), faint),
        named("by     ", &row.process, faint),
        named("state  ", &row.state.long(), faint),
        named("beats  ", &rhythm(row), faint),
    ];
    lines.extend(row.signals.iter().map(|signal| {
        let share = signal.added.abs() / signal.weight.abs().max(f64::MIN_POSITIVE);
        let style = if signal.added < 0.0 {
            faint
        } else {
            view.palette.accent()
        };
        Line::from(vec![
            Span::raw(format!("{:+.2} ", signal.added)),
            Span::styled(plot::bar(share.min(1.0), BAR), style),
            Span::raw(format!(" {}", signal.name.replace('_', " "))),
        ])
    }));
    lines.push(Line::from(row.explanation.clone()));
    lines
}

/// Beats over time and the histogram of intervals: the right half.
pub(super) fn plots(view: &View, row: &Row, width: usize) -> Vec<Line<'static>> {
    let faint = view.palette.faint();
    let Some(detail) = known(view, row) else {
        return vec![Line::styled("asking for its beats", faint)];
    };
    let times = times(detail);
    let mut lines = Vec::new();
    if let Some(beats) = plot::beats(&times, width) {
        let title = format!(
            "the latest {} of {} connections (UTC)",
            beats.shown,
            text::thousands(row.count)
        );
        lines.push(Line::styled(title, faint));
        lines.push(Line::styled(beats.ticks, view.palette.accent()));
        lines.push(Line::styled(beats.axis, faint));
    }
    if let Some((bars, axis)) = plot::histogram(&times, width, HISTOGRAM) {
        lines.push(Line::styled("intervals", faint));
        lines.extend(
            bars.into_iter()
                .map(|bar| Line::styled(bar, view.palette.accent())),
        );
        lines.push(Line::styled(axis, faint));
    }
    if lines.is_empty() {
        lines.push(Line::styled("no beats are kept of it", faint));
    }
    lines
}

/// All of it, for the whole screen.
pub(super) fn whole(view: &View, row: &Row, width: usize) -> Vec<Line<'static>> {
    let faint = view.palette.faint();
    let mut lines = vec![named("from   ", &row.source, faint)];
    lines.extend(reasons(view, row));
    lines.extend(
        row.executable
            .iter()
            .map(|path| named("run as ", path, faint)),
    );
    lines.push(Line::default());
    for signal in &row.signals {
        lines.push(Line::from(format!(
            "{}: {}",
            signal.name.replace('_', " "),
            signal.text
        )));
    }
    lines.push(Line::default());
    lines.extend(plots(view, row, width));
    if let Some(detail) = known(view, row) {
        lines.extend(so_far(detail, faint));
    }
    lines
}

/// What became of it, where it was delivered, and what people said.
fn so_far(detail: &Value, faint: Style) -> Vec<Line<'static>> {
    let mut lines = list("history", items(detail, "/history"), faint, |it| {
        let by = optional(it, "/actor").map_or_else(String::new, |by| format!(" by {by}"));
        let said = optional(it, "/text").map_or_else(String::new, |it| format!(": {it}"));
        format!("{} {}{by}{said}", moment(it, "/at"), word(it, "/event"))
    });
    lines.extend(list(
        "deliveries",
        items(detail, "/deliveries"),
        faint,
        |it| {
            let why = optional(it, "/reason").map_or_else(String::new, |it| format!(": {it}"));
            format!(
                "{} {} {}{why}",
                word(it, "/destination"),
                word(it, "/state"),
                word(it, "/event_id")
            )
        },
    ));
    lines.extend(list("comments", items(detail, "/comments"), faint, |it| {
        format!(
            "{} {}: {}",
            moment(it, "/at"),
            word(it, "/by"),
            word(it, "/text")
        )
    }));
    lines
}

fn list(
    title: &'static str,
    entries: &[Value],
    faint: Style,
    line: fn(&Value) -> String,
) -> Vec<Line<'static>> {
    if entries.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![Line::default(), Line::styled(title, faint)];
    // The latest say most.
    let skipped = entries.len().saturating_sub(EVENTS_MAX);
    lines.extend(entries.iter().skip(skipped).map(|it| Line::from(line(it))));
    lines
}

fn named(name: &'static str, value: &str, faint: Style) -> Line<'static> {
    Line::from(vec![Span::styled(name, faint), Span::raw(value.to_owned())])
}

fn place(row: &Row) -> String {
    match &row.server_name {
        Some(name) => format!("{} ({name})", row.destination),
        None => row.destination.clone(),
    }
}

fn rhythm(row: &Row) -> String {
    let count = text::thousands(row.count);
    match (row.interval_s, row.jitter) {
        (Some(interval), Some(jitter)) => format!(
            "{count}, every {}, jitter {}",
            text::duration(interval),
            text::percent(jitter)
        ),
        (Some(interval), None) => format!("{count}, every {}", text::duration(interval)),
        _ => count,
    }
}

/// What the instance said about this row.
fn known<'a>(view: &'a View, row: &Row) -> Option<&'a Value> {
    let (id, detail) = view.detail.as_ref()?;
    (*id == row.id).then_some(detail)
}

/// Starts of connections: of a series, or of a finding's series.
fn times(detail: &Value) -> Vec<f64> {
    let own = items(detail, "/times");
    let times = if own.is_empty() {
        items(detail, "/series/times")
    } else {
        own
    };
    times.iter().filter_map(Value::as_f64).collect()
}
