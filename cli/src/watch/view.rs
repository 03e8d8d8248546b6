//! [`View`]: what the interface shows. Messages go in, requests come out; it draws nothing, asks nobody
//! and reads no clock.

use jiff::Timestamp;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::Value;

use super::draw::Palette;
use super::row::Row;
use super::sort::Sort;
use crate::output::answer::items;
use crate::output::text;

/// Findings that are kept when more and more come by events.
const FINDINGS_MAX: usize = 10_000;
/// Longest filter.
const FILTER_MAX: usize = 100;
/// Acknowledgements that can be taken back.
const UNDO_MAX: usize = 100;
/// Lines that a page key moves.
const PAGE: usize = 10;

/// What happened.
#[derive(Debug)]
pub(super) enum Message {
    /// A key was pressed.
    Key(KeyEvent),
    /// Keys can no more be read.
    NoKeys(String),
    /// The terminal has another size.
    Resized,
    /// It is so late.
    Tick(Timestamp),
    /// All findings.
    Findings(Value),
    /// One finding changed.
    Finding(Value),
    /// All scored series.
    Beacons(Value),
    /// What the instance does.
    Status(Value),
    /// Everything about the row with this id.
    Detail(String, Value),
    /// How well the instance is heard.
    Link(Link),
    /// A finding was acknowledged.
    Acknowledged(String),
    /// An acknowledgement was taken back.
    TakenBack(String),
    /// Why there was no change.
    Failed(String),
}

/// What somebody should do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// End.
    Quit,
    /// Ask for everything again.
    Refresh,
    /// Ask for everything about a row.
    Detail {
        /// Id of the row.
        row: String,
        /// Id of the finding, where there is one; else the row's id is that of a series.
        finding: Option<String>,
    },
    /// Acknowledge a finding.
    Acknowledge(String),
    /// Take an acknowledgement back.
    TakeBack(String),
}

/// How well the instance is heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// Nothing was heard yet.
    Connecting,
    /// It tells of changes.
    Live,
    /// It is asked again and again.
    Polling,
    /// It does not answer.
    Lost(String),
}

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Findings,
    Beacons,
}

/// What keys mean now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Browse,
    /// A filter is being written.
    Filter,
    Help,
}

/// The state of the interface.
#[derive(Debug)]
pub(super) struct View {
    pub(super) base: String,
    pub(super) palette: Palette,
    pub(super) tab: Tab,
    pub(super) mode: Mode,
    pub(super) sort: Sort,
    pub(super) reversed: bool,
    pub(super) filter: String,
    pub(super) link: Link,
    pub(super) status: Value,
    pub(super) now: Timestamp,
    /// Everything about the row with this id.
    pub(super) detail: Option<(String, Value)>,
    /// Whether the detail has the whole screen, and how far it is scrolled.
    pub(super) expanded: bool,
    pub(super) scroll: u16,
    /// What is said below.
    pub(super) note: Option<Note>,
    findings: Vec<Row>,
    beacons: Vec<Row>,
    selected: Option<String>,
    /// Whether somebody chose it: until then the first row is selected.
    chosen: bool,
    /// Version of the row whose detail was asked for.
    asked: Option<(String, String)>,
    acknowledged: Vec<String>,
}

/// Something said below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) text: String,
    pub(super) failed: bool,
}

impl View {
    /// Nothing is known yet.
    pub(super) fn new(base: &str, palette: Palette) -> Self {
        Self {
            base: text::harmless(base),
            palette,
            tab: Tab::Findings,
            mode: Mode::Browse,
            sort: Sort::Score,
            reversed: false,
            filter: String::new(),
            link: Link::Connecting,
            status: Value::Null,
            now: Timestamp::UNIX_EPOCH,
            detail: None,
            expanded: false,
            scroll: 0,
            note: None,
            findings: Vec::new(),
            beacons: Vec::new(),
            selected: None,
            chosen: false,
            asked: None,
            acknowledged: Vec::new(),
        }
    }

