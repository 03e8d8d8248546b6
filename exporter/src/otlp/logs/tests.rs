use std::collections::{BTreeMap, BTreeSet};

use beaconwatch_records::{FLAG_TCP_TOTALS, Owner, RecordKind};
use beaconwatch_schema::exporter_record::in_resource;
use beaconwatch_schema::{Field, Level, flow};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use proptest::prelude::*;

use super::*;
use crate::enrich::hash::FileHash;
use crate::enrich::kubernetes::{Pod, PodContainer, PodPlace};
use crate::enrich::workload::{Container, Workload};
use crate::enrich::{Attribution, Handler, Parent};
use crate::flow::{BootId, FlowId};
use crate::names::Origin;

const STARTED: Moment = Moment {
    boot_ns: 100_000_000_000,
    unix_ns: 1_700_000_000_000_000_000,
};

fn encoder() -> LogEncoder {
    LogEncoder::new(Identity {
        exporter_id: "0f8e4a2f6d3b4c1e9a5d7c0b1a2f3e4d".to_owned(),
        host_id: "8f14e45fceea167a5a36dedd4bea2543".to_owned(),
        host_name: "web-3".to_owned(),
        own_namespace: 77,
        started: STARTED,
    })
    .with_sampling(Some(0.25))
}

fn flow_record() -> FlowRecord {
    let mut local_address = [0; 16];
    local_address[10..].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 10]);
    let mut remote_address = [0; 16];
    remote_address[10..].copy_from_slice(&[0xff, 0xff, 198, 51, 100, 7]);
    let mut comm = [0; 16];
    comm[..4].copy_from_slice(b"curl");
    FlowRecord {
        cookie: 1,
        netns_cookie: 77,
        start_ns: 90_000_000_000,
        time_ns: 92_000_000_000,
        last_packet_ns: 92_000_000_000,
        counters: CounterSet {
            bytes_sent: 100,
            bytes_received: 200,
            packets_sent: 3,
            packets_received: 4,
        },
        payload_sent: 10,
        payload_received: 20,
        owner: Owner {
            process_start_ns: 50_000_000_000,
            cgroup_id: 3251,
            pid: 4711,
            uid: 1000,
            comm,
        },
        local_address,
        remote_address,
        smoothed_rtt_us: 182,
        retransmits: 1,
        handler_pid: 4715,
        handler_start_ns: 60_000_000_000,
        local_port: 49_152,
        remote_port: 443,
        kind: RecordKind::Close as u8,
        role: Role::Client as u8,
        protocol: Protocol::Tcp as u8,
        close_reason: CloseReason::FinRemote as u8,
        flags: FLAG_TCP_TOTALS | FLAG_START_INFERRED,
        established: 1,
        ..FlowRecord::ZERO
    }
}

const CONTAINER: &str = "8f2a1d3c4b5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8";
const POD: &str = "a1b2c3d4-e5f6-4711-8899-aabbccddeeff";

/// Everything that can be known of an owner.
fn attribution(owner: &Owner) -> Attribution {
    let pod = Pod {
        name: "web-7d4b9c6f5-x2x7k".to_owned(),
        namespace: "shop".to_owned(),
        node: Some("node-3".to_owned()),
        labels: vec![("k8s.pod.label.app".to_owned(), "web".to_owned())],
        containers: vec![PodContainer {
            id: CONTAINER.to_owned(),
            name: "nginx".to_owned(),
            runtime: "containerd".to_owned(),
        }],
    };
    let name = String::from_utf8_lossy(&owner.comm).replace('\0', "");
    Attribution {
        name: Some(name.into()),
        user_id: Some(owner.uid),
        user_name: Some("alice".into()),
        executable: Some("/usr/bin/curl".into()),
        executable_hash: Some(Arc::new(FileHash::of(&"ab".repeat(32)))),
        command_line: Some("curl -s https://updates.example.org/".into()),
        parent: Some(Arc::new(Parent {
            pid: 4700,
            name: Some("bash".into()),
            executable: Some("/usr/bin/bash".into()),
            start_ns: 40_000_000_000,
        })),
        workload: Some(Arc::new(Workload {
            container: Some(Container {
                id: CONTAINER.into(),
                runtime: None,
            }),
            pod: Some(Arc::new(PodPlace::of(POD, pod))),
            unit: Some("web.service".into()),
            user_unit: Some("a.service".into()),
            slice: Some("system.slice".into()),
            ..Workload::default()
        })),
        own: false,
    }
}

