//! Changes of a running sidecar: by a patch of settings, by another configuration.

use std::collections::BTreeMap;
use std::path::Path;

use beaconwatch_sidecar::destinations::{DestinationKind, FileConfig};
use beaconwatch_sidecar::{Config, DestinationConfig, Sidecar};
use serde_json::{Value, json};

use crate::flows::{START, beacon, request};
use crate::running::{Hands, config, documents, start, until};

/// Lets a beacon in that has `count` beats.
async fn receive_beacon(sidecar: &Sidecar, place: u64, count: u64) {
    let destination = format!("198.51.100.{}", place + 1);
    // An exporter of its own: numbers that are left out would be reported as missing.
    let exporter = format!("exporter-{place}");
    let records = beacon(&exporter, 0, &destination, START, 60, count);
    sidecar.receiver().accept(request(records)).await.unwrap();
}

fn file(path: &Path) -> DestinationConfig {
    DestinationKind::File(FileConfig {
        path: Some(path.to_owned()),
        create_folder: false,
    })
    .into()
}

fn ids(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let documents = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    documents
        .map(|it| it["event"]["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Waits until nothing waits for any destination.
async fn settled(sidecar: &Sidecar) {
    until("all documents are delivered", async || {
        let status = sidecar.status().await.unwrap();
        status
            .destinations
            .iter()
            .all(|it| it.pending == 0)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_setting_of_the_detector_is_in_force_with_the_next_analysis() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config(folder.path()), &Hands::new()).await;
    let patch = json!({"detector": {"evidence": {"alert_threshold": 1.0}}});
    let view = sidecar
        .change_configuration(&patch, "tester")
        .await
        .unwrap();
    assert_eq!(
        view.effective["detector"]["evidence"]["alert_threshold"],
        1.0
    );
    assert_eq!(view.overrides, patch);
    receive_beacon(&sidecar, 0, 40).await;
    assert_eq!(sidecar.analyse().await.unwrap().detected, 0);

    let patch = json!({"detector": {"evidence": {"alert_threshold": null}}});
    let view = sidecar
        .change_configuration(&patch, "tester")
        .await
        .unwrap();
    assert_eq!(
        view.effective["detector"]["evidence"]["alert_threshold"],
        0.5
    );
    assert_eq!(view.overrides, json!({}));
    let report = sidecar.analyse().await.unwrap();
    assert_eq!(
        (report.assessed, report.detected),
        (1, 1),
        "nothing new came in"
    );
}

#[tokio::test]
async fn what_was_set_survives_a_restart_and_a_reload_and_stands_above_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config(folder.path()), &Hands::new()).await;
    let patch = json!({
        "detector": {"seed": {"alert_threshold": 0.99}},
        "analysis_interval_s": 77,
        "destinations": {"file": {"route": {"minimum_severity": "critical"}}},
    });
    sidecar
        .change_configuration(&patch, "tester")
        .await
        .unwrap();
    assert_eq!(
        sidecar.status().await.unwrap().detector.analysis_interval_s,
        77
    );
    sidecar.stop(crate::running::PATIENCE).await;

    let mut changed = config(folder.path());
    changed.detector.seed.alert_threshold = 0.5;
    let sidecar = start(changed.clone(), &Hands::new()).await;
    let view = sidecar.configuration();
    assert_eq!(view.overrides, patch);
    assert_eq!(view.effective["detector"]["seed"]["alert_threshold"], 0.99);
    let route = &view.effective["destinations"]["file"]["route"];
    assert_eq!(route["minimum_severity"], "critical");

    changed.detector.seed.min_connections = 12;
    sidecar.reload(changed).await.unwrap();
    let view = sidecar.configuration();
    assert_eq!(view.effective["detector"]["seed"]["alert_threshold"], 0.99);
    assert_eq!(view.effective["detector"]["seed"]["min_connections"], 12);
}

#[tokio::test]
async fn a_wrong_patch_changes_nothing_and_names_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config(folder.path()), &Hands::new()).await;
    let before = sidecar.configuration();
    for (patch, field) in [
        (
            json!({"detector": {"seed": {"alert_threshold": 7}}}),
            "detector.seed.alert_threshold",
        ),
        (
            json!({"detector": {"seed": {"alert_threshold": "x"}}}),
            "detector.seed.alert_threshold",
        ),
        (
            json!({"detector": {"seed": {"alert_treshold": 0.5}}}),
            "detector.seed.alert_treshold",
        ),
        (
            json!({"detector": {"profile": "magic"}}),
            "detector.profile",
        ),
        (json!({"analysis_interval_s": 0}), "analysis_interval_s"),
        (json!({"analysis_interval_s": -1}), "analysis_interval_s"),
        (
            json!({"destinations": {"file": {"route": {"minimum_severity": "grave"}}}}),
            "destinations.file.route.minimum_severity",
        ),
        (
            json!({"destinations": {"file": {"path": "/etc/passwd"}}}),
            "destinations.file.path",
        ),
        (json!({"data_directory": "/"}), "data_directory"),
        // The second half is right: nothing of it may be taken.
        (
            json!({"update_interval_s": 1, "analysis_interval_s": 5}),
            "update_interval_s",
        ),
    ] {
        let refused = sidecar
            .change_configuration(&patch, "tester")
            .await
            .unwrap_err();
        assert!(refused.to_string().starts_with(field), "{patch}: {refused}");
        assert_eq!(sidecar.configuration(), before, "{patch}");
    }
}

