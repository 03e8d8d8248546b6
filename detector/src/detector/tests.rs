use std::sync::Arc;

use super::*;
use crate::{Owner, Phase, Process, Profile, Transport};

const SECOND: i64 = 1_000_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix_nanos(second * SECOND)
}

fn key(number: u32) -> SeriesKey {
    SeriesKey {
        host: Arc::from("host"),
        namespace: Arc::from(""),
        source: [10, 0, 0, 1].into(),
        destination: number.to_be_bytes().into(),
        destination_port: 443,
        transport: Transport::Tcp,
    }
}

fn opened(number: u32, second: i64) -> Observation {
    Observation::new(at(second), Phase::Opened, key(number))
}

fn detector(settings: Settings) -> Detector {
    Detector::new(settings).unwrap()
}

fn small(max_series: usize) -> Detector {
    detector(Settings {
        max_series,
        ..Settings::default()
    })
}

#[test]
fn an_observation_at_the_edge_of_lateness_or_skew_counts_and_one_beyond_does_not() {
    let settings = Settings {
        max_lateness_s: 100.0,
        max_clock_skew_s: 5.0,
        ..Settings::default()
    };
    let mut detector = detector(settings);
    let now = at(1000);
    assert_eq!(detector.observe(now, &opened(1, 900)), Outcome::Counted);
    assert_eq!(
        detector.observe(now, &opened(1, 899)),
        Outcome::Ignored(Ignored::Late)
    );
    assert_eq!(detector.observe(now, &opened(1, 1005)), Outcome::Counted);
    assert_eq!(
        detector.observe(now, &opened(1, 1006)),
        Outcome::Ignored(Ignored::Future)
    );
    let counters = detector.counters();
    assert_eq!((counters.ignored_late, counters.ignored_future), (1, 1));
    assert_eq!(detector.times(&key(1)), Some(vec![at(900), at(1005)]));
}

#[test]
fn the_ends_of_time_are_ignored_without_harm() {
    let mut detector = small(10);
    for now in [i64::MIN, 0, i64::MAX] {
        for time in [i64::MIN, 0, i64::MAX] {
            let observation =
                Observation::new(Timestamp::from_unix_nanos(time), Phase::Opened, key(1));
            let outcome = detector.observe(Timestamp::from_unix_nanos(now), &observation);
            assert_eq!(outcome == Outcome::Counted, now == time);
        }
    }
}

#[test]
fn a_key_with_an_endless_name_is_refused_and_an_endless_server_name_is_left_out() {
    let mut detector = small(10);
    let mut observation = opened(1, 0);
    observation.server_name = Some(Arc::from("x".repeat(5000)));
    assert_eq!(detector.observe(at(0), &observation), Outcome::Counted);
    let found = detector
        .assess(&key(1), at(0), &Context::default())
        .unwrap();
    assert_eq!(found.server_name, None);
    observation.key.host = Arc::from("x".repeat(5000));
    let outcome = detector.observe(at(0), &observation);
    assert_eq!(outcome, Outcome::Ignored(Ignored::KeyTooLong));
    assert_eq!(detector.counters().ignored_key_too_long, 1);
}

#[test]
fn only_what_changed_is_analysed() {
    let mut detector = small(10);
    detector.observe(at(0), &opened(1, 0));
    detector.observe(at(0), &opened(2, 0));
    let context = Context::default();
    assert_eq!(detector.analyse(at(0), &context).len(), 2);
    assert_eq!(detector.analyse(at(0), &context).len(), 0);
    detector.observe(at(60), &opened(2, 60));
    let found = detector.analyse(at(60), &context);
    assert_eq!(
        found.iter().map(|a| a.key.clone()).collect::<Vec<_>>(),
        [key(2)]
    );
    assert_eq!(detector.assess_all(at(60), &context).count(), 2);
}

