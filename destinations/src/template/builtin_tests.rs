//! Every template of the program, with every kind of document, against the definition that its product publishes.

use beaconwatch_schema::{detection, sensor};
use serde_json::{Value, json};

use crate::template::{
    BuiltInTemplate, Purpose, SampleDocument, Variable, Variables, sample_document,
};
use crate::webhook::Body;
use crate::{Document, Stream};

/// What a hostile document says everywhere.
const ATTACKS: [&str; 6] = [
    "<!channel> <https://evil.example|click> &amp; @here",
    "\", \"routing_key\": \"stolen\", \"x\": \"",
    "[click](https://evil.example) ![x](https://evil.example/x.png) **b** `c` | d | <img src=x onerror=y>",
    "line\r\nbreak\u{0}\u{1b}[2J\u{202e}\u{2028}\\",
    "{{ 7 * 7 }} ${7*7} @{triggerBody()} $exec {% raw %}",
    "   ",
];

fn schema(template: BuiltInTemplate) -> Option<Value> {
    let text = match template {
        BuiltInTemplate::Ecs | BuiltInTemplate::Ocsf => return None,
        BuiltInTemplate::Slack => include_str!("../../tests/schemas/slack.json"),
        BuiltInTemplate::Teams => include_str!("../../tests/schemas/teams.json"),
        BuiltInTemplate::Thehive5 => include_str!("../../tests/schemas/thehive5.json"),
        BuiltInTemplate::Xsoar => include_str!("../../tests/schemas/xsoar.json"),
        BuiltInTemplate::Shuffle | BuiltInTemplate::Tines | BuiltInTemplate::N8n => {
            include_str!("../../tests/schemas/flat.json")
        }
        BuiltInTemplate::Pagerduty => include_str!("../../tests/schemas/pagerduty.json"),
        BuiltInTemplate::Opsgenie => include_str!("../../tests/schemas/opsgenie.json"),
        BuiltInTemplate::Jira => include_str!("../../tests/schemas/jira.json"),
    };
    Some(serde_json::from_str(text).unwrap())
}

fn body(template: BuiltInTemplate) -> Body {
    let text = |text: &str| Variable::Text(text.to_owned());
    let variables = match template {
        BuiltInTemplate::Pagerduty => {
            Variables::from([("routing_key".to_owned(), text(&"k".repeat(32)))])
        }
        BuiltInTemplate::Jira => Variables::from([("project".to_owned(), text("SOC"))]),
        _ => Variables::new(),
    };
    Body::built_in(template, variables).unwrap()
}

fn render(template: BuiltInTemplate, document: &Document) -> Value {
    let text = body(template).make(&[document], false, Purpose::Send);
    serde_json::from_str(&text.unwrap()).unwrap()
}

/// Replaces every text of a document.
fn hostile(which: SampleDocument, attack: &str) -> Document {
    fn replace(value: &mut Value, attack: &str, name: &str) {
        match value {
            // Of a fixed set, or a time.
            Value::String(_) if name.ends_with("state") || name == "@timestamp" => {}
            Value::String(text) => attack.clone_into(text),
            Value::Array(values) => values.iter_mut().for_each(|it| replace(it, attack, name)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    replace(value, attack, name);
                }
            }
            _ => {}
        }
    }
    let mut document = sample_document(which);
    let mut value = serde_json::from_str(&document.body).unwrap();
    replace(&mut value, attack, "");
    document.body = value.to_string();
    document
}

/// Long text everywhere: a domain may have 253 characters, a path 4096.
fn long() -> Document {
    hostile(SampleDocument::Finding, &"<long & \"name\"> ".repeat(300))
}

fn test_document() -> Document {
    let body = json!({
        "@timestamp": "2026-01-31T12:00:00.123456Z",
        "event": {"action": "destination-test", "kind": "event", "severity": 21, "id": "test-1"},
        "message": "Beaconwatch test document: this is no finding.",
        "tags": ["test"],
    });
    Document {
        event_id: "test-1".to_owned(),
        body: body.to_string(),
        stream: Stream::Detection,
    }
}

