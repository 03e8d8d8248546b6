//! One source that talks irregularly to many destinations: what no view may take for a beacon.

use std::sync::Arc;

use beaconwatch_detector::evidence::Evidence;
use beaconwatch_detector::{
    Assessment, Context, Detector, Observation, Phase, Process, Profile, SeriesKey, Settings,
    Timestamp, Transport, ViewKind,
};
use rand::Rng as _;
use rand::rngs::StdRng;

use crate::irregular::{self, Kind};

/// What is known of a source whose destinations all are irregular: 2 to 40 of them, of one kind, with 1 to 200
/// beats each, half of the time of like numbers, lives and scales.
pub(crate) fn assess(kind: Kind, rng: &mut StdRng) -> Vec<Assessment> {
    let (mut detector, now) = (detector(), now());
    for observation in observations(kind, rng) {
        detector.observe(now, &observation);
    }
    detector.assess_all(now, &Context::default()).collect()
}

/// Smallest p-value of a view of such a source; 1 when none is reported.
pub(crate) fn smallest_p_of_views(kind: Kind, rng: &mut StdRng) -> f64 {
    views(assess(kind, rng)).fold(1.0, |smallest, evidence| smallest.min(evidence.p_value))
}

/// Smallest p-values of views at all looks up to one of them; 1 while none is reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looked {
    /// Starts of the source so far.
    pub(crate) starts: usize,
    /// Of those of one look.
    pub(crate) p: f64,
    /// Of those that hold at any look.
    pub(crate) p_any_look: f64,
}

/// Looks at such a source again and again as its starts come, at most so many of them: whenever they have grown by
/// this share since the last look, so at every start where it is 0.
pub(crate) fn watch(kind: Kind, most: usize, growth: f64, rng: &mut StdRng) -> Vec<Looked> {
    watch_all(&observations(kind, rng), most, growth)
}

/// The same of given observations in the order of their times.
pub(crate) fn watch_all(all: &[Observation], most: usize, growth: f64) -> Vec<Looked> {
    let (mut detector, now) = (detector(), now());
    let (mut looks, mut so_far) = (Vec::new(), (1.0_f64, 1.0_f64));
    let mut next = 1.0;
    for (starts, observation) in (1..=most).zip(all) {
        detector.observe(now, observation);
        if as_real(starts) < next {
            continue;
        }
        next = as_real(starts) * (1.0 + growth);
        for evidence in views(detector.analyse(now, &Context::default())) {
            so_far.0 = so_far.0.min(evidence.p_value);
            so_far.1 = so_far.1.min(evidence.p_value_any_look);
        }
        looks.push(Looked {
            starts,
            p: so_far.0,
            p_any_look: so_far.1,
        });
    }
    looks
}

fn views(found: Vec<Assessment>) -> impl Iterator<Item = Evidence> {
    let views = found.into_iter();
    views
        .filter(|found| found.view.kind != ViewKind::Pair)
        .filter_map(|found| found.evidence)
}

fn detector() -> Detector {
    Detector::new(Settings {
        profile: Profile::Evidence,
        max_lateness_s: 1e10,
        ..Settings::default()
    })
    .expect("the settings are valid")
}

fn now() -> Timestamp {
    Timestamp::from_unix_seconds(2e9).expect("a time")
}

fn as_real(starts: usize) -> f64 {
    u32::try_from(starts).map_or(f64::INFINITY, f64::from)
}

/// What such a source does, in the order of time.
pub(crate) fn observations(kind: Kind, rng: &mut StdRng) -> Vec<Observation> {
    let destinations: u8 = rng.random_range(2..=40);
    let (alike, most): (bool, f64) = (rng.random(), rng.random_range(1.0..200.0));
    let shared = (rng.random::<bool>(), rng.random::<bool>());
    let mut all = Vec::new();
    let mut span_s = 0.0;
    for destination in 0..destinations {
        let count = if alike {
            most * rng.random_range(0.7..1.3)
        } else {
            rng.random_range(0.0..200_f64.ln()).exp()
        };
        let Some(mut beats) = irregular::beats(kind, 1 + whole(count), rng) else {
            continue;
        };
        let (first, last) = (beats[0], beats[beats.len() - 1]);
        if alike && span_s > 0.0 && last > first {
            // The same life for all: their rates are alike then.
            let stretch = span_s / (last - first) * rng.random_range(0.95..1.05);
            for beat in &mut beats {
                *beat = first + (*beat - first) * stretch;
            }
        } else {
            span_s = last - first;
        }
        all.extend(
            beats
                .iter()
                .filter_map(|beat| observation(destination, *beat - first, shared)),
        );
    }
    all.sort_by_key(|it| it.time);
    all
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small positive number"
)]
fn whole(count: f64) -> usize {
    count as usize
}

fn observation(destination: u8, time_s: f64, shared: (bool, bool)) -> Option<Observation> {
    let key = SeriesKey {
        host: Arc::from("h"),
        namespace: Arc::from(""),
        source: [10, 0, 0, 1].into(),
        destination: [198, 51, 100, destination].into(),
        destination_port: 443,
        transport: Transport::Tcp,
    };
    let time = Timestamp::from_unix_seconds(1.7e9 + time_s)?;
    Some(Observation {
        server_name: shared
            .0
            .then(|| Arc::from(format!("n{}.example.org", destination % 3))),
        process: shared.1.then(|| {
            Arc::new(Process {
                name: Some(Arc::from("agent")),
                ..Process::default()
            })
        }),
        ..Observation::new(time, Phase::Whole, key)
    })
}
