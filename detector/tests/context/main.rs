//! Context through its public interface: what it weighs, what it marks, sketches, the catalogue and lists.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod catalogue;
mod intelligence;
mod sketches;
mod weights;

use std::sync::Arc;

use beaconwatch_detector::{
    Assessment, Context, Detector, Observation, Phase, Process, Profile, SeriesKey, Settings,
    Timestamp, Transport,
};

/// Begin of all traffic here.
const START_S: f64 = 1_763_800_000.0;

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_unix_seconds(START_S + seconds).unwrap()
}

fn key(source: &str, destination: &str, port: u16, transport: Transport) -> SeriesKey {
    SeriesKey {
        host: Arc::from(""),
        namespace: Arc::from(""),
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        destination_port: port,
        transport,
    }
}

fn web() -> SeriesKey {
    key("10.0.0.1", "198.51.100.7", 443, Transport::Tcp)
}

fn process(name: &str, path: &str) -> Arc<Process> {
    Arc::new(Process {
        name: (!name.is_empty()).then(|| Arc::from(name)),
        executable: (!path.is_empty()).then(|| Arc::from(path)),
        ..Process::default()
    })
}

fn detector() -> Detector {
    Detector::new(Settings {
        profile: Profile::Evidence,
        max_lateness_s: 1e9,
        max_clock_skew_s: 1e9,
        ..Settings::default()
    })
    .unwrap()
}

/// Whole connections at these seconds, changed as told, and how they are assessed.
fn assess_times(
    key: &SeriesKey,
    times_s: &[f64],
    context: &Context,
    change: impl Fn(&mut Observation),
) -> Assessment {
    let mut detector = detector();
    let last = times_s.iter().copied().fold(0.0, f64::max);
    for time_s in times_s {
        let mut seen = Observation::new(at(*time_s), Phase::Whole, key.clone());
        change(&mut seen);
        detector.observe(at(last), &seen);
    }
    detector.assess(key, at(last), context).unwrap()
}

/// A beacon of one beat a minute for an hour.
fn minutes() -> Vec<f64> {
    (0..60).map(|beat| 60.0 * f64::from(beat)).collect()
}

/// The same number of beats without a cadence: a random walk's exponential gaps.
fn irregular() -> Vec<f64> {
    let mut time = 0.0;
    (1..60)
        .map(|beat| {
            let uniform = (f64::from(beat) * 0.618_033_988_749_894_9).fract();
            time += 3.0 - 60.0 * uniform.ln();
            time
        })
        .collect()
}

fn assess(key: &SeriesKey, context: &Context, change: impl Fn(&mut Observation)) -> Assessment {
    assess_times(key, &minutes(), context, change)
}

fn contribution(assessment: &Assessment, name: &str) -> Option<f64> {
    let signal = assessment.signals.iter().find(|it| &*it.name == name)?;
    Some(signal.contribution)
}

fn text<'a>(assessment: &'a Assessment, name: &str) -> &'a str {
    let signal = assessment.signals.iter().find(|it| &*it.name == name);
    &signal.unwrap().text
}
