//! All alerts, for those who read: one index behind a lock, and the news of it.
//!
//! # Cost
//! A page of all alerts costs the page. A filtered page looks at every alert once, in the order in which
//! they lie in memory (about 10 ns each, more with texts), with the lock held for [`CHUNK`] of them at a
//! time. Alerts that change meanwhile may be missed or counted at their old place: the page is of no single
//! instant.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use beaconwatch_detector::Timestamp;
use tokio::sync::broadcast;

use super::query::{Place, Sort};
use super::row::Row;
use super::{AlertQuery, Finding, FindingId, SeriesId};

/// Alerts that are looked at while the lock is held.
const CHUNK: usize = 4096;
/// Changes that a slow subscriber may fall behind before it misses some.
const NEWS: usize = 1024;
const SORTS: [Sort; 4] = [Sort::Updated, Sort::Opened, Sort::Score, Sort::Severity];

/// One page of alerts.
#[derive(Clone, Debug, Default)]
pub(crate) struct AlertPage {
    pub(crate) alerts: Vec<Arc<Finding>>,
    /// Alerts that match, on all pages.
    pub(crate) total: usize,
    /// Where the next page begins, when there is one: `after` of the next query.
    pub(crate) next: Option<Place>,
}

/// Counters of all alerts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct AlertCounts {
    /// Findings that go on.
    pub open: u64,
    /// Findings that ended.
    pub closed: u64,
    /// Findings that somebody acknowledged.
    pub acknowledged: u64,
    /// Findings that the allow-list allows.
    pub allowed: u64,
}

#[derive(Debug, Default)]
struct Index {
    rows: Vec<Option<Row>>,
    free: Vec<usize>,
    by_id: HashMap<FindingId, usize>,
    /// The latest finding of each series.
    by_series: HashMap<SeriesId, FindingId>,
    /// One order for each of [`SORTS`].
    orders: [BTreeSet<Place>; SORTS.len()],
    counts: AlertCounts,
}

impl Index {
    fn row(&self, id: FindingId) -> Option<&Row> {
        self.rows.get(*self.by_id.get(&id)?)?.as_ref()
    }

    fn order(&self, sort: Sort) -> &BTreeSet<Place> {
        let [updated, opened, score, severity] = &self.orders;
        match sort {
            Sort::Updated => updated,
            Sort::Opened => opened,
            Sort::Score => score,
            Sort::Severity => severity,
        }
    }

    fn count(&mut self, row: &Row, step: impl Fn(&mut u64)) {
        let counts = &mut self.counts;
        step(if row.open {
            &mut counts.open
        } else {
            &mut counts.closed
        });
        if row.acknowledged {
            step(&mut counts.acknowledged);
        }
        if row.allowed {
            step(&mut counts.allowed);
        }
    }

    fn remove(&mut self, id: FindingId) {
        let Some(slot) = self.by_id.remove(&id) else {
            return;
        };
        let Some(row) = self.rows.get_mut(slot).and_then(Option::take) else {
            return;
        };
        self.free.push(slot);
        for (order, sort) in self.orders.iter_mut().zip(SORTS) {
            order.remove(&row.place(sort));
        }
        self.count(&row, |counter| *counter = counter.saturating_sub(1));
        if self.by_series.get(&row.finding.series) == Some(&id) {
            self.by_series.remove(&row.finding.series);
        }
    }

    fn put(&mut self, finding: Arc<Finding>) {
        let row = Row::new(finding);
        let (id, series) = (row.finding.id, row.finding.series);
        self.remove(id);
        for (order, sort) in self.orders.iter_mut().zip(SORTS) {
            order.insert(row.place(sort));
        }
        self.count(&row, |counter| *counter += 1);
        let newest = self
            .by_series
            .get(&series)
            .and_then(|id| self.row(*id))
            .is_none_or(|other| other.opened <= row.opened);
        if newest {
            self.by_series.insert(series, id);
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.rows.push(None);
            self.rows.len() - 1
        });
        self.by_id.insert(id, slot);
        if let Some(place) = self.rows.get_mut(slot) {
            *place = Some(row);
        }
    }
}

