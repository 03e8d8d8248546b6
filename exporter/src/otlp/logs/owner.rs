//! Attributes of a flow's owner: process, parent, user, unit, container and pod; and of its handler.

use beaconwatch_records::{FlowRecord, Owner};
use beaconwatch_schema::flow as names;

use super::rfc3339;
use crate::enrich::workload::{Runtime, Workload};
use crate::enrich::{Attribution, Handler, Parent};
use crate::flow::Moment;
use crate::otlp::wire::Attributes;

/// Writes what is known. Times of processes are converted by `started`, so that all records of one process carry the same.
pub(super) fn push(
    attributes: &mut Attributes<'_>,
    owner: &Owner,
    known: &Attribution,
    started: &Moment,
) {
    if owner.cgroup_id != 0 {
        attributes.unsigned(names::CGROUP_ID, owner.cgroup_id);
    }
    if let Some(workload) = &known.workload {
        push_workload(attributes, workload);
    }
    if owner.pid == 0 {
        return;
    }
    attributes.unsigned(names::PROCESS_PID, u64::from(owner.pid));
    if let Some(user_id) = known.user_id {
        attributes.unsigned(names::PROCESS_REAL_USER_ID, u64::from(user_id));
    }
    let hash = known.executable_hash.as_ref().and_then(|hash| hash.get());
    for (name, value) in [
        (names::PROCESS_REAL_USER_NAME, known.user_name.as_deref()),
        (names::PROCESS_EXECUTABLE_NAME, known.name.as_deref()),
        (names::PROCESS_EXECUTABLE_PATH, known.executable.as_deref()),
        (names::PROCESS_HASH, hash),
        (names::PROCESS_COMMAND_LINE, known.command_line.as_deref()),
    ] {
        push_known(attributes, name, value);
    }
    push_time(
        attributes,
        names::PROCESS_CREATION_TIME,
        owner.process_start_ns,
        started,
    );
    if let Some(parent) = &known.parent {
        push_parent(attributes, parent, started);
    }
}

/// Writes what is known of the process that uses the socket and is not its owner.
pub(super) fn push_handler(
    attributes: &mut Attributes<'_>,
    record: &FlowRecord,
    known: Option<&Handler>,
    started: &Moment,
) {
    if record.handler_pid == 0 {
        return;
    }
    attributes.unsigned(names::HANDLER_PID, u64::from(record.handler_pid));
    if let Some(known) = known {
        push_known(attributes, names::HANDLER_NAME, known.name.as_deref());
        let executable = known.executable.as_deref();
        push_known(attributes, names::HANDLER_EXECUTABLE, executable);
    }
    push_time(
        attributes,
        names::HANDLER_START,
        record.handler_start_ns,
        started,
    );
}

fn push_parent(attributes: &mut Attributes<'_>, parent: &Parent, started: &Moment) {
    attributes.unsigned(names::PARENT_PID, u64::from(parent.pid));
    push_known(attributes, names::PARENT_NAME, parent.name.as_deref());
    push_known(
        attributes,
        names::PARENT_EXECUTABLE,
        parent.executable.as_deref(),
    );
    push_time(attributes, names::PARENT_START, parent.start_ns, started);
}

fn push_workload(attributes: &mut Attributes<'_>, workload: &Workload) {
    for (name, value) in [
        (names::SYSTEMD_UNIT, &workload.unit),
        (names::SYSTEMD_USER_UNIT, &workload.user_unit),
        (names::SYSTEMD_SLICE, &workload.slice),
    ] {
        push_known(attributes, name, value.as_deref());
    }
    let pod = workload.pod.as_ref().and_then(|place| place.get());
    let container = workload.container.as_ref();
    let of_pod = container.and_then(|container| pod?.container(&container.id));
    if let Some(container) = container {
        attributes.text(names::CONTAINER_ID, &container.id);
        let runtime = container.runtime.map(Runtime::name);
        let runtime = runtime.or(of_pod.map(|container| container.runtime.as_str()));
        push_known(attributes, names::CONTAINER_RUNTIME, runtime);
    }
    if let Some(place) = &workload.pod {
        attributes.text(names::K8S_POD_UID, place.uid());
    }
    let Some(pod) = pod else {
        return;
    };
    attributes.text(names::K8S_POD_NAME, &pod.name);
    attributes.text(names::K8S_NAMESPACE_NAME, &pod.namespace);
    push_known(attributes, names::K8S_NODE_NAME, pod.node.as_deref());
    if let Some(container) = of_pod {
        attributes.text(names::K8S_CONTAINER_NAME, &container.name);
    }
    for (name, value) in &pod.labels {
        attributes.text(name, value);
    }
}

fn push_known(attributes: &mut Attributes<'_>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        attributes.text(name, value);
    }
}

fn push_time(attributes: &mut Attributes<'_>, name: &str, boot_ns: u64, started: &Moment) {
    if boot_ns != 0
        && let Some(time) = rfc3339(started.unix_of(boot_ns))
    {
        attributes.display(name, time);
    }
}
