//! [`RequestWriter`]: events become one encoded `ExportLogsServiceRequest`, record by record.
//!
//! A request is one resource with one scope. Both stand before the records, and their lengths depend on all
//! that follows: so their place is left free and filled in at the end, and no record is moved.

use bytes::Bytes;

use super::logs::{LogEncoder, NumberedEvent};
use super::wire;

/// `ExportLogsServiceRequest.resource_logs`
const RESOURCE_LOGS: u8 = 1;
/// `ResourceLogs.scope_logs`
const SCOPE_LOGS: u8 = 2;
/// `ScopeLogs.log_records`
const LOG_RECORDS: u8 = 2;

/// About what one record takes.
const TYPICAL_RECORD_BYTES: usize = 1400;

/// One request in the making.
#[derive(Debug)]
pub struct RequestWriter<'a> {
    encoder: &'a LogEncoder,
    /// Free place of `front` bytes, then the records.
    bytes: Vec<u8>,
    front: usize,
    max_bytes: usize,
    count: usize,
    record: Vec<u8>,
    printed: String,
}

impl<'a> RequestWriter<'a> {
    /// A request of at most `max_bytes`, with room for about `expected_records`.
    pub(super) fn new(encoder: &'a LogEncoder, expected_records: usize, max_bytes: usize) -> Self {
        let lengths = 2 * (1 + wire::MAX_VARINT_BYTES);
        let front = encoder.resource().len() + encoder.scope().len() + lengths;
        let expected = expected_records
            .saturating_mul(TYPICAL_RECORD_BYTES)
            .min(max_bytes);
        let mut bytes = Vec::with_capacity(front.saturating_add(expected));
        bytes.resize(front, 0);
        Self {
            encoder,
            bytes,
            front,
            max_bytes,
            count: 0,
            record: Vec::new(),
            printed: String::new(),
        }
    }

    /// Appends an event's record; false when the request has no room for it. The first always has.
    pub fn push(&mut self, event: &NumberedEvent) -> bool {
        self.record.clear();
        self.encoder
            .write(event, &mut self.record, &mut self.printed);
        let length = self.bytes.len() + wire::bytes_len(self.record.len());
        if self.count > 0 && length > self.max_bytes {
            return false;
        }
        wire::put_bytes(&mut self.bytes, LOG_RECORDS, &self.record);
        self.count += 1;
        true
    }

    /// Records so far.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The encoded request.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        let (resource, scope) = (self.encoder.resource(), self.encoder.scope());
        let scope_logs = scope.len() + self.bytes.len() - self.front;
        let resource_logs = resource.len() + wire::bytes_len(scope_logs);
        let mut front = Vec::with_capacity(self.front);
        wire::put_head(&mut front, RESOURCE_LOGS, resource_logs);
        front.extend_from_slice(resource);
        wire::put_head(&mut front, SCOPE_LOGS, scope_logs);
        front.extend_from_slice(scope);
        let unused = self.front - front.len();
        if let Some(place) = self.bytes.get_mut(unused..self.front) {
            place.copy_from_slice(&front);
        }
        Bytes::from(self.bytes).slice(unused..)
    }
}
