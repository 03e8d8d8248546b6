//! A setup that is interrupted at any change is finished by the next one, and can be undone at any point.

use beaconwatch_setup::{Part, SetupError, install, remove};
use serde_json::{Value, json};

use crate::{scene, stub::World};

/// What is there before: one object of ours from earlier, one of somebody else in our way.
fn before() -> Vec<(String, Value)> {
    let ours = json!({ "_meta": { "managed_by": "beaconwatch" }, "index_patterns": ["old"], "priority": 250 });
    let foreign = json!({ "description": "another's", "processors": [] });
    vec![
        ("_index_template/logs-beaconwatch.flow".to_owned(), ours),
        (
            "_ingest/pipeline/logs-beaconwatch.sensor".to_owned(),
            foreign,
        ),
    ]
}

fn reset(world: &mut World) {
    *world = World::default();
    world.objects.extend(before());
}

#[tokio::test]
async fn a_setup_that_is_interrupted_anywhere_is_finished_and_undone() {
    let (stub, _folder, mut settings) = scene();
    settings.force = true;
    settings.without.insert(Part::Dashboards);
    reset(&mut stub.world());
    install(&settings, false).await.unwrap();
    let (whole, changes) = {
        let world = stub.world();
        (world.objects.clone(), world.writes.len())
    };
    assert!(changes > 20, "{changes}");
    for at in 0..changes {
        for made in [false, true] {
            std::fs::remove_file(&settings.journal).unwrap();
            reset(&mut stub.world());
            stub.world().breaks_at = Some((at, made));
            let result = install(&settings, false).await;
            assert!(
                matches!(result, Err(SetupError::Unreachable { .. })),
                "{at}: {result:?}"
            );
            let interrupted = std::fs::read(&settings.journal).unwrap();
            let left = stub.world().objects.clone();
            stub.world().breaks_at = None;

            settings.force = false;
            remove(&settings, false).await.unwrap();
            let undone: Vec<_> = stub.world().objects.clone().into_iter().collect();
            assert_eq!(undone, before(), "undone after {at}, {made}");

            settings.force = true;
            stub.world().objects = left;
            std::fs::write(&settings.journal, interrupted).unwrap();
            install(&settings, false).await.unwrap();
            assert_eq!(stub.world().objects, whole, "finished after {at}, {made}");
            assert!(!install(&settings, true).await.unwrap().has_changes());

            settings.force = false;
            remove(&settings, false).await.unwrap();
            let undone: Vec<_> = stub.world().objects.clone().into_iter().collect();
            assert_eq!(undone, before(), "finished and undone after {at}, {made}");
            settings.force = true;
            std::fs::write(&settings.journal, "").unwrap();
        }
    }
}

#[tokio::test]
async fn a_removal_that_is_interrupted_anywhere_is_finished() {
    let (stub, _folder, mut settings) = scene();
    settings.force = true;
    settings.without.insert(Part::Dashboards);
    reset(&mut stub.world());
    install(&settings, false).await.unwrap();
    let journal = std::fs::read(&settings.journal).unwrap();
    let whole = stub.world().objects.clone();
    stub.world().writes.clear();
    settings.force = false;
    remove(&settings, false).await.unwrap();
    let changes = stub.world().writes.len();
    assert!(changes > 20, "{changes}");
    for at in 0..changes {
        for made in [false, true] {
            std::fs::write(&settings.journal, &journal).unwrap();
            {
                let mut world = stub.world();
                reset(&mut world);
                world.objects.clone_from(&whole);
                world.breaks_at = Some((at, made));
            }
            assert!(remove(&settings, false).await.is_err(), "{at}");
            stub.world().breaks_at = None;
            remove(&settings, false).await.unwrap();
            let undone: Vec<_> = stub.world().objects.clone().into_iter().collect();
            assert_eq!(undone, before(), "{at}, {made}");
            assert!(!settings.journal.exists());
        }
    }
}
