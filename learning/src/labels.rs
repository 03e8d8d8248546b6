//! Labels of series: which are known to be malicious, which benign.
//!
//! # File
//! CSV with a header line, or NDJSON; both with `src, dst[, dport, proto], label`. `src` is an address, `dst` an
//! address or the name of a server (in any case), `dport` a port, `proto` `tcp`, `udp` or `icmp`; empty or absent
//! means any. `label` is `1`, `true`, `malicious` or `beacon`, or `0`, `false` or `benign`.
//!
//! The entry that says most about a series decides: one with port and protocol before one with a port or a protocol
//! before one without either; an address before a name. Series that no entry names are not trained on.
//!
//! # Errors
//! Unlike logs, labels are made by hand: a wrong line is an error with its line and field, and so are two
//! entries that name the same and say different things.

use std::collections::BTreeMap;
use std::net::IpAddr;

use beaconwatch_detector::{Assessment, Transport};
use serde::Deserialize;

/// Largest file of labels.
pub const LABELS_BYTES_MAX: usize = 256 << 20;
/// Characters of a value that an error shows.
const SHOWN: usize = 40;

/// Why labels cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// Larger than [`LABELS_BYTES_MAX`].
    #[error("{bytes} bytes, expected at most {LABELS_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A field is not what it should be.
    #[error("line {line}, field {field}: expected {expected}, found {found:?}")]
    Field {
        /// The line, from 1.
        line: u64,
        /// The field.
        field: &'static str,
        /// What was expected.
        expected: &'static str,
        /// What was there, shortened.
        found: String,
    },
    /// A line is neither CSV nor JSON of the right form.
    #[error("line {line}: {problem}")]
    Line {
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// Two entries contradict each other.
    #[error("line {line}: labelled {label} here, and otherwise on line {before}")]
    Contradiction {
        /// The line, from 1.
        line: u64,
        /// Its label: 0 or 1.
        label: u8,
        /// The line that says otherwise.
        before: u64,
    },
    /// No entry.
    #[error("no label: expected lines with src,dst[,dport,proto],label")]
    Empty,
}

/// What an entry names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    source: IpAddr,
    destination: Place,
    port: Option<u16>,
    transport: Option<Transport>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Address(IpAddr),
    Name(String),
}

/// Labels by what they name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// With the line that says so.
    entries: BTreeMap<Named, (bool, u64)>,
}

/// One entry as text.
#[derive(Debug, Default, Deserialize)]
struct Entry {
    #[serde(default, alias = "src_ip")]
    src: Text,
    #[serde(default, alias = "dst_ip")]
    dst: Text,
    #[serde(default, alias = "dst_port")]
    dport: Text,
    #[serde(default, alias = "protocol")]
    proto: Text,
    #[serde(default)]
    label: Text,
}

/// A value of JSON that stands for its text.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Text {
    #[default]
    Nothing,
    Words(String),
    Number(u64),
    Truth(bool),
}

impl Text {
    fn into_text(self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Words(text) => text.trim().to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Truth(truth) => truth.to_string(),
        }
    }
}

impl Labels {
    /// Reads a file.
    ///
    /// # Example
    /// ```
    /// use beaconwatch_learning::Labels;
    ///
    /// let labels = Labels::read(b"src,dst,label\n10.0.0.5,198.51.100.7,1\n")?;
    /// assert_eq!(labels.len(), 1);
    /// let error = Labels::read(b"src,dst,label\n10.0.0.5,198.51.100.7,yes\n").unwrap_err();
    /// assert!(error.to_string().starts_with("line 2, field label"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(bytes: &[u8]) -> Result<Self, LabelsError> {
        if bytes.len() > LABELS_BYTES_MAX {
            return Err(LabelsError::TooLarge { bytes: bytes.len() });
        }
        let mut labels = Self::default();
        let begin = bytes.trim_ascii_start();
        if begin.first() == Some(&b'{') {
            labels.read_json(bytes)?;
        } else {
            labels.read_csv(bytes)?;
        }
        if labels.entries.is_empty() {
            return Err(LabelsError::Empty);
        }
        Ok(labels)
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a series is malicious; `None` when no entry names it.
    #[must_use]
    pub fn of(&self, assessment: &Assessment) -> Option<bool> {
        let key = &assessment.key;
        let address = Some(Place::Address(key.destination.to_canonical()));
        let name = assessment
            .server_name
            .as_deref()
            .map(|name| Place::Name(name.trim_end_matches('.').to_ascii_lowercase()));
        let (port, transport) = (Some(key.destination_port), Some(key.transport));
        for (port, transport) in [
            (port, transport),
            (port, None),
            (None, transport),
            (None, None),
        ] {
            for destination in [&address, &name].into_iter().flatten() {
                let named = Named {
                    source: key.source.to_canonical(),
                    destination: destination.clone(),
                    port,
                    transport,
                };
                if let Some((label, _)) = self.entries.get(&named) {
                    return Some(*label);
                }
            }
        }
        None
    }

