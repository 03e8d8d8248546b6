//! Slices of payload on their way from the kernel part to whoever looks for names in them.
//!
//! They are kept as they came, back to back, so that a batch costs no allocation of its own. A batch holds
//! at most 16 MiB; what comes beyond is counted.

use aya::maps::{MapData, RingBuf};
use beaconwatch_records::{SLICE_HEADER_BYTES, Slice};

/// Bytes of a batch that nobody has taken yet.
const MOST_BYTES: usize = 16 << 20;

/// Slices in the order in which the kernel part saw them.
#[derive(Debug, Default)]
pub struct SliceBatch {
    bytes: Vec<u8>,
    /// Where each slice ends.
    ends: Vec<usize>,
    lost: u64,
    malformed: u64,
}

impl SliceBatch {
    /// Appends a slice as it lies in the ring buffer; what lies behind it is left out.
    pub fn push(&mut self, entry: &[u8]) {
        let slice = match Slice::from_bytes(entry) {
            Ok(slice) => slice,
            Err(error) => {
                self.malformed += 1;
                tracing::error!(%error, "slice from the kernel part refused");
                return;
            }
        };
        let length = SLICE_HEADER_BYTES + slice.bytes.len();
        if self.bytes.len() + length > MOST_BYTES {
            self.lost += 1;
            return;
        }
        self.bytes
            .extend_from_slice(entry.get(..length).unwrap_or_default());
        self.ends.push(self.bytes.len());
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The slices.
    pub fn iter(&self) -> impl Iterator<Item = Slice<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(self.ends.iter().copied())
            .filter_map(|(start, end)| Slice::from_bytes(self.bytes.get(start..end)?).ok())
    }

    /// Forgets the slices and what was counted.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(MOST_BYTES / 16);
        self.ends.clear();
        self.lost = 0;
        self.malformed = 0;
    }

    /// Slices for which there was no room.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Entries that were no slices. Not 0 means a fault.
    #[must_use]
    pub const fn malformed(&self) -> u64 {
        self.malformed
    }
}

/// Moves what waits in the ring buffer to `batch`.
pub(super) fn drain(buffer: &mut RingBuf<MapData>, batch: &mut SliceBatch) {
    while let Some(entry) = buffer.next() {
        batch.push(&entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header as `records` lays it out, written by hand: direction sent, TCP, client.
    fn entry(cookie: u64, captured: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = cookie.to_ne_bytes().to_vec();
        bytes.resize(48, 0);
        bytes.extend(9_u32.to_ne_bytes());
        bytes.extend(captured.to_ne_bytes());
        bytes.resize(SLICE_HEADER_BYTES - 4, 0);
        bytes.extend([1, 6, 1, 0]);
        bytes.extend(payload);
        bytes
    }

    fn contents(batch: &SliceBatch) -> Vec<(u64, Vec<u8>)> {
        batch
            .iter()
            .map(|slice| (slice.header.cookie, slice.bytes.to_vec()))
            .collect()
    }

    #[test]
    fn slices_come_back_in_order_without_what_lies_behind_them() {
        let mut batch = SliceBatch::default();
        batch.push(&entry(1, 3, b"onexxxx"));
        batch.push(&entry(2, 0, b""));
        batch.push(&entry(3, 5, b"three"));
        let expected = [(1, "one"), (2, ""), (3, "three")]
            .map(|(cookie, text)| (cookie, text.as_bytes().to_vec()));
        assert_eq!(contents(&batch), expected);
        batch.clear();
        assert!(batch.is_empty());
        assert_eq!(batch.malformed() + batch.lost(), 0);
    }

    #[test]
    fn what_is_no_slice_is_counted_and_its_neighbours_stay() {
        let mut batch = SliceBatch::default();
        batch.push(&entry(1, 3, b"one"));
        batch.push(&entry(2, 4, b"two"));
        batch.push(b"short");
        let mut unknown_direction = entry(4, 0, b"");
        unknown_direction[SLICE_HEADER_BYTES - 4] = 7;
        batch.push(&unknown_direction);
        batch.push(&entry(5, 1, b"5"));
        assert_eq!(contents(&batch).len(), 2);
        assert_eq!(batch.malformed(), 3);
    }

    #[test]
    fn a_batch_that_nobody_takes_is_bounded_and_counts() {
        let mut batch = SliceBatch::default();
        let large = entry(1, 4000, &[0; 4000]);
        let fits = MOST_BYTES / large.len();
        for _ in 0..fits + 10 {
            batch.push(&large);
        }
        assert_eq!(batch.iter().count(), fits);
        assert_eq!(batch.lost(), 10);
    }
}