fn numbered(record: FlowRecord, kind: FlowEventKind) -> NumberedEvent {
    NumberedEvent {
        sequence: 42,
        observed_unix_ns: STARTED.unix_ns,
        content: Content::Flow {
            interface: Some("eth0".into()),
            event: FlowEvent {
                id: FlowId::of(BootId(1), &record),
                kind,
                number: 3,
                start_unix_ns: STARTED.unix_of(record.start_ns),
                time_unix_ns: STARTED.unix_of(record.time_ns),
                delta: record.counters,
                record,
            },
            owner: Arc::new(attribution(&record.owner)),
            handler: Some(Arc::new(Handler {
                name: Some("worker".into()),
                executable: Some("/usr/sbin/worker".into()),
            })),
            names: Some(Arc::new(FlowNames {
                server: Some(("updates.example.org".into(), Origin::Tls)),
                ja4: Some("t13d1516h2_8daaf6152771_e5627efa2ab1".into()),
                ja3: Some("d4e5b18d6b55c71272893221c96ba240".into()),
                alpn: Some("h2".into()),
                method: Some("GET".into()),
                user_agent: Some("curl/8.5.0".into()),
                question: Some("updates.example.org".into()),
            })),
            own: true,
        },
    }
}

fn encoded(record: FlowRecord, kind: FlowEventKind) -> BTreeMap<String, Value> {
    attributes(decoded(&numbered(record, kind)))
}

/// What a receiver reads of a request with these events.
fn received(events: &[NumberedEvent]) -> ExportLogsServiceRequest {
    let encoder = encoder();
    let mut request = encoder.request(events.len(), usize::MAX);
    for event in events {
        assert!(request.push(event));
    }
    assert_eq!(request.count(), events.len());
    ExportLogsServiceRequest::decode(request.finish()).unwrap()
}

fn decoded(event: &NumberedEvent) -> LogRecord {
    let mut request = received(std::slice::from_ref(event));
    request.resource_logs[0].scope_logs[0].log_records.remove(0)
}

fn attributes(log: LogRecord) -> BTreeMap<String, Value> {
    let count = log.attributes.len();
    let attributes: BTreeMap<String, Value> = log
        .attributes
        .into_iter()
        .map(|pair| (pair.key, pair.value.unwrap().value.unwrap()))
        .collect();
    assert_eq!(attributes.len(), count, "no attribute twice");
    attributes
}

fn text(value: &str) -> Value {
    Value::StringValue(value.to_owned())
}

/// Every attribute that a flow record or its resource may have.
fn fields() -> impl Iterator<Item = &'static Field> {
    exporter_record::FIELDS.iter().chain(flow::FIELDS)
}

#[test]
fn every_attribute_is_in_the_field_model_and_every_required_field_is_there() {
    let known: BTreeSet<&str> = fields().map(|field| field.name).collect();
    for kind in [
        FlowEventKind::Start,
        FlowEventKind::Update,
        FlowEventKind::Activity {
            exchanged: CounterSet::ZERO,
        },
        FlowEventKind::End,
    ] {
        let attributes = encoded(flow_record(), kind);
        for name in attributes.keys() {
            let label = name.starts_with(flow::K8S_POD_LABEL_PREFIX);
            assert!(label || known.contains(name.as_str()), "{name}");
        }
        let required = fields().filter(|field| field.level == Level::Required);
        for field in required.filter(|field| !in_resource(field.name)) {
            assert!(
                attributes.contains_key(field.name),
                "{} in {kind:?}",
                field.name
            );
        }
    }
    let resource = received(&[]).resource_logs.remove(0).resource.unwrap();
    let names: BTreeSet<&str> = resource
        .attributes
        .iter()
        .map(|pair| pair.key.as_str())
        .collect();
    let expected: BTreeSet<&str> = fields()
        .map(|field| field.name)
        .filter(|name| in_resource(name))
        .collect();
    assert_eq!(names, expected);
}

