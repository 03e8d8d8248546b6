//! The evidence through its public interface: against an oracle, and what each kind of schedule gives.
//!
//! `tests/oracle/evidence.py` writes `tests/oracle/evidence.json`; it shares nothing with this code.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use beaconwatch_detector::evidence::{
    CadenceMeter, Evidence, Source, clock_rhythm, e_value, looks_factor, p_value,
};
use beaconwatch_detector::{
    Assessment, Context, Detector, Observation, Phase, Profile, SeriesKey, Settings, Timestamp,
    Transport,
};
use serde_json::Value;

/// Largest difference from the oracle, relative to values above 1.
const TOLERANCE: f64 = 1e-9;
const START_S: f64 = 1_763_800_000.0;

fn oracle() -> Value {
    serde_json::from_str(include_str!("oracle/evidence.json")).unwrap()
}

fn close(name: &str, found: f64, expected: f64) {
    let difference = (found - expected).abs() / expected.abs().max(1.0);
    assert!(
        difference < TOLERANCE,
        "{name}: {found}, expected {expected}"
    );
}

#[test]
fn cadence_and_clock_are_those_of_the_oracle() {
    for case in oracle()["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let gaps: Vec<f64> = case["gaps_s"]
            .as_array()
            .unwrap()
            .iter()
            .map(|g| g.as_f64().unwrap())
            .collect();
        let found = CadenceMeter::default().measure(&gaps).unwrap();
        for (field, value) in [
            ("statistic", found.statistic),
            ("period_s", found.period_s),
            ("period_error_s", found.period_error_s),
            ("half_width", found.half_width),
            ("explained", found.explained),
            ("miss_rate", found.miss_rate),
        ] {
            close(name, value, case["cadence"][field].as_f64().unwrap());
        }
        let mut nanos = case["start_ms"].as_i64().unwrap() * 1_000_000;
        let mut beats = vec![Timestamp::from_unix_nanos(nanos)];
        for gap in gaps {
            #[expect(clippy::cast_possible_truncation, reason = "at most days")]
            let milliseconds = (gap * 1e3).round() as i64;
            nanos += milliseconds * 1_000_000;
            beats.push(Timestamp::from_unix_nanos(nanos));
        }
        let rhythm = clock_rhythm(&beats);
        assert_eq!(rhythm.is_none(), case["clock"].is_null(), "{name}");
        if let Some(rhythm) = rhythm {
            close(
                name,
                rhythm.statistic,
                case["clock"]["statistic"].as_f64().unwrap(),
            );
            close(
                name,
                rhythm.period_s,
                case["clock"]["period_s"].as_f64().unwrap(),
            );
        }
    }
}

#[test]
fn e_values_are_those_of_the_integral() {
    for case in oracle()["e_values"].as_array().unwrap() {
        close(
            "e",
            e_value(case["p"].as_f64().unwrap()),
            case["e"].as_f64().unwrap(),
        );
    }
}

/// Assesses times in seconds after [`START_S`].
fn assess_phase(times_s: &[f64], phase: Phase) -> Option<Assessment> {
    let key = SeriesKey {
        host: Arc::from("host"),
        namespace: Arc::from(""),
        source: [10, 0, 0, 1].into(),
        destination: [198, 51, 100, 7].into(),
        destination_port: 443,
        transport: Transport::Tcp,
    };
    let mut detector = Detector::new(Settings {
        profile: Profile::Evidence,
        max_lateness_s: 1e9,
        ..Settings::default()
    })
    .unwrap();
    let at = |s: f64| Timestamp::from_unix_seconds(START_S + s).unwrap();
    let now = at(times_s.iter().copied().fold(0.0, f64::max));
    for time_s in times_s {
        detector.observe(now, &Observation::new(at(*time_s), phase, key.clone()));
    }
    detector.assess(&key, now, &Context::default())
}

fn assess(times_s: &[f64]) -> Assessment {
    assess_phase(times_s, Phase::Opened).unwrap()
}

fn evidence(times_s: &[f64]) -> Evidence {
    assess(times_s).evidence.unwrap()
}

