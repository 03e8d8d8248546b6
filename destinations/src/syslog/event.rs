//! A document as a line: to read, in the Common Event Format (CEF), in the Log Event Extended Format (LEEF).
//!
//! # Contract
//! One line without control characters (LEEF: but the tabs between its attributes), whatever the document
//! holds. A field that the document does not have is left out.

use std::fmt::Write as _;

use crate::Document;
use crate::fields::{Fields, Level};

const VENDOR: &str = "Beaconwatch";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How the value of a field is written.
#[derive(Clone, Copy)]
enum As {
    Text,
    /// Milliseconds since 1970.
    Milliseconds,
    /// An IPv4 address; nothing for others.
    Ipv4,
    /// An IPv6 address; nothing for others.
    Ipv6,
}

/// Keys of CEF and the fields that their values are from. Custom keys are followed by their labels.
const CEF_KEYS: &[(&str, &str, As)] = &[
    ("rt", "@timestamp", As::Milliseconds),
    ("start", "event.start", As::Milliseconds),
    ("end", "event.end", As::Milliseconds),
    ("act", "event.action", As::Text),
    ("cat", "rule.category", As::Text),
    ("cnt", "beaconwatch.count", As::Text),
    ("dvchost", "observer.name", As::Text),
    ("shost", "host.name", As::Text),
    ("src", "source.ip", As::Ipv4),
    ("c6a2", "source.ip", As::Ipv6),
    ("sproc", "process.name", As::Text),
    ("spid", "process.pid", As::Text),
    ("suid", "process.real_user.id", As::Text),
    ("dst", "destination.ip", As::Ipv4),
    ("c6a3", "destination.ip", As::Ipv6),
    ("dpt", "destination.port", As::Text),
    ("dhost", "destination.domain", As::Text),
    ("proto", "network.transport", As::Text),
    ("out", "source.bytes", As::Text),
    ("in", "destination.bytes", As::Text),
    ("cfp1", "beaconwatch.score", As::Text),
    ("cfp2", "beaconwatch.interval.median_s", As::Text),
    ("cs1", "beaconwatch.finding.id", As::Text),
    ("cs2", "beaconwatch.explanation", As::Text),
    ("msg", "message", As::Text),
];
const CEF_LABELS: &[(&str, &str)] = &[
    ("c6a2", "Source IPv6 Address"),
    ("c6a3", "Destination IPv6 Address"),
    ("cfp1", "Score"),
    ("cfp2", "Interval in seconds"),
    ("cs1", "Finding"),
    ("cs2", "Explanation"),
];

/// Keys of LEEF and the fields that their values are from.
const LEEF_KEYS: &[(&str, &str, As)] = &[
    ("devTime", "@timestamp", As::Milliseconds),
    ("cat", "rule.category", As::Text),
    ("src", "source.ip", As::Text),
    ("dst", "destination.ip", As::Text),
    ("dstPort", "destination.port", As::Text),
    ("proto", "network.transport", As::Text),
    ("srcBytes", "source.bytes", As::Text),
    ("dstBytes", "destination.bytes", As::Text),
    ("identHostName", "host.name", As::Text),
    ("domain", "destination.domain", As::Text),
    ("process", "process.name", As::Text),
    ("action", "event.action", As::Text),
    ("count", "beaconwatch.count", As::Text),
    ("score", "beaconwatch.score", As::Text),
    ("intervalSeconds", "beaconwatch.interval.median_s", As::Text),
    ("finding", "beaconwatch.finding.id", As::Text),
    ("explanation", "beaconwatch.explanation", As::Text),
    ("msg", "message", As::Text),
];

/// A line to read. What identifies it comes first, so that a cut takes away the least.
pub(super) fn text(fields: &Fields, document: &Document) -> String {
    let message = fields.text("message").unwrap_or_default();
    let mut line = format!(
        "severity={} id={}",
        fields.severity().name(),
        document.event_id
    );
    for (key, field) in [
        ("action", "event.action"),
        ("score", "beaconwatch.score"),
        ("source", "source.ip"),
        ("destination", "destination.ip"),
        ("port", "destination.port"),
    ] {
        if let Some(value) = fields.text(field) {
            let _infallible = write!(line, " {key}={value}");
        }
    }
    visible(&format!("{line} {message}"))
}

pub(super) fn cef(fields: &Fields, document: &Document) -> String {
    let severity = match fields.severity() {
        Level::Low => 3,
        Level::Medium => 6,
        Level::High => 8,
        Level::Critical => 10,
    };
    let mut line = format!(
        "CEF:0|{VENDOR}|{VENDOR}|{VERSION}|{}|{}|{severity}|externalId={}",
        cef_header(&fields.text("event.action").unwrap_or_default()),
        cef_header(&fields.text("rule.name").unwrap_or_default()),
        cef_value(&document.event_id),
    );
    for (key, field, written) in CEF_KEYS {
        if let Some(value) = value(fields, field, *written) {
            let _infallible = write!(line, " {key}={}", cef_value(&value));
            let label = CEF_LABELS.iter().find(|(labelled, _)| labelled == key);
            if let Some((_, label)) = label {
                let _infallible = write!(line, " {key}Label={label}");
            }
        }
    }
    line
}

pub(super) fn leef(fields: &Fields, document: &Document) -> String {
    let severity = match fields.severity() {
        Level::Low => 3,
        Level::Medium => 5,
        Level::High => 8,
        Level::Critical => 10,
    };
    let action = fields.text("event.action").unwrap_or_default();
    let mut line = format!(
        "LEEF:2.0|{VENDOR}|{VENDOR}|{VERSION}|{}|x09|sev={severity}\tid={}",
        // There is no escape for the separator.
        visible(&action).replace('|', "/"),
        leef_value(&document.event_id),
    );
    for (key, field, written) in LEEF_KEYS {
        if let Some(value) = value(fields, field, *written) {
            let _infallible = write!(line, "\t{key}={}", leef_value(&value));
        }
    }
    line
}

fn value(fields: &Fields, field: &str, written: As) -> Option<String> {
    let ip = || fields.text(field)?.parse::<std::net::IpAddr>().ok();
    match written {
        As::Text => fields.text(field),
        As::Milliseconds => Some(fields.time(field)?.as_millisecond().to_string()),
        As::Ipv4 => ip()
            .filter(std::net::IpAddr::is_ipv4)
            .map(|ip| ip.to_string()),
        As::Ipv6 => ip()
            .filter(std::net::IpAddr::is_ipv6)
            .map(|ip| ip.to_string()),
    }
}

fn cef_header(text: &str) -> String {
    visible(text).replace('\\', "\\\\").replace('|', "\\|")
}

/// A value of a CEF extension. Line breaks keep their meaning, other control characters become spaces.
fn cef_value(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => value.push_str("\\\\"),
            '=' => value.push_str("\\="),
            '\n' => value.push_str("\\n"),
            '\r' => value.push_str("\\r"),
            c if c.is_control() => value.push(' '),
            c => value.push(c),
        }
    }
    value
}

/// A value of a LEEF attribute: there is no escape for the separator, a tab, so it becomes a space.
fn leef_value(text: &str) -> String {
    visible(text)
}

/// The text in one line: control characters become spaces.
pub(super) fn visible(text: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(visible).collect()
}
