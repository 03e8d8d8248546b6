//! What must hold for any input.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use beaconwatch_detector::{
    Assessment, ConnectionId, Context, Detector, Observation, Outcome, Owner, Phase, Process,
    Profile, SeriesKey, SeriesState, Settings, Side, Timestamp, Transport, seed,
};
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;

/// Settings under which nothing is too late or too early.
fn patient() -> Settings {
    patient_with(Profile::Seed)
}

fn patient_with(profile: Profile) -> Settings {
    Settings {
        profile,
        max_lateness_s: 2e10,
        max_clock_skew_s: 2e10,
        ..Settings::default()
    }
}

fn key(number: u8) -> SeriesKey {
    SeriesKey {
        host: Arc::from("host"),
        namespace: Arc::from(""),
        source: [10, 0, 0, number].into(),
        destination: [198, 51, 100, 7].into(),
        destination_port: 443,
        transport: Transport::Tcp,
    }
}

fn now() -> Timestamp {
    Timestamp::from_unix_nanos(2_000_000_000 * SECOND)
}

fn seconds(s: i64) -> Timestamp {
    Timestamp::from_unix_nanos(s * SECOND)
}

/// Every assessment by key.
fn all(detector: &Detector) -> BTreeMap<SeriesKey, Assessment> {
    let context = Context::default();
    let found = detector.assess_all(now(), &context);
    found
        .map(|assessment| (assessment.key.clone(), assessment))
        .collect()
}

fn is_sound(assessment: &Assessment) -> Result<(), TestCaseError> {
    let score = assessment.score;
    prop_assert!((0.0..=1.0).contains(&score), "score {score}");
    let sum: f64 = assessment
        .signals
        .iter()
        .map(|signal| signal.contribution)
        .sum();
    if assessment.evidence.is_none() {
        let expected = match assessment.part_of {
            Some(_) => (score / (1.0 - score)).ln(),
            None => score,
        };
        prop_assert!(
            (sum - expected).abs() < 1e-9,
            "contributions add up to {sum}, expected {expected}"
        );
    }
    if let Some(evidence) = &assessment.evidence {
        let timing = 1.0 / (1.0 + (-evidence.log_odds()).exp());
        prop_assert!((assessment.timing_score() - timing).abs() < 1e-12);
        prop_assert!((1.0 / (1.0 + (-sum).exp()) - score).abs() < 1e-12);
        prop_assert!((1e-12..=1.0).contains(&evidence.p_value), "{evidence:?}");
        prop_assert!(
            evidence.p_value <= evidence.p_value_any_look,
            "{evidence:?}"
        );
        prop_assert!((0.0..=1.0).contains(&evidence.explained), "{evidence:?}");
        prop_assert!((0.0..1.0).contains(&evidence.miss_rate), "{evidence:?}");
        prop_assert!(
            evidence
                .next
                .is_none_or(|next| next.earliest <= next.latest)
        );
    }
    for signal in &assessment.signals {
        prop_assert!((0.0..=1.0).contains(&signal.score), "{signal:?}");
        prop_assert!(signal.raw_value.is_finite(), "{signal:?}");
    }
    prop_assert!(
        assessment.gate.is_none() || !assessment.detected,
        "detected behind a gate"
    );
    prop_assert!(
        assessment.gate.is_none() || score == 0.0,
        "a score behind a gate"
    );
    prop_assert!(assessment.jitter.is_none_or(f64::is_finite));
    prop_assert!(assessment.interval_s.is_none_or(f64::is_finite));
    let text = format!("{assessment:?}");
    prop_assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    Ok(())
}

prop_compose! {
    /// Times that tend to beat, to coincide, or to lie at the ends of what there is.
    fn any_time()(kind in 0..10, beat in 0..200_i64, jitter in 0..10 * SECOND, any in any::<i64>()) -> i64 {
        match kind {
            0 => any,
            1 => i64::MIN,
            2 => i64::MAX,
            3..=5 => beat * 60 * SECOND,
            _ => beat * 60 * SECOND + jitter,
        }
    }
}

fn any_phase() -> impl Strategy<Value = Phase> {
    prop_oneof![
        4 => Just(Phase::Opened),
        2 => Just(Phase::Whole),
        1 => Just(Phase::Active),
        1 => Just(Phase::Closed),
        2 => Just(Phase::Activity),
    ]
}

fn any_profile() -> impl Strategy<Value = Profile> {
    prop_oneof![Just(Profile::Seed), Just(Profile::Evidence)]
}

