//! What people change over the API, and what stands in the audit afterwards.

use beaconwatch_sidecar::Sidecar;
use serde_json::{Value, json};

use crate::asking::Asking;
use crate::flows::{START, beacon, request};
use crate::running::{Hands, PATIENCE, config, config_without_destinations, start};

async fn found(folder: &tempfile::TempDir) -> (Sidecar, Asking, String) {
    let config = config_without_destinations(folder.path());
    let sidecar = start(config, &Hands::new()).await;
    let asking = Asking::of(&sidecar, folder.path());
    let flows = beacon("exporter-1", 0, "198.51.100.7", START, 60, 40);
    sidecar.receiver().accept(request(flows)).await.unwrap();
    sidecar.analyse().await.unwrap();
    let alerts = asking.read("/api/v1/alerts").await;
    let id = alerts["alerts"][0]["alert_id"].as_str().unwrap().to_owned();
    (sidecar, asking, id)
}

#[tokio::test]
async fn an_alert_is_told_in_other_vocabularies_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let (_sidecar, asking, id) = found(&folder).await;
    let path = |vocabulary: &str| format!("/api/v1/alerts/{id}/{vocabulary}");
    let document = asking.read(&path("ecs")).await;
    assert_eq!(document["beaconwatch"]["finding"]["id"], id.as_str());
    assert_eq!(document["event"]["action"], "beacon-detected");
    let event = asking.read(&path("ocsf")).await;
    assert_eq!(
        (
            &event["class_uid"],
            &event["activity_id"],
            &event["status_id"]
        ),
        (&json!(2004), &json!(1), &json!(1))
    );
    let bundle = asking.read(&path("stix")).await;
    assert_eq!(bundle["type"], "bundle");
    assert_eq!(bundle, asking.read(&path("stix")).await);

    let (status, _) = asking
        .post(&path("close"), &json!({"reason": "done"}))
        .await;
    assert_eq!(status, 200);
    let event = asking.read(&path("ocsf")).await;
    assert_eq!(
        (&event["activity_id"], &event["status_id"]),
        (&json!(3), &json!(4))
    );
    assert_eq!(
        asking.read(&path("ecs")).await["event"]["action"],
        "beacon-closed"
    );

    let unknown = "/api/v1/alerts/00000000000000000000000000000000/stix";
    assert_eq!(asking.get(unknown).await.0, 404);
}

#[tokio::test]
async fn an_alert_is_acknowledged_commented_suppressed_closed_and_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let (sidecar, asking, id) = found(&folder).await;
    let path = |action: &str| format!("/api/v1/alerts/{id}/{action}");
    let post = async |action: &str, body: Value| {
        let (status, alert) = asking.post(&path(action), &body).await;
        assert_eq!(status, 200, "{action}: {alert}");
        alert
    };
    let alert = post("acknowledge", json!({"comment": "mine"})).await;
    assert_eq!(alert["acknowledged"]["by"], "local");
    assert_eq!(alert["acknowledged"]["comment"], "mine");
    let beacons = asking.read("/api/v1/beacons").await;
    assert_eq!(beacons["beacons"][0]["finding_id"], id.as_str());
    assert_eq!(beacons["beacons"][0]["acknowledged"]["by"], "local");
    let (status, alert) = asking.delete(&path("acknowledge")).await;
    assert_eq!((status, &alert["acknowledged"]), (200, &Value::Null));
    let beacons = asking.read("/api/v1/beacons").await;
    assert_eq!(beacons["beacons"][0]["acknowledged"], Value::Null);
    let alert = post("comment", json!({"text": "seen <b>before</b>"})).await;
    assert_eq!(alert["comments"][0]["text"], "seen <b>before</b>");
    let alert = post("suppress", json!({"for_s": 60})).await;
    assert!(alert["suppressed_until"].is_string());
    let (status, alert) = asking.delete(&path("suppress")).await;
    assert_eq!((status, &alert["suppressed_until"]), (200, &Value::Null));
    let alert = post("close", json!({"reason": "done"})).await;
    assert_eq!(alert["state"], "closed");
    assert_eq!(asking.post(&path("close"), &json!({})).await.0, 409);
    let alert = post("reopen", json!({})).await;
    assert_eq!(alert["state"], "open");

    let whole = asking.read(&format!("/api/v1/alerts/{id}")).await;
    let events: Vec<&str> = whole["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["event"].as_str().unwrap())
        .collect();
    assert_eq!(events.first(), Some(&"beacon-detected"));
    assert_eq!(events.last(), Some(&"beacon-reopened"));
    assert_eq!(whole["series"]["times"].as_array().unwrap().len(), 40);

    let audit = asking.read("/api/v1/audit?limit=3").await;
    let actions: Vec<&str> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["alert.reopen", "alert.close", "alert.unsuppress"]);
    let entry = &audit["entries"][1];
    assert_eq!(
        (&entry["actor"], &entry["role"]),
        (&json!("local"), &json!("operate"))
    );
    assert_eq!(
        (&entry["target"], &entry["detail"]),
        (&json!(id), &json!("done"))
    );
    assert!(entry["remote"].as_str().unwrap().starts_with("127.0.0.1:"));
    let next = audit["next"].as_str().unwrap();
    let older = asking
        .read(&format!("/api/v1/audit?limit=3&cursor={next}"))
        .await;
    assert_eq!(older["entries"][0]["action"], "alert.suppress");
    sidecar.stop(PATIENCE).await;
}

