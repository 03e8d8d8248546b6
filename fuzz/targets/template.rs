#![no_main]
//! Templates of webhooks: any template ends within its limits, and what a JSON template prints of a document is that
//! and nothing else. Before the first NUL stands the template, behind it a value.

use beaconwatch_destinations::{Document, Stream, fuzzing::body_by_template};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const BODY_BYTES_MAX: usize = 32 << 20;
const FIXED: &str = r#"{
    "plain": {{ message }}, "list": [{{ message }}, {{ event_id }}], "joined": {{ "<" ~ message ~ ">" }},
    "looped": [{% for tag in tags %}{{ tag }}{% if not loop.last %},{% endif %}{% endfor %}],
    "if": {% if message %}{{ message }}{% else %}""{% endif %}, "whole": {{ document }}
}"#;

fuzz_target!(|text: &str| {
    let (template, value) = text.split_once('\0').unwrap_or((text, "value"));
    let document = Document {
        event_id: value.to_owned(),
        body: json!({"message": value, "tags": [value, value], value: value}).to_string(),
        stream: Stream::Detection,
    };
    for (json, batch) in [(true, false), (true, true), (false, false)] {
        if let Ok(body) = body_by_template(template, json, batch, &[&document, &document]) {
            assert!(body.len() <= BODY_BYTES_MAX);
            assert!(
                !json || serde_json::from_str::<Value>(&body).is_ok(),
                "{body}"
            );
        }
    }
    let body = body_by_template(FIXED, true, false, &[&document]).expect("a good template");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let whole: Value = serde_json::from_str(&document.body).expect("JSON");
    let expected = json!({
        "plain": value, "list": [value, value], "joined": format!("<{value}>"),
        "looped": [value, value], "if": value, "whole": whole,
    });
    assert_eq!(body, expected);
});
