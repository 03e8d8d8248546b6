//! One server over its clients: whether others beat to it with the same period.
//!
//! # Formula
//! Of the other clients of a server (address, port, transport), at most [`MOST_CLIENTS`] sources, those that by
//! themselves have a p-value of at most [`WEAK_P`] and a period within [`SAME_PERIOD`] of this one count. With
//! their e-values `e_j` and `n` others in all, `E = (sum e_j) / n` is an e-value for "none of the others
//! beats" under any dependence between them (Vovk and Wang 2021, doi:10.1214/20-AOS2020, section 3). It adds
//!
//! ```text
//! min(1, max(0, ln E) / 2) (1 - clip((-log10 p - 3) / 3, 0, 1))
//! ```
//!
//! to the log-odds, where two or more count: it helps who is weak, boundedly, and gives nothing to who is certain anyway, so that a
//! hundred clients of a time server are no louder than one. The p-value, and with it what is promised of false
//! alerts, stays the series' own.

use std::sync::Arc;

use crate::evidence::{Evidence, SMALLEST_SCORED_P, TEMPER, certainty, e_value};
use crate::series::Series;
use crate::stats::real;
use crate::table::Slot;
use crate::{SeriesKey, Signal};

/// Other clients of a server that are looked at.
pub(super) const MOST_CLIENTS: usize = 64;
/// Fewest of them that add anything: one may look alike by chance.
const FEWEST_CLIENTS: u64 = 2;
/// Keys of them that are named.
const MOST_NAMED: usize = 16;
/// A larger p-value says nothing of a client.
pub(super) const WEAK_P: f64 = 0.05;
/// Periods that are the same, as a share of each other.
const SAME_PERIOD: f64 = 0.2;
/// Most that other clients add to the log-odds.
const MOST_ADDED: f64 = 1.0;

/// Other clients that beat to the same server with the same period.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Clients {
    /// How many, and the first of them by key.
    pub(crate) total: u64,
    pub(crate) named: Vec<SeriesKey>,
    /// What they add to the log-odds.
    pub(crate) contribution: f64,
}

/// What is known of a client by itself: p-value and period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Weight {
    p_value: f32,
    period_s: f32,
}

impl Weight {
    /// Of evidence; a p-value of 1 when there is none.
    #[expect(clippy::cast_possible_truncation, reason = "six digits are plenty")]
    pub(crate) fn of(evidence: Option<&Evidence>) -> Self {
        Self {
            p_value: evidence.map_or(1.0, |it| it.p_value as f32),
            period_s: evidence.map_or(1.0, |it| it.period_s as f32),
        }
    }
}

/// The other clients of the server of a series; `all` are its clients, that series among them.
pub(super) fn of(
    series: &Series,
    evidence: &Evidence,
    all: &[(Slot, &Series)],
    mut weigh: impl FnMut(&Series) -> Weight,
) -> Clients {
    let source = |it: &Series| (it.key.host.clone(), it.key.namespace.clone(), it.key.source);
    let mut others: Vec<&Series> = all.iter().map(|(_, it)| *it).collect();
    others.retain(|it| source(it) != source(series));
    let mut clients = Clients::default();
    let mut sum = 0.0;
    for other in &others {
        let weight = weigh(other);
        let ratio = f64::from(weight.period_s) / evidence.period_s;
        let same = (1.0 - SAME_PERIOD..=1.0 / (1.0 - SAME_PERIOD)).contains(&ratio);
        if f64::from(weight.p_value) <= WEAK_P && same {
            sum += e_value(f64::from(weight.p_value).max(SMALLEST_SCORED_P));
            clients.total += 1;
            if clients.named.len() < MOST_NAMED {
                clients.named.push(other.key.clone());
            }
        }
    }
    if clients.total >= FEWEST_CLIENTS {
        let added = TEMPER * (sum / real(others.len())).ln().max(0.0);
        clients.contribution = added.min(MOST_ADDED) * (1.0 - certainty(evidence.p_value));
    }
    clients
}

impl Clients {
    /// What they add, with its reason.
    pub(crate) fn signal(&self) -> Signal {
        let clients = match self.total {
            1 => "one other client beats".to_owned(),
            total => format!("{total} other clients beat"),
        };
        Signal {
            name: Arc::from("other_clients"),
            score: self.contribution / MOST_ADDED,
            weight: MOST_ADDED,
            contribution: self.contribution,
            raw_value: real(usize::try_from(self.total).unwrap_or(usize::MAX)),
            threshold: None,
            text: format!("{clients} to this server with about the same period"),
        }
    }
}
