//! Beats that keep to the clock: every full minute, every quarter of an hour.
//!
//! # Formula
//! For a period `T` of the clock the beats are thinned to those at least `T / 2` after the one kept
//! before, so that one burst counts once; with `m` of them at phases `x = 2 pi t / T`, Rayleigh's
//! statistic `z = m R^2 = ((sum cos x)^2 + (sum sin x)^2) / m` is exponential with mean 1 for phases that
//! are uniform and independent. The largest over [`PERIODS_S`] is the statistic, for periods that the
//! beats span five times with at least six of them. It sees schedules of which most beats are missed.
//!
//! # Sources
//! Mardia and Jupp, *Directional Statistics* (2000), section 6.3.1.

use crate::Timestamp;

/// Periods of a clock, in seconds.
const PERIODS_S: [u32; 9] = [30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200];
const FEWEST_BEATS: f64 = 6.0;
const FEWEST_PERIODS: i128 = 5;

/// How well the beats keep to the clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockRhythm {
    /// Period of the clock in seconds.
    pub period_s: f64,
    /// Rayleigh's statistic.
    pub statistic: f64,
}

/// Measures beats in ascending order; `None` when no period has enough of them.
#[must_use]
pub fn clock_rhythm(beats: &[Timestamp]) -> Option<ClockRhythm> {
    let span = i128::from(beats.last()?.unix_nanos()) - i128::from(beats.first()?.unix_nanos());
    PERIODS_S
        .into_iter()
        .filter(|period| span >= FEWEST_PERIODS * i128::from(*period) * 1_000_000_000)
        .filter_map(|period| {
            let statistic = rayleigh(beats, i64::from(period) * 1_000_000_000)?;
            Some(ClockRhythm {
                period_s: f64::from(period),
                statistic,
            })
        })
        .max_by(|a, b| a.statistic.total_cmp(&b.statistic))
}

fn rayleigh(beats: &[Timestamp], period_ns: i64) -> Option<f64> {
    let (mut cosines, mut sines, mut count) = (0.0, 0.0, 0.0);
    let mut kept: Option<i64> = None;
    for beat in beats {
        let time = beat.unix_nanos();
        if kept.is_some_and(|kept| i128::from(time) - i128::from(kept) < i128::from(period_ns / 2))
        {
            continue;
        }
        let phase = std::f64::consts::TAU * share(time.rem_euclid(period_ns), period_ns);
        cosines += phase.cos();
        sines += phase.sin();
        count += 1.0;
        kept = Some(time);
    }
    (count >= FEWEST_BEATS).then(|| (cosines * cosines + sines * sines) / count)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "both are below two hours in nanoseconds: 2^43"
)]
fn share(part: i64, whole: i64) -> f64 {
    part as f64 / whole as f64
}