#[test]
fn an_end_carries_every_field_but_those_of_an_activity() {
    let attributes = encoded(flow_record(), FlowEventKind::End);
    let missing: Vec<&str> = fields()
        .map(|field| field.name)
        .filter(|name| !in_resource(name) && !attributes.contains_key(*name))
        .collect();
    let of_activity = [
        flow::ACTIVITY_SOURCE_BYTES,
        flow::ACTIVITY_DESTINATION_BYTES,
    ];
    assert_eq!(missing, of_activity);
}

#[test]
fn an_activity_tells_what_was_exchanged_by_the_ends_of_the_flow() {
    let exchanged = CounterSet {
        bytes_sent: 7,
        bytes_received: 9,
        packets_sent: 1,
        packets_received: 1,
    };
    let activity = FlowEventKind::Activity { exchanged };
    let client = encoded(flow_record(), activity);
    assert_eq!(client[flow::EVENT], text(flow::EVENT_ACTIVITY));
    assert_eq!(client[flow::ACTIVITY_SOURCE_BYTES], Value::IntValue(7));
    assert_eq!(client[flow::ACTIVITY_DESTINATION_BYTES], Value::IntValue(9));
    assert_eq!(client.get(flow::END_TIME), None);
    let server = FlowRecord {
        role: Role::Server as u8,
        ..flow_record()
    };
    let server = encoded(server, activity);
    assert_eq!(server[flow::ACTIVITY_SOURCE_BYTES], Value::IntValue(9));
    assert_eq!(server[flow::ACTIVITY_DESTINATION_BYTES], Value::IntValue(7));
}

#[test]
fn a_heartbeat_has_its_number_and_says_nothing_of_a_flow() {
    let record = decoded(&NumberedEvent {
        sequence: 43,
        observed_unix_ns: STARTED.unix_ns,
        content: Content::Heartbeat,
    });
    assert_eq!(record.event_name, heartbeat::EVENT_NAME);
    assert_eq!(record.time_unix_nano, STARTED.unix_ns);
    let attributes = attributes(record);
    assert_eq!(
        attributes[exporter_record::EXPORTER_SEQUENCE],
        Value::IntValue(43)
    );
    let names: BTreeSet<&str> = attributes.keys().map(String::as_str).collect();
    let expected: BTreeSet<&str> = exporter_record::FIELDS
        .iter()
        .map(|field| field.name)
        .filter(|name| !in_resource(name))
        .collect();
    assert_eq!(names, expected);
}

#[test]
fn the_server_end_sees_source_and_destination_swapped() {
    let client = encoded(flow_record(), FlowEventKind::End);
    assert_eq!(client[flow::SOURCE_ADDRESS], text("192.0.2.10"));
    assert_eq!(client[flow::SOURCE_BYTES], Value::IntValue(100));
    assert_eq!(client[flow::DESTINATION_PAYLOAD_BYTES], Value::IntValue(20));
    let server = FlowRecord {
        role: Role::Server as u8,
        ..flow_record()
    };
    let server = encoded(server, FlowEventKind::End);
    assert_eq!(server[flow::ROLE], text("server"));
    assert_eq!(server[flow::SOURCE_ADDRESS], text("198.51.100.7"));
    assert_eq!(server[flow::SOURCE_PORT], Value::IntValue(443));
    assert_eq!(server[flow::DESTINATION_ADDRESS], text("192.0.2.10"));
    assert_eq!(server[flow::SOURCE_BYTES], Value::IntValue(200));
    assert_eq!(server[flow::SOURCE_PACKETS_DELTA], Value::IntValue(4));
    assert_eq!(server[flow::DESTINATION_PAYLOAD_BYTES], Value::IntValue(10));
}

