//! In which hours a series was active: persistence through the day is evidence of its own.
//!
//! Kept are the newest [`HOURS`] hours before and with the latest one. The set depends on which times came,
//! not on their order. 56 bytes.

use crate::Timestamp;

const WORDS: usize = 6;
/// Hours that are kept: 16 days.
const HOURS: i64 = 384;
const _: () = assert!(64 * WORDS == 384, "one bit an hour");
const HOUR_NS: i64 = 3_600_000_000_000;

/// A set of hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ActiveHours {
    /// Latest hour since 1970.
    latest: i64,
    /// Bit `b` of word `w` is the hour `latest - 64 w - b`.
    words: [u64; WORDS],
}

impl Default for ActiveHours {
    fn default() -> Self {
        Self {
            latest: i64::MIN,
            words: [0; WORDS],
        }
    }
}

impl ActiveHours {
    pub(crate) fn insert(&mut self, time: Timestamp) {
        let hour = time.unix_nanos().div_euclid(HOUR_NS);
        if hour > self.latest {
            self.shift(hour.saturating_sub(self.latest));
            self.latest = hour;
        }
        let back = self.latest.saturating_sub(hour);
        if let Some(word) = usize::try_from(back / 64)
            .ok()
            .and_then(|at| self.words.get_mut(at))
        {
            *word |= 1 << (back % 64);
        }
    }

    /// Takes the hours of another set.
    pub(crate) fn merge(&mut self, other: &Self) {
        let mut other = *other;
        if other.latest > self.latest {
            self.shift(other.latest.saturating_sub(self.latest));
            self.latest = other.latest;
        } else {
            other.shift(self.latest.saturating_sub(other.latest));
        }
        for (word, more) in self.words.iter_mut().zip(other.words) {
            *word |= more;
        }
    }

    /// Number of active hours.
    pub(crate) fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Longest run of active hours without a pause.
    pub(crate) fn longest_run(&self) -> u32 {
        let (mut longest, mut run) = (0, 0);
        for word in self.words {
            for bit in 0..64 {
                run = if word >> bit & 1 == 1 { run + 1 } else { 0 };
                longest = longest.max(run);
            }
        }
        longest
    }

    /// As numbers, to be stored: the latest hour and the words.
    pub(crate) fn to_parts(self) -> (i64, [u64; WORDS]) {
        (self.latest, self.words)
    }

    /// From what [`Self::to_parts`] gave.
    pub(crate) fn from_parts((latest, words): (i64, [u64; WORDS])) -> Self {
        Self { latest, words }
    }

    /// Makes room for later hours.
    fn shift(&mut self, hours: i64) {
        if hours >= HOURS {
            self.words = [0; WORDS];
            return;
        }
        let old = self.words;
        let (whole, bits) = (usize::try_from(hours / 64).unwrap_or(WORDS), hours % 64);
        for (at, word) in self.words.iter_mut().enumerate() {
            let from =
                |index: Option<usize>| index.and_then(|index| old.get(index)).copied().unwrap_or(0);
            let here = from(at.checked_sub(whole));
            let before = from(at.checked_sub(whole + 1));
            *word = here << bits | if bits > 0 { before >> (64 - bits) } else { 0 };
        }
    }
}
