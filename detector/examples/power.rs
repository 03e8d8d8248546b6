//! How many beats it takes: beacons of several schedules, looked at after every beat.
//!
//! `cargo run --release --package beaconwatch-detector --example power -- [SERIES]` prints, as CSV, for each schedule
//! and number of beats the medians over so many series of the p-value of one look, of the p-value that holds at
//! any look, and of the score.
#![expect(clippy::print_stdout, reason = "a program")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use beaconwatch_detector::{
    Context, Detector, Observation, Phase, SeriesKey, Settings, Timestamp, Transport,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

const SEED: u64 = 4_711;
const PERIOD_S: f64 = 60.0;
const MOST_BEATS: usize = 64;
/// Name, half-width of the jitter relative to the period, share of missed beats.
const SCHEDULES: [(&str, f64, f64); 5] = [
    ("no jitter", 0.0, 0.0),
    ("±20 %", 0.2, 0.0),
    ("±20 %, 30 % missed", 0.2, 0.3),
    ("±50 %", 0.5, 0.0),
    ("±80 %", 0.8, 0.0),
];

fn main() {
    let series = std::env::args().nth(1).map_or(Ok(400), |text| text.parse());
    let series: usize = series.expect("the number of series is a whole number");
    println!("schedule,beats,p_value,p_value_any_look,score");
    for (name, jitter, missed) in SCHEDULES {
        let mut looks = vec![Vec::new(); MOST_BEATS + 1];
        let mut rng = StdRng::seed_from_u64(SEED);
        for _ in 0..series {
            follow(jitter, missed, &mut rng, &mut looks);
        }
        for (beats, looks) in looks.iter().enumerate().filter(|(_, it)| !it.is_empty()) {
            let median = |pick: fn(&[f64; 3]) -> f64| {
                let mut values: Vec<f64> = looks.iter().map(pick).collect();
                values.sort_unstable_by(f64::total_cmp);
                values[values.len() / 2]
            };
            let (one, any, score) = (median(|it| it[0]), median(|it| it[1]), median(|it| it[2]));
            println!("\"{name}\",{beats},{one:e},{any:e},{score:.4}");
        }
    }
}

/// Looks at one beacon after each of its beats.
fn follow(jitter: f64, missed: f64, rng: &mut StdRng, looks: &mut [Vec<[f64; 3]>]) {
    let mut detector = Detector::new(Settings::default()).expect("the defaults are valid");
    let anywhere = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let key = SeriesKey {
        host: Arc::from(""),
        namespace: Arc::from(""),
        source: anywhere,
        destination: anywhere,
        destination_port: 443,
        transport: Transport::Tcp,
    };
    let mut time_s = rng.random_range(1e9..1.1e9);
    for looks in looks.iter_mut().skip(1) {
        #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970")]
        let at = Timestamp::from_unix_nanos((time_s * 1e9) as i64);
        detector.observe(at, &Observation::new(at, Phase::Opened, key.clone()));
        for found in detector.analyse(at, &Context::default()) {
            if let Some(evidence) = found.evidence {
                looks.push([evidence.p_value, evidence.p_value_any_look, found.score]);
            }
        }
        loop {
            time_s += PERIOD_S * (1.0 + jitter * rng.random_range(-1.0..=1.0));
            if !rng.random_bool(missed) {
                break;
            }
        }
    }
}
