//! Which series of a source are tried together.
//!
//! Contract: members are chosen by names, first and last times, numbers of starts and median gaps, never by
//! how sharp they are together, so that a p-value needs to pay for no more than the number of candidates. The
//! one exception, those that keep clear of each other, pays for the number of ways to choose so many. The result depends on the series and not on their order.
//!
//! # Rotations
//! A rotation in which `k` addresses are drawn at random or in turn gives `k` series whose first starts, and
//! last ones, lie about one mean gap of theirs apart, and whose numbers of starts differ by about their
//! square root. The *unlikeness* of two series is the sum of the three differences in those units; for each
//! series those within [`NEAR`] of it are tried together, and those of them that keep clear of it: neighbours
//! with the same life lie close to it by chance, members never do. Series that take turns (an address an hour) share
//! their median gap and do not interleave. An address that changes at each beat leaves series of one or two
//! starts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::evidence::PARTING_SILENCE_S;
use crate::series::Series;
use crate::stats::{nanos_between, real, seconds};
use crate::table::Slot;
use crate::{Timestamp, Transport};

use super::{MOST_MEMBERS, MOST_ROTATIONS, ViewKind, choices};

/// Kinds of views beside rotations: as many tests may be made of one series.
const KINDS: f64 = 4.0;
/// Unlikeness up to which series are tried together.
const NEAR: [f64; 3] = [3.0, 6.0, 12.0];
/// Starts of two series that are closer than this share of their mean gap are close: so many that
/// [`CLOSE_STARTS`] of them are expected on each side, within bounds.
const CLOSE: f64 = 1.0 / 6.0;
const CLOSEST: f64 = 1.0 / 24.0;
const CLOSE_STARTS: f64 = 2.0;
/// Share of the expected close starts up to which two series keep clear of each other.
const CLEAR: f64 = 0.25;
/// Most members of a rotation that are drawn together; the nearest.
const MOST_TOGETHER: usize = 16;
/// Fewest starts of a series from which a rate can be told.
const FEWEST_STARTS: usize = 3;
/// Differences of the logarithm of median gaps up to which series may take turns.
const LIKE_GAPS: [f64; 2] = [0.2, 0.4];
/// Share of its starts at which a series that takes turns may hand over.
const MOST_TURNS: f64 = 0.5;
/// Most starts of an address that is seen only for a moment.
const MOMENTS: [usize; 2] = [2, 4];
/// Fewest of such addresses.
const FEWEST_MOMENTS: usize = 4;

/// Series of a source to try together: ascending indices.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) kind: ViewKind,
    pub(super) shared: Arc<str>,
    pub(super) members: Vec<usize>,
    /// Tests for which its p-value pays.
    pub(super) tests: f64,
}

/// All candidates among the series of one source.
pub(super) fn of(series: &[(Slot, &Series)]) -> Vec<Candidate> {
    let started = series
        .iter()
        .enumerate()
        .filter(|(_, (_, it))| !it.starts.is_empty());
    let started: Vec<(usize, &Series)> = started.map(|(at, (_, it))| (at, *it)).collect();
    if started.len() < 2 {
        return Vec::new();
    }
    let mut candidates = sharing(&started);
    let mut ports: BTreeMap<(u16, Transport), Vec<(usize, &Series)>> = BTreeMap::new();
    for (at, it) in started {
        let port = (it.key.destination_port, it.key.transport);
        ports.entry(port).or_default().push((at, it));
    }
    for ((port, transport), mut members) in ports {
        if members.len() > 1 {
            newest(&mut members);
            rotations(&members, &shared_port(port, transport), &mut candidates);
        }
    }
    candidates
}

fn shared_port(port: u16, transport: Transport) -> Arc<str> {
    Arc::from(format!("{}/{port}", transport.name()))
}

/// Keeps the newest members, by key where times are equal, in the order of their indices.
fn newest(members: &mut Vec<(usize, &Series)>) {
    if members.len() > MOST_MEMBERS {
        members.sort_unstable_by_key(|(at, it)| (std::cmp::Reverse(it.last_seen()), *at));
        members.truncate(MOST_MEMBERS);
        members.sort_unstable_by_key(|(at, _)| *at);
    }
}

/// What series share: a name, and a destination where that is part of it.
type SharedName<'a> = (ViewKind, &'a str, Option<IpAddr>);

