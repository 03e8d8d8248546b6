//! One JSON object a line.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::record::Dialect;
use super::report::{Problem, Reason, quoted};
use super::row::{Column, Hint, Row, Scalar};

/// The fields of a JSON object.
pub(crate) fn row(line: &[u8], dialect: Dialect) -> Result<Row<'_>, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    deserializer
        .deserialize_map(RowVisitor { dialect })
        .and_then(|row| deserializer.end().map(|()| row))
        .map_err(|error| problem(line, &error))
}

fn problem(line: &[u8], error: &serde_json::Error) -> Problem {
    Problem {
        reason: Reason::NotJson,
        field: key_before(line, error.column()),
        expected: "a JSON object on one line".to_owned(),
        got: format!("{} ({error})", quoted(&String::from_utf8_lossy(line))),
    }
}

/// The last key that begins before the byte `column`: the field whose value could not be read.
fn key_before(line: &[u8], column: usize) -> Option<String> {
    let head = String::from_utf8_lossy(line.get(..column.min(line.len()))?).into_owned();
    let (before, _) = head.rsplit_once("\":")?;
    let (_, key) = before.rsplit_once('"')?;
    Some(key.chars().take(64).filter(|c| !c.is_control()).collect())
}

/// Objects of EVE whose fields are read.
const OBJECTS: [&str; 6] = ["flow", "netflow", "tls", "quic", "http", "dns"];

struct RowVisitor {
    dialect: Dialect,
}

/// A row inside of something larger.
impl<'de> DeserializeSeed<'de> for RowVisitor {
    type Value = Row<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

/// Reads the rows of a list, one after the other.
pub(crate) struct Rows<F> {
    pub(crate) dialect: Dialect,
    pub(crate) take: F,
}

impl<'de, F: FnMut(Row<'de>) -> Result<(), String>> DeserializeSeed<'de> for Rows<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(Row<'de>) -> Result<(), String>> Visitor<'de> for Rows<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of JSON objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let dialect = self.dialect;
        while let Some(row) = list.next_element_seed(RowVisitor { dialect })? {
            (self.take)(row).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row<'de>, A::Error> {
        let mut row = Row::default();
        fill(&mut row, &mut map, self.dialect, "")?;
        Ok(row)
    }
}

/// Takes the fields of one object into the row; `object` is its name when it lies inside of another.
fn fill<'de, A: MapAccess<'de>>(
    row: &mut Row<'de>,
    map: &mut A,
    dialect: Dialect,
    object: &str,
) -> Result<(), A::Error> {
    loop {
        let seed = Key {
            dialect,
            object,
            hint: &mut row.hint,
        };
        match map.next_key_seed(seed)? {
            None => return Ok(()),
            Some(Named::Column(column)) => {
                let value = map.next_value_seed(Value)?;
                row.set(column, value);
            }
            Some(Named::Object(object)) => map.next_value_seed(Inside {
                row,
                dialect,
                object,
            })?,
            Some(Named::Unknown) => {
                map.next_value::<IgnoredAny>()?;
            }
        }
    }
}

/// What is inside of an object or of a list of objects.
struct Inside<'r, 'de> {
    row: &'r mut Row<'de>,
    dialect: Dialect,
    object: &'static str,
}

impl<'de> DeserializeSeed<'de> for Inside<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inside<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        fill(self.row, &mut map, self.dialect, self.object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self {
            row,
            dialect,
            object,
        } = self;
        loop {
            let inside = Inside {
                row: &mut *row,
                dialect,
                object,
            };
            if list.next_element_seed(inside)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_bool<E: Error>(self, _value: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _value: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _value: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _value: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _value: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// What a key stands for.
enum Named {
    Column(Column),
    Object(&'static str),
    Unknown,
}

struct Key<'a> {
    dialect: Dialect,
    object: &'a str,
    hint: &'a mut Option<Hint>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Named;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        if self.dialect == Dialect::Eve {
            return Ok(named_by_eve(name, self.object));
        }
        *self.hint = Hint::of(name).max(*self.hint);
        Ok(Column::of(name, self.dialect).map_or(Named::Unknown, Named::Column))
    }
}

fn named_by_eve(name: &str, object: &str) -> Named {
    let column = if object.is_empty() {
        Column::of(name, Dialect::Eve)
    } else {
        Column::of(&format!("{object}.{name}"), Dialect::Eve)
    };
    if let Some(column) = column {
        return Named::Column(column);
    }
    match (object, name) {
        ("", _) => OBJECTS
            .iter()
            .find(|it| **it == name)
            .map_or(Named::Unknown, |object| Named::Object(object)),
        // The questions, since version 3 of the format.
        ("dns", "queries") => Named::Object("dns"),
        ("tls", "ja3") => Named::Object("tls.ja3"),
        ("quic", "ja3") => Named::Object("quic.ja3"),
        _ => Named::Unknown,
    }
}

struct Value;

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Option<Scalar<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Option<Scalar<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Text(Cow::Borrowed(text))))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Number(number)))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "larger numbers are kept as they are"
    )]
    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(if number > 1 << 53 {
            Scalar::Whole(number)
        } else {
            Scalar::Number(number as f64)
        }))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "no field needs more than 53 bits"
    )]
    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Number(number as f64)))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Bool(value)))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Some(Scalar::Nested))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Some(Scalar::Nested))
    }
}