/// All alerts. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct AlertBook {
    index: Arc<RwLock<Index>>,
    news: broadcast::Sender<Arc<Finding>>,
}

impl Default for AlertBook {
    fn default() -> Self {
        Self {
            index: Arc::default(),
            news: broadcast::channel(NEWS).0,
        }
    }
}

impl AlertBook {
    fn read<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the newest state of a finding; `news` tells those who listen.
    pub(crate) fn put(&self, finding: &Arc<Finding>, news: bool) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.put(Arc::clone(finding));
        drop(index);
        if news && self.news.receiver_count() > 0 {
            // An error says that the last listener has just gone.
            drop(self.news.send(Arc::clone(finding)));
        }
    }

    /// Forgets a finding.
    pub(crate) fn remove(&self, id: FindingId) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.remove(id);
    }

    /// Findings that change from now on.
    pub(crate) fn events(&self) -> broadcast::Receiver<Arc<Finding>> {
        self.news.subscribe()
    }

    /// One finding.
    pub(crate) fn get(&self, id: FindingId) -> Option<Arc<Finding>> {
        self.read(|index| index.row(id).map(|row| Arc::clone(&row.finding)))
    }

    /// The latest finding of a series.
    pub(crate) fn of_series(&self, series: SeriesId) -> Option<Arc<Finding>> {
        self.read(|index| {
            let id = index.by_series.get(&series)?;
            index.row(*id).map(|row| Arc::clone(&row.finding))
        })
    }

    /// Counters.
    pub(crate) fn counts(&self) -> AlertCounts {
        self.read(|index| index.counts)
    }

    /// The alerts of a query, at most `limit` of them.
    pub(crate) fn page(&self, query: &AlertQuery, now: Timestamp) -> AlertPage {
        if query.is_unfiltered() {
            self.page_of_all(query)
        } else {
            self.page_of_some(&query.prepared(), now)
        }
    }

    fn page_of_all(&self, query: &AlertQuery) -> AlertPage {
        use std::ops::Bound::{Excluded, Unbounded};
        self.read(|index| {
            let order = index.order(query.sort);
            let places: Vec<Place> = match query.after {
                Some(after) => order.range((Unbounded, Excluded(after))),
                None => order.range::<Place, _>(..),
            }
            .rev()
            .take(query.limit.saturating_add(1))
            .copied()
            .collect();
            let rows = places.iter().take(query.limit);
            AlertPage {
                alerts: rows
                    .filter_map(|place| index.row(place.id))
                    .map(|row| Arc::clone(&row.finding))
                    .collect(),
                total: index.by_id.len(),
                next: next(&places, query.limit),
            }
        })
    }

    fn page_of_some(&self, query: &AlertQuery, now: Timestamp) -> AlertPage {
        let mut places = Vec::new();
        let mut total = 0;
        let mut from = 0;
        loop {
            let more = self.read(|index| {
                let rows = index.rows.iter().skip(from).take(CHUNK).flatten();
                for row in rows.filter(|row| query.matches(row, now)) {
                    total += 1;
                    let place = row.place(query.sort);
                    if query.after.is_none_or(|after| place < after) {
                        places.push(place);
                    }
                }
                from += CHUNK;
                from < index.rows.len()
            });
            if !more {
                break;
            }
        }
        let wanted = query.limit.saturating_add(1);
        if places.len() > wanted {
            places.select_nth_unstable_by(wanted, |a, b| b.cmp(a));
            places.truncate(wanted);
        }
        places.sort_unstable_by(|a, b| b.cmp(a));
        let alerts = self.read(|index| {
            let rows = places.iter().take(query.limit);
            rows.filter_map(|place| index.row(place.id))
                .map(|row| Arc::clone(&row.finding))
                .collect()
        });
        AlertPage {
            alerts,
            total,
            next: next(&places, query.limit),
        }
    }
}

/// The last place of a full page that has another one behind it.
fn next(places: &[Place], limit: usize) -> Option<Place> {
    if places.len() <= limit {
        return None;
    }
    places.get(limit.checked_sub(1)?).copied()
}