/// The members of each view that share a name of some kind.
fn sharing(series: &[(usize, &Series)]) -> Vec<Candidate> {
    let mut groups: BTreeMap<SharedName<'_>, Vec<(usize, &Series)>> = BTreeMap::new();
    for (at, it) in series {
        let mut add = |kind, shared, destination| {
            let group = groups.entry((kind, shared, destination)).or_default();
            group.push((*at, *it));
        };
        if let Some(process) = it.process()
            && let Some(name) = process.executable.as_deref().or(process.name.as_deref())
        {
            add(ViewKind::ProcessDestination, name, Some(it.key.destination));
        }
        if let Some(fingerprint) = it.last_fingerprint() {
            add(ViewKind::ClientFingerprint, fingerprint, None);
        }
        if let Some(name) = it.server_name.value.as_deref() {
            add(ViewKind::ServerName, name, None);
            if let Some(domain) = registered_domain(name) {
                add(ViewKind::Domain, domain, None);
            }
        }
    }
    let mut seen = BTreeSet::new();
    let mut candidates = Vec::new();
    for ((kind, shared, _), mut members) in groups {
        newest(&mut members);
        let members: Vec<usize> = members.into_iter().map(|(at, _)| at).collect();
        if members.len() > 1 && seen.insert(members.clone()) {
            candidates.push(Candidate {
                kind,
                shared: Arc::from(shared),
                members,
                tests: KINDS,
            });
        }
    }
    candidates
}

/// The part of a name that somebody registered: the label before the public suffix, with it.
fn registered_domain(name: &str) -> Option<&str> {
    let name = name.trim_end_matches('.');
    if name.parse::<IpAddr>().is_ok() {
        return None;
    }
    psl::domain_str(name)
}

/// What is compared of two series.
struct Facts<'a> {
    at: usize,
    series: &'a Series,
    first: Timestamp,
    last: Timestamp,
    starts: f64,
    mean_gap_s: f64,
    median_gap_s: f64,
}

impl<'a> Facts<'a> {
    fn of(at: usize, series: &'a Series, gaps_s: &mut Vec<f64>) -> Option<Self> {
        if series.starts.len() < FEWEST_STARTS {
            return None;
        }
        let (first, last) = (*series.starts.front()?, *series.starts.back()?);
        let next = series.starts.iter().skip(1);
        gaps_s.clear();
        gaps_s.extend(
            series
                .starts
                .iter()
                .zip(next)
                .map(|(a, b)| seconds(nanos_between(*a, *b)))
                .filter(|gap_s| *gap_s > PARTING_SILENCE_S),
        );
        let middle = gaps_s.len() / 2;
        let median_gap_s = if gaps_s.is_empty() {
            f64::NAN
        } else {
            *gaps_s.select_nth_unstable_by(middle, f64::total_cmp).1
        };
        let starts = real(series.starts.len());
        Some(Self {
            at,
            series,
            first,
            last,
            starts,
            mean_gap_s: seconds(nanos_between(first, last)) / (starts - 1.0),
            median_gap_s,
        })
    }

    /// How unlike two series are that a rotation would make alike.
    fn unlikeness(&self, other: &Self) -> f64 {
        let apart = |a: Timestamp, b: Timestamp| seconds(nanos_between(a.min(b), a.max(b)));
        let gap_s = self.mean_gap_s.max(other.mean_gap_s).max(1e-9);
        (apart(self.first, other.first) + apart(self.last, other.last)) / gap_s
            + (self.starts - other.starts).abs() / self.starts.min(other.starts).sqrt()
    }

    /// Whether far fewer of its starts are close to one of the other than would be if they had nothing to do with
    /// each other: of a rotation no two addresses are called in less than a period.
    fn keeps_clear_of(&self, other: &Self) -> bool {
        let gap_s = self.mean_gap_s.max(other.mean_gap_s);
        let share = (CLOSE_STARTS / self.starts.min(other.starts)).clamp(CLOSEST, CLOSE);
        let mut later = other.series.starts.iter().peekable();
        let (mut before, mut close) = (None, 0.0);
        for start in &self.series.starts {
            while let Some(passed) = later.next_if(|it| *it <= start) {
                before = Some(passed);
            }
            let apart_s = before
                .map(|it| nanos_between(*it, *start))
                .into_iter()
                .chain(later.peek().map(|it| nanos_between(*start, **it)))
                .min()
                .map_or(f64::INFINITY, seconds);
            close += f64::from(u8::from(apart_s < share * gap_s));
        }
        let expected = self.starts * (1.0 - (-2.0 * share).exp());
        close <= CLEAR * expected
    }

