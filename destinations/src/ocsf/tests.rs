use super::*;
use crate::template::{SampleDocument, sample_document};

fn event(which: SampleDocument) -> Value {
    let document = sample_document(which);
    detection_finding(&serde_json::from_str(&document.body).unwrap())
}

#[test]
fn a_finding_has_its_ends_its_times_in_milliseconds_and_its_technique() {
    let event = event(SampleDocument::Finding);
    for (path, expected) in [
        ("/class_uid", json!(2004)),
        ("/type_uid", json!(200_401)),
        ("/activity_id", json!(1)),
        // The sample was acknowledged.
        ("/status_id", json!(2)),
        ("/severity", json!("Critical")),
        ("/severity_id", json!(5)),
        ("/risk_score", json!(94)),
        ("/time", json!(1_763_799_990_123_i64)),
        (
            "/finding_info/uid",
            json!("9f1c2a7be03d4f55a1b2c3d4e5f60718"),
        ),
        ("/finding_info/analytic/type_id", json!(3)),
        ("/finding_info/attacks/0/technique/uid", json!("T1071")),
        (
            "/finding_info/attacks/0/sub_technique/uid",
            json!("T1071.001"),
        ),
        ("/evidences/0/connection_info/protocol_num", json!(6)),
        ("/evidences/0/dst_endpoint/ip", json!("198.51.100.7")),
        ("/evidences/0/process/file/name", json!("curl")),
        ("/metadata/uid", json!("9f1c2a7be03d4f55a1b2c3d4e5f60718-1")),
        ("/unmapped/beaconwatch/method", json!("evidence")),
    ] {
        assert_eq!(event.pointer(path), Some(&expected), "{path}");
    }
}

#[test]
fn a_closed_finding_is_resolved_and_one_that_the_allow_list_closed_is_suppressed() {
    let closed = event(SampleDocument::Closed);
    assert_eq!(
        (&closed["activity_id"], &closed["status_id"]),
        (&json!(3), &json!(4))
    );
    let mut document: Value =
        serde_json::from_str(&sample_document(SampleDocument::Closed).body).unwrap();
    document["beaconwatch"]["finding"]["allowed"] = json!({"id": "a", "reason": "time server"});
    assert_eq!(detection_finding(&document)["status_id"], 3);
}

#[test]
fn a_sensor_and_a_document_of_nothing_are_events_too() {
    let sensor = event(SampleDocument::Sensor);
    assert_eq!(sensor["severity_id"], 3);
    assert_eq!(sensor["device"]["hostname"], "web-3");
    assert_eq!(sensor.get("evidences"), None);
    let nothing = detection_finding(&json!({}));
    assert_eq!(nothing["type_uid"], 200_400);
    assert_eq!(nothing["finding_info"]["uid"], "");
}

#[test]
fn a_process_without_an_id_is_a_file() {
    let document = json!({"process": {"name": "curl", "executable": "/usr/bin/curl", "real_user": {"id": "1000"}}});
    let event = detection_finding(&document);
    let evidence = &event["evidences"][0];
    assert_eq!(evidence.get("process"), None);
    assert_eq!(evidence["file"]["path"], "/usr/bin/curl");
    assert_eq!(evidence["user"]["uid"], "1000");
    let only_name = detection_finding(&json!({"process": {"name": "curl"}}));
    assert_eq!(only_name["evidences"][0]["file"]["name"], "curl");
}

#[test]
fn who_runs_a_process_stands_with_it_as_far_as_the_schema_takes_it() {
    let document = json!({
        "process": {"pid": 7, "name": "curl", "command_line": "curl -s", "hash": {"sha256": "9f86"},
                    "real_user": {"name": "alice"}, "parent": {"pid": 6, "executable": "/usr/bin/bash"}},
        "container": {"id": "3f4a", "runtime": "podman"},
        "orchestrator": {"namespace": "shop", "resource": {"name": "web-x2x7k"}},
    });
    let event = detection_finding(&document);
    let evidence = &event["evidences"][0];
    let process = &evidence["process"];
    assert_eq!(process["cmd_line"], "curl -s");
    assert_eq!(process["user"]["name"], "alice");
    let hash = json!({"algorithm": "SHA-256", "algorithm_id": 3, "value": "9f86"});
    let file = json!({"hashes": [hash], "name": "curl", "type_id": 1});
    assert_eq!(process["file"], file);
    assert_eq!(process["parent_process"]["file"]["name"], "bash");
    assert_eq!(evidence["container"]["uid"], "3f4a");
    assert_eq!(event["unmapped"]["orchestrator"]["namespace"], "shop");
    let little = json!({
        "process": {"pid": 7, "hash": {"sha256": "no hash"}, "parent": {"name": "bash"}},
        "container": {"runtime": "podman"},
    });
    let event = detection_finding(&little);
    let evidence = &event["evidences"][0];
    assert_eq!(evidence.get("container"), None);
    assert_eq!(evidence["process"].get("parent_process"), None);
    assert_eq!(evidence["process"]["file"].get("hashes"), None);
}

#[test]
fn values_of_another_type_make_no_panic_and_no_attribute() {
    let document = json!({
        "@timestamp": "yesterday", "network": {"iana_number": "six"}, "event": {"risk_score": 1e300},
        "process": [], "beaconwatch": 7, "source": {"ip": null}, "message": {"a": 1},
    });
    let event = detection_finding(&document);
    assert_eq!(event["time"], 0);
    assert_eq!(event.get("risk_score"), None);
}

#[test]
fn every_attribute_of_the_mapping_is_there_when_its_field_is() {
    for (which, fields) in [
        (SampleDocument::Finding, field::FIELDS),
        (SampleDocument::Sensor, sensor::FIELDS),
    ] {
        let event = event(which);
        let mut checked = 0;
        for field in fields {
            let Some(path) = field.name_in(Vocabulary::Ocsf) else {
                continue;
            };
            let pointer = format!("/{}", path.replace("[]", "/0").replace('.', "/"));
            assert!(event.pointer(&pointer).is_some(), "{}: {path}", field.name);
            checked += 1;
        }
        assert!(checked > 10, "{which:?}");
    }
}
