//! The fields of one line, as text or numbers, before anything is made of them.

use std::borrow::Cow;

use super::record::Dialect;
use super::report::quoted;

/// A field that is read; all others are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Column {
    Time,
    Uid,
    Source,
    SourcePort,
    Destination,
    DestinationPort,
    Protocol,
    Duration,
    BytesOut,
    BytesIn,
    State,
    ServerName,
    Host,
    Query,
    Version,
    Sensor,
    Stream,
}

const COLUMNS: usize = Column::Stream as usize + 1;

impl Column {
    /// The column that a field name stands for.
    pub(super) fn of(name: &str, dialect: Dialect) -> Option<Self> {
        match dialect {
            Dialect::Flows => Self::of_flows(name),
            Dialect::Zeek => Self::of_zeek(name),
        }
    }

    fn of_flows(name: &str) -> Option<Self> {
        Some(match name {
            "src" => Self::Source,
            "sport" => Self::SourcePort,
            "dst" => Self::Destination,
            "dport" => Self::DestinationPort,
            "server_name" => Self::ServerName,
            _ => return Self::of_both(name),
        })
    }

    /// Some shippers write `id_orig_h` for Zeek's `id.orig_h`.
    fn of_zeek(name: &str) -> Option<Self> {
        Some(match name {
            "id.orig_h" | "id_orig_h" => Self::Source,
            "id.orig_p" | "id_orig_p" => Self::SourcePort,
            "id.resp_h" | "id_resp_h" => Self::Destination,
            "id.resp_p" | "id_resp_p" => Self::DestinationPort,
            "server_name" => Self::ServerName,
            "host" => Self::Host,
            "query" => Self::Query,
            "version" => Self::Version,
            "_system_name" | "@system" => Self::Sensor,
            "_path" | "@stream" => Self::Stream,
            _ => return Self::of_both(name),
        })
    }

    fn of_both(name: &str) -> Option<Self> {
        Some(match name {
            "ts" => Self::Time,
            "uid" => Self::Uid,
            "proto" => Self::Protocol,
            "duration" => Self::Duration,
            "orig_bytes" => Self::BytesOut,
            "resp_bytes" => Self::BytesIn,
            "conn_state" => Self::State,
            _ => return None,
        })
    }

    /// The name of the field, for messages.
    pub(super) const fn name(self, dialect: Dialect) -> &'static str {
        match (self, dialect) {
            (Self::Source, Dialect::Flows) => "src",
            (Self::SourcePort, Dialect::Flows) => "sport",
            (Self::Destination, Dialect::Flows) => "dst",
            (Self::DestinationPort, Dialect::Flows) => "dport",
            (Self::Source, Dialect::Zeek) => "id.orig_h",
            (Self::SourcePort, Dialect::Zeek) => "id.orig_p",
            (Self::Destination, Dialect::Zeek) => "id.resp_h",
            (Self::DestinationPort, Dialect::Zeek) => "id.resp_p",
            (Self::Time, _) => "ts",
            (Self::Uid, _) => "uid",
            (Self::Protocol, _) => "proto",
            (Self::Duration, _) => "duration",
            (Self::BytesOut, _) => "orig_bytes",
            (Self::BytesIn, _) => "resp_bytes",
            (Self::State, _) => "conn_state",
            (Self::ServerName, _) => "server_name",
            (Self::Host, _) => "host",
            (Self::Query, _) => "query",
            (Self::Version, _) => "version",
            (Self::Sensor, _) => "_system_name",
            (Self::Stream, _) => "_path",
        }
    }
}

/// Which Zeek log a record of unknown origin belongs to, by the names of its fields. Where several fit
/// the greatest is meant: `conn` has no field of `http`, but `http` may have fields of `ssl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hint {
    Tls,
    Conn,
    Dns,
    Http,
}

impl Hint {
    /// The log that alone has a field of this name.
    pub(super) fn of(field: &str) -> Option<Self> {
        Some(match field {
            "conn_state" | "orig_bytes" | "resp_bytes" | "missed_bytes" | "orig_pkts"
            | "local_orig" => Self::Conn,
            "method" | "uri" | "status_code" | "trans_depth" | "user_agent" => Self::Http,
            "query" | "qtype" | "trans_id" | "rcode" => Self::Dns,
            "cipher" | "server_name" | "resumed" | "established" | "next_protocol" | "ja3" => {
                Self::Tls
            }
            _ => return None,
        })
    }
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    Bool(bool),
    /// A list or an object.
    Nested,
}

impl Scalar<'_> {
    /// The value for a message: quoted, escaped, cut.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Number(number) => number.to_string(),
            Self::Bool(value) => value.to_string(),
            Self::Nested => "a list or an object".to_owned(),
        }
    }
}

/// The fields of one line.
#[derive(Debug, Default)]
pub(super) struct Row<'a> {
    values: [Option<Scalar<'a>>; COLUMNS],
    /// Which of them were named, also when unset.
    named: u32,
    /// What the names say of the record's kind.
    pub(super) hint: Option<Hint>,
}

impl<'a> Row<'a> {
    pub(super) fn set(&mut self, column: Column, value: Option<Scalar<'a>>) {
        self.named |= 1 << column as usize;
        if let Some(slot) = self.values.get_mut(column as usize) {
            *slot = value;
        }
    }

    /// The value; `None` when absent or unset.
    pub(super) fn get(&self, column: Column) -> Option<&Scalar<'a>> {
        self.values.get(column as usize)?.as_ref()
    }

    /// The value, when it is text.
    pub(super) fn text(&self, column: Column) -> Option<&str> {
        match self.get(column)? {
            Scalar::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether the line names the field, set or not.
    pub(super) fn names(&self, column: Column) -> bool {
        self.named & (1 << column as usize) != 0
    }
}