#[tokio::test]
async fn what_cannot_be_done_with_an_alert_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let (_sidecar, asking, id) = found(&folder).await;
    let unknown = "0".repeat(32);
    for (id, action, body, expected) in [
        (unknown.as_str(), "close", json!({}), 404),
        ("nothing", "close", json!({}), 404),
        (id.as_str(), "comment", json!({}), 422),
        (id.as_str(), "comment", json!({"text": " "}), 422),
        (
            id.as_str(),
            "comment",
            json!({"text": "x".repeat(4001)}),
            422,
        ),
        (id.as_str(), "suppress", json!({"for_s": 0}), 422),
        (id.as_str(), "suppress", json!({"for_s": -1}), 422),
        (id.as_str(), "suppress", json!({"for_s": "60"}), 422),
        (id.as_str(), "close", json!({"why": "x"}), 422),
        (id.as_str(), "reopen", json!({}), 409),
        (id.as_str(), "explode", json!({}), 404),
    ] {
        let path = format!("/api/v1/alerts/{id}/{action}");
        let (status, answer) = asking.post(&path, &body).await;
        assert_eq!(status, expected, "{path} {body}: {answer}");
        assert!(answer["error"].is_string(), "{path} {body}: {answer}");
    }
}

#[tokio::test]
async fn an_entry_of_the_allow_list_is_shown_before_it_is_added_and_taken_off_again() {
    let folder = tempfile::tempdir().unwrap();
    let (_sidecar, asking, id) = found(&folder).await;
    let entry = json!({"destination": "198.51.100.0/24", "reason": "our own server"});
    let (status, shown) = asking.post("/api/v1/allow?dry_run=true", &entry).await;
    assert_eq!(status, 200, "{shown}");
    assert_eq!(shown["effect"]["findings"], 1);
    assert_eq!(shown["effect"]["alerts"][0]["alert_id"], id.as_str());
    assert_eq!(asking.read("/api/v1/allow").await["count"], 0);

    let (status, added) = asking.post("/api/v1/allow", &entry).await;
    assert_eq!(status, 201, "{added}");
    assert_eq!(added["entry"]["origin"], "api");
    let audit = asking.read("/api/v1/audit?limit=1").await;
    let said = audit["entries"][0]["detail"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(said).unwrap(), entry);
    let alert = asking.read(&format!("/api/v1/alerts/{id}")).await;
    assert_eq!(alert["state"], "closed");
    assert_eq!(alert["allowed"]["reason"], "our own server");
    let beacons = asking.read("/api/v1/beacons").await;
    assert_eq!(beacons["beacons"][0]["allowed"]["reason"], "our own server");
    assert_eq!(beacons["beacons"][0]["finding_id"], id.as_str());

    let path = format!("/api/v1/allow/{}", added["entry"]["id"].as_str().unwrap());
    assert_eq!(asking.delete(&path).await.0, 200);
    assert_eq!(asking.delete(&path).await.0, 404);
    let alert = asking.read(&format!("/api/v1/alerts/{id}")).await;
    assert_eq!(
        (&alert["state"], &alert["allowed"]),
        (&json!("open"), &Value::Null)
    );
    for wrong in [
        json!({"reason": "nothing"}),
        json!({"port": 443}),
        json!({"destination": "here", "reason": "x"}),
        json!({"port": 443, "reason": "x", "expires": "2001-01-01T00:00:00Z"}),
        json!({"port": 443, "reason": "x", "id": "mine"}),
    ] {
        let (status, answer) = asking.post("/api/v1/allow", &wrong).await;
        assert_eq!(status, 422, "{wrong}: {answer}");
    }
}

