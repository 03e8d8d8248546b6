use serde_json::json;

use super::*;

/// A package of the repository with its dependencies.
fn package(name: &str, dependencies: &[&str]) -> Value {
    let dependencies: Vec<Value> = dependencies
        .iter()
        .map(|wanted| json!({ "name": wanted }))
        .collect();
    json!({
        "name": name,
        "id": format!("path+file:///{name}"),
        "source": null,
        "dependencies": dependencies,
    })
}

fn complaints_about(packages: &[Value]) -> Vec<String> {
    let mut complaints = Vec::new();
    check_own(&json!({ "packages": packages }), &mut complaints).expect("metadata is whole");
    complaints
}

#[test]
fn dependencies_in_the_allowed_direction_pass() {
    let packages = [
        package("beaconwatch-schema", &["serde"]),
        package("beaconwatch-detector", &["beaconwatch-schema"]),
        package(
            "beaconwatch-sidecar",
            &["beaconwatch-detector", "beaconwatch-schema", "tokio"],
        ),
    ];
    assert_eq!(complaints_about(&packages), Vec::<String>::new());
}

#[test]
fn a_dependency_against_the_direction_is_named() {
    let packages = [
        package("beaconwatch-exporter", &["beaconwatch-sidecar"]),
        package("beaconwatch-sidecar", &[]),
    ];
    let expected = ["beaconwatch-exporter must not depend on beaconwatch-sidecar"];
    assert_eq!(complaints_about(&packages), expected);
}

#[test]
fn a_crate_that_the_graph_does_not_know_is_named() {
    let complaints = complaints_about(&[package("beaconwatch-helpers", &[])]);
    assert_eq!(complaints.len(), 1);
    assert!(complaints[0].starts_with("beaconwatch-helpers: not in the crate graph"));
}

/// Every crate of [`UNREACHABLE`], where the detector depends on `between` which depends on tokio.
fn metadata(kind: &Value) -> Value {
    let mut packages: Vec<Value> = UNREACHABLE
        .iter()
        .map(|(name, _)| package(name, &[]))
        .collect();
    let mut nodes: Vec<Value> = packages
        .iter()
        .map(|package| json!({ "id": package["id"], "deps": [] }))
        .collect();
    for name in ["between", "tokio"] {
        packages
            .push(json!({ "name": name, "id": format!("registry#{name}"), "source": "registry" }));
    }
    let dependency = |id: &str, kind: &Value| json!({ "pkg": id, "dep_kinds": [{ "kind": kind }] });
    for node in &mut nodes {
        if node["id"] == "path+file:///beaconwatch-detector" {
            node["deps"] = json!([dependency("registry#between", kind)]);
        }
    }
    nodes.push(
        json!({ "id": "registry#between", "deps": [dependency("registry#tokio", &Value::Null)] }),
    );
    nodes.push(json!({ "id": "registry#tokio", "deps": [] }));
    json!({ "packages": packages, "resolve": { "nodes": nodes } })
}

#[test]
fn a_crate_that_is_reached_through_another_is_named() {
    let mut complaints = Vec::new();
    check_foreign(&metadata(&Value::Null), &mut complaints).expect("metadata is whole");
    assert_eq!(complaints, ["beaconwatch-detector must not reach tokio"]);
}

#[test]
fn what_only_tests_reach_passes() {
    let mut complaints = Vec::new();
    check_foreign(&metadata(&json!("dev")), &mut complaints).expect("metadata is whole");
    assert_eq!(complaints, Vec::<String>::new());
}