#[tokio::test]
async fn what_was_set_for_a_destination_that_is_gone_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config(folder.path()), &Hands::new()).await;
    let patch = json!({"destinations": {"file": {"route": {"enabled": false}}}});
    sidecar
        .change_configuration(&patch, "tester")
        .await
        .unwrap();
    sidecar.stop(crate::running::PATIENCE).await;
    let other = Config {
        destinations: BTreeMap::new(),
        ..config(folder.path())
    };
    let sidecar = start(other, &Hands::new()).await;
    assert_eq!(sidecar.configuration().overrides, json!({}));
}

#[tokio::test]
async fn a_reload_applies_what_it_can_and_names_what_needs_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config(folder.path()), &Hands::new()).await;
    let mut other = config(folder.path());
    other.detector.seed.alert_threshold = 0.8;
    other.detector.max_series = 10;
    other.analysis_interval_s = 60;
    other.api.max_connections = 7;
    let report = sidecar.reload(other.clone()).await.unwrap();
    assert_eq!(
        report.applied,
        ["analysis_interval_s", "detector.seed.alert_threshold"]
    );
    assert_eq!(
        report.needs_restart,
        ["api.max_connections", "detector.max_series"]
    );
    let view = sidecar.configuration();
    assert_eq!(view.restart_needed, report.needs_restart);
    assert_eq!(view.effective["detector"]["seed"]["alert_threshold"], 0.8);

    let again = sidecar.reload(other.clone()).await.unwrap();
    assert!(again.applied.is_empty());
    assert_eq!(again.needs_restart, report.needs_restart, "they wait still");

    other.detector.seed.alert_threshold = 3.0;
    other.analysis_interval_s = 61;
    let refused = sidecar.reload(other).await.unwrap_err().to_string();
    assert!(
        refused.starts_with("detector.seed.alert_threshold is 3"),
        "{refused}"
    );
    assert_eq!(sidecar.configuration(), view);
}

#[tokio::test]
async fn a_destination_that_cannot_be_made_keeps_a_reload_from_changing_anything() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config(folder.path()), &Hands::new()).await;
    let before = sidecar.configuration();
    let mut other = config(folder.path());
    other.analysis_interval_s = 60;
    let nowhere = file(&folder.path().join("no such folder/detections.ndjson"));
    other.destinations.insert("nowhere".to_owned(), nowhere);
    let refused = sidecar.reload(other).await.unwrap_err().to_string();
    assert!(
        refused.contains("nowhere") && refused.contains("no such folder"),
        "{refused}"
    );
    assert_eq!(sidecar.configuration(), before);
    receive_beacon(&sidecar, 0, 40).await;
    sidecar.analyse().await.unwrap();
    settled(&sidecar).await;
    assert_eq!(documents(folder.path()).len(), 1);
}

