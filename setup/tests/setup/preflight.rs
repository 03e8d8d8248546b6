//! What stands in the way is found before the first change.

use beaconwatch_integrations::panel::DataSet;
use beaconwatch_integrations::store::Product;
use beaconwatch_setup::{Action, Authentication, Part, SecretSource, SetupError, install};
use serde_json::json;

use crate::{problems, scene, server};

#[tokio::test]
async fn an_address_where_nobody_listens_or_somebody_else_does_is_named() {
    let (stub, _folder, mut settings) = scene();
    let url = settings.store.url.clone();
    settings.store = server("http://127.0.0.1:1".to_owned());
    let error = install(&settings, false).await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("http://127.0.0.1:1 does not answer"),
        "{error}"
    );
    assert!(error.advice().unwrap().contains("9200"), "{error:?}");
    for (url, expected) in [
        ("ftp://x", "expected an http or https address"),
        ("https://user:secret@x", "without credentials"),
        ("https://x/?q=1", "without a query"),
    ] {
        settings.store = server(url.to_owned());
        let error = install(&settings, false).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    settings.store = server(url);
    for (answer, expected) in [
        ((200, json!({})), "answers without a version"),
        ((404, json!({ "message": "no such page" })), "no such page"),
        (
            (
                200,
                json!({ "version": { "number": "3.1.0", "distribution": "opensearch" } }),
            ),
            "it is OpenSearch 3.1.0; use `beaconwatch setup opensearch`",
        ),
    ] {
        stub.world().instead.insert(String::new(), answer);
        let error = install(&settings, false).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(stub.world().writes, [""; 0]);
}

#[tokio::test]
async fn a_wrong_key_is_told_without_it() {
    let (stub, folder, mut settings) = scene();
    let file = folder.path().join("key");
    std::fs::write(&file, "c2VjcmV0LWtleQ==").unwrap();
    settings.store.authentication = Some(Authentication::ApiKey(SecretSource::File(file)));
    let answer = (
        401,
        json!({ "error": { "reason": "unable to authenticate" } }),
    );
    stub.world().instead.insert(String::new(), answer);
    let error = install(&settings, false).await.unwrap_err();
    assert!(matches!(error, SetupError::Credentials { .. }), "{error}");
    assert!(
        error.to_string().contains("unable to authenticate"),
        "{error}"
    );
    assert!(
        !format!("{error:?} {error}").contains("c2VjcmV0"),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_old_server_is_named_with_what_is_needed() {
    let (stub, _folder, settings) = scene();
    for (path, name) in [("", "Elasticsearch"), ("api/status", "Kibana")] {
        for number in ["8.17.4", "7.17.0", "unknown"] {
            let answer = (200, json!({ "version": { "number": number } }));
            stub.world().instead.insert(path.to_owned(), answer);
            let error = install(&settings, false).await.unwrap_err().to_string();
            let expected = format!("is {number}, expected 8.18 or newer");
            assert!(
                error.starts_with(name) && error.contains(&expected),
                "{error}"
            );
        }
        stub.world().instead.clear();
    }
    // Without its front page the oldest node counts.
    let mut nodes =
        json!({ "nodes": { "a": { "version": "9.1.0" }, "b": { "version": "8.9.0" } } });
    stub.world().instead.insert(String::new(), (405, json!({})));
    stub.world()
        .instead
        .insert("_nodes".to_owned(), (200, nodes.clone()));
    let error = install(&settings, false).await.unwrap_err().to_string();
    assert!(error.contains("is 8.9.0"), "{error}");
    nodes["nodes"]["b"]["version"] = json!("8.18.0");
    stub.world()
        .instead
        .insert("_nodes".to_owned(), (200, nodes));
    let report = install(&settings, true).await.unwrap();
    assert!(
        report.servers[0].starts_with("Elasticsearch 8.18.0"),
        "{report:?}"
    );
}

#[tokio::test]
async fn every_missing_right_is_named_before_the_first_change() {
    let (stub, _folder, settings) = scene();
    stub.world().lacking = vec!["manage_ingest_pipelines", "view_index_metadata"];
    let told = problems(install(&settings, false).await).join("\n");
    assert!(
        told.contains("cluster privilege manage_ingest_pipelines"),
        "{told}"
    );
    assert!(
        told.contains("view_index_metadata for indices logs-beaconwatch.flow-*"),
        "{told}"
    );
    assert_eq!(stub.world().writes, [""; 0]);
}

#[tokio::test]
async fn objects_and_templates_of_others_are_named_all_at_once() {
    let (stub, _folder, mut settings) = scene();
    for (path, body) in [
        (
            "_ingest/pipeline/logs-beaconwatch.flow",
            json!({ "processors": [] }),
        ),
        (
            "_index_template/logs-beaconwatch.detection",
            json!({ "_meta": { "managed_by": "fleet" }, "priority": 200 }),
        ),
        (
            "_index_template/all-logs",
            json!({ "index_patterns": ["logs-*-*"], "priority": 500 }),
        ),
        (
            "_index_template/harmless",
            json!({ "index_patterns": ["logs-*-*"], "priority": 100 }),
        ),
    ] {
        stub.world().objects.insert(path.to_owned(), body);
    }
    let told = problems(install(&settings, false).await);
    assert_eq!(told.len(), 3, "{told:#?}");
    let told = told.join("\n");
    assert!(
        told.contains("logs-beaconwatch.flow is there already and managed by somebody else"),
        "{told}"
    );
    assert!(
        told.contains("logs-beaconwatch.detection is there already and managed by fleet"),
        "{told}"
    );
    assert!(told.contains("all-logs covers"), "{told}");
    assert_eq!(stub.world().writes, [""; 0]);
    settings.force = true;
    let report = install(&settings, false).await.unwrap();
    let updated = report
        .steps
        .iter()
        .filter(|it| it.action == Action::Updated);
    assert_eq!(updated.count(), 2);
}

#[tokio::test]
async fn an_index_that_maps_a_field_to_another_type_is_named_with_both_types() {
    let (stub, _folder, settings) = scene();
    let mapping = |kind: &str| {
        let ip = json!({ "properties": { "ip": { "type": kind } } });
        json!({ "mappings": { "properties": { "source": ip } } })
    };
    let good = ".ds-logs-beaconwatch.flow-default-1";
    stub.world().mappings.insert(good.to_owned(), mapping("ip"));
    let report = install(&settings, true).await.unwrap();
    assert!(
        report.notes.iter().any(|it| it.contains("roll each over")),
        "{report:?}"
    );
    stub.world()
        .mappings
        .insert(good.replace('1', "2"), mapping("keyword"));
    let plain = "logs-beaconwatch.sensor-default";
    stub.world()
        .mappings
        .insert(plain.to_owned(), json!({ "mappings": {} }));
    let told = problems(install(&settings, false).await);
    assert_eq!(
        told,
        [
            ".ds-logs-beaconwatch.flow-default-2 maps source.ip to keyword, expected ip",
            "logs-beaconwatch.sensor-default is an index, where a data stream is to be",
        ]
    );
    assert_eq!(stub.world().writes, [""; 0]);
}

#[tokio::test]
async fn a_server_without_processors_or_transforms_says_what_can_be_left_out() {
    let (stub, _folder, mut settings) = scene();
    let none = json!({ "nodes": { "n": { "ingest": { "processors": [{ "type": "set" }] } } } });
    stub.world()
        .instead
        .insert("_nodes/ingest".to_owned(), (200, none));
    let absent = json!({ "error": "no handler found for uri [/x] and method [GET]" });
    for transform in ["hosts-by-risk", "beacons-by-pair"] {
        let path = format!("_transform/beaconwatch-{transform}");
        stub.world().instead.insert(path, (400, absent.clone()));
    }
    let told = problems(install(&settings, false).await).join("\n");
    assert!(told.contains("no ingest processors drop, script"), "{told}");
    assert!(told.contains("no interface for a transform"), "{told}");
    settings.without.extend([Part::Pipelines, Part::Transforms]);
    install(&settings, false).await.unwrap();
    let world = stub.world();
    assert!(!world.objects.keys().any(|it| it.contains("pipeline")));
    // No template names a pipeline that is not there.
    let text = format!("{:?}", world.objects);
    assert!(!text.contains("default_pipeline"), "{text}");
}

#[tokio::test]
async fn a_kibana_without_detection_engine_is_set_up_and_one_without_saved_objects_is_named() {
    let (stub, _folder, mut settings) = scene();
    let absent = json!({ "statusCode": 404, "error": "Not Found", "message": "Not Found" });
    let rules = "api/detection_engine/rules".to_owned();
    stub.world().instead.insert(rules, (404, absent.clone()));
    let report = install(&settings, true).await.unwrap();
    let left_out = |it: &&beaconwatch_setup::Step| matches!(it.action, Action::LeftOut(_));
    assert_eq!(report.steps.iter().filter(left_out).count(), 6);
    for kind in ["dashboard", "search"] {
        for page in ["overview", "hosts", "finding", "health"] {
            let path = format!("api/saved_objects/{kind}/beaconwatch-{page}");
            stub.world().instead.insert(path, (404, absent.clone()));
        }
    }
    let told = problems(install(&settings, false).await);
    assert_eq!(told, ["this server has no interface for a saved object"]);
    settings.without.insert(Part::Dashboards);
    install(&settings, false).await.unwrap();
}

#[tokio::test]
async fn plugins_that_opensearch_lacks_are_left_out_and_told() {
    let (stub, _folder, mut settings) = scene();
    settings.product = Product::OpenSearch;
    settings.dashboards = None;
    let version = json!({ "version": { "number": "3.8.0", "distribution": "opensearch" } });
    stub.world().instead.insert(String::new(), (200, version));
    let absent = (
        400,
        json!({ "error": "no handler found for uri [/x] and method [GET]" }),
    );
    for data in DataSet::ALL {
        let path = format!("_plugins/_ism/policies/{}", data.template());
        stub.world().instead.insert(path, absent.clone());
    }
    let search = "_plugins/_alerting/monitors/_search".to_owned();
    stub.world().instead.insert(search, absent);
    let report = install(&settings, false).await.unwrap();
    let left_out = |name: &str| {
        let named = report.steps.iter().filter(|it| it.kind.name() == name);
        named
            .filter(|it| matches!(it.action, Action::LeftOut(_)))
            .count()
    };
    assert_eq!(left_out("ISM policy"), DataSet::ALL.len());
    assert!(left_out("monitor") > 0);
    assert!(left_out("saved object") > 0);
    assert!(
        report
            .notes
            .iter()
            .any(|it| it.contains("Dashboards were left out")),
        "{report:?}"
    );
    assert_eq!(report.failed().count(), 0);
}

#[tokio::test]
async fn a_journal_that_cannot_be_used_stops_the_setup() {
    let (stub, folder, mut settings) = scene();
    std::fs::write(&settings.journal, "{\"version\": 1,").unwrap();
    let error = install(&settings, false).await.unwrap_err();
    assert!(error.to_string().contains("is broken"), "{error}");
    assert!(
        error.advice().unwrap().contains("move it away"),
        "{error:?}"
    );
    settings.journal = folder.path().join("missing/journal.json");
    let error = install(&settings, false).await.unwrap_err();
    assert!(
        error.to_string().contains("missing/journal.json"),
        "{error}"
    );
    assert_eq!(stub.world().writes, [""; 0]);
}

#[tokio::test]
async fn what_the_store_refuses_ends_the_setup_and_names_the_object() {
    let (stub, _folder, settings) = scene();
    stub.world().refused = vec![
        "_component_template/logs-beaconwatch.flow%40mappings",
        "_component_template/logs-beaconwatch.flow@mappings",
    ];
    let error = install(&settings, false).await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("component template logs-beaconwatch.flow@mappings was refused"),
        "{error}"
    );
    assert!(error.advice().unwrap().contains("--remove"), "{error:?}");
}
