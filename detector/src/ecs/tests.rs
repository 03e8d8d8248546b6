use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use beaconwatch_schema::{Field, FieldType, Level};

use super::*;
use crate::{
    Context, Detector, Observation, Owner, Phase, Process, Profile, SeriesKey, Settings, Transport,
    View,
};

fn key(source: &str, destination: &str, port: u16, transport: Transport) -> SeriesKey {
    SeriesKey {
        host: Arc::from("8f14e45fceea167a5a36dedd4bea2543"),
        namespace: Arc::from("host"),
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        destination_port: port,
        transport,
    }
}

/// A beacon every 60 s, with all that can be known of it when `full`.
fn beacon(key: &SeriesKey, full: bool) -> Assessment {
    beacon_by(Profile::default(), key, full)
}

fn beacon_by(profile: Profile, key: &SeriesKey, full: bool) -> Assessment {
    let settings = Settings {
        profile,
        ..Settings::default()
    };
    let mut detector = Detector::new(settings).unwrap();
    let start = 1_763_800_000_123_456_789;
    for beat in 0..30_u16 {
        let time = Timestamp::from_unix_nanos(start + i64::from(beat) * 60_000_000_000);
        let mut observation = Observation::new(time, Phase::Whole, key.clone());
        if full {
            observation.host_name = Some(Arc::from("web-3"));
            observation.server_name = Some(Arc::from("updates.example.org"));
            observation.client_fingerprint =
                Some(Arc::from("t13d1516h2_8daaf6152771_b186095e22b6"));
            observation.source_port = 40_000 + beat;
            observation.bytes_out = Some(1_034);
            observation.bytes_in = Some(8_120);
            observation.process = Some(Arc::new(Process {
                pid: 4711,
                started: Some(Timestamp::from_unix_nanos(start - 1)),
                name: Some(Arc::from("curl")),
                executable: Some(Arc::from("/usr/bin/curl")),
                user_id: Some(1000),
            }));
            observation.owner = Some(Arc::new(owner()));
        }
        detector.observe(time, &observation);
    }
    let now = Timestamp::from_unix_nanos(start + 1_800_000_000_000);
    detector.assess(key, now, &Context::default()).unwrap()
}

fn owner() -> Owner {
    let text = |text: &str| Some(Arc::from(text));
    Owner {
        user_name: text("alice"),
        command_line: text("curl -s https://updates.example.org/"),
        executable_sha256: text("9f86d081884c7d659a2feaa0c55ad015"),
        parent_pid: Some(4700),
        parent_name: text("bash"),
        parent_executable: text("/usr/bin/bash"),
        container_id: text("3f4a5b6c7d8e"),
        container_runtime: text("containerd"),
        unit: text("cron.service"),
        user_unit: text("backup.service"),
        pod_uid: text("0f8e4a2f-6d3b-4c1e-9a5d-7c0b1a2f3e4d"),
        pod_name: text("web-7d4b9c6f5-x2x7k"),
        pod_namespace: text("shop"),
        pod_container: text("nginx"),
    }
}

fn full_document(profile: Profile) -> Value {
    let key = key("192.0.2.10", "198.51.100.7", 443, Transport::Tcp);
    let mut assessment = beacon_by(profile, &key, true);
    if profile == Profile::Seed {
        assessment.client_fingerprint = Some(Arc::from("d4e5b18d6b55c71272893221c96ba240"));
    }
    if let Some(evidence) = &mut assessment.evidence {
        evidence.clock_period_s = Some(60.0);
        assessment.other_clients_total = 17;
        assessment.members_total = 6;
        assessment.view = View {
            kind: ViewKind::Rotation,
            shared: Some(Arc::from("443/tcp")),
        };
    }
    let labels = Labels {
        namespace: "prod",
        observer_name: Some("detector-1"),
    };
    let finding = Finding {
        life: full_life(),
        ..finding(&assessment)
    };
    document_with(&finding, Timestamp::from_unix_nanos(0), &labels).unwrap()
}

fn finding(assessment: &Assessment) -> Finding<'_> {
    Finding {
        id: "9f1c2a7be03d4f55a1b2c3d4e5f60718",
        revision: 1,
        opened: Timestamp::from_unix_nanos(1_763_800_000_000_000_000),
        assessment,
        life: Life::default(),
    }
}

/// A life in which everything happened.
fn full_life() -> Life<'static> {
    let at = |seconds: i64| Timestamp::from_unix_nanos((1_763_800_000 + seconds) * 1_000_000_000);
    Life {
        action: Action::Allowed,
        closed: Some(at(9)),
        acknowledged: Some(Acknowledged {
            by: "night-shift",
            at: at(1),
        }),
        allowed: Some(Allowed {
            id: "a41f6c0d52e98b37",
            reason: "time server",
        }),
        suppression: Some(Suppression {
            count: 17,
            start: at(2),
            end: at(8),
        }),
        reopened: 1,
        escalated: 2,
        simulated: true,
    }
}

