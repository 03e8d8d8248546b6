use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_nanos(1);

fn tracker(sequences: &[u64]) -> Tracker {
    let mut tracker = Tracker::new(sequences[0], NOW);
    for &sequence in sequences {
        tracker.arrive(sequence, NOW);
    }
    tracker
}

#[test]
fn a_sequence_without_gaps_misses_nothing() {
    let tracker = tracker(&[0, 1, 2, 3]);
    assert_eq!(
        (tracker.missing(), tracker.duplicates(), tracker.received()),
        (0, 0, 4)
    );
}

#[test]
fn a_skipped_range_is_missing_until_it_comes() {
    let mut tracker = tracker(&[0, 5]);
    assert_eq!(tracker.gaps().collect::<Vec<_>>(), [(1, 5)]);
    assert_eq!(tracker.arrive(3, NOW), Arrival::New);
    assert_eq!(tracker.gaps().collect::<Vec<_>>(), [(1, 3), (4, 5)]);
    assert_eq!(tracker.arrive(3, NOW), Arrival::Duplicate);
    assert_eq!((tracker.missing(), tracker.duplicates()), (3, 1));
}

#[test]
fn numbers_before_the_first_contact_are_no_gap_and_no_duplicates() {
    let mut tracker = tracker(&[1000]);
    assert_eq!(
        (tracker.missing(), tracker.before_first_contact()),
        (0, 1000)
    );
    assert_eq!(tracker.arrive(999, NOW), Arrival::New);
    assert_eq!(tracker.arrive(999, NOW), Arrival::Duplicate);
    assert_eq!(
        (tracker.missing(), tracker.before_first_contact()),
        (0, 999)
    );
}

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_nanos(seconds * 1_000_000_000)
}

/// What lasts at a look.
fn look(tracker: &mut Tracker, seconds: i64) -> u64 {
    tracker.look(at(seconds));
    tracker.lasting(at(seconds))
}

#[test]
fn a_gap_lasts_two_minutes_after_it_opened_whenever_it_is_looked_at() {
    for looks in [&[][..], &[30, 60, 90, 119], &[119]] {
        let mut tracker = Tracker::new(0, at(0));
        tracker.arrive(0, at(0));
        tracker.arrive(5, at(10));
        for seconds in looks {
            assert_eq!(look(&mut tracker, *seconds), 0, "{seconds} of {looks:?}");
        }
        assert_eq!(look(&mut tracker, 130), 4, "{looks:?}");
    }
}

#[test]
fn a_young_gap_does_not_count_beside_an_old_one_and_what_came_counts_no_more() {
    let mut tracker = Tracker::new(0, at(0));
    tracker.arrive(0, at(0));
    tracker.arrive(5, at(0));
    tracker.arrive(10, at(100));
    assert_eq!(look(&mut tracker, 125), 4);
    tracker.arrive(2, at(126));
    assert_eq!(look(&mut tracker, 130), 3);
    assert_eq!(look(&mut tracker, 225), 7);
    for number in [1, 3, 4, 6, 7, 8, 9] {
        tracker.arrive(number, at(226));
    }
    assert_eq!(look(&mut tracker, 227), 0);
    tracker.arrive(12, at(230));
    assert_eq!(look(&mut tracker, 340), 0, "a new gap has its own time");
    assert_eq!(look(&mut tracker, 350), 1);
}

#[test]
fn stands_stay_few_however_many_gaps_open() {
    let mut tracker = Tracker::new(0, at(0));
    for second in 0..600 {
        tracker.arrive(2 * u64::try_from(second).unwrap(), at(second));
        tracker.look(at(second));
        assert!(tracker.stands.len() <= 10, "{}", tracker.stands.len());
    }
}

#[test]
fn too_many_ranges_are_given_up_but_stay_counted() {
    let numbers: Vec<u64> = (0..=2 * MISSING_RANGES as u64 + 20).step_by(2).collect();
    let tracker = tracker(&numbers);
    assert_eq!(tracker.missing(), MISSING_RANGES as u64 + 10);
    assert_eq!(tracker.gaps().count(), MISSING_RANGES);
}

#[test]
fn the_exporter_silent_for_longest_is_forgotten_first() {
    let mut sequences = Sequences::new(2);
    for (name, at) in [("a", 2), ("b", 1), ("c", 3)] {
        sequences.arrive(&Arc::from(name), 0, Timestamp::from_unix_nanos(at));
    }
    let mut known: Vec<_> = sequences.iter().map(|(id, _)| id.to_string()).collect();
    known.sort();
    assert_eq!(known, ["a", "c"]);
    assert_eq!(sequences.forgotten(), 1);
    let forgotten = sequences
        .take_changes()
        .into_iter()
        .find(|(id, _)| &**id == "b");
    assert!(forgotten.is_some_and(|(_, tracker)| tracker.is_none()));
}

proptest! {
    #[test]
    fn every_number_is_new_exactly_once_in_any_order(
        numbers in prop::collection::vec(0_u64..200, 1..300)
    ) {
        let mut tracker = Tracker::new(numbers[0], NOW);
        let mut seen = BTreeSet::new();
        for &number in &numbers {
            let expected = if seen.insert(number) { Arrival::New } else { Arrival::Duplicate };
            prop_assert_eq!(tracker.arrive(number, NOW), expected);
        }
        let largest = numbers.iter().max().copied().unwrap_or(0);
        let absent = (largest + 1) - seen.len() as u64;
        prop_assert_eq!(tracker.missing() + tracker.before_first_contact(), absent);
    }
}
