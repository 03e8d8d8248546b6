//! Syslog messages: header, structured data and text (RFC 5424 section 6).
//!
//! # Contract
//! Every message is valid whatever its document holds: header fields are cut and reduced to printable ASCII, values of
//! structured data are escaped, and text has no control characters but tab. Text that is not ASCII begins with
//! the byte order mark that declares UTF-8; JSON is written in ASCII, so it needs none.
//!
//! Structured data: `origin` (software, its version), `meta` (`sequenceId`, by which a receiver can count lost
//! datagrams: from 1 at each start) and `beaconwatch@<enterprise number>` with the fields of [`PARAMETERS`].

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::event::{self, visible};
use super::{SyslogConfig, SyslogFormat};
use crate::Document;
use crate::fields::{Fields, Level};

/// Parameters of our structured data and the fields that they are from.
const PARAMETERS: &[(&str, &str)] = &[
    ("score", "beaconwatch.score"),
    ("source", "source.ip"),
    ("destination", "destination.ip"),
    ("port", "destination.port"),
    ("domain", "destination.domain"),
    ("host", "host.name"),
    ("process", "process.name"),
    ("finding", "beaconwatch.finding.id"),
    ("revision", "beaconwatch.finding.revision"),
];
/// Longest value of a parameter, in characters; the document has it whole.
const MAX_PARAMETER_CHARACTERS: usize = 64;
/// Longest event id in a parameter, which is never cut.
const MAX_ID_BYTES: usize = 512;
const BYTE_ORDER_MARK: &str = "\u{feff}";
const APP_NAME: &str = "beaconwatch";
/// Largest `sequenceId`.
const MAX_SEQUENCE_ID: u32 = i32::MAX as u32;

/// Form of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// RFC 5424.
    Rfc5424,
    /// What `syslog(3)` writes to `/dev/log`: priority, local time, tag.
    Local,
}

/// Makes messages.
#[derive(Clone, Debug)]
pub(super) struct Messages {
    form: Form,
    format: SyslogFormat,
    facility: u8,
    enterprise_number: u32,
    max_bytes: usize,
    host_name: String,
    process_id: u32,
    time_zone: TimeZone,
    /// Number of the last message.
    sequence_id: u32,
}