/// Values by dotted name; objects inside arrays are looked into.
fn flatten(prefix: &str, value: &Value, into: &mut BTreeMap<String, Vec<Value>>) {
    match value {
        Value::Object(object) => {
            for (name, inner) in object {
                let dot = if prefix.is_empty() { "" } else { "." };
                flatten(&format!("{prefix}{dot}{name}"), inner, into);
            }
        }
        Value::Array(values) if values.iter().all(Value::is_object) => {
            into.entry(prefix.to_owned())
                .or_default()
                .push(value.clone());
            for inner in values {
                flatten(prefix, inner, into);
            }
        }
        _ => into
            .entry(prefix.to_owned())
            .or_default()
            .push(value.clone()),
    }
}

fn has_type(field: &Field, value: &Value) -> bool {
    match field.field_type {
        FieldType::Keyword | FieldType::ConstantKeyword | FieldType::MatchOnlyText => {
            value.as_str().is_some_and(|text| !text.is_empty())
        }
        FieldType::Long => value.is_i64() || value.is_u64(),
        FieldType::Float | FieldType::Double => value.is_number(),
        FieldType::Boolean => value.is_boolean(),
        FieldType::Date => value
            .as_str()
            .is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
        FieldType::Ip => value
            .as_str()
            .is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok()),
        FieldType::Nested => value.is_object(),
    }
}

/// Every key is in the table with the right type, and all that is required is there.
fn check_against_the_table(document: &Value) -> BTreeSet<String> {
    let mut found = BTreeMap::new();
    flatten("", document, &mut found);
    let table: BTreeMap<_, _> = field::FIELDS
        .iter()
        .map(|field| (field.name, field))
        .collect();
    for (name, values) in &found {
        let field = table
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} is in no table"));
        for value in values {
            match (field.array, value) {
                (true, Value::Array(items)) => {
                    assert!(!items.is_empty(), "{name} is empty");
                    assert!(
                        items.iter().all(|item| has_type(field, item)),
                        "{name}: {value}"
                    );
                }
                (true, _) => panic!("{name} is no array: {value}"),
                (false, _) => assert!(has_type(field, value), "{name}: {value}"),
            }
        }
    }
    for field in field::FIELDS
        .iter()
        .filter(|field| field.level == Level::Required)
    {
        assert!(found.contains_key(field.name), "{} is missing", field.name);
    }
    found.into_keys().collect()
}

#[test]
fn a_document_with_everything_known_has_every_field_of_the_table() {
    let [mut found, seed] = [Profile::Evidence, Profile::Seed]
        .map(|profile| check_against_the_table(&full_document(profile)));
    found.extend(seed);
    // Who evaluates rules on a document adds what they say.
    let table: BTreeSet<_> = field::FIELDS
        .iter()
        .map(|field| field.name.to_owned())
        .filter(|name| !name.starts_with("beaconwatch.sigma."))
        .collect();
    assert_eq!(found, table);
}

#[test]
fn a_document_with_little_known_has_every_required_field() {
    let mut bare = key("2001:db8::10", "2001:db8::7", 0, Transport::Icmp);
    bare.host = Arc::from("");
    bare.namespace = Arc::from("");
    let document = document(
        &finding(&beacon(&bare, false)),
        Timestamp::from_unix_nanos(0),
    )
    .unwrap();
    let found = check_against_the_table(&document);
    for absent in [
        "host.id",
        "process.pid",
        "source.bytes",
        "beaconwatch.community_ids",
    ] {
        assert!(!found.contains(absent), "{absent} is not known");
    }
    assert_eq!(document["network"]["transport"], "ipv6-icmp");
    assert_eq!(
        document["message"],
        "Beaconing from 2001:db8::10 to 2001:db8::7/icmp"
    );
    assert_eq!(document["threat"]["technique"]["id"], json!(["T1095"]));
}

