//! Simulated traffic to learn from: beacons of many schedules, irregular traffic, and benign series that beat.
//!
//! No figure comes from captured data. Schedules of beacons are those that implants document (a sleep that jitter
//! shortens, lengthens or spreads around, missed beats, working hours, tasking, another sleep half way); irregular traffic
//! is of textbook processes; benign beats are those that everybody's machines have (time, updates, telemetry, monitoring,
//! mail, push, discovery). Whether a server's name or a process is known is drawn without regard to the label: it says what
//! sensor there was.
//!
//! Everything follows from a seed.

mod dice;
mod routines;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use beaconwatch_detector::{
    Assessment, Context, Detector, Observation, Phase, Process, Profile, SeriesKey, Settings,
    SettingsError, Timestamp, Transport,
};
use beaconwatch_learning::{Example, series_features};

use dice::Dice;
use routines::benign_beats;

const DAY_S: f64 = 86_400.0;
/// When all simulated time begins: a Monday.
const START_S: f64 = 1_735_516_800.0;
const LONGEST_LIFE_S: f64 = 14.0 * DAY_S;
/// Series of one host.
const SERIES_OF_A_HOST: u32 = 8;

/// How many of each kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) beacons: u32,
    pub(crate) irregular: u32,
    pub(crate) benign_beats: u32,
}

/// Where a series goes and what it carries.
#[derive(Clone, Copy, Debug)]
struct Place {
    port: u16,
    transport: Transport,
    inside: bool,
    /// Typical bytes of a connection, out and in.
    bytes: (f64, f64),
    /// How much they vary: standard deviation of their logarithm.
    spread: f64,
    /// Nobody answers: nothing is carried.
    unanswered: bool,
}

/// Examples from so many simulated series.
pub(crate) fn examples(seed: u64, sizes: Sizes) -> Result<Vec<Example>, SettingsError> {
    let mut settings = Settings {
        max_lateness_s: 2.0 * LONGEST_LIFE_S,
        ..Settings::default()
    };
    settings.profile = Profile::Evidence;
    let mut detector = Detector::new(settings)?;
    let now = Timestamp::from_unix_nanos(nanos(START_S + LONGEST_LIFE_S + DAY_S));
    let mut dice = Dice::new(seed);
    let mut labels = Vec::new();
    let (beacons, irregular) = (sizes.beacons, sizes.beacons + sizes.irregular);
    let all = irregular + sizes.benign_beats;
    let hosts = (all / SERIES_OF_A_HOST).max(1);
    for number in 0..all {
        let (times, place) = if number < beacons {
            (beacon_times(&mut dice), beacon_place(&mut dice))
        } else if number < irregular {
            (irregular_times(&mut dice), irregular_place(&mut dice))
        } else {
            benign_beats(&mut dice)
        };
        // Hosts hold series of all kinds.
        let host = number % hosts;
        let key = observe(&mut detector, &mut dice, now, (number, host), &times, place);
        labels.push((key, number < beacons));
    }
    let known = |(key, malicious): (SeriesKey, bool)| {
        let assessment = detector.assess(&key, now, &Context::default())?;
        Some(example(&assessment, malicious))
    };
    Ok(labels.into_iter().filter_map(known).collect())
}

fn example(assessment: &Assessment, malicious: bool) -> Example {
    let key = &assessment.key;
    Example {
        features: series_features(assessment),
        label: malicious,
        host: key.source.to_string().into(),
        pair: format!("{} {}", key.source, key.destination).into(),
    }
}

