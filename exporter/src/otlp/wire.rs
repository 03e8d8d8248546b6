//! Writes what this crate sends of Protocol Buffers, straight into bytes.
//!
//! The generated types hold a record as a tree of some forty attributes, each with two strings of its own;
//! to build and drop that tree costs several times what writing its bytes costs. Fields are written in the
//! order of their numbers and none with its default value, as the generated encoder does: for equal content
//! the bytes are equal. See <https://protobuf.dev/programming-guides/encoding/>.

use std::fmt::{Display, Write};

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;

/// `LogRecord.attributes`; the other numbers are of `KeyValue` and `AnyValue`.
const RECORD_ATTRIBUTES: u8 = 6;
const KEY: u8 = 1;
const VALUE: u8 = 2;
const STRING_VALUE: u8 = 1;
const BOOL_VALUE: u8 = 2;
const INT_VALUE: u8 = 3;
const DOUBLE_VALUE: u8 = 4;

/// Longest variable-length integer.
pub(super) const MAX_VARINT_BYTES: usize = 10;

/// The tag of a field whose number is below 16.
const fn tag(number: u8, wire_type: u8) -> u8 {
    number << 3 | wire_type
}

/// A variable-length integer.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "masked, or below 0x80")]
pub(super) fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Bytes that [`put_varint`] writes.
#[inline]
pub(super) const fn varint_len(value: u64) -> usize {
    // Seven bits a byte, and one byte for 0.
    ((64 - (value | 1).leading_zeros() as usize) * 9 + 64) / 64
}

/// A field of bytes, text or an encoded message.
#[inline]
pub(super) fn put_bytes(bytes: &mut Vec<u8>, number: u8, value: &[u8]) {
    put_head(bytes, number, value.len());
    bytes.extend_from_slice(value);
}

/// Tag and length of a field of bytes: `length` bytes must follow.
#[inline]
pub(super) fn put_head(bytes: &mut Vec<u8>, number: u8, length: usize) {
    bytes.push(tag(number, BYTES));
    put_varint(bytes, length as u64);
}

/// Length of a field of bytes with its tag and length.
#[inline]
pub(super) const fn bytes_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

/// An integer field.
#[inline]
pub(super) fn put_integer(bytes: &mut Vec<u8>, number: u8, value: u64) {
    if value != 0 {
        bytes.push(tag(number, VARINT));
        put_varint(bytes, value);
    }
}

/// An integer field of eight bytes.
#[inline]
pub(super) fn put_fixed64(bytes: &mut Vec<u8>, number: u8, value: u64) {
    if value != 0 {
        bytes.push(tag(number, FIXED64));
        bytes.extend_from_slice(&value.to_le_bytes());
    }
}

/// Appends attributes to a log record: one call is one attribute, by its name and value.
pub(super) struct Attributes<'a> {
    bytes: &'a mut Vec<u8>,
    /// Where values are printed whose length must be known before they are written.
    printed: &'a mut String,
}

impl<'a> Attributes<'a> {
    /// Attributes of the record whose fields `bytes` holds so far.
    pub(super) const fn new(bytes: &'a mut Vec<u8>, printed: &'a mut String) -> Self {
        Self { bytes, printed }
    }

    /// A text.
    #[inline]
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.head(name, bytes_len(value.len()));
        put_bytes(self.bytes, STRING_VALUE, value.as_bytes());
    }

    /// A text, as the value displays itself.
    pub(super) fn display(&mut self, name: &str, value: impl Display) {
        let mut printed = std::mem::take(self.printed);
        printed.clear();
        if write!(printed, "{value}").is_ok() {
            self.text(name, &printed);
        }
        *self.printed = printed;
    }

    /// OTLP has signed integers only; what does not fit is written as the largest.
    #[inline]
    pub(super) fn unsigned(&mut self, name: &str, value: u64) {
        let value = value.min(i64::MAX.unsigned_abs());
        self.head(name, 1 + varint_len(value));
        self.bytes.push(tag(INT_VALUE, VARINT));
        put_varint(self.bytes, value);
    }

    /// A truth value.
    #[inline]
    pub(super) fn boolean(&mut self, name: &str, value: bool) {
        self.head(name, 2);
        self.bytes.push(tag(BOOL_VALUE, VARINT));
        self.bytes.push(u8::from(value));
    }

    /// A number with a fraction.
    #[inline]
    pub(super) fn double(&mut self, name: &str, value: f64) {
        self.head(name, 1 + size_of::<f64>());
        self.bytes.push(tag(DOUBLE_VALUE, FIXED64));
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Everything of an attribute before its value, of which `value` bytes follow.
    #[inline]
    fn head(&mut self, name: &str, value: usize) {
        let key = if name.is_empty() {
            0
        } else {
            bytes_len(name.len())
        };
        put_head(self.bytes, RECORD_ATTRIBUTES, key + bytes_len(value));
        if !name.is_empty() {
            put_bytes(self.bytes, KEY, name.as_bytes());
        }
        put_head(self.bytes, VALUE, value);
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
    use opentelemetry_proto::tonic::logs::v1::LogRecord;
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            "\\PC{0,300}".prop_map(Value::StringValue),
            any::<bool>().prop_map(Value::BoolValue),
            (0..=i64::MAX).prop_map(Value::IntValue),
            (0u32..64).prop_map(|bits| Value::IntValue((1 << bits >> 1) & i64::MAX)),
            proptest::num::f64::NORMAL.prop_map(Value::DoubleValue),
            Just(Value::DoubleValue(0.0)),
        ]
    }

    proptest! {
        #[test]
        fn attributes_are_the_bytes_that_the_generated_encoder_writes(
            attributes in prop::collection::vec(("[a-z._]{0,200}", value()), 0..20),
        ) {
            let mut bytes = Vec::new();
            let mut printed = String::new();
            let mut written = Attributes::new(&mut bytes, &mut printed);
            for (name, value) in &attributes {
                match value {
                    Value::StringValue(text) if text.len() % 2 == 0 => written.display(name, text),
                    Value::StringValue(text) => written.text(name, text),
                    Value::BoolValue(truth) => written.boolean(name, *truth),
                    Value::IntValue(number) => written.unsigned(name, number.unsigned_abs()),
                    Value::DoubleValue(number) => written.double(name, *number),
                    other => unreachable!("{other:?}"),
                }
            }
            let record = LogRecord {
                attributes: attributes
                    .into_iter()
                    .map(|(key, value)| KeyValue {
                        key,
                        value: Some(AnyValue { value: Some(value) }),
                        ..KeyValue::default()
                    })
                    .collect(),
                ..LogRecord::default()
            };
            prop_assert_eq!(bytes, record.encode_to_vec());
        }

        #[test]
        fn a_varint_is_as_long_as_it_says(value: u64, shift in 0u32..64) {
            for value in [value >> shift, 1 << shift, (1 << shift) - 1, u64::MAX] {
                let mut bytes = Vec::new();
                put_varint(&mut bytes, value);
                prop_assert_eq!(bytes.len(), varint_len(value));
                prop_assert!(bytes.len() <= MAX_VARINT_BYTES);
                prop_assert_eq!(prost::encoding::decode_varint(&mut bytes.as_slice()).unwrap(), value);
            }
        }
    }
}
