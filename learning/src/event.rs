//! BeaconHunter's events: its CSV as it is, and its features.
//!
//! # Table
//! A header line, then one event a line. Read by name, in any order and any case; other columns are passed over:
//! `event_id, host_id, timestamp, src_ip, dst_ip, dst_port, protocol, bytes_out, bytes_in, inter_event_seconds,
//! proc_name, user, country_code, signed_binary[, label]`. Needed are `host_id`, `dst_port` and
//! `inter_event_seconds`, and `label` to train.
//!
//! # Contract
//! A line that cannot be used is skipped, counted, and told with line, field, what was expected and what was
//! there ([`EventProblem`]); its neighbours are read. NaN and infinities are no numbers here.
//!
//! # Limits
//! At most [`EVENTS_MAX`] events; the caller bounds the bytes. Training takes about 600 bytes of memory an event. `user` and `signed_binary` are not used: the older
//! system's features do not.

use std::io::Read;
use std::sync::Arc;

use csv::StringRecord;

use crate::feature::{Feature, feature};
use crate::{Example, RiskSets};

/// Most events of one reading.
pub const EVENTS_MAX: usize = 5_000_000;
/// Problems that are kept word for word.
const PROBLEMS_KEPT: usize = 20;
/// Characters of a value that a problem shows.
const SHOWN: usize = 40;
/// The interval that the older system looks for, in seconds.
const BEACON_INTERVAL_S: f64 = 60.0;

/// The features, in order.
pub(crate) const FEATURES: &[Feature] = &[
    feature(
        "interval_distance",
        "|inter_event_seconds - 60|, s",
        "distance of the interval from 60 s",
    ),
    feature(
        "is_rare_port",
        "0 or 1",
        "port is in no list of common ones",
    ),
    feature(
        "process_risk",
        "0, 1 or 2",
        "risk of the process by its name",
    ),
    feature("geo_risk", "0, 1 or 2", "risk of the destination's country"),
];

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Line in its file, from 1.
    pub line: u64,
    /// Its name, or empty.
    pub event_id: Box<str>,
    /// The host that it happened on.
    pub host_id: Arc<str>,
    /// When, as the file says it.
    pub timestamp: Box<str>,
    /// Source address, as the file says it.
    pub source: Arc<str>,
    /// Destination address, as the file says it.
    pub destination: Arc<str>,
    /// Port that answers.
    pub destination_port: u16,
    /// Protocol, as the file says it.
    pub protocol: Arc<str>,
    /// Process, or empty.
    pub process: Arc<str>,
    /// Seconds since the event before, finite and at least 0.
    pub inter_event_s: f64,
    /// The destination's country, or empty.
    pub country: Arc<str>,
    /// Whether it is known to be malicious; `None` without a label.
    pub label: Option<bool>,
}

impl Event {
    /// The features of [`crate::FeatureSet::BeaconHunter`], in their order; all finite.
    #[must_use]
    pub fn features(&self, sets: &RiskSets) -> Vec<f64> {
        vec![
            (self.inter_event_s - BEACON_INTERVAL_S).abs(),
            f64::from(u8::from(sets.is_rare_port(self.destination_port))),
            f64::from(sets.process_risk(&self.process)),
            f64::from(sets.country_risk(&self.country)),
        ]
    }

    /// The event as an example; `None` without a label.
    #[must_use]
    pub fn example(&self, sets: &RiskSets) -> Option<Example> {
        Some(Example {
            features: self.features(sets),
            label: self.label?,
            host: Arc::clone(&self.host_id),
            pair: format!(
                "{} {} {}",
                self.host_id, self.destination, self.destination_port
            )
            .into(),
        })
    }
}

/// Why a line was skipped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, field {field}: expected {expected}, found {found:?}")]
pub struct EventProblem {
    /// The line, from 1.
    pub line: u64,
    /// The field.
    pub field: &'static str,
    /// What was expected.
    pub expected: &'static str,
    /// What was there, shortened.
    pub found: String,
}