fn documents() -> Vec<(String, Document)> {
    let empty = Document {
        event_id: "e-1".to_owned(),
        body: r#"{"message": "only this"}"#.to_owned(),
        stream: Stream::Detection,
    };
    let mut all = vec![
        ("test".to_owned(), test_document()),
        ("nearly empty".to_owned(), empty),
        ("long".to_owned(), long()),
    ];
    for which in [
        SampleDocument::Finding,
        SampleDocument::Least,
        SampleDocument::Closed,
        SampleDocument::Sensor,
    ] {
        all.push((format!("{which:?}"), sample_document(which)));
        for attack in ATTACKS {
            all.push((format!("{which:?} {attack}"), hostile(which, attack)));
        }
    }
    all
}

#[test]
fn every_body_of_every_template_is_what_its_product_publishes() {
    let mut checked = 0;
    for template in BuiltInTemplate::ALL {
        let Some(schema) = schema(template) else {
            continue;
        };
        let validator = jsonschema::validator_for(&schema).unwrap();
        for (name, document) in documents() {
            let rendered = render(template, &document);
            let problems: Vec<String> = validator
                .iter_errors(&rendered)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(
                problems.is_empty(),
                "{} of {name}: {problems:#?}",
                template.name()
            );
            checked += 1;
        }
    }
    assert_eq!(checked, 10 * documents().len());
}

#[test]
fn the_definitions_refuse_what_is_wrong() {
    for (template, path, wrong) in [
        (
            BuiltInTemplate::Slack,
            "/blocks/0/text/type",
            json!("mrkdwn"),
        ),
        (
            BuiltInTemplate::Slack,
            "/blocks/0/text/text",
            json!("x".repeat(151)),
        ),
        (
            BuiltInTemplate::Teams,
            "/attachments/0/content/body/0/type",
            json!("TextBlock"),
        ),
        (BuiltInTemplate::Thehive5, "/severity", json!(5)),
        (BuiltInTemplate::Xsoar, "/severity", json!("high")),
        (BuiltInTemplate::N8n, "/severity", json!("bad")),
        (
            BuiltInTemplate::Pagerduty,
            "/payload/severity",
            json!("high"),
        ),
        (
            BuiltInTemplate::Opsgenie,
            "/message",
            json!("x".repeat(131)),
        ),
        (
            BuiltInTemplate::Jira,
            "/fields/description/content/0/type",
            json!("heading1"),
        ),
    ] {
        let mut rendered = render(template, &sample_document(SampleDocument::Finding));
        *rendered.pointer_mut(path).unwrap() = wrong;
        let validator = jsonschema::validator_for(&schema(template).unwrap()).unwrap();
        assert!(!validator.is_valid(&rendered), "{} {path}", template.name());
    }
}

/// All texts of a body.
fn texts(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|it| texts(it, into)),
        Value::Object(fields) => fields.values().for_each(|it| texts(it, into)),
        _ => {}
    }
}

#[test]
fn no_markup_of_a_document_reaches_a_channel() {
    for attack in ATTACKS {
        let document = hostile(SampleDocument::Finding, attack);
        let mut shown = Vec::new();
        texts(&render(BuiltInTemplate::Slack, &document), &mut shown);
        assert!(!shown.is_empty());
        for text in &shown {
            assert!(!text.contains(['<', '>', '\u{202e}', '\u{1b}']), "{text:?}");
        }
        let hive = render(BuiltInTemplate::Thehive5, &document);
        let description = hive["description"].as_str().unwrap();
        for markup in ["<!", "<img", "](", "![", "`c`"] {
            assert!(!description.contains(markup), "{markup} in {description:?}");
        }
        // In Teams all values stand in text runs, which the schema knows to be plain; the fallback is the exception.
        let card = render(BuiltInTemplate::Teams, &document);
        let fallback = card["attachments"][0]["content"]["fallbackText"].as_str();
        assert!(!fallback.unwrap().contains("]("), "{fallback:?}");
    }
}

