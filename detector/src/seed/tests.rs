use super::*;

const SECOND: i64 = 1_000_000_000;

fn every(seconds: i64, count: i64) -> Vec<Timestamp> {
    (0..count)
        .map(|beat| Timestamp::from_unix_nanos(beat * seconds * SECOND))
        .collect()
}

fn scored(times: &[Timestamp]) -> SeedScore {
    score(times, &SeedSettings::default()).unwrap()
}

#[test]
fn one_start_has_no_score() {
    assert_eq!(score(&[], &SeedSettings::default()), None);
    assert_eq!(score(&every(60, 1), &SeedSettings::default()), None);
}

#[test]
fn the_gates_open_at_their_bounds() {
    assert!(matches!(
        scored(&every(60, 9)).gate,
        Some(Gate::Connections {
            found: 9,
            minimum: 10
        })
    ));
    assert_eq!(scored(&every(60, 10)).gate, None);
    assert!(matches!(
        scored(&every(20, 15)).gate,
        Some(Gate::Duration { .. })
    ));
    assert_eq!(scored(&every(20, 16)).gate, None);
    assert!(matches!(
        scored(&every(9, 100)).gate,
        Some(Gate::Interval { .. })
    ));
    assert_eq!(scored(&every(10, 100)).gate, None);
    assert_eq!(scored(&every(3600, 10)).gate, None);
    assert!(matches!(
        scored(&every(3601, 10)).gate,
        Some(Gate::Interval { .. })
    ));
}

#[test]
fn a_gate_says_what_was_found_and_what_is_needed() {
    let gate = scored(&every(60, 9)).gate.unwrap().to_string();
    assert_eq!(gate, "9 connections, at least 10 are needed");
}

#[test]
fn the_signal_of_the_variation_is_a_half_at_its_threshold() {
    let statistics = IntervalStatistics {
        count: 9,
        mean_s: 60.0,
        standard_deviation_s: 9.0,
        coefficient_of_variation: 0.15,
        median_s: 60.0,
        median_absolute_deviation_s: 0.0,
        minimum_s: 60.0,
        maximum_s: 60.0,
        maximum_deviation_s: 5.0,
    };
    assert!((cv_score(&statistics, 0.15) - 0.5).abs() < 1e-12);
    assert!((jitter_score(&statistics, 5.0) - 0.5).abs() < 1e-12);
}

#[test]
fn a_missed_beat_shows_in_the_spectrum_and_not_in_the_variation() {
    let mut times = every(60, 60);
    times.remove(20);
    let found = scored(&times);
    let peak = found.spectrum.unwrap();
    assert!((peak.period_s - 60.0).abs() < 1.0, "{peak:?}");
    assert!(peak.score > 0.9, "{peak:?}");
}

#[test]
fn the_signals_say_what_was_measured() {
    let settings = SeedSettings::default();
    let found = scored(&every(60, 30));
    let signals = found.signals(&settings);
    let names: Vec<_> = signals
        .iter()
        .map(|signal| signal.name.to_string())
        .collect();
    assert_eq!(names, ["coefficient_of_variation", "periodicity", "jitter"]);
    assert!(
        signals[0].text.contains("0.0 % of their mean of 60.0 s"),
        "{}",
        signals[0].text
    );
    assert!(
        signals[1].text.contains("the spectrum peaks at 60.0 s"),
        "{}",
        signals[1].text
    );
    assert!(
        found
            .explanation()
            .starts_with("30 connections with a median interval of 60.0 s")
    );
}
