//! Setups against a server that keeps what it is given and fails where a test says.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "a test that cannot go on fails, also in the functions that tests share"
)]

mod crashes;
mod hec;
mod preflight;
mod stub;

use std::collections::BTreeSet;
use std::path::Path;

use beaconwatch_integrations::panel::DataSet;
use beaconwatch_integrations::store::Product;
use beaconwatch_setup::{
    Action, Report, Server, Settings, SetupError, TlsConfig, install, plan, remove,
};
use serde_json::json;
use stub::Stub;
use tempfile::TempDir;

fn server(url: String) -> Server {
    Server {
        url,
        authentication: None,
        tls: TlsConfig::default(),
    }
}

fn settings(stub: &Stub, folder: &Path) -> Settings {
    Settings {
        product: Product::Elasticsearch,
        store: server(stub.url()),
        dashboards: Some(server(stub.url())),
        namespace: None,
        without: BTreeSet::new(),
        journal: folder.join("journal.json"),
        force: false,
    }
}

fn scene() -> (Stub, TempDir, Settings) {
    let (stub, folder) = (Stub::start(), tempfile::tempdir().unwrap());
    let settings = settings(&stub, folder.path());
    (stub, folder, settings)
}

fn count(report: &Report, wanted: &Action) -> usize {
    report
        .steps
        .iter()
        .filter(|step| step.action == *wanted)
        .count()
}

fn problems(result: Result<Report, SetupError>) -> Vec<String> {
    match result {
        Err(SetupError::Problems(problems)) => problems.into_iter().map(|it| it.what).collect(),
        other => panic!("expected problems: {other:?}"),
    }
}

