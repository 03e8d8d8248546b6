//! One series in full: its beats, their intervals, their spectrum.

use axum::extract::State;
use beaconwatch_detector::{Timestamp, seed};
use beaconwatch_learning::Risk;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::beacons::Beacon;
use super::error::{Answer, ApiError, ErrorAnswer};
use super::extract::Id;
use crate::observe::SeriesId;
use crate::risk;

/// Bins of the histogram.
const BINS: usize = 48;
/// Most points of the spectrum.
const POINTS: usize = 512;
const NANOS_PER_SECOND: f64 = 1e9;

/// One series in full.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Series {
    #[serde(flatten)]
    beacon: Beacon,
    /// The risk by the model, 0 to 1; none without a model, or with another method than evidence. So are the next three.
    risk: Option<f64>,
    /// Probability of the supervised part, as if malicious and benign were equally frequent.
    probability: Option<f64>,
    /// Anomaly of the unsupervised part, 0 to 1.
    anomaly: Option<f64>,
    /// What drove them, in words.
    driven_by: Option<String>,
    /// Starts of the connections that are kept, in seconds since 1970, ascending.
    times: Vec<f64>,
    /// Number of starts that are kept.
    kept: usize,
    /// Histogram of the intervals between them.
    intervals: Histogram,
    /// Power spectrum of the starts over time.
    spectrum: SpectrumAnswer,
}

/// A histogram: bin `i` reaches from `edges_s[i]` to `edges_s[i + 1]`.
#[derive(Debug, Default, PartialEq, Serialize, ToSchema)]
struct Histogram {
    /// Edges of the bins in seconds: one more than bins.
    edges_s: Vec<f64>,
    /// Intervals in each bin.
    counts: Vec<u64>,
}

/// A power spectrum.
#[derive(Debug, Serialize, ToSchema)]
struct SpectrumAnswer {
    /// Periods in seconds, falling.
    period_s: Vec<f64>,
    /// Power at each.
    power: Vec<f64>,
}

/// One series in full.
#[utoipa::path(
    get, path = "/api/v1/series/{id}", tag = "findings",
    params(("id" = String, Path, description = "Identity of the series.", pattern = "^[0-9a-f]{32}$")),
    responses(
        (status = 200, description = "The series.", body = Series),
        (status = 404, description = "No series has that identity.", body = ErrorAnswer),
    )
)]
pub(super) async fn show(State(api): State<Api>, Id(id): Id) -> Result<Answer<Series>, ApiError> {
    let unknown = || ApiError::NotFound("no series has that identity, or it is gone".to_owned());
    let id: SeriesId = id.parse().map_err(|_no_identity| unknown())?;
    read(&api, id).await?.map(Answer).ok_or_else(unknown)
}

/// A series by its identity; none when it is not kept.
pub(super) async fn read(api: &Api, id: SeriesId) -> Result<Option<Series>, ApiError> {
    let Some(detail) = api.observer.series(id).await? else {
        return Ok(None);
    };
    let beacon = Beacon::of(api, id, &detail.assessment, api.clock.now());
    let model = api.risk.current();
    let risk = model.map(|model| risk::of(&model, &detail.assessment));
    let risk = risk.transpose().map(Option::flatten);
    let risk = risk.map_err(|error| ApiError::Answer(error.to_string()))?;
    // A transform of up to a million points: not on a thread that serves others.
    let drawn = tokio::task::spawn_blocking(move || {
        let spectrum = seed::power_spectrum(&detail.times, POINTS);
        Series {
            beacon,
            risk: risk.as_ref().map(|it| it.risk),
            probability: risk.as_ref().map(|it| it.probability),
            anomaly: risk.as_ref().map(|it| it.anomaly),
            driven_by: risk.as_ref().map(Risk::reason),
            times: detail.times.iter().map(|it| seconds(*it)).collect(),
            kept: detail.times.len(),
            intervals: Histogram::of(&detail.times),
            spectrum: SpectrumAnswer {
                period_s: spectrum.period_s,
                power: spectrum.power,
            },
        }
    });
    let drawn = drawn.await;
    drawn
        .map(Some)
        .map_err(|error| ApiError::Answer(error.to_string()))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a picture: exact to a microsecond"
)]
fn seconds(time: Timestamp) -> f64 {
    time.unix_nanos() as f64 / NANOS_PER_SECOND
}

impl Histogram {
    /// Bins of the same width from the shortest to the longest interval; one bin when they are all the same.
    fn of(times: &[Timestamp]) -> Self {
        let pairs = times.iter().zip(times.iter().skip(1));
        let gaps: Vec<f64> = pairs
            .map(|(first, second)| second.saturating_since(*first).as_secs_f64())
            .collect();
        let shortest = gaps.iter().copied().fold(f64::INFINITY, f64::min);
        let longest = gaps.iter().copied().fold(0.0, f64::max);
        if gaps.is_empty() {
            return Self::default();
        }
        let bins = if longest > shortest { BINS } else { 1 };
        let width = (longest - shortest) / number(bins);
        let mut counts = vec![0; bins];
        for gap in &gaps {
            let above = (1..bins).take_while(|bin| *gap >= shortest + width * number(*bin));
            if let Some(count) = counts.get_mut(above.count()) {
                *count += 1;
            }
        }
        let edges = (0..=bins).map(|edge| match edge {
            edge if edge == bins => longest,
            edge => shortest + width * number(edge),
        });
        Self {
            edges_s: edges.collect(),
            counts,
        }
    }
}

/// A small number as a double.
fn number(value: usize) -> f64 {
    f64::from(u32::try_from(value).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(seconds: &[i64]) -> Vec<Timestamp> {
        let nanos = seconds.iter().map(|it| it * 1_000_000_000);
        nanos.map(Timestamp::from_unix_nanos).collect()
    }

    #[test]
    fn every_interval_lies_in_one_bin_and_the_edges_are_the_extremes() {
        let histogram = Histogram::of(&times(&[0, 60, 121, 181, 300]));
        assert_eq!(histogram.counts.iter().sum::<u64>(), 4);
        assert_eq!(histogram.edges_s.len(), histogram.counts.len() + 1);
        assert_eq!(histogram.edges_s.first(), Some(&60.0));
        assert_eq!(histogram.edges_s.last(), Some(&119.0));
        assert_eq!(histogram.counts.first(), Some(&3));
        assert_eq!(histogram.counts.last(), Some(&1));
    }

    #[test]
    fn equal_intervals_are_one_bin_and_no_intervals_are_none() {
        let histogram = Histogram::of(&times(&[0, 60, 120]));
        assert_eq!(histogram.counts, [2]);
        assert_eq!(histogram.edges_s, [60.0, 60.0]);
        assert_eq!(Histogram::of(&times(&[5])), Histogram::default());
        assert_eq!(Histogram::of(&[]), Histogram::default());
    }
}
