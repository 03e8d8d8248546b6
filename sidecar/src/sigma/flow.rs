//! An observation as a flow document, as far as rules can name what is in it.
//!
//! Contract: field names are those of the flow document ([`beaconwatch_schema::flow_document`]). An observation does not have
//! all that a flow record has (packets, why it ended, round-trip time): those fields are absent. The number of the record is
//! known when it is 0.

use std::collections::HashMap;
use std::sync::LazyLock;

use beaconwatch_detector::ecs::community_id;
use beaconwatch_detector::{ConnectionId, Observation, Phase, Side, Timestamp, Transport};
use beaconwatch_rules::FlowInterest;
use beaconwatch_schema::{Vocabulary, flow, flow_document as document};
use serde_json::{Map, Value, json};

use crate::time_text::rfc3339;

/// Whether any rule is for it. Own traffic is for none.
pub(super) fn is_for(observation: &Observation, interest: FlowInterest) -> bool {
    !observation.own
        && match interest {
            FlowInterest::None => false,
            FlowInterest::First => is_first(observation.phase),
            FlowInterest::Every => true,
        }
}

const fn is_first(phase: Phase) -> bool {
    matches!(phase, Phase::Opened | Phase::Whole)
}

/// What names the flow in matches.
pub(super) fn id(observation: &Observation) -> String {
    if let Some(ConnectionId(id)) = observation.connection {
        return format!("{id:032x}");
    }
    let key = &observation.key;
    let time = observation.time.unix_nanos();
    format!(
        "{}:{}-{}:{}-{time}",
        key.source, observation.source_port, key.destination, key.destination_port
    )
}

/// Fields by their dotted names in one object.
pub(super) fn body(observation: &Observation) -> Value {
    let mut fields = Fields(Map::new());
    let event = match observation.phase {
        Phase::Opened => flow::EVENT_START,
        Phase::Active => flow::EVENT_UPDATE,
        Phase::Activity => flow::EVENT_ACTIVITY,
        Phase::Closed | Phase::Whole => flow::EVENT_END,
    };
    fields.put(document::TIMESTAMP, rfc3339(observation.time));
    fields.put(document::EVENT_DATASET, document::DATASET);
    fields.put(document::EVENT_KIND, document::KIND);
    fields.put(document::EVENT_MODULE, document::MODULE);
    fields.put(document::EVENT_CATEGORY, json!([document::CATEGORY]));
    fields.put(document::EVENT_TYPE, json!(document::event_types(event)));
    let action = format!("{}{event}", document::ACTION_PREFIX);
    fields.put(document::EVENT_ACTION, action);
    fields.flow(flow::EVENT, event);
    if is_first(observation.phase) {
        fields.flow(flow::RECORD_NUMBER, 0);
    }
    describe_ends(&mut fields, observation);
    describe_life(&mut fields, observation);
    describe_process(&mut fields, observation);
    describe_owner(&mut fields, observation);
    Value::Object(fields.0)
}

fn describe_ends(fields: &mut Fields, observation: &Observation) {
    let key = &observation.key;
    let role = match observation.side {
        Side::Server => flow::ROLE_SERVER,
        Side::Client | Side::Between => flow::ROLE_CLIENT,
    };
    fields.flow(flow::ROLE, role);
    let (source, destination) = (key.source.to_string(), key.destination.to_string());
    let both = json!([&source, &destination]);
    fields.put(document::RELATED_IP, both);
    fields.flow(flow::SOURCE_ADDRESS, source);
    fields.flow(flow::DESTINATION_ADDRESS, destination);
    if observation.source_port > 0 {
        fields.flow(flow::SOURCE_PORT, observation.source_port);
    }
    fields.flow(flow::DESTINATION_PORT, key.destination_port);
    fields.flow(flow::TRANSPORT, key.transport.name());
    let network = if key.destination.is_ipv4() {
        "ipv4"
    } else {
        "ipv6"
    };
    fields.flow(flow::NETWORK_TYPE, network);
    fields.known(flow::COMMUNITY_ID, community(observation));
    fields.known(flow::SERVER_ADDRESS, observation.server_name.as_deref());
    let present = |text: &'_ str| !text.is_empty();
    fields.known(flow::HOST_ID, Some(&*key.host).filter(|it| present(it)));
    fields.known(flow::HOST_NAME, observation.host_name.as_deref());
    let namespace = Some(&*key.namespace).filter(|it| present(it));
    fields.known(flow::NETWORK_NAMESPACE, namespace);
}