#[tokio::test]
async fn destinations_come_and_go_while_records_flow_and_nothing_is_lost() {
    const ROUNDS: u64 = 8;
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config(folder.path()), &Hands::new()).await;
    let kept = folder.path().join("detections.ndjson");
    let second = folder.path().join("second.ndjson");
    let mut with_second = config(folder.path());
    with_second
        .destinations
        .insert("second".to_owned(), file(&second));
    let mut expected_in_second = 0;
    for round in 0..ROUNDS {
        let has_second = round % 2 == 1;
        let mut next = if has_second {
            with_second.clone()
        } else {
            config(folder.path())
        };
        // The worker of the other destination is exchanged, too.
        next.delivery.max_backoff_s = 1 + round;
        receive_beacon(&sidecar, round, 40).await;
        let (analysed, reloaded) = tokio::join!(sidecar.analyse(), sidecar.reload(next));
        assert_eq!(analysed.unwrap().documents, 1);
        reloaded.unwrap();
        receive_beacon(&sidecar, 100 + round, 40).await;
        assert_eq!(sidecar.analyse().await.unwrap().documents, 1);
        expected_in_second += u64::from(has_second);
    }
    settled(&sidecar).await;
    let mut found = ids(&kept);
    found.sort();
    found.dedup();
    assert_eq!(found.len() as u64, 2 * ROUNDS);
    assert_eq!(ids(&kept).len() as u64, 2 * ROUNDS, "and none twice");
    // What came while the second destination was being made may or may not be for it.
    assert!(ids(&second).len() as u64 >= expected_in_second);
}

#[tokio::test]
async fn what_waits_for_a_destination_waits_while_it_is_gone_and_is_delivered_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("mount");
    std::fs::create_dir(&place).unwrap();
    let path = place.join("detections.ndjson");
    let mut first = config(folder.path());
    first.destinations = BTreeMap::from([("mounted".to_owned(), file(&path))]);
    let sidecar = start(first.clone(), &Hands::new()).await;
    std::fs::remove_dir_all(&place).unwrap();
    receive_beacon(&sidecar, 0, 40).await;
    assert_eq!(sidecar.analyse().await.unwrap().documents, 1);
    until("an attempt failed", async || {
        let status = sidecar.status().await.unwrap();
        (status.destinations[0].failures > 0).then_some(())
    })
    .await;
    let without = Config {
        destinations: BTreeMap::new(),
        ..config(folder.path())
    };
    sidecar.reload(without).await.unwrap();
    let status = sidecar.status().await.unwrap();
    assert_eq!(
        (
            status.destinations[0].name.as_str(),
            status.destinations[0].pending
        ),
        ("mounted", 1)
    );

    std::fs::create_dir(&place).unwrap();
    sidecar.reload(first).await.unwrap();
    settled(&sidecar).await;
    assert_eq!(ids(&path).len(), 1);
}

#[tokio::test]
async fn the_configuration_is_read_again_where_it_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config(folder.path()), &Hands::new()).await;
    let refused = sidecar.reread().await.unwrap_err().to_string();
    assert!(refused.contains("without a configuration"), "{refused}");
    let mut next = config(folder.path());
    next.update_interval_s = 90;
    let source = std::sync::Mutex::new(vec![Err("beaconwatch.toml:3: no".to_owned()), Ok(next)]);
    sidecar.reread_with(std::sync::Arc::new(move || {
        source.lock().unwrap().remove(0)
    }));
    let refused = sidecar.reread().await.unwrap_err().to_string();
    assert_eq!(refused, "beaconwatch.toml:3: no");
    assert_eq!(
        sidecar.reread().await.unwrap().applied,
        ["update_interval_s"]
    );
    assert_eq!(sidecar.configuration().effective["update_interval_s"], 90);
}
