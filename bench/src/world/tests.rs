use super::{BEGIN_S, Kind, Plan, World};

fn small(days: u32) -> World {
    World::generate(&Plan {
        seed: 3,
        days,
        irregular: 4_000,
        implants_each: 2,
    })
}

#[test]
fn a_seed_makes_the_same_world_again_and_another_seed_another() {
    let plan = Plan {
        seed: 3,
        days: 1,
        irregular: 500,
        implants_each: 1,
    };
    let made = |plan: &Plan| format!("{:?}", World::generate(plan));
    assert_eq!(made(&plan), made(&plan));
    assert_ne!(made(&plan), made(&Plan { seed: 4, ..plan }));
}

#[test]
fn the_truth_counts_what_is_written() {
    for days in [1, 14] {
        let world = small(days);
        let mut written = vec![0; world.pairs.len()];
        for contact in &world.connections {
            written[contact.pair] += 1;
            assert!((0.0..f64::from(days) * 86_400.0).contains(&contact.time_s));
        }
        let counted: Vec<usize> = world.pairs.iter().map(|pair| pair.connections).collect();
        assert_eq!(written, counted);
        for implant in &world.implants {
            let connections: usize = implant.pairs.iter().map(|pair| written[*pair]).sum();
            if implant.schedule.is_inside_one_connection() {
                assert_eq!(connections, 1);
            } else {
                assert_eq!(connections, implant.beats);
            }
        }
    }
}

#[test]
fn a_world_has_the_pairs_that_were_asked_for_and_each_pair_is_one_key() {
    let world = small(14);
    let silent = world
        .pairs
        .iter()
        .filter(|pair| pair.kind == Kind::Irregular && pair.connections == 0)
        .count();
    assert_eq!(world.irregular() + silent, 4_000);
    assert!(silent < 200, "{silent} irregular pairs have no connection");
    let mut keys: Vec<_> = world
        .pairs
        .iter()
        .map(|pair| (pair.source, pair.destination, pair.port, pair.transport))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), world.pairs.len());
}

#[test]
fn gaps_of_an_implant_have_the_mean_of_its_sleep() {
    use super::host::Host;
    use super::implant::schedules;
    use crate::random::Numbers;
    let mut numbers = Numbers::new(1);
    let host = Host::new(1, &mut numbers);
    // Weibull, gamma and normal gaps have the mean 70, 280 or 840 s, symmetric jitter as well.
    let families = ["Weibull", "gamma", "normal", "symmetric 80 %"];
    let mut looked_at = 0;
    for schedule in schedules(1)
        .iter()
        .filter(|it| families.contains(&it.family))
    {
        let beats = schedule.beats(4e6, &host, &mut numbers);
        let span_s = beats[beats.len() - 1].time_s - beats[0].time_s;
        let mean_s = span_s / (beats.len() - 1) as f64;
        let nearest = [70.0, 280.0, 840.0]
            .map(|sleep_s: f64| (mean_s / sleep_s - 1.0).abs())
            .into_iter()
            .fold(f64::INFINITY, f64::min);
        assert!(nearest < 0.05, "{schedule:?}: {mean_s}");
        looked_at += 1;
    }
    assert_eq!(looked_at, 18);
}

#[test]
fn a_written_world_is_read_back_by_the_inputs() {
    let world = small(1);
    let folder = tempfile::tempdir().unwrap();
    world.write(folder.path()).unwrap();
    let files = ["conn.ndjson.gz", "updates.ndjson.gz"].map(|name| folder.path().join(name));
    let settings = beaconwatch_inputs::Settings::default();
    let reading = beaconwatch_inputs::read(&files, &settings).unwrap();
    let first_s = reading
        .observations
        .iter()
        .map(|it| it.time.unix_nanos() / 1_000_000_000)
        .min()
        .unwrap();
    assert!((0..86_400).contains(&(first_s - BEGIN_S as i64)));
    assert!(reading.observations.len() >= world.connections.len());
    assert!(!world.activity.is_empty());
}