/// Deterministic numbers in 0..1: the golden ratio's multiples.
fn uniform(index: u32) -> f64 {
    (f64::from(index) * 0.618_033_988_749_894_9).fract()
}

/// Times of `count` beats every `period_s`, sleep shortened by up to `jitter`.
fn beacon(count: u32, period_s: f64, jitter: f64) -> Vec<f64> {
    let mut time = 0.0;
    (0..count)
        .map(|beat| {
            time += period_s * (1.0 - jitter * uniform(beat));
            time
        })
        .collect()
}

#[test]
fn a_sleep_that_changed_from_a_minute_to_an_hour_is_told_within_sixteen_beats_and_stays_found() {
    for before in [20, 60, 127, 400] {
        for after in [1, 5, 10, 12, 16, 20, 40, 60, 80] {
            let mut times = beacon(before, 60.0, 0.2);
            let changed = times[times.len() - 1];
            times.extend(
                beacon(after, 3_600.0, 0.2)
                    .iter()
                    .map(|time| changed + time),
            );
            let found = assess(&times);
            let evidence = found.evidence.unwrap();
            assert!(found.detected, "{before}, {after}: {evidence:?}");
            assert!(evidence.p_value < 1e-4, "{before}, {after}: {evidence:?}");
            if after >= 12 {
                assert!(
                    (2_700.0..3_700.0).contains(&evidence.period_s),
                    "{before}, {after}: {evidence:?}"
                );
            }
        }
    }
}

#[test]
fn a_beacon_with_jitter_is_found_after_few_beats_with_its_period() {
    let found = assess(&beacon(12, 60.0, 0.2));
    let evidence = found.evidence.unwrap();
    assert!(found.detected && found.score > 0.9, "{found:?}");
    assert!((50.0..60.0).contains(&evidence.period_s), "{evidence:?}");
    assert!(evidence.explained > 0.9 && evidence.p_value < 1e-5);
}

#[test]
fn the_words_claim_no_more_than_was_simulated() {
    let found = assess(&beacon(200, 60.0, 0.0));
    assert!(
        found.explanation.ends_with("p below 1e-11."),
        "{}",
        found.explanation
    );
    let cadence = found
        .signals
        .iter()
        .find(|it| it.name.as_ref() == "cadence")
        .unwrap();
    assert!(
        cadence
            .text
            .ends_with("in fewer than one of 100 000 series"),
        "{}",
        cadence.text
    );
}

#[test]
fn two_beats_are_no_evidence_and_say_what_is_missing() {
    let found = assess(&beacon(3, 60.0, 0.0));
    assert_eq!(found.evidence, None);
    assert_eq!(
        found.gate.as_deref(),
        Some("too few beats: at least 4 are needed")
    );
}

#[test]
fn missed_beats_leave_the_period_and_are_counted() {
    let all = beacon(60, 300.0, 0.1);
    let kept: Vec<f64> = all
        .into_iter()
        .zip(0..)
        .filter(|(_, beat)| beat % 10 < 6)
        .map(|(t, _)| t)
        .collect();
    let found = evidence(&kept);
    assert!((270.0..300.0).contains(&found.period_s), "{found:?}");
    assert!(
        (0.3..0.5).contains(&found.miss_rate) && found.p_value < 1e-6,
        "{found:?}"
    );
}

#[test]
fn duplicates_retries_and_bursts_at_a_beat_change_little() {
    let beats = beacon(20, 60.0, 0.2);
    let mut noisy = beats.clone();
    for (beat, at) in (0..).zip(&beats) {
        noisy.extend((0..beat % 4).map(|retry| at + 0.4 * f64::from(retry + 1)));
    }
    let (plain, noisy) = (evidence(&beats), evidence(&noisy));
    assert!((plain.period_s - noisy.period_s).abs() < 1e-6);
    assert!((plain.p_value - noisy.p_value).abs() < 1e-12);
}