#[test]
fn the_values_are_those_of_the_assessment() {
    let document = full_document(Profile::Evidence);
    assert_eq!(
        document["event"]["id"],
        "9f1c2a7be03d4f55a1b2c3d4e5f60718-1"
    );
    assert_eq!(
        document["message"],
        "Beaconing from 192.0.2.10 to 198.51.100.7:443/tcp"
    );
    assert_eq!(document["event"]["severity"], 99);
    assert_eq!(document["event"]["start"], "2025-11-22T08:26:40.123Z");
    assert_eq!(document["beaconwatch"]["count"], 30);
    assert_eq!(document["beaconwatch"]["interval"]["median_s"], 60.0);
    assert_eq!(document["source"]["bytes"], 30 * 1_034);
    assert_eq!(document["data_stream"]["namespace"], "prod");
    let ids = document["beaconwatch"]["community_ids"].as_array().unwrap();
    assert_eq!(ids.len(), 8);
    let newest = community_id(
        ("192.0.2.10".parse().unwrap(), 40_029),
        ("198.51.100.7".parse().unwrap(), 443),
        6,
    );
    assert_eq!(ids[0], json!(newest));
    let evidence = &document["beaconwatch"]["evidence"];
    assert_eq!(
        (&evidence["beats"], &evidence["source"]),
        (&json!(30), &json!("connections"))
    );
    assert!(evidence["p_value"].as_f64().unwrap() <= 1e-9);
    let due = "2025-11-22T08:56:40.123Z";
    let window = ["next_earliest", "next_latest"].map(|name| evidence[name].as_str().unwrap());
    assert!(window[0] <= due && due <= window[1], "{window:?}");
}

#[test]
fn who_runs_the_process_stands_in_the_fields_of_a_flow_document() {
    let document = full_document(Profile::Evidence);
    let flows: BTreeSet<&str> = beaconwatch_schema::flow_document::fields()
        .iter()
        .map(|field| field.name)
        .collect();
    for (name, value) in [
        ("container.id", json!("3f4a5b6c7d8e")),
        ("container.name", json!("nginx")),
        ("container.runtime", json!("containerd")),
        ("orchestrator.namespace", json!("shop")),
        (
            "orchestrator.resource.id",
            json!("0f8e4a2f-6d3b-4c1e-9a5d-7c0b1a2f3e4d"),
        ),
        ("orchestrator.resource.name", json!("web-7d4b9c6f5-x2x7k")),
        (
            "process.command_line",
            json!("curl -s https://updates.example.org/"),
        ),
        (
            "process.hash.sha256",
            json!("9f86d081884c7d659a2feaa0c55ad015"),
        ),
        ("process.parent.pid", json!(4700)),
        ("process.parent.name", json!("bash")),
        ("process.parent.executable", json!("/usr/bin/bash")),
        ("process.real_user.name", json!("alice")),
        ("beaconwatch.systemd.unit", json!("cron.service")),
        ("beaconwatch.systemd.user_unit", json!("backup.service")),
    ] {
        let pointer = format!("/{}", name.replace('.', "/"));
        assert_eq!(document.pointer(&pointer), Some(&value), "{name}");
        assert!(flows.contains(name), "{name} is in no flow document");
    }
    assert_eq!(document["related"]["user"], json!(["1000", "alice"]));
}

#[test]
fn what_an_exporter_leaves_out_of_an_owner_is_absent() {
    let key = key("192.0.2.10", "198.51.100.7", 443, Transport::Tcp);
    let mut assessment = beacon(&key, true);
    assessment.owner = Some(Arc::new(Owner {
        user_name: None,
        command_line: None,
        ..owner()
    }));
    let document = document(&finding(&assessment), Timestamp::from_unix_nanos(0)).unwrap();
    assert_eq!(document["process"].get("command_line"), None);
    assert_eq!(document["process"]["real_user"], json!({"id": "1000"}));
    assert_eq!(document["container"]["id"], "3f4a5b6c7d8e");
}

#[test]
fn a_fingerprint_stands_in_the_field_of_its_kind_alone() {
    let fields = |profile| {
        let document = full_document(profile);
        let ja4 = document["beaconwatch"]["client"]["ja4"].clone();
        (ja4, document["tls"]["client"]["ja3"].clone())
    };
    let ja4 = json!("t13d1516h2_8daaf6152771_b186095e22b6");
    assert_eq!(fields(Profile::Evidence), (ja4, Value::Null));
    let ja3 = json!("d4e5b18d6b55c71272893221c96ba240");
    assert_eq!(fields(Profile::Seed), (Value::Null, ja3));
}

#[test]
fn contributions_add_up_to_the_score_or_to_its_log_odds() {
    let parts = |profile| {
        let document = full_document(profile);
        let signals = document["beaconwatch"]["signals"]
            .as_array()
            .unwrap()
            .clone();
        let contributions = signals
            .iter()
            .map(|it| it["contribution"].as_f64().unwrap());
        (
            contributions.sum::<f64>(),
            document["beaconwatch"]["score"].as_f64().unwrap(),
        )
    };
    let (sum, score) = parts(Profile::Seed);
    assert!((sum - score).abs() < 1e-12);
    let (sum, score) = parts(Profile::Evidence);
    assert!((sum - (score / (1.0 - score)).ln()).abs() < 1e-9);
}

#[test]
fn the_message_of_an_ipv6_finding_can_be_read() {
    let assessment = beacon(
        &key("2001:db8::10", "2001:db8::7", 443, Transport::Tcp),
        false,
    );
    let document = document(&finding(&assessment), Timestamp::from_unix_nanos(0)).unwrap();
    assert_eq!(
        document["message"],
        "Beaconing from 2001:db8::10 to [2001:db8::7]:443/tcp"
    );
}

