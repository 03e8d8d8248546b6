//! Features of a series: from an [`Assessment`] to numbers.
//!
//! Counts and sizes are taken as logarithms, shares as they are. The shape of a cadence counts as far as there is one:
//! `certainty = clip(-log10 p / 3, 0, 1)`. What is unknown has a value of its own that
//! stands in the table ("else"), so that no feature is ever NaN or infinite, whatever the assessment holds.
//!
//! Evidence is there only when the detector works with the profile `evidence`; without it the features of the
//! cadence say "unknown".

use std::net::IpAddr;

use beaconwatch_detector::evidence::{Evidence, Source};
use beaconwatch_detector::{Assessment, Transport};

use crate::feature::{Feature, feature};
use crate::number::real_u64;

/// Ports of the web, where both browsers and most implants talk.
const WEB_PORTS: &[u16] = &[80, 443, 8080, 8443];
/// Ports of the services that a network runs for itself: names, time, addresses, directory, mail, files, shells,
/// monitoring, discovery, push. IANA's service names.
const SERVICE_PORTS: &[u16] = &[
    22, 25, 53, 67, 68, 88, 110, 123, 135, 137, 138, 139, 143, 161, 162, 389, 445, 465, 514, 587,
    636, 853, 993, 995, 1900, 3268, 3389, 5222, 5228, 5353, 5355, 9100,
];
/// Log-odds of the score before any evidence.
const NO_EVIDENCE: f64 = -1.945_910_149_055_313_2;
/// Decades of the p-value from which a cadence is certain enough to look at its shape.
const CERTAIN_DECADES: f64 = 3.0;
/// Logarithm of the bytes of a connection whose size is not known: about 500, which says nothing.
const UNKNOWN_BYTES: f64 = 2.7;
/// Largest value of a logarithm: bytes and counts of 64 bits stay below it.
const LARGEST: f64 = 20.0;

/// The features, in order.
pub(crate) const FEATURES: &[Feature] = &[
    feature(
        "evidence",
        "log-odds, -6 to 12; else -1.95",
        "the detector's score by the method evidence",
    ),
    feature(
        "cadence",
        "-log10 p, 0 to 12; else 0",
        "sharpness of the cadence",
    ),
    feature(
        "explained",
        "share x certainty; else 0",
        "share of the gaps that the period explains",
    ),
    feature(
        "half_width",
        "relative to the period x certainty; else 0",
        "jitter around the period",
    ),
    feature(
        "misses",
        "share x certainty; else 0",
        "share of beats that were missed",
    ),
    feature(
        "clock",
        "0 or 1 x certainty; else 0",
        "beats keep to the clock",
    ),
    feature(
        "period",
        "log10 s; else of the median interval, else 0",
        "length of the period",
    ),
    feature("beats", "log10(1 + number); else 0", "number of beats"),
    feature(
        "spread",
        "share of the hours; else 0",
        "hours with a beat among those that could have one",
    ),
    feature(
        "active_hours",
        "log10(1 + hours); else 0",
        "number of hours with a beat",
    ),
    feature(
        "longest_run",
        "log10(1 + hours); else 0",
        "hours with a beat without a pause",
    ),
    feature("activity", "0 or 1", "beats are inside live connections"),
    feature(
        "variation",
        "ln(1 + coefficient of variation); else 1",
        "variation of the intervals",
    ),
    feature(
        "deviation",
        "median absolute deviation over median, at most 2; else 1",
        "typical deviation from the median interval",
    ),
    feature("connections", "log10(1 + number)", "number of connections"),
    feature(
        "rate",
        "log10(1 + number an hour), hours at least 1",
        "connections an hour",
    ),
    feature(
        "bytes_out",
        "log10(1 + bytes a connection); else 2.7",
        "bytes sent in a connection",
    ),
    feature(
        "bytes_in",
        "log10(1 + bytes a connection); else 2.7",
        "bytes received in a connection",
    ),
    feature(
        "symmetry",
        "(out - in) / (out + in); else 0",
        "more sent than received",
    ),
    feature(
        "bytes_known",
        "0 or 1",
        "anything was carried, and its size is known",
    ),
    feature("web_port", "0 or 1", "port 80, 443, 8080 or 8443"),
    feature("service_port", "0 or 1", "port of a network's own service"),
    feature("udp", "0 or 1", "UDP"),
    feature(
        "inside",
        "0 or 1",
        "destination inside the network (private or local address, multicast)",
    ),
    feature("named", "0 or 1", "name of the server known"),
    feature("process", "0 or 1", "process known"),
];

