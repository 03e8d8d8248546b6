//! `beaconwatch doctor`.

use super::*;

#[test]
fn the_doctor_says_what_is_there_and_its_exit_code_says_the_verdict() {
    let ran = run(["doctor", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let expected = match report["verdict"].as_str().unwrap() {
        "full" => 0,
        "degraded" => 3,
        _ => 1,
    };
    assert_eq!((ran.code, ran.err.as_str()), (Some(expected), ""));
    let checks = report["checks"].as_array().unwrap();
    let named = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap();
    assert_eq!(named("kernel")["state"], "ok");
    for check in checks {
        let costs = check["state"] != "ok";
        assert_eq!(
            check["cost"].is_string() && check["remedy"].is_string(),
            costs,
            "{check}"
        );
    }
    let table = run(["doctor"]);
    assert!(table.out.starts_with(" STATE "), "{}", table.out);
    for check in checks {
        assert!(
            table.out.contains(check["name"].as_str().unwrap()),
            "{}",
            table.out
        );
    }
}

#[test]
fn a_receiver_that_is_not_there_is_named_with_what_that_costs() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let ran = run(["doctor", "--endpoint", &url]);
    assert_ne!(ran.code, Some(0));
    let line = ran
        .out
        .lines()
        .find(|line| line.contains("OTLP receiver"))
        .unwrap();
    assert!(line.contains("degraded") && line.contains(&url), "{line}");
    assert!(
        ran.out.contains("costs: flows wait in the queue"),
        "{}",
        ran.out
    );
}