    /// Takes note of what happened; gives what should be done.
    pub(super) fn take(&mut self, message: Message) -> Vec<Request> {
        let mut requests = Vec::new();
        match message {
            Message::Key(key) => self.key(key, &mut requests),
            Message::NoKeys(_reason) => requests.push(Request::Quit),
            Message::Resized => {}
            Message::Tick(now) => self.now = now,
            Message::Findings(answer) => {
                self.findings = rows(&answer, "/alerts", Row::of_alert);
            }
            Message::Finding(alert) => self.put_finding(&alert),
            Message::Beacons(answer) => {
                self.beacons = rows(&answer, "/beacons", Row::of_beacon);
            }
            Message::Status(status) => self.status = status,
            Message::Detail(row, value) => self.detail = Some((row, value)),
            Message::Link(link) => self.link = link,
            Message::Acknowledged(finding) => {
                self.say(
                    &format!("Acknowledged {}; u takes it back.", short(&finding)),
                    false,
                );
                self.remember(finding);
            }
            Message::TakenBack(finding) => {
                self.say(
                    &format!("{} is not acknowledged any more.", short(&finding)),
                    false,
                );
                self.acknowledged.retain(|it| *it != finding);
            }
            Message::Failed(text) => self.say(&text, true),
        }
        self.keep_selection();
        requests.extend(self.wanted_detail());
        requests
    }

    fn say(&mut self, text: &str, failed: bool) {
        let text = text::harmless(text);
        self.note = Some(Note { text, failed });
    }

    fn put_finding(&mut self, alert: &Value) {
        let Some(row) = Row::of_alert(alert) else {
            return;
        };
        let has_room = self.findings.len() < FINDINGS_MAX;
        match self.findings.iter_mut().find(|it| it.id == row.id) {
            Some(known) => *known = row,
            None if has_room => self.findings.push(row),
            None => {}
        }
    }

    /// All rows of the table.
    pub(super) fn all(&self) -> &[Row] {
        match self.tab {
            Tab::Findings => &self.findings,
            Tab::Beacons => &self.beacons,
        }
    }

    /// Rows of either table.
    pub(super) fn count(&self, tab: Tab) -> usize {
        match tab {
            Tab::Findings => self.findings.len(),
            Tab::Beacons => self.beacons.len(),
        }
    }

    /// The rows that fit the filter, in order.
    pub(super) fn shown(&self) -> Vec<&Row> {
        let wanted = self.filter.to_lowercase();
        let mut rows: Vec<&Row> = self.all().iter().filter(|it| it.has(&wanted)).collect();
        rows.sort_by(|one, other| self.sort.compare(one, other));
        if self.reversed {
            rows.reverse();
        }
        rows
    }

    /// Where the selected row stands among `shown`.
    pub(super) fn position(&self, shown: &[&Row]) -> Option<usize> {
        let selected = self.selected.as_deref()?;
        shown.iter().position(|it| it.id == selected)
    }

    /// The selected row.
    pub(super) fn selected(&self) -> Option<&Row> {
        let selected = self.selected.as_deref()?;
        self.all().iter().find(|it| it.id == selected)
    }

    fn keep_selection(&mut self) {
        let shown = self.shown();
        if !self.chosen || self.position(&shown).is_none() {
            let first = shown.first().map(|it| it.id.clone());
            if first != self.selected {
                self.selected = first;
                self.scroll = 0;
            }
            self.chosen = false;
        }
        if self.selected.is_none() {
            self.expanded = false;
        }
    }

    /// What must be asked for to show the selected row as it is now.
    fn wanted_detail(&mut self) -> Option<Request> {
        let row = self.selected()?;
        let version = (row.id.clone(), row.version.clone());
        if self.asked.as_ref() == Some(&version) {
            return None;
        }
        let request = Request::Detail {
            row: row.id.clone(),
            finding: row.finding.clone(),
        };
        self.asked = Some(version);
        Some(request)
    }

