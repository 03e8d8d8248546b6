//! Every series without its score, for those who ask: updated from what changed, read without the scoring
//! thread.
//!
//! # Cost
//! About 150 bytes for each series. A page looks at every series once, in the order in which they lie in
//! memory, with the lock held for [`CHUNK`] of them at a time.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use beaconwatch_detector::{Network, SeriesKey, SeriesSummary};

use crate::alert::{AlertError, SeriesId};

/// Series that are looked at while the lock is held.
const CHUNK: usize = 4096;

/// What comes first: always the most or the latest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ConnectionSort {
    #[default]
    Count,
    /// Time from the first connection start to the last.
    Duration,
    LastSeen,
    /// The longest single connection that has ended.
    Longest,
}

impl FromStr for ConnectionSort {
    type Err = AlertError;

    fn from_str(text: &str) -> Result<Self, AlertError> {
        Ok(match text {
            "count" => Self::Count,
            "duration" => Self::Duration,
            "last_seen" => Self::LastSeen,
            "longest" => Self::Longest,
            _ => {
                return Err(AlertError::invalid(
                    "sort",
                    text,
                    "count, duration, last_seen or longest",
                ));
            }
        })
    }
}

/// A place in an order; greater comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionPlace {
    value: u64,
    id: SeriesId,
}

impl fmt::Display for ConnectionPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}{}", self.value, self.id)
    }
}

impl FromStr for ConnectionPlace {
    type Err = AlertError;

    fn from_str(text: &str) -> Result<Self, AlertError> {
        let place = || {
            if !text.is_ascii() {
                return None;
            }
            let (value, id) = text.split_at_checked(16)?;
            Some(Self {
                value: u64::from_str_radix(value, 16).ok()?,
                id: id.parse().ok()?,
            })
        };
        // A place is written in one way.
        let place = place().filter(|place| place.to_string() == text);
        place.ok_or_else(|| AlertError::invalid("cursor", text, "the `next` of an answer"))
    }
}

/// Which series. The default asks for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionQuery {
    pub(crate) source: Option<Network>,
    pub(crate) destination: Option<Network>,
    /// Port of the end that answers.
    pub(crate) port: Option<u16>,
    /// Least time from the first connection start to the last.
    pub(crate) minimum_duration: Duration,
    pub(crate) sort: ConnectionSort,
    /// Go on behind this place.
    pub(crate) after: Option<ConnectionPlace>,
    pub(crate) limit: usize,
}

/// One page of series.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionPage {
    pub(crate) series: Vec<(SeriesId, SeriesSummary)>,
    /// Series that match, on all pages.
    pub(crate) total: usize,
    pub(crate) next: Option<ConnectionPlace>,
}

#[derive(Debug, Default)]
struct Rows {
    slots: Vec<Option<(SeriesId, SeriesSummary)>>,
    free: Vec<usize>,
    by_id: HashMap<SeriesId, usize>,
}

/// All series. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionBook(Arc<RwLock<Rows>>);

fn duration(series: &SeriesSummary) -> Duration {
    series.last_seen.saturating_since(series.first_seen)
}

impl ConnectionQuery {
    fn matches(&self, series: &SeriesSummary) -> bool {
        let lies_in = |network: &Option<Network>, address| {
            network.is_none_or(|network| network.contains(address))
        };
        duration(series) >= self.minimum_duration
            && self
                .port
                .is_none_or(|port| port == series.key.destination_port)
            && lies_in(&self.source, series.key.source)
            && lies_in(&self.destination, series.key.destination)
    }

    fn place(&self, id: SeriesId, series: &SeriesSummary) -> ConnectionPlace {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let value = match self.sort {
            ConnectionSort::Count => series.count,
            ConnectionSort::Duration => nanos(duration(series)),
            ConnectionSort::LastSeen => series.last_seen.unix_nanos().cast_unsigned() ^ (1 << 63),
            ConnectionSort::Longest => nanos(series.longest),
        };
        ConnectionPlace { value, id }
    }
}

impl ConnectionBook {
    fn read<T>(&self, look: impl FnOnce(&Rows) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what changed, and forgets what is gone.
    pub(crate) fn update(&self, changed: Vec<(SeriesId, SeriesSummary)>, gone: &[SeriesId]) {
        for id in gone {
            let mut rows = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(slot) = rows.by_id.remove(id) {
                rows.free.push(slot);
                if let Some(row) = rows.slots.get_mut(slot) {
                    *row = None;
                }
            }
        }
        let mut changed = changed.into_iter().peekable();
        while changed.peek().is_some() {
            let mut rows = self.0.write().unwrap_or_else(PoisonError::into_inner);
            for (id, series) in changed.by_ref().take(CHUNK) {
                rows.put(id, series);
            }
        }
    }

    /// Key of a series.
    pub(crate) fn key(&self, id: SeriesId) -> Option<SeriesKey> {
        self.read(|rows| {
            let row = rows.slots.get(*rows.by_id.get(&id)?)?.as_ref()?;
            Some(row.1.key.clone())
        })
    }

    /// The series of a query, at most `limit` of them.
    pub(crate) fn page(&self, query: &ConnectionQuery) -> ConnectionPage {
        let mut found = Vec::new();
        let mut total = 0;
        let mut from = 0;
        loop {
            let more = self.read(|rows| {
                let chunk = rows.slots.iter().enumerate().skip(from).take(CHUNK);
                for (slot, row) in chunk {
                    let Some((id, series)) = row else { continue };
                    if query.matches(series) {
                        total += 1;
                        let place = query.place(*id, series);
                        if query.after.is_none_or(|after| place < after) {
                            found.push((place, slot));
                        }
                    }
                }
                from += CHUNK;
                from < rows.slots.len()
            });
            if !more {
                break;
            }
        }
        let wanted = query.limit.saturating_add(1);
        if found.len() > wanted {
            found.select_nth_unstable_by(wanted, |a, b| b.cmp(a));
            found.truncate(wanted);
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        let last = query.limit.checked_sub(1).and_then(|last| found.get(last));
        let next = last
            .filter(|_| found.len() > query.limit)
            .map(|(place, _)| *place);
        let series = self.read(|rows| {
            let found = found.iter().take(query.limit);
            found
                .filter_map(|(place, slot)| {
                    let row = rows.slots.get(*slot)?.as_ref()?;
                    // The slot may have got another series meanwhile.
                    (row.0 == place.id).then(|| row.clone())
                })
                .collect()
        });
        ConnectionPage {
            series,
            total,
            next,
        }
    }
}

impl Rows {
    fn put(&mut self, id: SeriesId, series: SeriesSummary) {
        let slot = if let Some(slot) = self.by_id.get(&id) {
            *slot
        } else {
            let slot = self.free.pop().unwrap_or_else(|| {
                self.slots.push(None);
                self.slots.len() - 1
            });
            self.by_id.insert(id, slot);
            slot
        };
        if let Some(row) = self.slots.get_mut(slot) {
            *row = Some((id, series));
        }
    }
}