#[test]
fn a_document_cannot_add_or_change_a_key() {
    fn keys(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Array(values) => values.iter().for_each(|it| keys(it, into)),
            Value::Object(fields) => {
                for (key, value) in fields {
                    into.push(key.clone());
                    keys(value, into);
                }
            }
            _ => {}
        }
    }
    for template in BuiltInTemplate::ALL {
        let mut expected = Vec::new();
        keys(
            &render(template, &sample_document(SampleDocument::Finding)),
            &mut expected,
        );
        let mut found = Vec::new();
        keys(
            &render(template, &hostile(SampleDocument::Finding, ATTACKS[1])),
            &mut found,
        );
        // OCSF has no room for addresses and times that are none.
        if template == BuiltInTemplate::Ocsf {
            found.retain(|key| !expected.contains(key));
            expected.clear();
        }
        assert_eq!(found, expected, "{}", template.name());
    }
}

#[test]
fn pagerduty_resolves_what_has_closed_under_the_same_key() {
    let open = render(
        BuiltInTemplate::Pagerduty,
        &sample_document(SampleDocument::Finding),
    );
    let closed = render(
        BuiltInTemplate::Pagerduty,
        &sample_document(SampleDocument::Closed),
    );
    assert_eq!(open["event_action"], "trigger");
    assert_eq!(closed["event_action"], "resolve");
    assert_eq!(open["dedup_key"], closed["dedup_key"]);
    assert_eq!(open["payload"]["severity"], "critical");
}

#[test]
fn thehive_gets_its_reference_severity_date_and_observables() {
    let alert = render(
        BuiltInTemplate::Thehive5,
        &sample_document(SampleDocument::Finding),
    );
    assert_eq!(alert["sourceRef"], "9f1c2a7be03d4f55a1b2c3d4e5f60718-1");
    assert_eq!(alert["severity"], 4);
    assert_eq!(alert["date"], 1_763_799_990_123_i64);
    let data: Vec<_> = alert["observables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["data"])
        .collect();
    assert_eq!(
        data,
        [
            "192.0.2.10",
            "198.51.100.7",
            "updates.example.org",
            "web-3",
            "/usr/bin/curl"
        ]
    );
    let sensor = render(
        BuiltInTemplate::Thehive5,
        &sample_document(SampleDocument::Sensor),
    );
    assert_eq!(sensor["type"], "sensor");
    assert_eq!(sensor["observables"].as_array().unwrap().len(), 1);
}

#[test]
fn every_field_that_a_template_of_the_program_uses_exists() {
    // Reading a template refuses fields that do not exist; that it does so is shown with a field that was renamed.
    for template in BuiltInTemplate::ALL {
        let _body = body(template);
        let Some(text) = template.text() else {
            continue;
        };
        let wrong = text.replace("source.ip", "source.address");
        let error =
            crate::template::Template::new(wrong, true, false, all_variables()).unwrap_err();
        assert!(
            error.contains("source.address"),
            "{}: {error}",
            template.name()
        );
    }
    for used in [detection::SOURCE_IP, detection::EXPLANATION] {
        assert!(detection::FIELDS.iter().any(|field| field.name == used));
    }
    assert!(
        sensor::FIELDS
            .iter()
            .any(|field| field.name == sensor::MISSING)
    );
}

fn all_variables() -> Variables {
    ["routing_key", "project", "issue_type", "incident_type"]
        .map(|name| (name.to_owned(), Variable::Text("x".to_owned())))
        .into()
}

#[test]
fn names_are_those_of_the_configuration() {
    for template in BuiltInTemplate::ALL {
        assert_eq!(json!(template), template.name());
        assert!(!template.description().is_empty());
    }
}
