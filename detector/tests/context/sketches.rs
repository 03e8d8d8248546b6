//! Laws of merging, and the estimator against an oracle.
//!
//! `tests/oracle/distinct.py` writes `tests/oracle/distinct.json`; it shares nothing with this code.

use beaconwatch_detector::context::{DistinctCount, Prevalence, SubdomainCounts};
use proptest::prelude::*;
use serde_json::Value;

use super::*;

#[test]
fn the_estimate_is_that_of_the_oracle_for_the_same_hashes() {
    let oracle: Value = serde_json::from_str(include_str!("../oracle/distinct.json")).unwrap();
    let cases = oracle["cases"].as_array().unwrap();
    assert!(cases.len() >= 10);
    for case in cases {
        let mut count = DistinctCount::default();
        let (number, step) = (case["count"].as_u64().unwrap(), 0x9e37_79b9_7f4a_7c15_u64);
        let mut state = case["seed"].as_u64().unwrap();
        for _ in 0..number {
            // SplitMix64 (Steele, Lea, Flood 2014).
            state = state.wrapping_add(step);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            count.insert(z ^ (z >> 31));
        }
        let expected = case["estimate"].as_f64().unwrap();
        let found = count.estimate();
        assert!(
            (found - expected).abs() <= 1e-9 * expected.max(1.0),
            "{number}: {found} {expected}"
        );
    }
}

#[test]
fn the_error_is_what_is_stated_at_every_size() {
    for number in [5_u64, 16, 17, 40, 200, 1000, 30_000] {
        let runs = if number > 1000 { 40 } else { 200 };
        let mut squares = 0.0;
        let mut sum = 0.0;
        for run in 0..runs {
            let mut count = DistinctCount::default();
            for thing in 0..number {
                count.insert(xxhash_like(run * 1_000_003 + thing));
            }
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let error = count.estimate() / number as f64 - 1.0;
            sum += error;
            squares += error * error;
        }
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let (bias, deviation) = (sum / runs as f64, (squares / runs as f64).sqrt());
        if number <= 16 {
            assert!(deviation < 1e-12, "exact while few: {number} {deviation}");
        } else {
            assert!(deviation < 0.065 * 1.3, "{number}: {deviation}");
            assert!(bias.abs() < 0.035, "{number}: {bias}");
        }
    }
}