fn observe(
    detector: &mut Detector,
    dice: &mut Dice,
    now: Timestamp,
    (number, host): (u32, u32),
    times: &[f64],
    place: Place,
) -> SeriesKey {
    let outside = 0x2000_0000 + number;
    let inside = 0x0a80_0000 + number % 200;
    let key = SeriesKey {
        host: Arc::from("sensor"),
        namespace: Arc::from(""),
        source: IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + host)),
        destination: IpAddr::V4(Ipv4Addr::from_bits(if place.inside {
            inside
        } else {
            outside
        })),
        destination_port: place.port,
        transport: place.transport,
    };
    let (named, process, sized) = (dice.chance(0.6), dice.chance(0.5), dice.chance(0.85));
    let sized = sized && !place.unanswered;
    for time_s in times {
        let time = Timestamp::from_unix_nanos(nanos(START_S + time_s));
        let mut seen = Observation::new(time, Phase::Whole, key.clone());
        if sized {
            let (out, back) = place.bytes;
            seen.bytes_out = Some(bytes(out * (place.spread * dice.normal()).exp()));
            seen.bytes_in = Some(bytes(back * (place.spread * dice.normal()).exp()));
        }
        seen.server_name = named.then(|| Arc::from("server.example"));
        seen.process = process.then(|| Arc::new(Process::default()));
        detector.observe(now, &seen);
    }
    key
}

#[expect(clippy::cast_possible_truncation, reason = "seconds of our days fit")]
fn nanos(seconds: f64) -> i64 {
    (seconds * 1e9) as i64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive size"
)]
fn bytes(size: f64) -> u64 {
    size.clamp(0.0, 1e9) as u64
}

/// Ways in which jitter changes a sleep.
#[derive(Clone, Copy)]
enum Jitter {
    Shortens,
    Lengthens,
    Around,
    Normal,
}

fn beacon_times(dice: &mut Dice) -> Vec<f64> {
    let mut period_s = dice.scale(5.0, 6.0 * 3600.0);
    let width = if dice.chance(0.25) {
        0.0
    } else {
        dice.between(0.0, 0.8)
    };
    let kinds = [
        Jitter::Shortens,
        Jitter::Lengthens,
        Jitter::Around,
        Jitter::Normal,
    ];
    let jitter = dice
        .weighted(&kinds.map(|kind| (1.0, kind)))
        .unwrap_or(Jitter::Around);
    let (missed, wanted) = (missed_share(dice), dice.scale(6.0, 400.0));
    let (switches, working_hours) = (dice.chance(0.1), dice.chance(0.1));
    let tasking = if dice.chance(0.15) { 0.03 } else { 0.0 };
    let whole_seconds = dice.chance(0.3);
    let mut at_s = dice.between(0.0, DAY_S);
    let (mut times, mut beats) = (Vec::new(), 0.0);
    while beats < wanted && at_s < LONGEST_LIFE_S {
        if switches && beats < wanted / 2.0 && beats + 1.0 >= wanted / 2.0 {
            period_s *= dice.scale(0.1, 10.0);
        }
        if !dice.chance(missed) && (!working_hours || at_work(at_s)) {
            times.push(at_s);
            if dice.chance(tasking) {
                burst(dice, &mut times, at_s);
            }
        }
        beats += 1.0;
        at_s += (period_s * jitter.factor(width, dice)).max(1.0);
    }
    if whole_seconds {
        for it in &mut times {
            *it = it.floor();
        }
    }
    times
}

impl Jitter {
    /// What a sleep is multiplied by.
    fn factor(self, width: f64, dice: &mut Dice) -> f64 {
        match self {
            Self::Shortens => 1.0 - width * dice.unit(),
            Self::Lengthens => 1.0 + width * dice.unit(),
            Self::Around => 1.0 + width * dice.between(-1.0, 1.0),
            Self::Normal => 1.0 + width / 2.0 * dice.normal().clamp(-1.9, 1.9),
        }
    }
}

/// Share of beats that are missed.
fn missed_share(dice: &mut Dice) -> f64 {
    if dice.chance(0.6) {
        0.0
    } else {
        dice.between(0.05, 0.5)
    }
}

/// Some quick connections more, as when an implant has work to do.
fn burst(dice: &mut Dice, times: &mut Vec<f64>, after_s: f64) {
    let mut later_s = after_s;
    let mut left = dice.between(1.0, 20.0);
    while left >= 1.0 {
        later_s += dice.exponential(1.0);
        times.push(later_s);
        left -= 1.0;
    }
}