/// The features of [`crate::FeatureSet::Series`], in their order; all finite.
///
/// # Example
/// ```
/// use std::sync::Arc;
///
/// use beaconwatch_detector::{
///     Context, Detector, Observation, Phase, Profile, SeriesKey, Settings, Timestamp, Transport,
/// };
/// use beaconwatch_learning::{FeatureSet, Model, series_features};
///
/// let key = SeriesKey {
///     host: Arc::from("web-3"),
///     namespace: Arc::from("host"),
///     source: "192.0.2.10".parse()?,
///     destination: "198.51.100.7".parse()?,
///     destination_port: 443,
///     transport: Transport::Tcp,
/// };
/// let mut settings = Settings::default();
/// settings.profile = Profile::Evidence;
/// let mut detector = Detector::new(settings)?;
/// for beat in 0..60 {
///     let time = Timestamp::from_unix_nanos(beat * 60_000_000_000);
///     detector.observe(time, &Observation::new(time, Phase::Opened, key.clone()));
/// }
/// let now = Timestamp::from_unix_nanos(3_600_000_000_000);
/// let found = detector.analyse(now, &Context::default());
/// let features = series_features(&found[0]);
/// assert_eq!(features.len(), FeatureSet::Series.features().len());
///
/// let risk = Model::builtin()?.assess(&features)?;
/// println!("{:.2}: {}", risk.risk, risk.reason());
/// assert!(risk.probability > 0.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn series_features(assessment: &Assessment) -> Vec<f64> {
    let mut features = Vec::with_capacity(FEATURES.len());
    features.extend(cadence(assessment));
    features.extend(intervals(assessment));
    features.extend(sizes(assessment));
    features.extend(place(assessment));
    for value in &mut features {
        if !value.is_finite() {
            *value = 0.0;
        }
    }
    features
}

fn cadence(assessment: &Assessment) -> [f64; 12] {
    let Some(evidence) = &assessment.evidence else {
        let period_s = assessment.intervals.map_or(1.0, |it| it.median_s);
        let mut unknown = [0.0; 12];
        // Of the twelve, these two have another value than 0 for what is unknown.
        let [log_odds, _, _, _, _, _, period, ..] = &mut unknown;
        (*log_odds, *period) = (NO_EVIDENCE, logarithm_of_seconds(period_s));
        return unknown;
    };
    let decades = -evidence.p_value.clamp(1e-12, 1.0).log10();
    // The best period of what has none has a width and misses, too: they are worth what the cadence is.
    let certainty = (decades / CERTAIN_DECADES).min(1.0);
    [
        evidence.log_odds().clamp(-6.0, 12.0),
        decades,
        evidence.explained.clamp(0.0, 1.0) * certainty,
        evidence.half_width.clamp(0.0, 2.0) * certainty,
        evidence.miss_rate.clamp(0.0, 1.0) * certainty,
        flag(evidence.clock_period_s.is_some()) * certainty,
        logarithm_of_seconds(evidence.period_s),
        logarithm(real_u64(evidence.beats)),
        spread(evidence),
        logarithm(f64::from(evidence.active_hours)),
        logarithm(f64::from(evidence.longest_run_h)),
        flag(evidence.source == Source::Activity),
    ]
}

/// Hours with a beat, of those in which there could have been one.
fn spread(evidence: &Evidence) -> f64 {
    let beats = u32::try_from(evidence.beats).unwrap_or(u32::MAX);
    let possible = beats.min(evidence.hours_of_life).max(1);
    (f64::from(evidence.active_hours) / f64::from(possible)).min(1.0)
}

fn intervals(assessment: &Assessment) -> [f64; 4] {
    let (variation, deviation) = assessment.intervals.map_or((1.0, 1.0), |it| {
        let deviation = it.median_absolute_deviation_s / it.median_s;
        let deviation = if deviation.is_finite() {
            deviation
        } else {
            1.0
        };
        let variation = it.coefficient_of_variation.max(0.0).ln_1p();
        (variation.min(LARGEST), deviation.clamp(0.0, 2.0))
    });
    let life = assessment.last_seen.saturating_since(assessment.first_seen);
    let hours = (life.as_secs_f64() / 3600.0).max(1.0);
    let count = real_u64(assessment.count);
    [
        variation,
        deviation,
        logarithm(count),
        logarithm(count / hours),
    ]
}

fn sizes(assessment: &Assessment) -> [f64; 4] {
    let connections = real_u64(assessment.count.max(1));
    let (out, back) = (
        real_u64(assessment.bytes_out),
        real_u64(assessment.bytes_in),
    );
    let total = out + back;
    if total <= 0.0 {
        return [UNKNOWN_BYTES, UNKNOWN_BYTES, 0.0, 0.0];
    }
    [
        logarithm(out / connections),
        logarithm(back / connections),
        (out - back) / total,
        1.0,
    ]
}

fn place(assessment: &Assessment) -> [f64; 6] {
    let key = &assessment.key;
    [
        flag(WEB_PORTS.contains(&key.destination_port)),
        flag(SERVICE_PORTS.contains(&key.destination_port)),
        flag(key.transport == Transport::Udp),
        flag(is_inside(key.destination)),
        flag(assessment.server_name.is_some()),
        flag(assessment.process.is_some()),
    ]
}

fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(it) => {
            it.is_private() || it.is_loopback() || it.is_link_local() || it.is_multicast()
        }
        IpAddr::V6(it) => match it.to_ipv4_mapped() {
            Some(it) => is_inside(IpAddr::V4(it)),
            None => {
                it.is_loopback()
                    || it.is_multicast()
                    || it.is_unique_local()
                    || it.is_unicast_link_local()
            }
        },
    }
}

fn flag(set: bool) -> f64 {
    f64::from(u8::from(set))
}

/// `log10(1 + value)` of a value of at least 0.
fn logarithm(value: f64) -> f64 {
    (1.0 + value.max(0.0)).log10().min(LARGEST)
}

/// `log10` of seconds, of 1 ms at least.
fn logarithm_of_seconds(seconds: f64) -> f64 {
    seconds.max(1e-3).log10().min(LARGEST)
}
