//! The status API as its readers see it.

use beaconwatch_detector::Profile;
use beaconwatch_sidecar::{Clock, Sidecar, StatusSource};
use serde_json::Value;

use crate::flows::{START, beacon, request};
use crate::running::{Hands, PATIENCE, config_without_destinations, json, start};

async fn get(sidecar: &Sidecar, path: &str) -> (u16, Value) {
    let url = format!("http://{}{path}", sidecar.addresses().api);
    let answer = reqwest::get(url).await.unwrap();
    (answer.status().as_u16(), json(answer).await)
}

async fn with_two_series(folder: &tempfile::TempDir) -> Sidecar {
    with_two_series_by(Profile::Evidence, folder).await
}

async fn with_two_series_by(profile: Profile, folder: &tempfile::TempDir) -> Sidecar {
    let mut config = config_without_destinations(folder.path());
    config.detector.profile = profile;
    let sidecar = start(config, &Hands::new()).await;
    let regular = beacon("exporter-1", 0, "198.51.100.7", START, 60, 40);
    let few = beacon("exporter-1", 40, "2001:db8::1", START, 60, 3);
    sidecar
        .receiver()
        .accept(request([regular, few].concat()))
        .await
        .unwrap();
    sidecar.analyse().await.unwrap();
    sidecar
}

/// The signals of a beacon, and what they add up to.
fn contributions(beacon: &Value) -> (&Vec<Value>, f64) {
    let parts = beacon["explanation"]["contributing_signals"].as_array();
    let parts = parts.unwrap();
    let added = parts
        .iter()
        .map(|part| part["contribution"].as_f64().unwrap());
    (parts, added.sum())
}

#[tokio::test]
async fn beacons_are_listed_with_the_seed_s_fields() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = with_two_series_by(Profile::Seed, &folder).await;
    let (status, body) = get(&sidecar, "/api/v1/beacons").await;
    assert_eq!((status, &body["count"]), (200, &Value::from(1)));
    let beacon = &body["beacons"][0];
    assert_eq!(beacon["pair_key"], "192.0.2.10->198.51.100.7:443/TCP");
    assert_eq!(beacon["is_beacon"], true);
    assert_eq!(beacon["connection_count"], 40);
    assert_eq!(beacon["interval_stats"]["median"], 60.0);
    assert_eq!(beacon["process"]["name"], "implant");
    assert_eq!(beacon["first_seen"], "2025-11-22T08:00:00Z");
    assert!(time(&beacon["analysis_time"]) >= time(&beacon["last_seen"]));
    let periodicity = &beacon["periodicity_result"];
    assert_eq!(periodicity["is_periodic"], true);
    let peak = periodicity["frequency_peaks"][0].as_array().unwrap();
    let (hertz, share) = (peak[0].as_f64().unwrap(), peak[1].as_f64().unwrap());
    assert!((hertz - 1.0 / 60.0).abs() < 0.000_5, "{hertz}");
    assert!((0.5..=1.0).contains(&share), "{share}");
    assert!((periodicity["dominant_period"].as_f64().unwrap() - 60.0).abs() < 1.0);
    assert_eq!(beacon["confidence"], "critical");
    let (parts, sum) = contributions(beacon);
    assert!((sum - beacon["combined_score"].as_f64().unwrap()).abs() < 1e-9);
    let above = beacon["explanation"]["signals_above_threshold"].as_array();
    let strong = parts.iter().filter(|it| it["score"].as_f64() >= Some(0.7));
    let strong: Vec<_> = strong.map(|it| it["name"].clone()).collect();
    assert_eq!((above, strong.is_empty()), (Some(&strong), false));
}

#[tokio::test]
async fn a_beacon_has_its_evidence_with_times_that_people_read() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = with_two_series(&folder).await;
    let (_, body) = get(&sidecar, "/api/v1/beacons").await;
    let beacon = &body["beacons"][0];
    assert_eq!(
        (&beacon["method"], &beacon["is_beacon"]),
        (&"evidence".into(), &true.into())
    );
    assert_eq!(beacon["periodicity_result"]["is_periodic"], true);
    let evidence = &beacon["evidence"];
    assert_eq!(
        (&evidence["beats"], &evidence["source"]),
        (&40.into(), &"connections".into())
    );
    assert!(
        evidence["p_value_any_look"].as_f64().unwrap() < 1e-9,
        "{evidence}"
    );
    assert!(time(&evidence["next"]["latest"]) > time(&beacon["last_seen"]));
    let (_, sum) = contributions(beacon);
    let score = beacon["combined_score"].as_f64().unwrap();
    assert!(
        (sum - (score / (1.0 - score)).ln()).abs() < 1e-9,
        "log-odds"
    );
    let (_, alerts) = get(&sidecar, "/api/v1/alerts").await;
    assert_eq!(alerts["alerts"][0]["details"]["evidence"]["beats"], 40);
}

