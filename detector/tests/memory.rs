//! What is kept when there is too much: bursts and floods.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use beaconwatch_detector::{
    Assessment, Context, Detector, Observation, Phase, Profile, SeriesKey, Settings, Timestamp,
    Transport,
};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_unix_seconds(1.7e9 + seconds).unwrap()
}

fn key(place: u32) -> SeriesKey {
    SeriesKey {
        host: Arc::from("host"),
        namespace: Arc::from(""),
        source: [10, 0, 0, 1].into(),
        destination: (0xc633_0000 + place).to_be_bytes().into(),
        destination_port: 443,
        transport: Transport::Tcp,
    }
}

fn opened(place: u32, seconds: f64, port: u16) -> Observation {
    Observation {
        source_port: port,
        ..Observation::new(at(seconds), Phase::Opened, key(place))
    }
}

fn detector(settings: Settings) -> Detector {
    Detector::new(Settings {
        profile: Profile::Evidence,
        max_lateness_s: 1e9,
        ..settings
    })
    .unwrap()
}

fn assess(detector: &Detector) -> Assessment {
    detector
        .assess(&key(0), at(1e7), &Context::default())
        .unwrap()
}

/// A burst of `size` starts within a minute at each beat of an hour.
fn bursts(beats: u32, size: u32, rng: &mut StdRng) -> Vec<Observation> {
    let mut all = Vec::new();
    for beat in 0..beats {
        let start_s = 3_600.0 * f64::from(beat) + rng.random_range(-100.0..100.0);
        for _ in 0..size {
            all.push(opened(
                0,
                start_s + rng.random_range(0.0..30.0),
                rng.random(),
            ));
        }
    }
    all
}

#[test]
fn bursts_of_more_starts_than_are_kept_do_not_wipe_the_history() {
    let mut rng = StdRng::seed_from_u64(3);
    let mut bursts = bursts(24, 600, &mut rng);
    bursts.sort_by_key(|it| it.time);
    let mut detector = detector(Settings::default());
    for observation in &bursts {
        detector.observe(at(1e7), observation);
    }
    let found = assess(&detector);
    assert_eq!(found.count, 24 * 600);
    assert!(detector.times(&key(0)).unwrap().len() <= 512);
    // Of 30 seconds at most 15 x 2 starts are kept: 512 hold the last seventeen beats.
    let evidence = found.evidence.unwrap();
    assert!(found.detected, "{evidence:?}");
    assert!((evidence.period_s - 3_600.0).abs() < 200.0, "{evidence:?}");
}

#[test]
fn what_is_kept_of_bursts_depends_on_no_order() {
    for seed in 0..30 {
        let mut rng = StdRng::seed_from_u64(seed);
        let settings = || Settings {
            max_starts_per_series: [20, 60, 150][usize::try_from(seed % 3).unwrap()],
            ..Settings::default()
        };
        let mut observations = bursts(6, 40, &mut rng);
        let mut first = detector(settings());
        for observation in &observations {
            first.observe(at(1e7), observation);
        }
        for _ in 0..5 {
            observations.shuffle(&mut rng);
            let mut other = detector(settings());
            for observation in &observations {
                other.observe(at(1e7), observation);
            }
            assert_eq!(first.times(&key(0)), other.times(&key(0)));
            assert_eq!(assess(&first), assess(&other));
        }
    }
}

#[test]
fn thinning_bursts_moves_no_beat() {
    // 300 starts with random silences; kept are 100 of them or all.
    let mut rng = StdRng::seed_from_u64(9);
    let mut time_s = 0.0;
    let all: Vec<Observation> = (0..3_000)
        .map(|_| {
            time_s += if rng.random::<f64>() < 0.02 {
                60.0
            } else {
                0.2
            };
            opened(0, time_s, 1)
        })
        .collect();
    let fed = |most: usize| {
        let mut detector = detector(Settings {
            max_starts_per_series: most,
            ..Settings::default()
        });
        for observation in &all {
            detector.observe(at(1e7), observation);
        }
        detector
    };
    let (thinned, whole) = (fed(2_999), fed(3_000));
    let kept = (
        thinned.times(&key(0)).unwrap().len(),
        whole.times(&key(0)).unwrap().len(),
    );
    assert!(kept.0 < 900 && kept.1 == 3_000, "{kept:?}");
    let (thinned, whole) = (
        assess(&thinned).evidence.unwrap(),
        assess(&whole).evidence.unwrap(),
    );
    assert_eq!(
        thinned.p_value.total_cmp(&whole.p_value),
        std::cmp::Ordering::Equal
    );
    assert_eq!(
        thinned.period_s.total_cmp(&whole.period_s),
        std::cmp::Ordering::Equal
    );
}

#[test]
fn a_slow_beacon_of_few_beats_survives_a_flood_of_single_connections() {
    // Twelve hours between beats. Its second one comes before the table has turned over; from then on the table
    // turns over six times between two beats.
    let mut detector = detector(Settings {
        max_series: 5_000,
        ..Settings::default()
    });
    let mut flood = 1;
    for (beat, size) in [3_000, 30_000, 30_000, 30_000, 30_000]
        .into_iter()
        .enumerate()
    {
        let beat_s = f64::from(u8::try_from(beat).unwrap()) * 43_200.0;
        detector.observe(at(beat_s), &opened(0, beat_s, 1));
        for place in 0..size {
            let time_s = beat_s + 43_200.0 * f64::from(place) / f64::from(size);
            detector.observe(at(time_s), &opened(flood, time_s, 1));
            flood += 1;
        }
        detector.analyse(at(beat_s + 43_200.0), &Context::default());
    }
    let kept = detector.times(&key(0)).map_or(0, |times| times.len());
    assert_eq!(kept, 5, "beats of the slow beacon that are left");
    assert!(detector.counters().evicted > 100_000);
}