/// Made of the ends: an observation does not carry the record's.
fn community(observation: &Observation) -> Option<String> {
    let key = &observation.key;
    let protocol = match key.transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
        _ => return None,
    };
    if observation.source_port == 0 {
        return None;
    }
    let source = (key.source, observation.source_port);
    let destination = (key.destination, key.destination_port);
    community_id(source, destination, protocol)
}

fn describe_life(fields: &mut Fields, observation: &Observation) {
    if let Some(ConnectionId(id)) = observation.connection {
        fields.flow(flow::FLOW_ID, format!("{id:032x}"));
    }
    fields.known(flow::ESTABLISHED, observation.established);
    fields.known(flow::SOURCE_BYTES, observation.bytes_out);
    fields.known(flow::DESTINATION_BYTES, observation.bytes_in);
    let time = observation.time;
    let nanos = observation
        .duration
        .and_then(|it| i64::try_from(it.as_nanos()).ok());
    let (start, end) = match (observation.phase, nanos) {
        (Phase::Opened, _) | (Phase::Whole, None) => (Some(time), None),
        (Phase::Whole, Some(nanos)) => (Some(time), shifted(time, nanos)),
        (Phase::Closed, Some(nanos)) => (shifted(time, -nanos), Some(time)),
        (Phase::Closed, None) => (None, Some(time)),
        (Phase::Active | Phase::Activity, _) => (None, None),
    };
    fields.known(flow::START_TIME, start.map(rfc3339));
    fields.known(flow::END_TIME, end.map(rfc3339));
}

fn shifted(time: Timestamp, nanos: i64) -> Option<Timestamp> {
    let shifted = time.unix_nanos().checked_add(nanos)?;
    Some(Timestamp::from_unix_nanos(shifted))
}

fn describe_process(fields: &mut Fields, observation: &Observation) {
    let Some(process) = &observation.process else {
        return;
    };
    fields.flow(flow::PROCESS_PID, process.pid);
    fields.known(flow::PROCESS_EXECUTABLE_NAME, process.name.as_deref());
    fields.known(flow::PROCESS_EXECUTABLE_PATH, process.executable.as_deref());
    fields.known(flow::PROCESS_CREATION_TIME, process.started.map(rfc3339));
    let user = process.user_id.map(|id| id.to_string());
    fields.known(flow::PROCESS_REAL_USER_ID, user);
}

fn describe_owner(fields: &mut Fields, observation: &Observation) {
    let Some(owner) = &observation.owner else {
        return;
    };
    fields.known(flow::PARENT_PID, owner.parent_pid);
    for (name, value) in [
        (flow::PROCESS_REAL_USER_NAME, &owner.user_name),
        (flow::PROCESS_COMMAND_LINE, &owner.command_line),
        (flow::PROCESS_HASH, &owner.executable_sha256),
        (flow::PARENT_NAME, &owner.parent_name),
        (flow::PARENT_EXECUTABLE, &owner.parent_executable),
        (flow::CONTAINER_ID, &owner.container_id),
        (flow::CONTAINER_RUNTIME, &owner.container_runtime),
        (flow::SYSTEMD_UNIT, &owner.unit),
        (flow::SYSTEMD_USER_UNIT, &owner.user_unit),
        (flow::K8S_POD_UID, &owner.pod_uid),
        (flow::K8S_POD_NAME, &owner.pod_name),
        (flow::K8S_NAMESPACE_NAME, &owner.pod_namespace),
        (flow::K8S_CONTAINER_NAME, &owner.pod_container),
    ] {
        fields.known(name, value.as_deref());
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// An attribute of a flow record, by its name in a document.
    fn flow(&mut self, attribute: &'static str, value: impl Into<Value>) {
        self.put(name_of(attribute), value);
    }

    fn known(&mut self, attribute: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.flow(attribute, value);
        }
    }
}

