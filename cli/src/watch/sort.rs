//! [`Sort`]: by what rows are sorted.

use super::row::Row;

/// By what rows are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Score,
    Severity,
    Latest,
    Count,
    Interval,
    Source,
    Destination,
}

impl Sort {
    const ALL: [Self; 7] = [
        Self::Score,
        Self::Severity,
        Self::Latest,
        Self::Count,
        Self::Interval,
        Self::Source,
        Self::Destination,
    ];

    /// Its name for people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Severity => "severity",
            Self::Latest => "latest",
            Self::Count => "count",
            Self::Interval => "interval",
            Self::Source => "source",
            Self::Destination => "destination",
        }
    }

    /// The next one, round and round.
    pub(super) fn after(self) -> Self {
        self.steps(1)
    }

    /// The one before, round and round.
    pub(super) fn before(self) -> Self {
        self.steps(Self::ALL.len() - 1)
    }

    fn steps(self, steps: usize) -> Self {
        let at = Self::ALL.iter().position(|it| *it == self);
        let next = (at.unwrap_or_default() + steps) % Self::ALL.len();
        Self::ALL.get(next).copied().unwrap_or(self)
    }

    /// The best first.
    pub(super) fn compare(self, one: &Row, other: &Row) -> std::cmp::Ordering {
        let score = |row: &Row| row.score.unwrap_or_default();
        let by = match self {
            Self::Score => score(other).total_cmp(&score(one)),
            Self::Severity => other.gravity().cmp(&one.gravity()),
            Self::Latest => other.last_seen.cmp(&one.last_seen),
            Self::Count => other.count.cmp(&one.count),
            Self::Interval => {
                let interval = |row: &Row| row.interval_s.unwrap_or(f64::INFINITY);
                interval(one).total_cmp(&interval(other))
            }
            Self::Source => one.source.cmp(&other.source),
            Self::Destination => one.goes_to().cmp(&other.goes_to()),
        };
        let by = by.then_with(|| score(other).total_cmp(&score(one)));
        by.then_with(|| one.id.cmp(&other.id))
    }
}
