//! The fields of one line, as text or numbers, before anything is made of them.

use std::borrow::Cow;

use super::column::COLUMNS;
pub(crate) use super::column::Column;
use super::report::quoted;

/// Which Zeek log a record of unknown origin belongs to, by the names of its fields. Where several fit
/// the greatest is meant: `conn` has no field of `http`, but `http` may have fields of `ssl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hint {
    Tls,
    Conn,
    Dns,
    Http,
}

impl Hint {
    /// The log that alone has a field of this name.
    pub(crate) fn of(field: &str) -> Option<Self> {
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
pub(crate) enum Scalar<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    /// A number that needs more than 53 bits.
    Whole(u64),
    Bool(bool),
    /// A list or an object.
    Nested,
}

impl Scalar<'_> {
    /// The value for a message: quoted, escaped, cut.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Number(number) => number.to_string(),
            Self::Whole(number) => number.to_string(),
            Self::Bool(value) => value.to_string(),
            Self::Nested => "a list or an object".to_owned(),
        }
    }
}

/// The fields of one line.
#[derive(Debug, Default)]
pub(crate) struct Row<'a> {
    values: [Option<Scalar<'a>>; COLUMNS],
    /// Which of them were named, also when unset.
    named: u32,
    /// What the names say of the record's kind.
    pub(crate) hint: Option<Hint>,
}

impl<'a> Row<'a> {
    pub(crate) fn set(&mut self, column: Column, value: Option<Scalar<'a>>) {
        self.named |= 1 << column as usize;
        if let Some(slot) = self.values.get_mut(column as usize) {
            *slot = value;
        }
    }

    /// The value; `None` when absent or unset.
    pub(crate) fn get(&self, column: Column) -> Option<&Scalar<'a>> {
        self.values.get(column as usize)?.as_ref()
    }

    /// The value, when it is text.
    pub(crate) fn text(&self, column: Column) -> Option<&str> {
        match self.get(column)? {
            Scalar::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether the line names the field, set or not.
    pub(crate) fn names(&self, column: Column) -> bool {
        self.named & (1 << column as usize) != 0
    }
}