/// Spreads numbers over 64 bits (`MurmurHash3`'s finaliser).
fn xxhash_like(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x1234_5678_9abc_def1);
    z = (z ^ (z >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    z = (z ^ (z >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    z ^ (z >> 33)
}

fn count_of(things: &[u16]) -> DistinctCount {
    let mut count = DistinctCount::default();
    for thing in things {
        count.insert(xxhash_like(u64::from(*thing)));
    }
    count
}

type Seen = (u8, u8, Option<u8>, Option<u8>, u32);

fn prevalence_of(most: usize, seen: &[Seen]) -> Prevalence {
    let mut prevalence = Prevalence::new(most, 42);
    for (source, server, name, program, time) in seen {
        let key = key(
            &format!("10.0.0.{source}"),
            &format!("203.0.113.{server}"),
            443,
            Transport::Tcp,
        );
        let mut it = Observation::new(at(f64::from(*time)), Phase::Opened, key);
        it.server_name = name.map(|name| Arc::from(format!("n{}.example.org", name % 20)));
        it.process = program.map(|program| process(&format!("p{}", program % 5), ""));
        prevalence.observe(&it);
    }
    prevalence
}

fn subdomains_of(most: usize, names: &[(u8, u8)]) -> SubdomainCounts {
    let mut counts = SubdomainCounts::new(most, 42);
    for (domain, name) in names {
        counts.observe(&format!("n{name}.d{domain}.org"));
    }
    counts
}

fn merged(one: &Prevalence, other: &Prevalence) -> Prevalence {
    let mut both = one.clone();
    both.merge(other).unwrap();
    both
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn counts_merge_as_sets_do(
        a in prop::collection::vec(any::<u16>(), 0..60),
        b in prop::collection::vec(any::<u16>(), 0..60),
        c in prop::collection::vec(any::<u16>(), 0..60),
    ) {
        let [x, y, z] = [count_of(&a), count_of(&b), count_of(&c)];
        let join = |one: &DistinctCount, other: &DistinctCount| {
            let mut both = one.clone();
            both.merge(other);
            both
        };
        prop_assert_eq!(join(&x, &y), join(&y, &x));
        prop_assert_eq!(join(&join(&x, &y), &z), join(&x, &join(&y, &z)));
        prop_assert_eq!(join(&x, &x), x.clone());
        let all: Vec<u16> = a.iter().chain(&b).copied().collect();
        prop_assert_eq!(join(&x, &y), count_of(&all));
    }

    #[test]
    fn shards_merge_into_what_one_would_have_counted_also_where_keys_were_dropped(
        seen in prop::collection::vec(any::<Seen>(), 0..120),
        most in prop::sample::select(vec![3_usize, 20, 10_000]),
        order in any::<u8>(),
    ) {
        let shard = |number: u8| -> Vec<Seen> {
            seen.iter().filter(|it| it.0 % 3 == number).copied().collect()
        };
        let [x, y, z] = [0, 1, 2].map(|number| prevalence_of(most, &shard(number)));
        let one = prevalence_of(most, &seen);
        prop_assert_eq!(&merged(&merged(&x, &y), &z), &one);
        prop_assert_eq!(&merged(&z, &merged(&y, &x)), &one);
        prop_assert_eq!(&merged(&one, &x), &one);
        prop_assert!(one.keys() <= most);
        // By time instead of by source, and in another order.
        let middle = seen.len() / 2;
        let (early, late) = seen.split_at(middle.min(usize::from(order)));
        prop_assert_eq!(&merged(&prevalence_of(most, late), &prevalence_of(most, early)), &one);
        let written = postcard::to_allocvec(&one).unwrap();
        prop_assert_eq!(&postcard::from_bytes::<Prevalence>(&written).unwrap(), &one);
    }

    #[test]
    fn subdomain_counts_merge_likewise(
        a in prop::collection::vec(any::<(u8, u8)>(), 0..80),
        b in prop::collection::vec(any::<(u8, u8)>(), 0..80),
        most in prop::sample::select(vec![2_usize, 1000]),
    ) {
        let (mut x, mut y) = (subdomains_of(most, &a), subdomains_of(most, &b));
        let all: Vec<_> = a.iter().chain(&b).copied().collect();
        let one = subdomains_of(most, &all);
        let before = x.clone();
        x.merge(&y).unwrap();
        y.merge(&before).unwrap();
        prop_assert_eq!(&x, &one);
        prop_assert_eq!(&y, &one);
        let written = postcard::to_allocvec(&one).unwrap();
        prop_assert_eq!(&postcard::from_bytes::<SubdomainCounts>(&written).unwrap(), &one);
    }

    #[test]
    fn no_stored_bytes_make_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(count) = postcard::from_bytes::<DistinctCount>(&bytes) {
            prop_assert!(count.estimate() >= 0.0);
        }
        if let Ok(mut prevalence) = postcard::from_bytes::<Prevalence>(&bytes) {
            prevalence.observe(&Observation::new(at(0.0), Phase::Opened, web()));
            prop_assert!(prevalence.sources() >= 1.0);
        }
    }
}

#[test]
fn sketches_of_different_seeds_are_not_merged() {
    let mut one = Prevalence::new(10, 1);
    let error = one.merge(&Prevalence::new(10, 2)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "sketches with seeds 1 and 2 cannot be merged, expected the same seed"
    );
}

#[test]
fn keys_that_are_not_kept_are_counted_about() {
    let mut prevalence = Prevalence::new(500, 42);
    for server in 0..10_000_u32 {
        let key = SeriesKey {
            destination: std::net::Ipv4Addr::from(0xcb00_0000 + server).into(),
            ..web()
        };
        prevalence.observe(&Observation::new(at(0.0), Phase::Opened, key));
    }
    assert_eq!(prevalence.keys(), 500);
    let dropped = prevalence.keys_not_kept();
    // Five standard errors of 1 / sqrt(500).
    assert!((dropped / 9500.0 - 1.0).abs() < 0.23, "{dropped}");
}