#[test]
fn other_settings_are_taken_whole_or_not_at_all_and_everything_is_analysed_again() {
    let mut detector = small(10);
    for beat in 0..30 {
        detector.observe(at(60 * beat), &opened(1, 60 * beat));
    }
    let now = at(1800);
    assert!(detector.analyse(now, &Context::default())[0].detected);
    let mut settings = Settings {
        profile: Profile::Seed,
        max_series: 1_000_000,
        ..Settings::default()
    };
    settings.seed.min_connections = 40;
    settings.seed.cv_threshold = f64::NAN;
    assert!(detector.set_settings(settings.clone()).is_err());
    assert!(detector.analyse(now, &Context::default()).is_empty());

    settings.seed.cv_threshold = 0.15;
    detector.set_settings(settings.clone()).unwrap();
    let again = detector.analyse(now, &Context::default());
    assert!(again[0].gate.is_some(), "40 connections are asked for now");
    assert_eq!(detector.settings().max_series, 10);
    settings.max_series = 10;
    detector.set_settings(settings).unwrap();
    assert!(
        detector.analyse(now, &Context::default()).is_empty(),
        "the same settings change nothing"
    );
}

#[test]
fn activity_that_tells_nothing_new_is_neither_analysed_nor_stored() {
    let mut detector = small(10);
    let context = Context::default();
    detector.observe(at(0), &opened(1, 0));
    detector.analyse(at(0), &context);
    detector.take_changes();
    let active = Observation::new(at(10), Phase::Active, key(1));
    assert_eq!(detector.observe(at(10), &active), Outcome::Counted);
    assert_eq!(detector.analyse(at(10), &context), []);
    assert_eq!(detector.take_changes(), []);
    let named = Observation {
        server_name: Some(Arc::from("a")),
        ..active
    };
    detector.observe(at(10), &named);
    assert_eq!(detector.analyse(at(10), &context).len(), 1);
    assert_eq!(detector.take_changes().len(), 1);
}

#[test]
fn a_series_that_was_never_opened_is_not_assessed_until_it_is() {
    let mut detector = small(10);
    let closed = Observation {
        bytes_out: Some(70),
        ..Observation::new(at(5), Phase::Closed, key(1))
    };
    detector.observe(at(5), &closed);
    assert_eq!(detector.assess(&key(1), at(5), &Context::default()), None);
    detector.observe(at(5), &opened(1, 0));
    let found = detector
        .assess(&key(1), at(5), &Context::default())
        .unwrap();
    assert_eq!((found.count, found.bytes_out), (1, 70));
    assert!(found.gate.is_some());
}

#[test]
fn sizes_are_summed_when_connections_end_and_activity_adds_nothing() {
    let mut detector = small(10);
    for (phase, bytes) in [
        (Phase::Opened, 1),
        (Phase::Active, 50),
        (Phase::Closed, 100),
    ] {
        let observation = Observation {
            bytes_in: Some(bytes),
            ..Observation::new(at(1), phase, key(1))
        };
        detector.observe(at(1), &observation);
    }
    let whole = Observation {
        bytes_in: Some(7),
        ..Observation::new(at(2), Phase::Whole, key(1))
    };
    detector.observe(at(2), &whole);
    let found = detector
        .assess(&key(1), at(2), &Context::default())
        .unwrap();
    assert_eq!((found.count, found.bytes_in), (2, 107));
}

#[test]
fn the_latest_names_and_ports_are_told() {
    let mut detector = small(10);
    for (second, name, port) in [(10, "late", 3), (5, "early", 1), (7, "middle", 2)] {
        let process = Process {
            pid: 1,
            name: Some(Arc::from(name)),
            ..Process::default()
        };
        let observation = Observation {
            server_name: Some(Arc::from(name)),
            process: Some(Arc::new(process)),
            source_port: port,
            ..opened(1, second)
        };
        detector.observe(at(10), &observation);
    }
    let found = detector
        .assess(&key(1), at(10), &Context::default())
        .unwrap();
    assert_eq!(found.server_name.as_deref(), Some("late"));
    assert_eq!(
        found
            .process
            .and_then(|process| process.name.clone())
            .as_deref(),
        Some("late")
    );
    assert_eq!(found.recent_source_ports, [3, 2, 1]);
    assert_eq!(detector.counters().out_of_order, 2);
}

#[test]
fn of_more_starts_than_are_kept_the_newest_stay_and_all_are_counted() {
    let mut settings = Settings {
        max_starts_per_series: 4,
        ..Settings::default()
    };
    settings.seed.min_connections = 4;
    let mut detector = detector(settings);
    for second in [50, 10, 30, 20, 60, 40] {
        detector.observe(at(60), &opened(1, second));
    }
    assert_eq!(
        detector.times(&key(1)),
        Some(vec![at(30), at(40), at(50), at(60)])
    );
    let found = detector
        .assess(&key(1), at(60), &Context::default())
        .unwrap();
    assert_eq!(
        (found.count, found.first_seen, found.last_seen),
        (6, at(10), at(60))
    );
}