    fn read_json(&mut self, bytes: &[u8]) -> Result<(), LabelsError> {
        for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let entry: Entry = serde_json::from_slice(line).map_err(|error| LabelsError::Line {
                line: number,
                problem: error.to_string(),
            })?;
            self.add(number, entry)?;
        }
        Ok(())
    }

    fn read_csv(&mut self, bytes: &[u8]) -> Result<(), LabelsError> {
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .comment(Some(b'#'))
            .from_reader(bytes);
        let head = reader.headers().map_err(|error| bad_line(&error))?.clone();
        let find = |names: [&str; 2]| {
            head.iter().position(|it| {
                let it = it.trim_start_matches('\u{feff}');
                names.iter().any(|name| it.eq_ignore_ascii_case(name))
            })
        };
        let places = [
            find(["src", "src_ip"]),
            find(["dst", "dst_ip"]),
            find(["dport", "dst_port"]),
            find(["proto", "protocol"]),
            find(["label", "label"]),
        ];
        for record in reader.records() {
            let record = record.map_err(|error| bad_line(&error))?;
            let line = record.position().map_or(0, csv::Position::line);
            let [src, dst, dport, proto, label] = places.map(|place| {
                let text = place.and_then(|at| record.get(at)).unwrap_or_default();
                Text::Words(text.to_owned())
            });
            let entry = Entry {
                src,
                dst,
                dport,
                proto,
                label,
            };
            self.add(line, entry)?;
        }
        Ok(())
    }

    fn add(&mut self, line: u64, entry: Entry) -> Result<(), LabelsError> {
        let wrong = |field, expected, found: &str| LabelsError::Field {
            line,
            field,
            expected,
            found: found.chars().take(SHOWN).collect(),
        };
        let (src, dst) = (entry.src.into_text(), entry.dst.into_text());
        let (port, proto) = (entry.dport.into_text(), entry.proto.into_text());
        let said = entry.label.into_text();
        let source: IpAddr = src
            .parse()
            .map_err(|_no_address| wrong("src", "an address", &src))?;
        let destination =
            place(&dst).ok_or_else(|| wrong("dst", "an address or the name of a server", &dst))?;
        let named = Named {
            source: source.to_canonical(),
            destination,
            port: match port.as_str() {
                "" => None,
                text => Some(
                    text.parse()
                        .map_err(|_no_port| wrong("dport", "a port, 0 to 65535", text))?,
                ),
            },
            transport: match proto.as_str() {
                "" => None,
                text => {
                    Some(transport(text).ok_or_else(|| wrong("proto", "tcp, udp or icmp", text))?)
                }
            },
        };
        let label =
            label(&said).ok_or_else(|| wrong("label", "0 or 1, benign or malicious", &said))?;
        let (known, before) = *self.entries.entry(named).or_insert((label, line));
        if known != label {
            return Err(LabelsError::Contradiction {
                line,
                label: label.into(),
                before,
            });
        }
        Ok(())
    }
}

fn bad_line(error: &csv::Error) -> LabelsError {
    LabelsError::Line {
        line: error.position().map_or(1, csv::Position::line),
        problem: error.to_string(),
    }
}

fn place(text: &str) -> Option<Place> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Place::Address(address.to_canonical()));
    }
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    (!name.is_empty() && name.len() <= 253 && name.chars().all(plain)).then_some(Place::Name(name))
}

fn transport(text: &str) -> Option<Transport> {
    [Transport::Tcp, Transport::Udp, Transport::Icmp]
        .into_iter()
        .find(|it| it.name().eq_ignore_ascii_case(text))
}

/// What a label says: `true` for malicious.
pub(crate) fn label(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "1.0" | "true" | "malicious" | "beacon" => Some(true),
        "0" | "0.0" | "false" | "benign" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
