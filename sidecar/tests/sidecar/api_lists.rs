//! Lists of the API while data changes: pieces, filters, one series in full, events as they happen.

use std::collections::BTreeSet;

use beaconwatch_sidecar::Sidecar;
use serde_json::{Value, json};

use crate::asking::Asking;
use crate::flows::{START, beacon, request};
use crate::running::{Hands, PATIENCE, config_without_destinations, start};

/// Regular series to so many destinations.
async fn send(sidecar: &Sidecar, exporter: &str, destinations: std::ops::Range<u8>) {
    let flows: Vec<_> = destinations
        .enumerate()
        .flat_map(|(index, last)| {
            let first = u64::try_from(index).unwrap() * 40;
            beacon(
                exporter,
                first,
                &format!("198.51.100.{last}"),
                START,
                60,
                40,
            )
        })
        .collect();
    sidecar.receiver().accept(request(flows)).await.unwrap();
    sidecar.analyse().await.unwrap();
}

async fn running(folder: &tempfile::TempDir) -> (Sidecar, Asking) {
    let config = config_without_destinations(folder.path());
    let sidecar = start(config, &Hands::new()).await;
    let asking = Asking::of(&sidecar, folder.path());
    (sidecar, asking)
}

#[tokio::test]
async fn what_stays_is_listed_once_while_other_series_come() {
    for (list, name, id) in [
        ("/api/v1/beacons?limit=4", "beacons", "id"),
        ("/api/v1/connections?limit=4", "pairs", "id"),
        ("/api/v1/alerts?limit=4&sort=opened", "alerts", "alert_id"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (sidecar, asking) = running(&folder).await;
        send(&sidecar, "first", 1..11).await;
        let whole = asking.read(&list.replace("limit=4", "limit=100")).await;
        assert_eq!((&whole["count"], &whole["total"]), (&json!(10), &json!(10)));
        let ids = |body: &Value| -> Vec<String> {
            let entries = body[name].as_array().unwrap().iter();
            entries
                .map(|it| it[id].as_str().unwrap().to_owned())
                .collect()
        };
        let stay: BTreeSet<String> = ids(&whole).into_iter().collect();
        let mut listed = Vec::new();
        let mut path = list.to_owned();
        for round in 0..20_u8 {
            let piece = asking.read(&path).await;
            assert!(ids(&piece).len() <= 4);
            listed.extend(ids(&piece));
            let Some(next) = piece["next"].as_str() else {
                break;
            };
            path = format!("{list}&cursor={next}");
            send(
                &sidecar,
                &format!("later-{round}"),
                100 + round..101 + round,
            )
            .await;
        }
        let seen: BTreeSet<String> = listed.iter().cloned().collect();
        assert_eq!(seen.len(), listed.len(), "{list}: nothing twice");
        assert!(stay.is_subset(&seen), "{list}: {listed:?}");
    }
}

#[tokio::test]
async fn filters_narrow_lists_and_their_totals() {
    let folder = tempfile::tempdir().unwrap();
    let (sidecar, asking) = running(&folder).await;
    send(&sidecar, "first", 1..11).await;
    for (path, expected) in [
        ("beacons?destination=198.51.100.3", 1),
        ("beacons?destination=198.51.100.0/29", 7),
        ("beacons?source=203.0.113.0/24", 0),
        ("beacons?port=443", 10),
        ("beacons?port=80", 0),
        ("beacons?process=IMPL", 10),
        ("beacons?process=curl", 0),
        ("beacons?severity=critical&min_score=1", 10),
        ("connections?destination=198.51.100.3&port=443", 1),
        ("connections?min_duration=2340", 10),
        ("connections?min_duration=2341", 0),
        ("connections?sort=last_seen", 10),
        ("alerts?state=open", 10),
        ("alerts?state=closed,acknowledged", 0),
        ("alerts?q=198.51.100.7", 1),
        ("alerts?destination=198.51.100.0/29", 7),
        ("alerts?simulated=true", 0),
        ("alerts?since=2000-01-01T00:00:00Z", 10),
        ("alerts?since=2100-01-01T00:00:00Z", 0),
    ] {
        let body = asking.read(&format!("/api/v1/{path}")).await;
        if path.contains("min_score=1") {
            // How high the score is is not this test's business.
            assert!(body["total"].as_u64().unwrap() <= expected, "{path}");
            continue;
        }
        assert_eq!(body["total"], expected, "{path}");
        assert_eq!(body["count"], expected, "{path}");
    }
}

#[tokio::test]
async fn parameters_that_cannot_be_are_refused_on_every_list() {
    let folder = tempfile::tempdir().unwrap();
    let (_sidecar, asking) = running(&folder).await;
    // The same numbers, written otherwise than the API writes them.
    let signed = format!("%2B{}", "0".repeat(15));
    let alerts = format!("alerts?cursor={signed}{}", "0".repeat(48));
    let connections = format!("connections?cursor={signed}{}", "0".repeat(32));
    for path in [
        alerts.as_str(),
        &connections,
        "beacons?destination=nowhere",
        "beacons?cursor=00",
        "beacons?port=65536",
        "beacons?severity=grave",
        "beacons?limit=10001",
        "hosts?limit=0",
        "hosts?source=nowhere",
        "hosts?cursor=00",
        "connections?sort=size",
        "connections?min_duration=-1",
        "connections?min_duration=NaN",
        "connections?cursor=zz",
        "alerts?state=opened",
        "alerts?since=yesterday",
        "alerts?sort=",
        "alerts?simulated=1",
        "alerts?limit=0",
        "alerts?cursor=1&cursor=2",
        "audit?actor=me",
        "dead-letters?limit=x",
    ] {
        let (status, body) = asking.get(&format!("/api/v1/{path}")).await;
        assert_eq!(status, 400, "{path}: {body}");
        assert!(body["error"].as_str().unwrap().len() > 5, "{path}: {body}");
    }
}

#[tokio::test]
async fn hosts_are_summed_up_over_their_scored_series() {
    let folder = tempfile::tempdir().unwrap();
    let (sidecar, asking) = running(&folder).await;
    assert_eq!(
        asking.read("/api/v1/hosts").await,
        json!({"count": 0, "total": 0, "hosts": []})
    );
    send(&sidecar, "first", 1..4).await;
    let beacons = asking.read("/api/v1/beacons").await;
    let answer = asking.read("/api/v1/hosts").await;
    assert_eq!((&answer["count"], &answer["total"]), (&json!(1), &json!(1)));
    let host = &answer["hosts"][0];
    let best = &beacons["beacons"][0];
    assert_eq!(host["host"], best["src_ip"]);
    assert_eq!(host["max_score"], best["combined_score"]);
    let counts = ["event_count", "scored", "findings"].map(|name| host[name].as_u64());
    assert_eq!(counts, [120, 3, 3].map(Some));
    let scores = beacons["beacons"].as_array().unwrap().iter();
    let sum: f64 = scores
        .map(|it| it["combined_score"].as_f64().unwrap())
        .sum();
    assert!((host["mean_score"].as_f64().unwrap() - sum / 3.0).abs() < 1e-12);
    assert!(host["reason"].as_str().unwrap().contains("198.51.100."));
    let none = asking.read("/api/v1/hosts?source=203.0.113.0/24").await;
    assert_eq!(none["total"], 0);
}

#[tokio::test]
async fn a_series_is_shown_with_its_beats_their_intervals_and_their_spectrum() {
    let folder = tempfile::tempdir().unwrap();
    let (sidecar, asking) = running(&folder).await;
    send(&sidecar, "first", 1..2).await;
    let listed = asking.read("/api/v1/beacons").await;
    let id = listed["beacons"][0]["id"].as_str().unwrap();
    let series = asking.read(&format!("/api/v1/series/{id}")).await;
    assert_eq!(series["pair_key"], listed["beacons"][0]["pair_key"]);
    assert_eq!(series["times"].as_array().unwrap().len(), 40);
    assert_eq!(series["intervals"]["counts"], json!([39]));
    assert_eq!(series["intervals"]["edges_s"], json!([60.0, 60.0]));
    let power = series["spectrum"]["power"].as_array().unwrap();
    let periods = series["spectrum"]["period_s"].as_array().unwrap();
    assert!(!power.is_empty() && power.len() == periods.len());
    let strongest = (0..power.len())
        .max_by(|a, b| {
            power[*a]
                .as_f64()
                .unwrap()
                .total_cmp(&power[*b].as_f64().unwrap())
        })
        .unwrap();
    let period = periods[strongest].as_f64().unwrap();
    assert!((period - 60.0).abs() < 6.0, "{period}");
    for unknown in ["0".repeat(32), "x".to_owned(), "0".repeat(31)] {
        let (status, _) = asking.get(&format!("/api/v1/series/{unknown}")).await;
        assert_eq!(status, 404, "{unknown}");
    }
}

#[tokio::test]
async fn events_tell_of_alerts_as_they_change_and_end_with_the_sidecar() {
    let folder = tempfile::tempdir().unwrap();
    let (sidecar, asking) = running(&folder).await;
    let mut events = asking
        .request(reqwest::Method::GET, "/api/v1/events")
        .send()
        .await
        .unwrap();
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    assert_eq!(events.headers()["cache-control"], "no-cache");
    let mut text = String::new();
    while !text.contains("event: status") {
        let part = events.chunk().await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&part).unwrap());
    }
    send(&sidecar, "first", 1..2).await;
    while !text.contains("198.51.100.1") {
        let part = events.chunk().await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&part).unwrap());
    }
    assert!(text.contains("event: alert"), "{text}");
    let data = text
        .lines()
        .find(|line| line.contains("198.51.100.1"))
        .unwrap();
    let alert: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(
        (&alert["state"], &alert["kind"]),
        (&json!("open"), &json!("beacon"))
    );
    sidecar.stop(PATIENCE).await;
    while let Some(_rest) = events.chunk().await.unwrap() {}
}

