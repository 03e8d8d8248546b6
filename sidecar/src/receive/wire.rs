//! Walks the Protocol Buffers wire format over borrowed bytes.
//!
//! Why not the generated types: they allocate for every attribute, and an empty attribute of two bytes
//! becomes a structure of about a hundred, so that a small body would take much memory. This reader
//! allocates nothing; whoever walks decides what to keep. Deprecated groups are refused.
//! See <https://protobuf.dev/programming-guides/encoding/>.

/// Why bytes are not a Protocol Buffers message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end inside of a value.
    #[error("the message ends inside of a value")]
    Truncated,
    /// A variable-length integer has more than ten bytes or 64 bits.
    #[error("a variable-length integer is longer than 64 bits")]
    Overlong,
    /// A field has a number that cannot be.
    #[error("field number {0} is not in 1..=536870911")]
    FieldNumber(u64),
    /// A field has a wire type that is not known.
    #[error("wire type {0} is not known")]
    WireType(u8),
}

/// A field's value as the wire tells it apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// Iterates over the fields of one message; after an error it yields nothing more.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireError> {
        // Nearly all tags and lengths have one byte.
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for (index, &byte) in self.rest.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            if index == 9 && bits > 1 {
                return Err(WireError::Overlong);
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 {
            WireError::Truncated
        } else {
            WireError::Overlong
        })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    fn field(&mut self) -> Result<(u32, Value<'a>), WireError> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3)
            .ok()
            .filter(|number| (1..=0x1fff_ffff).contains(number))
            .ok_or(WireError::FieldNumber(tag >> 3))?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            #[expect(clippy::cast_possible_truncation, reason = "masked to three bits")]
            other => return Err(WireError::WireType(other as u8)),
        };
        Ok((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::{Fields, Value, WireError};

    fn one(bytes: &[u8]) -> Result<(u32, Value<'_>), WireError> {
        Fields::new(bytes).next().expect("one field")
    }

    #[test]
    fn each_wire_type_is_read() {
        assert_eq!(one(&[0x08, 0x96, 0x01]), Ok((1, Value::Varint(150))));
        assert_eq!(one(&[0x12, 0x02, b'h', b'i']), Ok((2, Value::Bytes(b"hi"))));
        assert_eq!(
            one(&[0x19, 1, 0, 0, 0, 0, 0, 0, 0]),
            Ok((3, Value::Fixed64(1)))
        );
        assert_eq!(one(&[0x25, 2, 0, 0, 0]), Ok((4, Value::Fixed32(2))));
    }

    #[test]
    fn the_largest_integer_is_read_and_a_larger_one_refused() {
        let mut bytes = vec![0x08];
        bytes.extend([0xff; 9]);
        bytes.push(1);
        assert_eq!(one(&bytes), Ok((1, Value::Varint(u64::MAX))));
        bytes.pop();
        bytes.push(2);
        assert_eq!(one(&bytes), Err(WireError::Overlong));
        bytes.pop();
        bytes.extend([0x80, 0x01]);
        assert_eq!(one(&bytes), Err(WireError::Overlong));
    }

    #[test]
    fn a_length_past_the_end_is_truncated_and_ends_the_walk() {
        let mut fields = Fields::new(&[0x12, 0x7f, b'h']);
        assert_eq!(fields.next(), Some(Err(WireError::Truncated)));
        assert_eq!(fields.next(), None);
    }

    #[test]
    fn field_zero_and_groups_are_refused() {
        assert_eq!(one(&[0x00, 0x00]), Err(WireError::FieldNumber(0)));
        assert_eq!(one(&[0x0b]), Err(WireError::WireType(3)));
    }
}
