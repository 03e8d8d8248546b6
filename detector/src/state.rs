//! A series as a store keeps it.
//!
//! Contract: what [`crate::Detector::take_changes`] gives and [`crate::Detector::restore`] takes. The format
//! is an enumeration of versions, so that an encoding that is not self-describing (postcard) stays
//! readable when a version is added: versions are added and never changed. Times are written as the
//! differences to the one before, which takes 4 to 6 bytes a start where integers are of variable length. Owners of
//! processes are not kept: they would double a state, and the next connection brings its own.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::evidence::ActiveHours;
use crate::series::{Actor, Endings, Latest, RECENT_PORTS, Rare, Series, Sizes};
use crate::stats::nanos_between;
use crate::{Process, SeriesKey, Timestamp};

/// What changed in a series since the last time changes were taken.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesChange {
    /// The series.
    pub key: SeriesKey,
    /// Its state; `None` when it is gone and a store must forget it.
    pub state: Option<SeriesState>,
}

/// State of a series, to be stored and restored as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesState(Versions);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Versions {
    V1(StateV1),
    /// With the longest connection.
    V2(StateV1, u64),
    /// With activity inside connections and the hours in which there were any beats.
    V3(StateV1, StateV3),
    /// With sums of sizes and of endings, and the fingerprint of the client's TLS.
    V4(StateV1, StateV3, StateV4),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct StateV1 {
    first_start: Option<Timestamp>,
    /// Nanoseconds from each kept start to the next.
    intervals_ns: Vec<u64>,
    ports: Vec<u16>,
    count: u64,
    first_seen: Timestamp,
    last_activity: Timestamp,
    bytes_out: u64,
    bytes_in: u64,
    host_name: Option<(Timestamp, Arc<str>)>,
    server_name: Option<(Timestamp, Arc<str>)>,
    process: Option<(Timestamp, Arc<Process>)>,
    score: f64,
    to_analyse: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct StateV3 {
    longest_ns: u64,
    first_activity: Option<Timestamp>,
    /// Nanoseconds from each kept time of activity to the next.
    activity_intervals_ns: Vec<u64>,
    latest_hour: i64,
    hours: [u64; 6],
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct StateV4 {
    sizes_out: Sizes,
    sizes_in: Sizes,
    endings: Endings,
    client_fingerprint: Option<(Timestamp, Arc<str>)>,
}

/// Why a state was not restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The series is there already.
    #[error("the series of {0:?} is there already, expected a new one")]
    Exists(Box<SeriesKey>),
    /// The state contradicts itself.
    #[error("state of a series: {field} is {value}, expected {expected}")]
    Invalid {
        /// Which part.
        field: &'static str,
        /// What it was.
        value: String,
        /// What it should have been.
        expected: &'static str,
    },
}

impl SeriesState {
    /// Version of the format in which this state is.
    #[must_use]
    pub const fn version(&self) -> u16 {
        match &self.0 {
            Versions::V1(_) => 1,
            Versions::V2(..) => 2,
            Versions::V3(..) => 3,
            Versions::V4(..) => 4,
        }
    }

    pub(crate) fn of(series: &Series, to_analyse: bool) -> Self {
        let starts = &series.starts;
        let state = StateV1 {
            first_start: starts.front().copied(),
            intervals_ns: intervals(starts),
            ports: series.ports.iter().take(starts.len()).copied().collect(),
            count: series.count,
            first_seen: series.first_seen,
            last_activity: series.last_activity,
            bytes_out: series.bytes_out,
            bytes_in: series.bytes_in,
            host_name: pair(&series.host_name),
            server_name: pair(&series.server_name),
            process: pair(&series.actor).map(|(at, actor)| (at, actor.process)),
            score: series.score,
            to_analyse,
        };
        let (latest_hour, hours) = series.hours.to_parts();
        let rest = StateV3 {
            longest_ns: series.longest_ns,
            first_activity: series.activity.get().and_then(VecDeque::front).copied(),
            activity_intervals_ns: series.activity.get().map(intervals).unwrap_or_default(),
            latest_hour,
            hours,
        };
        let newest = StateV4 {
            sizes_out: series.sizes_out,
            sizes_in: series.sizes_in,
            endings: series.endings,
            client_fingerprint: series.client_fingerprint.as_deref().and_then(pair),
        };
        Self(Versions::V4(state, rest, newest))
    }

    /// The series, and whether it waits to be analysed. Keeps the newest `max_starts` starts.
    pub(crate) fn into_series(
        self,
        key: SeriesKey,
        max_starts: usize,
    ) -> Result<(Series, bool), RestoreError> {
        let mut series = Series::new(key);
        let (state, rest) = newest_parts(self.0, &mut series);
        series.starts = times(state.first_start, &state.intervals_ns)?.into();
        match rest {
            Some(rest) => restore_rest(&mut series, &rest, max_starts)?,
            None => series
                .starts
                .iter()
                .for_each(|start| series.hours.insert(*start)),
        }
        check_count(&series, &state)?;
        let excess = series.starts.len().saturating_sub(max_starts);
        series.starts.drain(..excess);
        for (place, port) in series.ports.iter_mut().zip(&state.ports).take(RECENT_PORTS) {
            *place = *port;
        }
        series.count = state.count;
        series.first_seen = state.first_seen;
        series.last_activity = state.last_activity;
        series.bytes_out = state.bytes_out;
        series.bytes_in = state.bytes_in;
        series.host_name = latest(state.host_name);
        series.server_name = latest(state.server_name);
        let unowned = |process| Actor {
            process,
            owner: None,
        };
        series.actor = latest(state.process.map(|(at, process)| (at, unowned(process))));
        series.score = state.score;
        series.stored = true;
        Ok((series, state.to_analyse))
    }
}

/// What every version has, and what version 3 added; the rest goes into the series as it is.
fn newest_parts(versions: Versions, series: &mut Series) -> (StateV1, Option<StateV3>) {
    match versions {
        Versions::V1(state) => (state, None),
        Versions::V2(state, longest_ns) => {
            series.longest_ns = longest_ns;
            (state, None)
        }
        Versions::V3(state, rest) => (state, Some(rest)),
        Versions::V4(state, rest, newest) => {
            series.sizes_out = newest.sizes_out;
            series.sizes_in = newest.sizes_in;
            series.endings = newest.endings;
            let fingerprint = newest.client_fingerprint;
            series.client_fingerprint = fingerprint.map(|it| Box::new(latest(Some(it))));
            (state, Some(rest))
        }
    }
}

fn pair<T: Clone>(latest: &Latest<T>) -> Option<(Timestamp, T)> {
    latest.value.clone().map(|value| (latest.at, value))
}

fn latest<T>(pair: Option<(Timestamp, T)>) -> Latest<T>
where
    Latest<T>: Default,
{
    pair.map_or_else(Latest::default, |(at, value)| Latest {
        at,
        value: Some(value),
    })
}

fn intervals(times: &VecDeque<Timestamp>) -> Vec<u64> {
    let pairs = times.iter().zip(times.iter().skip(1));
    pairs.map(|(a, b)| nanos_between(*a, *b)).collect()
}

fn restore_rest(series: &mut Series, rest: &StateV3, most: usize) -> Result<(), RestoreError> {
    series.longest_ns = rest.longest_ns;
    let mut activity = times(rest.first_activity, &rest.activity_intervals_ns)?;
    activity.drain(..activity.len().saturating_sub(most));
    if !activity.is_empty() {
        series.activity = Rare::of(activity.into());
    }
    series.hours = ActiveHours::from_parts((rest.latest_hour, rest.hours));
    Ok(())
}

fn times(first: Option<Timestamp>, intervals_ns: &[u64]) -> Result<Vec<Timestamp>, RestoreError> {
    let Some(first) = first else {
        if intervals_ns.is_empty() {
            return Ok(Vec::new());
        }
        return Err(invalid(
            "first_start",
            "absent",
            "a time, because there are intervals",
        ));
    };
    let mut time = i128::from(first.unix_nanos());
    let mut times = Vec::with_capacity(intervals_ns.len() + 1);
    times.push(first);
    for interval in intervals_ns {
        time += i128::from(*interval);
        let nanos = i64::try_from(time).map_err(|error| {
            invalid(
                "intervals_ns",
                &error.to_string(),
                "times within ±292 years",
            )
        })?;
        times.push(Timestamp::from_unix_nanos(nanos));
    }
    Ok(times)
}

fn check_count(series: &Series, state: &StateV1) -> Result<(), RestoreError> {
    let kept = u64::try_from(series.starts.len()).unwrap_or(u64::MAX);
    if state.count < kept {
        return Err(invalid(
            "count",
            &state.count.to_string(),
            "at least the kept starts",
        ));
    }
    if series
        .starts
        .front()
        .is_some_and(|oldest| state.first_seen > *oldest)
    {
        return Err(invalid(
            "first_seen",
            &format!("{:?}", state.first_seen),
            "the first start",
        ));
    }
    if series
        .last_seen()
        .is_some_and(|last| state.last_activity < last)
    {
        let value = format!("{:?}", state.last_activity);
        return Err(invalid(
            "last_activity",
            &value,
            "not before the last start",
        ));
    }
    if !(0.0..=1.0).contains(&state.score) {
        return Err(invalid("score", &state.score.to_string(), "0 to 1"));
    }
    Ok(())
}

fn invalid(field: &'static str, value: &str, expected: &'static str) -> RestoreError {
    RestoreError::Invalid {
        field,
        value: value.to_owned(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_version_3_is_restored_without_the_sums_that_it_has_not() {
        let key = SeriesKey {
            host: Arc::from("host"),
            namespace: Arc::from(""),
            source: [10, 0, 0, 1].into(),
            destination: [198, 51, 100, 7].into(),
            destination_port: 443,
            transport: crate::Transport::Tcp,
        };
        let mut series = Series::new(key.clone());
        let mut seen = crate::Observation::new(
            Timestamp::from_unix_nanos(5),
            crate::Phase::Whole,
            key.clone(),
        );
        seen.bytes_out = Some(100);
        let keep = crate::series::Keep {
            most: 16,
            beats: true,
        };
        series.observe(&seen, keep);
        let Versions::V4(state, rest, _) = SeriesState::of(&series, true).0 else {
            panic!("the newest version is written");
        };
        // What version 3 wrote was the same without the last part.
        let written = postcard::to_allocvec(&SeriesState(Versions::V3(state, rest))).unwrap();
        let read: SeriesState = postcard::from_bytes(&written).unwrap();
        assert_eq!((read.version(), written[0]), (3, 2));
        let (restored, to_analyse) = read.into_series(key, 16).unwrap();
        assert!(to_analyse && restored.bytes_out == 100 && restored.count == 1);
        assert_eq!(restored.sizes_out, Sizes::default());
    }
}