#[test]
fn keys_are_in_alphabetical_order_everywhere() {
    fn check(value: &Value) {
        if let Value::Object(object) = value {
            let names: Vec<_> = object.keys().collect();
            assert!(names.is_sorted(), "{names:?}");
        }
        match value {
            Value::Object(object) => object.values().for_each(check),
            Value::Array(values) => values.iter().for_each(check),
            _ => {}
        }
    }
    check(&full_document(Profile::default()));
}

#[test]
fn a_finding_that_no_store_could_take_is_refused() {
    let assessment = beacon(
        &key("192.0.2.10", "198.51.100.7", 443, Transport::Tcp),
        false,
    );
    let good = finding(&assessment);
    let now = Timestamp::from_unix_nanos(0);
    assert_eq!(
        document(&Finding { id: "", ..good }, now),
        Err(DocumentError::Id(0))
    );
    let long = "x".repeat(481);
    assert_eq!(
        document(&Finding { id: &long, ..good }, now),
        Err(DocumentError::Id(481))
    );
    assert_eq!(
        document(
            &Finding {
                revision: 0,
                ..good
            },
            now
        ),
        Err(DocumentError::Revision)
    );
    for namespace in ["", "Prod", "a-b", "a/b"] {
        let labels = Labels {
            namespace,
            observer_name: None,
        };
        let error = document_with(&good, now, &labels).unwrap_err();
        assert_eq!(error, DocumentError::Namespace(namespace.to_owned()));
    }
    let broken = Assessment {
        score: f64::NAN,
        ..assessment.clone()
    };
    let error = document(
        &Finding {
            assessment: &broken,
            ..good
        },
        now,
    )
    .unwrap_err();
    assert!(matches!(error, DocumentError::NotFinite(_)), "{error}");
}

#[test]
fn the_life_of_a_finding_stands_in_its_document() {
    let document = full_document(Profile::default());
    let finding = &document["beaconwatch"]["finding"];
    assert_eq!(document["event"]["action"], "beacon-allowed");
    assert_eq!(finding["state"], "closed");
    assert_eq!(finding["closed"], "2025-11-22T08:26:49.000Z");
    assert_eq!(finding["acknowledged_by"], "night-shift");
    assert_eq!(finding["allowed"]["reason"], "time server");
    assert_eq!(document["beaconwatch"]["suppression"]["count"], 17);
    assert_eq!(document["tags"], json!(["beaconing", "simulated"]));
    assert_eq!(document["beaconwatch"]["simulated"], true);
}

#[test]
fn a_document_about_a_sensor_has_the_fields_of_its_table_and_no_others() {
    let sensor = Sensor {
        finding: "9f1c2a7be03d4f55a1b2c3d4e5f60718",
        revision: 2,
        opened: Timestamp::from_unix_nanos(1_763_800_000_000_000_000),
        closed: Some(Timestamp::from_unix_nanos(1_763_800_400_000_000_000)),
        action: SensorAction::Recovered,
        severity: Severity::Medium,
        message: "Sensor web-3 fell silent",
        reason: "It sends again.",
        id: "0f8e4a2f6d3b4c1e9a5d7c0b1a2f3e4d",
        host: Some("8f14e45fceea167a5a36dedd4bea2543"),
        host_name: Some("web-3"),
        last_seen: Timestamp::from_unix_nanos(1_763_800_400_000_000_000),
        received: 81_250,
        missing: 340,
        gaps: 2,
    };
    let labels = Labels {
        namespace: "prod",
        observer_name: Some("detector-1"),
    };
    let now = Timestamp::from_unix_nanos(1_763_800_400_000_000_000);
    let document = sensor_document(&sensor, now, &labels).unwrap();
    let mut found = BTreeMap::new();
    flatten("", &document, &mut found);
    let names: BTreeSet<&str> = found.keys().map(String::as_str).collect();
    let table: BTreeSet<&str> = beaconwatch_schema::sensor::FIELDS
        .iter()
        .map(|field| field.name)
        .collect();
    assert_eq!(names, table);
    let short = Sensor {
        closed: None,
        host: None,
        host_name: None,
        ..sensor
    };
    let document = sensor_document(&short, now, &Labels::default()).unwrap();
    let mut found = BTreeMap::new();
    flatten("", &document, &mut found);
    let required = beaconwatch_schema::sensor::FIELDS
        .iter()
        .filter(|field| field.level == Level::Required);
    for field in required {
        assert!(found.contains_key(field.name), "{}", field.name);
    }
    assert_eq!(document["beaconwatch"]["finding"]["state"], "open");
}