fn beacon_place(dice: &mut Dice) -> Place {
    let high = dice.between(1024.0, 65_535.0);
    // The server of an implant may be down.
    let unanswered = dice.chance(0.05);
    let port = dice.weighted(&[
        (0.55, 443),
        (0.2, 80),
        (0.05, 8080),
        (0.03, 8443),
        (0.04, 53),
        (0.13, 0),
    ]);
    let port = port.filter(|port| *port != 0).unwrap_or(whole_port(high));
    let udp = port == 53 || (port > 9000 && dice.chance(0.2));
    Place {
        port,
        transport: if udp { Transport::Udp } else { Transport::Tcp },
        inside: dice.chance(0.03),
        bytes: (dice.scale(80.0, 4000.0), dice.scale(80.0, 20_000.0)),
        spread: dice.scale(0.02, 0.8),
        unanswered,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "drawn below 65 536"
)]
fn whole_port(port: f64) -> u16 {
    port as u16
}

/// Ways of irregular traffic.
#[derive(Clone, Copy)]
enum Gaps {
    Exponential,
    LogNormal,
    Weibull,
    Sessions,
    TwoRates,
}

fn irregular_times(dice: &mut Dice) -> Vec<f64> {
    let kinds = [
        Gaps::Exponential,
        Gaps::LogNormal,
        Gaps::Weibull,
        Gaps::Sessions,
        Gaps::TwoRates,
    ];
    let kind = dice
        .weighted(&kinds.map(|kind| (1.0, kind)))
        .unwrap_or(Gaps::Exponential);
    let mean_s = dice.scale(5.0, 6.0 * 3600.0);
    let (wanted, shape) = (dice.scale(5.0, 400.0), dice.unit());
    let working_hours = dice.chance(0.4);
    let mut at_s = dice.between(0.0, DAY_S);
    let (mut times, mut drawn, mut fast) = (Vec::new(), 0.0, false);
    while drawn < wanted && at_s < LONGEST_LIFE_S {
        if !working_hours || at_work(at_s) {
            times.push(at_s);
            drawn += 1.0;
        }
        at_s += match kind {
            Gaps::Exponential => dice.exponential(mean_s),
            Gaps::LogNormal => mean_s * ((0.9 + 1.5 * shape) * dice.normal()).exp(),
            Gaps::Weibull => mean_s * dice.exponential(1.0).powf(1.0 / (0.4 + 0.6 * shape)),
            Gaps::Sessions if dice.chance(0.85) => dice.exponential(2.0 + 20.0 * shape),
            Gaps::Sessions => dice.exponential(5.0 * mean_s),
            Gaps::TwoRates => {
                fast ^= dice.chance(0.1);
                dice.exponential(if fast { mean_s / 20.0 } else { mean_s })
            }
        };
    }
    times
}

fn irregular_place(dice: &mut Dice) -> Place {
    let high = dice.between(1024.0, 65_535.0);
    // Scans and services that are gone: any port.
    let unanswered = dice.chance(0.15);
    let (port, inside) = dice
        .weighted(&[
            (0.62, (443, false)),
            (0.1, (80, false)),
            (0.08, (53, true)),
            (0.03, (445, true)),
            (0.03, (389, true)),
            (0.02, (22, true)),
            (0.04, (443, true)),
            (0.03, (993, false)),
            (0.05, (0, false)),
        ])
        .unwrap_or((443, false));
    Place {
        port: if port == 0 || (unanswered && dice.chance(0.7)) {
            whole_port(high)
        } else {
            port
        },
        transport: if port == 53 || dice.chance(0.15) {
            Transport::Udp
        } else {
            Transport::Tcp
        },
        inside,
        bytes: (dice.scale(80.0, 8000.0), dice.scale(100.0, 100_000.0)),
        spread: dice.between(0.3, 1.8),
        unanswered,
    }
}

/// Monday to Friday, 8 to 18 o'clock.
fn at_work(at_s: f64) -> bool {
    let day = (at_s / DAY_S).floor() % 7.0;
    let hour = at_s % DAY_S / 3600.0;
    day < 5.0 && (8.0..18.0).contains(&hour)
}