#[test]
fn a_slow_beacon_outlives_a_flood_of_single_connections() {
    let mut detector = small(5000);
    let context = Context::default();
    let mut flood = 10;
    for beat in 0..24 {
        let second = beat * 1800;
        detector.observe(at(second), &opened(1, second));
        for _ in 0..2000 {
            flood += 1;
            detector.observe(at(second), &opened(flood, second));
        }
        detector.analyse(at(second), &context);
    }
    let found = detector.assess(&key(1), at(24 * 1800), &context).unwrap();
    assert_eq!(found.count, 24);
    assert!(found.detected, "{found:?}");
    let counters = detector.counters();
    assert_eq!(
        (counters.series, counters.evicted),
        (5000, 24 * 2000 + 1 - 5000)
    );
}

#[test]
fn a_full_table_of_old_series_makes_room_for_a_new_beacon() {
    let mut detector = small(100);
    // Each of them has 16 connections and then falls silent.
    for number in 100..200 {
        for second in 0..16 {
            detector.observe(at(second), &opened(number, second));
        }
    }
    let mut flood = 1000;
    for beat in 0..12 {
        let second = 100_000 + beat * 60;
        detector.observe(at(second), &opened(1, second));
        flood += 1;
        detector.observe(at(second), &opened(flood, second));
    }
    let found = detector
        .assess(&key(1), at(101_000), &Context::default())
        .unwrap();
    assert_eq!(found.count, 12);
}

#[test]
fn one_series_is_all_that_a_table_of_one_holds() {
    let mut detector = small(1);
    for number in 0..5 {
        detector.observe(at(0), &opened(number, 0));
        assert_eq!(detector.counters().series, 1);
    }
    assert_eq!(detector.counters().evicted, 4);
    assert!(detector.times(&key(4)).is_some());
}

#[test]
fn an_evicted_series_is_told_once_and_only_when_a_store_knew_it() {
    let mut detector = small(1);
    detector.observe(at(0), &opened(1, 0));
    detector.observe(at(0), &opened(2, 0));
    let changes = detector.take_changes();
    assert_eq!(
        changes.len(),
        1,
        "the store never heard of the first: {changes:?}"
    );
    assert_eq!(changes[0].key, key(2));
    detector.observe(at(0), &opened(3, 0));
    let changes = detector.take_changes();
    let told: Vec<_> = changes
        .iter()
        .map(|c| (c.key.clone(), c.state.is_some()))
        .collect();
    assert_eq!(told, [(key(2), false), (key(3), true)]);
    assert_eq!(detector.take_changes(), []);
}

#[test]
fn a_series_that_went_and_came_back_is_told_as_it_is() {
    let mut detector = small(1);
    detector.observe(at(0), &opened(1, 0));
    detector.take_changes();
    detector.observe(at(0), &opened(2, 0));
    detector.observe(at(0), &opened(1, 0));
    let changes = detector.take_changes();
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (&changes[0].key, changes[0].state.is_some()),
        (&key(1), true)
    );
}

#[test]
fn a_state_is_restored_once() {
    let mut original = small(10);
    original.observe(at(0), &opened(1, 0));
    let state = original.take_changes().remove(0).state.unwrap();
    assert_eq!(state.version(), 4);
    let mut restored = small(10);
    restored.restore(key(1), state.clone()).unwrap();
    assert_eq!(
        restored.restore(key(1), state),
        Err(RestoreError::Exists(Box::new(key(1))))
    );
    assert_eq!(restored.take_changes(), [], "a store has what it gave");
}

#[test]
fn more_states_than_there_is_room_for_keep_the_bound() {
    let mut original = small(10);
    for number in 0..10 {
        original.observe(at(0), &opened(number, 0));
    }
    let mut restored = small(3);
    for change in original.take_changes() {
        restored.restore(change.key, change.state.unwrap()).unwrap();
    }
    assert_eq!(restored.counters().series, 3);
    assert_eq!(
        restored.take_changes().len(),
        7,
        "the store hears of those that went"
    );
}