    fn key(&mut self, key: KeyEvent, requests: &mut Vec<Request>) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && matches!(key.code, KeyCode::Char('c' | 'd')) {
            requests.push(Request::Quit);
            return;
        }
        if control {
            return;
        }
        match self.mode {
            Mode::Help => self.mode = Mode::Browse,
            Mode::Filter => self.write_filter(key.code),
            Mode::Browse => self.browse(key.code, requests),
        }
    }

    fn write_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Esc => {
                self.filter.clear();
                self.mode = Mode::Browse;
            }
            KeyCode::Enter => self.mode = Mode::Browse,
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(c) if !text::is_harmful(c) && self.filter.len() < FILTER_MAX => {
                self.filter.push(c);
            }
            _ => {}
        }
    }

    fn browse(&mut self, key: KeyCode, requests: &mut Vec<Request>) {
        self.note = None;
        match key {
            KeyCode::Char('q') => requests.push(Request::Quit),
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.mode = Mode::Help,
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Char('1') => self.switch(Tab::Findings),
            KeyCode::Char('2') => self.switch(Tab::Beacons),
            KeyCode::Tab | KeyCode::BackTab => self.switch(match self.tab {
                Tab::Findings => Tab::Beacons,
                Tab::Beacons => Tab::Findings,
            }),
            KeyCode::Char('s') => self.sort = self.sort.after(),
            KeyCode::Char('S') => self.sort = self.sort.before(),
            KeyCode::Char('r') => self.reversed = !self.reversed,
            KeyCode::Char('R') | KeyCode::F(5) => requests.push(Request::Refresh),
            KeyCode::Char('a') => self.acknowledge(requests),
            KeyCode::Char('u') => self.take_back(requests),
            KeyCode::Enter => {
                self.expanded = !self.expanded && self.selected().is_some();
                self.chosen = true;
                self.scroll = 0;
            }
            KeyCode::Esc if self.expanded => self.expanded = false,
            KeyCode::Esc => self.filter.clear(),
            other => self.walk(other),
        }
    }

    fn switch(&mut self, tab: Tab) {
        self.tab = tab;
        self.scroll = 0;
    }

    fn walk(&mut self, key: KeyCode) {
        let (back, steps) = match key {
            KeyCode::Up | KeyCode::Char('k') => (true, 1),
            KeyCode::Down | KeyCode::Char('j') => (false, 1),
            KeyCode::PageUp => (true, PAGE),
            KeyCode::PageDown | KeyCode::Char(' ') => (false, PAGE),
            KeyCode::Home | KeyCode::Char('g') => (true, usize::MAX),
            KeyCode::End | KeyCode::Char('G') => (false, usize::MAX),
            _ => return,
        };
        if self.expanded {
            let steps = u16::try_from(steps).unwrap_or(u16::MAX);
            self.scroll = if back {
                self.scroll.saturating_sub(steps)
            } else {
                self.scroll
                    .saturating_add(steps)
                    .min(super::detail::LINES_MAX)
            };
            return;
        }
        let shown = self.shown();
        let at = self.position(&shown).unwrap_or_default();
        let last = shown.len().saturating_sub(1);
        let next = if back {
            at.saturating_sub(steps)
        } else {
            at.saturating_add(steps).min(last)
        };
        self.selected = shown.get(next).map(|it| it.id.clone());
        self.chosen = true;
    }

    fn acknowledge(&mut self, requests: &mut Vec<Request>) {
        let Some(row) = self.selected() else {
            return;
        };
        let Some(finding) = row.finding.clone() else {
            self.say(
                "This series is no finding: there is nothing to acknowledge.",
                true,
            );
            return;
        };
        if row.state.acknowledged_by.is_some() {
            self.say(
                "It is acknowledged already; u takes the last one back.",
                true,
            );
            return;
        }
        self.chosen = true;
        requests.push(Request::Acknowledge(finding));
    }

    fn remember(&mut self, finding: String) {
        self.acknowledged.retain(|it| *it != finding);
        self.acknowledged.push(finding);
        if self.acknowledged.len() > UNDO_MAX {
            self.acknowledged.remove(0);
        }
    }

    fn take_back(&mut self, requests: &mut Vec<Request>) {
        match self.acknowledged.last() {
            Some(finding) => requests.push(Request::TakeBack(finding.clone())),
            None => self.say(
                "There is no acknowledgement of this session to take back.",
                true,
            ),
        }
    }
}

fn rows(answer: &Value, pointer: &str, row: fn(&Value) -> Option<Row>) -> Vec<Row> {
    items(answer, pointer).iter().filter_map(row).collect()
}

/// As many digits as tell findings apart for a person.
pub(super) fn short(id: &str) -> String {
    id.chars().take(8).collect()
}