fn any_name() -> impl Strategy<Value = Option<Arc<str>>> {
    proptest::option::of("[a-c]{1,2}".prop_map(Arc::from))
}

prop_compose! {
    fn any_observation()(
        // No instant beyond what `now` can reach with the longest setting.
        nanos in any_time(),
        phase in any_phase(),
        source in 0..3_u8,
        source_port in 0..4_u16,
        (host_name, server_name, process_name) in (any_name(), any_name(), any_name()),
        pod_name in any_name(),
        pid in 0..3_u32,
        bytes in proptest::option::of(any::<u64>()),
        connection in proptest::option::of(any::<u128>()),
    ) -> Observation {
        let process = process_name.map(|name| {
            Arc::new(Process { pid, name: Some(name), ..Process::default() })
        });
        Observation {
            host_name,
            source_port,
            server_name,
            process,
            owner: pod_name.map(|it| Arc::new(Owner { pod_name: Some(it), ..Owner::default() })),
            bytes_out: bytes,
            bytes_in: bytes,
            connection: connection.map(ConnectionId),
            duration: Some(Duration::from_secs(1)),
            ..Observation::new(Timestamp::from_unix_nanos(nanos), phase, key(source))
        }
    }
}

fn fed(settings: Settings, observations: &[Observation]) -> Detector {
    let mut detector = Detector::new(settings).unwrap();
    for observation in observations {
        assert_eq!(detector.observe(now(), observation), Outcome::Counted);
    }
    detector
}

proptest! {
    #[test]
    fn any_order_gives_the_same_assessments(
        (ordered, shuffled) in proptest::collection::vec(any_observation(), 0..120)
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        max_starts in prop_oneof![Just(12_usize), Just(512)],
        profile in any_profile(),
    ) {
        let settings = Settings { max_starts_per_series: max_starts, ..patient_with(profile) };
        let (one, other) = (fed(settings.clone(), &ordered), fed(settings, &shuffled));
        prop_assert_eq!(all(&one), all(&other));
    }

    #[test]
    fn any_input_gives_a_sound_score(
        observations in proptest::collection::vec(any_observation(), 0..120),
        profile in any_profile(),
    ) {
        for assessment in all(&fed(patient_with(profile), &observations)).values() {
            is_sound(assessment)?;
        }
    }

    #[test]
    fn a_shift_of_all_times_changes_no_score(
        gaps in proptest::collection::vec(0..100 * SECOND, 2..80),
        shift in -1_000_000 * SECOND..1_000_000 * SECOND,
    ) {
        let times_from = |start: i64| {
            let mut time = start;
            let rest = gaps.iter().map(|gap| { time += gap; time });
            std::iter::once(start).chain(rest).map(Timestamp::from_unix_nanos).collect::<Vec<_>>()
        };
        let settings = patient().seed;
        let one = seed::score(&times_from(0), &settings);
        prop_assert_eq!(seed::score(&times_from(shift), &settings), one);
    }

    #[test]
    fn a_restored_detector_says_the_same(
        observations in proptest::collection::vec(any_observation(), 0..120),
        cut in 0..120_usize,
        analyse in any::<bool>(),
        profile in any_profile(),
    ) {
        let mut original = Detector::new(patient_with(profile)).unwrap();
        let mut store = BTreeMap::new();
        let (before, after) = observations.split_at(cut.min(observations.len()));
        for part in [before, after] {
            for observation in part {
                original.observe(now(), observation);
            }
            if analyse {
                original.analyse(now(), &Context::default());
            }
            // Through bytes, as a store would.
            for change in original.take_changes() {
                let state = change.state.map(|state| postcard::to_allocvec(&state).unwrap());
                store.insert(change.key, state);
            }
        }
        let mut restored = Detector::new(patient_with(profile)).unwrap();
        for (key, state) in store {
            let state: SeriesState = postcard::from_bytes(&state.unwrap()).unwrap();
            restored.restore(key, state).unwrap();
        }
        // Owners are not stored.
        let known = all(&original).into_iter();
        let known: BTreeMap<_, _> = known.map(|(key, it)| (key, Assessment { owner: None, ..it })).collect();
        prop_assert_eq!(known, all(&restored));
        let pending = |detector: &mut Detector| {
            let found = detector.analyse(now(), &Context::default());
            found.into_iter().map(|a| (a.key.clone(), Assessment { owner: None, ..a })).collect::<BTreeMap<_, _>>()
        };
        prop_assert_eq!(pending(&mut original), pending(&mut restored));
    }

    #[test]
    fn any_bytes_are_restored_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        profile in any_profile(),
    ) {
        if let Ok(state) = postcard::from_bytes::<SeriesState>(&bytes) {
            let mut detector = Detector::new(patient_with(profile)).unwrap();
            if detector.restore(key(0), state).is_ok()
                && let Some(found) = detector.assess(&key(0), now(), &Context::default())
            {
                is_sound(&found)?;
            }
        }
    }

    #[test]
    fn there_are_never_more_series_than_allowed_and_a_mirror_of_the_changes_has_the_same(
        max_series in 1..20_usize,
        sources in proptest::collection::vec((any::<u8>(), 0..100_000_i64), 1..400),
        take_every in 1..50_usize,
    ) {
        let settings = Settings { max_series, ..patient() };
        let mut detector = Detector::new(settings).unwrap();
        let mut mirror = BTreeMap::new();
        let mut apply = |detector: &mut Detector| for change in detector.take_changes() {
            match change.state {
                Some(state) => { mirror.insert(change.key, state); }
                None => { mirror.remove(&change.key); }
            }
        };
        for (index, (source, second)) in sources.iter().enumerate() {
            detector.observe(now(), &Observation::new(seconds(*second), Phase::Opened, key(*source)));
            prop_assert!(detector.counters().series <= max_series as u64);
            if index % take_every == 0 {
                apply(&mut detector);
            }
        }
        apply(&mut detector);
        let kept: Vec<_> = all(&detector).into_keys().collect();
        prop_assert_eq!(&kept, &mirror.keys().cloned().collect::<Vec<_>>());
        let counters = detector.counters();
        prop_assert_eq!(counters.observations, sources.len() as u64);
        prop_assert_eq!(counters.series, kept.len() as u64);
    }

    #[test]
    fn fewer_than_the_gate_asks_is_never_a_detection(
        count in 1..40_i32,
        period_s in 1..8000_i64,
        min_connections in 2..30_usize,
    ) {
        let mut settings = patient();
        settings.seed.min_connections = min_connections;
        let beats: Vec<_> = (0..count)
            .map(|beat| Observation::new(seconds(i64::from(beat) * period_s), Phase::Opened, key(0)))
            .collect();
        let found = fed(settings.clone(), &beats).assess(&key(0), now(), &Context::default()).unwrap();
        let open = usize::try_from(count).unwrap() >= min_connections
            && i64::from(count - 1) * period_s >= 300
            && (10..=3600).contains(&period_s);
        prop_assert_eq!(found.gate.is_none(), open, "{:?}", found);
        // Without any variation the first signal is 1 / (1 + e^-10), the last 1.
        let regular = 0.4 / (1.0 + (-10.0_f64).exp())
            + 0.4 * (f64::from(count - 4) / 16.0).clamp(0.0, 1.0)
            + 0.2;
        let expected = if open { regular } else { 0.0 };
        prop_assert!((found.score - expected).abs() < 1e-9, "{} instead of {expected}", found.score);
        prop_assert_eq!(found.detected, found.score >= 0.7);
    }
}

