use serde_json::{Value, json};

use super::*;
use crate::Stream;

fn document(body: &Value) -> Document {
    Document {
        event_id: "f-1".to_owned(),
        body: body.to_string(),
        stream: Stream::Detection,
    }
}

fn render(template: &str, body: &Value) -> Result<Value, String> {
    let template = Template::new(template.to_owned(), true, false, Variables::new())?;
    let rendered = template.render(&[&document(body)], Purpose::Send)?;
    Ok(serde_json::from_str(&rendered).unwrap())
}

#[test]
fn fields_are_printed_as_json_and_missing_ones_are_null() {
    let template = r#"{"text": {{ "Beacon from " ~ source.ip ~ ":" ~ destination.port }}, "id": {{ event_id }},
        "score": {{ beaconwatch.score }}, "when": {{ document["@timestamp"] }},
        "process": {{ process.name }}, "tags": {{ tags }} }"#;
    let body = json!({
        "@timestamp": "2025-11-22T08:26:30Z",
        "source": {"ip": "192.0.2.1"},
        "beaconwatch": {"score": 0.93},
        "tags": ["beaconing", "c2"],
    });
    assert_eq!(
        render(template, &body).unwrap(),
        json!({
            "text": "Beacon from 192.0.2.1:", "id": "f-1", "score": 0.93,
            "when": "2025-11-22T08:26:30Z", "process": null, "tags": ["beaconing", "c2"],
        })
    );
}

#[test]
fn nothing_in_a_document_can_end_a_string_begin_a_field_or_run_as_a_template() {
    for attack in [
        r#"", "admin": true, "x": ""#,
        "\\\", \"admin\": true",
        "{{ 7 * 7 }}",
        "{% for i in range(100) %}x{% endfor %}",
        "line\nbreak\u{0}\u{2028}</script>",
    ] {
        let body = json!({"process": {"name": attack}});
        let template = r#"{"name": {{ process.name }}, "text": {{ "by " ~ process.name }}, "all": {{ document | tojson }} }"#;
        let rendered = render(template, &body).unwrap();
        assert_eq!(rendered["name"], attack);
        assert_eq!(rendered["text"], format!("by {attack}"));
        assert_eq!(rendered["all"], body);
        assert_eq!(rendered.as_object().unwrap().len(), 3);
    }
}

#[test]
fn a_template_that_makes_no_json_is_refused_when_it_is_read() {
    // The usual mistake: quotes around a value that brings its own.
    let error = render(r#"{"text": "{{ message }}"}"#, &json!({})).unwrap_err();
    assert!(error.contains("with a sample document"), "{error}");
    assert!(error.contains("is no JSON"), "{error}");
}

#[test]
fn a_template_with_a_mistake_is_refused_with_its_line() {
    let error = render("{\n\"a\": {{ b }\n}", &json!({})).unwrap_err();
    assert!(error.contains("body:"), "{error}");
}

#[test]
fn a_template_reads_no_files_and_does_not_run_forever() {
    for template in [
        r#"{% include "/etc/passwd" %}"#,
        r#"{% import "/etc/passwd" as x %}{}"#,
    ] {
        assert!(render(template, &json!({})).is_err(), "{template}");
    }
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}{}";
    let error = render(endless, &json!({})).unwrap_err();
    assert!(error.contains("fuel"), "{error}");
}

#[test]
fn a_batch_has_all_documents() {
    let template = "[{% for it in documents %}{{ it.event.id }}{% if not loop.last %},{% endif %}{% endfor %}]";
    let template = Template::new(template.to_owned(), true, true, Variables::new()).unwrap();
    let documents = [json!({"event": {"id": "a"}}), json!({"event": {"id": "b"}})];
    let documents = documents.each_ref().map(document);
    let rendered = template
        .render(&documents.each_ref(), Purpose::Send)
        .unwrap();
    assert_eq!(rendered, r#"["a","b"]"#);
}

#[test]
fn text_that_is_not_json_is_printed_as_it_is() {
    let template = "{{ source.ip }} talks to {{ destination.ip }}";
    let template = Template::new(template.to_owned(), false, false, Variables::new()).unwrap();
    let body = json!({"source": {"ip": "192.0.2.1"}, "destination": {"ip": "198.51.100.1"}});
    let rendered = template.render(&[&document(&body)], Purpose::Send).unwrap();
    assert_eq!(rendered, "192.0.2.1 talks to 198.51.100.1");
}

#[test]
fn a_file_that_is_missing_or_no_template_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body.jinja");
    let error = Template::read(&path, true, false, Variables::new())
        .unwrap_err()
        .to_string();
    assert!(error.contains("body.jinja"), "{error}");
    std::fs::write(&path, "{{").unwrap();
    let error = Template::read(&path, true, false, Variables::new())
        .unwrap_err()
        .to_string();
    assert!(error.contains("body.jinja"), "{error}");
}

#[test]
fn a_field_that_no_document_can_have_is_refused_with_its_line_and_what_may_be_meant() {
    let new = |text: &str, batch| {
        Template::new(text.to_owned(), true, batch, Variables::new())
            .map(drop)
            .unwrap_err()
    };
    for (text, line, expected) in [
        (
            "{\n\"a\": {{ sorce.ip }}\n}",
            "line 2",
            "\"source.ip\" meant",
        ),
        // In a branch that no sample takes.
        (
            "{% if event.action == 'x' %}\n{{ event.reeson }}{% endif %}{}",
            "line 2",
            "\"event.reason\" meant",
        ),
        ("{{ document.message.length }}", "line 1", "no field"),
        (
            "{{ variables.project }}",
            "line 1",
            "there is no variable \"project\"",
        ),
        (
            "[{% for it in beaconwatch.signals %}\n{{ it.txt }}{% endfor %}]",
            ":2",
            "signals.text\" meant",
        ),
        (
            "{{ document[\"@timestmp\"] }}",
            ":1",
            "\"@timestamp\" meant",
        ),
    ] {
        let error = new(text, false);
        assert!(
            error.contains(line) && error.contains(expected),
            "{text}: {error}"
        );
    }
    let error = new(
        "[{% for it in documents %}{{ it.event.idd }}{% endfor %}]",
        true,
    );
    assert!(error.contains("event.id\" meant"), "{error}");
    let error = new("{{ source.ip }}", true);
    assert!(error.contains("in \"documents\""), "{error}");
}

#[test]
fn a_secret_is_sent_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "s3cret").unwrap();
    let secret = Secret::read(&crate::SecretSource::File(path)).unwrap();
    let variables = Variables::from([
        ("key".to_owned(), Variable::Secret(secret)),
        ("team".to_owned(), Variable::Text("blue".to_owned())),
    ]);
    let text = "[{{ variables.key }},{{ variables.team }}]";
    let template = Template::new(text.to_owned(), true, false, variables).unwrap();
    let document = document(&json!({}));
    let render = |purpose| template.render(&[&document], purpose).unwrap();
    assert_eq!(render(Purpose::Send), r#"["s3cret","blue"]"#);
    assert!(!render(Purpose::Show).contains("s3cret"));
    assert!(!format!("{template:?}").contains("s3cret"));
}
