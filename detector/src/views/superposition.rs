//! Several series laid over each other as if they were one.

use std::collections::VecDeque;

use crate::Timestamp;
use crate::evidence::{Evidence, MOST_GAPS, PARTING_SILENCE_S};
use crate::series::Series;
use crate::stats::{nanos_between, real, seconds};

use super::{CHANCE, MEMBER_FIT, SINGLE_FIT};

/// Starts of a superposition: the newest.
const MOST_STARTS: usize = 512;
/// Newest starts that are looked at first.
const GLANCE: usize = 40;
/// Places in a gap at which a time is tried.
const PLACES: u32 = 24;
const GOLDEN_RATIO: f64 = 0.618_033_988_749_894_9;
/// Lays series over each other; keeps its buffers.
#[derive(Debug, Default)]
pub(super) struct Superposition {
    /// Starts with the number of their member, ascending.
    starts: Vec<(Timestamp, usize)>,
    members: usize,
}

impl Superposition {
    /// The newest starts of all, at most [`GLANCE`] of each member, from the time on from which they are complete.
    pub(super) fn glance<'s>(
        &mut self,
        members: impl Iterator<Item = &'s Series>,
    ) -> &[(Timestamp, usize)] {
        self.starts.clear();
        let mut complete_from = None;
        for member in members {
            let newest = member.starts.iter().rev().take(GLANCE);
            self.starts.extend(newest.map(|start| (*start, 0)));
            let more = u64::try_from(GLANCE).unwrap_or(u64::MAX) < member.count;
            let oldest = member.starts.iter().rev().take(GLANCE).next_back();
            complete_from = complete_from.max(oldest.filter(|_| more).copied());
        }
        self.starts.sort_unstable();
        let from = self
            .starts
            .partition_point(|(start, _)| Some(*start) < complete_from);
        let excess = (self.starts.len() - from).saturating_sub(GLANCE);
        self.starts.drain(..from + excess);
        &self.starts
    }

    /// The series of all starts, from the time on from which every member kept all of its own. `None` when
    /// there is no member.
    pub(super) fn load<'s>(&mut self, members: impl Iterator<Item = &'s Series>) -> Option<Series> {
        let members: Vec<&Series> = members.collect();
        let mut superposed = Series::new(members.first()?.key.clone());
        let complete_from = members
            .iter()
            .filter(|it| it.count > u64::try_from(it.starts.len()).unwrap_or(u64::MAX))
            .filter_map(|it| it.starts.front())
            .max();
        self.members = members.len();
        self.starts.clear();
        for (number, member) in members.iter().enumerate() {
            let kept = member.starts.iter();
            let complete = kept.filter(|start| complete_from.is_none_or(|from| from <= *start));
            self.starts.extend(complete.map(|start| (*start, number)));
            superposed.hours.merge(&member.hours);
            superposed.count = superposed.count.saturating_add(member.count);
            superposed.first_seen = superposed.first_seen.min(member.first_seen);
            superposed.last_activity = superposed.last_activity.max(member.last_activity);
        }
        self.starts.sort_unstable();
        let excess = self.starts.len().saturating_sub(MOST_STARTS);
        self.starts.drain(..excess);
        superposed.starts = self
            .starts
            .iter()
            .map(|(start, _)| *start)
            .collect::<VecDeque<_>>();
        Some(superposed)
    }

    /// Number of starts.
    pub(super) fn starts(&self) -> usize {
        self.starts.len()
    }

    /// For each member whether it fits: of the gaps next to its beats the cadence explains nearly the share
    /// that it explains of all gaps and, where `strict`, chance gives it so much only once in
    /// 1 / [`CHANCE`] cases. A member without a beat of its own does not fit.
    pub(super) fn fits(&self, evidence: &Evidence, strict: bool) -> Vec<bool> {
        let beats = self.beats();
        let gaps = beats.iter().zip(beats.iter().skip(1));
        let explained: Vec<bool> = gaps
            .map(|((a, _), (b, _))| evidence.explains(seconds(nanos_between(*a, *b))))
            .collect();
        let fit = |member| {
            let fit = Fit::of(member, &beats, &explained);
            let wanted = if fit.beats == 1 {
                SINGLE_FIT
            } else {
                MEMBER_FIT * evidence.explained
            };
            fit.beats > 0
                && fit.share >= wanted
                && (!strict || fit.chance(member, &beats, evidence) <= CHANCE)
        };
        (0..self.members).map(fit).collect()
    }

    /// The newest beats, and of which member the first event of each is.
    fn beats(&self) -> Vec<(Timestamp, usize)> {
        let mut beats = Vec::new();
        let mut previous: Option<Timestamp> = None;
        for (time, member) in &self.starts {
            let parted = |previous| seconds(nanos_between(previous, *time)) > PARTING_SILENCE_S;
            if previous.is_none_or(parted) {
                beats.push((*time, *member));
            }
            previous = Some(*time);
        }
        let excess = beats.len().saturating_sub(MOST_GAPS + 1);
        beats.drain(..excess);
        beats
    }
}