/// Why a table cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// A needed column is missing.
    #[error(
        "line 1: no column {column}, expected event_id,host_id,timestamp,src_ip,dst_ip,dst_port,protocol,\
         bytes_out,bytes_in,inter_event_seconds,proc_name,user,country_code,signed_binary[,label]"
    )]
    Column {
        /// The column.
        column: &'static str,
    },
    /// Too many events.
    #[error("more than {EVENTS_MAX} events")]
    TooMany,
    /// It could not be read.
    #[error("{0}")]
    Read(#[from] csv::Error),
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Events {
    /// Usable events, in the order of the file.
    pub events: Vec<Event>,
    /// Lines that were skipped.
    pub skipped: u64,
    /// The first of them.
    pub problems: Vec<EventProblem>,
}

/// Reads BeaconHunter's tables.
///
/// # Example
/// ```
/// use beaconwatch_learning::{EventReader, RiskSets};
///
/// let table = "host_id,dst_port,inter_event_seconds,proc_name,country_code,label\n\
///              HOST-07,4444,61.5,powershell.exe,US,1\n\
///              HOST-07,443,NaN,firefox.exe,US,0\n";
/// let read = EventReader::default().read(table.as_bytes())?;
/// assert_eq!(read.events[0].features(&RiskSets::shipped()?), [1.5, 1.0, 2.0, 0.0]);
/// assert_eq!(
///     read.problems[0].to_string(),
///     "line 3, field inter_event_seconds: expected a finite number of seconds of at least 0, found \"NaN\""
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct EventReader {
    names: std::collections::BTreeSet<Arc<str>>,
}

/// Places of the columns.
struct Columns {
    event_id: Option<usize>,
    host_id: usize,
    timestamp: Option<usize>,
    source: Option<usize>,
    destination: Option<usize>,
    destination_port: usize,
    protocol: Option<usize>,
    inter_event_seconds: usize,
    process: Option<usize>,
    country: Option<usize>,
    label: Option<usize>,
}

impl Columns {
    fn of(head: &StringRecord) -> Result<Self, EventsError> {
        let find = |wanted: &str| {
            head.iter().position(|it| {
                it.trim_matches([' ', '\u{feff}'])
                    .eq_ignore_ascii_case(wanted)
            })
        };
        let needed = |column: &'static str| find(column).ok_or(EventsError::Column { column });
        Ok(Self {
            event_id: find("event_id"),
            host_id: needed("host_id")?,
            timestamp: find("timestamp"),
            source: find("src_ip"),
            destination: find("dst_ip"),
            destination_port: needed("dst_port")?,
            protocol: find("protocol"),
            inter_event_seconds: needed("inter_event_seconds")?,
            process: find("proc_name"),
            country: find("country_code"),
            label: find("label"),
        })
    }
}

impl EventReader {
    /// Reads a table to its end.
    pub fn read(&mut self, input: impl Read) -> Result<Events, EventsError> {
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(input);
        let columns = Columns::of(reader.headers()?)?;
        let mut read = Events::default();
        let mut record = StringRecord::new();
        loop {
            match reader.read_record(&mut record) {
                Ok(false) => return Ok(read),
                Ok(true) => {
                    let line = record.position().map_or(0, csv::Position::line);
                    match self.event(&record, &columns, line) {
                        Ok(event) => read.events.push(event),
                        Err(problem) => read.skip(problem),
                    }
                }
                Err(error) => read.skip(not_text(error)?),
            }
            if read.events.len() > EVENTS_MAX {
                return Err(EventsError::TooMany);
            }
        }
    }

    fn event(
        &mut self,
        record: &StringRecord,
        columns: &Columns,
        line: u64,
    ) -> Result<Event, EventProblem> {
        let text = |column: Option<usize>| column.and_then(|at| record.get(at)).unwrap_or_default();
        let problem = |field, expected, found: &str| EventProblem {
            line,
            field,
            expected,
            found: found.chars().take(SHOWN).collect(),
        };
        let host = text(Some(columns.host_id));
        if host.is_empty() {
            return Err(problem("host_id", "the name of a host", host));
        }
        let port = text(Some(columns.destination_port));
        let seconds = text(Some(columns.inter_event_seconds));
        let label = text(columns.label);
        Ok(Event {
            line,
            event_id: text(columns.event_id).into(),
            host_id: self.shared(host),
            timestamp: text(columns.timestamp).into(),
            source: self.shared(text(columns.source)),
            destination: self.shared(text(columns.destination)),
            destination_port: port
                .parse()
                .map_err(|_no_port| problem("dst_port", "a port, 0 to 65535", port))?,
            protocol: self.shared(text(columns.protocol)),
            process: self.shared(text(columns.process)),
            inter_event_s: seconds_of(seconds).ok_or_else(|| {
                let expected = "a finite number of seconds of at least 0";
                problem("inter_event_seconds", expected, seconds)
            })?,
            country: self.shared(text(columns.country)),
            label: match label {
                "" => None,
                label => Some(
                    crate::labels::label(label)
                        .ok_or_else(|| problem("label", "0 or 1, benign or malicious", label))?,
                ),
            },
        })
    }

    /// One copy of texts that repeat.
    fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.names.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(text);
        self.names.insert(Arc::clone(&new));
        new
    }
}

impl Events {
    fn skip(&mut self, problem: EventProblem) {
        self.skipped += 1;
        if self.problems.len() < PROBLEMS_KEPT {
            self.problems.push(problem);
        }
    }

    /// Adds what another file held.
    pub fn extend(&mut self, other: Self) -> Result<(), EventsError> {
        self.events.extend(other.events);
        if self.events.len() > EVENTS_MAX {
            return Err(EventsError::TooMany);
        }
        self.skipped += other.skipped;
        let room = PROBLEMS_KEPT.saturating_sub(self.problems.len());
        self.problems.extend(other.problems.into_iter().take(room));
        Ok(())
    }
}

fn seconds_of(text: &str) -> Option<f64> {
    // Beyond a million years a number of seconds is a mistake, and its square still finite.
    let value: f64 = text.parse().ok()?;
    (0.0..=3.2e13).contains(&value).then_some(value)
}

/// A line that is no UTF-8 is skipped; anything else ends the reading.
fn not_text(error: csv::Error) -> Result<EventProblem, csv::Error> {
    match error.kind() {
        csv::ErrorKind::Utf8 { pos, .. } => Ok(EventProblem {
            line: pos.as_ref().map_or(0, csv::Position::line),
            field: "line",
            expected: "UTF-8",
            found: String::new(),
        }),
        _ => Err(error),
    }
}