#[test]
fn a_sleep_that_changes_is_evidence_again_once_most_gaps_are_of_the_new_one() {
    let mut times = beacon(30, 60.0, 0.2);
    let last = times.last().copied().unwrap();
    times.extend(beacon(60, 3600.0, 0.2).iter().map(|t| last + t));
    let found = evidence(&times);
    assert!(found.p_value < 1e-6 && found.period_s > 2500.0, "{found:?}");
}

#[test]
fn whole_second_stamps_and_a_clock_that_steps_once_change_little() {
    let whole: Vec<f64> = beacon(30, 60.0, 0.2).into_iter().map(f64::floor).collect();
    assert!(evidence(&whole).p_value < 1e-6);
    let stepped: Vec<f64> = beacon(30, 60.0, 0.2)
        .into_iter()
        .zip(0..)
        .map(|(t, beat)| if beat < 15 { t } else { t + 1800.0 })
        .collect();
    assert!(evidence(&stepped).p_value < 1e-6);
}

#[test]
fn beats_that_keep_to_the_clock_are_found_though_most_are_missed() {
    // Every ninth to twenty-first quarter of an hour, a few seconds after it.
    let mut quarter = 0;
    let times: Vec<f64> = (0..30)
        .map(|beat| {
            quarter += 1 + (beat * 7) % 13;
            f64::from(quarter) * 900.0 + 800.0 + 3.0 * uniform(beat)
        })
        .collect();
    let found = evidence(&times);
    assert!(found.p_value < 1e-5, "{found:?}");
}

#[test]
fn activity_inside_a_live_connection_is_evidence() {
    let found = assess_phase(&beacon(30, 60.0, 0.2), Phase::Activity).unwrap();
    let evidence = found.evidence.unwrap();
    assert_eq!(evidence.source, Source::Activity);
    assert!(evidence.p_value < 1e-6 && found.detected);
    let opened = assess(&beacon(30, 60.0, 0.0));
    assert_eq!(opened.evidence.unwrap().source, Source::Connections);
}

#[test]
fn the_rhythm_of_the_observer_is_no_activity() {
    assert_eq!(assess_phase(&beacon(30, 60.0, 0.0), Phase::Active), None);
}

#[test]
fn the_next_beat_is_expected_after_now_and_about_a_period_after_the_last() {
    let times = beacon(30, 60.0, 0.0);
    let next = evidence(&times).next.unwrap();
    let last = START_S + times.last().copied().unwrap();
    assert!(next.earliest.unix_seconds() > last + 55.0 && next.latest.unix_seconds() < last + 65.0);
}

#[test]
fn gaps_that_are_no_positive_numbers_are_refused() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0] {
        assert_eq!(
            CadenceMeter::default().measure(&[60.0, 60.0, bad, 60.0]),
            None
        );
    }
}

#[test]
fn a_p_value_falls_with_the_statistic_and_is_never_beyond_its_range() {
    let mut cadence = CadenceMeter::default().measure(&[60.0; 20]).unwrap();
    let mut before = 1.0;
    for step in -400..1000 {
        cadence.statistic = f64::from(step) / 5.0;
        let p = p_value(&cadence, None);
        assert!((1e-12..=before).contains(&p), "{p} after {before}");
        before = p;
    }
    for statistic in [f64::MAX, f64::MIN] {
        cadence.statistic = statistic;
        assert!((1e-12..=1.0).contains(&p_value(&cadence, None)));
    }
}

#[test]
fn more_evidence_never_lowers_the_score() {
    let base = evidence(&beacon(12, 60.0, 0.5));
    for (name, better) in [
        (
            "p",
            Evidence {
                p_value: base.p_value / 10.0,
                ..base
            },
        ),
        (
            "hours",
            Evidence {
                active_hours: base.active_hours + 1,
                ..base
            },
        ),
        (
            "run",
            Evidence {
                longest_run_h: base.longest_run_h + 1,
                ..base
            },
        ),
        (
            "explained",
            Evidence {
                explained: 1.0,
                ..base
            },
        ),
    ] {
        assert!(better.score() >= base.score(), "{name}: {better:?}");
    }
    assert!(looks_factor(1_000_000) > looks_factor(100) && looks_factor(0) >= 1.0);
}