impl Messages {
    pub(super) fn new(config: &SyslogConfig, observer_name: Option<&str>) -> Self {
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            form: config.form(),
            format: config.format,
            facility: config.facility as u8,
            enterprise_number: config.enterprise_number,
            max_bytes: config.max_message_bytes,
            host_name: header_field(observer_name.unwrap_or(machine.trim()), 255),
            process_id: std::process::id(),
            time_zone: TimeZone::system(),
            sequence_id: 0,
        }
    }

    /// The message of a document; the reason when there can be none.
    pub(super) fn make(&mut self, fields: &Fields, document: &Document) -> Result<Vec<u8>, String> {
        if document.event_id.len() > MAX_ID_BYTES {
            return Err(format!(
                "the event id has {} bytes, expected at most {MAX_ID_BYTES}",
                document.event_id.len()
            ));
        }
        self.sequence_id = self.sequence_id % MAX_SEQUENCE_ID + 1;
        let header = match self.form {
            Form::Rfc5424 => self.header(fields, document),
            Form::Local => self.local_header(fields),
        };
        let text = match self.format {
            SyslogFormat::Ecs => ascii_json(&document.body),
            SyslogFormat::Text => event::text(fields, document),
            SyslogFormat::Cef => event::cef(fields, document),
            SyslogFormat::Leef => event::leef(fields, document),
        };
        let message = self.join(&header, &text);
        if message.len() <= self.max_bytes {
            return Ok(message.into_bytes());
        }
        self.shortened(&header, &event::text(fields, document))
    }

    /// Header and as much of the text as there is room for.
    fn shortened(&self, header: &str, text: &str) -> Result<Vec<u8>, String> {
        const ELLIPSIS: &str = " ...";
        let room = self
            .max_bytes
            .checked_sub(self.join(header, "").len() + BYTE_ORDER_MARK.len() + ELLIPSIS.len())
            .ok_or_else(|| {
                format!(
                    "the header alone has {} bytes, the limit is {}",
                    header.len(),
                    self.max_bytes
                )
            })?;
        let message = if text.len() <= room {
            self.join(header, text)
        } else {
            let (kept, _) = text.split_at(text.floor_char_boundary(room));
            self.join(header, &format!("{kept}{ELLIPSIS}"))
        };
        Ok(message.into_bytes())
    }

    fn join(&self, header: &str, text: &str) -> String {
        match self.form {
            Form::Rfc5424 if !text.is_ascii() => format!("{header} {BYTE_ORDER_MARK}{text}"),
            Form::Rfc5424 | Form::Local => format!("{header} {text}"),
        }
    }

    fn header(&self, fields: &Fields, document: &Document) -> String {
        let time = fields.time("@timestamp").map_or_else(
            || "-".to_owned(),
            |time| time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        );
        let action = fields.text("event.action").unwrap_or_default();
        format!(
            "<{}>1 {time} {} {APP_NAME} {} {} {}",
            self.priority(fields),
            self.host_name,
            self.process_id,
            header_field(&action, 32),
            self.structured_data(fields, document),
        )
    }

    /// The local time of sending, as `syslog(3)` has it: the readers of `/dev/log` put their own there anyway.
    fn local_header(&self, fields: &Fields) -> String {
        let now = Timestamp::now().to_zoned(self.time_zone.clone());
        let time = now.strftime("%b %e %H:%M:%S");
        let priority = self.priority(fields);
        format!("<{priority}>{time} {APP_NAME}[{}]:", self.process_id)
    }

    fn priority(&self, fields: &Fields) -> u8 {
        let severity = match fields.severity() {
            Level::Low => 5,      // notice
            Level::Medium => 4,   // warning
            Level::High => 3,     // error
            Level::Critical => 2, // critical
        };
        self.facility * 8 + severity
    }

    fn structured_data(&self, fields: &Fields, document: &Document) -> String {
        let mut ours = format!(
            "[{APP_NAME}@{} id=\"{}\" severity=\"{}\"",
            self.enterprise_number,
            parameter_value(&document.event_id),
            fields.severity().name(),
        );
        for (name, field) in PARAMETERS {
            if let Some(value) = fields.text(field) {
                let value: String = value.chars().take(MAX_PARAMETER_CHARACTERS).collect();
                let _infallible = write!(ours, " {name}=\"{}\"", parameter_value(&value));
            }
        }
        format!(
            "[origin software=\"{APP_NAME}\" swVersion=\"{}\"][meta sequenceId=\"{}\"]{ours}]",
            env!("CARGO_PKG_VERSION"),
            self.sequence_id,
        )
    }
}

/// A field of the header: printable ASCII, `-` when there is nothing.
fn header_field(text: &str, max_bytes: usize) -> String {
    let printable = |c: char| if c.is_ascii_graphic() { c } else { '_' };
    let field: String = text.chars().take(max_bytes).map(printable).collect();
    if field.is_empty() {
        "-".to_owned()
    } else {
        field
    }
}

/// A value of structured data: `"`, `\` and `]` are escaped (section 6.3.3).
fn parameter_value(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for c in visible(text).chars() {
        if matches!(c, '"' | '\\' | ']') {
            value.push('\\');
        }
        value.push(c);
    }
    value
}

/// The same JSON with what is not ASCII as `\u` escapes, and the one control character that JSON leaves as it is (DEL).
/// Outside of its strings JSON has neither.
fn ascii_json(json: &str) -> String {
    let stays = |c: char| c.is_ascii() && c != '\u{7f}';
    if json.chars().all(stays) {
        return json.to_owned();
    }
    let mut ascii = String::with_capacity(json.len() + 64);
    let mut units = [0; 2];
    for c in json.chars() {
        if stays(c) {
            ascii.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                let _infallible = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    ascii
}
