//! One JSON object a line.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::record::Dialect;
use super::report::{Problem, Reason, quoted};
use super::row::{Column, Hint, Row, Scalar};

/// The fields of a JSON object.
pub(super) fn row(line: &[u8], dialect: Dialect) -> Result<Row<'_>, Problem> {
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

struct RowVisitor {
    dialect: Dialect,
}

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row<'de>, A::Error> {
        let mut row = Row::default();
        loop {
            let seed = Key {
                dialect: self.dialect,
                hint: &mut row.hint,
            };
            match map.next_key_seed(seed)? {
                None => return Ok(row),
                Some(Some(column)) => {
                    let value = map.next_value_seed(Value)?;
                    row.set(column, value);
                }
                Some(None) => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
    }
}

struct Key<'a> {
    dialect: Dialect,
    hint: &'a mut Option<Hint>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<Column>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<Column>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        *self.hint = Hint::of(name).max(*self.hint);
        Ok(Column::of(name, self.dialect))
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
        reason = "no field needs more than 53 bits"
    )]
    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Number(number as f64)))
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
