//! Irregular processes of many kinds: what does not beat, for tables and tests of calibration.
//!
//! Each kind draws its own parameters anew for each series, over scales from seconds to days. None is taken
//! from data: they are the textbook families (renewal, modulated, clustered, inhomogeneous) and simple models
//! of people (sessions, working hours). Times become beats as the detector makes them.

use rand::Rng;
use rand::rngs::StdRng;

const DAY_S: f64 = 86_400.0;
/// Silence that parts two beats, as the detector documents it.
const PARTING_SILENCE_S: f64 = 2.0;

/// A kind of irregular process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Exponential gaps.
    Poisson,
    /// The same with stamps in whole seconds.
    PoissonWholeSeconds,
    /// Weibull gaps of shape 0.35..=1: heavier than exponential.
    Weibull,
    /// Log-normal gaps, sigma 0.9..=2.4.
    LogNormal,
    /// Bursts of connections, pages, pauses between sessions.
    Browsing,
    /// The same with pauses of days.
    BrowsingOverDays,
    /// Exponential gaps within working hours.
    WorkingHours,
    /// Weibull gaps within working hours.
    HeavyWorkingHours,
    /// About once a day within working hours.
    SparseWorkingHours,
    /// A mixture of two exponential scales.
    TwoScales,
    /// A Poisson process whose rate switches between two states.
    Modulated,
    /// Parents with a geometric number of children.
    Clustered,
    /// A Poisson process whose rate follows a daily wave.
    DailyWave,
    /// Log-normal gaps whose level jumps, stamps in whole seconds.
    LevelShifts,
}

/// All kinds.
pub(crate) const KINDS: [Kind; 14] = [
    Kind::Poisson,
    Kind::PoissonWholeSeconds,
    Kind::Weibull,
    Kind::LogNormal,
    Kind::Browsing,
    Kind::BrowsingOverDays,
    Kind::WorkingHours,
    Kind::HeavyWorkingHours,
    Kind::SparseWorkingHours,
    Kind::TwoScales,
    Kind::Modulated,
    Kind::Clustered,
    Kind::DailyWave,
    Kind::LevelShifts,
];

type Step = Box<dyn FnMut(&mut StdRng, f64) -> f64>;

/// Beats of one series: `count` times in seconds, ascending. `None` when the process made too few of them
/// in a bounded number of events (all of its events are one burst).
pub(crate) fn beats(kind: Kind, count: usize, rng: &mut StdRng) -> Option<Vec<f64>> {
    let whole_seconds = matches!(kind, Kind::PoissonWholeSeconds | Kind::LevelShifts);
    let mut step = process(kind, rng);
    let (start, mut time) = (uniform(rng, 0.0, DAY_S), 0.0);
    let mut previous = f64::NEG_INFINITY;
    let mut beats = Vec::with_capacity(count);
    for _ in 0..400 * count + 20_000 {
        time = step(rng, time);
        let stamp = if whole_seconds {
            (start + time).floor()
        } else {
            start + time
        };
        if stamp - previous > PARTING_SILENCE_S {
            beats.push(stamp);
            if beats.len() == count {
                return Some(beats);
            }
        }
        previous = stamp;
    }
    None
}

fn process(kind: Kind, rng: &mut StdRng) -> Step {
    match kind {
        Kind::Poisson => renewal(log_uniform(rng, 0.4, 80_000.0), 1.0),
        Kind::PoissonWholeSeconds => renewal(log_uniform(rng, 0.7, 600.0), 1.0),
        Kind::Weibull => renewal(log_uniform(rng, 1.0, 60_000.0), uniform(rng, 0.35, 1.0)),
        Kind::LogNormal => {
            let (median, sigma) = (log_uniform(rng, 1.0, 40_000.0), uniform(rng, 0.9, 2.4));
            Box::new(move |rng, time| time + median * (sigma * normal(rng)).exp())
        }
        Kind::Browsing => browsing(rng, 0.0),
        Kind::BrowsingOverDays => {
            let share = uniform(rng, 0.0, 0.12);
            browsing(rng, share)
        }
        Kind::WorkingHours => working_hours(rng, (20.0, 20_000.0), (1.0, 1.0)),
        Kind::HeavyWorkingHours => working_hours(rng, (20.0, 20_000.0), (0.35, 0.95)),
        Kind::SparseWorkingHours => working_hours(rng, (3_600.0, 60_000.0), (0.35, 0.95)),
        Kind::TwoScales => two_scales(rng),
        Kind::Modulated => modulated(rng),
        Kind::Clustered => clustered(rng),
        Kind::DailyWave => daily_wave(rng),
        Kind::LevelShifts => level_shifts(rng),
    }
}

fn renewal(scale: f64, shape: f64) -> Step {
    Box::new(move |rng, time| time + scale * weibull(rng, shape))
}

