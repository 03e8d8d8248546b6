//! `simulate` against an instance that knows what it is told.

use serde_json::{Value, json};

use super::fake::{Asked, Fake};
use super::*;

const ID: &str = "00112233445566778899aabbccddeeff";

/// What the instance makes of a simulated beacon.
#[derive(Clone, Copy)]
struct Instance {
    sees: bool,
    scores: f64,
    delivery: Option<&'static str>,
}

const WHOLE: Instance = Instance {
    sees: true,
    scores: 0.9,
    delivery: Some("delivered"),
};

/// An instance that finds the beacon when it was told of it and has been asked for an analysis.
fn start(instance: Instance) -> Fake {
    let (mut told, mut analysed) = (None, false);
    Fake::answering(move |asked: &Asked| {
        let path = asked.line.split('?').next().unwrap();
        if path == "POST /api/v1/simulation" {
            told = Some(asked.body.clone());
            return Some((200, "{}".to_owned()));
        }
        let body = answer(instance, path, told.as_ref(), &mut analysed)?;
        Some((200, body.to_string()))
    })
}

fn answer(
    instance: Instance,
    path: &str,
    told: Option<&Value>,
    analysed: &mut bool,
) -> Option<Value> {
    let ends = |more: Value| {
        let told = told.unwrap();
        let mut it =
            json!({"dst_ip": told["destination"], "dst_port": told["port"], "protocol": "TCP"});
        it.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        it
    };
    let found = *analysed && instance.sees;
    let alert = || {
        let details = ends(json!({"score": instance.scores}));
        json!({"alert_id": ID, "details": details, "simulated": true})
    };
    Some(match path {
        "GET /api/v1/config" => json!({"effective": {"detector": {"profile": "seed", "seed": {
            "min_connections": 5, "min_duration_s": 0.5, "min_interval_s": 0.05, "max_interval_s": 60.0,
            "alert_threshold": 0.7}}}}),
        "POST /api/v1/analyze" => {
            *analysed = true;
            json!({"status": "completed"})
        }
        "GET /api/v1/connections" if instance.sees => {
            json!({"pairs": [ends(json!({"connection_count": 100})), {"dst_port": 1, "connection_count": 7}]})
        }
        "GET /api/v1/beacons" if found => json!({"beacons": [ends(json!({
            "combined_score": instance.scores, "severity": "medium", "explanation": {"text": "too few"}}))]}),
        "GET /api/v1/alerts" if found && instance.scores >= 0.7 => json!({"alerts": [alert()]}),
        "GET /api/v1/alerts/00112233445566778899aabbccddeeff" => {
            let mut alert = alert();
            let deliveries = instance.delivery.map(|state| {
                json!({
                "destination": "siem", "event_id": "e-1", "state": state, "reason": null})
            });
            alert["deliveries"] = deliveries.into_iter().collect();
            alert
        }
        "GET /api/v1/connections" | "GET /api/v1/beacons" | "GET /api/v1/alerts" => json!({}),
        "GET /api/v1/destinations" => json!({"destinations": [
            {"name": "siem", "last_error": "429 from siem", "configured": true},
            {"name": "old", "configured": false}]}),
        "GET /api/v1/status" => json!({"detector": {"last_analysis": "2026-01-01T00:00:00Z"}}),
        _ => return None,
    })
}

fn simulate(fake: &Fake, wait: &str, more: &[&str]) -> Ran {
    let quick = ["simulate", "--interval", "0.1", "--wait", wait];
    fake.run(80, &[&quick[..], more].concat())
}

fn expect(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn a_whole_chain_is_shown_step_by_step() {
    let fake = start(WHOLE);
    let ran = simulate(&fake, "1m", &["--token", "t"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    expect(
        &ran.err,
        &["harmless connections to 127.0.0.1:", "one every 100 ms"],
    );
    expect(
        &ran.out,
        &[
            "ok       connections made",
            "ok       seen by the instance   100",
            "ok       scored                 0.90, medium",
            &format!("ok       finding opened         {ID}"),
            "ok       delivered to siem      document e-1",
            "The chain is whole",
        ],
    );
    assert!(!ran.out.contains("old"), "{}", ran.out);
    let told = fake
        .asked()
        .into_iter()
        .find(|it| it.line.contains("/simulation"))
        .unwrap();
    assert_eq!(told.authorization.as_deref(), Some("Bearer t"));
    assert_eq!(told.body["destination"], "127.0.0.1");
    assert!(told.body["port"].as_u64().unwrap() > 0 && told.body["for_s"].as_u64().unwrap() >= 20);
}

#[test]
fn a_program_gets_the_steps_as_json() {
    let ran = simulate(&start(WHOLE), "1m", &["--json"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&answer["whole"], &answer["alert_id"]),
        (&json!(true), &json!(ID))
    );
    assert_eq!(answer["steps"].as_array().unwrap().len(), 5);
}

#[test]
fn what_is_missing_is_said_with_the_reason() {
    for (instance, words) in [
        (
            Instance {
                sees: false,
                ..WHOLE
            },
            &["MISSING  seen by the instance   it does not capture itself"][..],
        ),
        (
            Instance {
                scores: 0.5,
                ..WHOLE
            },
            &[
                "ok       scored",
                "MISSING  finding opened         its score is 0.50",
            ],
        ),
        (
            Instance {
                delivery: Some("pending"),
                ..WHOLE
            },
            &["MISSING  delivered to siem      the document still waits: 429 from siem"],
        ),
        (
            Instance {
                delivery: Some("dead"),
                ..WHOLE
            },
            &["MISSING  delivered to siem      the document was refused for good"],
        ),
        (
            Instance {
                delivery: None,
                ..WHOLE
            },
            &["-        delivered to siem      its settings want no simulated"],
        ),
    ] {
        let ran = simulate(&start(instance), "3s", &[]);
        assert_eq!(ran.code, Some(1), "{}", ran.out);
        expect(&ran.out, words);
        expect(&ran.out, &["The chain is not whole."]);
        expect(&ran.err, &["did not come through"]);
    }
}

#[test]
fn a_destination_that_does_not_confirm_is_whole_and_says_so() {
    let ran = simulate(
        &start(Instance {
            delivery: Some("unconfirmed"),
            ..WHOLE
        }),
        "1m",
        &[],
    );
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    expect(&ran.out, &["this destination does not confirm"]);
}

#[test]
fn without_the_right_to_tell_the_instance_no_connection_is_made() {
    let fake = Fake::start(&[
        ("GET /api/v1/config", 404, json!({"error": "nothing"})),
        (
            "POST /api/v1/simulation",
            403,
            json!({"error": "this needs the role operate"}),
        ),
    ]);
    let ran = fake.run(80, &["simulate"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    expect(&ran.err, &["403: this needs the role operate"]);
    let ran = fake.run(80, &["simulate", "--interval", "1"]);
    assert_eq!(ran.code, Some(1));
    expect(&ran.err, &["it would never find this beacon"]);
}
