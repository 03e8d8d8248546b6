//! Views: series that are one finding, because what they share explains them better than each alone.
//!
//! # Contract
//! A view keeps no times of its own: it is weighed at analysis from what its members keep, by the same scales
//! as a series. So evidence of views depends on which observations came and not on their order, and stored
//! states need nothing more. Each series is part of at most one view. A view is reported once, at its *anchor*,
//! the member seen first; the other members name it ([`crate::Assessment::part_of`]).
//!
//! # Which views are tried
//! All of one source (host, network namespace, address); see [`candidates`] for how members are chosen:
//! - one server name, or one registered domain (the label below the public suffix), over addresses and ports;
//! - one process and destination, over ports;
//! - one client fingerprint, over destinations;
//! - rotation: destinations on one port that begin and end together at like rates, that take turns, or that
//!   are seen once or twice each (a new address at each beat).
//!
//! # What a view pays
//! The p-value of the superposition is multiplied by the number of views that were tried for its members
//! and, where `r` of `k` series were left out because they do not fit the others, by the number of ways to
//! choose them (Bonferroni). A tenth of the permitted false alerts is theirs: times ten.
//! `examples/calibration.rs` measures it on superposed irregular series.
//!
//! # When a view explains better
//! - Its p-value, paid for, is at most a tenth of the smallest of its members'; or both are tiny and its beats
//!   are at least as narrow in seconds as those of each member that beats by itself: of beats `k T` apart with
//!   independent jitter the spread is `sqrt(k)` of that of `T`, so that a round robin is told from series
//!   that merely beat side by side.
//! - Each member fits: of the gaps next to its beats the period explains nearly as many as of all. Where a
//!   member beats by itself, each must fit better than a stranger does by chance once in 10,000 cases: no
//!   beacon draws its irregular neighbours into a group.
//! - No member that is a detection by itself is lost in a view that is none.
//!
//! # Limits
//! The newest [`MOST_LISTED`] series of a source are looked at, [`MOST_MEMBERS`] a view, and
//! [`MOST_ROTATIONS`] rotations a port. A process that talks from several addresses of its host is several
//! sources. Rotations among which the same second is hit twice as a rule are not told from neighbours.

mod candidates;
mod clients;
mod round;
mod superposition;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::evidence::{Evidence, Scales};
use crate::series::Series;
use crate::stats::real;
use crate::table::Slot;
use crate::{SeriesKey, Timestamp};
use candidates::Candidate;
pub(crate) use clients::{Clients, Weight};
pub(crate) use round::Round;
use superposition::Superposition;

/// Series of a source that are looked at for views.
pub(crate) const MOST_LISTED: usize = 4096;
/// Members of one view: the newest.
const MOST_MEMBERS: usize = 64;
/// Rotations that are tried for one source and port.
const MOST_ROTATIONS: usize = 64;
/// What the views share of the permitted false alerts.
pub(crate) const VIEW_SHARE: f64 = 0.1;
/// A view whose p-value, paid for, is larger is no view.
const LARGEST_P: f64 = 0.01;
/// Factor by which a view must beat the p-value of its best member.
const GAIN: f64 = 0.1;
/// Below it p-values are told apart by widths and numbers rather than by the tail of a table.
const TINY_P: f64 = 1e-6;
/// How much wider than a member's the beats of a view may be that explains as well.
const SAME_WIDTH: f64 = 1.1;
/// Wider than this, any time lies on the cadence and nothing tells members from neighbours.
const WIDEST: f64 = 0.5;
/// Share of the fit of all that each member must reach, and of members of a single beat.
const MEMBER_FIT: f64 = 0.7;
const SINGLE_FIT: f64 = 0.5;
/// Chance at which a neighbour fits that has nothing to do with the others.
const CHANCE: f64 = 1e-4;
/// A series with at most this p-value beats by itself: whoever joins it must fit better than chance.
const STRONG_P: f64 = 1e-3;
/// p-value of the newest beats at which a candidate is looked at as a whole.
const GLANCE_P: f64 = 0.1;
/// How often members that do not fit are dropped.
const PRUNINGS: usize = 3;

/// What the series of a view share.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum ViewKind {
    /// Nothing: a series by itself.
    #[default]
    Pair,
    /// Source, process and destination, over ports.
    ProcessDestination,
    /// Source and name of the server.
    ServerName,
    /// Source and registered domain of the server (eTLD+1).
    Domain,
    /// Source and client fingerprint (JA4, or JA3).
    ClientFingerprint,
    /// Source and port: one cadence over several destinations.
    Rotation,
}