/// The name of an attribute in a flow document.
fn name_of(attribute: &'static str) -> &'static str {
    static NAMES: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
        let fields = flow::FIELDS.iter();
        fields
            .filter_map(|field| Some((field.name, field.name_in(Vocabulary::Ecs)?)))
            .collect()
    });
    NAMES.get(attribute).copied().unwrap_or(attribute)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use beaconwatch_detector::{Owner, Process, SeriesKey};

    use super::*;

    fn observation(phase: Phase) -> Observation {
        let key = SeriesKey {
            host: Arc::from("h1"),
            namespace: Arc::from("host"),
            source: "192.0.2.10".parse().unwrap(),
            destination: "198.51.100.7".parse().unwrap(),
            destination_port: 443,
            transport: Transport::Tcp,
        };
        Observation {
            host_name: Some(Arc::from("web-1")),
            connection: Some(ConnectionId(7)),
            source_port: 40_000,
            server_name: Some(Arc::from("updates.example.org")),
            process: Some(Arc::new(Process {
                pid: 4711,
                started: Some(Timestamp::from_unix_nanos(0)),
                name: Some(Arc::from("curl")),
                executable: Some(Arc::from("/usr/bin/curl")),
                user_id: Some(1000),
            })),
            owner: Some(Arc::new(Owner {
                user_name: Some(Arc::from("alice")),
                command_line: Some(Arc::from("curl -s")),
                executable_sha256: Some(Arc::from("ab")),
                parent_pid: Some(4700),
                parent_name: Some(Arc::from("bash")),
                parent_executable: Some(Arc::from("/bin/bash")),
                container_id: Some(Arc::from("8f2a")),
                container_runtime: Some(Arc::from("podman")),
                unit: Some(Arc::from("web.service")),
                user_unit: Some(Arc::from("a.service")),
                pod_uid: Some(Arc::from("a1b2")),
                pod_name: Some(Arc::from("web-x2x7k")),
                pod_namespace: Some(Arc::from("shop")),
                pod_container: Some(Arc::from("nginx")),
            })),
            bytes_out: Some(512),
            bytes_in: Some(2048),
            duration: Some(Duration::from_secs(2)),
            established: Some(true),
            ..Observation::new(Timestamp::from_unix_nanos(5_000_000_000), phase, key)
        }
    }

    #[test]
    fn every_field_is_one_of_the_flow_document() {
        let known = beaconwatch_schema::sigma::flow_fields();
        for phase in [Phase::Opened, Phase::Active, Phase::Closed, Phase::Whole] {
            let body = body(&observation(phase));
            let fields = body.as_object().unwrap();
            assert!(fields.len() > 20);
            for name in fields.keys() {
                assert!(known.contains(&name.as_str()), "{name}");
            }
        }
    }

    #[test]
    fn a_flow_begins_and_ends_when_its_phase_says() {
        let times = |phase| {
            let body = body(&observation(phase));
            ["event.start", "event.end"].map(|it| body[it].as_str().unwrap_or("-").to_owned())
        };
        let at = |second| format!("1970-01-01T00:00:0{second}Z");
        assert_eq!(times(Phase::Opened), [at(5), "-".to_owned()]);
        assert_eq!(times(Phase::Whole), [at(5), at(7)]);
        assert_eq!(times(Phase::Closed), [at(3), at(5)]);
        assert_eq!(times(Phase::Active), ["-", "-"]);
    }

    #[test]
    fn the_owner_has_the_names_of_the_elastic_common_schema_where_it_has_some() {
        let body = body(&observation(Phase::Opened));
        for (name, value) in [
            ("process.real_user.name", json!("alice")),
            ("process.hash.sha256", json!("ab")),
            ("process.parent.pid", json!(4700)),
            ("process.parent.executable", json!("/bin/bash")),
            ("container.id", json!("8f2a")),
            ("orchestrator.resource.name", json!("web-x2x7k")),
            ("beaconwatch.systemd.unit", json!("web.service")),
        ] {
            assert_eq!(body[name], value, "{name}");
        }
    }

    #[test]
    fn a_flow_has_the_community_id_that_other_tools_give_it() {
        // `baseline/baseline_deflt.json` of the specification's repository.
        let mut flow = observation(Phase::Activity);
        flow.key.source = "128.232.110.120".parse().unwrap();
        flow.key.destination = "66.35.250.204".parse().unwrap();
        flow.key.destination_port = 80;
        flow.source_port = 34_855;
        let of = |flow: &Observation| body(flow)["network.community_id"].clone();
        assert_eq!(of(&flow), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        flow.source_port = 0;
        assert_eq!(of(&flow), Value::Null);
    }

    #[test]
    fn only_the_first_record_of_a_flow_has_a_number() {
        let number = |phase| body(&observation(phase))["beaconwatch.flow.record"].clone();
        assert_eq!(number(Phase::Opened), 0);
        assert_eq!(number(Phase::Whole), 0);
        assert_eq!(number(Phase::Closed), Value::Null);
    }

    #[test]
    fn own_traffic_is_for_no_rule() {
        let mut own = observation(Phase::Opened);
        assert!(is_for(&own, FlowInterest::First));
        assert!(!is_for(&observation(Phase::Active), FlowInterest::First));
        own.own = true;
        assert!(!is_for(&own, FlowInterest::Every));
    }
}