#[tokio::test]
async fn readers_of_events_are_bounded_and_their_places_come_free() {
    let folder = tempfile::tempdir().unwrap();
    let (_sidecar, asking) = running(&folder).await;
    let ask = || async {
        let request = asking.request(reqwest::Method::GET, "/api/v1/events");
        request.send().await.unwrap()
    };
    let mut readers = Vec::new();
    for _ in 0..64 {
        readers.push(ask().await);
    }
    assert!(readers.iter().all(|reader| reader.status() == 200));
    let one_more = ask().await;
    assert_eq!(one_more.status(), 429);
    assert!(one_more.headers().contains_key("retry-after"));
    readers.pop();
    crate::running::until("a place is free", || async {
        (ask().await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn metrics_and_health_tell_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (sidecar, asking) = running(&folder).await;
    send(&sidecar, "first", 1..2).await;
    let health = asking.read("/api/v1/health").await;
    assert_eq!(
        (&health["status"], &health["problems"]),
        (&json!("healthy"), &json!([]))
    );
    let request = asking.request(reqwest::Method::GET, "/metrics");
    let answer = request.send().await.unwrap();
    let content_type = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(content_type.starts_with("application/openmetrics-text; version=1.0.0"));
    let text = String::from_utf8(crate::running::bytes(answer).await).unwrap();
    for line in [
        "beaconwatch_receive_records_total 40",
        "beaconwatch_findings 1.0",
        "beaconwatch_alerts{state=\"open\"} 1.0",
        "beaconwatch_sensors 1.0",
        "# EOF",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
    }
    assert!(!text.contains("first"), "no names of sensors");
}