impl ViewKind {
    /// Lower-case name: `pair`, `process_destination`, `server_name`, `domain`, `client_fingerprint` or
    /// `rotation`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pair => "pair",
            Self::ProcessDestination => "process_destination",
            Self::ServerName => "server_name",
            Self::Domain => "domain",
            Self::ClientFingerprint => "client_fingerprint",
            Self::Rotation => "rotation",
        }
    }
}

/// The view at which something was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Its kind.
    pub kind: ViewKind,
    /// What the members share beside their source, for people: the name, the domain, the process, the
    /// fingerprint, or the port with its protocol. `None` of a pair.
    pub shared: Option<Arc<str>>,
}

impl View {
    /// Name of the kind.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.kind.name()
    }
}

/// The view that explains a series better than the series alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartOf {
    /// The member at which the view is reported: the one seen first.
    pub anchor: SeriesKey,
    /// The view.
    pub view: View,
}

/// A view that explains its members best.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) view: View,
    /// Slots and keys of the members, the anchor first, the others by key.
    pub(crate) members: Vec<(Slot, SeriesKey)>,
    /// Paid for.
    pub(crate) evidence: Evidence,
    /// What is known beside the times.
    pub(crate) context: crate::context::Weighed,
}

/// A candidate that was weighed.
struct Weighed<'a> {
    candidate: &'a Candidate,
    members: Vec<usize>,
    evidence: Evidence,
    /// Newest starts of its members.
    starts: usize,
}

/// What finding views takes: the series of one source, in the order of their keys, and scales.
pub(crate) struct Source<'a> {
    pub(crate) series: &'a [(Slot, &'a Series)],
    pub(crate) now: Timestamp,
    pub(crate) scales: &'a mut Scales,
    /// What members say by themselves, as far as it was asked for.
    pub(crate) own: BTreeMap<usize, Option<Evidence>>,
    /// Whether evidence is a detection: of one series, and of a view.
    pub(crate) detects: &'a dyn Fn(&Evidence, bool) -> bool,
}