/// How the beats of one member lie on the cadence of all.
struct Fit {
    beats: usize,
    /// Mean share of the gaps next to its beats that are explained.
    share: f64,
    /// Beats next to one of another member, and those of them with no gap beside them that is not explained.
    mixed: usize,
    mixed_explained: usize,
    /// Gaps between two beats of this member, and those of them that are explained.
    own: usize,
    own_explained: usize,
}

impl Fit {
    fn of(member: usize, beats: &[(Timestamp, usize)], explained: &[bool]) -> Self {
        let mut fit = Self {
            beats: 0,
            share: 0.0,
            mixed: 0,
            mixed_explained: 0,
            own: 0,
            own_explained: 0,
        };
        for (at, _) in beats
            .iter()
            .enumerate()
            .filter(|(_, (_, of))| *of == member)
        {
            let before = at.checked_sub(1);
            let gaps = [before, Some(at)];
            let neighbours = [before, Some(at + 1)];
            let sides: Vec<bool> = gaps
                .into_iter()
                .filter_map(|gap| explained.get(gap?).copied())
                .collect();
            let is_other = |place: Option<usize>| beats.get(place?).map(|(_, of)| *of != member);
            let good = sides.iter().filter(|explained| **explained).count();
            fit.beats += 1;
            fit.share += real(good) / real(sides.len().max(1));
            if neighbours
                .into_iter()
                .filter_map(is_other)
                .any(|other| other)
            {
                fit.mixed += 1;
                fit.mixed_explained += usize::from(good == sides.len());
            }
            if is_other(Some(at + 1)) == Some(false) {
                fit.own += 1;
                fit.own_explained += usize::from(explained.get(at) == Some(&true));
            }
        }
        fit.share /= real(fit.beats.max(1));
        fit
    }

    /// Chance that a member whose beats have nothing to do with those of the others fits as well: by the places
    /// of its beats in the gaps of the others or, where it is mostly by itself, by the lengths of its own gaps.
    fn chance(&self, member: usize, beats: &[(Timestamp, usize)], evidence: &Evidence) -> f64 {
        if 2 * self.mixed >= self.beats {
            let place = chance_of_place(member, beats, evidence);
            return upper_tail(self.mixed, self.mixed_explained, place);
        }
        let own: Vec<Timestamp> = of_member(member, beats).collect();
        let span = own
            .first()
            .zip(own.last())
            .map(|(a, b)| seconds(nanos_between(*a, *b)));
        let mean_s = span.unwrap_or(0.0) / real(self.own.max(1));
        upper_tail(
            self.own,
            self.own_explained,
            chance_of_gap(mean_s, evidence),
        )
    }
}

fn of_member(
    member: usize,
    beats: &[(Timestamp, usize)],
) -> impl DoubleEndedIterator<Item = Timestamp> {
    let own = beats.iter().filter(move |(_, of)| *of == member);
    own.map(|(time, _)| *time)
}

/// Share of the times in the life of a member at which a beat would have both gaps to its neighbours, beats of
/// others, explained.
fn chance_of_place(member: usize, beats: &[(Timestamp, usize)], evidence: &Evidence) -> f64 {
    let first = of_member(member, beats).next();
    let last = of_member(member, beats).next_back();
    let others: Vec<Timestamp> = beats
        .iter()
        .filter(|(_, of)| *of != member)
        .map(|(time, _)| *time)
        .collect();
    let (mut good_s, mut all_s, mut tried) = (0.0, 0.0, 1.0);
    for ((a, b), number) in others.iter().zip(others.iter().skip(1)).zip(0_u32..) {
        if Some(*b) < first || Some(*a) > last {
            continue;
        }
        let gap_s = seconds(nanos_between(*a, *b));
        let good = (0..PLACES).filter(|place| {
            // Shifted from gap to gap, so that no place falls into step with the period.
            let shift = f64::from(number) * GOLDEN_RATIO;
            let place = (f64::from(*place) + 0.5) / f64::from(PLACES) + shift;
            let before_s = gap_s * place.fract();
            evidence.explains(before_s) && evidence.explains(gap_s - before_s)
        });
        good_s += gap_s * real(good.count()) / f64::from(PLACES);
        all_s += gap_s;
        tried += f64::from(PLACES);
    }
    // As if one place more had been tried and were good: what was not seen may be.
    if all_s > 0.0 {
        (good_s / all_s * (tried - 1.0) + 1.0) / tried
    } else {
        1.0
    }
}

/// Chance that an exponential gap of this mean is explained.
fn chance_of_gap(mean_s: f64, evidence: &Evidence) -> f64 {
    let places = (0..200).map(|place| (f64::from(place) + 0.5) / 200.0);
    let good = places.filter(|place| evidence.explains(-mean_s * (1.0 - place).ln()));
    (real(good.count()) + 1.0) / 201.0
}

/// P(at least `hits` of `trials`) where each has the chance `p`.
fn upper_tail(trials: usize, hits: usize, p: f64) -> f64 {
    if hits == 0 || p >= 1.0 {
        return 1.0;
    }
    let mut term = (1.0 - p).powf(real(trials));
    let mut below = 0.0;
    for count in 0..hits {
        below += term;
        term *= real(trials - count) / real(count + 1) * p / (1.0 - p);
    }
    // Below 10^-13 the difference is rounding: small enough for every use.
    (1.0 - below).max(0.0)
}