    /// Whether two series take turns: of their starts, laid over each other, few follow one of the other.
    fn takes_turns_with(&self, other: &Self) -> bool {
        let most = MOST_TURNS * self.starts.min(other.starts);
        let (mut one, mut two) = (
            self.series.starts.iter().peekable(),
            other.series.starts.iter().peekable(),
        );
        let (mut turns, mut before) = (0.0, None);
        while turns <= most {
            let first_is_next = match (one.peek(), two.peek()) {
                (Some(a), Some(b)) => a <= b,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => return true,
            };
            if first_is_next {
                one.next()
            } else {
                two.next()
            };
            if before.is_some_and(|before| before != first_is_next) {
                turns += 1.0;
            }
            before = Some(first_is_next);
        }
        false
    }
}

/// The rotations of one port.
fn rotations(members: &[(usize, &Series)], shared: &Arc<str>, candidates: &mut Vec<Candidate>) {
    let mut gaps_s = Vec::new();
    let facts: Vec<Facts<'_>> = members
        .iter()
        .filter_map(|(at, series)| Facts::of(*at, series, &mut gaps_s))
        .collect();
    let mut sets = Sets::default();
    moments(members, &mut sets);
    for one in &facts {
        if sets.0.len() >= MOST_ROTATIONS {
            break;
        }
        together(one, &facts, &mut sets);
        in_turns(one, &facts, &mut sets);
    }
    let tests = real(sets.0.len());
    let sets = sets.0.into_iter();
    candidates.extend(sets.map(|(members, ways)| Candidate {
        kind: ViewKind::Rotation,
        shared: Arc::clone(shared),
        members,
        tests: tests * ways,
    }));
}

/// Sets of series to try, and in how many ways each could have been chosen.
#[derive(Default)]
struct Sets(BTreeMap<Vec<usize>, f64>);

impl Sets {
    fn insert(&mut self, members: impl IntoIterator<Item = usize>, ways: f64) {
        let mut set: Vec<usize> = members.into_iter().collect();
        if set.len() > 1 {
            set.sort_unstable();
            let known = self.0.entry(set).or_insert(ways);
            *known = known.min(ways);
        }
    }
}

/// Addresses that are seen only for a moment.
fn moments(members: &[(usize, &Series)], sets: &mut Sets) {
    for most in MOMENTS {
        let set: Vec<usize> = members
            .iter()
            .filter(|(_, series)| series.count <= most as u64)
            .map(|(at, _)| *at)
            .collect();
        if set.len() >= FEWEST_MOMENTS {
            sets.insert(set, 1.0);
        }
    }
}

/// Series that begin and end with one, at like rates; of many also those that keep clear of it.
fn together(one: &Facts<'_>, facts: &[Facts<'_>], sets: &mut Sets) {
    let mut near: Vec<(f64, &Facts<'_>)> = facts
        .iter()
        .map(|other| (one.unlikeness(other), other))
        .filter(|(unlikeness, _)| *unlikeness <= NEAR[NEAR.len() - 1])
        .collect();
    near.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.at.cmp(&b.1.at)));
    for limit in NEAR {
        let nearest = near.iter().take_while(|(it, _)| *it <= limit);
        sets.insert(nearest.take(MOST_TOGETHER).map(|(_, it)| it.at), 1.0);
    }
    let clear: Vec<usize> = near
        .iter()
        .filter(|(_, other)| other.at == one.at || one.keeps_clear_of(other))
        .map(|(_, other)| other.at)
        .take(MOST_TOGETHER)
        .collect();
    let ways = choices(near.len(), clear.len());
    sets.insert(clear, ways);
}

/// Series that take turns with one.
fn in_turns(one: &Facts<'_>, facts: &[Facts<'_>], sets: &mut Sets) {
    let mut like: Vec<(f64, usize)> = facts
        .iter()
        .map(|other| ((one.median_gap_s / other.median_gap_s).ln().abs(), other))
        .filter(|(unlike, other)| {
            *unlike <= LIKE_GAPS[LIKE_GAPS.len() - 1]
                && (other.at == one.at || one.takes_turns_with(other))
        })
        .map(|(unlike, other)| (unlike, other.at))
        .collect();
    like.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    for limit in LIKE_GAPS {
        let likest = like.iter().take_while(|(it, _)| *it <= limit);
        sets.insert(likest.map(|(_, at)| *at), 1.0);
    }
}