#[tokio::test]
async fn the_configuration_is_changed_as_a_whole_and_addresses_and_paths_never() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config(folder.path()), &Hands::new()).await;
    let asking = Asking::of(&sidecar, folder.path());
    let before = asking.read("/api/v1/config").await;
    for refused in [
        json!({"data_directory": "/tmp"}),
        json!({"api": {"address": "0.0.0.0:1"}}),
        json!({"api": {"tokens": {}}}),
        json!({"destinations": {"file": {"path": "/etc/passwd"}}}),
        json!({"destinations": {"new": {"type": "webhook", "url": "http://attacker.example"}}}),
        json!({"store": {"path": "/tmp/x"}}),
        json!({"update_interval_s": 120, "receive": {"max_records": 1}}),
        json!({"update_interval_s": 1}),
        json!({"update_interval_s": "soon"}),
        json!({"nothing": 1}),
        json!({"detection": {"alert_threshold": 0.8, "cv_treshold": 0.1}}),
        json!({"detection": {"alert_threshold": 0.8}, "detector": {"seed": {"alert_threshold": 0.9}}}),
        json!({"detection": 1}),
        json!({"detection": {"alert_threshold": 7}}),
        json!({"weights": {"cv": 1.0}}),
        json!({"alerting": {"webhook_url": "http://attacker.example"}}),
        json!({"alerting": {"webhook_enabled": true}}),
        json!({"whitelist": {"source_ips": []}}),
    ] {
        let (status, answer) = asking.post("/api/v1/config", &refused).await;
        assert_eq!(status, 422, "{refused}: {answer}");
        assert_eq!(asking.read("/api/v1/config").await, before, "{refused}");
    }
    let (status, after) = asking
        .post("/api/v1/config", &json!({"update_interval_s": 120}))
        .await;
    assert_eq!(status, 200, "{after}");
    assert_eq!(after["effective"]["update_interval_s"], 120);
    assert_eq!(after["overrides"], json!({"update_interval_s": 120}));
    let audit = asking.read("/api/v1/audit?limit=1").await;
    assert_eq!(audit["entries"][0]["action"], "config.change");
    let (status, after) = asking
        .post("/api/v1/config", &json!({"update_interval_s": null}))
        .await;
    assert_eq!((status, &after), (200, &before));
    // Nothing says here how the configuration is read again.
    assert_eq!(
        asking.post("/api/v1/config/reload", &json!({})).await.0,
        409
    );
}

#[tokio::test]
async fn the_configuration_is_changed_in_the_words_of_the_seed_too() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config(folder.path()), &Hands::new()).await;
    let asking = Asking::of(&sidecar, folder.path());
    let patch = json!({
        "detection": {"alert_threshold": 0.8, "jitter_threshold": 6, "alert_cooldown": 300},
        "alerting": {"file_enabled": false},
    });
    let (status, after) = asking.post("/api/v1/config", &patch).await;
    assert_eq!(status, 200, "{after}");
    assert_eq!(
        after["overrides"],
        json!({
            "detector": {"seed": {"alert_threshold": 0.8, "jitter_threshold_s": 6}},
            "update_interval_s": 300,
            "destinations": {"file": {"route": {"enabled": false}}},
        })
    );
}

#[tokio::test]
async fn destinations_are_listed_tested_and_their_dead_letters_handled() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config(folder.path()), &Hands::new()).await;
    let asking = Asking::of(&sidecar, folder.path());
    let listed = asking.read("/api/v1/destinations").await;
    assert_eq!(listed["destinations"][0]["name"], "file");
    assert_eq!(listed["destinations"][0]["type"], "file");
    assert_eq!(listed["destinations"][0]["configured"], true);
    let test = "/api/v1/destinations/file/test";
    let (status, shown) = asking
        .post(&format!("{test}?dry_run=true"), &json!({}))
        .await;
    assert_eq!(
        (status, &shown["outcome"]),
        (200, &json!("dry_run")),
        "{shown}"
    );
    let (status, tested) = asking.post(test, &json!({})).await;
    assert_eq!(
        (status, &tested["outcome"]),
        (200, &json!("delivered")),
        "{tested}"
    );
    let audit = asking.read("/api/v1/audit?limit=1").await;
    assert_eq!(audit["entries"][0]["action"], "destination.test");
    assert_eq!(
        asking
            .post("/api/v1/destinations/no/test", &json!({}))
            .await
            .0,
        404
    );
    assert_eq!(asking.delete("/api/v1/destinations/file").await.0, 409);
    assert_eq!(asking.delete("/api/v1/destinations/no").await.0, 404);
    let letters = asking.read("/api/v1/dead-letters").await;
    assert_eq!(
        (&letters["count"], &letters["next"]),
        (&json!(0), &Value::Null)
    );
    assert_eq!(
        asking.get("/api/v1/dead-letters?destination=no").await.0,
        404
    );
    let all = json!({"destination": "file"});
    for what in ["replay", "drop"] {
        let path = format!("/api/v1/dead-letters/{what}");
        assert_eq!(asking.post(&path, &all).await, (200, json!({"count": 0})));
        assert_eq!(
            asking.post(&path, &json!({"destination": "no"})).await.0,
            404
        );
        assert_eq!(asking.post(&path, &json!({})).await.0, 422);
    }
}

#[tokio::test]
async fn a_simulation_is_announced_within_its_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let (_sidecar, asking, _) = found(&folder).await;
    let post = async |body: Value| asking.post("/api/v1/simulation", &body).await;
    let simulation = json!({"destination": "127.0.0.1", "port": 8443, "for_s": 60});
    assert_eq!(post(simulation.clone()).await, (200, simulation));
    for wrong in [
        json!({"destination": "127.0.0.1", "port": 0, "for_s": 60}),
        json!({"destination": "localhost", "port": 1, "for_s": 60}),
        json!({"destination": "127.0.0.1", "port": 1, "for_s": 0}),
        json!({"destination": "127.0.0.1", "port": 1, "for_s": 604_801}),
        json!({"destination": "127.0.0.1", "port": 1}),
    ] {
        assert_eq!(post(wrong.clone()).await.0, 422, "{wrong}");
    }
}