#[tokio::test]
async fn everything_is_made_once_and_taken_out_again() {
    let (stub, folder, settings) = scene();
    let planned = plan(Product::Elasticsearch, &BTreeSet::new()).len();
    let report = install(&settings, false).await.unwrap();
    assert_eq!(count(&report, &Action::Created), planned, "{report:?}");
    assert_eq!(stub.world().objects.len(), planned);
    stub.world().writes.clear();
    let again = install(&settings, false).await.unwrap();
    assert_eq!(count(&again, &Action::Unchanged), planned, "{again:?}");
    assert_eq!(stub.world().writes, [""; 0]);
    let removed = remove(&settings, false).await.unwrap();
    assert_eq!(count(&removed, &Action::Removed), planned, "{removed:?}");
    assert!(stub.world().objects.is_empty());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_says_what_would_be() {
    let (stub, folder, settings) = scene();
    let report = install(&settings, true).await.unwrap();
    assert!(report.has_changes());
    assert_eq!(stub.world().writes, [""; 0]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    install(&settings, false).await.unwrap();
    stub.world().writes.clear();
    assert!(!install(&settings, true).await.unwrap().has_changes());
    let report = remove(&settings, true).await.unwrap();
    assert!(report.has_changes());
    assert_eq!(stub.world().writes, [""; 0]);
}

#[tokio::test]
async fn an_older_object_of_ours_is_updated_and_put_back() {
    let (stub, _folder, settings) = scene();
    let path = "_index_template/logs-beaconwatch.detection";
    let of_sidecar = json!({ "_meta": { "managed_by": "beaconwatch" }, "index_patterns": ["old"], "priority": 250 });
    stub.world()
        .objects
        .insert(path.to_owned(), of_sidecar.clone());
    let report = install(&settings, false).await.unwrap();
    assert_eq!(count(&report, &Action::Updated), 1, "{report:?}");
    assert_ne!(stub.world().objects[path], of_sidecar);
    let report = remove(&settings, false).await.unwrap();
    assert_eq!(count(&report, &Action::Restored), 1, "{report:?}");
    assert_eq!(stub.world().objects[path], of_sidecar);
    assert_eq!(stub.world().objects.len(), 1);
}

#[tokio::test]
async fn a_data_view_that_is_there_is_neither_changed_nor_removed() {
    let (stub, _folder, settings) = scene();
    let path = "api/saved_objects/index-pattern/logs-*";
    let of_all = json!({ "type": "index-pattern", "id": "logs-*", "attributes": { "title": "logs-*", "mine": 1 } });
    stub.world().objects.insert(path.to_owned(), of_all.clone());
    install(&settings, false).await.unwrap();
    assert_eq!(stub.world().objects[path], of_all);
    remove(&settings, false).await.unwrap();
    assert_eq!(stub.world().objects.len(), 1);
}

#[tokio::test]
async fn a_rule_that_was_switched_on_stays_on_and_is_removed() {
    let (stub, _folder, settings) = scene();
    install(&settings, false).await.unwrap();
    let path = {
        let mut world = stub.world();
        let path = world
            .objects
            .keys()
            .find(|it| it.contains("detection_engine"));
        let path = path.unwrap().clone();
        world.objects.get_mut(&path).unwrap()["enabled"] = json!(true);
        path
    };
    assert!(!install(&settings, false).await.unwrap().has_changes());
    // A newer version of ours changes the rule.
    stub.world().objects.get_mut(&path).unwrap()["query"] = json!("older");
    install(&settings, false).await.unwrap();
    assert_eq!(stub.world().objects[&path]["enabled"], true);
    assert_ne!(stub.world().objects[&path]["query"], "older");
    stub.world().objects.get_mut(&path).unwrap()["enabled"] = json!(false);
    remove(&settings, false).await.unwrap();
    assert!(stub.world().objects.is_empty());
}

#[tokio::test]
async fn what_somebody_changed_since_stays_unless_it_is_forced() {
    let (stub, _folder, mut settings) = scene();
    install(&settings, false).await.unwrap();
    let path = "_ingest/pipeline/logs-beaconwatch.sensor";
    stub.world().objects.get_mut(path).unwrap()["processors"] = json!([]);
    let report = remove(&settings, false).await.unwrap();
    let kept: Vec<&str> = report
        .steps
        .iter()
        .filter(|step| matches!(step.action, Action::Kept(_)))
        .map(|step| step.name.as_str())
        .collect();
    assert_eq!(kept, ["logs-beaconwatch.sensor"]);
    assert_eq!(stub.world().objects.len(), 1);
    settings.force = true;
    remove(&settings, false).await.unwrap();
    assert!(stub.world().objects.is_empty());
    assert!(!settings.journal.exists());
}

#[tokio::test]
async fn without_a_journal_only_force_removes_and_only_what_is_ours() {
    let (stub, _folder, mut settings) = scene();
    install(&settings, false).await.unwrap();
    std::fs::remove_file(&settings.journal).unwrap();
    let error = remove(&settings, false).await.unwrap_err();
    assert!(error.to_string().contains("there is no journal"), "{error}");
    let foreign = "_transform/beaconwatch-hosts-by-risk";
    stub.world()
        .objects
        .insert(foreign.to_owned(), json!({ "description": "another's" }));
    settings.force = true;
    remove(&settings, false).await.unwrap();
    let left: Vec<String> = stub.world().objects.keys().cloned().collect();
    // The data view is everybody's.
    assert_eq!(left, [foreign, "api/saved_objects/index-pattern/logs-*"]);
}

#[tokio::test]
async fn data_streams_keep_a_template_and_lose_the_pipeline_that_goes() {
    let (stub, _folder, settings) = scene();
    install(&settings, false).await.unwrap();
    {
        let mut world = stub.world();
        world.streams = true;
        for (index, pipeline) in [
            (
                ".ds-logs-beaconwatch.flow-default-1",
                "logs-beaconwatch.flow",
            ),
            (".ds-logs-beaconwatch.flow-default-2", "another"),
        ] {
            let of_index = json!({ "settings": { "index.default_pipeline": pipeline } });
            world.settings.insert(index.to_owned(), of_index);
        }
    }
    let report = remove(&settings, false).await.unwrap();
    let kept = report
        .steps
        .iter()
        .filter(|step| matches!(step.action, Action::Kept(_)));
    assert_eq!(kept.count(), DataSet::ALL.len(), "{report:?}");
    {
        let mut world = stub.world();
        assert_eq!(world.objects.len(), DataSet::ALL.len());
        for (path, template) in &world.objects {
            let name = path.trim_start_matches("_index_template/");
            assert_eq!(template["index_patterns"], json!([format!("{name}-*")]));
            assert!(template.get("composed_of").is_none(), "{template}");
            assert!(template["template"]["mappings"].is_object(), "{template}");
        }
        assert_eq!(world.settings.len(), 1);
        world.streams = false;
    }
    remove(&settings, false).await.unwrap();
    assert!(stub.world().objects.is_empty());
    assert!(!settings.journal.exists());
}

#[tokio::test]
async fn what_kibana_refuses_is_listed_and_the_rest_is_made() {
    let (stub, _folder, settings) = scene();
    stub.world().refused = vec!["beaconwatch-health", "0e9a4a7c-2b1d-4d8e-8a6f-5b7c8d9e0f04"];
    let report = install(&settings, false).await.unwrap();
    let failed: Vec<&str> = report.failed().map(|step| step.name.as_str()).collect();
    assert!(
        failed.contains(&"dashboard:beaconwatch-health"),
        "{failed:?}"
    );
    assert!(
        failed.contains(&"0e9a4a7c-2b1d-4d8e-8a6f-5b7c8d9e0f04"),
        "{failed:?}"
    );
    assert!(
        !failed.contains(&"dashboard:beaconwatch-overview"),
        "{failed:?}"
    );
    let reasons: Vec<&Action> = report.failed().map(|step| &step.action).collect();
    assert!(
        format!("{reasons:?}").contains("missing_references"),
        "{reasons:?}"
    );
    stub.world().refused.clear();
    let report = install(&settings, false).await.unwrap();
    assert_eq!(report.failed().count(), 0);
    assert!(!install(&settings, true).await.unwrap().has_changes());
    remove(&settings, false).await.unwrap();
    assert!(stub.world().objects.is_empty());
}
