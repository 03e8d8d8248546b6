//! What a collector of Splunk says, and what is made of it.

use beaconwatch_setup::{SecretSource, SetupError, hec};
use serde_json::{Value, json};

use crate::server;
use crate::stub::Stub;

async fn check(answers: &[(&str, u16, Value)]) -> Vec<hec::Check> {
    let (stub, folder) = (Stub::start(), tempfile::tempdir().unwrap());
    for (path, status, body) in answers {
        let path = format!("services/collector/{path}");
        stub.world().instead.insert(path, (*status, body.clone()));
    }
    let token = folder.path().join("token");
    std::fs::write(&token, "11111111-2222-3333-4444-555555555555\n").unwrap();
    let collector = hec::Collector {
        server: server(stub.url()),
        token: SecretSource::File(token),
        index: Some("security".to_owned()),
    };
    let checks = hec::check(&collector).await.unwrap();
    assert!(!format!("{checks:?}").contains("2222"), "{checks:?}");
    checks
}

const HEALTHY: &str = r#"{"text":"HEC is healthy","code":17}"#;

fn healthy() -> (&'static str, u16, Value) {
    ("health", 200, serde_json::from_str(HEALTHY).unwrap())
}

#[tokio::test]
async fn a_collector_that_takes_the_event_and_acknowledges_it_is_good() {
    let checks = check(&[
        healthy(),
        (
            "event",
            200,
            json!({ "text": "Success", "code": 0, "ackId": 3 }),
        ),
        ("ack", 200, json!({ "acks": { "3": true } })),
    ])
    .await;
    let names: Vec<&str> = checks.iter().map(|it| it.name).collect();
    assert_eq!(names, ["health", "event", "acknowledgement"]);
    assert!(
        checks.iter().all(|it| it.is_good && it.advice.is_none()),
        "{checks:?}"
    );
}

#[tokio::test]
async fn each_code_says_what_to_do() {
    for (status, code, text, advice) in [
        (403, 1, "Token disabled", "switched off"),
        (401, 3, "Invalid authorization", "Authorization"),
        (403, 4, "Invalid token", "does not know the token"),
        (400, 7, "Incorrect index", "--index"),
        (503, 9, "Server is busy", "too busy"),
        (400, 10, "Data channel is missing", "Request-Channel"),
        (503, 23, "Server is shutting down", "try again"),
    ] {
        let checks = check(&[
            healthy(),
            ("event", status, json!({ "text": text, "code": code })),
        ])
        .await;
        let event = &checks[1];
        assert!(!event.is_good && event.said.contains(text), "{event:?}");
        assert!(event.said.contains(&format!("(code {code})")), "{event:?}");
        assert!(event.advice.unwrap().contains(advice), "{event:?}");
    }
    let full = check(&[
        healthy(),
        (
            "event",
            200,
            json!({ "text": "Queue full soon", "code": 24 }),
        ),
    ])
    .await;
    assert!(full[1].is_good && full[1].advice.is_some(), "{full:?}");
}

#[tokio::test]
async fn a_page_of_something_else_is_not_taken_for_a_collector() {
    let page = Value::from("<html>");
    let checks = check(&[("health", 200, page.clone()), ("event", 404, page)]).await;
    assert!(checks.iter().all(|it| !it.is_good), "{checks:?}");
    assert!(checks[1].advice.unwrap().contains("8088"), "{checks:?}");
}

#[tokio::test]
async fn a_token_file_that_is_not_there_is_named() {
    let stub = Stub::start();
    let collector = hec::Collector {
        server: server(stub.url()),
        token: SecretSource::File("/nowhere/token".into()),
        index: None,
    };
    let error = hec::check(&collector).await.unwrap_err();
    assert!(matches!(error, SetupError::Build(_)), "{error}");
    assert!(error.to_string().contains("/nowhere/token"), "{error}");
}