#[test]
fn ipv6_stays_ipv6_and_mapped_ipv4_is_ipv4() {
    let mut six = flow_record();
    six.remote_address = "2001:db8::7".parse::<Ipv6Addr>().unwrap().octets();
    six.local_address = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets();
    let six = encoded(six, FlowEventKind::End);
    assert_eq!(six[flow::DESTINATION_ADDRESS], text("2001:db8::7"));
    assert_eq!(six[flow::NETWORK_TYPE], text("ipv6"));
    assert_eq!(
        encoded(flow_record(), FlowEventKind::End)[flow::NETWORK_TYPE],
        text("ipv4")
    );
}

#[test]
fn a_flow_in_transit_says_so_and_on_which_interface_and_names_no_process() {
    let transit = FlowRecord {
        role: Role::Transit as u8,
        owner: Owner::default(),
        handler_pid: 0,
        interface: 3,
        ..flow_record()
    };
    let mut transit = numbered(transit, FlowEventKind::End);
    if let Content::Flow { owner, .. } = &mut transit.content {
        *owner = Arc::default();
    }
    let attributes = attributes(decoded(&transit));
    assert_eq!(attributes[flow::ROLE], text("transit"));
    assert_eq!(attributes[flow::INTERFACE_NAME], text("eth0"));
    assert_eq!(attributes[flow::SOURCE_ADDRESS], text("192.0.2.10"));
    assert_eq!(attributes[flow::DESTINATION_ADDRESS], text("198.51.100.7"));
    assert!(!attributes.contains_key(flow::PROCESS_PID));
}

#[test]
fn what_is_unknown_is_absent() {
    let unknown = FlowRecord {
        netns_cookie: 0,
        owner: Owner::default(),
        smoothed_rtt_us: 0,
        flags: 0,
        close_reason: CloseReason::None as u8,
        ..flow_record()
    };
    let mut unknown = numbered(unknown, FlowEventKind::End);
    if let Content::Flow { owner, .. } = &mut unknown.content {
        *owner = Arc::default();
    }
    let attributes = attributes(decoded(&unknown));
    for name in [
        flow::CONTAINER_ID,
        flow::SYSTEMD_UNIT,
        flow::K8S_POD_UID,
        flow::PARENT_PID,
        flow::NETWORK_NAMESPACE,
        flow::PROCESS_PID,
        flow::PROCESS_REAL_USER_ID,
        flow::PROCESS_EXECUTABLE_NAME,
        flow::PROCESS_CREATION_TIME,
        flow::CGROUP_ID,
        flow::SMOOTHED_RTT,
        flow::RETRANSMITS,
        flow::SOURCE_PAYLOAD_BYTES,
        flow::START_INFERRED,
        flow::CLOSE_REASON,
    ] {
        assert!(!attributes.contains_key(name), "{name}");
    }
    let start = encoded(flow_record(), FlowEventKind::Start);
    assert!(!start.contains_key(flow::END_TIME));
}

#[test]
fn a_sampling_ratio_is_stated_when_there_is_one() {
    let mut event = numbered(flow_record(), FlowEventKind::End);
    let stated = attributes(decoded(&event));
    assert_eq!(stated[flow::SAMPLING_RATIO], Value::DoubleValue(0.25));
    event.content = Content::Heartbeat;
    assert!(!attributes(decoded(&event)).contains_key(flow::SAMPLING_RATIO));
}

#[test]
fn the_own_namespace_is_called_host() {
    let own = encoded(flow_record(), FlowEventKind::Start);
    assert_eq!(own[flow::NETWORK_NAMESPACE], text("host"));
    let other = FlowRecord {
        netns_cookie: 4123,
        ..flow_record()
    };
    let other = encoded(other, FlowEventKind::Start);
    assert_eq!(other[flow::NETWORK_NAMESPACE], text("4123"));
}

