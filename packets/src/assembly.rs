//! Pieces of a stream, in any order, put together from its beginning.
//!
//! # Contract
//! Where pieces overlap, the one that came first stays.
//!
//! # Limits
//! [`BYTES_MAX`] bytes are kept, and at most 64 stretches that do not touch; what goes past is
//! dropped.

/// Longest beginning of a stream that is kept.
pub const BYTES_MAX: usize = 16 << 10;
/// Stretches with gaps between them.
const RANGES_MAX: usize = 64;

/// The beginning of a stream.
///
/// ```
/// use beaconwatch_packets::assembly::Assembly;
///
/// let mut stream = Assembly::default();
/// stream.insert(5, b" world");
/// assert_eq!(stream.prefix(), b"");
/// stream.insert(0, b"hello");
/// assert_eq!(stream.prefix(), b"hello world");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Assembly {
    bytes: Vec<u8>,
    /// Where there are bytes: begin and end, in order, with gaps between.
    ranges: Vec<(usize, usize)>,
}

impl Assembly {
    /// Takes in what stands at `offset`.
    pub fn insert(&mut self, offset: usize, piece: &[u8]) {
        let end = offset.saturating_add(piece.len()).min(BYTES_MAX);
        if offset >= end {
            return;
        }
        let touches = |&(from, to): &(usize, usize)| from <= end && to >= offset;
        if self.ranges.len() >= RANGES_MAX && !self.ranges.iter().any(touches) {
            return;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let mut at = offset;
        for index in 0..=self.ranges.len() {
            // Up to what is there already, or the end.
            let (from, to) = self.ranges.get(index).copied().unwrap_or((end, end));
            if to < at {
                continue;
            }
            let until = from.min(end);
            if let (Some(target), Some(source)) = (
                self.bytes.get_mut(at..until),
                piece.get(at - offset..until.saturating_sub(offset)),
            ) {
                target.copy_from_slice(source);
            }
            at = at.max(to);
            if at >= end {
                break;
            }
        }
        self.note(offset, end);
    }

    /// Joins a range with those that it touches.
    fn note(&mut self, mut from: usize, mut to: usize) {
        self.ranges.retain(|&(begin, end)| {
            let apart = end < from || begin > to;
            if !apart {
                from = from.min(begin);
                to = to.max(end);
            }
            apart
        });
        let at = self.ranges.partition_point(|&(begin, _)| begin < from);
        self.ranges.insert(at, (from, to));
    }

    /// The bytes from the beginning to the first gap.
    #[must_use]
    pub fn prefix(&self) -> &[u8] {
        match self.ranges.first() {
            Some(&(0, end)) => self.bytes.get(..end).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Whether no more will be kept.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.prefix().len() >= BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_in_any_order_give_the_stream(
            stream in proptest::collection::vec(any::<u8>(), 1..400),
            cuts in proptest::collection::vec((0_usize..400, 1_usize..60), 0..40),
        ) {
            let mut assembly = Assembly::default();
            let mut known = vec![false; stream.len()];
            for (from, length) in cuts {
                let from = from.min(stream.len());
                let to = (from + length).min(stream.len());
                assembly.insert(from, &stream[from..to]);
                known[from..to].fill(true);
                let prefix = known.iter().take_while(|it| **it).count();
                prop_assert_eq!(assembly.prefix(), &stream[..prefix]);
            }
        }
    }

    #[test]
    fn of_two_pieces_at_one_place_the_first_stays() {
        let mut assembly = Assembly::default();
        assembly.insert(2, b"cd");
        assembly.insert(0, b"wxyzef");
        assert_eq!(assembly.prefix(), b"wxcdef");
    }

    #[test]
    fn what_goes_past_the_limits_is_dropped() {
        let mut assembly = Assembly::default();
        assembly.insert(usize::MAX, b"far");
        assembly.insert(BYTES_MAX - 1, b"ab");
        assembly.insert(0, &[1; BYTES_MAX]);
        assert!(assembly.is_full());
        assert_eq!(assembly.prefix().len(), BYTES_MAX);
        assert_eq!(assembly.prefix().last(), Some(&b'a'));
        let mut gaps = Assembly::default();
        for n in 0..RANGES_MAX + 10 {
            gaps.insert(n * 2 + 1, b"x");
        }
        gaps.insert(0, &[0; 300]);
        assert_eq!(gaps.prefix().len(), 300);
        let kept = gaps.prefix().iter().map(|it| usize::from(*it == b'x'));
        assert_eq!(kept.sum::<usize>(), RANGES_MAX);
    }
}
