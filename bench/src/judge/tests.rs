#![expect(clippy::float_cmp, reason = "a share of none or of all is exact")]

use serde_json::{Value, json};

use super::judge;
use crate::world::{Kind, Pair, Plan, World};

fn world() -> World {
    World::generate(&Plan {
        seed: 11,
        days: 1,
        irregular: 3_000,
        implants_each: 1,
    })
}

fn line(pair: &Pair, score: f64, detected: bool) -> Value {
    json!({
        "src": std::net::Ipv4Addr::from(pair.source),
        "dst": std::net::Ipv4Addr::from(pair.destination),
        "dport": pair.port,
        "proto": pair.transport,
        "score": score,
        "detected": detected,
    })
}

#[test]
fn what_knows_the_truth_finds_all_and_what_says_nothing_finds_none() {
    let world = world();
    let is_implant = |pair: &Pair| matches!(pair.kind, Kind::Implant(_));
    let lines = |knows: bool| {
        let line = |pair| line(pair, f64::from(u8::from(knows && is_implant(pair))), false);
        world.pairs.iter().map(line).collect::<Vec<_>>()
    };
    for hard in [false, true] {
        let all = judge(&world, hard, lines(true).into_iter());
        assert!(all.implants > 20, "{all:?}");
        assert_eq!(all.recall, [1.0; 3]);
        assert!(all.families.values().all(|recall| *recall == 1.0));
        let none = judge(&world, hard, lines(false).into_iter());
        assert_eq!(none.recall, [0.0; 3]);
        assert_eq!(judge(&world, hard, std::iter::empty()).recall, [0.0; 3]);
    }
}

#[test]
fn as_many_false_positives_as_the_budget_allows_may_lie_above_an_implant() {
    let world = world();
    let irregular: Vec<&Pair> = world
        .pairs
        .iter()
        .filter(|pair| pair.kind == Kind::Irregular && pair.connections > 0)
        .collect();
    let allowed = irregular.len() / 1000;
    assert!(allowed >= 2);
    let found_below = |above: usize| {
        let falsely = irregular
            .iter()
            .take(above)
            .map(|pair| line(pair, 2.0, true));
        let rightly = world
            .pairs
            .iter()
            .filter(|pair| matches!(pair.kind, Kind::Implant(_)))
            .map(|pair| line(pair, 1.0, true));
        judge(&world, false, falsely.chain(rightly))
    };
    let within = found_below(allowed);
    assert_eq!(within.recall, [1.0, 0.0, 0.0]);
    assert_eq!((within.flagged, within.false_flags), (1.0, allowed));
    assert_eq!(found_below(allowed + 1).recall, [0.0; 3]);
}