#[tokio::test]
async fn every_key_that_the_seed_s_clients_read_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = with_two_series(&folder).await;
    for (path, pointer, keys) in [
        ("health", "", "status timestamp"),
        (
            "status",
            "",
            "status uptime_seconds start_time requests_received batches_processed events_received",
        ),
        ("status", "/storage", "pair_count"),
        ("status", "/analyzer", "total_runs current_known_beacons"),
        ("status", "/alerter", "alerts_sent"),
        (
            "beacons",
            "/beacons/0",
            "pair_key src_ip dst_ip dst_port protocol cv_score periodicity_score jitter_score size_score \
             combined_score is_beacon confidence interval_stats periodicity_result connection_count \
             duration_seconds first_seen last_seen analysis_time explanation",
        ),
        (
            "beacons",
            "/beacons/0/interval_stats",
            "count mean std_dev cv median min_interval max_interval jitter",
        ),
        (
            "beacons",
            "/beacons/0/periodicity_result",
            "is_periodic dominant_period periodicity_score frequency_peaks",
        ),
        (
            "beacons",
            "/beacons/0/explanation",
            "contributing_signals signals_above_threshold",
        ),
        (
            "beacons",
            "/beacons/0/explanation/contributing_signals/0",
            "name score weight contribution raw_value threshold",
        ),
        (
            "alerts?severity=low&limit=50",
            "/alerts/0",
            "alert_id title description severity source details timestamp tags",
        ),
        (
            "connections?src_ip=192.0.2.10&limit=1",
            "/pairs/0",
            "pair_key src_ip dst_ip dst_port protocol connection_count duration_seconds first_seen last_seen",
        ),
        ("connections?dst_ip=2001:db8::1", "", "count pairs"),
    ] {
        let (status, body) = get(&sidecar, &format!("/api/v1/{path}")).await;
        assert_eq!(status, 200, "{path}: {body}");
        let fields = body.pointer(pointer).and_then(Value::as_object);
        let fields = fields.unwrap_or_else(|| panic!("{path}: no {pointer} in {body}"));
        for key in keys.split_whitespace() {
            assert!(fields.contains_key(key), "{path}{pointer}/{key}");
        }
    }
    let (_, one) = get(&sidecar, "/api/v1/connections?dst_ip=2001:db8::1").await;
    assert_eq!(one["total"], 1);
}

fn time(value: &Value) -> jiff::Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn connections_are_listed_most_frequent_first_also_those_that_are_not_scored() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = with_two_series(&folder).await;
    let (_, body) = get(&sidecar, "/api/v1/connections").await;
    let counts: Vec<_> = body["pairs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| pair["connection_count"].clone())
        .collect();
    assert_eq!(counts, [40, 3]);
    assert_eq!(
        body["pairs"][1]["pair_key"],
        "192.0.2.10->[2001:db8::1]:443/TCP"
    );
    assert_eq!(body["pairs"][0]["duration_seconds"], 39.0 * 60.0);
    let (_, body) = get(&sidecar, "/api/v1/connections?limit=1").await;
    assert_eq!(
        (&body["count"], &body["total"]),
        (&Value::from(1), &Value::from(2))
    );
}

#[tokio::test]
async fn the_status_tells_of_every_part() {
    struct Capture;
    impl StatusSource for Capture {
        fn name(&self) -> &'static str {
            "exporter"
        }
        fn status(&self) -> Value {
            serde_json::json!({ "flows": 3 })
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let config = config_without_destinations(folder.path());
    let clock: Clock = Hands::new().clock();
    let sidecar = Sidecar::start_with(config, clock, vec![Box::new(Capture)])
        .await
        .unwrap();
    let (status, body) = get(&sidecar, "/api/v1/status").await;
    assert_eq!(status, 200);
    assert_eq!(body["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(body["parts"]["exporter"]["flows"], 3);
    assert!(body["store"]["file_bytes"].as_u64().unwrap() > 0);
    for part in [
        "receive",
        "detector",
        "exporters",
        "findings",
        "destinations",
    ] {
        assert!(!body[part].is_null(), "{part}");
    }
}

#[tokio::test]
async fn wrong_parameters_paths_and_methods_are_errors_that_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config_without_destinations(folder.path()), &Hands::new()).await;
    for query in [
        "min_score=NaN",
        "min_score=2",
        "min_score=x",
        "limit=0",
        "limit=-1",
        "limt=3",
    ] {
        let (status, body) = get(&sidecar, &format!("/api/v1/beacons?{query}")).await;
        assert_eq!(status, 400, "{query}");
        assert!(body["error"].is_string(), "{query}: {body}");
    }
    assert_eq!(get(&sidecar, "/api/v1/nothing").await.0, 404);
    let url = format!("http://{}/api/v1/status", sidecar.addresses().api);
    let token = std::fs::read_to_string(folder.path().join("api-token")).unwrap();
    let request = reqwest::Client::new().post(url).bearer_auth(token.trim());
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.headers()["allow"], "GET,HEAD");
}

#[tokio::test]
async fn it_is_alive_and_ready_until_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config_without_destinations(folder.path()), &Hands::new()).await;
    let base = format!("http://{}", sidecar.addresses().api);
    for path in ["/healthz", "/readyz", "/metrics", "/api/v1/health"] {
        assert_eq!(
            reqwest::get(format!("{base}{path}"))
                .await
                .unwrap()
                .status(),
            200,
            "{path}"
        );
    }
    sidecar.stop(PATIENCE).await;
    assert!(reqwest::get(format!("{base}/healthz")).await.is_err());
}