#[test]
fn a_million_events_in_one_series_stay_within_bounds() {
    let mut detector = Detector::new(patient_with(Profile::Evidence)).unwrap();
    for event in 0..1_000_000_i64 {
        let time = seconds(event % 7_919 * 60);
        detector.observe(now(), &Observation::new(time, Phase::Opened, key(0)));
    }
    assert_eq!(detector.times(&key(0)).unwrap().len(), 512);
    let found = detector
        .assess(&key(0), now(), &Context::default())
        .unwrap();
    assert_eq!(found.count, 1_000_000);
    assert_eq!(found.first_seen, seconds(0));
    assert!((0.0..=1.0).contains(&found.score));
}

#[test]
fn the_side_that_answered_and_own_traffic_are_counted_and_not_scored() {
    let mut detector = Detector::new(patient()).unwrap();
    let seen = Observation::new(seconds(0), Phase::Opened, key(0));
    detector.observe(
        now(),
        &Observation {
            side: Side::Server,
            ..seen.clone()
        },
    );
    detector.observe(
        now(),
        &Observation {
            own: true,
            ..seen.clone()
        },
    );
    assert_eq!(
        detector.observe(
            now(),
            &Observation {
                side: Side::Between,
                ..seen
            }
        ),
        Outcome::Counted
    );
    let counters = detector.counters();
    assert_eq!((counters.ignored_own, counters.ignored_server_side), (1, 1));
    assert_eq!((counters.observations, counters.series), (1, 1));
}
