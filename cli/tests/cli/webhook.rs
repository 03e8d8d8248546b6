//! `webhook preview`: what a webhook would send.

use serde_json::{Value, json};

use super::fake::Fake;
use super::*;

const ID: &str = "9f1c2a7be03d4f55a1b2c3d4e5f60718";

fn preview(arguments: &[&str]) -> Ran {
    let mut all = vec!["webhook", "preview"];
    all.extend(arguments);
    run(all)
}

fn shown(arguments: &[&str]) -> Value {
    let ran = preview(arguments);
    assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn every_template_is_listed_and_shown_for_every_sample() {
    let list = preview(&["--list"]).out;
    let names: Vec<&str> = list.lines().filter_map(|it| it.split(' ').next()).collect();
    assert_eq!(names.len(), 12, "{list}");
    assert!(names.contains(&"thehive5"));
    for name in names {
        for sample in ["finding", "least", "closed", "sensor"] {
            assert!(shown(&["--template", name, "--sample", sample]).is_object());
        }
    }
}

#[test]
fn a_document_of_a_file_and_one_of_an_instance_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("detections.ndjson");
    let document = json!({"event": {"id": "f-7"}, "message": "Beaconing <!channel>"});
    fs::write(&file, format!("{document}\n{document}\n")).unwrap();
    let body = shown(&["--template", "slack", "--document", file.to_str().unwrap()]);
    assert_eq!(body["text"], "[low] Beaconing &lt;!channel&gt;");

    let path = format!("GET /api/v1/alerts/{ID}/ecs");
    let fake = Fake::start(&[(&path, 200, document)]);
    let ran = fake.run(
        80,
        &["webhook", "preview", "--template", "n8n", "--finding", ID],
    );
    let body: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(body["event_id"], "f-7");
}

#[test]
fn a_finding_is_shown_in_other_vocabularies() {
    for format in ["ecs", "ocsf", "stix"] {
        let path = format!("GET /api/v1/alerts/{ID}/{format}");
        let fake = Fake::start(&[(&path, 200, json!({"is": format}))]);
        let ran = fake.run(80, &["alerts", "show", ID, "--format", format]);
        let body: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(body, json!({"is": format}));
    }
}

#[test]
fn what_is_wrong_with_a_template_a_document_or_a_name_is_said_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("own.j2");
    fs::write(&template, "{\n  \"from\": {{ sorce.ip }}\n}").unwrap();
    let template = template.to_str().unwrap();
    let ran = preview(&["--template-file", template]);
    assert_eq!(ran.code, Some(1));
    for word in ["own.j2", "line 2", "sorce.ip", "is \"source.ip\" meant?"] {
        assert!(ran.err.contains(word), "{word}: {}", ran.err);
    }
    let ran = preview(&["--template", "slak"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("slack"), "{}", ran.err);
    assert_eq!(preview(&[]).code, Some(2));
    let ran = preview(&["--template", "slack", "--document", template]);
    assert!(
        ran.err.contains("own.j2") && ran.err.contains("no JSON"),
        "{}",
        ran.err
    );
}

#[test]
fn the_configuration_names_a_template_and_is_checked_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("beaconwatch.toml");
    for (settings, problem) in [
        ("template = \"slack\"", None),
        (
            "template = \"slak\"",
            Some("is \"slak\", expected one of ecs"),
        ),
        ("template = \"pagerduty\"", Some("variables.routing_key")),
        (
            "template = \"jira\"\nvariables = { project = \"SOC\" }",
            None,
        ),
        (
            "template = \"slack\"\ntemplate_file = \"x.j2\"",
            Some("not both"),
        ),
        ("template = \"slack\"\nbatch = true", Some("ecs or ocsf")),
        (
            "template = \"slack\"\ncontent_type = \"text/plain\"",
            Some("a JSON content type"),
        ),
        (
            "variables = { \"a b\" = \"c\" }",
            Some("letters, digits and _"),
        ),
    ] {
        let text = format!(
            "[sidecar.destinations.hook]\ntype = \"webhook\"\nurl = \"https://hooks.example.org/x\"\n{settings}\n"
        );
        fs::write(&file, text).unwrap();
        let ran = run(["config", "check", file.to_str().unwrap()]);
        match problem {
            None => assert_eq!(ran.code, Some(0), "{settings}: {}", ran.err),
            Some(problem) => {
                assert_eq!(ran.code, Some(1), "{settings}");
                assert!(ran.err.contains(problem), "{settings}: {}", ran.err);
            }
        }
    }
}

#[test]
fn every_configuration_in_the_guide_is_one() {
    let guide = include_str!("../../../docs/soar.md");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("beaconwatch.toml");
    let blocks: Vec<&str> = guide
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        fs::write(&file, block).unwrap();
        let ran = run(["config", "check", file.to_str().unwrap()]);
        assert_eq!(ran.code, Some(0), "{block}\n{}", ran.err);
    }
}

#[test]
fn every_template_is_in_the_guide() {
    let guide = include_str!("../../../docs/soar.md");
    for line in preview(&["--list"]).out.lines() {
        let name = line.split(' ').next().unwrap();
        assert!(guide.contains(&format!("| `{name}` |")), "{name}");
    }
}

#[test]
fn what_the_guide_shows_is_what_a_template_makes() {
    let guide = include_str!("../../../docs/soar.md");
    let mut shown_there = 0;
    for part in guide.split("\n`beaconwatch webhook preview ").skip(1) {
        let (arguments, rest) = part.split_once("`:").unwrap();
        let json = rest.split("```json\n").nth(1).unwrap();
        let json = json.split("```").next().unwrap();
        let expected: Value = serde_json::from_str(json).unwrap();
        let arguments: Vec<&str> = arguments.split(' ').collect();
        assert_eq!(shown(&arguments), expected, "{arguments:?}");
        shown_there += 1;
    }
    assert!(shown_there >= 3);
}
