//! Names in messages, with their jumps (RFC 1035, section 4.1.4).

use std::fmt::Write as _;

use super::JUMPS_MAX;

/// Longest name on the wire.
const NAME_BYTES_MAX: usize = 255;

/// A name, and where what follows it begins.
pub(super) fn read(message: &[u8], start: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut at = start;
    let mut after = None;
    let (mut jumps, mut bytes) = (0, 0);
    loop {
        let length = *message.get(at)?;
        let label = message.get(at + 1..)?;
        match length {
            0 => {
                if name.is_empty() {
                    name.push('.');
                }
                return Some((name, after.unwrap_or(at + 1)));
            }
            1..=63 => {
                let length = usize::from(length);
                bytes += 1 + length;
                if bytes >= NAME_BYTES_MAX {
                    return None;
                }
                if !name.is_empty() {
                    name.push('.');
                }
                write(&mut name, label.get(..length)?);
                at += 1 + length;
            }
            192.. => {
                jumps += 1;
                if jumps > JUMPS_MAX {
                    return None;
                }
                after.get_or_insert(at + 2);
                at = usize::from(u16::from_be_bytes([length & 0x3f, *label.first()?]));
            }
            _ => return None,
        }
    }
}

fn write(name: &mut String, label: &[u8]) {
    for byte in label {
        match byte {
            b'!'..=b'~' if !b".\\\"();@$".contains(byte) => {
                name.push(char::from(byte.to_ascii_lowercase()));
            }
            // Writing to a string does not fail.
            _ => drop(write!(name, "\\{byte:03}")),
        }
    }
}