#[test]
fn numbers_beyond_the_signed_range_and_names_that_are_no_text_are_survived() {
    let mut wild = flow_record();
    wild.counters.bytes_sent = u64::MAX;
    wild.owner.comm = [0xff; 16];
    wild.owner.process_start_ns = u64::MAX;
    let attributes = encoded(wild, FlowEventKind::End);
    assert_eq!(attributes[flow::SOURCE_BYTES], Value::IntValue(i64::MAX));
    assert_eq!(
        attributes[flow::PROCESS_EXECUTABLE_NAME],
        text(&"\u{fffd}".repeat(16))
    );
}

#[test]
fn a_pod_that_the_kubelet_told_of_names_what_the_cgroup_does_not() {
    let attributes = encoded(flow_record(), FlowEventKind::End);
    for (name, value) in [
        (flow::CONTAINER_ID, CONTAINER),
        (flow::CONTAINER_RUNTIME, "containerd"),
        (flow::K8S_POD_UID, POD),
        (flow::K8S_CONTAINER_NAME, "nginx"),
        ("k8s.pod.label.app", "web"),
        (flow::PARENT_START, "2023-11-14T22:12:20Z"),
    ] {
        assert_eq!(attributes[name], text(value), "{name}");
    }
}

#[test]
fn a_host_without_a_name_has_no_attribute_of_it() {
    let identity = Identity {
        host_name: String::new(),
        ..encoder().identity
    };
    let request = LogEncoder::new(identity).request(0, 1000).finish();
    let request = ExportLogsServiceRequest::decode(request).unwrap();
    let resource = request.resource_logs[0].resource.as_ref().unwrap();
    let names: Vec<&str> = resource
        .attributes
        .iter()
        .map(|it| it.key.as_str())
        .collect();
    assert!(names.contains(&flow::HOST_ID) && !names.contains(&flow::HOST_NAME));
}

#[test]
fn a_flow_has_the_community_id_that_other_tools_give_it_from_both_ends() {
    // `baseline/baseline_deflt.json` of the specification's repository.
    for (protocol, local, remote, expected) in [
        (
            Protocol::Tcp,
            ("128.232.110.120", 34_855),
            ("66.35.250.204", 80),
            "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
        ),
        (
            Protocol::Udp,
            ("192.168.1.52", 54_585),
            ("8.8.8.8", 53),
            "1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
        ),
        (
            Protocol::Tcp,
            ("2001:470:e5bf:dead:4957:2174:e82c:4887", 63_943),
            ("2607:f8b0:400c:c03::1a", 25),
            "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=",
        ),
        (
            Protocol::Icmp,
            ("192.168.0.89", 8),
            ("192.168.0.1", 0),
            "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=",
        ),
        (
            Protocol::Icmpv6,
            ("3ffe:507:0:1:200:86ff:fe05:80da", 128),
            ("3ffe:501:0:1001::2", 0),
            "1:+TW+HtLHvV1xnGhV1lv7XoJrqQg=",
        ),
    ] {
        let bytes = |address: &str| match address.parse().unwrap() {
            IpAddr::V4(four) => four.to_ipv6_mapped().octets(),
            IpAddr::V6(six) => six.octets(),
        };
        let icmp = matches!(protocol, Protocol::Icmp | Protocol::Icmpv6);
        for (role, here, there) in [(Role::Client, local, remote), (Role::Server, remote, local)] {
            if icmp && role == Role::Server {
                // Who answers an echo has no flow of it.
                continue;
            }
            let attributes = encoded(
                FlowRecord {
                    local_address: bytes(here.0),
                    local_port: here.1,
                    remote_address: bytes(there.0),
                    remote_port: there.1,
                    protocol: protocol as u8,
                    role: role as u8,
                    ..flow_record()
                },
                FlowEventKind::Start,
            );
            assert_eq!(attributes[flow::COMMUNITY_ID], text(expected));
            if icmp {
                assert_eq!(attributes[flow::TRANSPORT], text("icmp"));
            }
        }
    }
}

#[test]
fn a_process_start_is_an_instant_in_utc() {
    let attributes = encoded(flow_record(), FlowEventKind::End);
    assert_eq!(
        attributes[flow::PROCESS_CREATION_TIME],
        text("2023-11-14T22:12:30Z")
    );
}