impl Source<'_> {
    /// The views of this source that explain their members better than they do alone. No two share a member.
    pub(crate) fn find(&mut self) -> Vec<Found> {
        let candidates = candidates::of(self.series);
        let mut superposition = Superposition::default();
        let mut weighed: Vec<_> = candidates
            .iter()
            .filter_map(|candidate| self.weigh(candidate, &mut superposition))
            .collect();
        weighed.sort_by(|a, b| {
            let p = |it: &Weighed<'_>| it.evidence.p_value.max(TINY_P);
            p(a).total_cmp(&p(b))
                .then(b.starts.cmp(&a.starts))
                .then(a.candidate.kind.cmp(&b.candidate.kind))
                .then_with(|| a.members.cmp(&b.members))
        });
        let mut taken = vec![false; self.series.len()];
        let mut found = Vec::new();
        for it in weighed {
            let is_taken = |member: &usize| taken.get(*member).copied().unwrap_or(true);
            if it.members.iter().any(is_taken) || !self.explains_better(&it) {
                continue;
            }
            for member in &it.members {
                if let Some(taken) = taken.get_mut(*member) {
                    *taken = true;
                }
            }
            found.push(self.report(&it));
        }
        found
    }

    fn members<'s>(&'s self, of: &'s [usize]) -> impl Iterator<Item = &'s (Slot, &'s Series)> {
        of.iter().filter_map(|member| self.series.get(*member))
    }

    /// Weighs a candidate; without the members that do not fit, where that makes it sharper. `None` when it is
    /// no sharper than chance makes one of so many.
    fn weigh<'c>(
        &mut self,
        candidate: &'c Candidate,
        superposition: &mut Superposition,
    ) -> Option<Weighed<'c>> {
        let glanced = superposition.glance(self.members(&candidate.members).map(|(_, it)| *it));
        let newest = glanced.iter().map(|(start, _)| *start);
        if self.scales.glance(newest) > GLANCE_P {
            return None;
        }
        let mut members = candidate.members.clone();
        let (mut price, mut best) = (candidate.tests / VIEW_SHARE, None);
        for _ in 0..=PRUNINGS {
            let superposed =
                superposition.load(self.members(&members).map(|(_, series)| *series))?;
            let Some(evidence) = self.scales.weigh(&superposed, self.now) else {
                break;
            };
            if evidence.p_value > LARGEST_P || evidence.clock_period_s.is_some() {
                break;
            }
            let strict = self.any_beats(&members);
            let fits = superposition.fits(&evidence, strict);
            let paid = evidence.at_price(price);
            let kept: Vec<usize> = members
                .iter()
                .zip(&fits)
                .filter_map(|(member, fits)| fits.then_some(*member))
                .collect();
            if kept.len() == members.len() {
                best =
                    (paid.p_value <= LARGEST_P && paid.half_width <= WIDEST).then_some(Weighed {
                        candidate,
                        starts: superposition.starts(),
                        members,
                        evidence: paid,
                    });
                break;
            }
            if kept.len() < 2 {
                break;
            }
            price *= choices(members.len(), kept.len());
            members = kept;
        }
        best
    }

    /// Whether a series beats by itself.
    fn any_beats(&mut self, members: &[usize]) -> bool {
        let mut own = members.iter().filter_map(|member| self.own(*member));
        own.any(|own| own.p_value <= STRONG_P)
    }

    /// What a series says by itself: weighed once, whatever the number of candidates that it is in.
    fn own(&mut self, member: usize) -> Option<Evidence> {
        if let Some(own) = self.own.get(&member) {
            return *own;
        }
        let series = self.series.get(member);
        let own = series.and_then(|(_, series)| self.scales.weigh(series, self.now));
        self.own.insert(member, own);
        own
    }

    fn explains_better(&mut self, view: &Weighed<'_>) -> bool {
        let members = view.members.iter();
        let own: Vec<Evidence> = members.filter_map(|member| self.own(*member)).collect();
        let spread = |evidence: &Evidence| evidence.half_width * evidence.period_s;
        let lost = own.iter().any(|own| (self.detects)(own, false))
            && !(self.detects)(&view.evidence, true);
        let best = own.iter().fold(1.0_f64, |best, own| best.min(own.p_value));
        let tiny = best <= TINY_P && view.evidence.p_value <= TINY_P;
        let as_narrow = own
            .iter()
            .filter(|own| own.p_value <= TINY_P)
            .all(|own| spread(&view.evidence) <= SAME_WIDTH * spread(own));
        !lost && (view.evidence.p_value <= GAIN * best || tiny) && as_narrow
    }

    fn report(&self, view: &Weighed<'_>) -> Found {
        let mut members: Vec<_> = self.members(&view.members).collect();
        members.sort_by(|(_, a), (_, b)| a.key.cmp(&b.key));
        let anchor = members
            .iter()
            .enumerate()
            .min_by_key(|(at, (_, series))| (series.first_seen, *at))
            .map_or(0, |(at, _)| at);
        if let Some(first) = members.get_mut(..=anchor) {
            first.rotate_right(1);
        }
        Found {
            view: View {
                kind: view.candidate.kind,
                shared: Some(Arc::clone(&view.candidate.shared)),
            },
            members: members
                .into_iter()
                .map(|(slot, series)| (*slot, series.key.clone()))
                .collect(),
            evidence: view.evidence,
            context: crate::context::Weighed::default(),
        }
    }
}

/// Ways to choose `kept` of `all`.
fn choices(all: usize, kept: usize) -> f64 {
    (0..all.saturating_sub(kept)).fold(1.0, |ways, at| ways * real(all - at) / real(at + 1))
}

impl Found {
    /// Keys of the members, the anchor first.
    pub(crate) fn named_members(&self) -> Vec<SeriesKey> {
        self.members.iter().map(|(_, key)| key.clone()).collect()
    }

    /// The reasons in words, for the anchor.
    pub(crate) fn explanation(&self) -> String {
        format!(
            "{} series with the same {} beat as one: {}",
            self.members.len(),
            self.what(),
            self.evidence.explanation()
        )
    }

    /// The reasons in words, for the other members.
    pub(crate) fn explanation_of_member(&self) -> String {
        let anchor = self.members.first().map(|(_, key)| key);
        let place = anchor.map_or_else(String::new, |key| {
            format!("{}:{}", key.destination, key.destination_port)
        });
        format!(
            "Part of {} series with the same {} that beat as one; reported at {place}.",
            self.members.len(),
            self.what(),
        )
    }

    fn what(&self) -> String {
        let kind = match self.view.kind {
            ViewKind::Pair => "pair",
            ViewKind::ProcessDestination => "process and destination",
            ViewKind::ServerName => "server name",
            ViewKind::Domain => "domain",
            ViewKind::ClientFingerprint => "client fingerprint",
            ViewKind::Rotation => "port",
        };
        let shared = self.view.shared.as_deref().unwrap_or_default();
        format!("{kind} ({shared})")
    }
}
