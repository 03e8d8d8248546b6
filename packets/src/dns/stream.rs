//! Messages over TCP: each behind its length in two bytes (RFC 1035, section 4.2.2).

use super::{Message, parse};
use crate::assembly::BYTES_MAX;

const LENGTH_BYTES: usize = 2;

/// One direction of a TCP connection, fed in order.
#[derive(Debug, Default)]
pub struct Stream {
    buffer: Vec<u8>,
    /// Bytes of a message that was told before it was whole.
    skipped: usize,
}

impl Stream {
    /// Takes in what comes next and gives the messages that became whole. Of one longer than 16 KiB it gives the
    /// beginning.
    pub fn take(&mut self, mut bytes: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            if self.skipped > 0 {
                let (_, rest) = bytes.split_at(self.skipped.min(bytes.len()));
                self.skipped -= bytes.len() - rest.len();
                bytes = rest;
                continue;
            }
            let wanted = self.wanted();
            let (part, rest) = bytes.split_at(wanted.min(bytes.len()));
            self.buffer.extend_from_slice(part);
            bytes = rest;
            if let Some(length) = self.length()
                && self.wanted() == 0
            {
                messages.extend(self.buffer.get(LENGTH_BYTES..).and_then(parse));
                self.skipped = (LENGTH_BYTES + length) - self.buffer.len();
                self.buffer.clear();
            }
        }
        messages
    }

    /// What the next message states as its length.
    fn length(&self) -> Option<usize> {
        let (length, _) = self.buffer.split_first_chunk::<LENGTH_BYTES>()?;
        Some(u16::from_be_bytes(*length).into())
    }

    /// Bytes until the buffer holds what is read of the next message.
    fn wanted(&self) -> usize {
        let length = self.length().unwrap_or(0).min(BYTES_MAX);
        LENGTH_BYTES + length - self.buffer.len()
    }
}