#[test]
fn a_state_that_contradicts_itself_is_refused_with_the_field() {
    let mut original = small(10);
    original.observe(at(0), &opened(1, 0));
    original.observe(at(60), &opened(1, 60));
    let state = original.take_changes().remove(0).state.unwrap();
    let text = serde_json::to_string(&state).unwrap();
    for (from, to, field) in [
        (r#""count":2"#, r#""count":1"#, "count"),
        (r#""score":0.0"#, r#""score":1.5"#, "score"),
        (r#""first_seen":0"#, r#""first_seen":9"#, "first_seen"),
        (
            r#""last_activity":60000000000"#,
            r#""last_activity":5"#,
            "last_activity",
        ),
        (r#""first_start":0"#, r#""first_start":null"#, "first_start"),
        (
            r#""first_start":0"#,
            r#""first_start":9223372036854775807"#,
            "intervals_ns",
        ),
    ] {
        let broken = text.replace(from, to);
        assert_ne!(broken, text, "{from} is not in {text}");
        let error = small(10)
            .restore(key(1), serde_json::from_str(&broken).unwrap())
            .unwrap_err();
        assert!(
            matches!(&error, RestoreError::Invalid { field: found, .. } if *found == field),
            "{error}"
        );
    }
}

/// A connection of a process, and of the pod that it runs in.
fn of_pod(second: i64, pid: u32, pod: Option<&str>) -> Observation {
    let owner = |pod: &str| {
        Arc::new(Owner {
            container_id: Some(Arc::from("3f4a5b6c7d8e")),
            pod_name: Some(Arc::from(pod)),
            ..Owner::default()
        })
    };
    Observation {
        process: Some(Arc::new(Process {
            pid,
            ..Process::default()
        })),
        owner: pod.map(owner),
        ..opened(1, second)
    }
}

fn last_owner(observations: &[Observation]) -> (Option<u32>, Option<Arc<str>>) {
    let mut detector = detector(Settings::default());
    for observation in observations {
        detector.observe(at(1000), observation);
    }
    let found = detector.assess(&key(1), at(1000), &Context::default());
    let found = found.unwrap();
    let pod = found.owner.and_then(|it| it.pod_name.clone());
    (found.process.map(|it| it.pid), pod)
}

#[test]
fn an_owner_that_is_known_later_than_its_process_is_that_of_the_assessment() {
    let mut all = [of_pod(1, 7, None), of_pod(2, 7, Some("web"))];
    let expected = (Some(7), Some(Arc::from("web")));
    assert_eq!(last_owner(&all), expected);
    all.reverse();
    assert_eq!(last_owner(&all), expected);
}

#[test]
fn an_assessment_names_no_process_with_the_owner_of_another() {
    let all = [of_pod(1, 7, Some("web")), of_pod(2, 8, None), opened(1, 3)];
    assert_eq!(last_owner(&all), (Some(8), None));
}

#[test]
fn series_of_one_owner_share_one_value_whatever_observations_it_came_with() {
    let mut detector = detector(Settings::default());
    for number in 1..=3 {
        let seen = Observation {
            key: key(number),
            ..of_pod(i64::from(number), 7, Some("web"))
        };
        detector.observe(at(1000), &seen);
    }
    let context = Context::default();
    let owners = detector.assess_all(at(1000), &context);
    let owners: Vec<Arc<Owner>> = owners.map(|it| it.owner.unwrap()).collect();
    assert_eq!(owners.len(), 3);
    assert!(owners.iter().all(|it| Arc::ptr_eq(it, &owners[0])));
}

#[test]
fn of_an_owner_of_hostile_lengths_a_series_keeps_a_kilobyte_of_each_text_at_most() {
    let mut seen = of_pod(1, 7, Some("web"));
    let long: Arc<str> = Arc::from("ab".repeat(1 << 20));
    if let Some(owner) = seen.owner.as_mut().map(Arc::make_mut) {
        owner.command_line = Some(Arc::clone(&long));
        owner.parent_executable = Some(long);
    }
    let mut detector = detector(Settings::default());
    detector.observe(at(1000), &seen);
    let found = detector.assess(&key(1), at(1000), &Context::default());
    let owner = found.unwrap().owner.unwrap();
    assert_eq!(owner.command_line.as_ref().map(|it| it.len()), Some(1024));
    assert_eq!(owner.parent_executable, None);
    assert_eq!(owner.container_id.as_deref(), Some("3f4a5b6c7d8e"));
}