fn browsing(rng: &mut StdRng, share_of_days: f64) -> Step {
    let (page, sigma) = (log_uniform(rng, 8.0, 60.0), uniform(rng, 1.1, 1.8));
    let (share_of_pauses, pause) = (uniform(rng, 0.03, 0.5), log_uniform(rng, 1_800.0, 14_400.0));
    let new_page = uniform(rng, 0.3, 0.6);
    Box::new(move |rng, time| {
        if rng.random::<f64>() > new_page {
            return time + 0.7 * exponential(rng);
        }
        let which = rng.random::<f64>();
        time + if which < share_of_days {
            3_600.0 * uniform(rng, 10.0, 72.0)
        } else if which < share_of_days + share_of_pauses {
            pause * normal(rng).exp()
        } else {
            page * (sigma * normal(rng)).exp()
        }
    })
}

/// Events outside the working hours of each day are left out.
fn working_hours(rng: &mut StdRng, scales: (f64, f64), shapes: (f64, f64)) -> Step {
    let (scale, shape) = (
        log_uniform(rng, scales.0, scales.1),
        uniform(rng, shapes.0, shapes.1),
    );
    let (begin_h, end_h) = (uniform(rng, 7.0, 10.5), uniform(rng, 15.5, 20.0));
    let (jitter_h, presence) = (uniform(rng, 0.1, 1.2), uniform(rng, 0.8, 1.0));
    let weekends_off = rng.random::<f64>() < 0.7;
    let mut today = (f64::NEG_INFINITY, 0.0, 0.0);
    Box::new(move |rng, mut time| {
        for _ in 0..3_000 {
            time += scale * weibull(rng, shape);
            let day = (time / DAY_S).floor();
            if day > today.0 {
                let off = weekends_off && day.rem_euclid(7.0) >= 5.0;
                let here = !off && rng.random::<f64>() < presence;
                let end = end_h + jitter_h * normal(rng);
                today = (
                    day,
                    begin_h + jitter_h * normal(rng),
                    if here { end } else { 0.0 },
                );
            }
            let hour = (time - day * DAY_S) / 3_600.0;
            if hour > today.1 && hour < today.2 {
                return time;
            }
            if hour >= today.2 {
                time = (day + 1.0) * DAY_S;
            }
        }
        time
    })
}

fn two_scales(rng: &mut StdRng) -> Step {
    let short = log_uniform(rng, 1.5, 1_500.0);
    let (long, share) = (short * log_uniform(rng, 5.0, 300.0), uniform(rng, 0.1, 0.6));
    Box::new(move |rng, time| {
        let scale = if rng.random::<f64>() < share {
            long
        } else {
            short
        };
        time + scale * exponential(rng)
    })
}

fn modulated(rng: &mut StdRng) -> Step {
    let short = log_uniform(rng, 1.0, 600.0);
    let long = short * log_uniform(rng, 5.0, 100.0);
    let stay = [
        short * log_uniform(rng, 3.0, 60.0),
        long * log_uniform(rng, 1.0, 30.0),
    ];
    let mut state = 0;
    let mut left = stay[0];
    Box::new(move |rng, mut time| {
        loop {
            let gap = [short, long][state] * exponential(rng);
            if gap < left {
                left -= gap;
                return time + gap;
            }
            time += left;
            state = 1 - state;
            left = stay[state] * exponential(rng);
        }
    })
}

fn clustered(rng: &mut StdRng) -> Step {
    let scale = log_uniform(rng, 20.0, 40_000.0);
    let (children, near) = (uniform(rng, 0.2, 0.7), scale * log_uniform(rng, 0.003, 0.3));
    Box::new(move |rng, time| {
        let scale = if rng.random::<f64>() < children {
            near
        } else {
            scale
        };
        time + scale * exponential(rng)
    })
}

fn daily_wave(rng: &mut StdRng) -> Step {
    let scale = log_uniform(rng, 20.0, 30_000.0);
    let (amplitude, phase) = (uniform(rng, 0.3, 1.0), uniform(rng, 0.0, 1.0));
    Box::new(move |rng, mut time| {
        loop {
            time += scale * exponential(rng);
            let wave = (std::f64::consts::TAU * (time / DAY_S + phase)).sin();
            if rng.random::<f64>() < f64::midpoint(1.0, amplitude * wave) {
                return time;
            }
        }
    })
}

fn level_shifts(rng: &mut StdRng) -> Step {
    let (scale, sigma) = (log_uniform(rng, 3.0, 20_000.0), uniform(rng, 0.8, 1.3));
    let mut level = scale;
    Box::new(move |rng, time| {
        if rng.random::<f64>() < 0.05 {
            level = scale * (1.5 * normal(rng)).exp();
        }
        time + level * (sigma * normal(rng)).exp()
    })
}

fn uniform(rng: &mut StdRng, low: f64, high: f64) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

fn log_uniform(rng: &mut StdRng, low: f64, high: f64) -> f64 {
    uniform(rng, low.ln(), high.ln()).exp()
}

/// Mean 1, by inversion.
fn exponential(rng: &mut StdRng) -> f64 {
    -(1.0 - rng.random::<f64>()).ln()
}

/// Scale 1, by inversion.
fn weibull(rng: &mut StdRng, shape: f64) -> f64 {
    exponential(rng).powf(1.0 / shape)
}

/// Standard normal, by Box and Muller.
fn normal(rng: &mut StdRng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}