/// Any record whatever, sensible or not.
fn any_record() -> impl Strategy<Value = FlowRecord> {
    let numbers = prop::array::uniform12(prop_oneof![Just(0), Just(77), any::<u64>()]);
    let small = prop::array::uniform4(any::<u32>());
    let bytes = prop::array::uniform4(0u8..9);
    let texts = (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u8; 16]>());
    (numbers, small, bytes, texts).prop_map(|(number, small, byte, texts)| FlowRecord {
        netns_cookie: number[0],
        start_ns: number[1],
        time_ns: number[2],
        counters: CounterSet {
            bytes_sent: number[3],
            bytes_received: number[4],
            packets_sent: number[5],
            packets_received: number[6],
        },
        payload_sent: number[7],
        payload_received: number[8],
        owner: Owner {
            process_start_ns: number[9],
            cgroup_id: number[10],
            pid: small[0],
            uid: small[1],
            comm: texts.0,
        },
        local_address: texts.1,
        remote_address: texts.2,
        smoothed_rtt_us: small[2],
        retransmits: small[3],
        local_port: byte[0].into(),
        remote_port: u16::MAX - u16::from(byte[1]),
        role: byte[0],
        protocol: byte[1],
        close_reason: byte[2],
        flags: byte[3],
        established: byte[2],
        ..flow_record()
    })
}

fn any_event() -> impl Strategy<Value = NumberedEvent> {
    let kind = prop_oneof![
        Just(FlowEventKind::Start),
        Just(FlowEventKind::Update),
        Just(FlowEventKind::End)
    ];
    (
        any_record(),
        kind,
        any::<u64>(),
        "\\PC{0,300}",
        any::<bool>(),
    )
        .prop_map(|(record, kind, sequence, path, own)| {
            let mut event = numbered(record, kind);
            event.sequence = sequence;
            event.observed_unix_ns = sequence.rotate_left(7);
            if let Content::Flow {
                owner, own: is_own, ..
            } = &mut event.content
            {
                *owner = Arc::new(Attribution {
                    executable: own.then(|| path.into()),
                    ..Attribution::clone(owner)
                });
                *is_own = own;
            }
            event
        })
}

proptest! {
    #[test]
    fn what_is_written_is_what_the_generated_types_read_and_write(
        events in prop::collection::vec(any_event(), 0..12),
    ) {
        let encoder = encoder();
        let mut request = encoder.request(0, usize::MAX);
        for event in &events {
            prop_assert!(request.push(event));
        }
        let bytes = request.finish();
        let read = ExportLogsServiceRequest::decode(bytes.clone()).unwrap();
        prop_assert_eq!(&bytes, &read.encode_to_vec());
        let records = &read.resource_logs[0].scope_logs[0].log_records;
        prop_assert_eq!(records.len(), events.len());
        for (record, event) in records.iter().zip(&events) {
            prop_assert_eq!(record.observed_time_unix_nano, event.observed_unix_ns);
            let attributes = attributes(record.clone());
            let sequence = i64::try_from(event.sequence).unwrap_or(i64::MAX);
            prop_assert_eq!(
                &attributes[exporter_record::EXPORTER_SEQUENCE],
                &Value::IntValue(sequence)
            );
        }
    }

    #[test]
    fn a_request_keeps_its_limit_and_leaves_no_room_for_another_record(
        events in prop::collection::vec(any_event(), 1..30),
        max_bytes in 0usize..20_000,
    ) {
        let encoder = encoder();
        let mut request = encoder.request(events.len(), max_bytes);
        let fitting = events.iter().take_while(|event| request.push(event)).count();
        prop_assert!(fitting >= 1);
        prop_assert_eq!(request.count(), fitting);
        let bytes = request.finish();
        prop_assert!(fitting == 1 || bytes.len() <= max_bytes);
        if let Some(next) = events.get(fitting) {
            let more = received(std::slice::from_ref(next)).encoded_len() + bytes.len();
            prop_assert!(more > max_bytes, "{more} fit into {max_bytes}");
        }
    }
}
